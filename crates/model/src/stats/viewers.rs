//! Statistics of the viewers' life cycles: one row per viewer, and totals.

use std::collections::BTreeMap;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_base::weighted::WeightedSet;

use super::distribution::Distribution;
use super::exchanges::LATENCY_BOUNDS;
use crate::event::EndClass;
use crate::exchange::{Exchange, Kind};
use crate::snapshot::{Lifetimes, Playback, PlaybackTime, ViewerRow, ViewerState};

/// Bounds of the uptime histogram, seconds.
const UPTIME_BOUNDS: [f64; 9] = [1.0, 5.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];
/// More than this behind the wall clock is a high drift, seconds.
const HIGH_DRIFT: f64 = 5.0;
/// The number of different reasons that are counted separately; the rest is counted together.
const REASONS: usize = 100;
/// Characters of a viewer's last error that are kept.
const LAST_ERROR_LENGTH: usize = 300;

/// All viewers of a run.
#[derive(Clone, Debug)]
pub struct Viewers {
    rows: BTreeMap<u32, Viewer>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) active: u64,
    pub(crate) peak: u64,
    /// Viewers that are expected now.
    pub(crate) wanted: u64,
    /// The largest number of viewers that were expected at the same time.
    pub(crate) most_wanted: u64,
    /// Viewers that play now and are not being stopped.
    playing: u64,
    /// Viewers that are stalled now.
    stalled: u64,
    /// The assignment of viewers to streams.
    streams: WeightedSet<()>,
    on_streams: Vec<OnStream>,
    /// Viewers that were rejected because the limit was reached.
    pub(crate) rejected: u64,
    /// Viewers that have left and should have played before.
    expected_before: u64,
    /// Playback time of the viewers.
    pub(crate) playback_time: PlaybackTime,
    pub(crate) startup: Distribution,
    pub(crate) uptime: Distribution,
    reasons: BTreeMap<String, u64>,
}

/// The viewers of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnStream {
    /// Viewers that are expected now.
    pub(crate) wanted: u64,
    /// The expected viewers that play.
    pub(crate) playing: u64,
}

/// The state in which a viewer is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    state: ViewerState,
    wanted: bool,
    ramped_down: bool,
}

impl Standing {
    fn plays(self) -> bool {
        self.state == ViewerState::Playing
    }
}

#[derive(Clone, Debug, Default)]
struct Viewer {
    row: ViewerRow,
    started_ns: u64,
    /// Time since which it is expected; `None` = it is not expected now.
    arrived_ns: Option<u64>,
    /// Whether it is being stopped, or was.
    ramped_down: bool,
    /// Media that a player would have shown since time last passed, seconds.
    shown_seconds: f64,
    /// It came in place of another one, and has not been started yet.
    fresh: bool,
    /// Whether it watched a live stream to its end: then it is no longer expected to play.
    left: bool,
    failed: bool,
    /// Media seconds of the processes before the present one.
    played_before: f64,
    played: bool,
    /// Whether its last process played the stream to its end.
    finished: bool,
    awaits_first_segment: bool,
    /// The evidence that it plays, if its player does not report progress.
    media: Option<MediaArrival>,
}

/// The arrival of media at a viewer whose player does not report progress.
#[derive(Clone, Copy, Debug)]
struct MediaArrival {
    /// Time when the last whole segment arrived.
    last_ns: u64,
    /// After this time without a segment the viewer no longer plays.
    silence_ns: Option<u64>,
}

impl Viewer {
    fn standing(&self) -> Standing {
        Standing { state: self.row.state, wanted: self.arrived_ns.is_some(), ramped_down: self.ramped_down }
    }

    /// It has had the time to begin, and nothing has excused it.
    fn is_due(&self, at_ns: u64, start_up_ns: u64) -> bool {
        let since = self.arrived_ns.filter(|_| !self.left);
        since.is_some_and(|since| at_ns.saturating_sub(since) >= start_up_ns)
    }

    /// It should have played: it did, it had the time, or it tried and failed.
    fn is_expected(&self, at_ns: u64, start_up_ns: u64) -> bool {
        let since = self.arrived_ns;
        since.is_some_and(|since| self.played || self.failed || at_ns.saturating_sub(since) >= start_up_ns)
    }
}

impl Default for Viewers {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            lifetimes: Lifetimes::default(),
            active: 0,
            peak: 0,
            wanted: 0,
            most_wanted: 0,
            playing: 0,
            stalled: 0,
            streams: WeightedSet::one(()),
            on_streams: vec![OnStream::default()],
            rejected: 0,
            expected_before: 0,
            playback_time: PlaybackTime::default(),
            startup: Distribution::with_buckets(&LATENCY_BOUNDS),
            uptime: Distribution::with_buckets(&UPTIME_BOUNDS),
            reasons: BTreeMap::new(),
        }
    }
}

impl Viewers {
    fn viewer(&mut self, number: u32) -> &mut Viewer {
        let viewer = self.rows.entry(number).or_default();
        viewer.row.viewer = number;
        viewer
    }

    /// Changes what a viewer is counted as, and the counts with it. A walk over all viewers for each of
    /// them would be one walk per stream and second.
    fn change<T>(&mut self, number: u32, change: impl FnOnce(&mut Viewer) -> T) -> T {
        let viewer = self.viewer(number);
        let before = viewer.standing();
        let result = change(viewer);
        let after = viewer.standing();
        if before != after {
            self.count(number, before, false);
            self.count(number, after, true);
        }
        result
    }

    /// Adds a state to the counts, or removes it.
    fn count(&mut self, number: u32, standing: Standing, more: bool) {
        let step = |count: &mut u64, holds: bool| {
            let by = u64::from(holds);
            *count = if more { *count + by } else { count.saturating_sub(by) };
        };
        step(&mut self.playing, standing.plays() && !standing.ramped_down);
        step(&mut self.stalled, standing.state == ViewerState::Stalled);
        if let Some(stream) = self.on_streams.get_mut(self.streams.index_of(number)) {
            step(&mut stream.wanted, standing.wanted);
            step(&mut stream.playing, standing.wanted && standing.plays());
        }
    }

    /// Counts viewers by the stream that each is on, from the first viewer on.
    pub(crate) fn count_by_stream(&mut self, streams: &WeightedSet<String>) {
        self.streams = streams.map(|_| ());
        self.on_streams = vec![OnStream::default(); streams.count()];
    }

    /// The viewers of each stream.
    pub(crate) fn on_streams(&self) -> &[OnStream] {
        &self.on_streams
    }

    /// A viewer is expected from now on; its number may have belonged to another one before.
    pub fn arrived(&mut self, number: u32, at_ns: u64) {
        let before = self.change(number, |viewer| {
            (viewer.played, viewer.failed, viewer.left, viewer.finished) = (false, false, false, false);
            (viewer.fresh, viewer.ramped_down) = (true, false);
            viewer.arrived_ns.replace(at_ns)
        });
        self.wanted += u64::from(before.is_none());
        self.most_wanted = self.most_wanted.max(self.wanted);
        self.lifetimes.arrived += 1;
    }

    /// A viewer is no longer expected.
    pub fn ramped_down(&mut self, number: u32, at_ns: u64, start_up_ns: u64) {
        let (arrived, expected) = self.change(number, |viewer| {
            let expected = viewer.is_expected(at_ns, start_up_ns);
            viewer.ramped_down = true;
            (viewer.arrived_ns.take(), expected)
        });
        if arrived.is_some() {
            self.wanted = self.wanted.saturating_sub(1);
            self.expected_before += u64::from(expected);
            self.lifetimes.ramped_down += 1;
        }
    }

    /// Whether the viewer is being stopped, or was.
    #[must_use]
    pub fn is_ramped_down(&self, number: u32) -> bool {
        self.rows.get(&number).is_some_and(|viewer| viewer.ramped_down)
    }

    /// Time passes: viewers that have had the time to begin by now, and how many of them play. What
    /// reached them in time is noted.
    pub fn pass(&mut self, at_ns: u64, start_up_ns: u64) -> (u64, u64) {
        let (mut due, mut playing) = (0, 0);
        for viewer in self.rows.values_mut() {
            let shown = std::mem::take(&mut viewer.shown_seconds);
            if let Some(MediaArrival { last_ns, silence_ns: Some(silence_ns) }) = viewer.media
                && viewer.row.state == ViewerState::Playing
                && at_ns.saturating_sub(last_ns) > silence_ns
            {
                viewer.row.state = ViewerState::Silent;
            }
            if viewer.is_due(at_ns, start_up_ns) {
                due += 1;
                playing += u64::from(viewer.row.state == ViewerState::Playing);
                self.playback_time.expected_media_seconds += shown;
            }
        }
        (due, playing)
    }

    /// Adds the media that a player would have shown.
    pub fn watched(&mut self, number: u32, shown_us: u64, stalled_us: u64) {
        self.viewer(number).shown_seconds += shown_us as f64 / 1e6;
        self.playback_time.viewed_seconds += shown_us as f64 / 1e6;
        self.playback_time.stalled_seconds += stalled_us as f64 / 1e6;
    }

    /// Life cycles so far.
    #[must_use]
    pub fn lifetimes(&self, at_ns: u64, start_up_ns: u64) -> Lifetimes {
        let expected =
            self.rows.values().filter(|viewer| viewer.is_expected(at_ns, start_up_ns)).count() as u64;
        Lifetimes { expected: self.expected_before + expected, rejected: self.rejected, ..self.lifetimes }
    }

    /// A process was started.
    pub fn started(&mut self, number: u32, generation: u32, at_ns: u64) {
        let first = self.change(number, |viewer| {
            // A viewer that plays a VOD again continues playback; if it cannot, it stalls.
            if !viewer.finished {
                viewer.row.state = ViewerState::Starting;
            }
            viewer.row.starts = generation;
            viewer.started_ns = at_ns;
            viewer.awaits_first_segment = true;
            std::mem::take(&mut viewer.fresh)
        });
        self.lifetimes.starts += 1;
        self.lifetimes.restarts += u64::from(generation > 1 && !first);
        self.active += 1;
        self.peak = self.peak.max(self.active);
    }

    /// The player of a viewer that has just been started does not report progress.
    pub fn no_progress(&mut self, number: u32, silence_ns: Option<u64>) {
        let viewer = self.viewer(number);
        viewer.media = Some(MediaArrival { last_ns: viewer.started_ns, silence_ns });
    }

    /// Records the playback position that FFmpeg reported.
    pub fn progress(&mut self, number: u32, media_us: u64, speed: Option<f64>, drift: f64) {
        let played_first = self.change(number, |viewer| {
            viewer.row.speed = speed;
            viewer.row.drift_seconds = Some(drift);
            viewer.row.media_seconds = viewer.played_before + media_us as f64 / 1e6;
            if media_us > 0 && viewer.row.state == ViewerState::Starting {
                viewer.row.state = ViewerState::Playing;
            }
            // Playback while FFmpeg is being stopped does not count: a viewer that was stopped before its first
            // frame was not expected to play.
            media_us > 0 && !viewer.ramped_down && !std::mem::replace(&mut viewer.played, true)
        });
        self.lifetimes.played += u64::from(played_first);
    }

    /// A viewer fell below real time for too long.
    pub fn stalled(&mut self, number: u32) {
        self.change(number, |viewer| viewer.row.state = ViewerState::Stalled);
        self.lifetimes.stalled += 1;
    }

    /// A stalled viewer plays again.
    pub fn recovered(&mut self, number: u32) {
        self.change(number, |viewer| viewer.row.state = ViewerState::Playing);
    }

    /// A process has ended.
    pub fn ended(
        &mut self,
        number: u32,
        class: EndClass,
        ending: ProcessExit,
        killed: bool,
        reason: String,
        uptime_seconds: f64,
    ) {
        let counts = self.change(number, |viewer| {
            // The words of a viewer that played to the end of the run are of no interest.
            let is_failure = class == EndClass::Failed || killed;
            let in_trouble = !viewer.played || viewer.row.state == ViewerState::Stalled;
            let counts = is_failure || (class == EndClass::Stopped && in_trouble && !reason.is_empty());
            viewer.played_before = viewer.row.media_seconds;
            (viewer.row.speed, viewer.row.drift_seconds) = (None, None);
            viewer.finished = class == EndClass::Finished;
            viewer.failed |= class == EndClass::Failed;
            viewer.row.state = match class {
                EndClass::Stopped => ViewerState::Ended,
                EndClass::Finished => ViewerState::Playing,
                EndClass::Failed => ViewerState::Waiting,
            };
            if counts {
                viewer.row.last_error = Some(reason.chars().take(LAST_ERROR_LENGTH).collect());
            }
            counts
        });
        self.active = self.active.saturating_sub(1);
        self.uptime.add_ns((uptime_seconds * 1e9) as u64);
        self.lifetimes.killed += u64::from(killed);
        let exits = &mut self.lifetimes.exits;
        match (class, ending) {
            (EndClass::Stopped, _) if killed => exits.signal += 1,
            (EndClass::Stopped | EndClass::Finished, _) => exits.success += 1,
            (EndClass::Failed, ProcessExit::Signaled(_)) => exits.signal += 1,
            (EndClass::Failed, ProcessExit::Exited(_)) => exits.error += 1,
        }
        if counts {
            let room = self.reasons.len() < REASONS || self.reasons.contains_key(&reason);
            let key = if room { reason } else { "other reasons".to_owned() };
            *self.reasons.entry(key).or_default() += 1;
        }
    }

    /// A viewer has watched a live stream to its end.
    pub fn left(&mut self, number: u32) {
        self.change(number, |viewer| {
            viewer.row.state = ViewerState::Ended;
            viewer.left = true;
        });
    }

    /// A viewer will not be started again.
    pub fn given_up(&mut self, number: u32) {
        self.change(number, |viewer| viewer.row.state = ViewerState::Ended);
        self.lifetimes.given_up += 1;
    }

    /// Credits an exchange to its viewer; returns the time to its first segment in nanoseconds, if it brought
    /// one.
    pub fn exchange(&mut self, exchange: &Exchange) -> Option<u64> {
        let viewer = self.rows.entry(exchange.viewer).or_default();
        viewer.row.viewer = exchange.viewer;
        let row = &mut viewer.row;
        row.requests[exchange.kind] += 1;
        row.bytes[exchange.kind] += exchange.body_bytes;
        row.head_bytes += exchange.head_bytes;
        row.received += exchange.received_bytes.unwrap_or(0);
        if let Some(status) = exchange.status {
            *row.http_status.entry(status).or_default() += 1;
        }
        // The page that comes with an error is not a segment, however quickly it comes.
        let good = exchange.status.is_some_and(|status| (200..300).contains(&status));
        let whole = exchange.first_byte_ns.zip(exchange.download_ns).filter(|_| good);
        let segment = whole.filter(|_| exchange.kind == Kind::Segment);
        let arrived_ns = segment.map(|(ttfb, download)| exchange.started_ns + ttfb + download);
        if let (Some(arrived_ns), Some(media)) = (arrived_ns, &mut viewer.media) {
            media.last_ns = media.last_ns.max(arrived_ns);
            if matches!(row.state, ViewerState::Starting | ViewerState::Silent) {
                row.state = ViewerState::Playing;
            }
            let is_first = !viewer.ramped_down && !std::mem::replace(&mut viewer.played, true);
            self.lifetimes.played += u64::from(is_first);
        }
        let startup = arrived_ns?.saturating_sub(viewer.started_ns);
        if std::mem::take(&mut viewer.awaits_first_segment) {
            self.startup.add_ns(startup);
            return Some(startup);
        }
        None
    }

    /// Takes back bytes of a body that did not arrive whole.
    pub fn cut_short(&mut self, number: u32, kind: Kind, missing: u64) {
        let bytes = &mut self.viewer(number).row.bytes[kind];
        *bytes = bytes.saturating_sub(missing);
    }

    /// Credits bytes that no exchange accounts for.
    pub fn received(&mut self, number: u32, bytes: u64) {
        self.viewer(number).row.received += bytes;
    }

    /// Viewers that play now.
    #[must_use]
    pub const fn playing(&self) -> u64 {
        self.playing
    }

    /// Viewers that are stalled now.
    #[must_use]
    pub const fn stalled_now(&self) -> u64 {
        self.stalled
    }

    /// Playback over all viewers.
    #[must_use]
    pub fn playback(&self) -> Playback {
        let (mut speeds, mut drifts) = (Mean::default(), Mean::default());
        let (mut below, mut high_drift, mut max_drift) = (0, 0, None);
        for row in self.rows.values().map(|viewer| &viewer.row) {
            if let Some(speed) = row.speed {
                speeds.add(speed);
                below += u64::from(speed < hls_swarm_player::playback::SLOW);
            }
            if let Some(drift) = row.drift_seconds {
                drifts.add(drift);
                high_drift += u64::from(drift > HIGH_DRIFT);
                max_drift = Some(max_drift.map_or(drift, |most: f64| most.max(drift)));
            }
        }
        Playback {
            above_realtime: speeds.count - below,
            below_realtime: below,
            stalled_now: self.stalled,
            average_speed: speeds.value(),
            high_drift,
            average_drift_seconds: drifts.value(),
            max_drift_seconds: max_drift,
        }
    }

    /// Reasons, most frequent first.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, u64)> {
        let mut reasons: Vec<_> = self.reasons.iter().map(|(text, count)| (text.clone(), *count)).collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        reasons
    }

    /// One row per viewer, by number.
    #[must_use]
    pub fn rows(&self) -> Vec<ViewerRow> {
        self.rows.values().map(|viewer| viewer.row.clone()).collect()
    }
}

/// An average while it is being added up.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START_UP_NS: u64 = 5;

    /// The counts as a walk over all viewers finds them: playing, stalled, and the viewers of each stream.
    fn walked(viewers: &Viewers) -> (u64, u64, Vec<OnStream>) {
        let count = |holds: &dyn Fn(&Viewer) -> bool| {
            viewers.rows.values().filter(|viewer| holds(viewer)).count() as u64
        };
        let plays = |viewer: &Viewer| viewer.row.state == ViewerState::Playing;
        let on_stream = |place| {
            let wanted = |viewer: &Viewer| {
                viewer.arrived_ns.is_some() && viewers.streams.index_of(viewer.row.viewer) == place
            };
            OnStream { wanted: count(&wanted), playing: count(&|viewer| wanted(viewer) && plays(viewer)) }
        };
        (
            count(&|viewer| plays(viewer) && !viewer.ramped_down),
            count(&|viewer| viewer.row.state == ViewerState::Stalled),
            (0..viewers.streams.count()).map(on_stream).collect(),
        )
    }

    /// One of all the things that may happen to a viewer, in any order.
    fn happen(viewers: &mut Viewers, what: u8, viewer: u32, at_ns: u64) {
        let end = |viewers: &mut Viewers, class| {
            viewers.ended(viewer, class, ProcessExit::Exited(1), false, "reason".into(), 1.0);
        };
        match what {
            0 => viewers.arrived(viewer, at_ns),
            1 => viewers.ramped_down(viewer, at_ns, START_UP_NS),
            2 => viewers.started(viewer, 1, at_ns),
            3 | 4 => viewers.progress(viewer, at_ns, Some(1.0), 0.0),
            5 => viewers.stalled(viewer),
            6 => viewers.recovered(viewer),
            7 => end(viewers, EndClass::Failed),
            8 => end(viewers, EndClass::Finished),
            9 => end(viewers, EndClass::Stopped),
            10 => viewers.left(viewer),
            11 => viewers.given_up(viewer),
            12 => viewers.watched(viewer, 1, 1),
            _ => viewers.received(viewer, 1),
        }
    }

    proptest! {
        #[test]
        fn counts_that_are_kept_equal_a_walk_over_all_viewers(
            happened in prop::collection::vec((0_u8..14, 1_u32..12), 1..200),
            streams in prop::collection::vec(1_u32..4, 1..4),
        ) {
            let names = streams.into_iter().map(|weight| (String::new(), weight)).collect();
            let mut viewers = Viewers::default();
            viewers.count_by_stream(&WeightedSet::weighted(names).unwrap());
            for (at_ns, (what, viewer)) in (0..).zip(happened) {
                happen(&mut viewers, what, viewer, at_ns);
                let kept = (viewers.playing(), viewers.stalled_now(), viewers.on_streams().to_vec());
                prop_assert_eq!(kept, walked(&viewers), "after {} of viewer {}", what, viewer);
            }
        }
    }
}
