//! What went wrong on the network.

use hls_swarm_model::metric::counters;

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, maybe, metric};

pub(crate) static TABLE: &[Metric] = &[
    metric("http_responses_total", Counter, "status_code", "Responses by status code.", |s, _| {
        Value::Labelled(s.http_status.iter().map(|(code, n)| (code.to_string(), *n as f64)).collect())
    }),
    metric(
        "http_errors_total",
        Counter,
        "status_code",
        "Responses with a status of 400 or above.",
        |s, _| {
            let errors = s.http_status.iter().filter(|(code, _)| **code >= 400);
            Value::Labelled(errors.map(|(code, n)| (code.to_string(), *n as f64)).collect())
        },
    ),
    metric(
        "broken_exchanges_total",
        Counter,
        "",
        "Exchanges that the peer or the network broke off.",
        |s, _| count(s.errors.broken),
    ),
    metric(
        "stale_requests_total",
        Counter,
        "",
        "Requests into kept connections that the server had closed; sent again, and neither requests nor errors.",
        |s, _| maybe(s.counters[counters::Counter::StaleRequests].map(|n| n as f64)),
    ),
    metric("connect_errors_total", Counter, "", "Connections that could not be made.", |s, _| {
        count(s.errors.connect)
    }),
    metric("timeouts_total", Counter, "", "Connects and exchanges given up after the time-out.", |s, _| {
        count(s.errors.timeouts)
    }),
    metric("reconnections_total", Counter, "", "Reconnects that FFmpeg announced.", |s, _| {
        maybe(s.counters[counters::Counter::Reconnections].map(|n| n as f64))
    }),
    metric("error_rate", Gauge, "", "Errors over requests, 0 to 1.", |s, _| maybe(s.errors.rate)),
];
