//! Segment sizes that the origin published, compared with the bytes that viewers read.

use std::collections::{HashMap, VecDeque};

use crate::exchange::{Exchange, Kind, Outcome};
use crate::snapshot::SegmentSizes;

/// The longest time that a segment waits for its size to be published, nanoseconds.
const MAX_WAIT_NS: u64 = 10_000_000_000;
/// The maximum number of waiting segments; beyond it, the oldest are given up.
const MAX_WAITING: usize = 100_000;

/// The sizes of the newest segments, by name, and the results of looking them up.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    kept: usize,
    sizes: HashMap<Box<str>, u64>,
    /// Names in the order in which they came.
    order: VecDeque<Box<str>>,
    waiting: VecDeque<(u64, Box<str>, u64)>,
    counts: SegmentSizes,
    asked: bool,
}

impl Lookup {
    /// Remembers the sizes of `kept` segments.
    pub(crate) fn new(kept: usize) -> Self {
        Self {
            kept: kept.max(1),
            sizes: HashMap::new(),
            order: VecDeque::new(),
            waiting: VecDeque::new(),
            counts: SegmentSizes::default(),
            asked: false,
        }
    }

    /// Looks up a whole segment; others have no size to compare.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) {
        let whole = exchange.kind == Kind::Segment
            && exchange.status == Some(200)
            && exchange.outcome == Outcome::Complete;
        if !self.asked || !whole {
            return;
        }
        self.counts.lookups += 1;
        match self.sizes.get(&exchange.name) {
            Some(size) => found(&mut self.counts, *size, exchange.body_bytes),
            None => {
                self.waiting.push_back((exchange.started_ns, exchange.name.clone(), exchange.body_bytes));
                if self.waiting.len() > MAX_WAITING {
                    self.waiting.pop_front();
                }
            }
        }
    }

    /// Adds the origin's list as of `at_ns`.
    pub(crate) fn published(&mut self, at_ns: u64, list: Vec<(Box<str>, u64)>) {
        self.asked = true;
        for (name, size) in list {
            if self.sizes.insert(name.clone(), size).is_none() {
                self.order.push_back(name);
            }
        }
        while self.order.len() > self.kept {
            if let Some(oldest) = self.order.pop_front() {
                self.sizes.remove(&oldest);
            }
        }
        let Self { sizes, counts, waiting, .. } = self;
        waiting.retain(|(began, name, bytes)| match sizes.get(name) {
            Some(size) => {
                found(counts, *size, *bytes);
                false
            }
            None => began + MAX_WAIT_NS > at_ns,
        });
        counts.known = sizes.len() as u64;
    }

    /// The results; `None` until a list has arrived.
    pub(crate) fn counts(&self) -> Option<SegmentSizes> {
        self.asked.then_some(self.counts)
    }
}

fn found(counts: &mut SegmentSizes, size: u64, bytes: u64) {
    counts.found += 1;
    counts.equal += u64::from(size == bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::segment;

    fn named(name: &str, bytes: u64, started_ns: u64) -> Exchange {
        Exchange { name: name.into(), body_bytes: bytes, started_ns, ..segment(1) }
    }

    #[test]
    fn a_size_may_come_before_or_after_the_segment() {
        let mut lookup = Lookup::new(3);
        lookup.exchange(&named("before-any-list", 1, 0));
        assert_eq!(lookup.counts(), None);
        lookup.published(0, vec![("a".into(), 10), ("b".into(), 20)]);
        lookup.exchange(&named("a", 10, 0));
        lookup.exchange(&named("b", 19, 0));
        lookup.exchange(&named("c", 30, 0));
        lookup.exchange(&named("never", 40, 0));
        lookup.published(MAX_WAIT_NS, vec![("c".into(), 30), ("d".into(), 1)]);
        let counts = lookup.counts().unwrap();
        assert_eq!(counts, SegmentSizes { known: 3, lookups: 4, found: 3, equal: 2 });
        assert!(lookup.waiting.is_empty(), "segments that wait too long are given up");
        lookup.exchange(&named("a", 10, 0));
        assert_eq!(lookup.counts().unwrap().found, 3, "only the newest three are remembered");
    }

    #[test]
    fn an_incomplete_segment_has_no_size() {
        let mut lookup = Lookup::new(3);
        lookup.published(0, vec![("a".into(), 10)]);
        lookup.exchange(&Exchange { outcome: Outcome::ClosedByPeer, ..named("a", 3, 0) });
        lookup.exchange(&Exchange { status: Some(206), ..named("a", 3, 0) });
        lookup.exchange(&Exchange { kind: Kind::Playlist, ..named("a", 3, 0) });
        assert_eq!(lookup.counts().unwrap().lookups, 0);
    }
}
