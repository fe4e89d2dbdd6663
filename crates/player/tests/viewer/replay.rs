//! Viewers beside records of hls.js.

use std::collections::BTreeSet;

use hls_swarm_player::Estimator;
use serde_json::Value;

use super::record::{Record, Segment, integer, number};
use super::world::{Run, near};

/// What happened within this time before the end of a record, seconds, may have no counterpart in it.
const LAST_MOMENT: f64 = 0.5;

/// The segments that a level begins with.
fn switches(levels: &[Segment]) -> Vec<Segment> {
    let mut switches: Vec<Segment> = Vec::new();
    for segment in levels {
        if switches.last().is_none_or(|last| last.level != segment.level) {
            switches.push(*segment);
        }
    }
    switches
}

/// The levels of the segments that arrived at a viewer, and the one that is chosen for what follows.
fn own_levels(record: &Record, run: &Run) -> Vec<Segment> {
    let highest = record.bitrates().len() as u64 - 1;
    let arrived = run.arrived.iter().filter_map(|(at, fetch)| {
        let level = highest - u64::from(fetch.variant);
        Some(Segment { number: fetch.segment.as_ref()?.sequence, level, at: *at })
    });
    let mut levels: Vec<Segment> = Vec::new();
    for segment in arrived {
        levels.retain(|other| other.number != segment.number);
        levels.push(segment);
    }
    levels.sort_by_key(|segment| segment.number);
    if let (Some(last), Some((at, to))) = (levels.last(), run.switches().last()) {
        levels.push(Segment { number: last.number + 1, level: highest - u64::from(*to), at: *at });
    }
    levels
}

/// Compares what a viewer did with what hls.js did.
fn assert_alike(name: &str) {
    let (record, run) = Record::read(name).replay_like_hlsjs();
    let first_frame = record.at(record.all("first frame").next().unwrap());
    let first_segment = record.seconds(record.all("FRAG_BUFFERED").next().unwrap(), "parsed").unwrap();
    let own_first = run.arrived.iter().find(|(_, fetch)| fetch.segment.is_some()).unwrap().0;
    assert!(near(own_first, first_segment, 0.25), "{name}: {own_first} beside {first_segment}");
    assert!((0.0..0.3).contains(&(first_frame - first_segment)), "{name}: {first_segment} to {first_frame}");

    let (levels, real) = (own_levels(&record, &run), record.levels());
    assert_eq!(levels[0].number, real[0].number, "{name}: the segment that playback begins with");
    let (own, theirs) = (switches(&levels), switches(&real));
    let common = own.len().min(theirs.len());
    for (own, theirs) in own.iter().zip(&theirs) {
        let near = own.number.abs_diff(theirs.number) <= 1;
        assert!(own.level == theirs.level && near, "{name}: {own:?} beside {theirs:?}");
    }
    // One of them may not be there yet.
    let more = own[common..].iter().chain(&theirs[common..]);
    for switch in more {
        assert!(switch.at > record.end() - LAST_MOMENT, "{name}: {own:?} beside {theirs:?}");
    }

    let (own, theirs) = (run.stalls(), record.stalls());
    assert_eq!(own.len(), theirs.len(), "{name}: {own:?} beside {theirs:?}");
    for ((ended, stalled, _), (began, real)) in own.iter().zip(&theirs) {
        // 150 ms, and the 100 ms after which hls.js looks again.
        assert!(near(*ended, began + real, 0.25), "{name}: a stall until {ended} beside {}", began + real);
        assert!(near(*stalled, *real, 0.25), "{name}: {stalled} s beside {real} s from {began}");
    }

    // The multivariant playlist is not among hls.js's events.
    let multivariant = usize::from(record.bitrates().len() > 1);
    let theirs = multivariant + record.all("LEVEL_LOADED").count() + record.all("FRAG_LOADING").count();
    let own = run.requests.len();
    assert!(own.abs_diff(theirs) * 10 <= theirs.max(20), "{name}: {own} requests beside {theirs}");
}

#[test]
fn without_a_fault_a_viewer_does_what_hlsjs_does() {
    assert_alike("clean");
}

#[test]
fn a_late_segment_stalls_a_viewer_as_it_stalls_hlsjs() {
    assert_eq!(Record::read("late").stalls().len(), 1, "the record has lost its stall");
    assert_alike("late");
}

#[test]
fn a_missing_segment_is_skipped_as_by_hlsjs() {
    assert!(!Record::read("missing").missing().is_empty(), "the record has lost its missing segment");
    assert_alike("missing");
}

#[test]
fn under_a_cap_a_viewer_switches_as_hlsjs_does() {
    assert!(switches(&Record::read("cap").levels()).len() > 1, "the record has lost its switches");
    assert_alike("cap");
}

#[test]
fn a_playlist_that_stands_still_stalls_a_viewer_as_it_stalls_hlsjs() {
    assert_eq!(Record::read("still").stalls().len(), 1, "the record has lost its stall");
    assert_alike("still");
}

#[test]
fn the_estimator_gives_the_estimates_of_hlsjs() {
    let mut compared = 0;
    for name in ["clean", "late", "missing", "cap", "still"] {
        let record = Record::read(name);
        let mut estimator = Estimator::default();
        let equal = |own: f64, theirs: f64, event: &Value| {
            assert!((own / theirs - 1.0).abs() <= 1e-6, "{name}: {own} beside {event}");
        };
        for event in &record.events {
            match event["what"].as_str().unwrap() {
                "estimator" => estimator = Estimator::new(number(event, "default").unwrap()),
                "ttfb" => {
                    estimator.sample_ttfb(number(event, "ms").unwrap());
                    equal(estimator.ttfb_ms(), number(event, "estimate").unwrap(), event);
                }
                "sample" => {
                    estimator.sample(number(event, "ms").unwrap(), integer(event, "bytes"));
                    equal(estimator.bits(), number(event, "estimate").unwrap(), event);
                    compared += 1;
                }
                _ => {}
            }
        }
    }
    assert!(compared > 50, "{compared} estimates");
}

#[test]
fn transfers_become_the_samples_of_hlsjs() {
    // From the times of the transfers alone, without what hls.js passed to its estimator.
    for name in ["clean", "missing", "still"] {
        let record = Record::read(name);
        let mut estimator = Estimator::default();
        let mut estimates = record.all("sample").map(|event| number(event, "estimate").unwrap());
        for event in record.all("FRAG_BUFFERED") {
            let [start, first, parsed] =
                ["start", "first", "parsed"].map(|name| number(event, name).unwrap());
            estimator.loaded(first - start, parsed - start, integer(event, "bytes"));
            let theirs = estimates.next().unwrap();
            assert!(
                (estimator.bits() / theirs - 1.0).abs() <= 1e-6,
                "{name}: {} beside {theirs}",
                estimator.bits()
            );
        }
    }
}

/// hls.js on the low-latency origin: no stall, near its target, and each part once.
#[test]
fn hlsjs_plays_the_parts_of_the_origin_near_its_target() {
    let record = Record::read("parts");
    assert_eq!(record.stalls(), []);
    let mut parts = BTreeSet::new();
    for event in record.all("FRAG_LOADED") {
        let Some(part) = event["part"].as_u64() else { continue };
        assert!(parts.insert((integer(event, "sn"), part)), "twice: {event}");
    }
    // Four parts in two seconds, for 35 s at least.
    assert!(parts.len() >= 70, "{} parts", parts.len());
    let ticks = record.all("tick").filter(|event| record.at(event) > 10.0);
    let off = ticks.map(|event| number(event, "latency").unwrap() - number(event, "target").unwrap());
    assert!(off.into_iter().all(|off| off.abs() <= 0.3), "{:?}", record.all("tick").last());
    let errors: Vec<_> = record.all("ERROR").filter(|event| event["fatal"] == true).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let target = record.all("tick").last().and_then(|event| number(event, "target"));
    assert_eq!(target, Some(1.5));
}
