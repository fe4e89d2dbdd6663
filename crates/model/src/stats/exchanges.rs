//! Statistics of exchanges: requests, bytes, status codes, latencies, errors, kernel bytes.

use std::collections::BTreeMap;

use super::attempts::Attempt;
use super::distribution::Distribution;
use crate::content::Defect;
use crate::exchange::{Cache, Exchange, Kind, Outcome};
use crate::metric::counters::{Counter, Counters, SeenIn};
use crate::snapshot::{Buckets, CacheResults, Errors, Latency, PerKind, PerTiming, Timing};

/// Bounds of the latency histogram, seconds.
pub(crate) const LATENCY_BOUNDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];

/// Bounds of the histogram of durations of a round trip, seconds.
const ROUND_TRIP_BOUNDS: [f64; 13] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

const fn bounds(timing: Timing) -> &'static [f64] {
    match timing {
        Timing::Connect | Timing::Rtt | Timing::MinRtt => &ROUND_TRIP_BOUNDS,
        _ => &LATENCY_BOUNDS,
    }
}

/// Everything counted over all exchanges of a run.
#[derive(Clone, Debug)]
pub struct Exchanges {
    pub(crate) requests: PerKind<u64>,
    pub(crate) bytes: PerKind<u64>,
    pub(crate) head_bytes: u64,
    pub(crate) http_status: BTreeMap<u16, u64>,
    pub(crate) counters: Counters,
    pub(crate) cache: CacheResults,
    pub(crate) failures: Failures,
    times: PerTiming<Option<Box<Distribution>>>,
    kernel: KernelBytes,
    connect_failures: BTreeMap<String, u64>,
}

/// Durations of the parts of an exchange, nanoseconds. An error page arrives fast, whatever its status; it must not
/// make the stream look fast.
pub(crate) fn durations(exchange: &Exchange) -> impl Iterator<Item = (Timing, u64)> {
    let kind = exchange.kind;
    let served = exchange.status.is_some_and(|status| (200..300).contains(&status));
    let good = served && exchange.defect().is_none();
    let (ttfb, download) = if good { (exchange.first_byte_ns, exchange.download_ns) } else { (None, None) };
    // A response that the server delays on request does not make it slow.
    let ttfb = ttfb.filter(|_| !exchange.blocking_reload);
    // The kernel reports 0 before its first measurement.
    let rtt =
        |micros: Option<u32>| micros.filter(|micros| *micros > 0).map(|micros| u64::from(micros) * 1000);
    let durations = [
        (Timing::Ttfb(kind), ttfb),
        (Timing::Download(kind), download),
        (Timing::Total(kind), ttfb.zip(download).map(|(ttfb, download)| ttfb + download)),
        (Timing::Connect, exchange.connect_ns),
        (Timing::Dns, exchange.dns_ns),
        (Timing::TlsHandshake, exchange.tls_ns),
        (Timing::Rtt, rtt(exchange.rtt_us)),
        (Timing::MinRtt, rtt(exchange.min_rtt_us)),
    ];
    durations.into_iter().filter_map(|(timing, nanos)| Some((timing, nanos?)))
}

/// The failure of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The status code was 400 or above.
    Http,
    /// The peer or the network interrupted it.
    Broken,
    /// The viewer gave it up after its timeout.
    TimedOut,
    /// It arrived whole, but its body is not what was requested.
    Content(Defect),
}

/// Whether the body of a successful response is wrong, or was interrupted.
fn is_bad_body(exchange: &Exchange, fault: Option<Fault>) -> bool {
    let served = matches!(exchange.status, Some(200 | 206));
    matches!(fault, Some(Fault::Content(_))) || (served && fault == Some(Fault::Broken))
}

/// Counts of requests and connection attempts, and of how they failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    /// An exchange that the viewer closed after this much silence ran into its timeout.
    timeout_ns: u64,
    errors: Errors,
}

impl Failures {
    /// None yet; `timeout_ns` is the viewers' network timeout.
    pub(crate) fn new(timeout_ns: u64) -> Self {
        Self { timeout_ns, errors: Errors::default() }
    }

    /// Time without data after which a viewer gives up: FFmpeg checks its timeout every 100 ms, so it may
    /// give up that much earlier.
    const fn give_up_ns(&self) -> u64 {
        self.timeout_ns.saturating_sub(100_000_000)
    }

    /// The failure of an exchange, if it failed. One that was in flight when its viewer was stopped did not, and what a
    /// playlist announces as missing (EXT-X-GAP) cannot fail.
    pub(crate) fn fault(&self, exchange: &Exchange) -> Option<Fault> {
        let given_up = exchange.idle_ns.is_some_and(|idle| idle >= self.give_up_ns());
        match exchange.outcome {
            // The stream is as its playlist announces it.
            _ if exchange.gap => None,
            _ if exchange.status.is_some_and(|status| status >= 400) => Some(Fault::Http),
            Outcome::Complete => exchange.defect().map(Fault::Content),
            Outcome::ClosedByPeer | Outcome::SocketError(_) => Some(Fault::Broken),
            _ => given_up.then_some(Fault::TimedOut),
        }
    }

    /// Counts a request.
    pub(crate) fn add(&mut self, Attempt { fault, is_repeat }: Attempt) {
        let errors = &mut self.errors;
        errors.attempts += 1;
        errors.objects += u64::from(!is_repeat);
        let Some(fault) = fault else { return };
        *match fault {
            Fault::Http => &mut errors.http,
            Fault::Broken => &mut errors.broken,
            Fault::TimedOut => &mut errors.timeouts,
            Fault::Content(_) => &mut errors.content,
        } += 1;
        errors.failed += 1;
        errors.objects_failed += u64::from(!is_repeat);
    }

    /// Counts the failure of an exchange that has been counted without one.
    pub(crate) fn cut_short(&mut self) {
        self.errors.broken += 1;
        self.errors.failed += 1;
        self.errors.objects_failed = (self.errors.objects_failed + 1).min(self.errors.objects);
    }

    /// Whether a connection that could not be made is a failure. A viewer that was stopped while it waited has not seen
    /// one.
    pub(crate) fn is_failed_connect(&self, given_up_after_ns: Option<u64>) -> bool {
        given_up_after_ns.is_none_or(|waited| waited >= self.give_up_ns())
    }

    /// Counts a connection that could not be made, and not before either if `is_repeat`.
    pub(crate) fn connect_failed(&mut self, timed_out: bool, is_repeat: bool) {
        let errors = &mut self.errors;
        errors.attempts += 1;
        errors.failed += 1;
        errors.connect += 1;
        errors.timeouts += u64::from(timed_out);
        errors.objects += u64::from(!is_repeat);
        errors.objects_failed += u64::from(!is_repeat);
    }

    /// Errors, with their rate.
    pub(crate) fn errors(&self) -> Errors {
        self.errors.with_rate()
    }
}

/// The number of different reasons for failed connections that are counted separately.
const REASONS: usize = 50;

/// Bytes that the kernel counted, and those of them that viewers read.
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
    /// Plain connections: received for an exchange that was interrupted, but not read.
    plain_unread: u64,
}

impl Exchanges {
    /// Nothing counted yet; `timeout_ns` is the viewers' network timeout.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            requests: PerKind::default(),
            bytes: PerKind::default(),
            head_bytes: 0,
            http_status: BTreeMap::new(),
            counters: Counters::zero(SeenIn::Requests),
            cache: CacheResults::default(),
            failures: Failures::new(timeout_ns),
            times: PerTiming::default(),
            kernel: KernelBytes::default(),
            connect_failures: BTreeMap::new(),
        }
    }

    /// Counts one exchange.
    pub fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        self.requests[exchange.kind] += 1;
        self.bytes[exchange.kind] += exchange.body_bytes;
        self.head_bytes += exchange.head_bytes;
        if exchange.unknown_body {
            self.counters.add(Counter::UnknownBodies, 1);
        }
        match exchange.status {
            Some(status) => *self.http_status.entry(status).or_default() += 1,
            None => self.counters.add(Counter::Unanswered, 1),
        }
        match exchange.cache {
            Some(Cache::Hit) => self.cache.hits += 1,
            Some(Cache::Miss) => self.cache.misses += 1,
            Some(Cache::Other) | None => {}
        }
        let media = matches!(exchange.kind, Kind::Segment | Kind::Init);
        if media && is_bad_body(exchange, attempt.fault) {
            self.counters.add(Counter::SegmentsBadContent, 1);
        }
        self.failures.add(attempt);
        if attempt.fault.is_none()
            && matches!(exchange.outcome, Outcome::ClosedByViewer | Outcome::ProcessExit)
        {
            self.counters.add(Counter::InFlightAtStop, 1);
        }
        self.weigh(exchange);
        self.time(exchange);
    }

    /// Corrects the count of a body that did not arrive whole. That it ended early is an error if that is certain; an
    /// unknown number of bytes counts as none.
    pub fn cut_short(&mut self, kind: Kind, counted: u64, arrived: Option<u64>) {
        let missing = counted.saturating_sub(arrived.unwrap_or(0));
        self.bytes[kind] = self.bytes[kind].saturating_sub(missing);
        match arrived {
            Some(_) => self.failures.cut_short(),
            None => self.counters.add(Counter::UnknownBodies, 1),
        }
    }

    /// Counts a request that no server ever saw: neither a request nor an error, for the viewer sends
    /// it again.
    pub fn add_stale(&mut self, exchange: &Exchange) {
        self.counters.add(Counter::StaleRequests, 1);
        self.weigh(exchange);
    }

    /// Counts a connection that could not be made, and not before either if `is_repeat`.
    pub fn connect_failed(&mut self, reason: String, timed_out: bool, is_repeat: bool) {
        self.failures.connect_failed(timed_out, is_repeat);
        let room = self.connect_failures.len() < REASONS || self.connect_failures.contains_key(&reason);
        if room {
            *self.connect_failures.entry(reason).or_default() += 1;
        }
    }

    /// Counts bytes that the kernel received and that no exchange accounts for.
    pub fn received(&mut self, bytes: u64, tls: bool) {
        self.kernel.measured = true;
        self.kernel.received += bytes;
        self.kernel.plain_received += if tls { 0 } else { bytes };
    }

    fn time(&mut self, exchange: &Exchange) {
        for (timing, nanos) in durations(exchange) {
            self.lasted(timing, nanos);
        }
    }

    fn lasted(&mut self, timing: Timing, nanos: u64) {
        let times = &mut self.times[timing];
        times.get_or_insert_with(|| Box::new(Distribution::with_buckets(bounds(timing)))).add_ns(nanos);
    }

    /// Adds a name lookup that failed; the connection that needed it is counted separately.
    pub fn lookup_failed(&mut self, took_ns: u64) {
        self.lasted(Timing::DnsFailed, took_ns);
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

    /// Bytes that the kernel received, if it reported them.
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

    /// Reasons for failed connections, by the operating system's messages.
    #[must_use]
    pub fn connect_failures(&self) -> Vec<(String, u64)> {
        self.connect_failures.iter().map(|(reason, count)| (reason.clone(), *count)).collect()
    }

    /// Errors, with their rate.
    #[must_use]
    pub fn errors(&self) -> Errors {
        self.failures.errors()
    }

    /// The whole distribution of a timing; `None` if nothing was measured.
    #[must_use]
    pub fn distribution(&self, timing: Timing) -> Option<&Distribution> {
        self.times[timing].as_deref()
    }

    /// All distributions.
    pub fn distributions(&self) -> impl Iterator<Item = (Timing, &Distribution)> {
        self.times.iter().filter_map(|(timing, times)| Some((timing, times.as_deref()?)))
    }

    /// Latencies so far; the startup time is the caller's.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        for (timing, times) in self.distributions() {
            latency[timing] = times.quantiles();
        }
        latency
    }

    /// The same as Prometheus histograms.
    #[must_use]
    pub fn buckets(&self) -> PerTiming<Buckets> {
        let mut buckets = PerTiming::default();
        for (timing, times) in self.distributions() {
            buckets[timing] = times.buckets();
        }
        buckets
    }

    /// Durations of segments, from the request to the last byte.
    #[must_use]
    pub fn segment_total(&self) -> Option<&Distribution> {
        self.distribution(Timing::Total(Kind::Segment))
    }
}
