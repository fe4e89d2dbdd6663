//! Where the access log is written.

pub mod format;
pub mod writer;

use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;

use crate::profile::{Access, Log};

/// The log's path as it can stand between quotes in nginx.conf; none if nothing is logged. Without a
/// path of its own it lies where systemd wants logs, else among temporary files, named by the port.
pub(crate) fn place(log: &Log, port: u16) -> Result<Option<String>, Failure> {
    if log.access == Access::Off {
        return Ok(None);
    }
    let file = if log.file.is_empty() {
        let ending = if log.gzip_level > 0 { "ndjson.gz" } else { "ndjson" };
        match std::env::var_os("LOGS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => directory.join(format!("access.{ending}")),
            None => std::env::temp_dir().join(format!("hls-origin-{port}-access.{ending}")),
        }
    } else {
        PathBuf::from(&log.file)
    };
    quotable(&file).map(Some)
}

fn quotable(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(Path::to_str);
    let fits = |text: &&str| !text.contains(|letter: char| letter.is_control() || "\"$\\".contains(letter));
    text.filter(fits).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("the access log's path {path:?} cannot be written into nginx.conf")).help(
            "choose a path that is UTF-8 and holds no quotes, dollars, backslashes or control characters",
        )
    })
}
