//! The servers that viewers were connected to, by address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::pure::stats::distribution::Distribution;
use crate::words::exchange::{Cache, Exchange, Kind};
use crate::words::snapshot::{CacheCounts, Edge};

/// Addresses that are kept apart; each has percentiles of its own.
const ADDRESSES: usize = 64;
/// Names of one address that are kept.
const NAMES: usize = 4;

/// What is known of each address.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    known: BTreeMap<IpAddr, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    names: BTreeSet<Box<str>>,
    requests: u64,
    bytes: u64,
    errors: u64,
    connects: u64,
    old_playlists: u64,
    ttfb: Distribution,
    cache: BTreeMap<Kind, [u64; 3]>,
}

impl Edges {
    /// Takes an exchange; `old` says that it brought an old playlist.
    pub fn add(&mut self, exchange: &Exchange, failed: bool, old: bool) {
        let Some((address, _)) = exchange.peer else { return };
        if self.known.len() >= ADDRESSES && !self.known.contains_key(&address) {
            return;
        }
        let known = self.known.entry(address).or_default();
        if let Some(name) = &exchange.edge
            && known.names.len() < NAMES
        {
            known.names.insert(name.clone());
        }
        known.requests += 1;
        known.bytes += exchange.body_bytes;
        known.errors += u64::from(failed);
        known.connects += u64::from(exchange.connect_ns.is_some());
        known.old_playlists += u64::from(old);
        // As everywhere, an error page must not make the server look fast.
        let good = exchange.status.is_some_and(|status| (200..300).contains(&status));
        if let Some(nanos) = exchange.first_byte_ns.filter(|_| good) {
            known.ttfb.add_ns(nanos);
        }
        if let Some(word) = exchange.cache {
            let [hits, misses, others] = known.cache.entry(exchange.kind).or_default();
            *match word {
                Cache::Hit => hits,
                Cache::Miss => misses,
                Cache::Other => others,
            } += 1;
        }
    }

    /// One row for each, the busiest first.
    #[must_use]
    pub fn rows(&self) -> Vec<Edge> {
        let counts = |(kind, [hits, misses, others]): (&Kind, &[u64; 3])| CacheCounts {
            kind: kind.name().to_owned(),
            hits: *hits,
            misses: *misses,
            others: *others,
        };
        let row = |(address, known): (&IpAddr, &Known)| Edge {
            address: address.to_string(),
            names: known.names.iter().map(ToString::to_string).collect(),
            requests: known.requests,
            bytes: known.bytes,
            errors: known.errors,
            connects: known.connects,
            old_playlists: known.old_playlists,
            ttfb: known.ttfb.quantiles(),
            cache: known.cache.iter().map(counts).collect(),
        };
        let mut rows: Vec<Edge> = self.known.iter().map(row).collect();
        rows.sort_by_key(|edge| std::cmp::Reverse(edge.requests));
        rows
    }
}
