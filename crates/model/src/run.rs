//! What does not change during a run and is part of every output.

use hls_swarm_hls::variant::Variant;
use serde::{Deserialize, Serialize};

/// A run, as outputs name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The stream, without secrets.
    pub url: String,
    /// Which variants are played.
    pub variant: Variant,
    /// Version of this program.
    pub version: String,
    /// Version of FFmpeg.
    pub ffmpeg: String,
    /// Seed of all random choices; `None` of merged runs, which had one each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// When it began, seconds since 1970.
    pub began_unix: u64,
    /// Whether series per viewer are exported.
    #[serde(skip)]
    pub per_viewer_metrics: bool,
}

impl Run {
    /// The variant as it is typed.
    #[must_use]
    pub fn variant_name(&self) -> String {
        self.variant.to_string()
    }
}
