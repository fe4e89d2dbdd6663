//! Rates over the last seconds.

use serde::{Deserialize, Serialize};

/// Windows of segment throughput, seconds; names of metrics carry them.
pub const THROUGHPUT_WINDOWS: [usize; 4] = [1, 30, 60, 300];

/// Rates over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Playlist requests per second, over 10 s.
    pub manifest_per_second: f64,
    /// Segment requests per second, over 10 s.
    pub segment_per_second: f64,
    /// Body bytes per second, all kinds, over 10 s.
    pub bytes_per_second: f64,
    /// Segment bytes per second over each of [`THROUGHPUT_WINDOWS`].
    pub segment_bytes_per_second: [f64; 4],
}
