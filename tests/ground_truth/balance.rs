//! Compares the report's figures with the servers' logs exactly: per viewer, in total, and by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::pairing::{Account, Pair, Why};
use super::swarm::{Exchange, Run};
use super::truth::{Served, kind};

const KINDS: [&str; 6] = ["manifest", "segment", "init", "key", "steering", "other"];

/// The expected row of one viewer in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    requests: BTreeMap<String, u64>,
    bytes: BTreeMap<String, u64>,
    http_status: BTreeMap<u16, u64>,
    head_bytes: u64,
    received: u64,
}

impl Default for Expected {
    fn default() -> Self {
        let zeros: BTreeMap<_, _> = KINDS.iter().map(|kind| ((*kind).to_owned(), 0)).collect();
        Self {
            requests: zeros.clone(),
            bytes: zeros,
            http_status: BTreeMap::new(),
            head_bytes: 0,
            received: 0,
        }
    }
}

impl Expected {
    fn add(&mut self, kind: &str, status: Option<u16>, head: u64, body: u64, received: u64) {
        *self.requests.get_mut(kind).unwrap() += 1;
        *self.bytes.get_mut(kind).unwrap() += body;
        if let Some(status) = status {
            *self.http_status.entry(status).or_default() += 1;
        }
        self.head_bytes += head;
        self.received += received;
    }

    /// Adds a request that the server logged.
    fn served(&mut self, served: &Served, received: u64) {
        let Served { status, head_bytes, body_bytes, .. } = served;
        self.add(served.kind(), Some(*status), *head_bytes, *body_bytes, received);
    }

    /// Adds the part that the viewer received of a request that was interrupted or that no server logged.
    fn part(&mut self, exchange: &Exchange) {
        let Exchange { status, head_bytes, body_bytes, .. } = exchange;
        let received = exchange.received_bytes.unwrap_or(0);
        self.add(kind(&exchange.name), *status, *head_bytes, *body_bytes, received);
    }
}

/// Discrepancies between the report and the logs. Incomplete exchanges have been identified one by one before.
pub(crate) fn discrepancies(run: &Run, account: &Account<'_>) -> Vec<String> {
    let mut expected: BTreeMap<u32, Expected> = BTreeMap::new();
    let mut of = |viewer: u32, add: &dyn Fn(&mut Expected)| {
        add(expected.entry(viewer).or_default());
    };
    for Pair { exchange, served } in &account.whole {
        // Ciphertext is longer than what the server counts, by an amount that only the kernel knows.
        let received = if exchange.tls { exchange.received_bytes.unwrap_or(0) } else { served.bytes() };
        of(served.viewer, &|expected| expected.served(served, received));
    }
    for (Pair { exchange, .. }, _) in &account.cut {
        of(exchange.viewer, &|expected| expected.part(exchange));
    }
    // A request on a closed connection reached no server.
    for (exchange, _) in account.unlogged.iter().filter(|(_, why)| *why != Why::StaleConnection) {
        of(exchange.viewer, &|expected| expected.part(exchange));
    }
    let is_shared = account.whole.iter().any(|pair| pair.exchange.shares_connection());
    let counted = match account.whole.iter().any(|pair| pair.exchange.tls) {
        _ if is_shared => Counted::Shared,
        true => Counted::Tls,
        false => Counted::Plain,
    };
    let unread = |viewer: u32| -> u64 {
        let cut = account.cut.iter().filter(|(pair, _)| pair.served.viewer == viewer);
        cut.map(|(pair, _)| pair.served.bytes().saturating_sub(pair.exchange.read())).sum()
    };
    let mut found = rows(run, &expected, counted, &unread);
    found.extend(totals(run, &expected, account));
    found.extend(connections(run, account));
    found
}

/// What the kernel counts as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// The responses.
    Plain,
    /// Ciphertext, exchange by exchange.
    Tls,
    /// Ciphertext and frames, connection by connection.
    Shared,
}

fn rows(
    run: &Run,
    expected: &BTreeMap<u32, Expected>,
    counted: Counted,
    unread: &dyn Fn(u32) -> u64,
) -> Vec<String> {
    let mut found = others(run, expected);
    let nothing = Expected::default();
    let viewers: BTreeSet<u32> =
        run.rows.iter().map(|row| row.viewer).chain(expected.keys().copied()).collect();
    for viewer in viewers {
        let expected = expected.get(&viewer).unwrap_or(&nothing);
        let Some(row) = run.rows.iter().find(|row| row.viewer == viewer) else { continue };
        let mut differ = |what: &str, reported: String, logged: String| {
            if reported != logged {
                found.push(format!(
                    "viewer {viewer}, {what}:\n      report: {reported}\n      log:    {logged}"
                ));
            }
        };
        differ("requests", format!("{:?}", row.requests), format!("{:?}", expected.requests));
        differ("body bytes", format!("{:?}", row.bytes), format!("{:?}", expected.bytes));
        differ("http_status", format!("{:?}", row.http_status), format!("{:?}", expected.http_status));
        differ("head_bytes", row.head_bytes.to_string(), expected.head_bytes.to_string());
        if counted == Counted::Shared {
            // Each record of 16 KiB, or of one frame at least, has a few dozen bytes more, and a handshake has thousands.
            let read = row.head_bytes + row.bytes.values().sum::<u64>();
            let more =
                row.received.checked_sub(read).filter(|more| *more <= 16_384 + read / 20 + unread(viewer));
            if more.is_none() {
                found.push(format!("viewer {viewer}: received {} for {read} that were read", row.received));
            }
        } else if counted == Counted::Tls {
            // When a connection ends, TLS sends close_notify outside of any exchange.
            let more = row.received.checked_sub(expected.received);
            differ("received", format!("{more:?} more, in bounds"), {
                let bound = more.filter(|more| *more <= 4096);
                format!("{bound:?} more, in bounds")
            });
        } else {
            differ("received", row.received.to_string(), expected.received.to_string());
        }
    }
    found
}

/// The viewers without a row of their own; in a small run, each has one.
fn others(run: &Run, expected: &BTreeMap<u32, Expected>) -> Vec<String> {
    let named: BTreeSet<u32> = run.rows.iter().map(|row| row.viewer).collect();
    let logged: Vec<&Expected> =
        expected.iter().filter(|(viewer, _)| !named.contains(viewer)).map(|(_, one)| one).collect();
    let reported = &run.report["other_viewers"];
    let mut found = Vec::new();
    let mut differ = |pointer: &str, logged: u64| {
        let reported = reported.pointer(pointer).map_or(0, |value| value.as_u64().unwrap());
        if reported != logged {
            found.push(format!("viewers without a row {pointer}: report {reported}, log {logged}"));
        }
    };
    differ("/viewers", logged.len() as u64);
    for kind in KINDS {
        differ(&format!("/requests/{kind}"), logged.iter().map(|one| one.requests[kind]).sum());
        differ(&format!("/bytes/{kind}"), logged.iter().map(|one| one.bytes[kind]).sum());
    }
    let of = |status: u16| logged.iter().filter_map(|one| one.http_status.get(&status)).sum();
    differ("/http_status/200", of(200));
    differ("/head_bytes", logged.iter().map(|one| one.head_bytes).sum());
    found
}

fn totals(run: &Run, expected: &BTreeMap<u32, Expected>, account: &Account<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |pointer: &str, logged: u64| {
        let reported = run.report.pointer(pointer).map_or(0, |value| value.as_u64().unwrap());
        if reported != logged {
            found.push(format!("total {pointer}: report {reported}, log {logged}"));
        }
    };
    let sum = |of: &dyn Fn(&Expected) -> u64| expected.values().map(of).sum::<u64>();
    for kind in KINDS {
        differ(&format!("/requests/{kind}"), sum(&|viewer| viewer.requests[kind]));
        differ(&format!("/bytes/{kind}"), sum(&|viewer| viewer.bytes[kind]));
    }
    differ("/bytes/total", sum(&|viewer| viewer.bytes.values().sum()));
    differ("/head_bytes", sum(&|viewer| viewer.head_bytes));
    let reported = run.report["http_status"].as_object().unwrap().keys().map(|code| code.parse().unwrap());
    let codes: BTreeSet<u16> =
        expected.values().flat_map(|viewer| viewer.http_status.keys().copied()).chain(reported).collect();
    for code in codes {
        let count = sum(&|viewer| viewer.http_status.get(&code).copied().unwrap_or(0));
        differ(&format!("/http_status/{code}"), count);
    }
    let failed = |status: u16| status >= 400;
    let count = |holds: &dyn Fn(&Exchange) -> bool| {
        let cut = account.cut.iter().map(|(pair, _)| pair.exchange);
        let requests = account.unlogged.iter().filter(|(_, why)| *why != Why::StaleConnection);
        let unlogged = requests.map(|(exchange, _)| *exchange);
        cut.chain(unlogged).filter(|exchange| holds(exchange)).count() as u64
    };
    let refused = account.whole.iter().filter(|pair| failed(pair.served.status)).count() as u64;
    differ("/errors/http", refused + count(&|exchange| exchange.status.is_some_and(failed)));
    differ("/unanswered", count(&|exchange| exchange.status.is_none()));
    let unrefused = |exchange: &Exchange| !exchange.status.is_some_and(failed);
    differ("/errors/broken", count(&|exchange| exchange.is_ended_by_server() && unrefused(exchange)));
    differ("/in_flight_at_stop", count(&|exchange| exchange.is_ended_by_viewer() && unrefused(exchange)));
    let stale = account.unlogged.iter().filter(|(_, why)| *why == Why::StaleConnection);
    differ("/stale_requests", stale.count() as u64);
    differ("/generator/events_lost", 0);
    found
}

/// Connections equal those of the log: one `connect` for each, on its first exchange.
fn connections(run: &Run, account: &Account<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut firsts = BTreeMap::<_, &Exchange>::new();
    for exchange in &run.exchanges {
        let first =
            firsts.entry((exchange.viewer, exchange.generation, exchange.connection)).or_insert(exchange);
        if exchange.started < first.started {
            *first = exchange;
        }
    }
    for exchange in &run.exchanges {
        let first = firsts[&(exchange.viewer, exchange.generation, exchange.connection)];
        let is_made = exchange.connect.or(exchange.quic_handshake).is_some();
        if is_made != std::ptr::eq(first, exchange) {
            found.push(format!("connect time on the wrong exchange of a connection: {exchange}"));
        }
    }
    // The server's number for each of our connections, and vice versa.
    let pairs = account.whole.iter().chain(account.cut.iter().map(|(pair, _)| pair));
    let mut names = BTreeMap::new();
    for Pair { exchange, served } in pairs {
        let Some(connection) = served.connection else { continue };
        let ours = (exchange.viewer, exchange.generation, exchange.connection);
        let theirs = *names.entry(ours).or_insert(connection);
        if theirs != connection {
            found.push(format!("one connection for us, two for the server: {exchange}\n      {served}"));
        }
    }
    found
}

/// A readable list of what was compared.
pub(crate) fn summary(run: &Run, served: &[Served], account: &Account<'_>) -> String {
    let mut text = String::new();
    let Account { whole, cut, unlogged, .. } = account;
    let bytes: u64 = whole.iter().map(|pair| pair.served.body_bytes).sum();
    let _ = writeln!(
        text,
        "{} requests in the log, {} exchanges: {} whole and equal ({bytes} B of body), {} cut, {} unlogged",
        served.len(),
        run.exchanges.len(),
        whole.len(),
        cut.len(),
        unlogged.len()
    );
    for kind in KINDS {
        let of_kind: Vec<_> = whole.iter().filter(|pair| pair.served.kind() == kind).collect();
        let bytes: u64 = of_kind.iter().map(|pair| pair.served.body_bytes).sum();
        if !of_kind.is_empty() {
            let _ = writeln!(text, "  {kind}: {} whole, {bytes} B", of_kind.len());
        }
    }
    for (Pair { exchange, served }, why) in cut {
        let _ = writeln!(text, "  {why:?}: {exchange}\n      server: {served}");
    }
    for (exchange, why) in unlogged {
        let _ = writeln!(text, "  {why:?}, not logged: {exchange}");
    }
    let lifetimes: Vec<_> = run
        .rows
        .iter()
        .map(|row| {
            format!("{}: {} starts, {:.1} s, {}", row.viewer, row.starts, row.media_seconds, row.state)
        })
        .collect();
    let _ = writeln!(
        text,
        "  viewers {}; verdict {}, errors {}, agreement {}, exits {}, reasons {}",
        lifetimes.join("; "),
        run.report["verdict"],
        run.report["errors"],
        run.report["agreement"],
        run.report["viewers"]["exits"],
        run.report["exit_reasons"]
    );
    text
}
