//! What a viewer is to play, and how.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hls_swarm_hls::selection::VariantSelection;
use url::Url;

use crate::cmcd::CmcdVersion;
use crate::preset::Preset;

/// What a viewer is to play, and how. Viewers of one run share it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The URL that the viewer opens.
    pub url: Url,
    /// The player whose rules it follows: start, buffer, reload, retries.
    pub preset: Preset,
    /// How it chooses among variants.
    pub variants: Variants,
    /// Whether it loads the subtitles of the variant's group that are default.
    pub subtitles: bool,
    /// What players report to a CDN ([`crate::cmcd`]) in this version comes with requests.
    pub cmcd: Option<CmcdVersion>,
    /// The time that the viewer's decoder needs for the first frame. A viewer decodes nothing, so it is 0 unless the viewer is
    /// compared with a player that does.
    pub decoding: Duration,
}

impl Config {
    /// A viewer of `url` that behaves as `preset` does in everything.
    #[must_use]
    pub fn new(url: Url, preset: Preset) -> Self {
        Self {
            url,
            preset,
            variants: Variants::Adaptive(preset.abr()),
            subtitles: false,
            cmcd: None,
            decoding: Duration::ZERO,
        }
    }
}

/// How a viewer chooses among the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variants {
    /// It adapts to the throughput.
    Adaptive(Algorithm),
    /// It plays the variant of this selection from beginning to end. `all` downloads every variant and every
    /// separate audio rendition at once, and then there is no playback; `each` takes the variant of the seed.
    Fixed(VariantSelection),
}

/// An algorithm of adaptation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// hls.js: two exponentially weighted averages of the throughput.
    HlsJs,
    /// ExoPlayer (Media3): a sliding median of the throughput, and bounds on the buffer.
    ExoPlayer,
    /// Shaka Player: two averages, and at least 8 s between switches.
    Shaka,
    /// BOLA as in dash.js: the buffer decides.
    Bola,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::HlsJs, Self::ExoPlayer, Self::Shaka, Self::Bola];

    /// The name on the command line and in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HlsJs => "hlsjs",
            Self::ExoPlayer => "exoplayer",
            Self::Shaka => "shaka",
            Self::Bola => "bola",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a text that is not the name of an algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAlgorithm(String);

impl fmt::Display for InvalidAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid algorithm {:?} (pass hlsjs, exoplayer, shaka, or bola)", self.0)
    }
}

impl std::error::Error for InvalidAlgorithm {}

impl FromStr for Algorithm {
    type Err = InvalidAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        found.ok_or_else(|| InvalidAlgorithm(text.to_owned()))
    }
}

impl Preset {
    /// The algorithm of adaptation of the player. A simple player would not adapt; it gets hls.js's where
    /// nothing else is chosen, because the most widely used player is the best guess.
    #[must_use]
    pub const fn abr(self) -> Algorithm {
        match self {
            Self::HlsJs | Self::Simple => Algorithm::HlsJs,
            Self::ExoPlayer => Algorithm::ExoPlayer,
            Self::Shaka => Algorithm::Shaka,
        }
    }
}
