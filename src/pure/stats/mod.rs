//! The one fold from events to figures. Pure: the time of each event is passed in.

pub mod distribution;
mod exchanges;
mod generator;
mod rates;
pub mod series;
mod viewers;

use crate::words::event::Event;
use crate::words::exchange::{Kind, Outcome};
use crate::words::report::Recording;
use crate::words::snapshot::{Agreement, Latency, Playback, Snapshot, Sources};

use exchanges::Exchanges;
use generator::Condition;
use rates::Recent;
use series::{History, Totals};
use viewers::Viewers;

/// What the fold has to know of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// When the run began, `CLOCK_MONOTONIC` nanoseconds.
    pub began_ns: u64,
    /// Planned length, `None` = until stopped.
    pub planned_seconds: Option<f64>,
    /// Viewers that the plan asks for.
    pub target_clients: u32,
    /// Seconds after which every viewer should have started to play.
    pub settled_seconds: f64,
    /// The viewers' network time-out, nanoseconds.
    pub timeout_ns: u64,
    /// Where requests and bytes come from.
    pub sources: Sources,
}

/// All figures of a run.
#[derive(Clone, Debug)]
pub struct Stats {
    expectation: Expectation,
    exchanges: Exchanges,
    viewers: Viewers,
    recent: Recent,
    condition: Condition,
    history: History,
    target_now: u32,
    reconnections: u64,
    /// Viewer-seconds played and due since the run settled.
    played: f64,
    due: f64,
    ticked_ns: u64,
    /// The end of the run and what playback was like then; stopping viewers is no part of it.
    closed: Option<(u64, Playback, u64)>,
}

impl Stats {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            exchanges: Exchanges::new(expectation.timeout_ns),
            viewers: Viewers::default(),
            recent: Recent::default(),
            condition: Condition::default(),
            history: History::default(),
            target_now: 0,
            reconnections: 0,
            played: 0.0,
            due: 0.0,
            ticked_ns: expectation.began_ns,
            closed: None,
        }
    }

    /// Takes one event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Started { viewer, generation, at_ns } => self.viewers.started(viewer, generation, at_ns),
            Event::Progress { viewer, media_us, speed, drift_seconds } => {
                self.viewers.progress(viewer, media_us, speed, drift_seconds);
            }
            Event::Stalled { viewer } => self.viewers.stalled(viewer),
            Event::Recovered { viewer } => self.viewers.recovered(viewer),
            Event::Ended { viewer, class, ending, killed, reason, uptime_seconds } => {
                self.viewers.ended(viewer, class, ending, killed, reason, uptime_seconds);
            }
            Event::Left { viewer } => self.viewers.left(viewer),
            Event::GaveUp { viewer } => self.viewers.gave_up(viewer),
            Event::Exchange(exchange) if exchange.outcome == Outcome::Stale => {
                self.exchanges.add_stale(&exchange);
                self.viewers.received(exchange.viewer, exchange.received_bytes.unwrap_or(0));
            }
            Event::Exchange(exchange) => {
                self.recent.add(exchange.kind, exchange.body_bytes);
                if let Some(nanos) = self.exchanges.add(&exchange) {
                    self.history.segment(nanos);
                }
                self.viewers.exchange(&exchange);
            }
            Event::ConnectFailed { reason, timed_out, given_up_after_ns, .. } => {
                self.exchanges.connect_failed(reason, timed_out, given_up_after_ns);
            }
            Event::Received { viewer, bytes, tls } => {
                self.exchanges.received(bytes, tls);
                self.viewers.received(viewer, bytes);
            }
            Event::Reconnecting { .. } => self.reconnections += 1,
            Event::FactsLost { records } => self.condition.facts_lost(records),
            Event::Lines { parsed, dropped } => self.condition.lines(parsed, dropped),
            Event::Target { viewers } => self.target_now = viewers,
            Event::Closing { at_ns } => {
                self.tick(at_ns);
                self.history.close(self.elapsed(at_ns), self.totals());
                self.closed = Some((at_ns, self.viewers.playback(), self.viewers.playing()));
            }
            Event::Lag { nanos } => self.condition.lag(nanos),
            Event::Machine { cpu_percent, own_cpu_percent } => {
                self.condition.machine(cpu_percent, own_cpu_percent);
            }
        }
    }

    /// Lets time pass up to `at_ns`. Call it a few times per second.
    pub fn tick(&mut self, at_ns: u64) {
        let elapsed = self.elapsed(at_ns);
        self.recent.advance(elapsed as u64);
        if self.closed.is_none() && self.history.is_due(elapsed) {
            self.history.advance(elapsed, self.totals());
        }
        let step = at_ns.saturating_sub(self.ticked_ns) as f64 / 1e9;
        self.ticked_ns = at_ns;
        if self.closed.is_none() && elapsed >= self.expectation.settled_seconds {
            self.played += step * self.viewers.playing() as f64;
            // Who has seen a live stream to its end is not due any more.
            let due = u64::from(self.target_now).saturating_sub(self.viewers.gone);
            self.due += step * due as f64;
        }
    }

    fn totals(&self) -> Totals {
        let exchanges = &self.exchanges;
        Totals {
            target: u64::from(self.target_now),
            active: self.viewers.active,
            playing: self.viewers.playing(),
            stalled: self.viewers.stalled_now(),
            manifests: exchanges.requests[Kind::Manifest],
            segments: exchanges.requests[Kind::Segment],
            bytes: exchanges.bytes.total(),
            errors: exchanges.failed,
            ..self.condition.totals()
        }
    }

    /// The run over time and its whole distributions, for the report.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let own = [
            ("startup".to_owned(), &self.viewers.startup),
            ("uptime".to_owned(), &self.viewers.uptime),
            ("lag".to_owned(), self.condition.lag_distribution()),
        ];
        let named = self.exchanges.distributions().into_iter().chain(own);
        Recording {
            series: self.history.series(self.totals()),
            histograms: named.filter_map(|(name, times)| Some((name, times.encoded()?))).collect(),
        }
    }

    fn elapsed(&self, at_ns: u64) -> f64 {
        let until = self.closed.map_or(at_ns, |(closed, ..)| closed.min(at_ns));
        until.saturating_sub(self.expectation.began_ns) as f64 / 1e9
    }

    /// Whether no viewer has played anything so far.
    #[must_use]
    pub const fn nobody_played(&self) -> bool {
        self.viewers.lives.ever_played == 0
    }

    /// Viewers' processes that failed so far.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.viewers.lives.exits.error + self.viewers.lives.exits.signal
    }

    /// Everything that is known at `at_ns`.
    #[must_use]
    pub fn snapshot(&self, at_ns: u64) -> Snapshot {
        let Self { exchanges, viewers, .. } = self;
        let (playback, playing) = match self.closed {
            Some((_, playback, playing)) => (playback, playing),
            None => (viewers.playback(), viewers.playing()),
        };
        Snapshot {
            elapsed_seconds: self.elapsed(at_ns),
            planned_seconds: self.expectation.planned_seconds,
            target_clients: u64::from(self.expectation.target_clients),
            target_now: u64::from(self.target_now),
            active_clients: viewers.active,
            playing_clients: playing,
            peak_clients: viewers.peak,
            due_viewer_seconds: self.due,
            active_ratio: (self.due > 0.0).then(|| self.played / self.due),
            requests: exchanges.requests,
            bytes: exchanges.bytes,
            head_bytes: exchanges.head_bytes,
            received_bytes: exchanges.received_bytes(),
            http_status: exchanges.http_status.clone(),
            unanswered: exchanges.unanswered,
            in_flight_at_stop: exchanges.in_flight_at_stop,
            stale_requests: exchanges.stale,
            cache: (exchanges.hits, exchanges.misses),
            rates: self.recent.rates(),
            latency: Latency { startup: viewers.startup.quantiles(), ..exchanges.latency() },
            latency_buckets: exchanges.latency_buckets(),
            playback,
            errors: exchanges.errors(),
            connect_failures: exchanges.connect_failures(),
            reconnections: self.reconnections,
            lives: viewers.lives,
            exit_reasons: viewers.reasons(),
            uptime: viewers.uptime.quantiles(),
            uptime_buckets: viewers.uptime.buckets(),
            sources: self.expectation.sources,
            agreement: Agreement { kernel_bytes: exchanges.kernel_agreement() },
            generator: self.condition.generator(),
            viewers: viewers.rows(),
        }
    }
}

#[cfg(test)]
mod tests;
