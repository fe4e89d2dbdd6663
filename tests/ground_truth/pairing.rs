//! Pairs each exchange that a viewer's probe recorded with the request that a server logged, and finds the
//! reason for every exchange that is incomplete or that no server logged. An exchange without a reason is a
//! discrepancy.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use hls_swarm_probe::record::url_hash;

use super::swarm::{Exchange, Run};
use super::truth::Served;

/// Facts about a case that are not in the server's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// The `Host` header that viewers send.
    pub(crate) host: String,
    /// Spans of `CLOCK_MONOTONIC`, in seconds, in which the server was down. A server that
    /// crashes does not log requests in flight.
    pub(crate) outages: Vec<Range<f64>>,
}

/// The reason why an exchange is incomplete or not in the server's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The viewer was stopped while it was in flight, with the run or at the end of its process.
    InFlightAtStop,
    /// The server logged that it did not send all of it.
    CutByServer,
    /// In flight when the server crashed.
    Outage,
    /// Sent on a kept-alive connection that the server had closed meanwhile.
    StaleConnection,
}

/// An exchange and its request in the server's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) served: &'a Served,
}

/// Every exchange, by its outcome.
#[derive(Debug, Default)]
pub(crate) struct Account<'a> {
    pub(crate) whole: Vec<Pair<'a>>,
    pub(crate) cut: Vec<(Pair<'a>, Why)>,
    pub(crate) unlogged: Vec<(&'a Exchange, Why)>,
    pub(crate) discrepancies: Vec<String>,
}

/// Pairs exchanges and requests by the viewer's port, in the order in which they were sent.
pub(crate) fn pair<'a>(run: &'a Run, served: &'a [Served], known: &Circumstances) -> Account<'a> {
    let mut ports: BTreeMap<u16, (Vec<&Exchange>, Vec<&Served>)> = BTreeMap::new();
    for exchange in &run.exchanges {
        ports.entry(exchange.local_port.unwrap_or(0)).or_default().0.push(exchange);
    }
    for served in served {
        ports.entry(served.port).or_default().1.push(served);
    }
    let lifetimes = Lifetimes::of(run);
    let mut account = Account::default();
    for (mut ours, theirs) in ports.into_values() {
        ours.sort_by(|a, b| a.started.partial_cmp(&b.started).unwrap());
        let mut theirs = theirs;
        theirs.sort_by_key(|served| served.received_as());
        let mut theirs = VecDeque::from(theirs);
        let missed = |served| format!("served, but recorded by no viewer:\n      {served}");
        for exchange in ours {
            let same = theirs.iter().position(|served| is_same(exchange, served, known));
            let Some(skipped) = same else {
                account.judge_unlogged(exchange, theirs.front().copied(), &lifetimes, known);
                continue;
            };
            account.discrepancies.extend(theirs.drain(..skipped).map(missed));
            if let Some(served) = theirs.pop_front() {
                account.judge_pair(Pair { exchange, served }, &lifetimes, known);
            }
        }
        account.discrepancies.extend(theirs.into_iter().map(missed));
    }
    account
}

/// Returns whether both are the same request, by viewer and URL.
fn is_same(exchange: &Exchange, served: &Served, known: &Circumstances) -> bool {
    // Nothing was received on a closed connection, so the request that the server answered is another one.
    let lost = exchange.is_ended_by_server() || exchange.outcome == "stale";
    let unheard = exchange.read() == 0 && lost && served.bytes() > 0;
    let hash = url_hash(served.target.as_bytes(), known.host.as_bytes());
    exchange.viewer == served.viewer && exchange.url_hash == format!("{hash:016x}") && !unheard
}

/// Facts about the viewers' processes.
struct Lifetimes {
    /// By viewer and generation.
    exchanges: BTreeMap<(u32, u32), Vec<Exchange>>,
    /// The earliest time at which the run stopped.
    stop: f64,
}

/// Longer than any response of these tests takes, in seconds.
const LONGEST_FLIGHT: f64 = 4.0;

impl Lifetimes {
    fn of(run: &Run) -> Self {
        let mut lifetimes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for exchange in &run.exchanges {
            lifetimes.entry((exchange.viewer, exchange.generation)).or_default().push(exchange.clone());
        }
        Self { exchanges: lifetimes, stop: run.stop }
    }

    /// No request followed on its connection.
    fn is_last_of_its_connection(&self, exchange: &Exchange) -> bool {
        let of_life = &self.exchanges[&(exchange.viewer, exchange.generation)];
        !of_life
            .iter()
            .any(|other| other.connection == exchange.connection && other.started > exchange.started)
    }

    /// Its viewer was not restarted.
    fn is_of_last_generation(&self, exchange: &Exchange) -> bool {
        !self
            .exchanges
            .keys()
            .any(|(viewer, generation)| *viewer == exchange.viewer && *generation > exchange.generation)
    }

    /// It was in flight when the run stopped: the last one of its connection and its viewer, and begun
    /// shortly before.
    fn ends_with_run(&self, exchange: &Exchange) -> bool {
        self.is_of_last_generation(exchange)
            && (exchange.shares_connection() || self.is_last_of_its_connection(exchange))
            && exchange.started > self.stop - LONGEST_FLIGHT
    }
}

impl<'a> Account<'a> {
    fn judge_pair(&mut self, pair: Pair<'a>, lifetimes: &Lifetimes, known: &Circumstances) {
        let Pair { exchange, served } = pair;
        let faults = if exchange.is_complete() { whole(pair) } else { partial(pair) };
        let why = cut_reason(pair, lifetimes, known);
        if why.is_none() && !exchange.is_complete() {
            self.discrepancies.push(format!("not whole without a reason:\n      {exchange}\n      {served}"));
        }
        let faults = [faults, common(pair)].concat();
        if !faults.is_empty() {
            let faults = faults.join("; ");
            self.discrepancies.push(format!("{faults}:\n      viewer: {exchange}\n      server: {served}"));
        }
        match why {
            Some(why) => self.cut.push((pair, why)),
            None => self.whole.push(pair),
        }
    }

    fn judge_unlogged(
        &mut self,
        exchange: &'a Exchange,
        next: Option<&Served>,
        lifetimes: &Lifetimes,
        known: &Circumstances,
    ) {
        let nothing = exchange.status.is_none() && exchange.read() == 0;
        let stale = exchange.outcome == "stale";
        let why = if in_outage(exchange, known) && !exchange.is_complete() && !stale {
            Some(Why::Outage)
        } else if nothing && exchange.is_ended_by_viewer() && lifetimes.ends_with_run(exchange) {
            // It was sent, and the connection was closed before the server read it.
            Some(Why::InFlightAtStop)
        } else if nothing
            && stale
            && exchange.connect.is_none()
            && lifetimes.is_last_of_its_connection(exchange)
        {
            Some(Why::StaleConnection)
        } else {
            None
        };
        match why {
            Some(why) => self.unlogged.push((exchange, why)),
            None => {
                let next = next.map_or_else(|| "nothing more on this port".to_owned(), Served::to_string);
                self.discrepancies.push(format!("logged by no server:\n      {exchange}\n      log: {next}"));
            }
        }
    }
}

fn in_outage(exchange: &Exchange, known: &Circumstances) -> bool {
    // It may have begun shortly before, and the last request of a process lasts until the process is stopped.
    known.outages.iter().any(|outage| (outage.start - 2.0..outage.end).contains(&exchange.started))
}

fn cut_reason(pair: Pair<'_>, lifetimes: &Lifetimes, known: &Circumstances) -> Option<Why> {
    let Pair { exchange, served } = pair;
    if exchange.is_complete() {
        None
    } else if in_outage(exchange, known) && lifetimes.is_last_of_its_connection(exchange) {
        Some(Why::Outage)
    } else if exchange.is_ended_by_server() && !served.whole {
        Some(Why::CutByServer)
    } else if exchange.is_ended_by_viewer() && lifetimes.ends_with_run(exchange) {
        Some(Why::InFlightAtStop)
    } else {
        None
    }
}

/// Checks that apply to every pair.
fn common(pair: Pair<'_>) -> Vec<String> {
    let Pair { exchange, served } = pair;
    let mut faults = Vec::new();
    if exchange.kind != served.kind() {
        faults.push(format!("kind {} instead of {}", exchange.kind, served.kind()));
    }
    if exchange.http != served.http {
        faults.push(format!("HTTP/{} instead of HTTP/{}", exchange.http, served.http));
    }
    if exchange.name != served.name() {
        faults.push(format!("name {} instead of {}", exchange.name, served.name()));
    }
    faults
}

/// Checks for a complete exchange: all values are equal.
fn whole(pair: Pair<'_>) -> Vec<String> {
    let Pair { exchange, served } = pair;
    let mut faults = Vec::new();
    if !served.whole {
        faults.push("whole for the viewer, not for the server".to_owned());
    }
    if exchange.status != Some(served.status) {
        faults.push(format!("status {:?} instead of {}", exchange.status, served.status));
    }
    if exchange.head_bytes != served.head_bytes {
        faults.push(format!("head of {} B instead of {} B", exchange.head_bytes, served.head_bytes));
    }
    if exchange.body_bytes != served.body_bytes {
        faults.push(format!("body of {} B instead of {} B", exchange.body_bytes, served.body_bytes));
    }
    match exchange.received_bytes {
        // Received bytes minus the head are nginx's $body_bytes_sent.
        Some(received)
            if !exchange.tls && received.checked_sub(exchange.head_bytes) != Some(served.body_bytes) =>
        {
            faults.push(format!("kernel received {received} B instead of {} B", served.bytes()));
        }
        Some(received) if exchange.tls && received < served.bytes() => {
            faults.push(format!("kernel received {received} B of ciphertext for {} B", served.bytes()));
        }
        // Of a shared connection, only all of its bytes are known.
        None if exchange.shares_connection() => {}
        None => faults.push("no word from the kernel".to_owned()),
        Some(_) => {}
    }
    faults
}

/// Checks for an interrupted exchange: read <= received <= sent, and the server had not sent
/// everything, or had sent more than was read.
fn partial(pair: Pair<'_>) -> Vec<String> {
    let Pair { exchange, served } = pair;
    let mut faults = Vec::new();
    match exchange.status {
        Some(status) if status != served.status => {
            faults.push(format!("status {status} instead of {}", served.status));
        }
        None if exchange.head_bytes >= served.head_bytes && served.head_bytes > 0 => {
            faults.push("the head was read, and no status".to_owned());
        }
        _ => {}
    }
    if exchange.head_bytes > served.head_bytes || exchange.body_bytes > served.body_bytes {
        faults.push("more was read than was sent".to_owned());
    }
    if served.whole && exchange.read() >= served.bytes() {
        faults.push("everything was sent and read, and yet it is not whole".to_owned());
    }
    let received = exchange.received_bytes.unwrap_or(0);
    if !exchange.tls && !(exchange.read()..=served.bytes()).contains(&received) {
        faults.push(format!(
            "kernel received {received} B, read were {} B, sent were {} B",
            exchange.read(),
            served.bytes()
        ));
    }
    faults
}
