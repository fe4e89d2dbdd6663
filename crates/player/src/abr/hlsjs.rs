//! Adaptation as in hls.js 1.6 (abr-controller, ewma-bandwidth-estimator), with its default configuration.

use super::ewma::Ewma;
use super::{GivenUp, UnderWay, View};
use crate::interface::Transfer;

/// Half-lives of the averages, seconds of download time.
const FAST: f64 = 3.0;
const SLOW: f64 = 9.0;
/// The estimate before the first segment, bits per second, and its maximum where it follows BANDWIDTH.
const DEFAULT_BITS: f64 = 500_000.0;
const MAX_DEFAULT_BITS: f64 = 5_000_000.0;
const DEFAULT_TTFB_MS: f64 = 100.0;
/// The shortest time that a body is taken to have taken, milliseconds.
const MIN_MS: f64 = 50.0;
/// The part of the estimate that a level may need: one that is lower or the same, and one that is higher.
const DOWN: f64 = 0.95;
const UP: f64 = 0.7;
/// The longest time to wait for a segment where rebuffering cannot be avoided, seconds.
const STARVATION: f64 = 4.0;

/// The estimator of hls.js: the smaller one of two averages of the throughput, from which the average time to the first
/// byte is taken off.
#[derive(Clone, Copy, Debug)]
pub struct Estimator {
    fast: Ewma,
    slow: Ewma,
    ttfb: Ewma,
    default_bits: f64,
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new(DEFAULT_BITS)
    }
}

impl Estimator {
    /// An estimator without samples, which estimates `default_bits` per second.
    #[must_use]
    pub fn new(default_bits: f64) -> Self {
        Self { fast: Ewma::new(FAST), slow: Ewma::new(SLOW), ttfb: Ewma::new(SLOW), default_bits }
    }

    /// Takes a segment that was loaded: milliseconds from the request to the first and to the last byte, and bytes.
    pub fn loaded(&mut self, ttfb_ms: f64, loading_ms: f64, bytes: u64) {
        self.sample_ttfb(ttfb_ms);
        self.sample(loading_ms - ttfb_ms.min(self.ttfb_ms()), bytes);
    }

    /// Takes a time to the first byte, milliseconds. The longer it was, the less it weighs.
    pub fn sample_ttfb(&mut self, ms: f64) {
        let seconds = ms / 1000.0;
        let weight = std::f64::consts::SQRT_2 * (-(seconds * seconds) / 2.0).exp();
        self.ttfb.sample(weight, ms.max(5.0));
    }

    /// Takes a body: milliseconds and bytes. Less than 50 ms count as 50 ms.
    pub fn sample(&mut self, ms: f64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let bytes = bytes as f64;
        let seconds = ms.max(MIN_MS) / 1000.0;
        let bits = bytes * 8.0 / seconds;
        self.fast.sample(seconds, bits);
        self.slow.sample(seconds, bits);
    }

    /// Whether there are samples.
    #[must_use]
    pub fn can_estimate(&self) -> bool {
        self.fast.weight() >= 0.001
    }

    /// The throughput, bits per second.
    #[must_use]
    pub fn bits(&self) -> f64 {
        if self.can_estimate() { self.fast.estimate().min(self.slow.estimate()) } else { self.default_bits }
    }

    /// The time to the first byte, milliseconds.
    #[must_use]
    pub fn ttfb_ms(&self) -> f64 {
        if self.ttfb.weight() >= 0.001 { self.ttfb.estimate() } else { DEFAULT_TTFB_MS }
    }
}

/// The state of adaptation.
#[derive(Clone, Debug, Default)]
pub(crate) struct HlsJs {
    estimator: Estimator,
    /// Seconds that the last playlist took from its first byte on.
    playlist: f64,
    /// The level for which a segment was abandoned, or that was taken after a failure; it is kept until one of its
    /// segments has arrived.
    forced: Option<u16>,
    /// The level of the last segment that arrived.
    loaded: Option<u16>,
    /// The segment under way, if it was given up and waits for the playlist of another level.
    given_up: Option<SlowSegment>,
}

/// A segment that was given up, and is under way nevertheless.
#[derive(Clone, Copy, Debug)]
struct SlowSegment {
    /// The level to go to.
    level: u16,
    /// When its request ends if nothing has taken its place by then, seconds after it began; `None`: it does not.
    ends: Option<f32>,
}

/// The buffer from which on AVERAGE-BANDWIDTH decides instead of BANDWIDTH, seconds.
pub(crate) fn by_average_from(view: &View<'_>) -> f64 {
    view.duration * 2.0
}

/// The limits within which a level is looked for.
struct Search {
    bits: f64,
    most: usize,
    /// Seconds that a segment may take.
    fetch: f64,
    /// Media that is buffered, seconds, and whether more time than that may pass.
    buffer: f64,
    may_starve: bool,
    down: f64,
    up: f64,
}

impl HlsJs {
    pub(crate) fn first(&mut self, view: &View<'_>, listed_first: usize) -> usize {
        // The author of the playlist put it first; it counts as a hint about what viewers can have.
        let hint = view.bits(listed_first).min(MAX_DEFAULT_BITS);
        if hint > DEFAULT_BITS {
            self.estimator.default_bits = hint;
        }
        let search = Search {
            bits: self.estimator.bits(),
            most: view.levels.len().saturating_sub(1),
            fetch: STARVATION,
            buffer: 0.0,
            may_starve: true,
            down: 1.0,
            up: 1.0,
        };
        self.best(view, &search).unwrap_or(listed_first)
    }

    pub(crate) fn next(&mut self, view: &View<'_>) -> usize {
        if let Some(forced) = self.forced {
            return forced.into();
        }
        if !self.estimator.can_estimate() {
            return view.current;
        }
        let mut search = Search {
            bits: self.estimator.bits(),
            most: view.levels.len().saturating_sub(1),
            fetch: view.buffer,
            buffer: view.buffer,
            may_starve: false,
            down: DOWN,
            up: UP,
        };
        let without_rebuffering = (view.buffer > 0.0).then(|| self.best(view, &search)).flatten();
        search.may_starve = true;
        search.fetch += if view.duration > 0.0 { view.duration.min(STARVATION) } else { STARVATION };
        without_rebuffering
            .or_else(|| self.best(view, &search))
            .unwrap_or_else(|| (0..=view.current).find(|level| view.allowed(*level)).unwrap_or(view.current))
    }

    /// The highest level that fits.
    fn best(&self, view: &View<'_>, search: &Search) -> Option<usize> {
        let ttfb = self.estimator.ttfb_ms() / 1000.0;
        let duration = if view.duration > 0.0 { view.duration } else { 1.0 };
        // With enough media and no rebuffering to be expected, the average decides instead of the peak.
        let current = self.loaded.map_or(view.current, usize::from);
        let by_average = !search.may_starve && view.duration > 0.0 && search.buffer >= by_average_from(view);
        (0..=search.most).rev().find(|level| {
            let factor = if *level > current { search.up } else { search.down };
            let needed = if by_average { view.average_bits(*level) } else { view.bits(*level) };
            let bits = factor * search.bits;
            let reload = view.live || !view.levels.get(*level).is_some_and(|level| level.known);
            let fetch = self.time_to_load(ttfb, bits, needed * duration, reload);
            let in_time = fetch <= ttfb || view.live || fetch < search.fetch;
            bits >= needed && in_time && (view.allowed(*level) || *level == current)
        })
    }

    /// Seconds until a segment of `bits` is there, and its playlist before it.
    fn time_to_load(&self, ttfb: f64, bits_per_second: f64, bits: f64, reload: bool) -> f64 {
        ttfb + bits / bits_per_second + if reload { ttfb + self.playlist } else { 0.0 }
    }

    pub(crate) fn force(&mut self, level: usize) {
        self.forced = Some(level as u16);
    }

    pub(crate) fn levels_changed(&mut self, level: usize) {
        self.loaded = self.loaded.map(|_| level as u16);
        (self.forced, self.given_up) = (None, None);
    }

    pub(crate) fn segment_begun(&mut self) {
        self.given_up = None;
    }

    /// `view.current` is the level of the segment.
    pub(crate) fn segment_done(&mut self, transfer: &Transfer, view: &View<'_>) {
        if self.forced == Some(view.current as u16) {
            self.forced = None;
        }
        self.given_up = None;
        self.loaded = Some(view.current as u16);
        let ms = |until: std::time::Duration| until.saturating_sub(transfer.started).as_secs_f64() * 1000.0;
        self.estimator.loaded(ms(transfer.first_byte), ms(transfer.finished), transfer.bytes);
    }

    pub(crate) fn playlist_done(&mut self, transfer: &Transfer) {
        self.playlist = transfer.finished.saturating_sub(transfer.first_byte).as_secs_f64();
    }

    /// Seconds after its request at which a segment is looked at for the first time, or at which a segment that was
    /// given up ends.
    pub(crate) fn look_from(&self, view: &View<'_>) -> Option<f64> {
        match self.given_up {
            Some(given_up) => given_up.ends.map(f64::from),
            None => (view.current > 0).then(|| (self.estimator.ttfb_ms() / 1000.0).max(view.duration / 2.0)),
        }
    }

    /// Looks at a segment when its timer has fired.
    pub(crate) fn abandon(&mut self, view: &View<'_>, segment: &UnderWay) -> Option<GivenUp> {
        let Some(given_up) = self.given_up else { return self.look(view, segment) };
        given_up.ends.filter(|ends| segment.loading >= f64::from(*ends))?;
        self.end(view, given_up.level.into())
    }

    /// Looks at a segment: its level is `view.current`, and that of the segments after it may be another one since it
    /// was looked at last.
    pub(crate) fn look(&mut self, view: &View<'_>, segment: &UnderWay) -> Option<GivenUp> {
        if view.current == 0 || self.given_up.is_some_and(|given_up| given_up.ends.is_none()) {
            return None;
        }
        let ttfb = self.estimator.ttfb_ms() / 1000.0;
        if segment.loading <= ttfb.max(view.duration / 2.0) {
            return None;
        }
        let loaded = segment.bytes as f64;
        let length = segment.length.map(|length| length as f64);
        let listed = || (view.duration * view.average_bits(view.current) / 8.0).round();
        let expected = loaded.max(length.unwrap_or_else(listed));
        let first_byte = segment.ttfb.filter(|_| segment.bytes > 0);
        // Bytes per second since the first byte.
        let rate = first_byte.map(|ttfb| loaded / (segment.loading - ttfb).max(0.001));
        let rest = match rate {
            Some(rate) => (expected - loaded) / rate,
            None => expected * 8.0 / self.estimator.bits() + ttfb,
        };
        if rest <= view.buffer {
            return None;
        }
        let bits = rate.map_or_else(|| self.estimator.bits(), |rate| rate * 8.0);
        let mut level = view.current - 1;
        let mut instead = f64::INFINITY;
        // The lowest level is not computed: it is taken if the one above it takes too long.
        while level > 0 {
            let reload = view.live || !view.levels.get(level).is_some_and(|level| level.known);
            instead = self.time_to_load(ttfb, bits, view.duration * view.bits(level), reload);
            if instead < view.buffer.min(view.duration + ttfb) {
                break;
            }
            level -= 1;
        }
        if instead >= rest || instead > view.duration * 10.0 {
            return None;
        }
        match first_byte {
            Some(first) => {
                self.estimator.sample((segment.loading - ttfb.min(first)) * 1000.0, segment.bytes);
            }
            None => self.estimator.sample_ttfb(segment.loading * 1000.0),
        }
        let bits = view.bits(level);
        if self.estimator.bits() * UP > bits {
            self.estimator = Estimator::new(bits);
        }
        let search = Search {
            bits,
            most: level,
            fetch: view.buffer,
            buffer: 0.0,
            may_starve: true,
            down: 1.0,
            up: 1.0,
        };
        let level = self.best(view, &search).unwrap_or(level);
        // A second look finds that another level was chosen in the meantime.
        let chosen = self.forced.is_some_and(|forced| usize::from(forced) != view.current);
        self.forced = Some(level as u16);
        if chosen || rest > instead * 2.0 {
            return Some(self.end(view, level).unwrap_or(GivenUp { level, immediate: false }));
        }
        self.given_up =
            Some(SlowSegment { level: level as u16, ends: Some((segment.loading + instead) as f32) });
        Some(GivenUp { level, immediate: false })
    }

    /// Ends the request of a segment that was given up for `level`. hls.js does so unless that is the lowest one, and then
    /// takes the lowest one.
    fn end(&mut self, view: &View<'_>, level: usize) -> Option<GivenUp> {
        self.given_up = Some(SlowSegment { level: level as u16, ends: None });
        if level == 0 {
            return None;
        }
        self.forced = Some(0);
        self.estimator = Estimator::new(view.bits(0));
        Some(GivenUp { level: 0, immediate: true })
    }

    pub(crate) fn estimate(&self) -> f64 {
        self.estimator.bits()
    }

    pub(crate) fn measured(&self) -> Option<f64> {
        self.estimator.can_estimate().then(|| self.estimator.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{levels, transfer, view};
    use super::*;

    #[test]
    fn the_first_level_follows_the_bandwidth_listed_first_up_to_5_mbit() {
        let levels = levels(&[800_000, 3_000_000, 9_000_000]);
        for (listed_first, expected) in [(0, 0), (1, 1), (2, 1)] {
            let at_first = View { duration: 0.0, ..view(&levels, 0, 0.0) };
            assert_eq!(HlsJs::default().first(&at_first, listed_first), expected);
        }
        // With nothing above the default, 500 kb/s count.
        let low = super::super::tests::levels(&[200_000, 450_000, 600_000]);
        let at_first = View { duration: 0.0, ..view(&low, 0, 0.0) };
        assert_eq!(HlsJs::default().first(&at_first, 0), 1);
    }

    #[test]
    fn it_goes_up_at_70_and_down_at_95_percent_of_the_estimate() {
        let levels = levels(&[1_000_000, 2_000_000]);
        let at = |bits_per_second: u64, current| {
            let mut abr = HlsJs::default();
            let bytes = bits_per_second / 8 * 2;
            // The time to the first byte is taken off, so the body takes 2 s.
            abr.segment_done(&transfer(0, bytes, 2000), &view(&levels, current, 8.0));
            abr.next(&View { live: true, ..view(&levels, current, 8.0) })
        };
        assert_eq!((at(2_850_000, 0), at(2_900_000, 0)), (0, 1));
        assert_eq!((at(2_090_000, 1), at(2_130_000, 1)), (0, 1));
    }

    #[test]
    fn a_segment_that_cannot_arrive_in_time_is_given_up_after_half_its_duration() {
        let levels = levels(&[300_000, 1_000_000, 5_000_000]);
        let mut abr = HlsJs::default();
        abr.segment_done(&transfer(0, 2_500_000, 1000), &view(&levels, 2, 3.0));
        let segment = |loading: f64, bytes| UnderWay { loading, ttfb: Some(0.01), bytes, length: None };
        let at = View { live: true, ..view(&levels, 2, 3.0) };
        // 4 s of 5 Mb/s: 2.5 MB. At 0.3 Mb/s they never arrive within the buffer.
        assert_eq!(abr.clone().abandon(&at, &segment(1.9, 75_000)), None, "before half of the duration");
        assert_eq!(abr.clone().abandon(&at, &segment(2.1, 2_400_000)), None, "fast enough");
        let given_up = abr.abandon(&at, &segment(2.1, 78_000));
        assert_eq!(given_up, Some(GivenUp { level: 0, immediate: false }));
        // It stays there until one of its segments has arrived.
        assert_eq!(abr.next(&at), 0);
        abr.segment_done(&transfer(3000, 150_000, 100), &view(&levels, 0, 3.0));
        assert_eq!(abr.forced, None);
    }

    #[test]
    fn a_second_look_when_the_playlist_has_come_ends_at_the_lowest_level() {
        let levels = levels(&[300_000, 1_000_000, 5_000_000]);
        let mut abr = HlsJs::default();
        abr.segment_done(&transfer(0, 2_500_000, 1000), &view(&levels, 2, 3.0));
        abr.segment_begun();
        let at = View { live: true, ..view(&levels, 2, 5.0) };
        let segment = |loading: f64, bytes| UnderWay { loading, ttfb: Some(0.01), bytes, length: None };
        // At 1.2 Mb/s, 4 s of 1 Mb/s take 3.4 s, and the rest of the 2.5 MB takes 14.6 s.
        let slow = segment(2.1, 313_500);
        assert_eq!(
            abr.clone().look(&at, &slow),
            Some(GivenUp { level: 0, immediate: true }),
            "four times as long"
        );
        // The length of the response counts, not what the playlist promises.
        let short = UnderWay { length: Some(1_200_000), ..slow };
        let mut first = abr.clone();
        assert_eq!(first.abandon(&at, &short), Some(GivenUp { level: 1, immediate: false }));
        assert_eq!(first.abandon(&at, &short), None, "it is given up already");
        let ends = first.look_from(&at).unwrap();
        assert!((5.0..6.0).contains(&ends), "{ends}");
        assert_eq!(
            first.clone().abandon(&at, &segment(ends, 500_000)),
            Some(GivenUp { level: 0, immediate: true })
        );
        assert_eq!(first.look(&at, &short), Some(GivenUp { level: 0, immediate: true }), "with the playlist");
        assert_eq!((first.forced, first.estimator.bits()), (Some(0), 300_000.0));
    }
}
