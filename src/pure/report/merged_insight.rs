//! What stood out in several runs, together.

use std::collections::BTreeMap;

use crate::words::snapshot::{CacheCounts, Edge, FailedObject, FaultyPlaylist, Insight, PlaylistFaults};

/// Adds the runs up. Percentiles do not add up, so edges and ages are without them, unless there is but
/// one run.
pub(super) fn merged<'a>(insights: impl Iterator<Item = &'a Insight> + Clone) -> Insight {
    let mut all = insights.clone();
    if let (Some(only), None) = (all.next(), all.next()) {
        return only.clone();
    }
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
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.requests));
    let faulty = faulty.into_iter().map(|(name, faults)| FaultyPlaylist { name: name.to_owned(), faults });
    Insight { playlists, faulty: faulty.collect(), failed, ages: Vec::new(), edges }
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
