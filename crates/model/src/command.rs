//! What somebody at the dashboard may ask of a run.

use std::fmt;

/// A change of the load by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// So many viewers more.
    More(u32),
    /// So many viewers fewer; the newest leave.
    Fewer(u32),
    /// Let nobody come and the shape of the load stand still; or go on.
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
