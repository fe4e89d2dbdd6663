//! The figures of canaries, which are real players, beside those of native viewers.

use super::attempts::Attempt;
use super::distribution::Distribution;
use super::exchanges::{Failures, durations};
use super::playback::PlaybackRules;
use crate::exchange::{Exchange, Kind};
use crate::snapshot::{Canaries, Group, PerKind, Timing};

/// The canaries of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryPlan {
    /// Viewers up to this number are canaries.
    pub last: u32,
    /// The rules by which they play.
    pub rules: PlaybackRules,
}

impl CanaryPlan {
    /// Whether a viewer is a canary.
    #[must_use]
    pub const fn holds(&self, viewer: u32) -> bool {
        viewer <= self.last
    }
}

/// Both groups.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) plan: CanaryPlan,
    canaries: Sums,
    native: Sums,
}

/// What a group has requested.
#[derive(Clone, Debug)]
struct Sums {
    requests: PerKind<u64>,
    bytes: PerKind<u64>,
    failures: Failures,
    segments: u64,
    segment_media_us: u64,
    segment_bytes: u64,
    segment_ns: u64,
    startup: Distribution,
    segment_ttfb: Distribution,
}

impl Sums {
    fn new(timeout_ns: u64) -> Self {
        Self {
            requests: PerKind::default(),
            bytes: PerKind::default(),
            failures: Failures::new(timeout_ns),
            segments: 0,
            segment_media_us: 0,
            segment_bytes: 0,
            segment_ns: 0,
            startup: Distribution::new(),
            segment_ttfb: Distribution::new(),
        }
    }

    fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        self.requests[exchange.kind] += 1;
        self.bytes[exchange.kind] += exchange.body_bytes;
        self.failures.add(attempt);
        let mut total_ns = None;
        for (timing, nanos) in durations(exchange) {
            match timing {
                Timing::Ttfb(Kind::Segment) => self.segment_ttfb.add_ns(nanos),
                Timing::Total(Kind::Segment) => total_ns = Some(nanos),
                _ => {}
            }
        }
        let timed = exchange.whole_segment().zip(total_ns).filter(|(segment, _)| segment.duration_us > 0);
        if let Some((segment, nanos)) = timed {
            self.segments += 1;
            self.segment_media_us += segment.duration_us;
            self.segment_bytes += exchange.body_bytes;
            self.segment_ns += nanos;
        }
    }

    /// The figures, beside those of the viewers of the group.
    fn group(&self, viewers: Group) -> Group {
        Group {
            requests: self.requests,
            bytes: self.bytes,
            errors: self.failures.errors(),
            segments: self.segments,
            segment_media_seconds: self.segment_media_us as f64 / 1e6,
            segment_bytes: self.segment_bytes,
            segment_seconds: self.segment_ns as f64 / 1e9,
            startup: self.startup.quantiles(),
            segment_ttfb: self.segment_ttfb.quantiles(),
            ..viewers
        }
    }
}

impl Comparison {
    pub(crate) fn new(plan: CanaryPlan, timeout_ns: u64) -> Self {
        Self { plan, canaries: Sums::new(timeout_ns), native: Sums::new(timeout_ns) }
    }

    const fn of(&mut self, viewer: u32) -> &mut Sums {
        if self.plan.holds(viewer) { &mut self.canaries } else { &mut self.native }
    }

    pub(crate) fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        self.of(exchange.viewer).add(exchange, attempt);
    }

    pub(crate) fn connect_failed(&mut self, viewer: u32, timed_out: bool, is_repeat: bool) {
        self.of(viewer).failures.connect_failed(timed_out, is_repeat);
    }

    pub(crate) fn cut_short(&mut self, viewer: u32, kind: Kind, counted: u64, arrived: Option<u64>) {
        let sums = self.of(viewer);
        let missing = counted.saturating_sub(arrived.unwrap_or(0));
        sums.bytes[kind] = sums.bytes[kind].saturating_sub(missing);
        if arrived.is_some() {
            sums.failures.cut_short();
        }
    }

    pub(crate) fn started_playing(&mut self, viewer: u32, startup_ns: u64) {
        self.of(viewer).startup.add_ns(startup_ns);
    }

    /// The figures; `canaries` and `native` are those of the viewers of the groups.
    pub(crate) fn figures(&self, canaries: Group, native: Group) -> Canaries {
        let (canaries, native) = (self.canaries.group(canaries), self.native.group(native));
        Canaries { canaries, native, disagreements: Vec::new() }.compared()
    }

    /// Whole distributions by name, for the report.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (String, &Distribution)> {
        let named = [
            ("canaries.startup", &self.canaries.startup),
            ("canaries.segment.ttfb", &self.canaries.segment_ttfb),
            ("native.startup", &self.native.startup),
            ("native.segment.ttfb", &self.native.segment_ttfb),
        ];
        named.into_iter().map(|(name, times)| (name.to_owned(), times))
    }
}
