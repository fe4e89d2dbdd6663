//! Viewers' life cycles.

use super::Type::{Counter, Gauge, Histogram};
use super::{Metric, Value, count, histogram, metric, quantile};

pub(crate) static TABLE: &[Metric] = &[
    metric("client_starts_total", Counter, "", "Processes started.", |s, _| count(s.lifetimes.starts)),
    metric("client_restarts_total", Counter, "", "Processes started again.", |s, _| {
        count(s.lifetimes.restarts)
    }),
    metric(
        "client_exits_total",
        Counter,
        "category",
        "Ends of processes: success (finished, or stopped by us), error, signal.",
        |s, _| {
            let exits = s.lifetimes.exits;
            let rows = [("success", exits.success), ("error", exits.error), ("signal", exits.signal)];
            Value::Labelled(rows.map(|(name, n)| (name.to_owned(), n as f64)).to_vec())
        },
    ),
    metric("clients_given_up", Gauge, "", "Viewers that will not be started again.", |s, _| {
        count(s.lifetimes.given_up)
    }),
    metric("client_uptime_seconds", Histogram, "", "Lifetimes of ended processes.", |s, _| {
        histogram(&s.uptime_buckets)
    }),
    metric("uptime_p50_seconds", Gauge, "", "Median lifetime of ended processes.", |s, _| {
        quantile(s.uptime, |q| q.p50)
    }),
    metric("uptime_p95_seconds", Gauge, "", "95th percentile of the same.", |s, _| {
        quantile(s.uptime, |q| q.p95)
    }),
    metric("uptime_p99_seconds", Gauge, "", "99th percentile of the same.", |s, _| {
        quantile(s.uptime, |q| q.p99)
    }),
];
