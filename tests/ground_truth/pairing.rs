//! Pairs each exchange that a viewer's probe told of with the request that a server tells of, and
//! says of every exchange that is not whole, and of every one that no server knows, why that is so.
//! Whatever has no reason is a discrepancy.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use hls_swarm_probe::record::url_hash;

use super::swarm::{Exchange, Run};
use super::truth::Served;

/// What is known of a case beside the server's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// The `Host` header that viewers send.
    pub(crate) host: String,
    /// Spans of `CLOCK_MONOTONIC`, in seconds, in which the test had the server away. A server that is
    /// broken off does not log what was in flight.
    pub(crate) outages: Vec<Range<f64>>,
}

/// Why an exchange is not whole, or not in the server's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The viewer was stopped while it was in flight, with the run or because its life ended.
    InFlightAtStop,
    /// The server says itself that it did not send all of it.
    CutByServer,
    /// In flight when the server was taken away.
    Outage,
    /// Sent into a kept connection that the server had closed meanwhile.
    StaleConnection,
}

/// An exchange and the request it is in the server's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) served: &'a Served,
}

/// Every exchange, by what became of it.
#[derive(Debug, Default)]
pub(crate) struct Account<'a> {
    pub(crate) whole: Vec<Pair<'a>>,
    pub(crate) cut: Vec<(Pair<'a>, Why)>,
    pub(crate) unlogged: Vec<(&'a Exchange, Why)>,
    pub(crate) discrepancies: Vec<String>,
}

/// Pairs by the viewer's port, in the order in which requests went through it.
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
        let mut theirs = VecDeque::from(theirs);
        let missed = |served| format!("served, and no viewer tells of it:\n      {served}");
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

/// Whether it is the same request, by viewer and URL.
fn is_same(exchange: &Exchange, served: &Served, known: &Circumstances) -> bool {
    // Nothing came back and the connection was gone: the server, which answered, had another request.
    let lost = exchange.is_ended_by_server() || exchange.outcome == "stale";
    let unheard = exchange.read() == 0 && lost && served.bytes() > 0;
    let hash = url_hash(served.target.as_bytes(), known.host.as_bytes());
    exchange.viewer == served.viewer && exchange.url_hash == format!("{hash:016x}") && !unheard
}

/// What there is to know of the viewers' processes.
struct Lifetimes {
    /// By viewer and generation.
    exchanges: BTreeMap<(u32, u32), Vec<Exchange>>,
    /// The run did not stop before.
    stop: f64,
}

/// Longer than any response of these tests takes, seconds.
const LONGEST_FLIGHT: f64 = 4.0;

impl Lifetimes {
    fn of(run: &Run) -> Self {
        let mut lifetimes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for exchange in &run.exchanges {
            lifetimes.entry((exchange.viewer, exchange.generation)).or_default().push(exchange.clone());
        }
        Self { exchanges: lifetimes, stop: run.stop }
    }

    /// Nothing was asked for on its connection after it.
    fn is_last_of_its_connection(&self, exchange: &Exchange) -> bool {
        let of_life = &self.exchanges[&(exchange.viewer, exchange.generation)];
        !of_life
            .iter()
            .any(|other| other.connection == exchange.connection && other.started > exchange.started)
    }

    /// Its viewer was not started again.
    fn is_of_last_life(&self, exchange: &Exchange) -> bool {
        !self
            .exchanges
            .keys()
            .any(|(viewer, generation)| *viewer == exchange.viewer && *generation > exchange.generation)
    }

    /// It was in flight when the run stopped: the last of its connection and of its viewer, and begun
    /// not long before.
    fn ends_with_run(&self, exchange: &Exchange) -> bool {
        self.is_of_last_life(exchange)
            && self.is_last_of_its_connection(exchange)
            && exchange.started > self.stop - LONGEST_FLIGHT
    }
}

impl<'a> Account<'a> {
    fn judge_pair(&mut self, pair: Pair<'a>, lifetimes: &Lifetimes, known: &Circumstances) {
        let Pair { exchange, served } = pair;
        let faults = if exchange.is_complete() { whole(pair) } else { partial(pair) };
        let why = why_cut(pair, lifetimes, known);
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
            // It was sent, and the connection was gone before the server read it.
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
                self.discrepancies
                    .push(format!("no server tells of it:\n      {exchange}\n      log: {next}"));
            }
        }
    }
}

fn in_outage(exchange: &Exchange, known: &Circumstances) -> bool {
    // It may have begun a little before, and the last request of a life goes on until somebody ends it.
    known.outages.iter().any(|outage| (outage.start - 2.0..outage.end).contains(&exchange.started))
}

fn why_cut(pair: Pair<'_>, lifetimes: &Lifetimes, known: &Circumstances) -> Option<Why> {
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

/// What must hold for every pair.
fn common(pair: Pair<'_>) -> Vec<String> {
    let Pair { exchange, served } = pair;
    let mut faults = Vec::new();
    if exchange.kind != served.kind() {
        faults.push(format!("kind {} instead of {}", exchange.kind, served.kind()));
    }
    if exchange.name != served.name() {
        faults.push(format!("name {} instead of {}", exchange.name, served.name()));
    }
    faults
}

/// What must hold for a whole exchange: everything, exactly.
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
        // Received bytes less the head are nginx's $body_bytes_sent.
        Some(received)
            if !exchange.tls && received.checked_sub(exchange.head_bytes) != Some(served.body_bytes) =>
        {
            faults.push(format!("kernel received {received} B instead of {} B", served.bytes()));
        }
        Some(received) if exchange.tls && received < served.bytes() => {
            faults.push(format!("kernel received {received} B of ciphertext for {} B", served.bytes()));
        }
        None => faults.push("no word from the kernel".to_owned()),
        Some(_) => {}
    }
    faults
}

/// What must hold for an exchange that broke off: read <= received <= sent, and the server had not sent
/// all, or sent more than was read.
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
