//! Insights about the stream and the caches in front of it.

use serde::{Deserialize, Serialize};

use super::latency::Quantiles;
use crate::exchange::Kind;
use crate::merge::{self, Merge, first, larger, merge_fields};

/// Defects of media playlists, counted over all viewers (RFC 8216).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaylistFaults {
    /// Times that a viewer's copy did not change for more than 1.5 x target duration (6.2.1).
    pub stale: u64,
    /// Times that a viewer got an older list than the one before (6.2.2).
    pub regressed: u64,
    /// Segments that no playlist listed, because it advanced by more than its length.
    pub skipped: u64,
    /// Responses that were older than what another viewer had got a target duration before, or had another segment
    /// under the same number.
    pub disagreed: u64,
    /// The longest time without a change of a playlist, seconds; absent if none was stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_stale_seconds: Option<f64>,
    /// The most that a copy was behind another viewer's, seconds; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub farthest_behind_seconds: Option<f64>,
}

impl PlaylistFaults {
    /// Whether there is any defect.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.stale + self.regressed + self.skipped + self.disagreed > 0
    }

    /// The counts with their names in reports and their descriptions for people.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, &'static str, u64); 4] {
        [
            ("stale", "stale", self.stale),
            ("regressed", "regressed", self.regressed),
            ("skipped", "segments skipped", self.skipped),
            ("disagreed", "older than another viewer's, or with other segments", self.disagreed),
        ]
    }
}

merge_fields! { PlaylistFaults {
    stale, regressed, skipped, disagreed, longest_stale_seconds = larger, farthest_behind_seconds = larger,
} }

/// One media playlist with defects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultyPlaylist {
    /// Last element of its path.
    pub name: String,
    /// Its defects.
    #[serde(flatten)]
    pub faults: PlaylistFaults,
}

merge_fields! { FaultyPlaylist { name = first, faults } }

/// The largest number of objects that failed that are reported.
pub const MAX_FAILED_OBJECTS: usize = 20;

/// An object that viewers could not get, other than a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedObject {
    /// Last element of its path.
    pub name: String,
    /// The status code, or the content that arrived instead.
    pub what: String,
    /// The number of times.
    pub count: u64,
}

merge_fields! { FailedObject { name = first, what = first, count } }

/// The cache results of objects of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheCounts {
    /// The kind of object.
    pub kind: String,
    /// Served from the cache.
    pub hits: u64,
    /// Fetched from the server behind it.
    pub misses: u64,
    /// Another result: expired, stale, revalidated, bypass…
    pub others: u64,
}

merge_fields! { CacheCounts { kind = first, hits, misses, others } }

/// Ages of objects of one kind, by their `Age` header, seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ages {
    /// The kind of object.
    pub kind: String,
    /// Order statistics.
    pub seconds: Quantiles,
}

merge_fields! { Ages { kind = first, seconds } }

impl Ages {
    /// The name of their whole distribution in reports.
    #[must_use]
    pub fn histogram(kind: &str) -> String {
        format!("age.{kind}")
    }
}

/// The name of the row for all addresses beyond the limit.
pub const OTHER_ADDRESSES: &str = "other addresses";

/// A server that viewers were connected to, by its address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The address, or [`OTHER_ADDRESSES`].
    pub address: String,
    /// Its name, if it reports one; one address may have several names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Requests.
    pub requests: u64,
    /// Body bytes.
    pub bytes: u64,
    /// Exchanges that failed: status 400 or above, interrupted, timed out.
    pub errors: u64,
    /// Connections made.
    pub connects: u64,
    /// Playlists that were older than what another viewer had got a target duration before.
    pub old_playlists: u64,
    /// From the request to the first byte, over successful exchanges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<Quantiles>,
    /// The results of its cache, by kind of object; kinds without a result are omitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheCounts>,
}

impl Merge for Edge {
    fn merge(&mut self, other: &Self) {
        let Self { address: _, names, requests, bytes, errors, connects, old_playlists, ttfb, cache } = other;
        self.names.extend(names.iter().cloned());
        self.names.sort_unstable();
        self.names.dedup();
        self.requests.merge(requests);
        self.bytes.merge(bytes);
        self.errors.merge(errors);
        self.connects.merge(connects);
        self.old_playlists.merge(old_playlists);
        self.ttfb.merge(ttfb);
        merge::rows(&mut self.cache, cache, |a, b| a.kind == b.kind);
        self.cache.sort_by_key(|counts| place(&counts.kind));
    }
}

/// The index of a kind of object in tables.
fn place(kind: &str) -> Option<usize> {
    Kind::ALL.iter().position(|known| known.name() == kind)
}

impl Edge {
    /// Sorts the busiest first, and the row of all other addresses last: it is not a single server.
    pub fn sort(edges: &mut [Self]) {
        edges.sort_by(|a, b| {
            let place = |edge: &Self| (edge.address == OTHER_ADDRESSES, std::cmp::Reverse(edge.requests));
            place(a).cmp(&place(b)).then_with(|| a.address.cmp(&b.address))
        });
    }

    /// The name of the whole distribution of its times to the first byte in reports.
    #[must_use]
    pub fn histogram(address: &str) -> String {
        format!("edge.{address}.ttfb")
    }

    /// Hits over hits and misses, 0 to 1; absent if its cache reported nothing.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let sum = |of: fn(&CacheCounts) -> u64| self.cache.iter().map(of).sum::<u64>();
        let (hits, misses) = (sum(|counts| counts.hits), sum(|counts| counts.misses));
        (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
    }
}

/// Insights about the stream and the caches in front of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// Defects of media playlists; absent if the probe saw none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playlists: Option<PlaylistFaults>,
    /// The playlists with defects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faulty: Vec<FaultyPlaylist>,
    /// Objects that viewers could not get, most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedObject>,
    /// Ages of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ages: Vec<Ages>,
    /// The servers that viewers were connected to, the busiest first; 64 at most of each run, and one row
    /// for all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
}

impl Merge for Insight {
    fn merge(&mut self, other: &Self) {
        let Self { playlists, faulty, failed, ages, edges } = other;
        self.playlists.merge(playlists);
        merge::rows(&mut self.faulty, faulty, |a, b| a.name == b.name);
        self.faulty.sort_by(|a, b| a.name.cmp(&b.name));
        merge::rows(&mut self.failed, failed, |a, b| (&a.name, &a.what) == (&b.name, &b.what));
        self.failed
            .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.name, &a.what).cmp(&(&b.name, &b.what))));
        merge::rows(&mut self.ages, ages, |a, b| a.kind == b.kind);
        self.ages.sort_by_key(|ages| place(&ages.kind));
        merge::rows(&mut self.edges, edges, |a, b| a.address == b.address);
        Edge::sort(&mut self.edges);
    }
}
