//! The one table of metrics: name, type, help and where the value comes from.
//!
//! Prometheus' exposition, the dashboards, the alerts and the reference all read it. A value that
//! was not measured yields no sample, never 0.

pub(crate) mod errors;
pub(crate) mod health;
pub(crate) mod insight;
pub(crate) mod latency;
pub(crate) mod lifetimes;
pub(crate) mod origin;
pub(crate) mod parts;
pub(crate) mod progress;
pub(crate) mod requests;
pub(crate) mod tool;
pub(crate) mod viewers;

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{Buckets, Quantiles, Snapshot};

/// Common prefix of all names.
pub const PREFIX: &str = "hls_swarm_";

/// What a metric yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It was not measured.
    Absent,
    /// One number.
    One(f64),
    /// One number per label value; the label's name stands in the table.
    Labelled(Vec<(String, f64)>),
    /// One number per combination of label values, in the order of the labels' names.
    Grid(Vec<(Vec<String>, f64)>),
    /// A histogram.
    Histogram(Buckets),
}

/// Prometheus' type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// One metric.
pub struct Metric {
    /// Name without prefix.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// Name of the label, empty if there is none; several are separated by a space.
    pub label: &'static str,
    /// What it tells, with its unit.
    pub help: &'static str,
    /// Reads it.
    pub read: fn(&Snapshot, &Run) -> Value,
}

const fn metric(
    name: &'static str,
    kind: Type,
    label: &'static str,
    help: &'static str,
    read: fn(&Snapshot, &Run) -> Value,
) -> Metric {
    Metric { name, kind, label, help, read }
}

fn one(value: f64) -> Value {
    Value::One(value)
}

fn count(value: u64) -> Value {
    Value::One(value as f64)
}

fn maybe(value: Option<f64>) -> Value {
    value.map_or(Value::Absent, Value::One)
}

fn quantile(quantiles: Option<Quantiles>, of: fn(&Quantiles) -> f64) -> Value {
    maybe(quantiles.as_ref().map(of))
}

fn quantiles(quantiles: Option<Quantiles>) -> Value {
    let Some(q) = quantiles else { return Value::Absent };
    // Not `quantile`: Prometheus keeps that label for its own summaries, which need a sum as well.
    let rows = [("50", q.p50), ("95", q.p95), ("99", q.p99), ("100", q.max)];
    Value::Labelled(rows.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn histogram(buckets: &Buckets) -> Value {
    if buckets.count == 0 { Value::Absent } else { Value::Histogram(buckets.clone()) }
}

/// The table, in the order of the exposition.
static TABLES: [&[Metric]; 11] = [
    progress::TABLE,
    requests::TABLE,
    latency::TABLE,
    health::TABLE,
    errors::TABLE,
    parts::TABLE,
    insight::TABLE,
    lifetimes::TABLE,
    origin::TABLE,
    tool::TABLE,
    viewers::TABLE,
];

/// All metrics, in the order of the exposition.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    TABLES.into_iter().flatten()
}
