//! Stages and streams as they are typed: a short form on the command line, a table in a profile or
//! scenario.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_hls::selection::VariantSelection;

/// What stands before the path of a file of session lengths.
pub const SESSION_FILE: &str = "file:";
/// What stands before the mean of exponentially distributed session lengths.
pub const SESSION_EXPONENTIAL: &str = "exp:";

/// A stage of the load: on a straight line to so many viewers. `[[stage]]` in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StageArg {
    /// How long it takes.
    pub duration: GoDuration,
    /// Viewers at its end.
    pub clients: u32,
    /// What reports call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A stream with its share of the viewers. `[[stream]]` in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamArg {
    /// The playlist.
    pub url: String,
    /// Its share, in proportion to those of the others; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Which variants are played; as `variant` says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantSelection>,
}

/// Why a text is no stage or no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOne(String);

impl fmt::Display for NotOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotOne {}

impl FromStr for StageArg {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: String| NotOne(format!("{why} (stages look like 60s:100, duration and viewers)"));
        let (duration, clients) =
            text.split_once(':').ok_or_else(|| wrong("there is no colon".to_owned()))?;
        Ok(Self {
            duration: duration.parse().map_err(|error| wrong(format!("{error}")))?,
            clients: clients
                .trim()
                .parse()
                .map_err(|_| wrong(format!("{clients:?} is no number of viewers")))?,
            name: None,
        })
    }
}

impl FromStr for StreamArg {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No scheme of a URL is a number.
        let weight =
            text.split_once(':').filter(|(weight, _)| weight.starts_with(|c: char| c.is_ascii_digit()));
        let Some((weight, url)) = weight else {
            return Ok(Self { url: text.to_owned(), weight: None, variant: None });
        };
        let weight = weight.parse().map_err(|_| {
            NotOne(format!(
                "{weight:?} is no weight (streams look like 2:https://host/live.m3u8, weight and URL)"
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
    fn what_is_wrong_is_named() {
        for (text, said) in [("60s", "no colon"), ("60:1", "no unit"), ("60s:-1", "\"-1\"")] {
            let error = text.parse::<StageArg>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!("2x:http://a".parse::<StreamArg>().unwrap_err().to_string().contains("\"2x\""));
    }
}
