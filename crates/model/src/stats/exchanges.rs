//! The fold over exchanges: requests, bytes, status codes, latencies, errors, kernel bytes.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use crate::exchange::{Cache, Exchange, Kind, Outcome};
use crate::snapshot::{Buckets, Errors, ExchangeTimes, Latency, PerKind, Quantiles};

/// Bounds of the latency histogram, seconds.
const LATENCY_BOUNDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];

/// Everything counted over all exchanges of a run.
#[derive(Clone, Debug)]
pub struct Exchanges {
    pub(crate) requests: PerKind<u64>,
    pub(crate) bytes: PerKind<u64>,
    pub(crate) head_bytes: u64,
    pub(crate) http_status: BTreeMap<u16, u64>,
    pub(crate) unanswered: u64,
    pub(crate) in_flight_at_stop: u64,
    pub(crate) stale: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) failures: Failures,
    times: BTreeMap<Kind, (Distribution, Distribution)>,
    segment_total: Distribution,
    connect: Distribution,
    dns: Distribution,
    tls: Distribution,
    kernel: KernelBytes,
    connect_failures: BTreeMap<String, u64>,
}

/// How long the parts of an exchange took, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) ttfb: Option<u64>,
    pub(crate) download: Option<u64>,
    pub(crate) segment_total: Option<u64>,
    pub(crate) connect: Option<u64>,
    pub(crate) dns: Option<u64>,
    pub(crate) tls: Option<u64>,
}

impl Times {
    /// What of `exchange` counts. An error page comes fast; it must not make the stream look fast.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let good = exchange.status.is_some_and(|status| (200..300).contains(&status));
        let (ttfb, download) =
            if good { (exchange.first_byte_ns, exchange.download_ns) } else { (None, None) };
        // What a server holds back because it was asked to does not make it slow.
        let ttfb = ttfb.filter(|_| !exchange.blocking_reload);
        let whole = ttfb.zip(download).map(|(ttfb, download)| ttfb + download);
        Self {
            ttfb,
            download,
            segment_total: whole.filter(|_| exchange.kind == Kind::Segment),
            connect: exchange.connect_ns,
            dns: exchange.dns_ns,
            tls: exchange.tls_ns,
        }
    }
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The status code was 400 or above.
    Http,
    /// The peer or the network broke it off.
    Broken,
    /// The viewer gave it up after its time-out.
    TimedOut,
}

/// Requests and connects that failed, by how. Each part of a run has its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    /// An exchange that the viewer closed after this much silence ran into its time-out.
    timeout_ns: u64,
    errors: Errors,
    /// Requests and connects that failed, each once: a connect that timed out is two of `errors`.
    pub(crate) count: u64,
}

impl Failures {
    /// None yet; `timeout_ns` is the viewers' network time-out.
    pub(crate) fn new(timeout_ns: u64) -> Self {
        Self { timeout_ns, errors: Errors::default(), count: 0 }
    }

    /// Silence that a viewer ends by itself: FFmpeg looks at its watch every 100 ms, so it may leave
    /// that much early.
    const fn patience_ns(&self) -> u64 {
        self.timeout_ns.saturating_sub(100_000_000)
    }

    /// How an exchange failed, if it did. One that was in flight when its viewer was stopped did not.
    pub(crate) fn fault(&self, exchange: &Exchange) -> Option<Fault> {
        let given_up = exchange.idle_ns.is_some_and(|idle| idle >= self.patience_ns());
        match exchange.outcome {
            _ if exchange.status.is_some_and(|status| status >= 400) => Some(Fault::Http),
            Outcome::Complete => None,
            Outcome::ClosedByPeer | Outcome::SocketError(_) => Some(Fault::Broken),
            _ => given_up.then_some(Fault::TimedOut),
        }
    }

    /// Counts an exchange that failed; returns how it did.
    pub(crate) fn add(&mut self, exchange: &Exchange) -> Option<Fault> {
        let fault = self.fault(exchange)?;
        *match fault {
            Fault::Http => &mut self.errors.http,
            Fault::Broken => &mut self.errors.broken,
            Fault::TimedOut => &mut self.errors.timeouts,
        } += 1;
        self.count += 1;
        Some(fault)
    }

    /// Counts a connection that could not be made; returns whether it counts. A viewer that was stopped
    /// while it waited has not seen a failure.
    pub(crate) fn connect_failed(&mut self, timed_out: bool, given_up_after_ns: Option<u64>) -> bool {
        if given_up_after_ns.is_some_and(|waited| waited < self.patience_ns()) {
            return false;
        }
        self.count += 1;
        self.errors.connect += 1;
        self.errors.timeouts += u64::from(timed_out || given_up_after_ns.is_some());
        true
    }

    /// Errors, with their rate over `requests` and connects that failed.
    pub(crate) fn errors(&self, requests: u64) -> Errors {
        let attempts = requests + self.errors.connect;
        let rate = (attempts > 0).then(|| self.count as f64 / attempts as f64);
        Errors { rate, ..self.errors }
    }
}

/// How many different reasons of failed connects are kept apart.
const REASONS: usize = 50;

/// Bytes as the kernel counted them, beside what viewers read.
#[derive(Clone, Copy, Debug, Default)]
struct KernelBytes {
    /// Whether any exchange carried a kernel count.
    measured: bool,
    /// All, encrypted ones included.
    received: u64,
    /// Plain connections: received.
    plain_received: u64,
    /// Plain connections: read by the viewer.
    plain_read: u64,
    /// Plain connections: received for an exchange that was broken off, but not read.
    plain_unread: u64,
}

impl Exchanges {
    /// Nothing counted yet; `timeout_ns` is the viewers' network time-out.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            requests: PerKind::default(),
            bytes: PerKind::default(),
            head_bytes: 0,
            http_status: BTreeMap::new(),
            unanswered: 0,
            in_flight_at_stop: 0,
            stale: 0,
            hits: 0,
            misses: 0,
            failures: Failures::new(timeout_ns),
            times: BTreeMap::new(),
            segment_total: Distribution::with_buckets(&LATENCY_BOUNDS),
            connect: Distribution::new(),
            dns: Distribution::new(),
            tls: Distribution::new(),
            kernel: KernelBytes::default(),
            connect_failures: BTreeMap::new(),
        }
    }

    /// Counts one exchange; tells how long it took if it brought a segment.
    pub fn add(&mut self, exchange: &Exchange) -> Option<u64> {
        self.requests[exchange.kind] += 1;
        self.bytes[exchange.kind] += exchange.body_bytes;
        self.head_bytes += exchange.head_bytes;
        match exchange.status {
            Some(status) => *self.http_status.entry(status).or_default() += 1,
            None => self.unanswered += 1,
        }
        match exchange.cache {
            Some(Cache::Hit) => self.hits += 1,
            Some(Cache::Miss) => self.misses += 1,
            Some(Cache::Other) | None => {}
        }
        let failed = self.failures.add(exchange).is_some();
        let stopped = matches!(exchange.outcome, Outcome::ClosedByViewer | Outcome::ProcessExit);
        self.in_flight_at_stop += u64::from(stopped && !failed);
        self.weigh(exchange);
        self.time(exchange)
    }

    /// Counts a request that no server ever saw: neither a request nor an error, for the viewer sends
    /// it again.
    pub fn add_stale(&mut self, exchange: &Exchange) {
        self.stale += 1;
        self.weigh(exchange);
    }

    /// Counts a connection that could not be made, as [`Failures::connect_failed`] does, and its reason.
    pub fn connect_failed(&mut self, reason: String, timed_out: bool, given_up_after_ns: Option<u64>) {
        let counted = self.failures.connect_failed(timed_out, given_up_after_ns);
        let room = self.connect_failures.len() < REASONS || self.connect_failures.contains_key(&reason);
        if counted && room {
            *self.connect_failures.entry(reason).or_default() += 1;
        }
    }

    /// Counts bytes that the kernel received and that no exchange accounts for.
    pub fn received(&mut self, bytes: u64, tls: bool) {
        self.kernel.received += bytes;
        self.kernel.plain_received += if tls { 0 } else { bytes };
    }

    /// How an exchange failed, if it did.
    #[must_use]
    pub fn fault(&self, exchange: &Exchange) -> Option<Fault> {
        self.failures.fault(exchange)
    }

    fn time(&mut self, exchange: &Exchange) -> Option<u64> {
        let took = Times::of(exchange);
        let (ttfb, download) =
            self.times.entry(exchange.kind).or_insert_with(|| (Distribution::new(), Distribution::new()));
        let add = |into: &mut Distribution, nanos: Option<u64>| {
            if let Some(nanos) = nanos {
                into.add_ns(nanos);
            }
        };
        add(ttfb, took.ttfb);
        add(download, took.download);
        add(&mut self.segment_total, took.segment_total);
        add(&mut self.connect, took.connect);
        add(&mut self.dns, took.dns);
        add(&mut self.tls, took.tls);
        took.segment_total
    }

    fn weigh(&mut self, exchange: &Exchange) {
        let Some(received) = exchange.received_bytes else { return };
        self.kernel.measured = true;
        self.kernel.received += received;
        if !exchange.tls {
            let read = exchange.head_bytes + exchange.body_bytes;
            self.kernel.plain_received += received;
            self.kernel.plain_read += read;
            // Behind the announced end of a response there is nothing that a viewer has to read.
            self.kernel.plain_unread += match exchange.outcome {
                Outcome::Complete => exchange.excess_bytes,
                _ => received.saturating_sub(read),
            };
        }
    }

    /// Bytes that the kernel received, where it was asked.
    #[must_use]
    pub fn received_bytes(&self) -> Option<u64> {
        self.kernel.measured.then_some(self.kernel.received)
    }

    /// Bytes read over bytes received less what is known to be unread; `None` if nothing compares.
    #[must_use]
    pub fn kernel_agreement(&self) -> Option<f64> {
        let expected = self.kernel.plain_received.checked_sub(self.kernel.plain_unread)?;
        (expected > 0).then(|| self.kernel.plain_read as f64 / expected as f64)
    }

    /// Why connects failed, by the words of the operating system.
    #[must_use]
    pub fn connect_failures(&self) -> Vec<(String, u64)> {
        self.connect_failures.iter().map(|(reason, count)| (reason.clone(), *count)).collect()
    }

    /// Errors, with their rate.
    #[must_use]
    pub fn errors(&self) -> Errors {
        self.failures.errors(self.requests.total())
    }

    /// All distributions, by name.
    #[must_use]
    pub fn distributions(&self) -> Vec<(String, &Distribution)> {
        let mut named = vec![
            ("segment.total".to_owned(), &self.segment_total),
            ("connect".to_owned(), &self.connect),
            ("dns".to_owned(), &self.dns),
            ("tls_handshake".to_owned(), &self.tls),
        ];
        for (kind, (ttfb, download)) in &self.times {
            named.push((format!("{}.ttfb", kind.name()), ttfb));
            named.push((format!("{}.download", kind.name()), download));
        }
        named
    }

    /// Latencies so far; the start-up time is the caller's.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let mut by_kind = PerKind::<ExchangeTimes>::default();
        for (kind, (ttfb, download)) in &self.times {
            by_kind[*kind] = ExchangeTimes { ttfb: ttfb.quantiles(), download: download.quantiles() };
        }
        Latency {
            by_kind,
            segment_total: self.segment_total.quantiles(),
            connect: self.connect.quantiles(),
            dns: self.dns.quantiles(),
            tls: self.tls.quantiles(),
            startup: None,
        }
    }

    /// Segment latency, from the request to the last byte.
    #[must_use]
    pub fn segment_total(&self) -> Option<Quantiles> {
        self.segment_total.quantiles()
    }

    /// The whole distribution of segment latency, for the report.
    #[must_use]
    pub fn segment_total_encoded(&self) -> Option<String> {
        self.segment_total.encoded()
    }

    /// Segment latency as a Prometheus histogram.
    #[must_use]
    pub fn latency_buckets(&self) -> Buckets {
        self.segment_total.buckets()
    }
}
