//! A profile of the origin as it stands in a TOML file, and the profiles that come with the program.
//!
//! Whether the values make sense together is decided in [`super::stream`].

use serde::Deserialize;

use crate::pure::nearest::nearest;
use crate::pure::profile_text;
use crate::words::cli::origin::EncoderMode;
use crate::words::failure::Failure;

/// The profiles that come with the program: name and text.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("default", include_str!("../../../profiles/origin/default.toml")),
    ("low-latency", include_str!("../../../profiles/origin/low-latency.toml")),
];

/// A profile as written; every key is required, so that the file says all there is to know.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Segments in the playlist.
    pub list_size: u32,
    /// Segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// The picture.
    pub video: Video,
    /// The sound.
    pub audio: Audio,
    /// How the stream comes into being.
    pub encoder: Encoder,
}

/// The picture.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// `WIDTHxHEIGHT` in pixels.
    pub size: String,
    /// Frames per second.
    pub fps: u32,
    /// Average rate in 1000 bit/s.
    pub bitrate_kbps: u32,
    /// Ceiling of the rate control in 1000 bit/s.
    pub max_bitrate_kbps: u32,
    /// Preset of x264.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// Tune of x264, or `none`.
    pub tune: String,
}

/// The sound: AAC-LC, 48 kHz, stereo.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Rate in 1000 bit/s.
    pub bitrate_kbps: u32,
}

/// How the stream comes into being.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Encode once and replay, or encode in real time.
    pub mode: Mode,
}

/// How the stream comes into being.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A loop is encoded once, cached, and replayed without encoding.
    Loop,
    /// The stream is encoded in real time.
    Live,
}

impl From<EncoderMode> for Mode {
    fn from(typed: EncoderMode) -> Self {
        match typed {
            EncoderMode::Loop => Self::Loop,
            EncoderMode::Live => Self::Live,
        }
    }
}

/// The text of a built-in profile.
///
/// # Errors
/// There is no such profile; the failure lists those there are.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| {
        let names = BUILT_IN.map(|(known, _)| known);
        let cure = match nearest(name, names) {
            Some(near) => format!("did you mean {near}? Profiles: {}", names.join(", ")),
            None => format!("profiles: {}; or give the path of a TOML file", names.join(", ")),
        };
        Failure::usage(format!("there is no origin profile \"{name}\"")).cure(cure)
    })
}

/// Reads a profile from its text; `name` is for the error messages.
///
/// # Errors
/// The text is no TOML, a key is missing or unknown, or a value is of the wrong kind.
pub fn parse(name: &str, text: &str) -> Result<Profile, Failure> {
    profile_text::read(
        &format!("origin profile {name}"),
        text,
        "compare with profiles/origin/default.toml, which holds every key",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_read() {
        for (name, text) in BUILT_IN {
            parse(name, text).unwrap();
        }
    }

    #[test]
    fn an_unknown_profile_is_named_with_those_there_are() {
        let failure = built_in("defautl").unwrap_err();
        assert_eq!(failure.chain(), "there is no origin profile \"defautl\"");
        assert_eq!(failure.cure_text(), Some("did you mean default? Profiles: default, low-latency"));
    }

    #[test]
    fn an_unknown_key_is_named_with_line_and_nearest_key() {
        let text = BUILT_IN[0].1.replace("list_size", "list_sise");
        let failure = parse("mine.toml", &text).unwrap_err();
        assert!(
            failure.chain().starts_with("origin profile mine.toml, line 5: unknown field `list_sise`"),
            "{}",
            failure.chain()
        );
        assert_eq!(failure.cure_text(), Some("did you mean `list_size`?"));
    }
}
