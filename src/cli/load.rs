//! Stages and streams: a short form on the command line, a table in a profile or scenario.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_hls::selection::VariantSelection;

/// Prefix of the path of a file of session lengths.
pub const SESSION_FILE: &str = "file:";
/// Prefix of the mean of exponentially distributed session lengths.
pub const SESSION_EXPONENTIAL: &str = "exp:";

/// A stage of the load, a linear ramp to a number of viewers. `[[stage]]` in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageArg {
    /// Length of the stage.
    pub duration: GoDuration,
    /// Viewers at its end.
    pub clients: u32,
    /// Name in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A stream with its share of the viewers. `[[stream]]` in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamArg {
    /// The playlist.
    pub url: String,
    /// Its share of the viewers, relative to other streams; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Which variants are played; those of `variant` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub variant: Option<VariantSelection>,
}

/// The text is not a stage or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidShortForm(String);

impl fmt::Display for InvalidShortForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidShortForm {}

impl FromStr for StageArg {
    type Err = InvalidShortForm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            |why: String| InvalidShortForm(format!("{why} (stages look like 60s:100, duration and viewers)"));
        let (duration, clients) = text.split_once(':').ok_or_else(|| wrong("it has no colon".to_owned()))?;
        Ok(Self {
            duration: duration.parse().map_err(|error| wrong(format!("{error}")))?,
            clients: clients
                .trim()
                .parse()
                .map_err(|_| wrong(format!("{clients:?} is not a number of viewers")))?,
            name: None,
        })
    }
}

impl FromStr for StreamArg {
    type Err = InvalidShortForm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No URL scheme is a number.
        let weight =
            text.split_once(':').filter(|(weight, _)| weight.starts_with(|c: char| c.is_ascii_digit()));
        let Some((weight, url)) = weight else {
            return Ok(Self { url: text.to_owned(), weight: None, variant: None });
        };
        let weight = weight.parse().map_err(|_| {
            InvalidShortForm(format!(
                "{weight:?} is not a weight (streams look like 2:https://host/live.m3u8, weight and URL)"
            ))
        })?;
        Ok(Self { url: url.to_owned(), weight: Some(weight), variant: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read() {
        let stage: StageArg = "1m30s:100".parse().unwrap();
        assert_eq!((stage.duration.0.as_secs(), stage.clients), (90, 100));
        let stream: StreamArg = "3:https://a:8443/x.m3u8?t=1".parse().unwrap();
        assert_eq!((stream.url.as_str(), stream.weight), ("https://a:8443/x.m3u8?t=1", Some(3)));
        let plain: StreamArg = "https://a/x.m3u8".parse().unwrap();
        assert_eq!((plain.url.as_str(), plain.weight), ("https://a/x.m3u8", None));
    }

    #[test]
    fn an_invalid_short_form_is_named() {
        for (text, said) in [("60s", "no colon"), ("60:1", "no unit"), ("60s:-1", "\"-1\"")] {
            let error = text.parse::<StageArg>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!("2x:http://a".parse::<StreamArg>().unwrap_err().to_string().contains("\"2x\""));
    }
}
