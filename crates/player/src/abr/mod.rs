//! Adaptation: which variant the next segment comes from. One file per algorithm, after the source of the player it is
//! named after.

mod bola;
mod ewma;
mod exoplayer;
mod hlsjs;
mod shaka;

use std::time::Duration;

use crate::config::Algorithm;
use crate::interface::Transfer;
use bola::Bola;
use exoplayer::ExoPlayer;
use shaka::Shaka;

pub use hlsjs::Estimator;
pub(crate) use hlsjs::HlsJs;

/// A variant that may be chosen. Levels are in the order of their BANDWIDTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// The place in the multivariant playlist.
    pub(crate) variant: u16,
    /// BANDWIDTH, bits per second.
    pub(crate) bandwidth: u64,
    /// AVERAGE-BANDWIDTH, or else BANDWIDTH.
    pub(crate) average: u64,
    /// After failures, it is not chosen before this time.
    pub(crate) penalty_until: Duration,
    /// Whether its playlist need not be loaded again.
    pub(crate) known: bool,
}

impl Level {
    fn bits(&self) -> f64 {
        self.bandwidth as f64
    }
}

/// What an algorithm decides on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) now: Duration,
    /// Never empty.
    pub(crate) levels: &'a [Level],
    /// The level of the last segment that was loaded or begun, by its place in `levels`.
    pub(crate) current: usize,
    /// Media that is buffered, seconds.
    pub(crate) buffer: f64,
    /// Duration of the last segment that was begun, seconds; 0 before the first one.
    pub(crate) duration: f64,
    /// Whether the playlist is live.
    pub(crate) live: bool,
    /// Media from the playhead to the end of a live playlist, seconds.
    pub(crate) available: Option<f64>,
}

impl View<'_> {
    fn allowed(&self, level: usize) -> bool {
        self.levels.get(level).is_some_and(|level| level.penalty_until <= self.now)
    }

    fn bits(&self, level: usize) -> f64 {
        self.levels.get(level).map_or(0.0, Level::bits)
    }

    fn average_bits(&self, level: usize) -> f64 {
        self.levels.get(level).map_or(0.0, |level| level.average as f64)
    }

    /// The highest allowed level whose BANDWIDTH is at most `bits` per second; else the lowest allowed one.
    fn highest_within(&self, bits: f64) -> usize {
        let allowed = |level: &usize| self.allowed(*level);
        let fits = (0..self.levels.len()).rev().filter(allowed).find(|level| self.bits(*level) <= bits);
        fits.or_else(|| (0..self.levels.len()).find(allowed)).unwrap_or(0)
    }
}

/// How often a segment under way is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A timer never fires before its time.
const LATER: Duration = Duration::from_micros(1);

/// A segment that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    /// Seconds since the request.
    pub(crate) loading: f64,
    /// Seconds from the request to the first byte.
    pub(crate) ttfb: Option<f64>,
    /// Bytes so far.
    pub(crate) bytes: u64,
    /// Bytes of the whole segment, if they are known.
    pub(crate) length: Option<u64>,
}

/// What becomes of a segment that is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// The level to go to.
    pub(crate) level: usize,
    /// Whether its request ends now, and not when one of the other level takes its place.
    pub(crate) immediate: bool,
}

/// The state of an algorithm.
#[derive(Clone, Debug)]
pub(crate) enum Abr {
    /// The variant is fixed.
    Fixed,
    HlsJs(Box<HlsJs>),
    ExoPlayer(Box<ExoPlayer>),
    Shaka(Box<Shaka>),
    Bola(Box<Bola>),
}

impl Abr {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HlsJs => Self::HlsJs(Box::default()),
            Algorithm::ExoPlayer => Self::ExoPlayer(Box::default()),
            Algorithm::Shaka => Self::Shaka(Box::default()),
            Algorithm::Bola => Self::Bola(Box::default()),
        }
    }

    /// The level to begin with. `listed_first` is the one that the multivariant playlist lists first.
    pub(crate) fn first(&mut self, view: &View<'_>, listed_first: usize) -> usize {
        match self {
            Self::Fixed => 0,
            Self::HlsJs(state) => state.first(view, listed_first),
            Self::ExoPlayer(state) => state.ideal(view),
            Self::Shaka(state) => state.ideal(view),
            Self::Bola(state) => state.first(view),
        }
    }

    /// The level for the next segment.
    pub(crate) fn next(&mut self, view: &View<'_>) -> usize {
        match self {
            Self::Fixed => view.current,
            Self::HlsJs(state) => state.next(view),
            Self::ExoPlayer(state) => state.next(view),
            Self::Shaka(state) => state.next(view),
            Self::Bola(state) => state.next(view),
        }
    }

    /// Takes the transfer of a segment of the main rendition.
    pub(crate) fn segment_done(&mut self, transfer: &Transfer, view: &View<'_>) {
        match self {
            Self::Fixed => {}
            Self::HlsJs(state) => state.segment_done(transfer, view),
            Self::ExoPlayer(state) => state.sample(transfer),
            Self::Shaka(state) => state.sample(transfer),
            Self::Bola(state) => state.segment_done(transfer, view),
        }
    }

    /// Notes that a segment of the main rendition was requested.
    pub(crate) fn segment_begun(&mut self) {
        if let Self::HlsJs(state) = self {
            state.segment_begun();
        }
    }

    /// Notes that this level is chosen for another reason.
    pub(crate) fn force(&mut self, level: usize) {
        if let Self::HlsJs(state) = self {
            state.force(level);
        }
    }

    /// Notes that there are other levels to choose from, of which this one is the present one.
    pub(crate) fn levels_changed(&mut self, level: usize) {
        if let Self::HlsJs(state) = self {
            state.levels_changed(level);
        }
    }

    /// Whether the level is chosen anew, and not only after a segment has arrived, while nothing is under way: when a
    /// playlist has arrived, and as the buffer shrinks.
    pub(crate) const fn chooses_again(&self) -> bool {
        matches!(self, Self::HlsJs(_))
    }

    /// The buffer below which another level may be chosen although nothing has arrived, seconds.
    pub(crate) fn chooses_again_below(&self, view: &View<'_>) -> Option<f64> {
        self.chooses_again().then(|| hlsjs::by_average_from(view))
    }

    /// Takes the transfer of a media playlist.
    pub(crate) fn playlist_done(&mut self, transfer: &Transfer) {
        if let Self::HlsJs(state) = self {
            state.playlist_done(transfer);
        }
    }

    /// When to look at a segment of level `view.current` that was requested at `started`, to give it up for a lower
    /// level; `None`: never.
    pub(crate) fn look_at(&self, view: &View<'_>, started: Duration) -> Option<Duration> {
        let from = match self {
            Self::HlsJs(state) => state.look_from(view)?,
            Self::Bola(_) if view.current > 0 => bola::GRACE,
            _ => return None,
        };
        // As hls.js does, every 100 ms since the request.
        let ticks = |seconds: f64| (seconds * 10.0).clamp(0.0, 1e6);
        let passed = ticks(view.now.saturating_sub(started).as_secs_f64()).floor() + 1.0;
        let next = passed.max(ticks(from).ceil()) as u32;
        Some(started + TICK * next + LATER)
    }

    /// The level to give the segment up for that is under way from level `view.current`.
    pub(crate) fn abandon(&mut self, view: &View<'_>, segment: &UnderWay) -> Option<GivenUp> {
        match self {
            Self::HlsJs(state) => state.abandon(view, segment),
            Self::Bola(state) => state.abandon(view, segment).map(|level| GivenUp { level, immediate: true }),
            _ => None,
        }
    }

    /// Like [`Abr::abandon`], when a playlist has arrived in the meantime.
    pub(crate) fn abandon_with_playlist(&mut self, view: &View<'_>, segment: &UnderWay) -> Option<GivenUp> {
        if let Self::HlsJs(state) = self { state.look(view, segment) } else { None }
    }

    /// Notes that the playhead has stalled.
    pub(crate) fn stalled(&mut self) {
        if let Self::Bola(state) = self {
            state.buffer_empty();
        }
    }

    /// What the algorithm decides on, although nothing may have been measured yet; bits per second.
    pub(crate) fn estimate(&self) -> Option<f64> {
        if let Self::HlsJs(state) = self { Some(state.estimate()) } else { self.throughput() }
    }

    /// The estimate of the throughput, bits per second, once there is one.
    pub(crate) fn throughput(&self) -> Option<f64> {
        match self {
            Self::Fixed => None,
            Self::HlsJs(state) => state.measured(),
            Self::ExoPlayer(state) => state.measured(),
            Self::Shaka(state) => state.measured(),
            Self::Bola(state) => state.measured(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn levels(bandwidths: &[u64]) -> Vec<Level> {
        let level = |(variant, bandwidth): (usize, &u64)| Level {
            variant: variant as u16,
            bandwidth: *bandwidth,
            average: *bandwidth,
            penalty_until: Duration::ZERO,
            known: false,
        };
        bandwidths.iter().enumerate().map(level).collect()
    }

    pub(crate) fn view(levels: &[Level], current: usize, buffer: f64) -> View<'_> {
        View {
            now: Duration::from_secs(100),
            levels,
            current,
            buffer,
            duration: 4.0,
            live: false,
            available: None,
        }
    }

    /// A transfer of `bytes` whose body took `milliseconds`, after 10 ms.
    pub(crate) fn transfer(at_ms: u64, bytes: u64, milliseconds: u64) -> Transfer {
        let started = Duration::from_millis(at_ms);
        let first_byte = started + Duration::from_millis(10);
        Transfer { bytes, started, first_byte, finished: first_byte + Duration::from_millis(milliseconds) }
    }

    #[test]
    fn every_algorithm_goes_to_the_top_on_a_fast_line_and_to_the_bottom_on_a_slow_one() {
        let levels = levels(&[400_000, 1_200_000, 3_000_000]);
        for algorithm in Algorithm::ALL {
            let mut abr = Abr::new(algorithm);
            let mut current = abr.first(&view(&levels, 0, 0.0), 0);
            let mut play = |rate: u64, buffer: f64, from: u64| {
                for turn in from..from + 30 {
                    let bytes = levels[current].bandwidth * 4 / 8;
                    let view = View { now: Duration::from_secs(turn * 10), ..view(&levels, current, buffer) };
                    abr.segment_done(&transfer(turn * 10_000 - 5000, bytes, bytes * 8 * 1000 / rate), &view);
                    current = abr.next(&view);
                }
                current
            };
            assert_eq!(play(20_000_000, 25.0, 1), 2, "{algorithm}");
            assert_eq!(play(450_000, 1.0, 31), 0, "{algorithm}");
            assert!(abr.throughput().is_some_and(|bits| bits < 500_000.0), "{algorithm}");
        }
    }
}
