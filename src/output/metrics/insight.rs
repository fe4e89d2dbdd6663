//! What stands out about the stream, its caches and its edges.

use hls_swarm_model::snapshot::{Edge, PlaylistFaults, Snapshot};

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, metric};

pub(crate) static TABLE: &[Metric] = &[
    metric(
        "playlist_stale_total",
        Counter,
        "",
        "Times that a viewer's live playlist stood still for more than 1.5 x target duration.",
        |s, _| faults(s, |faults| faults.stale),
    ),
    metric(
        "playlist_went_back_total",
        Counter,
        "",
        "Times that a viewer got an older live playlist than the one before.",
        |s, _| faults(s, |faults| faults.regressed),
    ),
    metric(
        "playlist_segments_skipped_total",
        Counter,
        "",
        "Segments that a live playlist went past without showing them.",
        |s, _| faults(s, |faults| faults.skipped),
    ),
    metric(
        "playlist_disagreements_total",
        Counter,
        "",
        "Live playlists older than what another viewer had got a target duration before.",
        |s, _| faults(s, |faults| faults.disagreed),
    ),
    metric(
        "cache_responses_total",
        Counter,
        "edge kind result",
        "Responses by what the edge said of its cache: hit, miss, other.",
        |s, _| cache(s),
    ),
    metric(
        "object_age_seconds",
        Gauge,
        "kind percentile",
        "How old objects were by their Age header, whole run.",
        |s, _| {
            let rows = s.insight.ages.iter().flat_map(|ages| {
                let q = ages.seconds;
                [("50", q.p50), ("95", q.p95), ("99", q.p99), ("100", q.max)]
                    .map(|(name, value)| (vec![ages.kind.clone(), name.to_owned()], value))
            });
            Value::Grid(rows.collect())
        },
    ),
    metric("edge_requests_total", Counter, "edge", "Requests by the address of the server.", |s, _| {
        edges(s, |edge| Some(edge.requests as f64))
    }),
    metric("edge_bytes_total", Counter, "edge", "Body bytes by the address of the server.", |s, _| {
        edges(s, |edge| Some(edge.bytes as f64))
    }),
    metric("edge_errors_total", Counter, "edge", "Failed exchanges by the address of the server.", |s, _| {
        edges(s, |edge| Some(edge.errors as f64))
    }),
    metric(
        "edge_connects_total",
        Counter,
        "edge",
        "Connections made by the address of the server.",
        |s, _| edges(s, |edge| Some(edge.connects as f64)),
    ),
    metric(
        "edge_ttfb_p95_seconds",
        Gauge,
        "edge",
        "From the request to the first byte by the address of the server, 95th percentile, whole run.",
        |s, _| edges(s, |edge| edge.ttfb.map(|q| q.p95)),
    ),
];

fn faults(snapshot: &Snapshot, of: fn(&PlaylistFaults) -> u64) -> Value {
    snapshot.insight.playlists.as_ref().map_or(Value::Absent, |faults| count(of(faults)))
}

fn edges(snapshot: &Snapshot, of: fn(&Edge) -> Option<f64>) -> Value {
    let edges = snapshot.insight.edges.iter();
    Value::Labelled(edges.filter_map(|edge| Some((edge.address.clone(), of(edge)?))).collect())
}

fn cache(snapshot: &Snapshot) -> Value {
    let mut rows = Vec::new();
    for edge in &snapshot.insight.edges {
        for counts in &edge.cache {
            let results = [("hit", counts.hits), ("miss", counts.misses), ("other", counts.others)];
            rows.extend(results.map(|(result, count)| {
                (vec![edge.address.clone(), counts.kind.clone(), result.to_owned()], count as f64)
            }));
        }
    }
    Value::Grid(rows)
}
