//! What stood out in several runs, together.

use std::collections::BTreeMap;

use crate::exchange::Kind;
use crate::snapshot::{Ages, CacheCounts, Edge, FailedObject, FaultyPlaylist, Insight, PlaylistFaults};
use crate::stats::distribution::Distribution;

/// The largest value of each distribution, by its name.
pub(crate) fn largest(insight: &Insight) -> impl Iterator<Item = (String, f64)> {
    let edges =
        insight.edges.iter().filter_map(|edge| Some((Edge::histogram(&edge.address), edge.ttfb?.max)));
    edges.chain(insight.ages.iter().map(|ages| (Ages::histogram(&ages.kind), ages.seconds.max)))
}

/// Adds the runs up. Percentiles are those of the added distributions, absent where a run has none.
pub(crate) fn merged<'a>(
    insights: impl Iterator<Item = &'a Insight> + Clone,
    distributions: &BTreeMap<String, Distribution>,
) -> Insight {
    let quantiles = |name: &str| distributions.get(name).and_then(Distribution::quantiles);
    let playlists = insights.clone().filter_map(|insight| insight.playlists).reduce(|mut sum, other| {
        sum.add(&other);
        sum
    });
    let mut faulty = BTreeMap::<&str, PlaylistFaults>::new();
    let mut failed = BTreeMap::<(&str, &str), u64>::new();
    let mut edges = BTreeMap::<&str, Edge>::new();
    for insight in insights {
        for one in &insight.faulty {
            faulty.entry(&one.name).or_default().add(&one.faults);
        }
        for one in &insight.failed {
            *failed.entry((&one.name, &one.what)).or_default() += one.count;
        }
        for one in &insight.edges {
            add(edges.entry(&one.address).or_default(), one);
        }
    }
    let mut failed: Vec<FailedObject> = failed
        .into_iter()
        .map(|((name, what), count)| FailedObject { name: name.to_owned(), what: what.to_owned(), count })
        .collect();
    failed.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    let mut edges: Vec<Edge> = edges.into_values().collect();
    for edge in &mut edges {
        edge.ttfb = quantiles(&Edge::histogram(&edge.address));
        edge.cache.sort_by_key(|counts| Kind::ALL.iter().position(|kind| kind.name() == counts.kind));
    }
    Edge::sort(&mut edges);
    let ages = Kind::ALL.into_iter().filter_map(|kind| {
        let seconds = quantiles(&Ages::histogram(kind.name()))?;
        Some(Ages { kind: kind.name().to_owned(), seconds })
    });
    let faulty = faulty.into_iter().map(|(name, faults)| FaultyPlaylist { name: name.to_owned(), faults });
    Insight { playlists, faulty: faulty.collect(), failed, ages: ages.collect(), edges }
}

fn add(sum: &mut Edge, one: &Edge) {
    sum.address.clone_from(&one.address);
    sum.names.extend(one.names.iter().cloned());
    sum.names.sort_unstable();
    sum.names.dedup();
    sum.requests += one.requests;
    sum.bytes += one.bytes;
    sum.errors += one.errors;
    sum.connects += one.connects;
    sum.old_playlists += one.old_playlists;
    for counts in &one.cache {
        match sum.cache.iter_mut().find(|known| known.kind == counts.kind) {
            Some(known) => {
                let CacheCounts { hits, misses, others, .. } = known;
                *hits += counts.hits;
                *misses += counts.misses;
                *others += counts.others;
            }
            None => sum.cache.push(counts.clone()),
        }
    }
}
