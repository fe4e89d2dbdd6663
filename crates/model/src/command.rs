//! Commands that the dashboard sends to a run.

use std::fmt;

/// A manual change of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds this number of viewers.
    More(u32),
    /// Removes this number of viewers, the newest first.
    Fewer(u32),
    /// Pauses the load: no viewer arrives or leaves. A second pause resumes it.
    Pause,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More(many) => write!(f, "+{many}"),
            Self::Fewer(many) => write!(f, "-{many}"),
            Self::Pause => f.write_str("pause or go on"),
        }
    }
}
