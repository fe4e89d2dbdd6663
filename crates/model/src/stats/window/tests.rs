//! Runs that begin badly or end badly, second by second, and what their last seconds say.

use proptest::prelude::*;

use super::super::tests::{SECOND, arrived, segment, stats};
use super::*;
use crate::event::Event;
use crate::metric::counters::Counter;

/// A run with two viewers that ask for one segment per second each, answered at each
/// second as `answer` returns; the second at which the run is ended for `threshold`, if it is within `seconds`.
fn given_up(
    threshold: &str,
    after: u64,
    seconds: u64,
    answer: impl Fn(u64) -> Exchange,
) -> (Option<u64>, Stats) {
    let thresholds = [threshold.parse().unwrap()];
    let mut stats = stats(2).with_abort_thresholds(&thresholds, Some(Duration::from_secs(after)));
    for viewer in [1, 2] {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    let mut given_up = None;
    for second in 1..=seconds {
        for viewer in [1, 2] {
            stats.apply(Event::Exchange(Box::new(Exchange { viewer, ..answer(second) })));
        }
        stats.tick(second * SECOND);
        if given_up.is_none() && stats.aborted_by().is_some() {
            given_up = Some(second);
        }
    }
    (given_up, stats)
}

fn when(threshold: &str, after: u64, seconds: u64, answer: impl Fn(u64) -> Exchange) -> Option<u64> {
    given_up(threshold, after, seconds, answer).0
}

fn broken(is: bool) -> Exchange {
    Exchange { status: Some(if is { 503 } else { 200 }), ..segment(1) }
}

fn slow(is: bool) -> Exchange {
    Exchange { first_byte_ns: Some(if is { 900_000_000 } else { 1_000_000 }), ..segment(1) }
}

#[test]
fn a_bad_beginning_that_is_over_does_not_end_the_run() {
    // Over the whole run both would fail to the end.
    assert_eq!(when("error_rate<1%", 30, 300, |second| broken(second <= 15)), None);
    assert_eq!(when("segment_ttfb:p95<500ms", 30, 200, |second| slow(second <= 15)), None);
}

#[test]
fn a_failure_after_half_an_hour_ends_the_run_in_time() {
    // Over the whole run 60 of 1860 would be 3 %, and the 95th percentile one of good times.
    let (given_up, stats) = given_up("error_rate<20%", 30, 1860, |second| broken(second > 1800));
    // A fifth of a window of 10 s is bad after 2 s, and 30 s more are allowed.
    assert_eq!(given_up, Some(1832));
    assert!(stats.snapshot(1860 * SECOND).errors.rate.unwrap() < 0.04);
    assert_eq!(when("segment_ttfb:p95<500ms", 30, 1860, |second| slow(second > 1800)), Some(1831));
}

#[test]
fn a_permanent_failure_ends_the_run_after_the_allowed_time() {
    assert_eq!(when("error_rate<1%", 30, 60, |_| broken(true)), Some(31));
    assert_eq!(when("error_rate<1%", 2, 60, |_| broken(true)), Some(3));
}

#[test]
fn failures_that_are_far_apart_do_not_add_up() {
    assert_eq!(when("error_rate<1%", 30, 600, |second| broken(second % 40 < 18)), None);
    // There is no window without one here.
    assert_eq!(when("error_rate<1%", 30, 600, |second| broken(second % 9 == 0)), Some(39));
}

#[test]
fn counters_and_shares_are_those_of_the_window() {
    let (_, mut stats) = given_up("stalls==0", 30, 20, |second| broken(second <= 5));
    for second in 21..=60 {
        stats.tick(second * SECOND);
    }
    let at = |stats: &Stats, second: u64| {
        let mark = stats.mark(second * SECOND);
        let before = stats.sliding_window.as_ref().unwrap().slices[0].began;
        mark.since(&before, stats.whole(second * SECOND))
    };
    // Each stalled once, after its only segment, long before the window, and has not recovered.
    let window = at(&stats, 60);
    assert_eq!((window.lifetimes.stalled, window.errors.rate, window.bytes.total()), (2, None, 0));
    assert_eq!((window.elapsed_seconds, window.active_ratio), (10.0, Some(0.0)));
    assert!(stats.snapshot(60 * SECOND).aborted_by.is_some());
    for (viewer, sequence) in [(1, 2), (1, 3), (2, 2), (2, 3)] {
        let _ = stats.viewers.exchange(&arrived(viewer, sequence, 61 * SECOND), true);
    }
    for second in 61..=75 {
        stats.tick(second * SECOND);
    }
    assert_eq!(at(&stats, 75).lifetimes.stalled, 0);
    // The figures of the whole run differ.
    assert_eq!(stats.snapshot(75 * SECOND).lifetimes.stalled, 2);
}

#[test]
fn figures_without_a_window_are_those_of_the_whole_run() {
    let (given_up, stats) = given_up("peak_clients>2", 30, 60, |_| broken(false));
    assert_eq!(given_up, Some(31));
    let window = stats.mark(60 * SECOND).since(&stats.mark(60 * SECOND), stats.whole(60 * SECOND));
    let whole = stats.snapshot(60 * SECOND);
    assert_eq!(window.peak_clients, whole.peak_clients);
    assert_eq!(
        (window.lifetimes.played, window.lifetimes.given_up),
        (whole.lifetimes.played, whole.lifetimes.given_up)
    );
}

#[test]
fn no_run_is_ended_without_the_option_or_after_its_end() {
    let mut stats = stats(2);
    stats.tick(SECOND);
    assert!(stats.sliding_window.is_none() && stats.snapshot(SECOND).aborted_by.is_none());
    let (given_up, mut stats) = given_up("error_rate<1%", 30, 20, |_| broken(true));
    stats.apply(Event::Closing { at_ns: 20 * SECOND });
    (21..90).for_each(|second| stats.tick(second * SECOND));
    assert_eq!((given_up, stats.snapshot(90 * SECOND).aborted_by), (None, None));
}

#[test]
fn each_counter_is_counted_in_the_window_and_over_the_run() {
    for counter in Counter::ALL {
        let mut stats = stats(1).with_abort_thresholds(&[], Some(Duration::from_secs(30)));
        for second in 0..40_u64 {
            stats.apply(Event::Counted { viewer: 1, counter: *counter, events: second });
            stats.tick((second + 1) * SECOND);
        }
        let window = stats.sliding_window.as_ref().unwrap();
        let before = window.slices.iter().find(|slice| slice.began.second >= 30.0).unwrap().began;
        let whole = stats.whole(40 * SECOND);
        let window = stats.mark(40 * SECOND).since(&before, whole.clone());
        let threshold: Threshold = format!("{}:rate<1", counter.info().name).parse().unwrap();
        assert_eq!(whole.counters[*counter], Some((0..40).sum()), "{counter:?}");
        assert_eq!(window.counters[*counter], Some((30..40).sum()), "{counter:?}");
        assert_eq!(threshold.measure(&window, &()), Some(34.5), "{counter:?}");
    }
}

proptest! {
    /// The window's figures are those of a run that consists of it.
    #[test]
    fn a_window_is_a_run_of_its_own(
        samples in prop::collection::vec((0_u64..40, any::<bool>(), 1_u64..9_000_000, 1_u64..9_000_000), 1..200),
    ) {
        let thresholds = ["segment_ttfb:p95<1ms".parse().unwrap()];
        let mut long = stats(1).with_abort_thresholds(&thresholds, Some(Duration::from_secs(30)));
        let mut alone = stats(1);
        for second in 0..40 {
            for (url, (_, good, ttfb, download)) in (0..).zip(&samples).filter(|(_, sample)| sample.0 == second) {
                let exchange = Exchange {
                    // A retry of what failed before the window is not an object of the window.
                    url_hash: url,
                    first_byte_ns: Some(ttfb * 1000),
                    download_ns: Some(download * 1000),
                    ..broken(!good)
                };
                if second >= 30 {
                    alone.apply(Event::Exchange(Box::new(exchange.clone())));
                }
                long.apply(Event::Exchange(Box::new(exchange)));
            }
            if second < 39 {
                long.tick((second + 1) * SECOND);
            }
        }
        // As the evaluation at second 40 has it.
        let sliding_window = long.sliding_window.as_ref().unwrap();
        let before = sliding_window.slices.iter().find(|slice| slice.began.second >= 30.0).unwrap().began;
        let mut inside = sliding_window.clone();
        inside.slices.retain(|slice| slice.began.second >= 30.0);
        let want = alone.snapshot(10 * SECOND);
        let window = long.mark(40 * SECOND).since(&before, long.whole(40 * SECOND));
        prop_assert_eq!(window.requests, want.requests);
        prop_assert_eq!(window.bytes, want.bytes);
        prop_assert_eq!(window.errors, want.errors);
        // The statistics of a distribution are within a thousandth; these are exact.
        let statistics = [Statistic::Percentile(50.0), Statistic::Percentile(99.9), Statistic::Min, Statistic::Mean];
        let distributions = alone.recording();
        for timing in Timing::all() {
            for statistic in statistics {
                match (inside.slices.statistic(timing, statistic), distributions.statistic(timing, statistic)) {
                    (None, None) => {}
                    (Some(got), Some(want)) => {
                        prop_assert!((got - want).abs() <= got * 0.001 + 1e-6, "{timing:?} {statistic:?}");
                    }
                    differ => prop_assert!(false, "{timing:?} {statistic:?} {differ:?}"),
                }
            }
        }
    }
}
