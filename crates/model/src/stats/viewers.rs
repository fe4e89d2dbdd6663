//! The fold over life cycles: one row per viewer, and what can be said over all of them.

use std::collections::BTreeMap;

use hls_swarm_base::exit_status::ProcessExit;

use super::distribution::Distribution;
use super::exchanges::LATENCY_BOUNDS;
use crate::event::EndClass;
use crate::exchange::{Exchange, Kind};
use crate::snapshot::{Lifetimes, Playback, PlaybackTime, ViewerRow, ViewerState};

/// Bounds of the uptime histogram, seconds.
const UPTIME_BOUNDS: [f64; 9] = [1.0, 5.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];
/// More than this behind the wall clock is a high drift, seconds.
const HIGH_DRIFT: f64 = 5.0;
/// How many different reasons are kept apart; the rest is counted together.
const REASONS: usize = 100;
/// Characters of a viewer's last words that are kept.
const LAST_WORDS: usize = 300;

/// All viewers of a run.
#[derive(Clone, Debug)]
pub struct Viewers {
    rows: BTreeMap<u32, Viewer>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) active: u64,
    pub(crate) peak: u64,
    /// Viewers that are to be there now.
    pub(crate) wanted: u64,
    /// Viewers that came and found no room.
    pub(crate) rejected: u64,
    /// Viewers that are no longer there and should have played while they were.
    expected_before: u64,
    /// What viewers got to see.
    pub(crate) playback_time: PlaybackTime,
    pub(crate) startup: Distribution,
    pub(crate) uptime: Distribution,
    reasons: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct Viewer {
    row: ViewerRow,
    started_ns: u64,
    /// Since when it is to be there; `None` = not now.
    arrived_ns: Option<u64>,
    /// It is being stopped, or was.
    ramped_down: bool,
    /// Media that a player would have shown since time last passed, seconds.
    shown_seconds: f64,
    /// It came in place of another one, and has not been started yet.
    fresh: bool,
    /// It saw a live stream to its end: nothing more is due.
    left: bool,
    failed: bool,
    /// Media seconds of the processes before the present one.
    played_before: f64,
    played: bool,
    /// Its last process played the stream to its end.
    finished: bool,
    awaits_first_segment: bool,
}

impl Viewer {
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

    /// A viewer is to be there from now on; its number may have been another one's before.
    pub fn arrived(&mut self, number: u32, at_ns: u64) {
        let viewer = self.viewer(number);
        (viewer.played, viewer.failed, viewer.left, viewer.finished) = (false, false, false, false);
        (viewer.fresh, viewer.ramped_down) = (true, false);
        if viewer.arrived_ns.replace(at_ns).is_none() {
            self.wanted += 1;
        }
        self.lifetimes.arrived += 1;
    }

    /// A viewer is to be there no longer.
    pub fn ramped_down(&mut self, number: u32, at_ns: u64, start_up_ns: u64) {
        let viewer = self.viewer(number);
        let expected = viewer.is_expected(at_ns, start_up_ns);
        viewer.ramped_down = true;
        if viewer.arrived_ns.take().is_some() {
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
            if viewer.is_due(at_ns, start_up_ns) {
                due += 1;
                playing += u64::from(viewer.row.state == ViewerState::Playing);
                self.playback_time.expected_media_seconds += shown;
            }
        }
        (due, playing)
    }

    /// What a player would have shown.
    pub fn watched(&mut self, number: u32, shown_us: u64, stalled_us: u64) {
        self.viewer(number).shown_seconds += shown_us as f64 / 1e6;
        self.playback_time.viewed_seconds += shown_us as f64 / 1e6;
        self.playback_time.stalled_seconds += stalled_us as f64 / 1e6;
    }

    /// Of the viewers whose number is `mine`: how many are to be there, and how many of them play.
    #[must_use]
    pub fn of(&self, mine: &dyn Fn(u32) -> bool) -> (u64, u64) {
        let wanted = || {
            let there = |viewer: &&Viewer| viewer.arrived_ns.is_some() && mine(viewer.row.viewer);
            self.rows.values().filter(there)
        };
        let playing = wanted().filter(|viewer| viewer.row.state == ViewerState::Playing).count();
        (wanted().count() as u64, playing as u64)
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
        let viewer = self.viewer(number);
        // To play a film again is to go on playing; whoever cannot will stall.
        if !viewer.finished {
            viewer.row.state = ViewerState::Starting;
        }
        let first = std::mem::take(&mut viewer.fresh);
        viewer.row.starts = generation;
        viewer.started_ns = at_ns;
        viewer.awaits_first_segment = true;
        self.lifetimes.starts += 1;
        self.lifetimes.restarts += u64::from(generation > 1 && !first);
        self.active += 1;
        self.peak = self.peak.max(self.active);
    }

    /// FFmpeg told how far it has played.
    pub fn progress(&mut self, number: u32, media_us: u64, speed: Option<f64>, drift: f64) {
        let viewer = self.viewer(number);
        viewer.row.speed = speed;
        viewer.row.drift_seconds = Some(drift);
        viewer.row.media_seconds = viewer.played_before + media_us as f64 / 1e6;
        if media_us > 0 && viewer.row.state == ViewerState::Starting {
            viewer.row.state = ViewerState::Playing;
        }
        // What FFmpeg plays while it is being stopped is nobody's any more: whoever left before the first picture
        // was not expected to have one.
        if media_us > 0 && !viewer.ramped_down && !std::mem::replace(&mut viewer.played, true) {
            self.lifetimes.played += 1;
        }
    }

    /// A viewer fell below real time for too long.
    pub fn stalled(&mut self, number: u32) {
        self.viewer(number).row.state = ViewerState::Stalled;
        self.lifetimes.stalled += 1;
    }

    /// A stalled viewer plays again.
    pub fn recovered(&mut self, number: u32) {
        self.viewer(number).row.state = ViewerState::Playing;
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
        let viewer = self.viewer(number);
        viewer.played_before = viewer.row.media_seconds;
        (viewer.row.speed, viewer.row.drift_seconds) = (None, None);
        viewer.finished = class == EndClass::Finished;
        viewer.failed |= class == EndClass::Failed;
        viewer.row.state = match class {
            EndClass::Stopped => ViewerState::Ended,
            EndClass::Finished => ViewerState::Playing,
            EndClass::Failed => ViewerState::Waiting,
        };
        if class == EndClass::Failed || killed {
            viewer.row.last_error = Some(reason.chars().take(LAST_WORDS).collect());
        }
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
        if class == EndClass::Failed || killed {
            let room = self.reasons.len() < REASONS || self.reasons.contains_key(&reason);
            let key = if room { reason } else { "other reasons".to_owned() };
            *self.reasons.entry(key).or_default() += 1;
        }
    }

    /// A viewer has seen a live stream to its end.
    pub fn left(&mut self, number: u32) {
        let viewer = self.viewer(number);
        viewer.row.state = ViewerState::Ended;
        viewer.left = true;
    }

    /// A viewer will not be started again.
    pub fn given_up(&mut self, number: u32) {
        self.viewer(number).row.state = ViewerState::Ended;
        self.lifetimes.given_up += 1;
    }

    /// Credits an exchange to its viewer; tells how long it needed, nanoseconds, for a first segment.
    pub fn exchange(&mut self, exchange: &Exchange) -> Option<u64> {
        let viewer = self.viewer(exchange.viewer);
        let row = &mut viewer.row;
        row.requests[exchange.kind] += 1;
        row.bytes[exchange.kind] += exchange.body_bytes;
        row.head_bytes += exchange.head_bytes;
        row.received += exchange.received_bytes.unwrap_or(0);
        if let Some(status) = exchange.status {
            *row.http_status.entry(status).or_default() += 1;
        }
        // The page that comes with an error is no segment, however quickly it comes.
        let good = exchange.status.is_some_and(|status| (200..300).contains(&status));
        let whole = exchange.first_byte_ns.zip(exchange.download_ns).filter(|_| good);
        if let (Kind::Segment, Some((ttfb, download)), true) =
            (exchange.kind, whole, viewer.awaits_first_segment)
        {
            viewer.awaits_first_segment = false;
            let arrived = exchange.started_ns + ttfb + download;
            let startup = arrived.saturating_sub(viewer.started_ns);
            self.startup.add_ns(startup);
            return Some(startup);
        }
        None
    }

    /// Credits bytes that no exchange accounts for.
    pub fn received(&mut self, number: u32, bytes: u64) {
        self.viewer(number).row.received += bytes;
    }

    /// Viewers that play now.
    #[must_use]
    pub fn playing(&self) -> u64 {
        let playing = |viewer: &&Viewer| !viewer.ramped_down && viewer.row.state == ViewerState::Playing;
        self.rows.values().filter(playing).count() as u64
    }

    /// Viewers that are stalled now.
    #[must_use]
    pub fn stalled_now(&self) -> u64 {
        self.count(|row| row.state == ViewerState::Stalled)
    }

    fn count(&self, holds: impl Fn(&ViewerRow) -> bool) -> u64 {
        self.rows.values().filter(|viewer| holds(&viewer.row)).count() as u64
    }

    /// Playback over all viewers.
    #[must_use]
    pub fn playback(&self) -> Playback {
        let rows = || self.rows.values().map(|viewer| &viewer.row);
        let mean =
            |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let speeds: Vec<f64> = rows().filter_map(|row| row.speed).collect();
        let drifts: Vec<f64> = rows().filter_map(|row| row.drift_seconds).collect();
        let slow = |speed: &&f64| **speed < hls_swarm_player::playback::SLOW;
        let below = speeds.iter().filter(slow).count() as u64;
        Playback {
            above_realtime: speeds.len() as u64 - below,
            below_realtime: below,
            stalled_now: self.stalled_now(),
            average_speed: mean(&speeds),
            high_drift: drifts.iter().filter(|drift| **drift > HIGH_DRIFT).count() as u64,
            average_drift_seconds: mean(&drifts),
            max_drift_seconds: drifts.iter().copied().reduce(f64::max),
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
