//! Statistics by part: the stages of the load and the streams, in addition to those of the whole run.

use hls_swarm_base::weighted::WeightedSet;

use super::attempts::Attempt;
use super::distribution::Distribution;
use super::exchanges::{Exchanges, Failures, durations};
use super::viewers::OnStream;
use crate::exchange::{Exchange, Kind};
use crate::metric::counters::Counters;
use crate::snapshot::{PerKind, PlaybackTime, StageRow, StreamRow, Timing};
use crate::verdict::Criterion;

/// A stage as it is planned, in viewers of this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StagePlan {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its planned duration, seconds.
    pub seconds: f64,
    /// Viewers at its beginning.
    pub from: u32,
    /// Viewers at its end.
    pub clients: u32,
}

/// The counts of the whole run at the beginning of a stage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) elapsed: f64,
    pub(crate) due: f64,
    pub(crate) played: f64,
    pub(crate) stalled: u64,
    pub(crate) given_up: u64,
    pub(crate) restarts: u64,
    pub(crate) counters: Counters,
    pub(crate) playback_time: PlaybackTime,
}

/// The current stage.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) place: usize,
    pub(crate) before: Counted,
    pub(crate) exchanges: Exchanges,
}

/// The figures of a stream: only those of its row, because there may be hundreds of streams.
#[derive(Clone, Debug)]
struct Stream {
    requests: PerKind<u64>,
    bytes: PerKind<u64>,
    failures: Failures,
    segment_total: Distribution,
}

impl Stream {
    fn new(timeout_ns: u64) -> Self {
        Self {
            requests: PerKind::default(),
            bytes: PerKind::default(),
            failures: Failures::new(timeout_ns),
            segment_total: Distribution::new(),
        }
    }

    fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        self.requests[exchange.kind] += 1;
        self.bytes[exchange.kind] += exchange.body_bytes;
        self.failures.add(attempt);
        let total = durations(exchange).find(|(timing, _)| *timing == Timing::Total(Kind::Segment));
        if let Some((_, nanos)) = total {
            self.segment_total.add_ns(nanos);
        }
    }

    fn row(&self, name: &str, viewers: OnStream) -> StreamRow {
        StreamRow {
            stream: name.to_owned(),
            clients: viewers.wanted,
            playing: viewers.playing,
            requests: self.requests,
            bytes: self.bytes,
            errors: self.failures.errors(),
            segment_total: self.segment_total.quantiles(),
        }
    }
}

/// Stages and streams.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    timeout_ns: u64,
    plans: Vec<StagePlan>,
    pub(crate) current: Option<Current>,
    pub(crate) done: Vec<(StageRow, Option<Distribution>)>,
    names: WeightedSet<String>,
    streams: Vec<Stream>,
}

impl Parts {
    pub(crate) fn new(timeout_ns: u64, plans: Vec<StagePlan>, names: WeightedSet<String>) -> Self {
        // A single stream is the whole run.
        let many = if names.count() > 1 { names.count() } else { 0 };
        Self {
            timeout_ns,
            plans,
            current: None,
            done: Vec::new(),
            names,
            streams: vec![Stream::new(timeout_ns); many],
        }
    }

    fn stream(&mut self, viewer: u32) -> Option<&mut Stream> {
        self.streams.get_mut(self.names.index_of(viewer))
    }

    pub(crate) fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        if let Some(current) = &mut self.current {
            current.exchanges.add(exchange, attempt);
        }
        if let Some(stream) = self.stream(exchange.viewer) {
            stream.add(exchange, attempt);
        }
    }

    pub(crate) fn cut_short(&mut self, viewer: u32, kind: Kind, counted: u64, arrived: Option<u64>) {
        if let Some(current) = &mut self.current {
            current.exchanges.cut_short(kind, counted, arrived);
        }
        if let Some(stream) = self.stream(viewer) {
            stream.bytes[kind] =
                stream.bytes[kind].saturating_sub(counted.saturating_sub(arrived.unwrap_or(0)));
            if arrived.is_some() {
                stream.failures.cut_short();
            }
        }
    }

    pub(crate) fn connect_failed(&mut self, viewer: u32, timed_out: bool, is_repeat: bool) {
        if let Some(current) = &mut self.current {
            current.exchanges.failures.connect_failed(timed_out, is_repeat);
        }
        if let Some(stream) = self.stream(viewer) {
            stream.failures.connect_failed(timed_out, is_repeat);
        }
    }

    /// Adds a stage to the plan. Returns its index.
    pub(crate) fn plan_another(&mut self, stage: StagePlan) -> usize {
        self.plans.push(stage);
        self.plans.len() - 1
    }

    /// A stage begins; the one before has been closed.
    pub(crate) fn begin(&mut self, place: usize, before: Counted) {
        self.current = Some(Current { place, before, exchanges: Exchanges::new(self.timeout_ns) });
    }

    /// The plan of the current stage.
    pub(crate) fn plan(&self, place: usize) -> StagePlan {
        self.plans.get(place).cloned().unwrap_or_default()
    }

    /// The row of the current stage, without a verdict.
    pub(crate) fn row(&self, current: &Current, now: &Counted) -> StageRow {
        let (plan, before, part) = (self.plan(current.place), &current.before, &current.exchanges);
        let due = now.due - before.due;
        StageRow {
            stage: current.place as u64 + 1,
            name: plan.name,
            began_seconds: before.elapsed,
            seconds: now.elapsed - before.elapsed,
            from: plan.from.into(),
            clients: plan.clients.into(),
            expected_viewer_seconds: due,
            active_ratio: (due > 0.0).then(|| (now.played - before.played) / due),
            stalled: now.stalled.saturating_sub(before.stalled),
            requests: part.requests,
            bytes: part.bytes,
            errors: part.errors(),
            segment_total: part.segment_total().and_then(Distribution::quantiles),
            met: None,
            failed_criteria: Vec::new(),
        }
    }

    /// One row per stream; `viewers` are those of each, in the same order.
    pub(crate) fn stream_rows(&self, viewers: &[OnStream]) -> Vec<StreamRow> {
        let rows = self.names.iter().zip(&self.streams).zip(viewers);
        rows.map(|((name, stream), viewers)| stream.row(name, *viewers)).collect()
    }

    /// Whole distributions by name, for the report.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (String, &Distribution)> {
        let stages = self
            .done
            .iter()
            .filter_map(|(row, times)| Some((StageRow::histogram(row.stage), times.as_ref()?)));
        let streams = (1..)
            .zip(&self.streams)
            .map(|(place, stream)| (StreamRow::histogram(place), &stream.segment_total));
        stages.chain(streams)
    }
}

/// The result of a stage that held a level: absent for ramps and pauses; a stage that was cut short may have
/// failed, but cannot have held.
pub(crate) fn judged(
    plan: &StagePlan,
    seconds: f64,
    criteria: Vec<Criterion>,
) -> (Option<bool>, Vec<Criterion>) {
    if plan.from != plan.clients || plan.clients == 0 {
        return (None, Vec::new());
    }
    let whole = seconds + 1.0 >= plan.seconds;
    let failed: Vec<Criterion> = criteria
        .into_iter()
        .filter(|criterion| !criterion.met && (whole || criterion.value.is_some()))
        .collect();
    let met = if failed.is_empty() { whole.then_some(true) } else { Some(false) };
    (met, failed)
}
