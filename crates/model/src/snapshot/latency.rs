//! How long things took: order statistics and histograms.

use serde::{Deserialize, Serialize};

use super::per_kind::PerKind;
use crate::exchange::Kind;

/// Order statistics of a set of durations, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many durations.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// How long the parts of an exchange took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExchangeTimes {
    /// From the request to the first byte of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<Quantiles>,
    /// From the first byte to the arrival of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Quantiles>,
}

/// Latencies, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// By kind of object.
    pub by_kind: PerKind<ExchangeTimes>,
    /// Segments, from the request to the last byte.
    pub segment_total: Option<Quantiles>,
    /// TCP connect.
    pub connect: Option<Quantiles>,
    /// Name look-up.
    pub dns: Option<Quantiles>,
    /// TLS handshake.
    pub tls: Option<Quantiles>,
    /// From the start of a viewer to its first whole segment.
    pub startup: Option<Quantiles>,
}

impl Latency {
    /// Each measured latency with its name in reports and its words for people, in the order of tables.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String, Quantiles)> {
        let mut rows = Vec::new();
        for (kind, times) in self.by_kind.iter() {
            let total = self.segment_total.filter(|_| kind == Kind::Segment);
            for (part, quantiles) in [("ttfb", times.ttfb), ("download", times.download), ("total", total)] {
                let name = kind.name();
                rows.extend(quantiles.map(|q| (format!("{name}.{part}"), format!("{name} {part}"), q)));
            }
        }
        let others = [
            ("connect", "connect", self.connect),
            ("dns", "dns", self.dns),
            ("tls_handshake", "tls", self.tls),
            ("startup", "start-up", self.startup),
        ];
        for (name, words, quantiles) in others {
            rows.extend(quantiles.map(|q| (name.to_owned(), words.to_owned(), q)));
        }
        rows
    }
}

/// A Prometheus histogram: cumulative counts for upper bounds, sum and count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// `(upper bound in seconds, values at or below it)`.
    pub cumulative: Vec<(f64, u64)>,
    /// Sum of all values, seconds.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}
