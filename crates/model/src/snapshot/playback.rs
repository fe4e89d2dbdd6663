//! How playback goes at this moment.

use serde::{Deserialize, Serialize};

/// Playback at this moment, over the viewers that play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Playback {
    /// Viewers at or above real time.
    pub above_realtime: u64,
    /// Viewers below 0.9 x real time.
    pub below_realtime: u64,
    /// Viewers that are stalled now.
    pub stalled_now: u64,
    /// Mean speed; absent while nobody's window is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_speed: Option<f64>,
    /// Viewers more than 5 s behind.
    pub high_drift: u64,
    /// Mean drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_drift_seconds: Option<f64>,
    /// Largest drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drift_seconds: Option<f64>,
}
