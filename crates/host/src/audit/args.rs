//! Flags of `hls-swarm audit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::audit::findings::Severity;

/// The subject of an audit, and its output.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = NOTES)]
pub struct AuditArgs {
    /// Number of viewers that the server must serve
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub viewers: u32,
    /// Process id of nginx's master process, if several run
    #[arg(long, value_name = "PID", conflicts_with = "config")]
    pub pid: Option<u32>,
    /// Audit this configuration instead of a running nginx
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// nginx's prefix, for relative paths in --config; by default the directory of that file
    #[arg(long, value_name = "DIR", requires = "config")]
    pub prefix: Option<PathBuf>,
    /// Additional folder with playlists and segments; may be repeated
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Redis to audit: HOST:PORT, a redis.conf, or off; by default the one that runs on this machine
    #[arg(long, value_name = "WHERE")]
    pub redis: Option<String>,
    /// Ignore this machine: the configuration is another machine's. Folders are read only if --folder
    /// names them, and included files only beside --config
    #[arg(long)]
    pub no_host: bool,
    /// Number of processors of the audited machine; by default those of this machine, except with --no-host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub processors: Option<u32>,
    /// Output format
    #[arg(long, value_enum, default_value_t = AuditFormat::Text)]
    pub format: AuditFormat,
    /// Also write the audit to a file, by its extension: .md, .json, .patch (for nginx's files), .sh (applies
    /// it), .txt, .stale; may be repeated
    #[arg(short = 'o', long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// Exit with code 4 if a finding has at least this severity
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
}

impl AuditArgs {
    /// Reports whether only stale files of named folders are requested, which needs no nginx.
    pub(crate) fn only_folders(&self) -> bool {
        self.format == AuditFormat::Stale
            && !self.folders.is_empty()
            && self.config.is_none()
            && self.pid.is_none()
    }
}

/// End of the help text.
const NOTES: &str = "Run it as root to see the limits of other users' processes and the output of `nginx -T`.
Exit codes: 0 complete; 4 a finding has at least the severity --fail-on; 2 usage; 3 nothing to audit.";

/// Output format of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// Text
    #[default]
    Text,
    /// Markdown
    Markdown,
    /// JSON
    Json,
    /// The fixes of nginx's files that change no response, for `patch -p1 -d /`
    Patch,
    /// A shell script that applies the patch, and restores the files if nginx refuses the result
    Script,
    /// The counted stale files, for `xargs -0 rm --`; needs only --folder
    Stale,
}

impl AuditFormat {
    /// File extensions and their formats.
    pub const ENDINGS: [(&str, Self); 6] = [
        ("md", Self::Markdown),
        ("json", Self::Json),
        ("patch", Self::Patch),
        ("sh", Self::Script),
        ("txt", Self::Text),
        ("stale", Self::Stale),
    ];
}
