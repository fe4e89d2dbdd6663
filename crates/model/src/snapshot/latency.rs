//! Latencies: order statistics and histograms.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use crate::exchange::Kind;
use crate::merge::{Merge, larger, merge_fields};

/// The subject of a distribution of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    /// From the request to the first byte of the response.
    Ttfb(Kind),
    /// From the first byte to the arrival of the last one.
    Download(Kind),
    /// From the request to the arrival of the last byte.
    Total(Kind),
    /// TCP connect.
    Connect,
    /// Name lookup.
    Dns,
    /// TLS handshake.
    TlsHandshake,
    /// From the start of a viewer to its first whole segment.
    Startup,
    /// Round-trip time of a connection at the end of an exchange, smoothed by the kernel.
    Rtt,
    /// The smallest round-trip time of a connection, which is that of the path itself.
    MinRtt,
    /// From the start of a viewer to the first byte of a segment, as its player reports it.
    FirstMediaByte,
    /// Live latency: from the playhead to the live edge by the playlist, sampled about once a second.
    LatencyByEdge,
    /// Live latency: from the date of the media that is shown to now, sampled about once a second.
    LatencyByDate,
    /// The live latency that playlists ask for (PART-HOLD-BACK, HOLD-BACK), sampled about once a second.
    TargetLatency,
    /// Media that a viewer had ahead of the playhead, sampled about once a second.
    Buffer,
    /// Name lookup that failed.
    DnsFailed,
}

/// Timings by kind of object, and those that have none.
const BY_KIND: usize = 3;
const SINGLE: [Timing; 12] = [
    Timing::Connect,
    Timing::Dns,
    Timing::TlsHandshake,
    Timing::Startup,
    Timing::Rtt,
    Timing::MinRtt,
    Timing::FirstMediaByte,
    Timing::LatencyByEdge,
    Timing::LatencyByDate,
    Timing::TargetLatency,
    Timing::Buffer,
    Timing::DnsFailed,
];
const TIMINGS: usize = BY_KIND * Kind::ALL.len() + SINGLE.len();

impl Timing {
    /// All timings, in the order of tables.
    pub fn all() -> impl Iterator<Item = Self> {
        let by_kind = Kind::ALL
            .into_iter()
            .flat_map(|kind| [Self::Ttfb(kind), Self::Download(kind), Self::Total(kind)]);
        by_kind.chain(SINGLE)
    }

    const fn index(self) -> usize {
        match self {
            Self::Ttfb(kind) => BY_KIND * kind as usize,
            Self::Download(kind) => BY_KIND * kind as usize + 1,
            Self::Total(kind) => BY_KIND * kind as usize + 2,
            Self::Connect => BY_KIND * Kind::ALL.len(),
            Self::Dns => BY_KIND * Kind::ALL.len() + 1,
            Self::TlsHandshake => BY_KIND * Kind::ALL.len() + 2,
            Self::Startup => BY_KIND * Kind::ALL.len() + 3,
            Self::Rtt => BY_KIND * Kind::ALL.len() + 4,
            Self::MinRtt => BY_KIND * Kind::ALL.len() + 5,
            Self::FirstMediaByte => BY_KIND * Kind::ALL.len() + 6,
            Self::LatencyByEdge => BY_KIND * Kind::ALL.len() + 7,
            Self::LatencyByDate => BY_KIND * Kind::ALL.len() + 8,
            Self::TargetLatency => BY_KIND * Kind::ALL.len() + 9,
            Self::Buffer => BY_KIND * Kind::ALL.len() + 10,
            Self::DnsFailed => BY_KIND * Kind::ALL.len() + 11,
        }
    }

    /// The kind of object, if it has one, and the name of the duration.
    #[must_use]
    pub const fn parts(self) -> (Option<Kind>, &'static str) {
        match self {
            Self::Ttfb(kind) => (Some(kind), "ttfb"),
            Self::Download(kind) => (Some(kind), "download"),
            Self::Total(kind) => (Some(kind), "total"),
            Self::Connect => (None, "connect"),
            Self::Dns => (None, "dns"),
            Self::TlsHandshake => (None, "tls_handshake"),
            Self::Startup => (None, "startup"),
            Self::Rtt => (None, "rtt"),
            Self::MinRtt => (None, "min_rtt"),
            Self::FirstMediaByte => (None, "first_media_byte"),
            Self::LatencyByEdge => (None, "latency_by_edge"),
            Self::LatencyByDate => (None, "latency_by_date"),
            Self::TargetLatency => (None, "target_latency"),
            Self::Buffer => (None, "buffer"),
            Self::DnsFailed => (None, "dns_failed"),
        }
    }

    /// The name of its distribution in reports, such as `segment.ttfb`.
    #[must_use]
    pub fn name(self) -> String {
        match self.parts() {
            (Some(kind), part) => format!("{}.{part}", kind.name()),
            (None, name) => name.to_owned(),
        }
    }

    /// The name for people, such as `segment ttfb`.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::TlsHandshake => "tls".to_owned(),
            Self::Startup => "startup".to_owned(),
            Self::MinRtt => "smallest rtt".to_owned(),
            Self::DnsFailed => "failed dns".to_owned(),
            Self::FirstMediaByte => "first media byte".to_owned(),
            Self::LatencyByEdge => "latency by edge".to_owned(),
            Self::LatencyByDate => "latency by date".to_owned(),
            Self::TargetLatency => "target latency".to_owned(),
            _ => self.name().replace('.', " "),
        }
    }
}

/// One value for each timing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerTiming<T>([T; TIMINGS]);

impl<T: Default> Default for PerTiming<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> std::ops::Index<Timing> for PerTiming<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "a timing's index is below their number")]
    fn index(&self, timing: Timing) -> &T {
        &self.0[timing.index()]
    }
}

impl<T> std::ops::IndexMut<Timing> for PerTiming<T> {
    #[expect(clippy::indexing_slicing, reason = "a timing's index is below their number")]
    fn index_mut(&mut self, timing: Timing) -> &mut T {
        &mut self.0[timing.index()]
    }
}

impl<T> PerTiming<T> {
    /// Each timing with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Timing, &T)> {
        Timing::all().zip(&self.0)
    }

    /// Each timing with its value, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Timing, &mut T)> {
        Timing::all().zip(&mut self.0)
    }
}

impl<T: Merge> Merge for PerTiming<T> {
    fn merge(&mut self, other: &Self) {
        for (this, other) in self.0.iter_mut().zip(&other.0) {
            this.merge(other);
        }
    }
}

/// Order statistics of a set of durations, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The number of durations.
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

// The percentiles of a union do not follow from those of its parts: `Report` takes them from the merged
// distribution. Until then the larger ones stand in for them.
merge_fields! { Quantiles { count, p50 = larger, p95 = larger, p99 = larger, max = larger } }

/// By how much latencies are too long, because viewers waited for a processor before they could read what had
/// arrived, seconds. Durations that are known from packets (rtt, min_rtt) do not have this error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyError {
    /// The wait of a viewer each time that it wakes up, on average.
    pub mean: f64,
    /// The longest time that one viewer waited within two samples: no latency shorter than the time between two
    /// samples of a viewer is too long by more than this.
    pub max: f64,
}

// Of several runs, the larger ones are bounds of each.
merge_fields! { LatencyError { mean = larger, max = larger } }

/// Latencies: successful responses only.
pub type Latency = PerTiming<Option<Quantiles>>;

impl Latency {
    /// Each measured latency, in the order of tables.
    pub fn measured(&self) -> impl Iterator<Item = (Timing, Quantiles)> {
        self.iter().filter_map(|(timing, quantiles)| Some((timing, (*quantiles)?)))
    }
}

/// The durations of one kind of object, as reports hold them.
#[derive(Default, Serialize, Deserialize)]
struct OfKind {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttfb: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Quantiles>,
}

/// The entries of `latency_seconds`.
const ENTRIES: &[&str] = &[
    "manifest",
    "segment",
    "init",
    "key",
    "steering",
    "other",
    "connect",
    "dns",
    "tls_handshake",
    "startup",
    "rtt",
    "min_rtt",
    "first_media_byte",
    "latency_by_edge",
    "latency_by_date",
    "target_latency",
    "buffer",
    "dns_failed",
];

/// Writes durations by part below each kind of object, and the others by themselves.
impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for kind in Kind::ALL {
            let (ttfb, download) = (self[Timing::Ttfb(kind)], self[Timing::Download(kind)]);
            let of_kind = OfKind { ttfb, download, total: self[Timing::Total(kind)] };
            if of_kind.ttfb.or(of_kind.download).or(of_kind.total).is_some() {
                map.serialize_entry(kind.name(), &of_kind)?;
            }
        }
        for timing in SINGLE {
            if let Some(quantiles) = self[timing] {
                map.serialize_entry(timing.parts().1, &quantiles)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Latency;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("latencies by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Latency, A::Error> {
                let mut latency = Latency::default();
                while let Some(name) = map.next_key::<String>()? {
                    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                    let single = SINGLE.into_iter().find(|timing| timing.parts().1 == name);
                    if let Some(kind) = kind {
                        let OfKind { ttfb, download, total } = map.next_value()?;
                        latency[Timing::Ttfb(kind)] = ttfb;
                        latency[Timing::Download(kind)] = download;
                        latency[Timing::Total(kind)] = total;
                    } else if let Some(single) = single {
                        latency[single] = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(latency)
            }
        }

        deserializer.deserialize_struct("Latency", ENTRIES, Entries)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timing_has_a_place_of_its_own() {
        assert_eq!(Timing::all().count(), TIMINGS);
        for (place, timing) in Timing::all().enumerate() {
            assert_eq!(timing.index(), place, "{timing:?}");
            let (kind, name) = timing.parts();
            assert!(ENTRIES.contains(&kind.map_or(name, Kind::name)), "{timing:?}");
        }
    }
}
