//! The flags of `hls-swarm audit` as they were typed.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::audit::findings::Severity;

/// Look for what would keep a streaming server from holding its viewers: nginx's configuration and real
/// limits, the HLS folders, the kernel, disks, Redis.
///
/// Without --config it audits the nginx that runs on this machine.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "hls-swarm audit", version, max_term_width = 100, after_help = NOTES)]
pub struct AuditArgs {
    /// Viewers that the server is to hold
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub viewers: u32,
    /// Process id of nginx's master, where several run
    #[arg(long, value_name = "PID", conflicts_with = "config")]
    pub pid: Option<u32>,
    /// Audit this configuration instead of a running nginx
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// nginx's prefix, which relative paths of --config are meant from [default: its directory]
    #[arg(long, value_name = "DIR", requires = "config")]
    pub prefix: Option<PathBuf>,
    /// A folder with playlists and segments, besides those of the configuration; may be repeated
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Where Redis is: HOST:PORT, a redis.conf, or off [default: the one that runs here]
    #[arg(long, value_name = "WHERE")]
    pub redis: Option<String>,
    /// Leave this machine's kernel, disks and network out: the configuration is another machine's
    #[arg(long)]
    pub no_host: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = AuditFormat::Text)]
    pub format: AuditFormat,
    /// Write it too, by the file's ending: .md, .json, .patch (for nginx's files), .txt; may be repeated
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// End with exit code 4 if a finding is at least this grave
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
}

/// What the help text ends with.
const NOTES: &str = "As root it sees more: limits of other users' processes, and `nginx -T`.
Exit codes: 0 audited; 4 a finding as grave as --fail-on; 2 usage; 3 nothing to audit.";

/// How an audit is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// For a terminal
    #[default]
    Text,
    /// For a wiki or a review
    Markdown,
    /// For programs
    Json,
    /// The fixes of nginx's files, for `patch -p1 -d /`
    Patch,
}

impl AuditFormat {
    /// File endings and what they mean.
    pub const ENDINGS: [(&str, Self); 4] =
        [("md", Self::Markdown), ("json", Self::Json), ("patch", Self::Patch), ("txt", Self::Text)];
}
