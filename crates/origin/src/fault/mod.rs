//! Faults on request: what the origin does wrong on purpose, to which requests, and how often.
//!
//! A fault is written as `KIND[=VALUE][,OPTION=VALUE…]` ([`spec`]); which faults are on is kept in a
//! [`book`]; what is done about a request follows from both and from a number by chance.

pub mod active;
pub mod control;
pub mod injector;
pub mod playlist_history;
pub mod spec;

use std::fmt;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;

/// A share in millionths: exact, so that what was typed is what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// All.
    pub const ALL: Self = Self(1_000_000);

    /// As a number from 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// One of the two processes behind a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillTarget {
    /// FFmpeg.
    Encoder,
    /// nginx.
    Server,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answered with this status instead.
    Status(u16),
    /// The request waits for this long, and by chance up to `jitter` longer, before it is served.
    Delay {
        /// At least.
        time: Duration,
        /// More by chance, at most.
        jitter: Duration,
    },
    /// The head of the response comes at once, the first byte of its body so much later.
    SlowFirstByte(Duration),
    /// The connection sends at most so many bits per second.
    Bandwidth(u64),
    /// The playlist that was served last is served for ever.
    StalledPlaylist,
    /// A playlist from before so many segments is served.
    RegressingPlaylist(u32),
    /// Segments are answered with 404; the same segment always is, or never.
    MissingSegments,
    /// The connection is reset (RST) without an answer.
    Drop,
    /// Only this share of the body is sent, then the connection is closed.
    Truncate(Share),
    /// The process is killed.
    Death {
        /// Which one.
        victim: KillTarget,
        /// Again and again, at this distance; once if none.
        every: Option<Duration>,
        /// How long it stays away at least.
        down: Duration,
    },
}

/// A fault: what goes wrong, with which requests, how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// Whose paths; none means the usual ones of its kind.
    pub path: Option<Pattern>,
    /// Share of the requests.
    pub rate: Share,
    /// It ends after so many strikes.
    pub count: Option<u64>,
}

impl fmt::Display for Fault {
    /// The spec that reads as this fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let go = |time: &Duration| GoDuration(*time);
        match &self.kind {
            Kind::Status(code) => write!(f, "status={code}")?,
            Kind::Delay { time, jitter } => {
                write!(f, "delay={}", go(time))?;
                if !jitter.is_zero() {
                    write!(f, ",jitter={}", go(jitter))?;
                }
            }
            Kind::SlowFirstByte(time) => write!(f, "slow-first-byte={}", go(time))?,
            Kind::Bandwidth(bits) => write!(f, "bandwidth={bits}")?,
            Kind::StalledPlaylist => f.write_str("stalled-playlist")?,
            Kind::RegressingPlaylist(segments) => write!(f, "regressing-playlist={segments}")?,
            Kind::MissingSegments => f.write_str("missing-segments")?,
            Kind::Drop => f.write_str("drop")?,
            Kind::Truncate(share) => write!(f, "truncate={share}")?,
            Kind::Death { victim, every, down } => {
                f.write_str(if *victim == KillTarget::Encoder { "encoder-death" } else { "nginx-death" })?;
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

/// A pattern. With a slash in it, it is about whole paths; without, about the file name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; none if it is empty or holds a comma, a blank or a control character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let wrong = |letter: char| letter == ',' || letter.is_whitespace() || letter.is_control();
        (!text.is_empty() && !text.contains(wrong)).then(|| Self(text.to_owned()))
    }

    /// Whether it is about this path (without query).
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        fits(self.0.as_bytes(), if self.0.contains('/') { path } else { name }.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches without recursion: on a mismatch the last star takes one letter more.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut place, mut at, mut star) = (0, 0, None);
    while let Some(letter) = text.get(at) {
        match pattern.get(place) {
            Some(b'*') => {
                star = Some((place, at));
                place += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == letter => {
                place += 1;
                at += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                (place, at) = (back + 1, taken + 1);
            }
        }
    }
    pattern.get(place..).is_some_and(|rest| rest.iter().all(|letter| *letter == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn names_and_whole_paths() {
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
            assert_eq!(pattern(text).fits(path), expected, "{text} {path}");
        }
        assert_eq!(Pattern::new(""), None);
        assert_eq!(Pattern::new("a,b"), None);
    }

    /// The textbook's definition, too slow to be used.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), Some((_, more))) => slowly(rest, text) || slowly(pattern, more),
            (Some((b'*', rest)), None) => slowly(rest, text),
            (Some((b'?', rest)), Some((_, more))) => slowly(rest, more),
            (Some((wanted, rest)), Some((letter, more))) => wanted == letter && slowly(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(text in "[ab*?]{1,8}", path in "[ab]{0,8}") {
            prop_assert_eq!(fits(text.as_bytes(), path.as_bytes()), slowly(text.as_bytes(), path.as_bytes()));
        }
    }
}
