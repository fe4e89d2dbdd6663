//! Viewers' life cycles, counted.

use serde::{Deserialize, Serialize};

/// How viewers' processes ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exits {
    /// Played to the end, or stopped when asked to.
    pub success: u64,
    /// Died with an error, or ended a stream that has no end.
    pub error: u64,
    /// Ended by a signal.
    pub signal: u64,
}

/// Viewers' life cycles, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// Viewers that came. Where viewers come and go, several have the same number after each other.
    #[serde(default)]
    pub arrived: u64,
    /// Viewers that were sent away again before the end: their session or their part of the load was over.
    #[serde(default)]
    pub ramped_down: u64,
    /// Viewers that came and found no room.
    #[serde(default)]
    pub rejected: u64,
    /// Viewers that should have played by now: who played, had the time to begin, or failed.
    #[serde(default)]
    pub expected: u64,
    /// Processes started, first starts included.
    pub starts: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Times that a viewer fell below real time for too long.
    #[serde(default)]
    pub stalled: u64,
    /// Viewers that were given up.
    pub given_up: u64,
    /// Viewers that played at least once.
    pub played: u64,
    /// Processes that had to be killed.
    pub killed: u64,
    /// Ends, by how.
    pub exits: Exits,
}
