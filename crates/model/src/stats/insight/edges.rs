//! The servers that viewers were connected to, by address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::exchange::{Cache, Exchange, Kind};
use crate::snapshot::{CacheCounts, Edge, OTHER_ADDRESSES};
use crate::stats::distribution::Distribution;

/// The number of addresses with separate percentiles. Exchanges with additional ones are counted
/// as [`OTHER_ADDRESSES`], so that sums over all edges hold.
const ADDRESSES: usize = 64;
/// The number of names of one address that are kept.
const NAMES: usize = 4;

/// The figures of each address.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    known: BTreeMap<IpAddr, Known>,
    others: Known,
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
    /// Adds an exchange.
    pub fn add(&mut self, exchange: &Exchange, failed: bool) {
        let Some((address, _)) = exchange.peer else { return };
        let room = self.known.len() < ADDRESSES || self.known.contains_key(&address);
        let known = if room { self.known.entry(address).or_default() } else { &mut self.others };
        known.add(exchange, failed);
    }

    /// Counts an old playlist that the server at `address` sent.
    pub fn old_playlist(&mut self, address: IpAddr) {
        self.known.get_mut(&address).unwrap_or(&mut self.others).old_playlists += 1;
    }

    /// Each address with its figures; the other addresses come last.
    fn each(&self) -> impl Iterator<Item = (String, &Known)> {
        let others = Some(&self.others).filter(|others| others.requests > 0);
        let known = self.known.iter().map(|(address, known)| (address.to_string(), known));
        known.chain(others.map(|others| (OTHER_ADDRESSES.to_owned(), others)))
    }

    /// One row for each, in the order of [`Edge::sort`].
    #[must_use]
    pub fn rows(&self) -> Vec<Edge> {
        let mut rows: Vec<Edge> = self.each().map(|(address, known)| known.row(address)).collect();
        Edge::sort(&mut rows);
        rows
    }

    /// Whole distributions of the time to the first byte, by address.
    pub fn distributions(&self) -> impl Iterator<Item = (String, &Distribution)> {
        self.each().map(|(address, known)| (address, &known.ttfb))
    }
}

impl Known {
    fn add(&mut self, exchange: &Exchange, failed: bool) {
        if let Some(name) = &exchange.edge
            && self.names.len() < NAMES
            && !self.names.contains(name)
        {
            self.names.insert(name.clone());
        }
        self.requests += 1;
        self.bytes += exchange.body_bytes;
        self.errors += u64::from(failed);
        self.connects += u64::from(exchange.connect_ns.is_some());
        // As everywhere, an error page must not make the server look fast.
        let good = exchange.status.is_some_and(|status| (200..300).contains(&status));
        if let Some(nanos) = exchange.first_byte_ns.filter(|_| good && !exchange.blocking_reload) {
            self.ttfb.add_ns(nanos);
        }
        if let Some(word) = exchange.cache {
            let [hits, misses, others] = self.cache.entry(exchange.kind).or_default();
            *match word {
                Cache::Hit => hits,
                Cache::Miss => misses,
                Cache::Other => others,
            } += 1;
        }
    }

    fn row(&self, address: String) -> Edge {
        let counts = |(kind, [hits, misses, others]): (&Kind, &[u64; 3])| CacheCounts {
            kind: kind.name().to_owned(),
            hits: *hits,
            misses: *misses,
            others: *others,
        };
        Edge {
            address,
            names: self.names.iter().map(ToString::to_string).collect(),
            requests: self.requests,
            bytes: self.bytes,
            errors: self.errors,
            connects: self.connects,
            old_playlists: self.old_playlists,
            ttfb: self.ttfb.quantiles(),
            cache: self.cache.iter().map(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::segment;

    #[test]
    fn additional_addresses_are_counted_together() {
        let mut edges = Edges::default();
        for (address, times) in (0..70_u8).zip(1..) {
            for _ in 0..times {
                let peer = Some(([192, 0, 2, address].into(), 80));
                edges.add(&Exchange { peer, cache: Some(Cache::Hit), ..segment(1) }, address == 69);
            }
        }
        let rows = edges.rows();
        assert_eq!(rows.len(), 65);
        assert_eq!((rows[0].address.as_str(), rows[0].requests), ("192.0.2.63", 64));
        let others = &rows[64];
        // However many they are, they come last: they are not one edge.
        assert_eq!((others.address.as_str(), others.requests, others.errors), (OTHER_ADDRESSES, 405, 70));
        assert_eq!(others.ttfb.unwrap().count, 405);
        assert_eq!(rows.iter().map(|edge| edge.requests).sum::<u64>(), 70 * 71 / 2);
        assert_eq!(rows.iter().map(|edge| edge.cache[0].hits).sum::<u64>(), 70 * 71 / 2);
        assert_eq!(edges.distributions().count(), 65);
    }
}
