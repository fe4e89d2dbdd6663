//! The playhead: what it does becomes events and figures.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::track::{Load, Waits};
use super::*;
use crate::figures::Snapshot;
use crate::interface::StallReason;
use crate::playhead::{SHORTEST_STALL_NS, Viewing};

/// What was seen of the playhead so far.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// Up to when.
    pub(crate) at: Duration,
    /// When the first segment was complete: of the main rendition, or of any where nothing is played.
    pub(crate) first_media: Option<Duration>,
    state: State,
    viewing: Viewing,
    position_ns: u64,
    buffered_ns: u64,
    /// When the stall under way began, its time before that, and what its end was waited for.
    stall: Option<Box<Stall>>,
    /// Where media of another variant, or of another clock, begins.
    stretches: VecDeque<Stretch>,
}

#[derive(Clone, Debug)]
struct Stall {
    stalled_before_ns: u64,
    reason: StallReason,
    waits: Waits,
}

/// Media of one variant and one clock.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from_ns: u64,
    variant: u16,
    bandwidth: u64,
    /// The date at position 0, nanoseconds since 1970, if the media has dates.
    date_at_0_ns: Option<i64>,
}

/// Dates that differ by less belong to one clock; EXTINF is rounded.
const SAME_CLOCK_NS: u64 = 10_000_000;
/// Changes that are remembered ahead of the playhead.
const STRETCHES: usize = 256;

impl Default for Watch {
    fn default() -> Self {
        Self {
            at: Duration::ZERO,
            first_media: None,
            state: State::Starting,
            viewing: Viewing::default(),
            position_ns: 0,
            buffered_ns: 0,
            stall: None,
            stretches: VecDeque::new(),
        }
    }
}

impl Watch {
    /// Notes what an arrival was waited for.
    pub(crate) fn arrived(&mut self, waits: &Waits) {
        if let Some(stall) = &mut self.stall {
            stall.waits.merge(waits);
        }
    }

    /// Bits per second times seconds from one position to another.
    fn bits(&self, from_ns: u64, to_ns: u64) -> f64 {
        let mut bits = 0.0;
        for (index, stretch) in self.stretches.iter().enumerate() {
            let end_ns = self.stretches.get(index + 1).map_or(u64::MAX, |next| next.from_ns);
            let (begin, end) = (stretch.from_ns.max(from_ns), end_ns.min(to_ns));
            bits += end.saturating_sub(begin) as f64 / 1e9 * stretch.bandwidth as f64;
        }
        bits
    }

    /// Forgets what lies behind the playhead.
    fn forget(&mut self, position_ns: u64) {
        while self.stretches.get(1).is_some_and(|next| next.from_ns <= position_ns) {
            self.stretches.pop_front();
        }
    }
}

impl Player {
    /// Notes the variant and the date of a segment that has arrived.
    pub(super) fn begin_stretch(&mut self, index: usize, load: &Load) {
        let track = &self.tracks[index];
        let level = self.levels.get(load.level);
        let begin_ns = track.next_ns.saturating_sub(track.leave_out_ns);
        let date_at_0_ns = load.date_ns.and_then(|date| date.checked_sub_unsigned(begin_ns));
        let stretch = Stretch {
            from_ns: track.next_ns,
            variant: level.map_or(0, |level| level.variant),
            bandwidth: level.map_or(0, |level| level.bandwidth),
            date_at_0_ns,
        };
        let stretches = &mut self.watch.stretches;
        let same = stretches.back().is_some_and(|last| {
            let same_clock = match (last.date_at_0_ns, stretch.date_at_0_ns) {
                (Some(one), Some(other)) => one.abs_diff(other) < SAME_CLOCK_NS,
                (one, other) => one == other,
            };
            last.variant == stretch.variant && same_clock
        });
        if !same && stretches.len() < STRETCHES {
            stretches.push_back(stretch);
        }
    }

    /// Moves the playhead to `at`.
    pub(super) fn advance(&mut self, at: Duration, outputs: &mut Vec<Output>) {
        if let Some(playhead) = &mut self.playhead {
            playhead.advance(ns(at));
        }
        self.observe(at, outputs);
    }

    /// Reports what the playhead has done up to `at` since the last call.
    pub(super) fn observe(&mut self, at: Duration, outputs: &mut Vec<Output>) {
        let Some(playhead) = &self.playhead else {
            self.watch.at = self.watch.at.max(at);
            return;
        };
        let (state, viewing, buffered_ns) = (playhead.state(), playhead.viewing(), playhead.buffered_ns());
        let before = self.watch.viewing;
        let (from_ns, to_ns) = (self.watch.position_ns, playhead.position_ns());
        let played_ns = viewing.played_ns - before.played_ns;
        if played_ns > 0 && to_ns > from_ns {
            let share = played_ns as f64 / (to_ns - from_ns) as f64;
            self.figures.bits_played += self.watch.bits(from_ns, to_ns) * share;
        }
        self.watch.forget(to_ns);
        // When the playhead stopped, if it did.
        let stopped = (self.watch.at + Duration::from_nanos(played_ns)).min(self.now);
        let passed = at.saturating_sub(self.watch.at);
        if self.watch.state != State::Starting {
            let average = (self.watch.buffered_ns as f64 + buffered_ns as f64) / 2e9;
            self.figures.buffer_seconds_squared += average * passed.as_secs_f64();
            self.figures.observed += passed;
        }
        let earlier = self.watch.state;
        self.watch.at = self.watch.at.max(at);
        self.watch.state = state;
        self.watch.viewing = viewing;
        self.watch.position_ns = to_ns;
        self.watch.buffered_ns = buffered_ns;
        self.figures.played = Duration::from_nanos(viewing.played_ns);
        self.figures.skipped = Duration::from_nanos(viewing.missing_ns);
        self.figures.skipped_segments = viewing.skipped;
        if state == earlier {
            return;
        }
        match state {
            State::Playing if earlier == State::Starting => {
                let startup = Duration::from_nanos(viewing.startup_ns.unwrap_or_default());
                self.figures.startup = Some(startup);
                self.event(self.began + startup, EventKind::Started { startup }, outputs);
            }
            State::Playing | State::Ended if self.watch.stall.is_some() => self.resumed(at, outputs),
            State::Stalled => self.stalled(before.stalled_ns, stopped, outputs),
            _ => {}
        }
        if state == State::Ended {
            self.finished = true;
            self.event(stopped, EventKind::Ended, outputs);
        }
    }

    fn stalled(&mut self, stalled_before_ns: u64, at: Duration, outputs: &mut Vec<Output>) {
        let now = self.now;
        for track in &mut self.tracks {
            track.count_waiting(now);
        }
        // What has the least media is what playback waits for.
        let needed = self.tracks.iter().filter(|track| track.role != Role::Subtitles);
        let awaited = needed.min_by_key(|track| track.next_ns);
        let reason = awaited
            .and_then(|track| track.waits.longest().or_else(|| track.waiting_for(at, now)))
            .unwrap_or(StallReason::NoNewMedia);
        self.watch.stall = Some(Box::new(Stall { stalled_before_ns, reason, waits: Waits::default() }));
        self.abr.stalled();
        self.starved = true;
        if let Some(reported) = &mut self.reported {
            reported.stalled();
        }
        if self.rules.yields_after_stalls {
            let target = self.main().and_then(Track::media).map_or(0.0, |media| media.longest_segment());
            self.yielded = (self.yielded + 1.0).min(target);
        }
        self.event(at, EventKind::Stalled { reason }, outputs);
    }

    fn resumed(&mut self, at: Duration, outputs: &mut Vec<Output>) {
        let Some(stall) = self.watch.stall.take() else { return };
        let stalled_ns = self.watch.viewing.stalled_ns - stall.stalled_before_ns;
        let stalled = Duration::from_nanos(stalled_ns);
        if let Some(reported) = &mut self.reported {
            reported.resumed(stalled);
        }
        let own = stall.waits.own_lateness() >= stalled;
        let reason =
            if own { StallReason::OwnLateness } else { stall.waits.longest().unwrap_or(stall.reason) };
        let counts = stalled_ns >= SHORTEST_STALL_NS;
        self.figures.stalls[reason.index()] += u32::from(counts);
        if own {
            self.figures.stalled_own += stalled;
        } else {
            self.figures.stalled += stalled;
            if counts {
                self.figures.longest_stall = self.figures.longest_stall.max(stalled);
            }
        }
        self.event(at, EventKind::Resumed { stalled, reason }, outputs);
    }

    /// The stall under way: how long it has lasted, and what playback waits for.
    fn stall(&self) -> Option<(Duration, StallReason)> {
        let stall = self.watch.stall.as_ref()?;
        let stalled_ns = self.watch.viewing.stalled_ns - stall.stalled_before_ns;
        Some((Duration::from_nanos(stalled_ns), stall.reason))
    }

    /// What the viewer has seen up to the last step. A stall under way counts as the stream's, until its end shows that
    /// it was not.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        if let Some((stalled, _)) = self.stall() {
            figures.stalled += stalled;
            if ns(stalled) >= SHORTEST_STALL_NS {
                figures.longest_stall = figures.longest_stall.max(stalled);
            }
        }
        figures
    }

    /// What the viewer sees as of the last step.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let level = self.levels.get(self.level);
        let position_ns = self.position_ns();
        let started = self.figures.startup.is_some();
        let date = self.watch.stretches.front().filter(|_| started).and_then(|stretch| {
            let ns = stretch.date_at_0_ns?.checked_add_unsigned(position_ns)?;
            Timestamp::from_nanosecond(ns.into()).ok()
        });
        Snapshot {
            state: self.playhead.as_ref().map(Playhead::state),
            stall: self.stall(),
            buffer: Duration::from_nanos(self.playhead.as_ref().map_or(0, Playhead::buffered_ns)),
            variant: level.map_or(0, |level| level.variant),
            bandwidth: level.map(|level| level.bandwidth).filter(|bandwidth| *bandwidth > 0),
            throughput: self.abr.throughput(),
            latency_by_edge: self.latency_by_edge().filter(|_| started),
            target_latency: self.target_latency().filter(|_| started),
            date,
        }
    }

    /// BANDWIDTH of what is shown, once anything is.
    pub(super) fn playhead_bandwidth(&self) -> Option<u64> {
        self.figures.startup?;
        Some(self.watch.stretches.front()?.bandwidth)
    }

    /// The latency that the playlist asks for.
    fn target_latency(&self) -> Option<Duration> {
        let main = self.main().filter(|_| self.is_live())?;
        let seconds = list::hold_back(main.media()?, main.plays_parts());
        Some(Duration::from_nanos(list::to_ns(seconds)))
    }

    /// How far the playhead is from the end of the last segment that was listed, as it would be listed by now.
    fn latency_by_edge(&self) -> Option<Duration> {
        let main = self.main().filter(|_| self.is_live())?;
        let edge_ns = main.next_ns.saturating_add(main.listed_ns()?);
        let behind = Duration::from_nanos(edge_ns.saturating_sub(self.position_ns()));
        Some(behind + self.now.saturating_sub(main.reload.changed))
    }
}
