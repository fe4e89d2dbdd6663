//! The commands of `hls-swarm` and their flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_cli::config::{CheckArgs, ShowArgs};
use hls_swarm_cli::health::HealthArgs;
use hls_swarm_cli::manual::{CompletionsArgs, ManArgs};
use hls_swarm_host::audit::args::AuditArgs;
use hls_swarm_host::tuning::args::TuneArgs;

use super::run::RunArgs;

/// The commands of `hls-swarm`.
#[derive(Clone, Debug, Subcommand)]
pub enum SwarmCommand {
    /// Load test a stream (the default command)
    Run(Box<RunArgs>),
    /// Play a stream with one viewer for 10 s and give a verdict
    Check(Box<RunArgs>),
    /// Load test a test origin of its own for 10 s: a first run that needs no stream
    ///
    /// Starts `hls-origin`, 20 viewers, and writes demo-report.html and demo-report.json. Without hls-origin, FFmpeg, or
    /// nginx, the stream is a built-in one. Without FFmpeg, viewers are native.
    Demo(Box<DemoArgs>),
    /// Show, compare and merge the JSON reports of runs
    #[command(subcommand)]
    Report(ReportCommand),
    /// Start the shards of one load together, merge their reports and give the verdict
    ///
    /// Shards are runs with `--shard I/N --collector URL`. They wait until all of them are ready, start
    /// together and send their reports. The exit code is that of the merged run.
    Collect(CollectArgs),
    /// Divide a load over Kubernetes pods and print a kustomize overlay
    ///
    /// Write the overlay to kubernetes/overlays/NAME/kustomization.yaml and apply it with
    /// `kubectl apply -k`.
    Plan(PlanArgs),
    /// Show or check a configuration without running it
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check and set the operating system's settings for a host of viewers or an origin
    Tune(TuneArgs),
    /// Find what keeps a streaming server from serving its viewers
    ///
    /// Audits nginx's configuration and effective limits, the HLS folders, the kernel, disks and Redis.
    /// Without --config it audits the nginx that runs on this machine.
    Audit(AuditArgs),
    /// Impair the network of a lab machine with delay, loss or a rate limit
    ///
    /// Uses tc's netem on what the machine sends. Lasts until `hls-swarm impair clean` or the next boot.
    Impair(ImpairArgs),
    /// Print what Prometheus and Grafana need to monitor runs
    #[command(subcommand)]
    Monitoring(MonitoringCommand),
    /// Print files that other programs need to make a run
    #[command(subcommand)]
    Render(RenderCommand),
    /// Check whether the run on this machine responds; exit code 0 if it does
    ///
    /// For health checks of containers, which have neither a shell nor curl.
    Health(HealthArgs),
    /// Print the manual page of the program or of a command, as troff
    Man(ManArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// The flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Serve the built-in stream on a free port; the demo starts this program with it
    #[arg(long, hide = true)]
    pub serve: bool,
    /// The flags of a run, with other defaults.
    #[command(flatten)]
    pub run: Box<RunArgs>,
}

/// The commands for reports.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ReportCommand {
    /// Print the summary of a report
    Show {
        /// JSON report
        #[arg(value_name = "FILE.json")]
        file: PathBuf,
        /// Write the report in another format as well: .json, .html, .xml (JUnit), .md, .csv; may be repeated
        #[arg(short = 'o', long = "report", value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
    /// Compare two reports figure by figure: which are better or worse in the second, and which differ by noise alone
    Compare {
        /// JSON report
        #[arg(value_name = "A.json")]
        before: PathBuf,
        /// JSON report to compare with it
        #[arg(value_name = "B.json")]
        after: PathBuf,
        /// Exit with code 4 if a figure changed from A to B as in 'segment_ttfb:p95>+20%' or 'throughput<-5%'; may be
        /// repeated
        #[arg(long, value_name = "CONDITION")]
        fail_if: Vec<String>,
        /// Write the comparison to a file: .html (with drawings of both runs), .md, .txt; may be repeated
        #[arg(short = 'o', long = "report", value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
    /// Merge the reports of runs that were parts of one load; the exit code is that of the merged run
    Merge {
        /// JSON reports, two or more
        #[arg(value_name = "FILE.json", num_args = 2.., required = true)]
        files: Vec<PathBuf>,
        /// Write the merged report: .json, .html, .xml (JUnit), .md, .csv; may be repeated
        #[arg(short = 'o', long = "report", value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
}

/// The commands for the configuration of a run.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration that a run with these flags has, and what follows from it
    Show {
        /// How to print it.
        #[command(flatten)]
        output: ShowArgs,
        /// The flags of the run.
        #[command(flatten)]
        run: Box<RunArgs>,
    },
    /// Check profiles; exit code 2 and the reason if one is not valid
    Check(CheckArgs),
    /// Print the JSON Schema of a file, with which editors complete and check it
    Schema {
        /// Kind of the file
        #[arg(value_enum, value_name = "KIND", default_value = "run")]
        kind: SchemaKind,
    },
}

/// A kind of file that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// Profiles and scenarios of runs
    Run,
    /// Impairments of a network
    Impairment,
}

/// The commands that print files for other programs.
#[derive(Clone, Debug, Subcommand)]
pub enum RenderCommand {
    /// Print a confined systemd unit for the run that these flags describe
    Systemd(Box<RunArgs>),
}

/// The flags of `collect`.
#[derive(Args, Clone, Debug)]
pub struct CollectArgs {
    /// Number of shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub shards: u32,
    /// Address to listen on; without a token 127.0.0.1:17092 and loopback only, with a token 0.0.0.0:17092
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// File with a secret that shards have to know (their --collector-token-file)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long to wait until all shards are ready
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub ready_timeout: GoDuration,
    /// How long to wait for reports after the planned end
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub report_timeout: GoDuration,
    /// Write the merged report: .json, .html, .xml (JUnit), .md, .csv; may be repeated
    #[arg(short = 'o', long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}

/// The flags of `plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Number of viewers of all pods together
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub clients: u32,
    /// Largest number of viewers of one pod
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub per_pod: u32,
    /// Viewers started per second, of all pods together
    #[arg(short, long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub ramp_rate: u32,
    /// Stream to play; by default the one of the test origin in kubernetes/base
    #[arg(long, value_name = "URL")]
    pub stream_url: Option<String>,
    /// Length of the run, including the ramp
    #[arg(short, long, value_name = "DURATION", default_value = "5m")]
    pub duration: GoDuration,
    /// Additional flags of hls-swarm for every pod, written as in a shell, for example thresholds
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub extra_args: String,
    /// Folder of the base, relative to the overlay
    #[arg(long, value_name = "PATH", default_value = "../../base")]
    pub base: String,
}

/// The flags of `impair`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = IMPAIR_NOTES)]
pub struct ImpairArgs {
    /// Impairment: clean, 50ms, 3g, lossy, or the path of a TOML file
    #[arg(value_name = "NAME|FILE")]
    pub impairment: String,
    /// Network device to impair
    #[arg(long, default_value = "eth0", value_name = "DEVICE")]
    pub device: String,
    /// Print tc's command line instead of running it
    #[arg(long)]
    pub show: bool,
}

/// The end of the help text of `impair`.
const IMPAIR_NOTES: &str = "Needs CAP_NET_ADMIN, tc (iproute2) and the kernel module sch_netem.
On a machine outside a lab this slows down everything that it sends, including ssh.";

/// The commands for Prometheus and Grafana.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum MonitoringCommand {
    /// Print alert rules for Prometheus
    Rules,
    /// Print a dashboard for Grafana, as JSON to import or provision
    Dashboard,
    /// Print a Prometheus configuration that scrapes load generators and their origins
    Scrape {
        /// host:port of a load generator's metrics; may be repeated
        #[arg(long = "swarm", value_name = "HOST:PORT", default_value = "localhost:17091")]
        swarms: Vec<String>,
        /// host:port of an origin's host metrics (node exporter); may be repeated
        #[arg(long = "node", value_name = "HOST:PORT")]
        nodes: Vec<String>,
        /// host:port of an origin's nginx metrics, and of hls-origin's own; may be repeated
        #[arg(long = "nginx", value_name = "HOST:PORT")]
        nginx: Vec<String>,
        /// Path of the alert rules, as Prometheus reads it
        #[arg(long, value_name = "FILE", default_value = "prometheus-rules.yml")]
        rules: String,
    },
}
