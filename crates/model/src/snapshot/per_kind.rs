//! One value for each kind of object.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::exchange::Kind;

/// One value for each kind of object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerKind<T>([T; 5]);

impl<T> Index<Kind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: Kind) -> &T {
        let [manifest, segment, init, key, other] = &self.0;
        match kind {
            Kind::Playlist => manifest,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
            Kind::Other => other,
        }
    }
}

impl<T> IndexMut<Kind> for PerKind<T> {
    fn index_mut(&mut self, kind: Kind) -> &mut T {
        let [manifest, segment, init, key, other] = &mut self.0;
        match kind {
            Kind::Playlist => manifest,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
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

impl<'de> Deserialize<'de> for PerKind<u64> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let mut counts = Self::default();
        for kind in Kind::ALL {
            counts[kind] = named.get(kind.name()).copied().unwrap_or(0);
        }
        Ok(counts)
    }
}

impl Serialize for PerKind<u64> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(kind, count)| (kind.name(), count)))
    }
}
