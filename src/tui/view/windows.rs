//! The run over time as the dashboard draws it, in windows of two seconds: from what each snapshot adds to the one before.
//!
//! The sums are those of the run's timeline. Its own windows become longer as the run does, so that a report has the whole
//! run; the dashboard shows the last minutes, and the percentiles of the last seconds.

use std::collections::{BTreeMap, VecDeque};

use hls_swarm_model::snapshot::{PlaybackSource, Snapshot, ViewerRow, ViewerState};
use hls_swarm_model::timeline::buckets::LogBuckets;

use super::viewers::errors;

/// Length of a window, seconds. Viewers request a segment in about such a time, so that windows do not show the beat
/// between seconds and segments.
const SECONDS: f64 = 2.0;
/// Windows that are kept: ten minutes.
pub const WINDOWS: usize = 300;
/// Viewers that have lanes; with more, a frame would cost too much.
const LANES: u32 = 2000;
/// Windows over which the bit rate of the media is an average, as in the report.
const BIT_RATE_WINDOWS: usize = 4;

/// What a viewer went through in a window; the worst counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// There was no such viewer, or it had left.
    #[default]
    Absent,
    /// It played.
    Played,
    /// It was starting, or waiting to be started.
    Starting,
    /// It was started again.
    Restarted,
    /// It was stalled.
    Stalled,
    /// A response to it had a status of 400 or above.
    Failed,
}

/// The sums of one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Its beginning, seconds of the run.
    pub second: f64,
    /// The part of it that has passed, seconds.
    pub seconds: f64,
    /// Viewer-seconds: playing, stalled, starting, and waiting to be started.
    pub states: [f64; 4],
    /// Viewer-seconds of viewers that should be up.
    pub wanted: f64,
    /// Body bytes of all kinds.
    pub bytes: u64,
    /// What the viewers that should be up need together, bits per second; `None` while it is not known.
    pub need: Option<f64>,
    /// Segments, from the request to the first byte.
    pub ttfb: LogBuckets,
    /// Segments, from the request to the last byte.
    pub total: LogBuckets,
    /// Bytes of whole segments, and their playing time in seconds.
    media: (u64, f64),
}

impl Window {
    /// Viewers, on average, of some viewer-seconds.
    #[must_use]
    pub fn average(&self, viewer_seconds: f64) -> f64 {
        if self.seconds > 0.0 { viewer_seconds / self.seconds } else { 0.0 }
    }

    /// Viewers on average: playing, stalled, starting, and waiting to be started.
    #[must_use]
    pub fn viewers(&self) -> [f64; 4] {
        self.states.map(|seconds| self.average(seconds))
    }

    /// Body bits per second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.average(self.bytes as f64 * 8.0)
    }
}

/// The lane of one viewer.
#[derive(Clone, Debug, Default)]
struct Lane {
    cells: VecDeque<Cell>,
    starts: u32,
    errors: u64,
}

/// The windows so far.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    windows: VecDeque<Window>,
    lanes: BTreeMap<u32, Lane>,
    /// Bits per second of the media.
    bit_rate: Option<f64>,
    last: Option<Box<Last>>,
}

/// The sums at the snapshot before.
#[derive(Clone, Debug, Default)]
struct Last {
    at: f64,
    states: [f64; 4],
    wanted: f64,
    bytes: u64,
    media: (u64, f64),
    ttfb: LogBuckets,
    total: LogBuckets,
}

impl Last {
    fn of(snapshot: &Snapshot) -> Self {
        let mut sums = Self { at: snapshot.elapsed_seconds, ..Self::default() };
        for window in &snapshot.timeline.windows {
            let of = &window.viewers;
            add(&mut sums.states, [of.playing, of.stalled, of.starting, of.waiting], [0.0; 4]);
            sums.wanted += of.wanted;
            sums.bytes = sums.bytes.saturating_add(window.bytes);
            sums.media.0 = sums.media.0.saturating_add(window.segment_bytes);
            sums.media.1 += window.media_seconds;
            sums.ttfb.add_all(&window.segment_ttfb);
            sums.total.add_all(&window.segment_total);
        }
        sums
    }
}

/// Viewers by state: playing, stalled, starting, and waiting to be started.
#[must_use]
pub fn by_state(snapshot: &Snapshot) -> [u64; 4] {
    let of = |state: ViewerState| snapshot.viewers.iter().filter(|row| row.state == state).count() as u64;
    let playing = snapshot.playing_clients;
    if snapshot.viewers.is_empty() {
        let stalled = snapshot.measured_playback().map_or(0, |playback| playback.stalled_now);
        let others = snapshot.active_clients.saturating_sub(playing.saturating_add(stalled));
        return [playing, stalled, others, snapshot.target_now.saturating_sub(snapshot.active_clients)];
    }
    [playing, of(ViewerState::Stalled), of(ViewerState::Starting), of(ViewerState::Waiting)]
}

impl Windows {
    /// Adds a snapshot if it is newer than the last one.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let now = Last::of(snapshot);
        let Some(before) = self.last.take().map(|last| *last) else {
            self.last = Some(Box::new(now));
            return;
        };
        let step = now.at - before.at;
        if !(step > 0.0 && step.is_finite()) {
            self.last = Some(Box::new(before));
            return;
        }
        if self.windows.back().is_none_or(|window| window.seconds + step / 2.0 >= SECONDS) {
            self.open(before.at);
        }
        let Some(window) = self.windows.back_mut() else { return };
        window.seconds += step;
        add(&mut window.states, now.states, before.states);
        window.wanted += now.wanted - before.wanted;
        window.bytes += now.bytes.saturating_sub(before.bytes);
        window.media.0 += now.media.0.saturating_sub(before.media.0);
        window.media.1 += (now.media.1 - before.media.1).max(0.0);
        window.ttfb.add_all(&now.ttfb.since(&before.ttfb));
        window.total.add_all(&now.total.since(&before.total));
        self.note_lanes(snapshot);
        if snapshot.sources.playback != PlaybackSource::Downloads {
            self.note_need();
        }
        self.last = Some(Box::new(now));
    }

    fn open(&mut self, second: f64) {
        self.windows.push_back(Window { second, ..Window::default() });
        let dropped = self.windows.len() > WINDOWS;
        if dropped {
            self.windows.pop_front();
        }
        for lane in self.lanes.values_mut() {
            lane.cells.push_back(Cell::Absent);
            if dropped {
                lane.cells.pop_front();
            }
        }
    }

    fn note_lanes(&mut self, snapshot: &Snapshot) {
        let windows = self.windows.len();
        for row in snapshot.viewers.iter().filter(|row| row.viewer <= LANES) {
            let lane = self.lanes.entry(row.viewer).or_insert_with(|| Lane {
                cells: vec![Cell::Absent; windows].into(),
                starts: row.starts,
                errors: errors(row),
            });
            let cell = lane.cell(row);
            if let Some(last) = lane.cells.back_mut() {
                *last = (*last).max(cell);
            }
        }
    }

    /// Viewers need the bit rate of the media that arrives. While no segment arrives, it is the last one known.
    fn note_need(&mut self) {
        let recent = self.windows.iter().rev().take(BIT_RATE_WINDOWS).map(|window| window.media);
        let (bytes, seconds) = recent.fold((0.0, 0.0), |sum, of| (sum.0 + of.0 as f64, sum.1 + of.1));
        if seconds > 0.0 {
            self.bit_rate = Some(bytes * 8.0 / seconds);
        }
        let bit_rate = self.bit_rate;
        if let Some(window) = self.windows.back_mut() {
            window.need = bit_rate.map(|rate| rate * window.average(window.wanted));
        }
    }

    /// The newest windows, oldest first.
    pub fn newest(&self, count: usize) -> impl ExactSizeIterator<Item = &Window> + Clone {
        self.windows.iter().skip(self.windows.len().saturating_sub(count))
    }

    /// The segments of the last `seconds`: from the request to the first byte, and to the last one; and how long that was.
    #[must_use]
    pub fn recent(&self, seconds: f64) -> (LogBuckets, LogBuckets, f64) {
        let (mut ttfb, mut total, mut passed) = (LogBuckets::default(), LogBuckets::default(), 0.0);
        for window in self.windows.iter().rev() {
            if passed >= seconds {
                break;
            }
            passed += window.seconds;
            ttfb.add_all(&window.ttfb);
            total.add_all(&window.total);
        }
        (ttfb, total, passed)
    }

    /// The number of viewers with lanes.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Whether every viewer has a lane.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.lanes.len() < LANES as usize
    }

    /// The lanes of the worst viewers with their newest cells, the worst first.
    #[must_use]
    pub fn worst(&self, count: usize, columns: usize) -> Vec<(u32, Vec<Cell>)> {
        let badness = |lane: &Lane| {
            let of = |kind: Cell| lane.cells.iter().filter(|cell| **cell == kind).count();
            (of(Cell::Failed) + of(Cell::Stalled), of(Cell::Restarted), of(Cell::Starting))
        };
        let mut lanes: Vec<_> =
            self.lanes.iter().map(|(viewer, lane)| (badness(lane), *viewer, lane)).collect();
        lanes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let newest =
            |lane: &Lane| lane.cells.iter().skip(lane.cells.len().saturating_sub(columns)).copied().collect();
        lanes.into_iter().take(count).map(|(_, viewer, lane)| (viewer, newest(lane))).collect()
    }
}

/// Adds to `sums` what `now` has more than `before`.
fn add(sums: &mut [f64; 4], now: [f64; 4], before: [f64; 4]) {
    for (sum, (now, before)) in sums.iter_mut().zip(now.into_iter().zip(before)) {
        *sum += now - before;
    }
}

impl Lane {
    /// What the viewer goes through now.
    fn cell(&mut self, row: &ViewerRow) -> Cell {
        let starts = std::mem::replace(&mut self.starts, row.starts);
        let failed = std::mem::replace(&mut self.errors, errors(row));
        let state = match row.state {
            ViewerState::Playing => Cell::Played,
            ViewerState::Stalled => Cell::Stalled,
            ViewerState::Starting | ViewerState::Waiting => Cell::Starting,
            ViewerState::Ended => Cell::Absent,
        };
        let restarted = if row.starts > starts && starts > 0 { Cell::Restarted } else { Cell::Absent };
        let failed = if self.errors > failed { Cell::Failed } else { Cell::Absent };
        state.max(restarted).max(failed)
    }
}

#[cfg(test)]
mod tests {
    use hls_swarm_model::exchange::Source;
    use hls_swarm_model::timeline::{Timeline, Window as Sums};
    use hls_swarm_test_support::recorded::{SECOND, stats};

    use super::*;

    #[test]
    fn windows_are_what_each_snapshot_adds() {
        let mut windows = Windows::default();
        let mut snapshot = stats(Source::Probe).snapshot(SECOND);
        snapshot.timeline = Timeline { windows: vec![Sums::default()], ..Timeline::default() };
        for second in 1..=5_u32 {
            snapshot.elapsed_seconds = f64::from(second);
            // The timeline may join its windows: only its sums count.
            let sums = snapshot.timeline.windows.first_mut().unwrap();
            sums.viewers.wanted += 4.0;
            sums.viewers.playing += 3.0;
            sums.bytes += 1000;
            // Only the first two snapshots have segments.
            if second <= 2 {
                sums.segment_bytes += 1000;
                sums.media_seconds += 2.0;
                sums.segment_total.add(f64::from(second));
            }
            windows.add(&snapshot);
        }
        let all: Vec<&Window> = windows.newest(9).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].bytes, all[1].bytes), (2000, 2000), "the first snapshot is where they begin");
        assert_eq!((all[0].total.count(), all[1].total.count()), (1, 0));
        assert_eq!(all[0].viewers(), [3.0, 0.0, 0.0, 0.0]);
        assert_eq!(all[1].need, Some(4.0 * 4000.0), "that of the segment before");
        assert_eq!(windows.recent(10.0).1.count(), 1);
    }

    #[test]
    fn the_worst_of_a_window_is_shown() {
        assert!(
            Cell::Failed > Cell::Stalled && Cell::Stalled > Cell::Starting && Cell::Starting > Cell::Played
        );
        let mut lane = Lane { starts: 1, ..Lane::default() };
        let row = |state, starts| ViewerRow { state, starts, ..ViewerRow::default() };
        assert_eq!(lane.cell(&row(ViewerState::Playing, 1)), Cell::Played);
        assert_eq!(lane.cell(&row(ViewerState::Playing, 2)), Cell::Restarted);
        assert_eq!(lane.cell(&row(ViewerState::Stalled, 2)), Cell::Stalled);
    }
}
