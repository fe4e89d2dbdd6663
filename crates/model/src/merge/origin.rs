//! The origin as several runs saw it: one machine, looked at from several sides.

use std::collections::BTreeMap;

use crate::snapshot::{Origin, SegmentSizes};

/// Joins what each run knows of the origin. Gauges are those of the run that looked most often; the
/// counters of nginx hold the requests of all runs, so the largest is held against the sum of theirs.
/// It contains the scrapes of the other runs, which is why agreement may stay a little below 1.
pub(crate) fn merged<'a>(origins: impl Iterator<Item = &'a Origin> + Clone) -> Option<Origin> {
    let mut joined = origins.clone().max_by_key(|origin| origin.scrapes)?.clone();
    let mut failures = BTreeMap::<String, u64>::new();
    for (target, times) in origins.clone().flat_map(|origin| &origin.failures) {
        *failures.entry(target.clone()).or_default() += times;
    }
    joined.failures = failures.into_iter().collect();
    joined.scrapes = origins.clone().map(|origin| origin.scrapes).sum();
    joined.requests = origins.clone().filter_map(|origin| origin.requests).max();
    joined.viewer_requests = origins.clone().filter_map(|origin| origin.viewer_requests).reduce(|a, b| a + b);
    joined.connections_dropped = origins.clone().filter_map(|origin| origin.connections_dropped).max();
    joined.last_failure = origins.clone().find_map(|origin| origin.last_failure.clone());
    joined.segment_sizes = origins.filter_map(|origin| origin.segment_sizes).reduce(|a, b| SegmentSizes {
        known: a.known.max(b.known),
        lookups: a.lookups + b.lookups,
        found: a.found + b.found,
        equal: a.equal + b.equal,
    });
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_added_and_the_origin_is_one() {
        let sizes = |lookups| Some(SegmentSizes { known: 9, lookups, found: lookups, equal: lookups });
        let one = Origin {
            requests: Some(90),
            viewer_requests: Some(40),
            segment_sizes: sizes(3),
            scrapes: 2,
            failures: vec![("node".into(), 1)],
            ..Origin::default()
        };
        let other = Origin {
            requests: Some(100),
            viewer_requests: Some(58),
            segment_sizes: sizes(4),
            scrapes: 5,
            failures: vec![("node".into(), 2)],
            ..Origin::default()
        };
        let both = merged([&one, &other].into_iter()).unwrap();
        assert_eq!((both.requests, both.viewer_requests, both.scrapes), (Some(100), Some(98), 7));
        assert_eq!((both.segment_sizes, both.failures), (sizes(7), vec![("node".into(), 3)]));
        assert_eq!(merged(std::iter::empty()), None);
    }
}
