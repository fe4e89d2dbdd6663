//! Requests: values by kind of object, errors, rates.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::exchange::Kind;
use crate::merge::{Merge, merge_fields};

/// One value for each kind of object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerKind<T>([T; 6]);

impl<T> Index<Kind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: Kind) -> &T {
        let [playlist, segment, init, key, steering, other] = &self.0;
        match kind {
            Kind::Playlist => playlist,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
            Kind::Steering => steering,
            Kind::Other => other,
        }
    }
}

impl<T> IndexMut<Kind> for PerKind<T> {
    fn index_mut(&mut self, kind: Kind) -> &mut T {
        let [playlist, segment, init, key, steering, other] = &mut self.0;
        match kind {
            Kind::Playlist => playlist,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
            Kind::Steering => steering,
            Kind::Other => other,
        }
    }
}

impl<T> PerKind<T> {
    /// Each kind with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &T)> {
        Kind::ALL.into_iter().zip(&self.0)
    }
}

impl PerKind<u64> {
    /// The sum over all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl<T: Merge> Merge for PerKind<T> {
    fn merge(&mut self, other: &Self) {
        for (this, other) in self.0.iter_mut().zip(&other.0) {
            this.merge(other);
        }
    }
}

/// Kinds that an object does not name count as 0.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(rename = "manifest")]
    playlist: u64,
    segment: u64,
    init: u64,
    key: u64,
    steering: u64,
    other: u64,
}

impl<'de> Deserialize<'de> for PerKind<u64> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Named { playlist, segment, init, key, steering, other } = Named::deserialize(deserializer)?;
        Ok(Self([playlist, segment, init, key, steering, other]))
    }
}

impl Serialize for PerKind<u64> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(kind, count)| (kind.name(), count)))
    }
}

/// Writes counts by kind with their sum, `total`, which is not read again.
pub(crate) fn with_total<S: serde::Serializer>(
    counts: &PerKind<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let total = counts.total();
    serializer.collect_map(
        counts.iter().map(|(kind, count)| (kind.name(), count)).chain(std::iter::once(("total", &total))),
    )
}

/// Status codes as the keys of an object. JSON has no other keys than texts, and serde reads a flattened
/// object without knowing that they are numbers.
pub(crate) mod by_status {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(counts: &BTreeMap<u16, u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(counts)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u16, u64>, D::Error> {
        let texts = BTreeMap::<String, u64>::deserialize(from)?;
        let code = |text: &str| {
            text.parse().map_err(|_| D::Error::custom(format_args!("{text:?} is not a status code")))
        };
        texts.iter().map(|(text, count)| Ok((code(text)?, *count))).collect()
    }
}

/// Errors, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Responses with a status of 400 or above.
    pub http: u64,
    /// Exchanges that the peer or the network interrupted.
    pub broken: u64,
    /// Exchanges and connection attempts that ran into the timeout.
    pub timeouts: u64,
    /// Connections that could not be made.
    pub connect: u64,
    /// Complete responses with a successful status whose body was not what was requested.
    #[serde(default)]
    pub content: u64,
    /// Requests and failed connects: all that can fail.
    pub attempts: u64,
    /// Attempts that failed, each counted once: a connect that timed out is in two of the counts above.
    pub failed: u64,
    /// Failed attempts divided by attempts; absent before the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Objects that viewers requested. A viewer that requests an object again because the request before failed still
    /// requests the same object; connection attempts that fail in a row count as one object.
    #[serde(default)]
    pub objects: u64,
    /// Of these, objects whose request failed at least once.
    #[serde(default)]
    pub objects_failed: u64,
    /// Failed objects divided by objects; absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_rate: Option<f64>,
}

impl Errors {
    /// The same counts with the rates that follow from them.
    #[must_use]
    pub fn with_rate(self) -> Self {
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        Self {
            rate: share(self.failed, self.attempts),
            object_rate: share(self.objects_failed, self.objects),
            ..self
        }
    }

    /// Failures that the load generator's condition cannot have caused: a server does not respond with 503, or with an
    /// HTML page, because a viewer is late.
    #[must_use]
    pub const fn certain(&self) -> u64 {
        self.http + self.content
    }

    /// The difference from `before`, an earlier moment of the same run.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        Self {
            http: since(|e| e.http),
            broken: since(|e| e.broken),
            timeouts: since(|e| e.timeouts),
            connect: since(|e| e.connect),
            content: since(|e| e.content),
            attempts: since(|e| e.attempts),
            failed: since(|e| e.failed),
            rate: None,
            objects: since(|e| e.objects),
            objects_failed: since(|e| e.objects_failed),
            object_rate: None,
        }
        .with_rate()
    }
}

impl Merge for Errors {
    fn merge(&mut self, other: &Self) {
        let Self {
            http,
            broken,
            timeouts,
            connect,
            content,
            attempts,
            failed,
            rate: _,
            objects,
            objects_failed,
            object_rate: _,
        } = other;
        self.http.merge(http);
        self.broken.merge(broken);
        self.timeouts.merge(timeouts);
        self.content.merge(content);
        self.connect.merge(connect);
        self.attempts.merge(attempts);
        self.failed.merge(failed);
        self.objects.merge(objects);
        self.objects_failed.merge(objects_failed);
        *self = self.with_rate();
    }
}

/// Totals of the cache results that edges reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheResults {
    /// Responses from a cache.
    pub hits: u64,
    /// Responses that a cache had to fetch.
    pub misses: u64,
}

impl CacheResults {
    /// Hits divided by hits and misses; `None` if no edge reported either.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}

merge_fields! { CacheResults { hits, misses } }

/// Windows of segment throughput, seconds; names of metrics carry them.
pub const THROUGHPUT_WINDOWS: [usize; 4] = [1, 30, 60, 300];

/// Rates over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Playlist requests per second, over 10 s.
    pub manifest_per_second: f64,
    /// Segment requests per second, over 10 s.
    pub segment_per_second: f64,
    /// Body bytes per second, all kinds, over 10 s.
    pub bytes_per_second: f64,
    /// Segment bytes per second over each of [`THROUGHPUT_WINDOWS`].
    pub segment_bytes_per_second: [f64; 4],
}
