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
    /// How it was set up; `None` of merged runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Setup>,
    /// Whether series per viewer are exported.
    #[serde(skip)]
    pub per_viewer_metrics: bool,
}

/// How a run was set up: what a reader needs to repeat it, and to know what its figures are about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// A title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The command line, without secrets.
    pub command_line: String,
    /// The profile, and the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Where the thresholds come from: the command line, a variable, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds_from: Option<String>,
    /// The name of the host.
    pub host: String,
    /// The release of its kernel.
    pub kernel: String,
    /// The number of processors that the program may use.
    pub processors: u64,
    /// Memory of the host, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
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
