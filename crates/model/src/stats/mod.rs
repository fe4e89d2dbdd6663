//! Statistics: from events to figures. The time of each event is passed in.

pub(crate) mod attempts;
pub mod canaries;
pub(crate) mod content;
pub mod distribution;
pub(crate) mod exchanges;
pub(crate) mod generator;
pub(crate) mod insight;
pub(crate) mod lookup;
pub(crate) mod origin;
pub(crate) mod parts;
pub mod playback;
pub(crate) mod protocols;
pub(crate) mod quality;
pub(crate) mod rates;
pub(crate) mod retransmits;
pub(crate) mod stages;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod timeline;
pub(crate) mod variants;
pub(crate) mod viewers;
pub(crate) mod window;

use hls_swarm_base::weighted::WeightedSet;

use crate::event::Event;
use crate::exchange::{Outcome, Source};
use crate::merge::Merge;
use crate::metric::counters::{Counter, Counters, SeenIn};
use crate::report::Recording;
use crate::snapshot::{
    Agreement, Insight, Latency, Origin, PerTiming, Playback, PlaybackSource, Snapshot, Sources, Timing,
    UPTIME,
};
use crate::stats::stages::Manual;
use crate::stats::window::SlidingWindow;
use crate::timeline::{SlowLimit, Timeline};
use crate::verdict::threshold::Threshold;

use attempts::Attempts;
use canaries::{CanaryPlan, Comparison};
use content::ContentChecker;
use exchanges::Exchanges;
use generator::Condition;
use origin::OriginStats;
use parts::Parts;
use playback::PlaybackRules;
use protocols::Protocols;
use rates::Recent;
use retransmits::Totals as ConnectionTotals;
use timeline::{Sums, TimelineLog};
use variants::Variants;
use viewers::Viewers;

pub use parts::StagePlan;

/// The name of the distribution of timer delays in reports.
pub(crate) const LAG: &str = "lag";

/// The parts of the plan that the statistics need.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// Start of the run, `CLOCK_MONOTONIC` nanoseconds.
    pub began_ns: u64,
    /// Planned length, `None` = until stopped.
    pub planned_seconds: Option<f64>,
    /// Viewers that the plan asks for.
    pub target_clients: u32,
    /// Seconds that a viewer has to begin to play; after that it is expected to play.
    pub start_up_seconds: f64,
    /// The viewers' network timeout, nanoseconds.
    pub timeout_ns: u64,
    /// The source of requests and bytes.
    pub sources: Sources,
}

/// The default window of percentiles of the origin's figures.
const ORIGIN_WINDOW_NS: u64 = 30_000_000_000;
/// The default number of segments whose published size is remembered.
const SEGMENTS_KEPT: usize = 300;

/// Zero for the counters whose events are seen, whatever the viewers are.
fn measured(sources: &Sources) -> Counters {
    let bodies =
        if sources.requests != Source::Log { Counters::zero(SeenIn::Bodies) } else { Counters::default() };
    let playback: &[SeenIn] = match sources.playback {
        PlaybackSource::Downloads | PlaybackSource::Inferred => &[],
        PlaybackSource::Players => &[SeenIn::Players, SeenIn::Playback],
        PlaybackSource::Arrivals | PlaybackSource::Unbuffered => &[SeenIn::Playback, SeenIn::Arrivals],
    };
    let bodies = match sources.requests {
        Source::Native => bodies.plus(&Counters::zero(SeenIn::Segments)),
        Source::Probe | Source::Log => bodies,
    };
    playback.iter().fold(bodies, |counters, seen_in| counters.plus(&Counters::zero(*seen_in)))
}

/// The time for which an arrival may be on its way from the viewer to the statistics, nanoseconds.
const ARRIVALS_LATE_NS: u64 = 500_000_000;

/// All figures of a run.
#[derive(Clone, Debug)]
pub struct Stats {
    expectation: Expectation,
    exchanges: Exchanges,
    attempts: Attempts,
    viewers: Viewers,
    recent: Recent,
    condition: Condition,
    timeline: TimelineLog,
    origin_stats: OriginStats,
    parts: Parts,
    variants: Variants,
    thresholds: Vec<Threshold>,
    manual: Manual,
    insight: insight::InsightCollector,
    content: ContentChecker,
    sliding_window: Option<SlidingWindow>,
    /// Events outside of requests.
    counters: Counters,
    retransmits: ConnectionTotals,
    protocols: Protocols,
    /// Real players beside native viewers.
    canaries: Option<Comparison>,
    /// Viewer-seconds played and expected, of viewers that have had the time to begin.
    played: f64,
    due: f64,
    ticked_ns: u64,
    /// The end of the run and what playback was like then; stopping viewers is not part of it.
    closed: Option<(u64, Playback, u64)>,
}

impl Stats {
    /// Starts without any events.
    #[must_use]
    pub fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            exchanges: Exchanges::new(expectation.timeout_ns),
            attempts: Attempts::default(),
            viewers: Viewers::default(),
            recent: Recent::default(),
            condition: Condition::default(),
            timeline: TimelineLog::default(),
            origin_stats: OriginStats::new(ORIGIN_WINDOW_NS, SEGMENTS_KEPT, true),
            parts: Parts::new(expectation.timeout_ns, Vec::new(), WeightedSet::one(String::new())),
            variants: Variants::new(expectation.timeout_ns),
            thresholds: Vec::new(),
            manual: Manual::default(),
            insight: insight::InsightCollector::default(),
            content: ContentChecker::default(),
            sliding_window: None,
            counters: Counters::zero(SeenIn::FfmpegLog)
                .plus(&Counters::zero(SeenIn::Machine))
                .plus(&measured(&expectation.sources)),
            retransmits: ConnectionTotals::default(),
            protocols: Protocols::default(),
            canaries: None,
            played: 0.0,
            due: 0.0,
            ticked_ns: expectation.began_ns,
            closed: None,
        }
    }

    /// Sets how the origin's exporters are read: what percentiles cover, how many segment sizes are kept,
    /// and whether the list of sizes is among the requests that the origin counts.
    #[must_use]
    pub fn watching(self, window: std::time::Duration, segments_kept: usize, sizes_counted: bool) -> Self {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Self { origin_stats: OriginStats::new(window_ns, segments_kept, sizes_counted), ..self }
    }

    /// Sets the target duration of the stream, seconds, which is the length of the windows of the timeline, and the
    /// thresholds, of which one defines which segments are slow.
    #[must_use]
    pub fn with_timeline(self, target_seconds: f64, thresholds: &[Threshold]) -> Self {
        let slow = thresholds.iter().find_map(SlowLimit::of);
        Self { timeline: TimelineLog::new(target_seconds, slow), ..self }
    }

    /// Sets that no FFmpeg is among the viewers, whose log would report events.
    #[must_use]
    pub fn without_ffmpeg_log(self) -> Self {
        Self { counters: Counters::zero(SeenIn::Machine).plus(&measured(&self.expectation.sources)), ..self }
    }

    /// Sets that viewers may not connect to every host.
    #[must_use]
    pub fn with_host_limits(mut self) -> Self {
        self.counters.merge(&Counters::zero(SeenIn::HostLimits));
        self
    }

    /// Sets the rules by which viewers play.
    #[must_use]
    pub const fn playing_by(mut self, rules: PlaybackRules) -> Self {
        self.viewers.play_by(rules);
        self
    }

    /// Sets which viewers are real players among native ones.
    #[must_use]
    pub fn with_canaries(mut self, plan: CanaryPlan) -> Self {
        self.viewers.include_canaries(plan);
        self.canaries = Some(Comparison::new(plan, self.expectation.timeout_ns));
        self
    }

    /// Applies one event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Batch(events) => events.into_iter().for_each(|event| self.apply(event)),
            Event::Started { viewer, generation, at_ns } => {
                let restarts = self.viewers.lifetimes.restarts;
                self.viewers.started(viewer, generation, at_ns);
                if self.viewers.lifetimes.restarts > restarts {
                    self.timeline.restarted(viewer, self.second(at_ns));
                }
            }
            Event::Renditions { viewer, count } => self.viewers.expects(viewer, count.into()),
            Event::ReadsMedia { viewer } => self.viewers.reads(viewer),
            Event::Ended { viewer, class, ending, killed, reason, uptime_seconds } => {
                self.viewers.ended(viewer, class, ending, killed, reason, uptime_seconds);
                if self.closed.is_none() {
                    self.variants.ended(viewer);
                }
            }
            Event::Left { viewer } => self.viewers.left(viewer),
            Event::GivenUp { viewer } => self.viewers.given_up(viewer),
            Event::Exchange(exchange) if exchange.outcome == Outcome::Stale => {
                self.exchanges.add_stale(&exchange);
                self.viewers.received(exchange.viewer, exchange.received_bytes.unwrap_or(0));
            }
            Event::Exchange(exchange) => {
                if self.closed.is_some_and(|(closed_ns, ..)| exchange.started_ns >= closed_ns) {
                    self.counters.add(Counter::RequestsAfterEnd, 1);
                }
                let retransmits = self.retransmits.add(&exchange, exchange.retransmits);
                if let Some(retransmits) = retransmits {
                    self.counters.add(Counter::Retransmits, retransmits);
                }
                self.protocols.add(&exchange, retransmits);
                if exchange.gap {
                    self.counters.add(Counter::GapRequests, 1);
                }
                let attempt = self.attempts.request(&exchange, self.exchanges.failures.fault(&exchange));
                self.insight.add(&exchange, attempt.fault);
                self.recent.add(exchange.kind, exchange.body_bytes);
                self.parts.add(&exchange, attempt);
                self.variants.add(&exchange, attempt);
                if let Some(canaries) = &mut self.canaries {
                    canaries.add(&exchange, attempt);
                }
                self.exchanges.add(&exchange, attempt);
                let startup = self.viewers.exchange(&exchange, self.closed.is_none());
                let tracks = self.viewers.tracks(exchange.viewer);
                self.timeline.exchange(&exchange, attempt, self.second(exchange.ended_ns()), tracks);
                if let Some(sliding_window) = &mut self.sliding_window {
                    sliding_window.exchange(&exchange);
                }
                self.played(exchange.viewer, startup);
                self.origin_stats.exchange(&exchange);
            }
            Event::CutShort { viewer, kind, counted_bytes, arrived_bytes } => {
                let missing = counted_bytes.saturating_sub(arrived_bytes.unwrap_or(0));
                self.timeline.cut_short(
                    viewer,
                    missing,
                    arrived_bytes.is_some(),
                    self.second(self.ticked_ns),
                );
                self.exchanges.cut_short(kind, counted_bytes, arrived_bytes);
                self.parts.cut_short(viewer, kind, counted_bytes, arrived_bytes);
                if let Some(canaries) = &mut self.canaries {
                    canaries.cut_short(viewer, kind, counted_bytes, arrived_bytes);
                }
                self.viewers.cut_short(viewer, kind, missing);
            }
            Event::SegmentRead(read) => self.content.add(*read, &mut self.counters),
            Event::Playlist { viewer, playlist, rendition, said, at_ns, .. } => {
                if self.closed.is_none() {
                    let startup = self.viewers.playlist(viewer, at_ns, playlist, rendition, &said);
                    self.played(viewer, startup);
                }
            }
            Event::Seen { viewer, at_ns, seen } => {
                if self.closed.is_none() {
                    let window = &mut self.sliding_window;
                    let note = |timing, nanos| {
                        if let Some(window) = window {
                            window.duration(timing, nanos);
                        }
                    };
                    let startup = self.viewers.seen(viewer, at_ns, *seen, note);
                    self.counters.merge(&self.viewers.quality.take_counted());
                    self.played(viewer, startup);
                }
            }
            Event::ConnectFailed { viewer, reason, timed_out, given_up_after_ns, handshake_left } => {
                let stopped = self.closed.is_some() || self.viewers.is_ramped_down(viewer);
                let given_up_after_ns = if handshake_left && stopped { Some(0) } else { given_up_after_ns };
                if self.exchanges.failures.is_failed_connect(given_up_after_ns) {
                    let timed_out = timed_out || given_up_after_ns.is_some();
                    let is_repeat = self.attempts.connect_failed(viewer);
                    self.parts.connect_failed(viewer, timed_out, is_repeat);
                    self.timeline.connect_failed(viewer, &reason, timed_out, self.second(self.ticked_ns));
                    if let Some(canaries) = &mut self.canaries {
                        canaries.connect_failed(viewer, timed_out, is_repeat);
                    }
                    self.exchanges.connect_failed(reason, timed_out, is_repeat);
                }
            }
            Event::LookupFailed { took_ns, .. } => {
                self.exchanges.lookup_failed(took_ns);
                if let Some(sliding_window) = &mut self.sliding_window {
                    sliding_window.duration(Timing::DnsFailed, took_ns);
                }
            }
            Event::Forbidden { viewer, host, by } => {
                self.counters.add(Counter::ForbiddenConnections, 1);
                let is_repeat = self.attempts.connect_failed(viewer);
                self.parts.connect_failed(viewer, false, is_repeat);
                if let Some(canaries) = &mut self.canaries {
                    canaries.connect_failed(viewer, false, is_repeat);
                }
                let reason = by.reason(&host);
                self.timeline.connect_failed(viewer, &reason, false, self.second(self.ticked_ns));
                self.exchanges.connect_failed(reason, false, is_repeat);
            }
            Event::Received { viewer, bytes, tls } => {
                self.exchanges.received(bytes, tls);
                self.viewers.received(viewer, bytes);
            }
            Event::Counted { counter, events, .. } => self.counters.add(counter, events),
            Event::FactsLost { records } => self.condition.facts_lost(records),
            Event::Lines { viewer, parsed, dropped } => self.condition.lines(viewer, parsed, dropped),
            Event::Arrived { viewer, at_ns } => self.viewers.arrived(viewer, at_ns),
            Event::RampedDown { viewer, at_ns } => {
                self.viewers.ramped_down(viewer, at_ns, self.start_up_ns());
            }
            Event::Rejected => self.viewers.rejected += 1,
            Event::Stage { stage, at_ns } => self.stage(stage, at_ns),
            Event::Level { level, at_ns } => self.level(level, at_ns),
            Event::ManualChange { command, at_ns } => self.manual_changes(command, at_ns),
            Event::Closing { at_ns } => {
                self.settle(at_ns);
                self.viewers.settle_all();
                self.stage_ends(at_ns);
                self.timeline.close(self.second(at_ns));
                self.closed = Some((at_ns, self.viewers.playback(), self.viewers.playing()));
            }
            Event::Origin { at_ns, scraped } => {
                let asked = self.exchanges.requests.total();
                self.origin_stats.scraped(at_ns, scraped, asked, self.closed.is_some());
            }
            Event::Lag { nanos } => self.condition.lag(nanos),
            Event::Machine { cpu_percent, own_cpu_percent } => {
                self.condition.machine(cpu_percent, own_cpu_percent);
            }
            Event::Waited(waited) => self.condition.waited(&waited),
        }
    }

    /// Notes what the playback of a viewer has led to.
    fn played(&mut self, viewer: u32, startup_ns: Option<u64>) {
        if let (Some(canaries), Some(nanos)) = (&mut self.canaries, startup_ns) {
            canaries.started_playing(viewer, nanos);
        }
        if let (Some(sliding_window), Some(nanos)) = (&mut self.sliding_window, startup_ns) {
            sliding_window.duration(Timing::Startup, nanos);
        }
        self.counters.merge(&self.viewers.take_skipped());
    }

    /// Advances the time to `at_ns`. Call it a few times per second. Playheads follow a little later, because what
    /// arrived by then may still be on its way here.
    pub fn tick(&mut self, at_ns: u64) {
        self.pass(at_ns, at_ns.saturating_sub(ARRIVALS_LATE_NS));
    }

    /// Advances the time to `at_ns`, playheads included, because what comes later belongs to another part of the run.
    pub(crate) fn settle(&mut self, at_ns: u64) {
        self.pass(at_ns, at_ns);
    }

    fn pass(&mut self, at_ns: u64, played_until_ns: u64) {
        let elapsed = self.elapsed(at_ns);
        self.condition.tick();
        self.recent.advance(elapsed as u64);
        let step = at_ns.saturating_sub(self.ticked_ns) as f64 / 1e9;
        self.ticked_ns = at_ns;
        if self.closed.is_none() {
            let (due, played) = self.viewers.pass(at_ns, played_until_ns, self.start_up_ns());
            self.counters.merge(&self.viewers.take_skipped());
            self.due += step * due as f64;
            self.played += step * played as f64;
            let sums = Sums {
                playback_time: self.viewers.playback_time,
                stalls: self.viewers.stalls_begun(),
                quality: self.viewers.quality.over_time(),
                machine: self.condition.machine_sums(),
                origin: self.origin_stats.load(),
            };
            self.timeline.pass(elapsed, self.viewers.states(), sums);
            self.update_window(at_ns);
        }
    }

    fn start_up_ns(&self) -> u64 {
        (self.expectation.start_up_seconds * 1e9) as u64
    }

    /// The run over time and its whole distributions, for the report.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let startup = (Timing::Startup, &self.viewers.startup);
        let of_viewers =
            [startup].into_iter().filter(|_| self.is_played()).chain(self.viewers.quality.distributions());
        let own =
            [(UPTIME.to_owned(), &self.viewers.uptime), (LAG.to_owned(), self.condition.lag_distribution())];
        let timings = self.exchanges.distributions().map(|(timing, times)| (timing.name(), times));
        let named = timings
            .chain(own)
            .chain(of_viewers.map(|(timing, times)| (timing.name(), times)))
            .chain(self.insight.distributions())
            .chain(self.parts.histograms())
            .chain(self.variants.histograms())
            .chain(self.protocols.histograms())
            .chain(self.canaries.iter().flat_map(Comparison::histograms));
        Recording {
            timeline: self.timeline(),
            histograms: named
                .filter(|(_, times)| !times.is_empty())
                .map(|(name, times)| (name, times.clone()))
                .collect(),
        }
    }

    /// The run as it is drawn.
    fn timeline(&self) -> Timeline {
        self.timeline.timeline(self.is_played().then_some(&self.viewers.startup))
    }

    /// A moment, in seconds since the run began.
    const fn second(&self, at_ns: u64) -> f64 {
        at_ns.saturating_sub(self.expectation.began_ns) as f64 / 1e9
    }

    fn elapsed(&self, at_ns: u64) -> f64 {
        let until = self.closed.map_or(at_ns, |(closed, ..)| closed.min(at_ns));
        until.saturating_sub(self.expectation.began_ns) as f64 / 1e9
    }

    /// Whether no viewer has played anything so far.
    #[must_use]
    pub const fn nothing_played(&self) -> bool {
        self.viewers.lifetimes.played == 0
    }

    /// Viewers' processes that failed so far.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.viewers.lifetimes.exits.error + self.viewers.lifetimes.exits.signal
    }

    /// Everything that is known at `at_ns`.
    #[must_use]
    pub fn snapshot(&self, at_ns: u64) -> Snapshot {
        Snapshot { viewers: self.viewers.rows(), ..self.overview(at_ns) }
    }

    /// Everything that is known at `at_ns` but the rows of the viewers, of which there may be many.
    #[must_use]
    pub fn overview(&self, at_ns: u64) -> Snapshot {
        Snapshot {
            protocols: self.protocols.rows(),
            stages: self.stage_rows(at_ns),
            streams: self.stream_rows(),
            variants: self.variants.rows(self.closed.map_or(at_ns, |(closed, ..)| closed.min(at_ns))),
            canaries: self.canaries.as_ref().map(|canaries| {
                let (real, native) = self.viewers.groups(canaries.plan);
                canaries.figures(real, native)
            }),
            aborted_by: self.aborted_by(),
            timeline: self.timeline(),
            ..self.whole(at_ns)
        }
    }

    /// Whether viewers play what they download.
    fn is_played(&self) -> bool {
        self.expectation.sources.playback != PlaybackSource::Downloads
    }

    /// Latencies with those that viewers, not exchanges, have.
    fn with_those_of_viewers(&self, mut latency: Latency) -> Latency {
        latency[Timing::Startup] = self.viewers.startup.quantiles().filter(|_| self.is_played());
        for (timing, times) in self.viewers.quality.distributions() {
            latency[timing] = times.quantiles();
        }
        latency
    }

    fn buckets(&self) -> PerTiming<crate::snapshot::Buckets> {
        let mut buckets = self.exchanges.buckets();
        if self.is_played() {
            buckets[Timing::Startup] = self.viewers.startup.buckets();
        }
        for (timing, times) in self.viewers.quality.distributions() {
            buckets[timing] = times.buckets();
        }
        buckets
    }

    /// The snapshot without stages and streams.
    fn whole(&self, at_ns: u64) -> Snapshot {
        let exchanges = &self.exchanges;
        Snapshot {
            latency_buckets: self.buckets(),
            latency: self.with_those_of_viewers(exchanges.latency()),
            latency_error: self.condition.latency_error(),
            insight: self.insight.insight(),
            content: self.content.checks(),
            ..self.figures(at_ns)
        }
    }

    /// The snapshot without expensive parts: percentiles of the run, and insights.
    fn figures(&self, at_ns: u64) -> Snapshot {
        let Self { exchanges, viewers, .. } = self;
        let (playback, playing) = match self.closed {
            Some((_, playback, playing)) => (playback, playing),
            None => (viewers.playback(), viewers.playing()),
        };
        let origin = self.origin_stats.origin(exchanges.requests.total(), self.closed.is_some());
        let with_origin = |of: fn(&Origin) -> Option<f64>| origin.as_ref().and_then(of);
        Snapshot {
            elapsed_seconds: self.elapsed(at_ns),
            planned_seconds: self.planned_seconds(at_ns),
            target_clients: u64::from(self.expectation.target_clients).max(viewers.most_wanted),
            target_now: viewers.wanted,
            active_clients: viewers.active,
            playing_clients: playing,
            peak_clients: viewers.peak,
            expected_viewer_seconds: self.due,
            active_ratio: (self.due > 0.0).then(|| self.played / self.due),
            requests: exchanges.requests,
            bytes: exchanges.bytes,
            head_bytes: exchanges.head_bytes,
            received_bytes: exchanges.received_bytes(),
            http_status: exchanges.http_status.clone(),
            counters: exchanges.counters.plus(&self.counters),
            cache: exchanges.cache,
            insight: Insight::default(),
            content: None,
            rates: self.recent.rates(),
            latency: Latency::default(),
            latency_error: None,
            latency_buckets: PerTiming::default(),
            playback,
            errors: exchanges.errors(),
            connect_failures: exchanges.connect_failures(),
            lifetimes: viewers.lifetimes(at_ns, self.start_up_ns()),
            exit_reasons: viewers.reasons(),
            uptime: viewers.uptime.quantiles(),
            uptime_buckets: viewers.uptime.buckets(),
            sources: self.expectation.sources,
            agreement: Agreement {
                kernel_bytes: exchanges.kernel_agreement(),
                origin_requests: with_origin(Origin::requests_agreement),
                segment_sizes: with_origin(Origin::sizes_agreement),
            },
            origin,
            generator: self.condition.generator(),
            playback_time: viewers.playback_time().with_ratios(self.due),
            quality: (self.expectation.sources.playback == PlaybackSource::Players)
                .then(|| viewers.quality.figures()),
            canaries: None,
            protocols: Vec::new(),
            stages: Vec::new(),
            streams: Vec::new(),
            variants: Vec::new(),
            manual_changes: self.manual_change_summary(),
            aborted_by: None,
            timeline: Timeline::default(),
            viewers: Vec::new(),
            other_viewers: None,
        }
    }
}
