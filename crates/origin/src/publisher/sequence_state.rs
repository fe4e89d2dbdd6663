//! The sequence state: the position of a stream, saved in a directory so that the next start continues the media
//! sequence. Its first segment is marked as a discontinuity.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;
use hls_swarm_os::output::replace_file;

use crate::publisher::publication::Position;

/// The state directory, locked for this process.
#[derive(Debug)]
pub(crate) struct StateDir {
    directory: PathBuf,
    _lock: File,
}

/// The file with the position of one stream.
#[derive(Debug)]
pub(crate) struct SequenceState(PathBuf);

impl StateDir {
    /// Creates the directory if necessary, and locks it.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| {
            Failure::preflight(format!("cannot save the position of the stream in {}", directory.display()))
                .caused_by(error)
                .help("pass --state-dir with a writable directory")
        };
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(unusable)?;
        let lock = File::open(directory).map_err(unusable)?;
        match lock.try_lock() {
            // Network file systems may not support locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { directory: directory.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::preflight(format!("{} is used by another hls-origin", directory.display()))
                    .help("pass another --state-dir, or stop the other origin"))
            }
        }
    }

    /// Loads the position of the stream `name` (empty for the first one), and returns where to save it.
    pub(crate) fn load(&self, name: &str) -> Result<(Position, SequenceState), Failure> {
        let file = self.directory.join(if name.is_empty() {
            "stream.json".into()
        } else {
            format!("{name}.stream.json")
        });
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::preflight(format!("cannot read the position of the stream from {}", file.display()))
                .caused_by(error)
                .help("delete the file to start at 0; viewers see that as a decreasing media sequence")
        };
        let position = match std::fs::read_to_string(&file) {
            Ok(text) => parse(&text).map_err(unreadable)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Position::default(),
            Err(error) => return Err(unreadable(error.into())),
        };
        Ok((position, SequenceState(file)))
    }
}

/// More segments than any stream reaches; FFmpeg and players cannot handle much larger numbers.
const MAX_NUMBER: u64 = 1 << 50;

fn parse(text: &str) -> Result<Position, Box<dyn std::error::Error + Send + Sync>> {
    let position: Position = serde_json::from_str(text)?;
    if position.next > MAX_NUMBER || position.discontinuities > MAX_NUMBER {
        return Err(format!(
            "the segment number {} is too large",
            position.next.max(position.discontinuities)
        )
        .into());
    }
    Ok(position)
}

impl SequenceState {
    /// Saves the position.
    pub(crate) fn save(&self, position: Position) -> io::Result<()> {
        replace_file(&self.0, &serde_json::to_string(&position)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_position_is_rejected() {
        assert_eq!(parse(r#"{"next":5,"discontinuities":1}"#).unwrap().next, 5);
        for text in [
            "",
            "{}",
            r#"{"next":18446744073709551615,"discontinuities":0}"#,
            r#"{"next":-1,"discontinuities":0}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
