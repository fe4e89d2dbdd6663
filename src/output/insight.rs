//! Observations about the stream and its caches, as text for the summary and the reports.

use hls_swarm_model::snapshot::{CacheCounts, Edge, Insight, OTHER_ADDRESSES};

use super::figures::{bytes, count, milliseconds, percent};

/// Column heads of the table of edges.
pub const EDGE_HEAD: [&str; 8] =
    ["", "Requests", "Bytes", "Errors", "Connections", "TTFB p95", "Cache hits", "Old playlists"];

/// One edge as the cells of a table.
#[must_use]
pub fn edge_row(edge: &Edge) -> [String; 8] {
    const ABSENT: &str = "–";
    let name = match edge.names.as_slice() {
        [] => edge.address.clone(),
        names => format!("{} ({})", edge.address, names.join(", ")),
    };
    [
        name,
        count(edge.requests),
        bytes(edge.bytes),
        count(edge.errors),
        count(edge.connects),
        edge.ttfb.map_or_else(|| ABSENT.to_owned(), |q| milliseconds(q.p95)),
        edge.hit_rate().map_or_else(|| ABSENT.to_owned(), percent),
        count(edge.old_playlists),
    ]
}

/// A summary of the edges that a table of the first `shown` edges leaves out; `None` if it leaves out none.
#[must_use]
pub fn additional_edges(insight: &Insight, shown: usize) -> Option<String> {
    let (others, edges): (Vec<&Edge>, Vec<&Edge>) =
        insight.edges.iter().skip(shown).partition(|edge| edge.address == OTHER_ADDRESSES);
    let requests = |edges: &[&Edge]| count(edges.iter().map(|edge| edge.requests).sum());
    let mut parts = Vec::new();
    if !edges.is_empty() {
        parts.push(format!("{} more edges with {} requests", edges.len(), requests(&edges)));
    }
    if !others.is_empty() {
        parts.push(format!(
            "{} requests to {OTHER_ADDRESSES}, which have no rows of their own",
            requests(&others)
        ));
    }
    (!parts.is_empty()).then(|| format!("and {}", parts.join(", ")))
}

/// Errors in playlists, one sentence each; empty if there were none.
#[must_use]
pub fn playlists(insight: &Insight) -> Vec<String> {
    let Some(faults) = &insight.playlists else { return Vec::new() };
    let seconds = |of: Option<f64>, words: &str| {
        of.map_or_else(String::new, |seconds| format!(", {words} {seconds:.1} s"))
    };
    let stale = seconds(faults.longest_stale_seconds, "at the longest");
    let behind = seconds(faults.farthest_behind_seconds, "at the most");
    let sentences = [
        (faults.stale, format!("not updated for more than 1.5 x target duration{stale}")),
        (faults.regressed, "regressed".to_owned()),
        (faults.skipped, "segments skipped, which no playlist listed".to_owned()),
        (
            faults.disagreed,
            match faults.farthest_behind_seconds {
                Some(_) => format!("older than another viewer's{behind}"),
                None => "unlike another viewer's: other segments under the same numbers".to_owned(),
            },
        ),
    ];
    let found = sentences.into_iter().filter(|(times, _)| *times > 0);
    let mut lines: Vec<String> = found.map(|(times, what)| format!("{times} x {what}")).collect();
    if !lines.is_empty() {
        let names: Vec<&str> = insight.faulty.iter().take(5).map(|one| one.name.as_str()).collect();
        lines.push(format!("seen in {}", names.join(", ")));
    }
    lines
}

/// Cache results over all edges, by kind, with the age of objects.
#[must_use]
pub fn caches(insight: &Insight) -> Vec<String> {
    let mut sums = Vec::<CacheCounts>::new();
    for counts in insight.edges.iter().flat_map(|edge| &edge.cache) {
        match sums.iter_mut().find(|sum| sum.kind == counts.kind) {
            Some(sum) => {
                sum.hits += counts.hits;
                sum.misses += counts.misses;
                sum.others += counts.others;
            }
            None => sums.push(counts.clone()),
        }
    }
    let results = sums.iter().map(|sum| {
        format!("{}: {} hits, {} misses, {} other results", sum.kind, sum.hits, sum.misses, sum.others)
    });
    let aged = insight.ages.iter().map(|ages| {
        let q = ages.seconds;
        format!("{} age: p50 {:.0} s, p95 {:.0} s, max {:.0} s", ages.kind, q.p50, q.p95, q.max)
    });
    results.chain(aged).collect()
}
