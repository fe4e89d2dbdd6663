//! Statistics of the viewers' life cycles: one row per viewer, and totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_hls::playlist::Playlist;
use hls_swarm_player::State;

use super::canaries::CanaryPlan;
use super::distribution::Distribution;
use super::exchanges::LATENCY_BOUNDS;
use super::playback::{PlaybackRules, SLOW, Taken, ViewerPlayback};
use super::quality::QualitySums;
use crate::event::EndClass;
use crate::exchange::{Exchange, Kind};
use crate::listed::Rendition;
use crate::metric::counters::{Counter, Counters};
use crate::seen::Seen;
use crate::snapshot::{Group, Lifetimes, Playback, PlaybackTime, Timing, ViewerRow, ViewerState};

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
    /// Boxed, because nodes of a map that grows at its end are half empty.
    rows: BTreeMap<u32, Box<Viewer>>,
    rules: PlaybackRules,
    /// Viewers that play by rules of their own.
    canaries: Option<CanaryPlan>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) active: u64,
    pub(crate) peak: u64,
    /// Viewers that are expected now.
    pub(crate) wanted: u64,
    /// The largest number of viewers that were expected at the same time.
    pub(crate) most_wanted: u64,
    counts: Counts,
    /// Viewers that were rejected because the limit was reached.
    pub(crate) rejected: u64,
    /// Viewers that have left and should have played before.
    expected_before: u64,
    /// Playback time of the viewers.
    pub(crate) playback_time: PlaybackTime,
    /// Time for which viewers stalled, nanoseconds.
    stalled_ns: i64,
    /// Segments that playback jumped over and that were not yet passed on.
    skipped: Counters,
    /// What players report.
    pub(crate) quality: QualitySums,
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

/// Counts of viewers by their state. A walk over all viewers for each change would be one walk per stream and second.
#[derive(Clone, Debug)]
struct Counts {
    /// Viewers that play now and are not being stopped.
    playing: u64,
    /// Viewers that are stalled now.
    stalled: u64,
    /// Of these, those whose stall is not yet among the stalls.
    unended: u64,
    /// The assignment of viewers to streams.
    streams: WeightedSet<()>,
    on_streams: Vec<OnStream>,
}

impl Counts {
    /// Counts a viewer in another state.
    fn change(&mut self, number: u32, before: Standing, after: Standing) {
        if before != after {
            self.count(number, before, false);
            self.count(number, after, true);
        }
    }

    /// Adds a state to the counts, or removes it.
    fn count(&mut self, number: u32, standing: Standing, more: bool) {
        let step = |count: &mut u64, holds: bool| {
            let by = u64::from(holds);
            *count = if more { *count + by } else { count.saturating_sub(by) };
        };
        step(&mut self.playing, standing.plays() && !standing.ramped_down);
        step(&mut self.stalled, standing.state == ViewerState::Stalled);
        step(&mut self.unended, standing.unended);
        if let Some(stream) = self.on_streams.get_mut(self.streams.index_of(number)) {
            step(&mut stream.wanted, standing.wanted);
            step(&mut stream.playing, standing.wanted && standing.plays());
        }
    }
}

/// The figures of all viewers to which one viewer's playback is added.
struct Tally<'a> {
    rules: PlaybackRules,
    counts: &'a mut Counts,
    lifetimes: &'a mut Lifetimes,
    time: &'a mut PlaybackTime,
    stalled_ns: &'a mut i64,
    skipped: &'a mut Counters,
    startup: &'a mut Distribution,
}

impl Tally<'_> {
    /// Adds what a viewer has played since the last time. Returns its startup time in nanoseconds, if playback began.
    fn add(&mut self, number: u32, viewer: &mut Viewer) -> Option<u64> {
        let before = viewer.standing();
        let took = viewer.playback.as_mut()?.take();
        viewer.row.state = viewer.state(self.rules);
        viewer.unended = viewer.playback.as_ref().is_some_and(ViewerPlayback::is_unended);
        self.counts.change(number, before, viewer.standing());
        let took = took?;
        let Taken { startup_ns, played_ns, stalled_ns, longest_stall_ns, stalls, missing_ns, .. } = took;
        let seconds = |ns: u64| ns as f64 / 1e9;
        // Whole nanoseconds, so that nothing is left of a stall that does not count.
        *self.stalled_ns += stalled_ns;
        viewer.stalled_ns += stalled_ns;
        viewer.shown_ns += played_ns;
        viewer.row.media_seconds += seconds(played_ns);
        viewer.row.stalled_seconds = viewer.stalled_ns as f64 / 1e9;
        viewer.row.longest_stall_seconds = viewer.longest_stall_before.max(seconds(longest_stall_ns));
        viewer.row.stalls += stalls;
        viewer.row.missing_seconds += seconds(missing_ns);
        if let Some(playback) = viewer.playback.as_ref().filter(|_| self.rules.buffered) {
            viewer.row.speed = playback.speed();
            viewer.row.drift_seconds = playback.drift_seconds();
        }
        self.time.viewed_seconds += seconds(played_ns);
        self.time.stalled_seconds = *self.stalled_ns as f64 / 1e9;
        self.time.missing_seconds += seconds(missing_ns);
        self.time.unavailable_seconds += seconds(took.unavailable_ns);
        self.lifetimes.stalled += stalls;
        if stalls > 0 && !std::mem::replace(&mut viewer.has_stalled, true) {
            self.lifetimes.stalled_viewers += 1;
        }
        if took.skipped > 0 {
            self.skipped.add(Counter::SegmentsSkipped, took.skipped);
            self.skipped.add(Counter::SegmentsUnavailable, took.unavailable);
        }
        if let Some(startup_ns) = startup_ns {
            self.startup.add_ns(startup_ns);
            viewer.row.startup_seconds = Some(seconds(startup_ns));
            viewer.count_as_played(self.rules, self.lifetimes);
        }
        startup_ns
    }
}

/// The state in which a viewer is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    state: ViewerState,
    wanted: bool,
    ramped_down: bool,
    unended: bool,
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
    /// Media that was shown since time last passed, nanoseconds.
    shown_ns: u64,
    /// Whether it replaces another viewer and has not been started yet.
    fresh: bool,
    /// Whether it watched a live stream to its end: then it is no longer expected to play.
    left: bool,
    failed: bool,
    played: bool,
    has_stalled: bool,
    stalled_ns: i64,
    /// Whether its stall under way is not yet among the stalls.
    unended: bool,
    /// The longest stall before it began to play anew, seconds.
    longest_stall_before: f64,
    /// Whether its last process played the stream to its end.
    finished: bool,
    /// Whether its process is up.
    up: bool,
    /// Whether it will not be started again.
    over: bool,
    /// Whether its process has read media.
    reads: bool,
    playback: Option<ViewerPlayback>,
}

impl Viewer {
    /// The playback of a viewer that still plays; what it does while it is being stopped does not count.
    fn playing(&mut self) -> Option<&mut ViewerPlayback> {
        let plays = !self.over && !self.ramped_down;
        self.playback.as_mut().filter(|_| plays)
    }

    /// Its state, by its process and its playhead.
    fn state(&self, rules: PlaybackRules) -> ViewerState {
        let playhead = self.playback.as_ref().map_or(State::Starting, ViewerPlayback::state);
        match playhead {
            _ if self.over => ViewerState::Ended,
            _ if self.up && !self.has_media(rules) => ViewerState::Starting,
            State::Playing => ViewerState::Playing,
            State::Stalled if rules.buffered => ViewerState::Stalled,
            // After a VOD was shown to its end, it begins again.
            State::Stalled | State::Ended if self.up || self.finished => ViewerState::Playing,
            _ if self.up => ViewerState::Starting,
            _ => ViewerState::Waiting,
        }
    }

    /// Whether what arrived is known to be media.
    fn has_media(&self, rules: PlaybackRules) -> bool {
        self.reads || !rules.unseen_bodies
    }

    /// Counts it among the viewers that have played, once, if its playback has begun.
    fn count_as_played(&mut self, rules: PlaybackRules, lifetimes: &mut Lifetimes) {
        if !self.played && self.row.startup_seconds.is_some() && self.has_media(rules) {
            self.played = true;
            lifetimes.played += 1;
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            state: self.row.state,
            wanted: self.arrived_ns.is_some(),
            ramped_down: self.ramped_down,
            unended: self.unended,
        }
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
            rules: PlaybackRules::default(),
            canaries: None,
            lifetimes: Lifetimes::default(),
            active: 0,
            peak: 0,
            wanted: 0,
            most_wanted: 0,
            counts: Counts {
                playing: 0,
                stalled: 0,
                unended: 0,
                streams: WeightedSet::one(()),
                on_streams: vec![OnStream::default()],
            },
            rejected: 0,
            expected_before: 0,
            playback_time: PlaybackTime::default(),
            stalled_ns: 0,
            skipped: Counters::default(),
            quality: QualitySums::default(),
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

    /// Changes a viewer, and the counts with it.
    fn change<T>(&mut self, number: u32, change: impl FnOnce(&mut Viewer) -> T) -> T {
        let viewer = self.rows.entry(number).or_default();
        viewer.row.viewer = number;
        let before = viewer.standing();
        let result = change(viewer);
        self.counts.change(number, before, viewer.standing());
        result
    }

    /// Sets the rules by which viewers play.
    pub(crate) const fn play_by(&mut self, rules: PlaybackRules) {
        self.rules = rules;
    }

    /// Sets which viewers are canaries.
    pub(crate) const fn include_canaries(&mut self, plan: CanaryPlan) {
        self.canaries = Some(plan);
    }

    /// The rules by which a viewer plays.
    fn rules_of(&self, number: u32) -> PlaybackRules {
        self.canaries.filter(|canaries| canaries.holds(number)).map_or(self.rules, |canaries| canaries.rules)
    }

    /// The playback of canaries, and of all others.
    pub(crate) fn groups(&self, plan: CanaryPlan) -> (Group, Group) {
        let mut groups = (Group::default(), Group::default());
        for (number, viewer) in &self.rows {
            let group = if plan.holds(*number) { &mut groups.0 } else { &mut groups.1 };
            group.viewers += u64::from(viewer.row.starts > 0);
            group.played += u64::from(viewer.row.startup_seconds.is_some());
            group.stalled_viewers += u64::from(viewer.row.stalls > 0);
            group.stalls += viewer.row.stalls;
            group.stalled_seconds += viewer.row.stalled_seconds;
            group.media_seconds += viewer.row.media_seconds;
        }
        groups
    }

    /// The viewers, and the figures to which their playback is added.
    const fn split(&mut self) -> (&mut BTreeMap<u32, Box<Viewer>>, Tally<'_>) {
        let Self { rows, rules, counts, lifetimes, playback_time, stalled_ns, skipped, startup, .. } = self;
        (rows, Tally { rules: *rules, counts, lifetimes, time: playback_time, stalled_ns, skipped, startup })
    }

    /// Changes the playback of a viewer, unless it is being stopped. Returns its startup time in nanoseconds, if
    /// playback began.
    fn play(&mut self, number: u32, change: impl FnOnce(&mut ViewerPlayback)) -> Option<u64> {
        let (rows, mut tally) = self.split();
        let viewer = rows.get_mut(&number)?;
        change(viewer.playing()?);
        tally.add(number, viewer)
    }

    /// Counts viewers by the stream that each is on, from the first viewer on.
    pub(crate) fn count_by_stream(&mut self, streams: &WeightedSet<String>) {
        self.counts.streams = streams.map(|_| ());
        self.counts.on_streams = vec![OnStream::default(); streams.count()];
    }

    /// The viewers of each stream.
    pub(crate) fn on_streams(&self) -> &[OnStream] {
        &self.counts.on_streams
    }

    /// A viewer is expected from now on; its number may have belonged to another one before.
    pub fn arrived(&mut self, number: u32, at_ns: u64) {
        let before = self.change(number, |viewer| {
            (viewer.played, viewer.failed, viewer.left, viewer.finished) = (false, false, false, false);
            (viewer.has_stalled, viewer.reads) = (false, false);
            (viewer.fresh, viewer.ramped_down) = (true, false);
            viewer.arrived_ns.replace(at_ns)
        });
        self.wanted += u64::from(before.is_none());
        self.most_wanted = self.most_wanted.max(self.wanted);
        self.lifetimes.arrived += 1;
    }

    /// A viewer is no longer expected.
    pub fn ramped_down(&mut self, number: u32, at_ns: u64, start_up_ns: u64) {
        let _ = self.play(number, |playback| playback.advance(at_ns));
        self.settle(number);
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

    /// Time passes: viewers that have had the time to begin by `at_ns`, and how many of them play. Playheads
    /// move to `played_until_ns`.
    pub fn pass(&mut self, at_ns: u64, played_until_ns: u64, start_up_ns: u64) -> (u64, u64) {
        let (mut due, mut playing) = (0, 0);
        let (rows, mut tally) = self.split();
        for (number, viewer) in rows {
            if let Some(playback) = viewer.playing() {
                playback.advance(played_until_ns);
                let _ = tally.add(*number, viewer);
            }
            let shown_ns = std::mem::take(&mut viewer.shown_ns);
            if viewer.is_due(at_ns, start_up_ns) {
                due += 1;
                playing += u64::from(viewer.row.state == ViewerState::Playing);
                tally.time.expected_media_seconds += shown_ns as f64 / 1e9;
            }
        }
        (due, playing)
    }

    /// The viewers that are expected now, by number, with their states.
    pub(crate) fn states(&self) -> impl Iterator<Item = (u32, ViewerState)> + '_ {
        let expected = self.rows.iter().filter(|(_, viewer)| viewer.arrived_ns.is_some() && !viewer.left);
        expected.map(|(number, viewer)| (*number, viewer.row.state))
    }

    /// The number of playlists that a viewer plays together, if that is known from what it read.
    pub(crate) fn tracks(&self, number: u32) -> Option<usize> {
        self.rows.get(&number)?.playback.as_ref()?.tracks()
    }

    /// Segments that playback jumped over since the last call.
    pub(crate) fn take_skipped(&mut self) -> Counters {
        std::mem::take(&mut self.skipped)
    }

    /// Life cycles so far.
    #[must_use]
    pub fn lifetimes(&self, at_ns: u64, start_up_ns: u64) -> Lifetimes {
        let expected =
            self.rows.values().filter(|viewer| viewer.is_expected(at_ns, start_up_ns)).count() as u64;
        let unseen = |viewer: &Viewer| viewer.reads && viewer.row.requests.total() == 0;
        Lifetimes {
            expected: self.expected_before + expected,
            rejected: self.rejected,
            unseen: self.rows.values().filter(|viewer| unseen(viewer)).count() as u64,
            ..self.lifetimes
        }
    }

    /// A process was started. A viewer whose process failed goes on where it was.
    pub fn started(&mut self, number: u32, generation: u32, at_ns: u64) {
        let _ = self.play(number, |playback| playback.advance(at_ns));
        let rules = self.rules_of(number);
        let first = self.change(number, |viewer| {
            let fresh = std::mem::take(&mut viewer.fresh);
            let again = std::mem::take(&mut viewer.finished);
            // A player that reports what it sees has begun anew.
            let anew = viewer.playback.as_ref().is_none_or(ViewerPlayback::is_reported);
            if fresh || again || anew {
                viewer.longest_stall_before = viewer.row.longest_stall_seconds;
                viewer.playback = Some(ViewerPlayback::new(rules, 1, at_ns));
                viewer.started_ns = at_ns;
            }
            (viewer.up, viewer.over) = (true, false);
            viewer.row.starts = generation;
            viewer.row.state = viewer.state(rules);
            fresh
        });
        self.lifetimes.starts += 1;
        self.lifetimes.restarts += u64::from(generation > 1 && !first);
        self.active += 1;
        self.peak = self.peak.max(self.active);
    }

    /// A viewer that was started plays this number of playlists together.
    pub fn expects(&mut self, number: u32, renditions: usize) {
        self.change(number, |viewer| {
            let started_ns = viewer.started_ns;
            if let Some(playback) = &mut viewer.playback {
                playback.expect(renditions, started_ns);
            }
        });
    }

    /// The process of a viewer has read media.
    pub fn reads(&mut self, number: u32) {
        let rules = self.rules;
        self.change(number, |viewer| {
            viewer.reads = true;
            viewer.row.state = viewer.state(rules);
        });
        if let Some(viewer) = self.rows.get_mut(&number).filter(|_| rules.unseen_bodies) {
            viewer.count_as_played(rules, &mut self.lifetimes);
        }
    }

    /// The player of a viewer reports what it has seen. Durations go to `note` as well. Returns its startup time in
    /// nanoseconds, if playback began.
    pub fn seen(
        &mut self,
        number: u32,
        at_ns: u64,
        seen: Seen,
        note: impl FnMut(Timing, u64),
    ) -> Option<u64> {
        let viewer = self.rows.get_mut(&number)?;
        let playback = viewer.playing()?;
        // Until then, what was buffered has played.
        let now = seen.clone();
        let before = playback.report(at_ns, seen);
        self.quality.add(&before, &now, note);
        self.play(number, |playback| playback.advance(at_ns))
    }

    /// Counts the stall of a viewer that is under way, because nothing that comes later counts.
    fn settle(&mut self, number: u32) {
        let mut settled = None;
        let _ = self.play(number, |playback| settled = playback.settle());
        if let Some(reason) = settled {
            self.quality.stalled(reason, 1);
        }
    }

    /// Counts all stalls that are under way, because the run is over.
    pub(crate) fn settle_all(&mut self) {
        let unended: Vec<u32> =
            self.rows.iter().filter(|(_, viewer)| viewer.unended).map(|(number, _)| *number).collect();
        unended.into_iter().for_each(|number| self.settle(number));
    }

    /// A viewer has read a media playlist.
    pub fn playlist(
        &mut self,
        number: u32,
        at_ns: u64,
        playlist: u64,
        rendition: Rendition,
        said: &Arc<Playlist>,
    ) -> Option<u64> {
        self.play(number, |playback| playback.playlist(at_ns, playlist, rendition, said))
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
        let rules = self.rules;
        self.settle(number);
        let counts = self.change(number, |viewer| {
            // The words of a viewer that played to the end of the run are of no interest.
            let is_failure = class == EndClass::Failed || killed;
            let in_trouble = !viewer.played || viewer.row.state == ViewerState::Stalled;
            let counts = is_failure || (class == EndClass::Stopped && in_trouble && !reason.is_empty());
            viewer.finished = class == EndClass::Finished;
            viewer.failed |= class == EndClass::Failed;
            (viewer.up, viewer.over) = (false, class == EndClass::Stopped);
            if viewer.finished
                && let Some(playback) = &mut viewer.playback
            {
                playback.finished();
            }
            if let Some(playback) = &mut viewer.playback {
                playback.session_ended();
            }
            viewer.row.state = viewer.state(rules);
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
            (viewer.left, viewer.over) = (true, true);
        });
    }

    /// A viewer will not be started again.
    pub fn given_up(&mut self, number: u32) {
        self.change(number, |viewer| {
            viewer.row.state = ViewerState::Ended;
            viewer.over = true;
        });
        self.lifetimes.given_up += 1;
    }

    /// Credits an exchange to its viewer. `counts`: the run is not over, so it counts as playback. Returns the
    /// startup time in nanoseconds, if playback began.
    pub fn exchange(&mut self, exchange: &Exchange, counts: bool) -> Option<u64> {
        let row = &mut self.viewer(exchange.viewer).row;
        row.requests[exchange.kind] += 1;
        row.bytes[exchange.kind] += exchange.body_bytes;
        row.head_bytes += exchange.head_bytes;
        row.received += exchange.received_bytes.unwrap_or(0);
        if let Some(status) = exchange.status {
            *row.http_status.entry(status).or_default() += 1;
        }
        if !counts {
            return None;
        }
        self.play(exchange.viewer, |playback| playback.exchange(exchange))
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
        self.counts.playing
    }

    /// Stalls, those under way included.
    #[must_use]
    pub const fn stalls_begun(&self) -> u64 {
        self.lifetimes.stalled + self.counts.unended
    }

    /// Playback time of all viewers.
    #[must_use]
    pub fn playback_time(&self) -> PlaybackTime {
        let longest = self.rows.values().map(|viewer| viewer.row.longest_stall_seconds);
        PlaybackTime { longest_stall_seconds: longest.fold(0.0, f64::max), ..self.playback_time }
    }

    /// The distribution of durations that viewers, not exchanges, have; `None` of others.
    pub(crate) fn distribution(&self, timing: Timing) -> Option<&Distribution> {
        match timing {
            Timing::Startup => Some(&self.startup),
            _ => self.quality.distributions().find(|(of, _)| *of == timing).map(|(_, times)| times),
        }
    }

    /// Viewers that are stalled now.
    #[must_use]
    pub const fn stalled_now(&self) -> u64 {
        self.counts.stalled
    }

    /// Playback over all viewers.
    #[must_use]
    pub fn playback(&self) -> Playback {
        let (mut speeds, mut drifts) = (Mean::default(), Mean::default());
        let (mut below, mut high_drift, mut max_drift) = (0, 0, None);
        for row in self.rows.values().filter(|viewer| !viewer.over).map(|viewer| &viewer.row) {
            if let Some(speed) = row.speed {
                speeds.add(speed);
                below += u64::from(speed < SLOW);
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
            stalled_now: self.counts.stalled,
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
mod tests;
