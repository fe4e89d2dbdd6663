//! Statistics for insights: playlists, objects that fail, caches, edges.

pub(crate) mod edges;
pub(crate) mod objects;
pub(crate) mod playlists;

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::exchanges::Fault;
use crate::exchange::{Exchange, Kind};
use crate::snapshot::{Ages, Edge, Insight};

use edges::Edges;
use objects::Objects;
use playlists::Playlists;

/// The insights so far.
#[derive(Clone, Debug, Default)]
pub struct InsightCollector {
    playlists: Playlists,
    objects: Objects,
    edges: Edges,
    ages: BTreeMap<Kind, Distribution>,
}

impl InsightCollector {
    /// Adds an exchange, with its failure if it failed.
    pub fn add(&mut self, exchange: &Exchange, fault: Option<Fault>) {
        let old = self.playlists.add(exchange);
        self.edges.add(exchange, fault.is_some());
        old.into_iter().flatten().for_each(|address| self.edges.old_playlist(address));
        if let Some(fault) = fault {
            self.objects.failed(exchange, fault);
        }
        if let Some(age) = exchange.age_s {
            self.ages.entry(exchange.kind).or_default().add_ns(u64::from(age).saturating_mul(1_000_000_000));
        }
    }

    /// Whole distributions by name, for the report.
    pub fn distributions(&self) -> impl Iterator<Item = (String, &Distribution)> {
        let edges = self.edges.distributions().map(|(address, times)| (Edge::histogram(&address), times));
        edges.chain(self.ages.iter().map(|(kind, ages)| (Ages::histogram(kind.name()), ages)))
    }

    /// All insights.
    #[must_use]
    pub fn insight(&self) -> Insight {
        let ages = self.ages.iter().filter_map(|(kind, ages)| {
            Some(Ages { kind: kind.name().to_owned(), seconds: ages.quantiles()? })
        });
        Insight {
            playlists: self.playlists.faults(),
            faulty: self.playlists.faulty(),
            failed: self.objects.rows(),
            ages: ages.collect(),
            edges: self.edges.rows(),
        }
    }
}
