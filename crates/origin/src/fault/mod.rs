//! Fault injection: errors, delays and crashes that the origin produces on request.
//!
//! A fault is written as `KIND[=VALUE][,OPTION=VALUE…]` ([`spec`]). [`active`] decides what the active faults
//! do to a request, [`injector`] adds the randomness and kills processes, and [`control`] is the HTTP API by
//! which `hls-origin fault` adds and removes faults while the origin runs.

pub(crate) mod active;
pub(crate) mod control;
pub(crate) mod injector;
pub(crate) mod playlist_history;
pub(crate) mod spec;

use std::fmt;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;

/// A share in millionths, which is exact, so that it is printed as it was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(pub(crate) u32);

impl Share {
    /// 100 %.
    pub(crate) const ALL: Self = Self(1_000_000);

    /// The share as a number from 0 to 1.
    #[must_use]
    pub(crate) fn ratio(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The process that a fault kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillTarget {
    /// FFmpeg.
    Encoder,
    /// nginx.
    Server,
}

/// The effect of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Answers with this status code.
    Status(u16),
    /// Delays the response by `time`, and by a random time up to `jitter`.
    Delay {
        /// Minimum delay.
        time: Duration,
        /// Maximum of the random additional delay.
        jitter: Duration,
    },
    /// Sends the head of the response immediately, and its body after this time.
    SlowFirstByte(Duration),
    /// Limits the connection to this many bits per second.
    Bandwidth(u64),
    /// Serves the same version of a playlist forever.
    StalledPlaylist,
    /// Serves the playlist as it was this number of segments ago.
    RegressingPlaylist(u32),
    /// Answers with 404 for some segments, and always for the same ones.
    MissingSegments,
    /// Delays the responses to requests for parts of Low-Latency HLS.
    LateParts(Duration),
    /// Answers with 404 for some parts, and always for the same ones.
    MissingParts,
    /// Announces a part that never comes (EXT-X-PRELOAD-HINT).
    DeadHints,
    /// Answers blocking reloads at once.
    UnblockedReloads,
    /// Resets the connection (RST) without a response.
    Drop,
    /// Closes the connection after this share of the body.
    Truncate(Share),
    /// Kills a process.
    Kill {
        /// The process.
        target: KillTarget,
        /// Interval of repeated kills; `None` kills once.
        every: Option<Duration>,
        /// Minimum time until the process is restarted.
        down: Duration,
    },
}

/// A fault: what it does, to which requests, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its effect.
    pub(crate) kind: FaultKind,
    /// The paths it applies to; `None` for the default paths of its kind.
    pub(crate) path: Option<PathPattern>,
    /// The share of these requests that it hits.
    pub(crate) rate: Share,
    /// Maximum number of injections.
    pub(crate) count: Option<u64>,
}

impl fmt::Display for Fault {
    /// Writes the spec that parses as this fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let go = |time: &Duration| GoDuration(*time);
        match &self.kind {
            FaultKind::Status(code) => write!(f, "status={code}")?,
            FaultKind::Delay { time, jitter } => {
                write!(f, "delay={}", go(time))?;
                if !jitter.is_zero() {
                    write!(f, ",jitter={}", go(jitter))?;
                }
            }
            FaultKind::SlowFirstByte(time) => write!(f, "slow-first-byte={}", go(time))?,
            FaultKind::Bandwidth(bits) => write!(f, "bandwidth={bits}")?,
            FaultKind::StalledPlaylist => f.write_str("stalled-playlist")?,
            FaultKind::RegressingPlaylist(segments) => write!(f, "regressing-playlist={segments}")?,
            FaultKind::MissingSegments => f.write_str("missing-segments")?,
            FaultKind::LateParts(time) => write!(f, "late-parts={}", go(time))?,
            FaultKind::MissingParts => f.write_str("missing-parts")?,
            FaultKind::DeadHints => f.write_str("dead-hints")?,
            FaultKind::UnblockedReloads => f.write_str("unblocked-reloads")?,
            FaultKind::Drop => f.write_str("drop")?,
            FaultKind::Truncate(share) => write!(f, "truncate={share}")?,
            FaultKind::Kill { target, every, down } => {
                f.write_str(if *target == KillTarget::Encoder { "encoder-death" } else { "nginx-death" })?;
                if let Some(every) = every {
                    write!(f, ",every={}", go(every))?;
                }
                if !down.is_zero() {
                    write!(f, ",down={}", go(down))?;
                }
            }
        }
        if let Some(path) = &self.path {
            write!(f, ",path={path}")?;
        }
        if self.rate != Share::ALL {
            write!(f, ",rate={}", self.rate)?;
        }
        if let Some(count) = self.count {
            write!(f, ",count={count}")?;
        }
        Ok(())
    }
}

/// A pattern with the wildcards `*` (any characters) and `?` (one character). It matches the whole path if it
/// contains a slash, otherwise only the file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern(String);

impl PathPattern {
    /// Parses a pattern; `None` if it is empty or contains a comma, whitespace or a control character.
    #[must_use]
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_invalid = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        (!text.is_empty() && !text.contains(is_invalid)).then(|| Self(text.to_owned()))
    }

    /// Whether the pattern matches this path (without query).
    #[must_use]
    pub(crate) fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        matches(self.0.as_bytes(), if self.0.contains('/') { path } else { name }.as_bytes())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches without recursion: on a mismatch, the last star takes one more character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_at, mut text_at, mut star) = (0, 0, None);
    while let Some(byte) = text.get(text_at) {
        match pattern.get(pattern_at) {
            Some(b'*') => {
                star = Some((pattern_at, text_at));
                pattern_at += 1;
            }
            Some(expected) if *expected == b'?' || expected == byte => {
                pattern_at += 1;
                text_at += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (pattern_at, text_at) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern.get(pattern_at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::new(text).unwrap()
    }

    #[test]
    fn patterns_match_file_names_or_whole_paths() {
        for (text, path, expected) in [
            ("*.ts", "/a/seg_1.ts", true),
            ("*.ts", "/a/seg_1.ts.tmp", false),
            ("seg_?.ts", "/seg_1.ts", true),
            ("seg_?.ts", "/seg_12.ts", false),
            ("/a/*", "/a/seg_1.ts", true),
            ("/a/*", "/b/seg_1.ts", false),
            ("*/seg_1*", "/a/b/seg_12.ts", true),
            ("*", "/", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxcxxb", false),
        ] {
            assert_eq!(pattern(text).matches(path), expected, "{text} {path}");
        }
        assert_eq!(PathPattern::new(""), None);
        assert_eq!(PathPattern::new("a,b"), None);
    }

    /// The recursive definition, which is too slow for production.
    fn matches_by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), Some((_, more))) => {
                matches_by_definition(rest, text) || matches_by_definition(pattern, more)
            }
            (Some((b'*', rest)), None) => matches_by_definition(rest, text),
            (Some((b'?', rest)), Some((_, more))) => matches_by_definition(rest, more),
            (Some((expected, rest)), Some((byte, more))) => {
                expected == byte && matches_by_definition(rest, more)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(text in "[ab*?]{1,8}", path in "[ab]{0,8}") {
            prop_assert_eq!(matches(text.as_bytes(), path.as_bytes()), matches_by_definition(text.as_bytes(), path.as_bytes()));
        }
    }
}
