//! The position of a stream, kept in a directory that outlives the program: the next start goes on
//! where the last one ended, and its first segment is marked as a discontinuity.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;
use hls_swarm_os::output::replace_file;

use crate::publisher::publication::Position;

/// The directory, held for this program alone.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: PathBuf,
    _lock: File,
}

/// Where the position of one stream is kept.
#[derive(Debug)]
pub(crate) struct Memory(PathBuf);

impl StateDir {
    /// Makes the directory if need be.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| {
            Failure::preflight(format!("cannot keep the stream's position in {}", directory.display()))
                .caused_by(error)
                .help("pass --state-dir with a directory that you may write to")
        };
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(unusable)?;
        let lock = File::open(directory).map_err(unusable)?;
        match lock.try_lock() {
            // Network file systems may not lock.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { directory: directory.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::preflight(format!("{} is used by another hls-origin", directory.display()))
                    .help("pass another --state-dir, or end the other one"))
            }
        }
    }

    /// Where the stream of this name (empty for the first one) stands, and where that is kept.
    pub(crate) fn recall(&self, name: &str) -> Result<(Position, Memory), Failure> {
        let file = self.directory.join(if name.is_empty() {
            "stream.json".into()
        } else {
            format!("{name}.stream.json")
        });
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::preflight(format!("cannot read the stream's position in {}", file.display()))
                .caused_by(error)
                .help("remove the file to begin at 0, which viewers see as going back")
        };
        let position = match std::fs::read_to_string(&file) {
            Ok(text) => read(&text).map_err(unreadable)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Position::default(),
            Err(error) => return Err(unreadable(error.into())),
        };
        Ok((position, Memory(file)))
    }
}

/// More segments than any stream comes to; beyond it FFmpeg and players count wrongly.
const MOST: u64 = 1 << 50;

fn read(text: &str) -> Result<Position, Box<dyn std::error::Error + Send + Sync>> {
    let position: Position = serde_json::from_str(text)?;
    if position.next > MOST || position.discontinuities > MOST {
        return Err(
            format!("no stream comes to segment {}", position.next.max(position.discontinuities)).into()
        );
    }
    Ok(position)
}

impl Memory {
    /// Keeps the position.
    pub(crate) fn keep(&self, position: Position) -> io::Result<()> {
        replace_file(&self.0, &serde_json::to_string(&position)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_no_stream_has_is_refused() {
        assert_eq!(read(r#"{"next":5,"discontinuities":1}"#).unwrap().next, 5);
        for text in [
            "",
            "{}",
            r#"{"next":18446744073709551615,"discontinuities":0}"#,
            r#"{"next":-1,"discontinuities":0}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
