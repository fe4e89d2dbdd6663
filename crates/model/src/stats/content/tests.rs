use proptest::prelude::*;

use super::*;
use crate::listed::Rendition;
use crate::metric::counters::SeenIn;

fn times(start_s: f64, duration_s: f64) -> Result<Times, Unread> {
    let us = |seconds: f64| (seconds * 1e6) as u64;
    Ok(Times { start_us: us(start_s), duration_us: Some(us(duration_s)), error_us: 0, wraps: false })
}

/// Segment `number`, of 2 s, without deviations.
fn read(number: u64) -> SegmentRead {
    SegmentRead {
        url: number,
        before: number.checked_sub(1),
        name: format!("seg{number}.ts").into(),
        variant: None,
        sequence: number,
        announced_us: 2_000_000,
        whole_seconds: false,
        target_us: 2_000_000,
        bytes: 1000,
        hash: Some(number),
        edge: Some([192, 0, 2, 1].into()),
        times: times(number as f64 * 2.0, 2.0),
    }
}

/// The checks, and the counts: wrong durations, gaps, different bodies.
fn checked(reads: impl IntoIterator<Item = SegmentRead>) -> (ContentChecks, [u64; 3]) {
    let (mut checker, mut counters) = (ContentChecker::default(), Counters::zero(SeenIn::Segments));
    reads.into_iter().for_each(|read| checker.add(read, &mut counters));
    let counted = [Counter::DurationsWrong, Counter::TimestampGaps, Counter::BodiesDiffering];
    (checker.checks().unwrap(), counted.map(|counter| counters[counter].unwrap()))
}

fn sentences(checks: &ContentChecks) -> Vec<String> {
    checks.deviations.iter().map(Deviation::sentence).collect()
}

#[test]
fn a_stream_without_faults_has_no_findings() {
    let (checks, counted) = checked((0..50).chain(10..60).map(read));
    assert_eq!((checks.segments, checks.compared, counted), (60, 40, [0, 0, 0]));
    assert!(checks.deviations.is_empty() && checks.differing.is_empty() && checks.unread.is_empty());
}

#[test]
fn a_duration_may_deviate_by_the_tolerance_and_what_is_not_known() {
    let lasting = |seconds: f64| SegmentRead { times: times(2.0, seconds), ..read(1) };
    let wrong = |read: SegmentRead| checked([read]).1[0];
    assert_eq!([1.899, 1.901, 2.099, 2.101].map(|seconds| wrong(lasting(seconds))), [1, 0, 0, 1]);
    let rounded = |seconds: f64| SegmentRead { whole_seconds: true, ..lasting(seconds) };
    assert_eq!([1.49, 1.51, 2.51].map(|seconds| wrong(rounded(seconds))), [1, 0, 1]);
    let unsure = Ok(Times { error_us: 40_000, ..times(2.0, 2.13).unwrap() });
    assert_eq!(wrong(SegmentRead { times: unsure, ..read(1) }), 0);
    let (checks, _) = checked([lasting(3.5)]);
    assert_eq!(sentences(&checks), ["seg1.ts lasts 3.500 s, and its EXTINF is 2.000 s"]);
}

#[test]
fn timestamps_continue_those_of_the_segment_before_in_whatever_order_segments_are_read() {
    let shifted = |by: f64| SegmentRead { times: times(4.0 + by, 2.0), ..read(2) };
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1], [3, 2, 1]] {
        let reads = order.map(|number| if number == 2 { shifted(0.5) } else { read(number) });
        let (checks, counted) = checked(reads);
        assert_eq!(counted, [0, 2, 0], "{order:?}");
        let wanted = [
            "seg2.ts begins 0.500 s after the end of the segment before",
            "seg3.ts begins 0.500 s before the end of the segment before",
        ];
        assert_eq!(sentences(&checks), wanted);
    }
    let small = [read(1), shifted(0.09), read(3)];
    assert_eq!(checked(small).1, [0, 0, 0]);
    let announced = SegmentRead { before: None, ..shifted(900.0) };
    assert_eq!(checked([read(1), announced]).1, [0, 0, 0], "after a discontinuity, times may begin anew");
}

#[test]
fn bodies_of_one_url_are_compared_with_the_first_one() {
    let other = SegmentRead { hash: Some(99), bytes: 900, edge: Some([192, 0, 2, 2].into()), ..read(1) };
    let (checks, counted) = checked([read(1), read(1), other.clone(), read(2), other]);
    assert_eq!((checks.segments, checks.compared, counted), (2, 3, [0, 0, 2]));
    let [found] = checks.differing.as_slice() else { panic!("{:?}", checks.differing) };
    assert_eq!(
        found.sentence(),
        "seg1.ts has 2 bodies: 1000 bytes, SHA-256 0000000000000001… from 192.0.2.1; 900 bytes, \
         SHA-256 0000000000000063… from 192.0.2.2"
    );
    assert_eq!(found.bodies.iter().map(|body| body.times).collect::<Vec<_>>(), [2, 2]);
    let coded = SegmentRead { hash: None, ..read(1) };
    assert_eq!(checked([read(1), coded]).1, [0, 0, 0]);
}

#[test]
fn what_cannot_be_read_is_counted_by_reason_until_it_can() {
    let unread = |number, reason| SegmentRead { times: Err(reason), ..read(number) };
    let (checks, _) = checked([unread(1, Unread::Encrypted), unread(2, Unread::Initialization), read(3)]);
    let reasons: Vec<(&str, u64)> = checks.unread.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(reasons, [("encrypted (AES-128)", 1), ("initialization section not known", 1)]);
    let late = SegmentRead { times: times(9.0, 2.0), ..read(2) };
    let (checks, counted) = checked([read(1), unread(2, Unread::Initialization), late]);
    assert_eq!((checks.unread_segments(), counted), (0, [0, 1, 0]));
}

fn label(name: &str, rendition: Rendition, bandwidth: Option<u64>) -> VariantLabel {
    let name = name.to_owned();
    VariantLabel { name, rendition, bandwidth, average_bandwidth: bandwidth, audio: None, codecs: None }
}

/// A segment of `bytes` that lasts `seconds`, of target duration 4 s.
fn sized(label: &Arc<VariantLabel>, number: u64, seconds: u64, bytes: u64) -> SegmentRead {
    let variant = Some(Arc::clone(label));
    let (announced_us, target_us) = (seconds * 1_000_000, 4_000_000);
    // Each rendition has URLs of its own.
    let url = number + 1000 * u64::from(label.rendition == Rendition::Audio);
    SegmentRead { url, variant, announced_us, target_us, bytes, times: Err(Unread::Format), ..read(number) }
}

#[test]
fn the_peak_is_that_of_contiguous_segments_between_half_and_one_and_a_half_target_durations() {
    let main = Arc::new(label("main", Rendition::Main, Some(1_000_000)));
    // 1 s alone is too short to count, however large it is.
    let reads = [(1, 4, 400_000), (2, 1, 300_000), (3, 4, 400_000), (7, 1, 900_000)];
    let reads = reads.map(|(number, seconds, bytes)| sized(&main, number, seconds, bytes));
    let (checks, _) = checked(reads.into_iter().rev());
    let [row] = checks.bit_rates.as_slice() else { panic!("{:?}", checks.bit_rates) };
    assert_eq!((row.peak, row.average), (Some(700_000.0 * 8.0 / 5.0), Some(1_600_000.0)));
    assert!(row.exceeds_bandwidth() && row.exceeds_average());
    assert_eq!(checks.over_bandwidth(), Some(1));
}

#[test]
fn the_bit_rate_of_a_variant_includes_its_audio() {
    let main = VariantLabel {
        audio: Some("audio:en".to_owned()),
        ..label("main", Rendition::Main, Some(1_000_000))
    };
    let (main, audio) = (Arc::new(main), Arc::new(label("audio:en", Rendition::Audio, None)));
    let (alone, _) = checked([sized(&main, 1, 4, 450_000)]);
    assert_eq!((alone.bit_rates[0].peak, alone.over_bandwidth()), (Some(900_000.0), Some(0)));
    let (both, _) = checked([sized(&main, 1, 4, 450_000), sized(&audio, 1, 4, 64_000)]);
    let [row] = both.bit_rates.as_slice() else { panic!("audio has no row of its own") };
    assert_eq!((row.peak, row.audio.as_deref()), (Some(1_028_000.0), Some("audio:en")));
    assert!(row.exceeds_bandwidth() && !row.exceeds_average());
}

proptest! {
    #[test]
    fn peaks_and_averages_are_those_of_a_search_over_all_sequences(
        segments in prop::collection::vec((1_u64..6, 1_u64..1_000_000), 1..20),
        order in prop::collection::vec(any::<u32>(), 20),
    ) {
        let main = Arc::new(label("main", Rendition::Main, Some(1)));
        let mut reads: Vec<(u32, SegmentRead)> = segments
            .iter()
            .zip(0..)
            .zip(order)
            .map(|((&(seconds, bytes), number), order)| (order, sized(&main, number, seconds, bytes)))
            .collect();
        reads.sort_by_key(|(order, _)| *order);
        let (checks, _) = checked(reads.into_iter().map(|(_, read)| read));
        let mut peak = None::<f64>;
        for first in 0..segments.len() {
            for last in first..segments.len() {
                let part = &segments[first..=last];
                let (seconds, bytes) =
                    part.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
                if (2..=6).contains(&seconds) {
                    let bits = bytes as f64 * 8.0 / seconds as f64;
                    peak = Some(peak.map_or(bits, |peak| peak.max(bits)));
                }
            }
        }
        let found = checks.bit_rates[0].peak;
        prop_assert_eq!(found.is_some(), peak.is_some());
        prop_assert!((found.unwrap_or(0.0) - peak.unwrap_or(0.0)).abs() < 1e-3);
    }
}
