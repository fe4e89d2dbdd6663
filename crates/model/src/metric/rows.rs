//! Metrics with labels: status codes, exits, edges, caches, playlists, the origin, stages, streams, variants, viewers.

use std::collections::BTreeMap;

use hls_swarm_player::interface::StallReason;

use super::Type::{Counter, Gauge};
use super::{Metric, Row, counter, gauge, rows};
use crate::run::Run;
use crate::snapshot::{
    self, BitRates, Edge, Origin, PlaylistFaults, ProtocolRow, Quality, SegmentSizes, Snapshot, StageRow,
    StreamRow, VariantRow, ViewerRow,
};

/// Stages, streams and variants that have series of their own.
const MAX_SERIES_ROWS: usize = 100;
/// A stage by its index, from 1, and its name.
const STAGE: &[&str] = &["stage", "name"];
/// A stream by its index, from 1, and its address; the same address may occur twice.
const STREAM: &[&str] = &["stream", "url"];
/// A variant or rendition by its name.
const VARIANT: &[&str] = &["variant"];
/// A version of HTTP: 1.1, 2, or 3.
const HTTP: &[&str] = &["http"];
const EDGE: &[&str] = &["edge"];
const CLIENT: &[&str] = &["client_id"];

pub(super) fn metrics() -> Vec<Metric> {
    [responses(), protocols(), insight(), origin(), stages_and_streams(), variants(), viewers()].concat()
}

fn labelled<'a>(rows: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<Row> {
    rows.into_iter().map(|(name, count)| (vec![name.to_owned()], count as f64)).collect()
}

fn by_status(snapshot: &Snapshot, least: u16) -> Vec<Row> {
    let codes = snapshot.http_status.iter().filter(|(code, _)| **code >= least);
    codes.map(|(code, count)| (vec![code.to_string()], *count as f64)).collect()
}

fn responses() -> Vec<Metric> {
    vec![
        rows(
            "source",
            Gauge,
            &["requests"],
            "Where requests, bytes and latencies come from: probe or native (measured), or log (inferred).",
            |s, _| labelled([(s.sources.requests.name(), 1)]),
        ),
        rows("http_responses_total", Counter, &["status_code"], "Responses by status code.", |s, _| {
            by_status(s, 0)
        }),
        rows(
            "http_errors_total",
            Counter,
            &["status_code"],
            "Responses with a status of 400 or above.",
            |s, _| by_status(s, 400),
        ),
        rows(
            "stalls_by_reason_total",
            Counter,
            &["reason"],
            "Stalls by reason, as players report them; own-lateness is ours, and counts as no stall.",
            |s, _| s.quality.as_ref().map(stalls).unwrap_or_default(),
        ),
        rows(
            "client_exits_total",
            Counter,
            &["category"],
            "Ends of processes: success (finished, or stopped by hls-swarm), error, signal.",
            |s, _| {
                let exits = s.lifetimes.exits;
                labelled([("success", exits.success), ("error", exits.error), ("signal", exits.signal)])
            },
        ),
    ]
}

/// Series by version of HTTP, which are three at most.
fn protocols() -> Vec<Metric> {
    vec![
        rows("protocol_requests_total", Counter, HTTP, "Requests by version of HTTP.", |s, _| {
            by_protocol(s, |row| Some(row.requests))
        }),
        rows("protocol_bytes_total", Counter, HTTP, "Body bytes by version of HTTP.", |s, _| {
            by_protocol(s, |row| Some(row.bytes))
        }),
        rows(
            "protocol_connections_total",
            Counter,
            HTTP,
            "Connections that carried a request, by version of HTTP.",
            |s, _| by_protocol(s, |row| Some(row.connections)),
        ),
        rows(
            "protocol_streams_max",
            Gauge,
            HTTP,
            "The most requests under way at the same time on one connection, by version of HTTP, whole run.",
            |s, _| by_protocol(s, |row| Some(row.most_streams)),
        ),
        rows(
            "protocol_handshake_p95_seconds",
            Gauge,
            HTTP,
            "From the beginning of a connection until its first request could be sent (TCP and TLS, or QUIC), by version of \
             HTTP, 95th percentile, whole run.",
            |s, _| {
                let rows = s.protocols.iter();
                rows.filter_map(|row| Some((vec![row.http.name().to_owned()], row.handshake?.p95))).collect()
            },
        ),
        rows(
            "protocol_retransmits_total",
            Counter,
            HTTP,
            "TCP segments that viewers had to send again, by version of HTTP.",
            |s, _| by_protocol(s, |row| row.retransmits),
        ),
        rows(
            "protocol_lost_packets_total",
            Counter,
            HTTP,
            "Packets that viewers sent by QUIC and that were lost, by version of HTTP.",
            |s, _| by_protocol(s, |row| row.lost_packets),
        ),
    ]
}

fn by_protocol(snapshot: &Snapshot, of: fn(&ProtocolRow) -> Option<u64>) -> Vec<Row> {
    let rows = snapshot.protocols.iter();
    rows.filter_map(|row| Some((vec![row.http.name().to_owned()], of(row)? as f64))).collect()
}

/// Every reason, those without a stall included: a counter that appears with its first event has no increase.
fn stalls(quality: &Quality) -> Vec<Row> {
    let mut stalls: BTreeMap<&str, u64> = StallReason::ALL.iter().map(|reason| (reason.name(), 0)).collect();
    stalls.extend(quality.stalls.iter().map(|(reason, count)| (reason.as_str(), *count)));
    labelled(stalls)
}

fn insight() -> Vec<Metric> {
    vec![
        counter(
            "playlist_stale_total",
            "Times that a viewer's live playlist was not updated for more than 1.5 x target duration.",
            |s| faults(s, |faults| faults.stale),
        ),
        counter(
            "playlist_regressed_total",
            "Times that a viewer got an older live playlist than the one before.",
            |s| faults(s, |faults| faults.regressed),
        ),
        counter(
            "playlist_segments_skipped_total",
            "Segments that a live playlist went past without listing them.",
            |s| faults(s, |faults| faults.skipped),
        ),
        counter(
            "playlist_disagreements_total",
            "Live playlists that were older than the one that another viewer got a target duration earlier, or had other segments.",
            |s| faults(s, |faults| faults.disagreed),
        ),
        rows(
            "cache_responses_total",
            Counter,
            &["edge", "kind", "result"],
            "Responses by the cache result that the edge reported: hit, miss, other.",
            |s, _| cache(s),
        ),
        rows(
            "object_age_seconds",
            Gauge,
            &["kind", "percentile"],
            "Age of objects by their Age header, whole run.",
            |s, _| {
                let rows = s.insight.ages.iter().flat_map(|ages| {
                    let q = ages.seconds;
                    [("50", q.p50), ("95", q.p95), ("99", q.p99), ("100", q.max)]
                        .map(|(name, value)| (vec![ages.kind.clone(), name.to_owned()], value))
                });
                rows.collect()
            },
        ),
        rows("edge_requests_total", Counter, EDGE, "Requests by the address of the server.", |s, _| {
            edges(s, |edge| Some(edge.requests as f64))
        }),
        rows("edge_bytes_total", Counter, EDGE, "Body bytes by the address of the server.", |s, _| {
            edges(s, |edge| Some(edge.bytes as f64))
        }),
        rows("edge_errors_total", Counter, EDGE, "Failed exchanges by the address of the server.", |s, _| {
            edges(s, |edge| Some(edge.errors as f64))
        }),
        rows(
            "edge_connects_total",
            Counter,
            EDGE,
            "Connections made by the address of the server.",
            |s, _| edges(s, |edge| Some(edge.connects as f64)),
        ),
        rows(
            "edge_ttfb_p95_seconds",
            Gauge,
            EDGE,
            "From the request to the first byte by the address of the server, 95th percentile, whole run.",
            |s, _| edges(s, |edge| edge.ttfb.map(|q| q.p95)),
        ),
    ]
}

fn faults(snapshot: &Snapshot, of: fn(&PlaylistFaults) -> u64) -> Option<f64> {
    snapshot.insight.playlists.as_ref().map(|faults| of(faults) as f64)
}

fn edges(snapshot: &Snapshot, of: fn(&Edge) -> Option<f64>) -> Vec<Row> {
    let edges = snapshot.insight.edges.iter();
    edges.filter_map(|edge| Some((vec![edge.address.clone()], of(edge)?))).collect()
}

fn cache(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for edge in &snapshot.insight.edges {
        for counts in &edge.cache {
            let results = [("hit", counts.hits), ("miss", counts.misses), ("other", counts.others)];
            rows.extend(results.map(|(result, count)| {
                (vec![edge.address.clone(), counts.kind.clone(), result.to_owned()], count as f64)
            }));
        }
    }
    rows
}

fn origin() -> Vec<Metric> {
    vec![
        gauge("origin_cpu_ratio", "Busy share of the origin's processors, 0 to 1.", |s| {
            now(s, |origin| origin.cpu_percent).map(|percent| percent / 100.0)
        }),
        gauge("origin_memory_ratio", "Share of the origin's memory in use, 0 to 1.", |s| {
            now(s, |origin| origin.memory_percent).map(|percent| percent / 100.0)
        }),
        gauge(
            "origin_transmit_bytes_per_second",
            "Bytes per second that the origin's network devices sent.",
            |s| now(s, |origin| origin.transmit_bytes_per_second),
        ),
        gauge(
            "origin_receive_bytes_per_second",
            "Bytes per second that the origin's network devices received.",
            |s| now(s, |origin| origin.receive_bytes_per_second),
        ),
        gauge("origin_connections", "Connections open at the origin's nginx.", |s| {
            now(s, |origin| origin.connections)
        }),
        gauge("origin_requests_per_second", "Requests per second at the origin's nginx.", |s| {
            now(s, |origin| origin.requests_per_second)
        }),
        gauge(
            "origin_requests_agreement",
            "Viewers' requests divided by those that the origin's nginx counted in the same time, 1 = equal.",
            |s| s.agreement.origin_requests,
        ),
        rows(
            "origin_scrape_failures_total",
            Counter,
            &["target"],
            "Scrapes of the origin that failed, by target.",
            |s, _| {
                let failures = s.origin.iter().flat_map(|origin| &origin.failures);
                labelled(failures.map(|(target, times)| (target.as_str(), *times)))
            },
        ),
        counter(
            "segment_size_lookups_total",
            "Whole segments that were looked up in the origin's list of sizes.",
            |s| sizes(s, |sizes| sizes.lookups),
        ),
        counter("segment_size_hits_total", "Of these, segments whose size the origin had published.", |s| {
            sizes(s, |sizes| sizes.found)
        }),
        counter(
            "segment_size_mismatches_total",
            "Of these, segments that had a size other than the published one.",
            |s| sizes(s, |sizes| sizes.found.saturating_sub(sizes.equal)),
        ),
    ]
}

fn now(snapshot: &Snapshot, of: fn(&Origin) -> Option<snapshot::Gauge>) -> Option<f64> {
    snapshot.origin.as_ref().and_then(of).map(|gauge| gauge.now)
}

fn sizes(snapshot: &Snapshot, of: fn(&SegmentSizes) -> u64) -> Option<f64> {
    let sizes = snapshot.origin.as_ref().and_then(|origin| origin.segment_sizes.as_ref());
    sizes.map(|sizes| of(sizes) as f64)
}

fn stages_and_streams() -> Vec<Metric> {
    vec![
        gauge("stage", "Index of the current stage of the load, starting at 1.", |s| {
            s.stages.last().map(|row| row.stage as f64)
        }),
        rows(
            "stage_clients",
            Gauge,
            STAGE,
            "Viewers that a stage leads to (the first 100 stages).",
            |s, _| stages(s, |row| Some(row.clients as f64)),
        ),
        rows("stage_seconds", Gauge, STAGE, "Time that a stage has lasted.", |s, _| {
            stages(s, |row| Some(row.seconds))
        }),
        rows(
            "stage_active_ratio",
            Gauge,
            STAGE,
            "Viewers playing per viewer that should play, over the time of a stage.",
            |s, _| stages(s, |row| row.active_ratio),
        ),
        rows("stage_stalls_total", Counter, STAGE, "Times that a viewer stalled in a stage.", |s, _| {
            if s.has_playback() { stages(s, |row| Some(row.stalled as f64)) } else { Vec::new() }
        }),
        rows("stage_requests_total", Counter, STAGE, "Requests in a stage.", |s, _| {
            stages(s, |row| Some(row.requests.total() as f64))
        }),
        rows("stage_bytes_total", Counter, STAGE, "Body bytes in a stage.", |s, _| {
            stages(s, |row| Some(row.bytes.total() as f64))
        }),
        rows("stage_error_rate", Gauge, STAGE, "Errors divided by requests in a stage.", |s, _| {
            stages(s, |row| row.errors.rate)
        }),
        rows(
            "stage_segment_p95_seconds",
            Gauge,
            STAGE,
            "Segments in a stage: from the request to the last byte, 95th percentile.",
            |s, _| stages(s, |row| row.segment_total.map(|times| times.p95)),
        ),
        rows(
            "stage_met",
            Gauge,
            STAGE,
            "Whether a stage that held a level met its criteria, 1 or 0; absent before its end.",
            |s, _| stages(s, |row| row.met.map(|met| f64::from(u8::from(met)))),
        ),
        rows(
            "stream_clients",
            Gauge,
            STREAM,
            "Viewers that should be on a stream (the first 100, where there are several).",
            |s, _| streams(s, |row| Some(row.clients as f64)),
        ),
        rows("stream_playing_clients", Gauge, STREAM, "Viewers that play a stream.", |s, _| {
            streams(s, |row| Some(row.playing as f64))
        }),
        rows("stream_requests_total", Counter, STREAM, "Requests of a stream.", |s, _| {
            streams(s, |row| Some(row.requests.total() as f64))
        }),
        rows("stream_bytes_total", Counter, STREAM, "Body bytes of a stream.", |s, _| {
            streams(s, |row| Some(row.bytes.total() as f64))
        }),
        rows(
            "stream_error_rate",
            Gauge,
            STREAM,
            "Errors divided by requests of a stream, whole run.",
            |s, _| streams(s, |row| row.errors.rate),
        ),
        rows(
            "stream_segment_p95_seconds",
            Gauge,
            STREAM,
            "Segments of a stream: from the request to the last byte, 95th percentile, whole run.",
            |s, _| streams(s, |row| row.segment_total.map(|times| times.p95)),
        ),
    ]
}

fn stages(snapshot: &Snapshot, of: fn(&StageRow) -> Option<f64>) -> Vec<Row> {
    let rows = snapshot.stages.iter().take(MAX_SERIES_ROWS);
    rows.filter_map(|row| Some((vec![row.stage.to_string(), row.title()], of(row)?))).collect()
}

fn streams(snapshot: &Snapshot, of: fn(&StreamRow) -> Option<f64>) -> Vec<Row> {
    let rows = (1_usize..).zip(&snapshot.streams).take(MAX_SERIES_ROWS);
    rows.filter_map(|(place, row)| Some((vec![place.to_string(), row.stream.clone()], of(row)?))).collect()
}

/// At most 50 variants and renditions, and one row for the rest.
fn variants() -> Vec<Metric> {
    vec![
        rows(
            "variant_clients",
            Gauge,
            VARIANT,
            "Viewers that have received a whole segment of a variant or rendition (the first 50; the rest is other).",
            |s, _| by_variant(s, |row| Some(row.viewers as f64)),
        ),
        rows(
            "variant_playing_clients",
            Gauge,
            VARIANT,
            "Viewers that play a variant or rendition now.",
            |s, _| by_variant(s, |row| Some(row.playing as f64)),
        ),
        rows("variant_requests_total", Counter, VARIANT, "Requests by variant or rendition.", |s, _| {
            by_variant(s, |row| Some(row.requests.total() as f64))
        }),
        rows("variant_bytes_total", Counter, VARIANT, "Body bytes by variant or rendition.", |s, _| {
            by_variant(s, |row| Some(row.bytes.total() as f64))
        }),
        rows(
            "variant_error_rate",
            Gauge,
            VARIANT,
            "Errors divided by requests of a variant or rendition, whole run.",
            |s, _| by_variant(s, |row| row.errors.rate),
        ),
        rows(
            "variant_whole_segments_total",
            Counter,
            VARIANT,
            "Segments of a variant or rendition that arrived whole.",
            |s, _| by_variant(s, |row| Some(row.whole_segments as f64)),
        ),
        rows(
            "variant_peak_bits_per_second",
            Gauge,
            VARIANT,
            "Peak bit rate of a variant's segments, separate audio included (RFC 8216bis, 4.4.6.2).",
            |s, _| by_bit_rate(s, |row| row.peak),
        ),
        rows(
            "variant_average_bits_per_second",
            Gauge,
            VARIANT,
            "Average bit rate of a variant's segments, separate audio included; each segment counts once.",
            |s, _| by_bit_rate(s, |row| row.average),
        ),
        rows(
            "variant_segment_ttfb_p95_seconds",
            Gauge,
            VARIANT,
            "Segments of a variant or rendition: from the request to the first byte, 95th percentile, whole run.",
            |s, _| by_variant(s, |row| row.segment_ttfb.map(|times| times.p95)),
        ),
        rows(
            "variant_segment_p95_seconds",
            Gauge,
            VARIANT,
            "Segments of a variant or rendition: from the request to the last byte, 95th percentile, whole run.",
            |s, _| by_variant(s, |row| row.segment_total.map(|times| times.p95)),
        ),
        rows(
            "variant_measured_bandwidth",
            Gauge,
            VARIANT,
            "Average bit rate of the whole segments of a variant or rendition.",
            |s, _| by_variant(s, |row| row.measured_bits_per_second),
        ),
        rows(
            "variant_announced_bandwidth",
            Gauge,
            VARIANT,
            "BANDWIDTH of a variant: the largest bit rate of a segment, separate audio included.",
            |s, _| by_variant(s, |row| row.announced_bits_per_second.map(|bits| bits as f64)),
        ),
    ]
}

/// At most 50, too.
fn by_bit_rate(snapshot: &Snapshot, of: fn(&BitRates) -> Option<f64>) -> Vec<Row> {
    let rows = snapshot.content.iter().flat_map(|content| &content.bit_rates);
    rows.filter_map(|row| Some((vec![row.name.clone()], of(row)?))).collect()
}

fn by_variant(snapshot: &Snapshot, of: fn(&VariantRow) -> Option<f64>) -> Vec<Row> {
    let rows = snapshot.variants.iter().take(MAX_SERIES_ROWS);
    rows.filter_map(|row| Some((vec![row.name.clone()], of(row)?))).collect()
}

/// Series per viewer, on request.
fn viewers() -> Vec<Metric> {
    vec![
        rows("client_speed", Gauge, CLIENT, "Playback speed of a viewer, 1 = real time.", |s, r| {
            per_viewer(s, r, |row| row.speed)
        }),
        rows("client_drift_seconds", Gauge, CLIENT, "Lag of a viewer behind the wall clock.", |s, r| {
            per_viewer(s, r, |row| row.drift_seconds)
        }),
        rows("client_bytes_total", Counter, CLIENT, "Body bytes that reached a viewer.", |s, r| {
            per_viewer(s, r, |row| Some(row.bytes.total() as f64))
        }),
    ]
}

fn per_viewer(snapshot: &Snapshot, run: &Run, of: fn(&ViewerRow) -> Option<f64>) -> Vec<Row> {
    let rows = snapshot.viewers.iter().filter(|_| run.per_viewer_metrics);
    rows.filter_map(|row| Some((vec![row.viewer.to_string()], of(row)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_stall_is_there_from_the_start() {
        let quality = Quality { stalls: [("slow-body".to_owned(), 2)].into(), ..Quality::default() };
        let rows = stalls(&quality);
        assert_eq!(rows.len(), StallReason::ALL.len());
        for (labels, count) in rows {
            let expected = if labels == ["slow-body"] { 2.0 } else { 0.0 };
            assert_eq!(count, expected, "{labels:?}");
        }
    }
}
