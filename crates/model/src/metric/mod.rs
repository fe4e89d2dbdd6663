//! The catalogue of metrics: identifier, unit, type, help, reader, and the thresholds that each supports.
//!
//! Prometheus' exposition, thresholds, criteria, the dashboards and the reference pages are made from it. A
//! value that was not measured yields no sample, never 0. A count of single events is an entry of
//! [`counters`]; everything else is an entry of one of the tables below.

pub mod counters;
mod go_tool;
mod rows;
mod scalars;

use std::sync::LazyLock;

use crate::exchange::Kind;
use crate::run::Run;
use crate::snapshot::{Buckets, Snapshot, Timing};

use counters::Counter;

pub use go_tool::GO_TOOL;

/// Common prefix of all series.
pub const PREFIX: &str = "hls_swarm_";

/// Metrics that need viewers with the buffer of a player.
pub(crate) const NEED_BUFFER: [&str; 6] =
    ["stalls", "speed", "rebuffering", "throughput_ratio", "longest_stall", "viewers_without_stall"];

/// Metrics that need the playlists that viewers read.
pub(crate) const NEED_PLAYLISTS: [&str; 3] = ["missing_media", "segments_skipped", "segments_unavailable"];

/// Metrics that need the bodies of segments, which native viewers read.
pub(crate) const NEED_SEGMENTS: [&str; 3] = ["segments_read", "segments_unread", "variants_over_bandwidth"];

/// Metrics of which neither a larger nor a smaller value is better, or proves anything.
const NEITHER: [&str; 11] = [
    "segments_read",
    "switches_up",
    "parts_loaded",
    // It follows from the moment at which a viewer starts.
    "reloads_unchanged",
    // One viewer decides it, and chance decides which.
    "longest_stall",
    "peak_clients",
    "in_flight_at_stop",
    "stale_requests",
    "gap_requests",
    "unknown_bodies",
    "requests_after_end",
];

/// The direction in which a value is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A smaller value is.
    Less,
    /// A larger value is.
    More,
    /// Neither is.
    Neither,
}

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; typed as a Go duration.
    Time,
    /// 0 to 1; typed so, or in percent.
    Share,
    /// Bits per second; typed with k, M or G.
    Rate,
    /// A number.
    Count,
}

/// Prometheus' type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

impl Type {
    /// The name in Prometheus' exposition.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The scope of a threshold's value where it is not the whole run: in a stage, and in the sliding
/// window of `--abort-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The events in the stage, or in the window.
    Window,
    /// The events in the stage; in a window, those of the whole run so far.
    Stage,
    /// The current value.
    Moment,
    /// Always the whole run so far; stages are not evaluated against it.
    WholeRun,
}

/// The thresholds that a metric supports.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The text after the identifier in an example.
    pub example: &'static str,
    /// The scope of the value.
    pub scope: Scope,
}

/// One sample: the values of the labels, and the number.
pub type Row = (Vec<String>, f64);

/// Reads one number; `None` if it was not measured.
pub type Scalar = fn(&Snapshot) -> Option<f64>;

/// The reader of a metric.
#[derive(Clone, Copy)]
pub enum Read {
    /// One number; `None` if it was not measured.
    Scalar(Scalar),
    /// One number per combination of label values.
    Rows(fn(&Snapshot, &Run) -> Vec<Row>),
    /// A count of single events.
    Counter(Counter),
    /// A distribution of durations.
    Timing(Timing),
    /// Another histogram.
    Histogram(fn(&Snapshot) -> &Buckets),
    /// A criterion of a verdict without a value.
    Nothing,
}

/// The values of a metric at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Samples; none if nothing was measured.
    Samples(Vec<Row>),
    /// A histogram; `None` if nothing was measured.
    Histogram(Option<Buckets>),
}

/// One metric.
#[derive(Clone)]
pub struct Metric {
    /// Its name in thresholds and criteria; that of the series if it has none.
    pub id: String,
    /// The name of its series without prefix; `None` if Prometheus does not get it.
    pub series: Option<String>,
    /// Prometheus' type.
    pub kind: Type,
    /// The unit of its value.
    pub unit: Unit,
    /// Names of the labels of its samples.
    pub labels: &'static [&'static str],
    /// A label that all its samples have. Metrics of one series differ in it.
    pub label: Option<(&'static str, &'static str)>,
    /// Its meaning, as a sentence.
    pub help: String,
    /// The thresholds that it supports; `None` if it supports none.
    pub asked: Option<Asked>,
    /// Its reader.
    pub read: Read,
}

impl Metric {
    fn new(name: &str, kind: Type, help: &str, read: Read) -> Self {
        Self {
            id: name.to_owned(),
            series: Some(name.to_owned()),
            kind,
            unit: Unit::Count,
            labels: &[],
            label: None,
            help: help.to_owned(),
            asked: None,
            read,
        }
    }

    /// The same metric with a name for thresholds.
    fn asked(self, id: &str, unit: Unit, example: &'static str, scope: Scope) -> Self {
        Self { id: id.to_owned(), unit, asked: Some(Asked { example, scope }), ..self }
    }

    /// The same metric without a series.
    fn unexported(self) -> Self {
        Self { series: None, ..self }
    }

    /// The direction in which its value is better; the example of a threshold requires that.
    #[must_use]
    pub fn better(&self) -> Better {
        match self.asked {
            Some(_) if NEITHER.contains(&self.id.as_str()) => Better::Neither,
            Some(asked) if asked.example.contains('>') => Better::More,
            Some(_) => Better::Less,
            None => Better::Neither,
        }
    }

    /// Whether it is a distribution, for which a threshold names one statistic.
    #[must_use]
    pub const fn is_distribution(&self) -> bool {
        matches!(self.read, Read::Timing(_))
    }

    /// Its one number; `None` if it was not measured, or is not one number.
    #[must_use]
    pub fn scalar(&self, snapshot: &Snapshot) -> Option<f64> {
        match self.read {
            Read::Scalar(read) => read(snapshot),
            Read::Counter(counter) => snapshot.counters[counter].map(|count| count as f64),
            Read::Rows(_) | Read::Timing(_) | Read::Histogram(_) | Read::Nothing => None,
        }
    }

    /// Its current values.
    #[must_use]
    pub fn value(&self, snapshot: &Snapshot, run: &Run) -> Value {
        let measured = |buckets: &Buckets| Value::Histogram((buckets.count > 0).then(|| buckets.clone()));
        match self.read {
            Read::Scalar(_) | Read::Counter(_) | Read::Nothing => {
                Value::Samples(self.scalar(snapshot).map(|value| (Vec::new(), value)).into_iter().collect())
            }
            Read::Rows(read) => Value::Samples(read(snapshot, run)),
            Read::Timing(timing) => measured(&snapshot.latency_buckets[timing]),
            Read::Histogram(read) => measured(read(snapshot)),
        }
    }
}

fn gauge(name: &str, help: &str, read: Scalar) -> Metric {
    Metric::new(name, Type::Gauge, help, Read::Scalar(read))
}

fn counter(name: &str, help: &str, read: Scalar) -> Metric {
    Metric::new(name, Type::Counter, help, Read::Scalar(read))
}

fn rows(
    name: &str,
    kind: Type,
    labels: &'static [&'static str],
    help: &str,
    read: fn(&Snapshot, &Run) -> Vec<Row>,
) -> Metric {
    Metric { labels, ..Metric::new(name, kind, help, Read::Rows(read)) }
}

fn histogram(name: &str, help: &str, read: fn(&Snapshot) -> &Buckets) -> Metric {
    Metric::new(name, Type::Histogram, help, Read::Histogram(read))
}

#[expect(clippy::unnecessary_wraps, reason = "readers return values that may not have been measured")]
fn count(count: u64) -> Option<f64> {
    Some(count as f64)
}

fn event_counter(counter: Counter) -> Metric {
    let info = counter.info();
    Metric::new(&format!("{}_total", info.name), Type::Counter, info.help, Read::Counter(counter)).asked(
        info.name,
        Unit::Count,
        "==0",
        Scope::Window,
    )
}

/// A series per part of an exchange, with the kind of object as label, and one for each other duration.
fn timing(timing: Timing) -> Metric {
    let (kind, part) = timing.parts();
    let (series, what, limit) = match timing {
        Timing::Ttfb(_) => ("request_ttfb", "From the request to the first byte", ":p95<500ms"),
        Timing::Download(_) => ("request_download", "From the first to the last byte", ":p95<1s"),
        Timing::Total(_) => ("request_duration", "From the request to the last byte", ":p95<1s"),
        Timing::Connect => ("connect", "TCP connection times", ":p95<100ms"),
        Timing::Dns => ("dns", "Name lookups", ":p95<100ms"),
        Timing::DnsFailed => ("dns_failed", "Name lookups of native viewers that failed", ":p95<1s"),
        Timing::TlsHandshake => ("tls_handshake", "TLS handshakes", ":p95<200ms"),
        Timing::Startup => ("startup", "From the start of a viewer to its first whole segment", ":p99<2s"),
        Timing::Rtt => (
            "rtt",
            "Round-trip times of connections as the kernel smooths them, at the end of each exchange",
            ":p95<100ms",
        ),
        Timing::FirstMediaByte => {
            ("first_media_byte", "From the start of a viewer to the first byte of a segment", ":p95<1s")
        }
        Timing::LatencyByEdge => (
            "live_latency_by_edge",
            "Live latency: from the playhead to the live edge by the playlist and its age, about once a second",
            ":p95<10s",
        ),
        Timing::LatencyByDate => (
            "live_latency_by_date",
            "Live latency: from EXT-X-PROGRAM-DATE-TIME at the playhead to now, about once a second",
            ":p95<10s",
        ),
        Timing::TargetLatency => (
            "target_latency",
            "The live latency that playlists ask for (PART-HOLD-BACK, HOLD-BACK, or what stands for them), about once a second",
            ":p95<3s",
        ),
        Timing::Buffer => {
            ("buffer_length", "Media that a viewer had ahead of the playhead, about once a second", ":p5>2s")
        }
        Timing::MinRtt => (
            "min_rtt",
            "The smallest round-trip time of the connection, at the end of each exchange",
            ":p95<50ms",
        ),
    };
    let help = match kind {
        Some(_) => format!("{what}, by kind of object, successful responses only."),
        None => format!("{what}."),
    };
    let id = kind.map_or_else(|| part.to_owned(), |kind| format!("{}_{part}", kind.name()));
    Metric {
        label: kind.map(|kind| ("kind", kind.name())),
        ..Metric::new(&format!("{series}_seconds"), Type::Histogram, &help, Read::Timing(timing)).asked(
            &id,
            Unit::Time,
            limit,
            Scope::Window,
        )
    }
}

/// Names of criteria, beside those of thresholds.
pub mod criteria {
    /// The share of expected viewers that played.
    pub const VIEWERS_PLAYED: &str = "viewers_played";
    /// Viewers that are not started again.
    pub const GIVEN_UP: &str = "given_up";
    /// Playing viewers divided by expected viewers.
    pub const ACTIVE_RATIO: &str = "active_ratio";
    /// Failed attempts divided by attempts.
    pub const ERROR_RATE: &str = "error_rate";
    /// Stages that held a level and met the criteria.
    pub const STAGES: &str = "stages";
    /// The most viewers that hold (`--find-limit`).
    pub const LIMIT: &str = "limit";
    /// The error-rate limit.
    pub const ERROR_STORM: &str = "error_storm";
    /// Merged runs that passed.
    pub const MERGED_RUNS: &str = "merged_runs";
    /// Shards that reported.
    pub const SHARDS_REPORTED: &str = "shards_reported";
    /// Connections that viewers were led to, and that are not allowed.
    pub const ALLOWED_HOSTS: &str = "allowed_hosts";
    /// A threshold that failed for too long.
    pub const ABORT_AFTER: &str = "abort_after";
}

/// Criteria that no threshold can name.
fn built_in() -> impl Iterator<Item = Metric> {
    let share = [
        (criteria::STAGES, "Stages that held a level and met the criteria, as a share of all such stages."),
        (criteria::ERROR_STORM, "The run was ended because most requests failed."),
        (criteria::MERGED_RUNS, "Parts of the load that passed by themselves, as a share of all parts."),
        (criteria::SHARDS_REPORTED, "Shards that sent their report, as a share of all shards."),
    ];
    let share = share.map(|(name, help)| (name, Unit::Share, help));
    let time =
        (criteria::ABORT_AFTER, Unit::Time, "The run was ended because a threshold had failed for so long.");
    let hosts = (
        criteria::ALLOWED_HOSTS,
        Unit::Count,
        "Connections that the stream led viewers to, and that are not allowed; every one fails the run.",
    );
    let limit =
        (criteria::LIMIT, Unit::Count, "The most viewers with which all criteria were met (--find-limit).");
    share.into_iter().chain([time, hosts, limit]).map(|(name, unit, help)| Metric {
        unit,
        ..Metric::new(name, Type::Gauge, help, Read::Nothing).unexported()
    })
}

static CATALOGUE: LazyLock<Vec<Metric>> = LazyLock::new(|| {
    let by_part = |part: fn(Kind) -> Timing| Kind::ALL.into_iter().map(part);
    let timings = by_part(Timing::Ttfb)
        .chain(by_part(Timing::Download))
        .chain(by_part(Timing::Total))
        .chain(Timing::all().filter(|timing| timing.parts().0.is_none()));
    let counters = Counter::ALL.iter().map(|counter| event_counter(*counter));
    scalars::metrics()
        .into_iter()
        .chain(counters)
        .chain(timings.map(timing))
        .chain(rows::metrics())
        .chain(go_tool::metrics())
        .chain(built_in())
        .collect()
});

/// All metrics, in the order of the exposition; those of one series are adjacent.
#[must_use]
pub fn catalogue() -> &'static [Metric] {
    &CATALOGUE
}

/// All metrics that support thresholds, in the order of tables.
pub fn askable() -> impl Iterator<Item = (&'static Metric, Asked)> {
    catalogue().iter().filter_map(|metric| Some((metric, metric.asked?)))
}

/// The metric or criterion `id`; `None` if there is none.
#[must_use]
pub fn find(id: &str) -> Option<&'static Metric> {
    catalogue().iter().find(|metric| metric.id == id)
}

impl Unit {
    /// `value` formatted for people. Never rounded so far that it seems to meet a limit that it does not meet.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Time if value < 10.0 => format!("{} ms", trimmed(value * 1000.0, 1)),
            Self::Time => format!("{} s", trimmed(value, 2)),
            Self::Share => format!("{} %", trimmed(value * 100.0, 4)),
            Self::Rate => format!("{} Mbit/s", trimmed(value / 1e6, 3)),
            Self::Count => trimmed(value, 4),
        }
    }
}

/// At most that number of decimals, without zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn values_are_readable_and_not_rounded_across_a_limit() {
        assert_eq!((Unit::Time.text(0.0034), Unit::Time.text(31.5)), ("3.4 ms".into(), "31.5 s".into()));
        assert_eq!((Unit::Share.text(1.0), Unit::Share.text(0.0)), ("100 %".into(), "0 %".into()));
        assert_eq!(Unit::Share.text(0.99996), "99.996 %");
        assert_eq!(Unit::Rate.text(107_900_000.0), "107.9 Mbit/s");
        assert_eq!((Unit::Count.text(20.0), Unit::Count.text(0.98)), ("20".into(), "0.98".into()));
    }

    #[test]
    fn identifiers_are_unique_and_series_are_adjacent() {
        let ids: BTreeSet<&str> = catalogue().iter().map(|metric| metric.id.as_str()).collect();
        assert_eq!(ids.len(), catalogue().len());
        let mut series = BTreeMap::<&str, &Metric>::new();
        for pair in catalogue().windows(2) {
            let Some(name) = pair[1].series.as_deref() else { continue };
            if pair[0].series.as_deref() == Some(name) {
                assert!(pair[0].label.is_some() && pair[0].label != pair[1].label, "{name}");
                assert_eq!((pair[0].kind, &pair[0].help), (pair[1].kind, &pair[1].help), "{name}");
            } else {
                assert!(series.insert(name, &pair[1]).is_none(), "{name} occurs twice");
            }
        }
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let go_tool: BTreeSet<&str> = GO_TOOL.into_iter().collect();
        for metric in catalogue() {
            assert!(metric.help.ends_with('.'), "{}: {}", metric.id, metric.help);
            let Some(name) = metric.series.as_deref() else { continue };
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Type::Counter,
                "{name}: counters end in _total"
            );
            assert!(!name.ends_with("_percent"), "{name}: shares are ratios");
            if metric.kind == Type::Histogram {
                assert!(name.ends_with("_seconds"), "{name}");
            }
            assert!(!metric.labels.contains(&"percentile") || name == "object_age_seconds", "{name}");
            if metric.unit == Unit::Share && !go_tool.contains(name) {
                assert!(name.ends_with("_ratio") || name.ends_with("_rate"), "{name}");
            }
        }
    }

    #[test]
    fn criteria_are_in_the_catalogue() {
        for name in [
            criteria::VIEWERS_PLAYED,
            criteria::GIVEN_UP,
            criteria::ACTIVE_RATIO,
            criteria::ERROR_RATE,
            criteria::STAGES,
            criteria::ERROR_STORM,
            criteria::MERGED_RUNS,
            criteria::SHARDS_REPORTED,
            criteria::ABORT_AFTER,
        ] {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("no").is_none());
    }
}
