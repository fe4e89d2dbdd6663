//! Faults on request: what the origin does wrong on purpose, to which requests, and how often.
//!
//! A fault is written as `KIND[=VALUE][,OPTION=VALUE…]` ([`spec`]); which faults are on is kept in a
//! [`book`]; what is done about a request follows from both and from a number by chance.

pub mod book;
pub mod client;
pub mod control;
pub mod past_playlists;
pub mod pattern;
pub mod spec;
pub mod switch;

use std::fmt;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;

use self::pattern::Pattern;

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
