//! Requests and bytes.

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, THROUGHPUT_WINDOWS};

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, maybe, metric, one};

pub(crate) static TABLE: &[Metric] = &[
    metric("manifest_requests_total", Counter, "", "Playlist requests.", |s, _| {
        count(s.requests[Kind::Playlist])
    }),
    metric("segment_requests_total", Counter, "", "Media segment requests.", |s, _| {
        count(s.requests[Kind::Segment])
    }),
    metric("init_requests_total", Counter, "", "Initialization section requests.", |s, _| {
        count(s.requests[Kind::Init])
    }),
    metric("key_requests_total", Counter, "", "Decryption key requests.", |s, _| {
        count(s.requests[Kind::Key])
    }),
    metric("unknown_requests_total", Counter, "", "Requests for anything else.", |s, _| {
        count(s.requests[Kind::Other])
    }),
    metric("bytes_downloaded_total", Counter, "", "Body bytes that reached viewers, all kinds.", |s, _| {
        count(s.bytes.total())
    }),
    metric(
        "segment_bytes_downloaded_total",
        Counter,
        "",
        "Body bytes of segments that reached viewers.",
        |s, _| count(s.bytes[Kind::Segment]),
    ),
    metric(
        "kernel_received_bytes_total",
        Counter,
        "",
        "Bytes that the kernel received for the viewers (tcp_info).",
        |s, _| maybe(s.received_bytes.map(|bytes| bytes as f64)),
    ),
    metric("manifest_requests_per_second", Gauge, "", "Playlist requests per second, over 10 s.", |s, _| {
        one(s.rates.manifest_per_second)
    }),
    metric("segment_requests_per_second", Gauge, "", "Segment requests per second, over 10 s.", |s, _| {
        one(s.rates.segment_per_second)
    }),
    metric(
        "throughput_bytes_per_second",
        Gauge,
        "",
        "Body bytes per second, all kinds, over 10 s.",
        |s, _| one(s.rates.bytes_per_second),
    ),
    metric(
        "segment_throughput_1s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 1 s.",
        |s, _| segment_window(s, 1),
    ),
    metric(
        "segment_throughput_30s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 30 s.",
        |s, _| segment_window(s, 30),
    ),
    metric(
        "segment_throughput_60s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 60 s.",
        |s, _| segment_window(s, 60),
    ),
    metric(
        "segment_throughput_300s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 300 s.",
        |s, _| segment_window(s, 300),
    ),
];

fn segment_window(snapshot: &Snapshot, seconds: usize) -> Value {
    let rates = THROUGHPUT_WINDOWS.iter().zip(snapshot.rates.segment_bytes_per_second);
    maybe(rates.into_iter().find(|(window, _)| **window == seconds).map(|(_, rate)| rate))
}
