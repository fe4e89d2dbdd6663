//! The run over time as the dashboard draws it, in windows of two seconds: from what each snapshot adds to the one before.

use std::collections::{BTreeMap, VecDeque};

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Buckets, Snapshot, Timing, ViewerRow, ViewerState};

use super::viewers::errors;

/// Length of a window, seconds. Viewers request a segment in about such a time, so that windows do not show the beat
/// between seconds and segments.
const SECONDS: f64 = 2.0;
/// Windows that are kept: ten minutes.
pub const WINDOWS: usize = 300;
/// Viewers that have lanes; with more, a frame would cost too much.
const LANES: u32 = 2000;
/// Windows over which the bit rate of the media is an average.
const BIT_RATE_WINDOWS: usize = 15;

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

/// Counts of durations by the buckets of the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Upper ends of the buckets, seconds; the last one has none.
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Counts {
    /// What was counted since `before`.
    fn since(now: &Buckets, before: &Buckets) -> Self {
        let own = |buckets: &Buckets| {
            let mut below = 0;
            let all = buckets.cumulative.iter().map(|(_, count)| *count).chain([buckets.count]);
            all.map(|count| count.saturating_sub(std::mem::replace(&mut below, count))).collect::<Vec<_>>()
        };
        let before = own(before);
        let counts = own(now).into_iter().enumerate();
        Self {
            bounds: now.cumulative.iter().map(|(bound, _)| *bound).collect(),
            counts: counts
                .map(|(place, count)| count.saturating_sub(before.get(place).copied().unwrap_or(0)))
                .collect(),
        }
    }

    fn add(&mut self, other: &Self) {
        if self.bounds.is_empty() {
            self.bounds.clone_from(&other.bounds);
        }
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The buckets with their lower and upper ends in seconds, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let lower = std::iter::once(0.0).chain(self.bounds.iter().copied());
        let upper = self.bounds.iter().copied().chain([f64::INFINITY]);
        lower.zip(upper).zip(&self.counts).map(|((lower, upper), count)| (lower, upper, *count))
    }

    /// The value that the share `quantile` of the durations does not exceed, interpolated within its bucket, seconds;
    /// `None` without durations.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile * self.count() as f64).ceil().max(1.0);
        let mut below = 0.0;
        for (lower, upper, count) in self.iter() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                // Of the last bucket only its lower end is known.
                let upper = if upper.is_finite() { upper } else { lower };
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            below += count;
        }
        None
    }
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
    /// Body bytes of segments.
    pub segment_bytes: u64,
    /// Media that was shown, seconds.
    pub viewed: f64,
    /// Whether viewers were started in it, which fill their buffers.
    pub filling: bool,
    /// What the viewers that should be up need together, bits per second; `None` while it is not known.
    pub need: Option<f64>,
    /// Segments, from the request to the first byte.
    pub ttfb: Counts,
    /// Segments, from the request to the last byte.
    pub total: Counts,
}

impl Window {
    /// Viewers, on average, of some viewer-seconds.
    #[must_use]
    pub fn average(&self, viewer_seconds: f64) -> f64 {
        if self.seconds > 0.0 { viewer_seconds / self.seconds } else { 0.0 }
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

/// The counters of the snapshot before.
#[derive(Clone, Debug)]
struct Last {
    at: f64,
    bytes: u64,
    segment_bytes: u64,
    viewed: f64,
    starts: u64,
    ttfb: Buckets,
    total: Buckets,
}

impl Last {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.elapsed_seconds,
            bytes: snapshot.bytes.total(),
            segment_bytes: snapshot.bytes[Kind::Segment],
            viewed: snapshot.playback_time.viewed_seconds,
            starts: snapshot.lifetimes.starts,
            ttfb: snapshot.latency_buckets[Timing::Ttfb(Kind::Segment)].clone(),
            total: snapshot.latency_buckets[Timing::Total(Kind::Segment)].clone(),
        }
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
        for (sum, viewers) in window.states.iter_mut().zip(by_state(snapshot)) {
            *sum += viewers as f64 * step;
        }
        window.wanted += snapshot.target_now as f64 * step;
        window.bytes += now.bytes.saturating_sub(before.bytes);
        window.segment_bytes += now.segment_bytes.saturating_sub(before.segment_bytes);
        window.viewed += (now.viewed - before.viewed).max(0.0);
        window.filling |= now.starts > before.starts;
        window.ttfb.add(&Counts::since(&now.ttfb, &before.ttfb));
        window.total.add(&Counts::since(&now.total, &before.total));
        self.note_lanes(snapshot);
        self.note_need();
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

    /// Media that arrives is shown soon, so its bit rate is that of the bytes and of what was shown, while buffers
    /// neither fill nor begin.
    fn note_need(&mut self) {
        let recent = self.windows.iter().rev().take(BIT_RATE_WINDOWS);
        let steady = recent.take_while(|window| !window.filling);
        let (bytes, viewed) = steady
            .fold((0.0, 0.0), |sum, window| (sum.0 + window.segment_bytes as f64, sum.1 + window.viewed));
        if viewed > 5.0 {
            self.bit_rate = Some(bytes * 8.0 / viewed);
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
    pub fn recent(&self, seconds: f64) -> (Counts, Counts, f64) {
        let (mut ttfb, mut total, mut passed) = (Counts::default(), Counts::default(), 0.0);
        for window in self.windows.iter().rev() {
            if passed >= seconds {
                break;
            }
            passed += window.seconds;
            ttfb.add(&window.ttfb);
            total.add(&window.total);
        }
        (ttfb, total, passed)
    }

    /// The number of viewers with lanes.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
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
    use super::*;

    fn buckets(counts: [u64; 3]) -> Buckets {
        let [first, second, all] = counts;
        Buckets { cumulative: vec![(0.1, first), (1.0, second)], count: all, ..Buckets::default() }
    }

    #[test]
    fn counts_are_what_was_added_and_percentiles_lie_in_their_bucket() {
        let counts = Counts::since(&buckets([10, 30, 31]), &buckets([10, 20, 20]));
        assert_eq!(counts.iter().map(|(_, _, count)| count).collect::<Vec<_>>(), [0, 10, 1]);
        assert_eq!(counts.count(), 11);
        let median = counts.quantile(0.5).unwrap();
        assert!((0.1..=1.0).contains(&median), "{median}");
        assert_eq!(counts.quantile(1.0), Some(1.0), "the lower end of the last bucket");
        assert_eq!(Counts::default().quantile(0.5), None);
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
