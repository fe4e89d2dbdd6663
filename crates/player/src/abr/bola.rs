//! Adaptation as in dash.js's `BolaRule` (BOLA-O) with its throughput rule at the start, and its rule to give segments
//! up, with the default configuration. BOLA: Spiteri, Urgaonkar, Sitaraman, 2016.

use std::time::Duration;

use super::ewma::Ewma;
use super::{UnderWay, View};
use crate::interface::Transfer;

/// The buffer from which on BOLA would rather wait than load a segment of the lowest level, and what each level adds to
/// the goal; seconds.
const MIN_BUFFER: f64 = 10.0;
const BUFFER_PER_LEVEL: f64 = 2.0;
/// dash.js's goal of the buffer, seconds.
const BUFFER: f64 = 18.0;
/// The placeholder shrinks by this factor with each segment.
const DECAY: f64 = 0.99;
/// Half-lives of the throughput's averages, and the part of the estimate that a level may need.
const FAST: f64 = 3.0;
const SLOW: f64 = 8.0;
const SAFETY: f64 = 0.9;
const DEFAULT_BITS: f64 = 1_000_000.0;
/// Seconds after which a segment's progress is checked, and the multiple of its duration above which it is abandoned.
pub(crate) const GRACE: f64 = 0.5;
const ABANDON: f64 = 1.8;

/// The state of adaptation.
#[derive(Clone, Debug)]
pub(crate) struct Bola {
    fast: Ewma,
    slow: Ewma,
    steady: bool,
    /// Media that would be in the buffer if the player had not waited for reasons other than the network, seconds.
    placeholder: f64,
    /// When the last segment was complete, as long as no level was chosen after it.
    finished: Option<Duration>,
    /// When a level was chosen the last time.
    chosen: Option<Duration>,
}

impl Default for Bola {
    fn default() -> Self {
        Self {
            fast: Ewma::new(FAST),
            slow: Ewma::new(SLOW),
            steady: false,
            placeholder: 0.0,
            finished: None,
            chosen: None,
        }
    }
}

/// The parameters of BOLA for a set of levels: V (scaled) and gamma p.
struct Parameters {
    v: f64,
    gp: f64,
}

impl Parameters {
    /// `None` if there is only one bitrate.
    fn of(view: &View<'_>) -> Option<Self> {
        let top = utility(view, view.levels.len().saturating_sub(1));
        let buffer = BUFFER.max(MIN_BUFFER + BUFFER_PER_LEVEL * view.levels.len() as f64);
        let gp = (top - 1.0) / (buffer / MIN_BUFFER - 1.0);
        (gp > 0.0 && gp.is_finite()).then(|| Self { v: MIN_BUFFER / gp, gp })
    }

    /// The level of the best score for a buffer of this many seconds.
    fn level(&self, view: &View<'_>, buffer: f64) -> usize {
        let score = |level: usize| {
            (self.v * (utility(view, level) - 1.0 + self.gp) - buffer) / view.bits(level).max(1.0)
        };
        let allowed = (0..view.levels.len()).filter(|level| view.allowed(*level));
        allowed
            .reduce(|best, level| if score(level) >= score(best) { level } else { best })
            .unwrap_or(view.current)
    }

    /// The buffer from which this level is preferred to the one below it.
    fn least_buffer(&self, view: &View<'_>, level: usize) -> f64 {
        let Some(below) = level.checked_sub(1) else { return 0.0 };
        let (high, low) = (view.bits(level), view.bits(below));
        if high <= low {
            return 0.0;
        }
        let utilities = (high * utility(view, below) - low * utility(view, level)) / (high - low);
        (self.v * (utilities - 1.0 + self.gp)).max(0.0)
    }

    /// The buffer up to which a segment of this level is better than to wait.
    fn most_buffer(&self, view: &View<'_>, level: usize) -> f64 {
        self.v * (utility(view, level) - 1.0 + self.gp)
    }
}

/// The utility of a level: 1 for the lowest one.
fn utility(view: &View<'_>, level: usize) -> f64 {
    (view.bits(level).max(1.0) / view.bits(0).max(1.0)).ln() + 1.0
}

impl Bola {
    fn bits(&self) -> f64 {
        self.measured().unwrap_or(DEFAULT_BITS)
    }

    pub(crate) fn first(&self, view: &View<'_>) -> usize {
        view.highest_within(self.bits() * SAFETY)
    }

    pub(crate) fn segment_done(&mut self, transfer: &Transfer, view: &View<'_>) {
        let body = transfer.finished.saturating_sub(transfer.first_byte).as_secs_f64().max(0.001);
        let bits = transfer.bytes as f64 * 8.0 / body;
        self.fast.sample(body, bits);
        self.slow.sample(body, bits);
        self.finished = Some(transfer.finished);
        let Some(parameters) = Parameters::of(view) else { return };
        let download = transfer.finished.saturating_sub(transfer.started).as_secs_f64();
        let room = parameters.most_buffer(view, view.current) - (view.buffer + download);
        self.placeholder = (self.placeholder * DECAY).min(room.max(0.0));
    }

    pub(crate) fn next(&mut self, view: &View<'_>) -> usize {
        let Some(parameters) = Parameters::of(view) else { return view.current };
        let by_throughput = view.highest_within(self.bits() * SAFETY);
        if !self.steady {
            self.placeholder = (parameters.least_buffer(view, by_throughput) - view.buffer).max(0.0);
            if self.finished.is_some() && view.buffer >= view.duration {
                self.steady = true;
            }
            self.take_turn(view.now);
            return by_throughput;
        }
        // Time that passed for other reasons than the network's would lower the buffer, and with it the level.
        let since = self.finished.or(self.chosen).unwrap_or(view.now);
        self.placeholder += view.now.saturating_sub(since).as_secs_f64();
        self.take_turn(view.now);
        let mut level = parameters.level(view, view.buffer + self.placeholder);
        if level > view.current && level > by_throughput {
            // Up, but not higher than the throughput allows: otherwise it would go down again soon.
            level = by_throughput.max(view.current);
        }
        let most = parameters.most_buffer(view, level) - view.buffer;
        self.placeholder = self.placeholder.min(most.max(0.0));
        level
    }

    fn take_turn(&mut self, now: Duration) {
        self.finished = None;
        self.chosen = Some(now);
    }

    pub(crate) fn buffer_empty(&mut self) {
        self.placeholder = 0.0;
    }

    pub(crate) fn abandon(&mut self, view: &View<'_>, segment: &UnderWay) -> Option<usize> {
        if segment.loading < GRACE || segment.bytes == 0 || view.current == 0 || view.buffer >= BUFFER {
            return None;
        }
        let body = segment.loading - segment.ttfb?;
        let bits = segment.bytes as f64 * 8.0 / body.max(0.001);
        let expected = view.duration * view.bits(view.current);
        if expected / bits <= view.duration * ABANDON {
            return None;
        }
        let level = view.highest_within(bits * SAFETY);
        let rest = expected - segment.bytes as f64 * 8.0;
        // Only if less is left to load with it.
        (level < view.current && rest > view.duration * view.bits(level)).then_some(level)
    }

    pub(crate) fn measured(&self) -> Option<f64> {
        (self.fast.weight() > 0.0).then(|| self.fast.estimate().min(self.slow.estimate()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{levels, transfer, view};
    use super::*;

    #[test]
    fn the_level_follows_the_buffer() {
        let levels = levels(&[1_000_000, 2_000_000, 4_000_000]);
        let view = view(&levels, 0, 0.0);
        let parameters = Parameters::of(&view).unwrap();
        let level = |buffer| parameters.level(&view, buffer);
        assert_eq!((level(0.0), level(5.9), level(6.1), level(18.0)), (0, 0, 1, 2));
        // It never goes down as the buffer grows, and takes each level.
        let chosen: Vec<_> = (0..40).map(|half| level(f64::from(half) / 2.0)).collect();
        assert!(chosen.is_sorted() && chosen.contains(&1), "{chosen:?}");
        // The bound that the placeholder uses is where the choice changes.
        let bound = parameters.least_buffer(&view, 2);
        assert_eq!((level(bound - 0.01), level(bound + 0.01)), (1, 2));
    }

    #[test]
    fn it_does_not_go_up_beyond_the_throughput() {
        let levels = levels(&[1_000_000, 2_000_000, 4_000_000]);
        let mut abr = Bola { steady: true, ..Bola::default() };
        abr.segment_done(&transfer(0, 300_000, 1000), &view(&levels, 0, 18.0));
        let at = View { now: Duration::from_millis(1010), ..view(&levels, 0, 18.0) };
        assert_eq!(abr.next(&at), 1);
    }

    #[test]
    fn equal_bandwidths_are_one_level() {
        let levels = levels(&[1_000_000, 1_000_000]);
        assert_eq!(Bola::default().next(&view(&levels, 1, 30.0)), 1);
    }

    #[test]
    fn a_segment_that_takes_almost_twice_its_duration_is_given_up() {
        let levels = levels(&[500_000, 4_000_000]);
        let mut abr = Bola::default();
        let segment = |bytes| UnderWay { loading: 1.01, ttfb: Some(0.01), bytes, length: None };
        assert_eq!(abr.abandon(&view(&levels, 1, 5.0), &segment(300_000)), None);
        assert_eq!(abr.abandon(&view(&levels, 1, 5.0), &segment(80_000)), Some(0));
        assert_eq!(abr.abandon(&view(&levels, 1, 20.0), &segment(80_000)), None, "there is time");
    }
}
