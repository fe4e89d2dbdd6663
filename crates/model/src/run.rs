//! The properties of a run that do not change and are part of every output.

use serde::{Deserialize, Serialize};

use hls_swarm_hls::selection::VariantSelection;

/// The identity of a run in outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The stream, without secrets.
    pub url: String,
    /// The variants that are played.
    pub variant: VariantSelection,
    /// Version of this program.
    pub version: String,
    /// Version of FFmpeg; `None` = another player played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<String>,
    /// Command line of the player that played in place of FFmpeg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<String>,
    /// Seed of all random choices; `None` of merged runs, which had one each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Its start, seconds since 1970.
    pub began_unix: u64,
    /// Whether series per viewer are exported.
    #[serde(skip)]
    pub per_viewer_metrics: bool,
}

impl Run {
    /// The description of the player.
    #[must_use]
    pub fn player_name(&self) -> String {
        let ffmpeg = self.ffmpeg.as_ref().map(|version| format!("FFmpeg {version}"));
        ffmpeg.or_else(|| self.player.clone()).unwrap_or_else(|| "native viewers".to_owned())
    }

    /// The variant selection as it was typed.
    #[must_use]
    pub fn variant_name(&self) -> String {
        self.variant.to_string()
    }
}
