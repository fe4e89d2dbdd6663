//! How long things took.

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::Timing;

use super::Type::{Gauge, Histogram};
use super::{Metric, histogram, metric, quantile, quantiles};

pub(crate) static TABLE: &[Metric] = &[
    metric(
        "inferred_latency_seconds",
        Histogram,
        "",
        "Segment latency: from the request to the last byte (the name is that of the tool before; hls_swarm_source tells whether it is measured).",
        |s, _| histogram(&s.latency_buckets[Timing::Total(Kind::Segment)]),
    ),
    metric("inferred_latency_p50_seconds", Gauge, "", "Median segment latency.", |s, _| {
        quantile(s.latency[Timing::Total(Kind::Segment)], |q| q.p50)
    }),
    metric("inferred_latency_p95_seconds", Gauge, "", "95th percentile of the segment latency.", |s, _| {
        quantile(s.latency[Timing::Total(Kind::Segment)], |q| q.p95)
    }),
    metric("inferred_latency_p99_seconds", Gauge, "", "99th percentile of the segment latency.", |s, _| {
        quantile(s.latency[Timing::Total(Kind::Segment)], |q| q.p99)
    }),
    metric("inferred_latency_max_seconds", Gauge, "", "Largest segment latency.", |s, _| {
        quantile(s.latency[Timing::Total(Kind::Segment)], |q| q.max)
    }),
    metric(
        "segment_ttfb_seconds",
        Gauge,
        "percentile",
        "Segments: from the request to the first byte, whole run.",
        |s, _| quantiles(s.latency[Timing::Ttfb(Kind::Segment)]),
    ),
    metric(
        "segment_download_seconds",
        Gauge,
        "percentile",
        "Segments: from the first to the last byte, whole run.",
        |s, _| quantiles(s.latency[Timing::Download(Kind::Segment)]),
    ),
    metric(
        "manifest_ttfb_seconds",
        Gauge,
        "percentile",
        "Playlists: from the request to the first byte, whole run.",
        |s, _| quantiles(s.latency[Timing::Ttfb(Kind::Playlist)]),
    ),
    metric(
        "manifest_download_seconds",
        Gauge,
        "percentile",
        "Playlists: from the first to the last byte, whole run.",
        |s, _| quantiles(s.latency[Timing::Download(Kind::Playlist)]),
    ),
    metric("connect_seconds", Gauge, "percentile", "TCP connect, whole run.", |s, _| {
        quantiles(s.latency[Timing::Connect])
    }),
    metric("dns_seconds", Gauge, "percentile", "Name look-up, whole run.", |s, _| {
        quantiles(s.latency[Timing::Dns])
    }),
    metric("tls_handshake_seconds", Gauge, "percentile", "TLS handshake, whole run.", |s, _| {
        quantiles(s.latency[Timing::TlsHandshake])
    }),
    metric(
        "startup_seconds",
        Gauge,
        "percentile",
        "From the start of a viewer to its first whole segment, whole run.",
        |s, _| quantiles(s.latency[Timing::Startup]),
    ),
];
