//! Buffer rules of players: when they begin to play, when they resume after a stall, and how much they buffer.

use std::fmt;
use std::str::FromStr;

const SECOND_NS: u64 = 1_000_000_000;

/// A player whose buffer rules a viewer follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// hls.js 1.6: plays as soon as the first segment is complete, and buffers 30 s.
    #[default]
    HlsJs,
    /// ExoPlayer (Media3): plays with 1 s buffered, resumes with 2 s, and buffers 50 s.
    ExoPlayer,
    /// Shaka Player: plays as soon as there is any media, and buffers 10 s.
    Shaka,
    /// A player that waits for one segment and buffers 30 s; it never adapts.
    Simple,
}

impl Preset {
    /// All presets, the default first.
    pub const ALL: [Self; 4] = [Self::HlsJs, Self::ExoPlayer, Self::Shaka, Self::Simple];

    /// The name on the command line and in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HlsJs => "hlsjs",
            Self::ExoPlayer => "exoplayer",
            Self::Shaka => "shaka",
            Self::Simple => "simple",
        }
    }

    /// The player's buffer rules.
    #[must_use]
    pub const fn rules(self) -> BufferRules {
        match self {
            Self::HlsJs | Self::Simple => BufferRules { start_ns: 0, resume_ns: 0, goal_ns: 30 * SECOND_NS },
            Self::ExoPlayer => {
                BufferRules { start_ns: SECOND_NS, resume_ns: 2 * SECOND_NS, goal_ns: 50 * SECOND_NS }
            }
            Self::Shaka => BufferRules { start_ns: 0, resume_ns: 0, goal_ns: 10 * SECOND_NS },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a text that is not the name of a preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPreset(String);

impl fmt::Display for InvalidPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid preset {:?} (pass hlsjs, exoplayer, shaka, or simple)", self.0)
    }
}

impl std::error::Error for InvalidPreset {}

impl FromStr for Preset {
    type Err = InvalidPreset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| InvalidPreset(text.to_owned()))
    }
}

/// The rules of a player's buffer. Media becomes playable when its segment is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferRules {
    /// Playback begins when this much media is playable; 0 means any.
    pub start_ns: u64,
    /// Playback resumes after a stall when this much media is playable; 0 means any.
    pub resume_ns: u64,
    /// The player stops requesting segments when this much media is playable.
    pub goal_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        let message = "netflix".parse::<Preset>().unwrap_err().to_string();
        assert!(message.contains("\"netflix\"") && message.contains("hlsjs"), "{message}");
    }
}
