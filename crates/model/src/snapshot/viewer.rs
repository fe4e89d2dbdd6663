//! One viewer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::per_kind::PerKind;

/// What a viewer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewerState {
    /// Its process is up, nothing played yet.
    #[default]
    Starting,
    /// It plays.
    Playing,
    /// It is below real time for too long.
    Stalled,
    /// Its process is up, but no media has arrived for a while (players that do not report progress).
    Silent,
    /// Its process has ended; it will be started again.
    Waiting,
    /// It has ended for good.
    Ended,
}

/// One viewer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewerRow {
    /// Number, from 1.
    pub viewer: u32,
    /// What it is doing.
    pub state: ViewerState,
    /// How often it was started.
    pub starts: u32,
    /// Media played by all its processes, seconds.
    #[serde(default)]
    pub media_seconds: f64,
    /// Current speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Current drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_seconds: Option<f64>,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Responses, by status code.
    pub http_status: BTreeMap<u16, u64>,
    /// Bytes that the kernel received for it.
    pub received: u64,
    /// Bytes of response heads.
    pub head_bytes: u64,
    /// Why its process died last, in FFmpeg's words; absent while none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
