//! The origin's own account, where its exporters are scraped.

use hls_swarm_model::snapshot::{self, Origin, SegmentSizes, Snapshot};

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, maybe, metric};

pub(crate) static TABLE: &[Metric] = &[
    metric("origin_cpu_percent", Gauge, "", "Busy share of the origin's processors, 0 to 100.", |s, _| {
        now(s, |origin| origin.cpu_percent)
    }),
    metric("origin_memory_percent", Gauge, "", "Share of the origin's memory in use, 0 to 100.", |s, _| {
        now(s, |origin| origin.memory_percent)
    }),
    metric(
        "origin_transmit_bytes_per_second",
        Gauge,
        "",
        "Bytes per second that the origin's network devices sent.",
        |s, _| now(s, |origin| origin.transmit_bytes_per_second),
    ),
    metric(
        "origin_receive_bytes_per_second",
        Gauge,
        "",
        "Bytes per second that the origin's network devices received.",
        |s, _| now(s, |origin| origin.receive_bytes_per_second),
    ),
    metric("origin_connections", Gauge, "", "Connections open at the origin's nginx.", |s, _| {
        now(s, |origin| origin.connections)
    }),
    metric("origin_requests_per_second", Gauge, "", "Requests per second at the origin's nginx.", |s, _| {
        now(s, |origin| origin.requests_per_second)
    }),
    metric(
        "origin_requests_agreement",
        Gauge,
        "",
        "Viewers' requests over those that the origin's nginx counted in the same time, 1 = equal.",
        |s, _| maybe(s.agreement.origin_requests),
    ),
    metric(
        "origin_scrape_failures_total",
        Counter,
        "target",
        "Looks at the origin that brought nothing, by target.",
        |s, _| match &s.origin {
            None => Value::Absent,
            Some(origin) => Value::Labelled(
                origin.failures.iter().map(|(target, times)| (target.clone(), *times as f64)).collect(),
            ),
        },
    ),
    metric(
        "segment_size_lookups_total",
        Counter,
        "",
        "Whole segments that were looked up in the origin's list of sizes.",
        |s, _| sizes(s, |sizes| sizes.lookups),
    ),
    metric(
        "segment_size_hits_total",
        Counter,
        "",
        "Of these, segments whose size the origin had published.",
        |s, _| sizes(s, |sizes| sizes.found),
    ),
    metric(
        "segment_size_mismatches_total",
        Counter,
        "",
        "Of these, segments that had another size than the published one.",
        |s, _| sizes(s, |sizes| sizes.found - sizes.equal),
    ),
];

fn now(snapshot: &Snapshot, of: fn(&Origin) -> Option<snapshot::Gauge>) -> Value {
    maybe(snapshot.origin.as_ref().and_then(of).map(|gauge| gauge.now))
}

fn sizes(snapshot: &Snapshot, of: fn(&SegmentSizes) -> u64) -> Value {
    let sizes = snapshot.origin.as_ref().and_then(|origin| origin.segment_sizes.as_ref());
    sizes.map_or(Value::Absent, |sizes| count(of(sizes)))
}
