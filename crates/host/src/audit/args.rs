//! The flags of `hls-swarm audit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::audit::findings::Severity;

/// What is audited, and how it is printed.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = NOTES)]
pub struct AuditArgs {
    /// Number of viewers that the server has to serve
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub viewers: u32,
    /// Process id of nginx's master process, if several run
    #[arg(long, value_name = "PID", conflicts_with = "config")]
    pub pid: Option<u32>,
    /// Audit this configuration instead of a running nginx
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// nginx's prefix, for relative paths in --config; without it the directory of that file
    #[arg(long, value_name = "DIR", requires = "config")]
    pub prefix: Option<PathBuf>,
    /// Additional folder with playlists and segments; may be repeated
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Redis to audit: HOST:PORT, a redis.conf, or off; without it the one that runs here
    #[arg(long, value_name = "WHERE")]
    pub redis: Option<String>,
    /// Do not audit this machine's kernel, disks and network, if the configuration is another machine's
    #[arg(long)]
    pub no_host: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = AuditFormat::Text)]
    pub format: AuditFormat,
    /// Write the audit to a file; the extension selects the format: .md, .json, .patch (for nginx's files), .txt;
    /// may be repeated
    #[arg(short = 'o', long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// Exit with code 4 if a finding is at least this severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
}

/// What the help text ends with.
const NOTES: &str = "As root it finds more: limits of other users' processes, and the output of `nginx -T`.
Exit codes: 0 audited; 4 a finding at least as severe as --fail-on; 2 usage; 3 nothing to audit.";

/// How an audit is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// Text
    #[default]
    Text,
    /// Markdown
    Markdown,
    /// JSON
    Json,
    /// The fixes of nginx's files, for `patch -p1 -d /`
    Patch,
}

impl AuditFormat {
    /// File endings and what they mean.
    pub const ENDINGS: [(&str, Self); 4] =
        [("md", Self::Markdown), ("json", Self::Json), ("patch", Self::Patch), ("txt", Self::Text)];
}
