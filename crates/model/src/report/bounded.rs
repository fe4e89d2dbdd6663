//! Bounds the size of a report, whatever the number of viewers: the worst viewers and a sample keep rows of their own;
//! the others are added up, and their distributions are kept.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Recording, Report};
use crate::merge::Merge;
use crate::snapshot::{OtherViewers, Snapshot, ViewerRow};
use crate::stats::distribution::Distribution;

/// Viewers with rows of their own, of each of the two sorts.
const WORST: usize = 500;
const SAMPLE: usize = 500;
/// The distributions of the viewers without a row: a name, and seconds of a viewer.
type Times = (&'static str, fn(&ViewerRow) -> Option<f64>);
const TIMES: [Times; 5] = [
    ("other_viewers.startup", |row| row.startup_seconds),
    ("other_viewers.media", |row| Some(row.media_seconds)),
    ("other_viewers.stalled", |row| Some(row.stalled_seconds)),
    ("other_viewers.longest_stall", |row| Some(row.longest_stall_seconds)),
    ("other_viewers.missing", |row| Some(row.missing_seconds)),
];

impl Report {
    /// The same report with at most a thousand rows of viewers.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        bound(&mut self.snapshot, &mut self.recording);
        self
    }
}

/// Leaves at most a thousand rows of viewers, in the order of their numbers. What remains of rows that were bounded before
/// is what would remain of all of them, except among viewers that are equally bad.
pub(super) fn bound(snapshot: &mut Snapshot, recording: &mut Recording) {
    let rows = &mut snapshot.viewers;
    let mut rest = Vec::new();
    if rows.len() > WORST + SAMPLE {
        rows.sort_by_cached_key(|row| Reverse(trouble(row)));
        rest = rows.split_off(WORST);
        // A place in the list may decide which variant or which server a viewer gets, so every n-th viewer would not be a
        // sample.
        rest.sort_by_cached_key(|row| scattered(row.viewer));
        rows.extend(rest.drain(..SAMPLE));
    }
    rows.sort_by_key(|row| row.viewer);
    if rest.is_empty() {
        return;
    }
    let others = snapshot.other_viewers.get_or_insert_default();
    rest.iter().for_each(|row| others.add(row));
    add_times(recording, &rest);
}

/// How bad a viewer's time was: failures first, then viewers that never played, then lost time in microseconds.
fn trouble(row: &ViewerRow) -> (bool, bool, u64, u64) {
    let micros = |seconds: f64| (seconds * 1e6) as u64;
    let lost = micros(row.stalled_seconds + row.missing_seconds);
    (
        row.last_error.is_some(),
        row.startup_seconds.is_none(),
        lost,
        micros(row.startup_seconds.unwrap_or(0.0)),
    )
}

/// A number that has nothing to do with the order of `viewer` (splitmix64).
const fn scattered(viewer: u32) -> u64 {
    let mixed = (viewer as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn add_times(recording: &mut Recording, rows: &[ViewerRow]) {
    let mut times = BTreeMap::new();
    for (name, seconds_of) in TIMES {
        let mut distribution = Distribution::new();
        rows.iter().filter_map(seconds_of).for_each(|seconds| distribution.add_ns((seconds * 1e9) as u64));
        if !distribution.is_empty() {
            times.insert(name.to_owned(), distribution);
        }
    }
    Merge::merge(&mut recording.histograms, &times);
}

impl OtherViewers {
    fn add(&mut self, row: &ViewerRow) {
        self.merge(&Self {
            viewers: 1,
            starts: row.starts.into(),
            media_seconds: row.media_seconds,
            stalls: row.stalls,
            stalled_seconds: row.stalled_seconds,
            longest_stall_seconds: row.longest_stall_seconds,
            missing_seconds: row.missing_seconds,
            requests: row.requests,
            bytes: row.bytes,
            http_status: row.http_status.clone(),
            received: row.received,
            head_bytes: row.head_bytes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::merge::merge;
    use crate::report::read::read;
    use crate::report::tests::report;
    use crate::snapshot::PerKind;

    const SHARDS: u32 = 20;
    const VIEWERS: u32 = 5_000;

    /// A viewer with figures that follow from its number. One in a thousand has failed.
    fn row(viewer: u32) -> ViewerRow {
        let mut requests = PerKind::default();
        requests[crate::exchange::Kind::Segment] = u64::from(viewer % 7);
        ViewerRow {
            viewer,
            starts: 1,
            requests,
            http_status: [(200, u64::from(viewer % 7))].into(),
            media_seconds: 60.0,
            startup_seconds: Some(f64::from(viewer % 100) / 100.0),
            stalled_seconds: f64::from(viewer % 50) / 10.0,
            last_error: viewer.is_multiple_of(1000).then(|| "Connection refused".to_owned()),
            ..ViewerRow::default()
        }
    }

    fn shard(place: u32) -> Report {
        let mut report = report(100);
        report.run.began_unix += u64::from(place);
        report.snapshot.viewers = (1..=VIEWERS).map(row).collect();
        report.snapshot.other_viewers = None;
        report.bounded()
    }

    fn viewers(report: &Report) -> u64 {
        let others = report.snapshot.other_viewers.as_ref();
        report.snapshot.viewers.len() as u64 + others.map_or(0, |others| others.viewers)
    }

    fn segments(report: &Report) -> u64 {
        let of = |requests: &PerKind<u64>| requests[crate::exchange::Kind::Segment];
        let rows = report.snapshot.viewers.iter().map(|row| of(&row.requests)).sum::<u64>();
        rows + report.snapshot.other_viewers.as_ref().map_or(0, |others| of(&others.requests))
    }

    #[test]
    fn the_worst_viewers_and_a_sample_have_rows_and_nothing_is_lost() {
        let report = shard(0);
        let rows = &report.snapshot.viewers;
        assert_eq!((rows.len(), viewers(&report)), (WORST + SAMPLE, VIEWERS.into()));
        assert!(rows.is_sorted_by_key(|row| row.viewer));
        assert_eq!(rows.iter().filter(|row| row.last_error.is_some()).count(), 5, "all that failed");
        let worst = rows.iter().filter(|row| row.stalled_seconds > 4.45).count();
        assert!(worst >= WORST - 10, "one in ten viewers stalled for so long: {worst}");
        let whole: u64 = (1..=VIEWERS).map(|viewer| u64::from(viewer % 7)).sum();
        assert_eq!(segments(&report), whole);
        let others = report.snapshot.other_viewers.as_ref().unwrap().viewers;
        for (name, _) in TIMES {
            assert_eq!(report.recording.histograms[name].count(), others, "{name}");
        }
        let few = Report {
            snapshot: crate::snapshot::Snapshot { viewers: vec![row(1)], ..report.snapshot.clone() },
            ..report
        };
        assert_eq!(few.clone().bounded(), few, "a small run keeps every row");
    }

    #[test]
    fn a_hundred_thousand_viewers_fit_into_a_report_of_bounded_size() {
        let shards: Vec<(String, String)> =
            (0..SHARDS).map(|place| (place.to_string(), shard(place).to_json().unwrap())).collect();
        let one = shards[0].1.len();
        let parts: Vec<_> =
            shards.iter().map(|(name, text)| (name.clone(), read(name, text).unwrap())).collect();
        let merged = merge(&parts).unwrap();
        assert_eq!((viewers(&merged), merged.snapshot.viewers.len()), (100_000, WORST + SAMPLE));
        assert_eq!(segments(&merged), u64::from(SHARDS) * segments(&parts[0].1));
        let all = merged.to_json().unwrap().len();
        assert!(all < one * 2 && all < 4 << 20, "{one} and {all} bytes");
    }

    /// Rows are added up while the reports of many shards are still being merged.
    #[test]
    fn the_same_rows_remain_if_some_were_added_up_before() {
        let shards = 15;
        let parts: Vec<_> = (0..shards)
            .map(|place| {
                let mut report = report(100 + u64::from(place));
                // Each viewer has lost another time.
                let own = (0..1000).map(|viewer| viewer * shards + place + 1);
                report.snapshot.viewers = own
                    .map(|viewer| ViewerRow { stalled_seconds: f64::from(viewer), ..row(viewer) })
                    .collect();
                report.snapshot.other_viewers = None;
                (place.to_string(), report)
            })
            .collect();
        let merged = merge(&parts).unwrap();
        let mut whole = report(100);
        whole.snapshot.viewers =
            parts.iter().flat_map(|(_, report)| report.snapshot.viewers.iter().cloned()).collect();
        whole.snapshot.other_viewers = None;
        let whole = whole.bounded();
        assert_eq!(merged.snapshot.viewers, whole.snapshot.viewers);
        assert_eq!(viewers(&merged), viewers(&whole));
        assert_eq!(segments(&merged), segments(&whole));
    }
}
