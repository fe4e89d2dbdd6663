//! The timeline of a run while it lasts: events and the passing of time are added to windows.

mod groups;
mod lanes;
#[cfg(test)]
mod tests;

use super::attempts::Attempt;
use super::distribution::Distribution;
use super::exchanges::{Fault, durations};
use super::generator::MachineSums;
use super::quality::OverTime;
use crate::exchange::{Exchange, Kind};
use crate::listed::Rendition;
use crate::snapshot::{PlaybackTime, Timing, ViewerState};
use crate::timeline::failures::FailureClass;
use crate::timeline::lanes::Cell;
use crate::timeline::{
    MAX_MARKS, MAX_WINDOWS, Mark, MarkKind, Samples, SlowLimit, Timeline, ViewerSeconds, Window,
};
use groups::Groups;
use lanes::Lanes;

/// The shortest window, seconds.
const SHORTEST: u64 = 2;
/// The largest number of marks of first failures.
const MAX_FAILURE_MARKS: usize = 8;

/// The sums of the whole run at the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) playback_time: PlaybackTime,
    pub(crate) stalls: u64,
    pub(crate) quality: OverTime,
    /// Sums over the samples of this machine, and how many there were.
    pub(crate) machine: MachineSums,
    /// The origin's load now: percent, and bytes per second sent.
    pub(crate) origin: (Option<f64>, Option<f64>),
}

/// The timeline so far.
#[derive(Clone, Debug)]
pub(crate) struct TimelineLog {
    width: u64,
    windows: Vec<Window>,
    marks: Vec<Mark>,
    lanes: Lanes,
    groups: Groups,
    slow: Option<SlowLimit>,
    /// Time of the last tick, seconds of the run, and the sums then.
    ticked: f64,
    before: Sums,
    /// Length of the run; stopping the viewers is not part of it.
    closed: Option<f64>,
}

impl Default for TimelineLog {
    fn default() -> Self {
        Self {
            width: SHORTEST,
            windows: Vec::new(),
            marks: Vec::new(),
            lanes: Lanes::default(),
            groups: Groups::default(),
            slow: None,
            ticked: 0.0,
            before: Sums::default(),
            closed: None,
        }
    }
}

impl TimelineLog {
    /// An empty timeline with windows of one target duration. Segments beyond `slow` are slow.
    pub(crate) fn new(target_seconds: f64, slow: Option<SlowLimit>) -> Self {
        let width = (target_seconds.ceil() as u64).clamp(SHORTEST, 3600);
        Self { width, slow, ..Self::default() }
    }

    /// The run is over: what ends later is not part of it.
    pub(crate) fn close(&mut self, elapsed: f64) {
        self.closed.get_or_insert(elapsed);
    }

    /// The index of the window that contains this moment, which exists then.
    fn place(&mut self, elapsed: f64) -> usize {
        let second = elapsed.max(0.0) as u64;
        let width = Timeline::width_for(self.width, second);
        while self.width < width {
            self.halve();
        }
        let place = usize::try_from(second / self.width).unwrap_or(usize::MAX).min(MAX_WINDOWS - 1);
        while self.windows.len() <= place {
            let second = self.windows.len() as u64 * self.width;
            self.windows.push(Window { second, ..Window::default() });
        }
        place
    }

    /// Joins windows in pairs.
    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        let mut joined = Vec::with_capacity(MAX_WINDOWS);
        for pair in self.windows.chunks(2) {
            let mut windows = pair.iter();
            let Some(first) = windows.next() else { continue };
            let mut window = first.clone();
            windows.for_each(|later| window.join(later));
            joined.push(window);
        }
        self.windows = joined;
        self.lanes.halve();
    }

    /// Changes the window of a moment, if that is part of the run. Returns its index.
    fn at(&mut self, elapsed: f64, change: impl FnOnce(&mut Window)) -> Option<usize> {
        if self.closed.is_some_and(|closed| elapsed > closed) {
            return None;
        }
        let place = self.place(elapsed);
        self.windows.get_mut(place).map(change);
        Some(place)
    }

    /// Adds a request that ended at `elapsed`. `tracks`: the number of playlists that the viewer plays together, if it is
    /// known.
    pub(crate) fn exchange(
        &mut self,
        exchange: &Exchange,
        attempt: Attempt,
        elapsed: f64,
        tracks: Option<usize>,
    ) {
        let times = |wanted: Timing| {
            durations(exchange).find(|(timing, _)| *timing == wanted).map(|(_, nanos)| nanos as f64 / 1e9)
        };
        let is_segment = exchange.kind == Kind::Segment;
        let (ttfb, total) = if is_segment {
            (times(Timing::Ttfb(Kind::Segment)), times(Timing::Total(Kind::Segment)))
        } else {
            (None, None)
        };
        let lasts = exchange.segment.map_or(0.0, |segment| segment.duration_us as f64 / 1e6);
        let class = attempt.fault.map(|fault| class(exchange, fault));
        let place = self.at(elapsed, |window| {
            window.attempts += 1;
            window.playlists += u64::from(exchange.kind == Kind::Playlist);
            window.segments += u64::from(is_segment);
            window.bytes += exchange.body_bytes;
            ttfb.into_iter().for_each(|seconds| window.segment_ttfb.add(seconds));
            if let Some(seconds) = total {
                window.segment_total.add(seconds);
                window.media_seconds += counted(exchange, lasts, tracks);
                // Without a duration, the bytes would belong to no playing time.
                window.segment_bytes += if lasts > 0.0 { exchange.body_bytes } else { 0 };
            }
            if let Some(class) = class {
                *window.errors.entry(class).or_default() += 1;
            }
        });
        let Some(place) = place else { return };
        let slow = match &self.slow {
            Some(limit) if limit.to_first_byte => ttfb.is_some_and(|ttfb| ttfb >= limit.seconds),
            Some(limit) => total.is_some_and(|total| total >= limit.seconds),
            None => lasts > 0.0 && total.is_some_and(|total| total > lasts),
        };
        if slow {
            self.lanes.add(exchange.viewer, place, Cell::SLOW);
        }
        if let (Some(fault), Some(class)) = (attempt.fault, class) {
            self.lanes.add(exchange.viewer, place, Cell::FAILED);
            let what = groups::what(exchange, fault);
            self.failed(&what, class, Some(exchange), exchange.viewer, elapsed);
        }
    }

    /// Adds a connection that could not be made.
    pub(crate) fn connect_failed(&mut self, viewer: u32, reason: &str, timed_out: bool, elapsed: f64) {
        let class = if timed_out { FailureClass::Timeout } else { FailureClass::Connection };
        let place = self.at(elapsed, |window| {
            window.attempts += 1;
            *window.errors.entry(class).or_default() += 1;
        });
        if let Some(place) = place {
            self.lanes.add(viewer, place, Cell::FAILED);
            self.failed(reason, class, None, viewer, elapsed);
        }
    }

    fn failed(&mut self, what: &str, class: FailureClass, of: Option<&Exchange>, viewer: u32, elapsed: f64) {
        let first = self.groups.add(what, class, of, viewer, elapsed);
        let marks = self.marks.iter().filter(|mark| mark.kind == MarkKind::Failure).count();
        let known =
            || self.marks.iter().any(|mark| mark.kind == MarkKind::Failure && mark.text.ends_with(what));
        if first && marks < MAX_FAILURE_MARKS && !known() {
            self.mark(MarkKind::Failure, elapsed, format!("first {what}"));
        }
    }

    /// Takes back bytes of a body that did not arrive whole; that is a failure if it is `certain`.
    pub(crate) fn cut_short(&mut self, viewer: u32, missing: u64, certain: bool, elapsed: f64) {
        let mut rest = missing;
        for window in self.windows.iter_mut().rev() {
            let here = rest.min(window.bytes);
            window.bytes -= here;
            rest -= here;
        }
        if !certain {
            return;
        }
        let class = FailureClass::Interrupted;
        // The request has been counted before.
        let place = self.at(elapsed, |window| *window.errors.entry(class).or_default() += 1);
        if let Some(place) = place {
            self.lanes.add(viewer, place, Cell::FAILED);
            self.failed("interrupted", class, None, viewer, elapsed);
        }
    }

    /// A viewer was started again.
    pub(crate) fn restarted(&mut self, viewer: u32, elapsed: f64) {
        let Some(place) = self.at(elapsed, |window| window.restarts += 1) else { return };
        self.lanes.add(viewer, place, Cell::RESTARTED);
        if self.marks.iter().all(|mark| mark.kind != MarkKind::Restart) {
            self.mark(MarkKind::Restart, elapsed, "first restart".to_owned());
        }
    }

    /// Adds a mark.
    pub(crate) fn mark(&mut self, kind: MarkKind, elapsed: f64, text: String) {
        if self.closed.is_none() && self.marks.len() < MAX_MARKS {
            self.marks.push(Mark { second: elapsed, kind, text });
        }
    }

    /// Time has passed up to `elapsed`, with the viewers in these states since the last time. Viewers that are not
    /// expected are not among them.
    pub(crate) fn pass(
        &mut self,
        elapsed: f64,
        viewers: impl Iterator<Item = (u32, ViewerState)>,
        now: Sums,
    ) {
        let from = self.ticked;
        self.ticked = elapsed.max(from);
        let step = self.ticked - from;
        // Without time, only what has been found out since belongs to it.
        if self.closed.is_some() {
            return;
        }
        let middle = if step > 0.0 { from + step / 2.0 } else { from - 0.001 };
        let place = self.place(middle);
        let mut counts = ViewerSeconds::default();
        for (viewer, state) in viewers {
            let (sum, cell) = match state {
                ViewerState::Playing => (&mut counts.playing, Cell::PLAYED),
                ViewerState::Stalled => (&mut counts.stalled, Cell::STALLED),
                ViewerState::Starting => (&mut counts.starting, Cell::STARTING),
                ViewerState::Waiting => (&mut counts.waiting, Cell::STARTING),
                ViewerState::Ended => (&mut counts.waiting, Cell::default()),
            };
            *sum += 1.0;
            counts.wanted += 1.0;
            self.lanes.add(viewer, place, cell);
        }
        let before = std::mem::replace(&mut self.before, now);
        if before.stalls == 0 && now.stalls > 0 {
            self.mark(MarkKind::Stall, from + step / 2.0, "first stall".to_owned());
        }
        // Sums belong to the window in which most of the step is; states are divided exactly.
        let add = |samples: &mut Samples, now: (f64, u64), before: (f64, u64)| {
            samples.sum += now.0 - before.0;
            samples.samples += now.1.saturating_sub(before.1);
        };
        let (quality, earlier) = (now.quality, before.quality);
        let (machine, machine_before) = (now.machine, before.machine);
        if let Some(window) = self.windows.get_mut(place) {
            window.viewed_seconds += now.playback_time.viewed_seconds - before.playback_time.viewed_seconds;
            window.stalled_seconds +=
                now.playback_time.stalled_seconds - before.playback_time.stalled_seconds;
            window.stalls += now.stalls.saturating_sub(before.stalls);
            add(&mut window.live_latency, quality.latency, earlier.latency);
            add(&mut window.buffer, quality.buffer, earlier.buffer);
            window.bits_played += quality.bits - earlier.bits;
            window.bits_played_seconds += quality.played - earlier.played;
            let cpu = |of: MachineSums| (of.cpu_percent, of.samples);
            let own = |of: MachineSums| (of.own_cpu_percent, of.samples);
            add(&mut window.cpu_percent, cpu(machine), cpu(machine_before));
            add(&mut window.own_cpu_percent, own(machine), own(machine_before));
            for (samples, value) in [
                (&mut window.origin_cpu_percent, now.origin.0),
                (&mut window.origin_transmit_bytes_per_second, now.origin.1),
            ] {
                // A tick is a sample, because scrapes may come less often than windows.
                value.into_iter().for_each(|value| add(samples, (value, 1), (0.0, 0)));
            }
        }
        if step > 0.0 {
            self.spread(from, from + step, counts);
        }
    }

    /// Adds viewers in these states between two moments to the windows that the time belongs to.
    fn spread(&mut self, from: f64, to: f64, counts: ViewerSeconds) {
        let _ = self.place(to);
        let width = self.width as f64;
        let first = (from / width) as usize;
        for window in self.windows.iter_mut().skip(first) {
            let begin = window.second as f64;
            let seconds = to.min(begin + width) - from.max(begin);
            if seconds <= 0.0 {
                continue;
            }
            window.seconds += seconds;
            let ViewerSeconds { wanted, playing, stalled, starting, waiting } = &mut window.viewers;
            *wanted += counts.wanted * seconds;
            *playing += counts.playing * seconds;
            *stalled += counts.stalled * seconds;
            *starting += counts.starting * seconds;
            *waiting += counts.waiting * seconds;
        }
    }

    /// The timeline up to now.
    pub(crate) fn timeline(&self, startup: Option<&Distribution>) -> Timeline {
        // A window that has just begun, and in which nothing was observed, would look like an outage.
        let observed = self.windows.iter().rposition(|window| window.seconds > 0.0 || window.attempts > 0);
        let windows = self.windows.get(..observed.map_or(0, |last| last + 1)).unwrap_or_default();
        let mut marks = self.marks.clone();
        marks.sort_by(|a, b| a.second.total_cmp(&b.second));
        Timeline {
            window_seconds: self.width,
            windows: windows.to_vec(),
            marks,
            lanes: self.lanes.chosen(),
            lanes_of: self.lanes.count(),
            startup: startup.map(Distribution::log_buckets).unwrap_or_default(),
            slow: self.slow.clone(),
            failures: self.groups.groups(),
        }
    }
}

/// The class of a failure.
const fn class(exchange: &Exchange, fault: Fault) -> FailureClass {
    match fault {
        Fault::Http => match exchange.status {
            Some(500..) => FailureClass::Server,
            _ => FailureClass::Client,
        },
        Fault::Broken => FailureClass::Interrupted,
        Fault::TimedOut => FailureClass::Timeout,
        Fault::Content(_) => FailureClass::Content,
    }
}

/// The playing time that a segment adds. A viewer that plays several playlists together needs a segment of each for the
/// same time. Of players that report what they play it is not known how many those are, but separate audio is.
fn counted(exchange: &Exchange, lasts: f64, tracks: Option<usize>) -> f64 {
    let rendition = exchange.segment.map_or(Rendition::Main, |segment| segment.rendition);
    match (rendition, tracks) {
        (Rendition::Subtitles, _) | (Rendition::Audio, None) => 0.0,
        (_, tracks) => lasts / tracks.unwrap_or(1).max(1) as f64,
    }
}
