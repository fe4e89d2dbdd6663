//! Tests of the life cycles of viewers.

use proptest::prelude::*;

use super::*;
use crate::listed::SegmentId;
use crate::stats::tests::{arrived, listed};

const START_UP_NS: u64 = 5;

/// The counts as a walk over all viewers finds them: playing, stalled, and the viewers of each stream.
fn walked(viewers: &Viewers) -> (u64, u64, Vec<OnStream>) {
    let count =
        |holds: &dyn Fn(&Viewer) -> bool| viewers.rows.values().filter(|viewer| holds(viewer)).count() as u64;
    let plays = |viewer: &Viewer| viewer.row.state == ViewerState::Playing;
    let on_stream = |place| {
        let wanted = |viewer: &Viewer| {
            viewer.arrived_ns.is_some() && viewers.counts.streams.index_of(viewer.row.viewer) == place
        };
        OnStream { wanted: count(&wanted), playing: count(&|viewer| wanted(viewer) && plays(viewer)) }
    };
    (
        count(&|viewer| plays(viewer) && !viewer.ramped_down),
        count(&|viewer| viewer.row.state == ViewerState::Stalled),
        (0..viewers.counts.streams.count()).map(on_stream).collect(),
    )
}

/// A segment of 3 ns that arrives at `at_ns`.
fn media(viewer: u32, at_ns: u64) -> Exchange {
    let (sequence, duration_us) = (at_ns / 3, 0);
    let segment = SegmentId { duration_us, ..listed(sequence) };
    Exchange { segment: Some(segment), ..arrived(viewer, sequence, at_ns) }
}

/// One of all the things that may happen to a viewer, in any order.
fn happen(viewers: &mut Viewers, what: u8, viewer: u32, at_ns: u64) {
    let end = |viewers: &mut Viewers, class| {
        viewers.ended(viewer, class, ProcessExit::Exited(1), false, "reason".into(), 1.0);
    };
    match what {
        0 => viewers.arrived(viewer, at_ns),
        1 => viewers.ramped_down(viewer, at_ns, START_UP_NS),
        2 => viewers.started(viewer, 1, at_ns),
        3..=5 => {
            let _ = viewers.exchange(&media(viewer, at_ns), true);
        }
        6 => {
            let _ = viewers.pass(at_ns, at_ns, START_UP_NS);
        }
        7 => end(viewers, EndClass::Failed),
        8 => end(viewers, EndClass::Finished),
        9 => end(viewers, EndClass::Stopped),
        10 => viewers.left(viewer),
        11 => viewers.given_up(viewer),
        12 => viewers.expects(viewer, 2),
        _ => viewers.received(viewer, 1),
    }
}

proptest! {
    #[test]
    fn counts_that_are_kept_equal_a_walk_over_all_viewers(
        happened in prop::collection::vec((0_u8..14, 1_u32..12), 1..200),
        streams in prop::collection::vec(1_u32..4, 1..4),
    ) {
        let names = streams.into_iter().map(|weight| (String::new(), weight)).collect();
        let mut viewers = Viewers::default();
        viewers.count_by_stream(&WeightedSet::weighted(names).unwrap());
        for (at_ns, (what, viewer)) in (0..).zip(happened) {
            happen(&mut viewers, what, viewer, at_ns);
            let kept = (viewers.playing(), viewers.stalled_now(), viewers.on_streams().to_vec());
            prop_assert_eq!(kept, walked(&viewers), "after {} of viewer {}", what, viewer);
        }
    }
}
