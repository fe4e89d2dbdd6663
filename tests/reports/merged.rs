//! The contents of merged reports, and reports that cannot be merged.

use serde_json::Value;

use hls_swarm::output::{prometheus, summary};
use hls_swarm_model::report::merge::merge;
use hls_swarm_model::report::{Format, Report};
use hls_swarm_model::snapshot::{Edge, OTHER_ADDRESSES};
use hls_swarm_model::timeline::Window;
use hls_swarm_model::verdict::{Criterion, VerdictKind};

use super::recorded::{report, run};
use super::{named, read, shard, text};

#[test]
fn a_merged_run_is_no_better_than_its_worst_part() {
    let verdict = |word, exit_code| {
        move |report: &mut Report| {
            (report.verdict.kind, report.verdict.exit_code) = (word, exit_code);
        }
    };
    let invalid = |report: &mut Report| {
        verdict(VerdictKind::Invalid, 5)(report);
        report.verdict.invalid_because = vec!["too late".into()];
    };
    // The recorded run itself fails by its error rate, which is that of the server.
    let merged = |one: Report, other: Report| merge(&named(vec![one, other])).unwrap().verdict;
    let fail = merged(shard(0, |_| {}), shard(1, |_| {}));
    assert_eq!((fail.kind, fail.exit_code), (VerdictKind::Fail, 4));
    let aborted = merged(shard(0, verdict(VerdictKind::Aborted, 130)), shard(1, |_| {}));
    assert_eq!((aborted.kind, aborted.exit_code), (VerdictKind::Aborted, 130));
    let proves_nothing = merged(shard(0, verdict(VerdictKind::Aborted, 130)), shard(1, invalid));
    assert_eq!((proves_nothing.kind, proves_nothing.exit_code), (VerdictKind::Fail, 4));
    assert_eq!(proves_nothing.invalid_because, ["2.json: too late"]);
    let late = |report: &mut Report| {
        invalid(report);
        report.snapshot.errors.http = 0;
        report.verdict.criteria.iter_mut().for_each(|criterion| criterion.certain = false);
    };
    let unknown = merged(shard(0, late), shard(1, late));
    assert_eq!((unknown.kind, unknown.exit_code), (VerdictKind::Invalid, 5));
    let never = merged(shard(0, verdict(VerdictKind::Fail, 6)), shard(1, invalid));
    assert_eq!(never.exit_code, 6);
}

#[test]
fn the_runs_that_did_not_pass_are_named() {
    let pass = |report: &mut Report| (report.verdict.kind, report.verdict.exit_code) = (VerdictKind::Pass, 0);
    let limit = |one: Report, other: Report| {
        let parts = vec![("shard 0".to_owned(), one), ("shard 2".to_owned(), other)];
        let merged = merge(&parts).unwrap().verdict;
        let criterion =
            merged.criteria.into_iter().find(|criterion| criterion.name == "merged_runs").unwrap();
        (criterion.limit, criterion.met)
    };
    assert_eq!(
        limit(shard(0, pass), shard(1, |_| {})),
        ("each of the merged runs passes (these do not: shard 2)".to_owned(), false)
    );
    assert_eq!(limit(shard(0, pass), shard(1, pass)), ("each of the merged runs passes".to_owned(), true));
}

#[test]
fn percentiles_of_edges_are_those_of_the_merged_distributions() {
    let whole = merge(&named(vec![shard(0, |_| {}), shard(1, |_| {})])).unwrap().snapshot.insight;
    assert_eq!(
        whole.edges[0].ttfb.unwrap().count,
        2 * report().snapshot.insight.edges[0].ttfb.unwrap().count
    );
    assert_eq!(whole.ages[0].seconds.count, 2 * report().snapshot.insight.ages[0].seconds.count);
    let early = shard(1, |report| {
        report.recording.histograms.retain(|name, _| !name.starts_with("edge.") && !name.starts_with("age."));
    });
    // Percentiles of half of the requests would be misleading.
    let refused = merge(&named(vec![shard(0, |_| {}), early])).unwrap_err();
    assert_eq!(refused.to_string(), "2.json: holds no histogram of edge.192.0.2.7.ttfb");
}

#[test]
fn edges_that_do_not_fit_the_table_are_counted() {
    let many = shard(0, |report| {
        let edge = report.snapshot.insight.edges[0].clone();
        let of = |address: String, requests| Edge { address, requests, ..edge.clone() };
        let mut edges: Vec<Edge> = (0..64).map(|k| of(format!("192.0.2.{k}"), 100 - k)).collect();
        edges.push(of(OTHER_ADDRESSES.to_owned(), 345));
        report.snapshot.insight.edges = edges;
    });
    let others = "345 requests to other addresses, which have no rows of their own";
    for format in [Format::Html, Format::Markdown] {
        let text = text(format, &many);
        assert!(text.contains("more edges with") && text.contains(others), "{text}");
    }
    let summary = summary::render(&many, false).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(summary.contains(others) && summary.contains(" more edges with "), "{summary}");
    let scraped = prometheus::render(&many.snapshot, &many.run);
    assert!(scraped.contains("hls_swarm_edge_requests_total{edge=\"other addresses\"} 345"), "{scraped}");
}

#[test]
fn thresholds_apply_to_the_merged_run() {
    let strict = |report: &mut Report| {
        let limit = "segment_ttfb:max<1ms".to_owned();
        report.verdict.criteria.push(Criterion {
            name: "segment_ttfb".into(),
            limit,
            value: None,
            met: true,
            certain: false,
        });
    };
    let merged = merge(&named(vec![shard(0, strict), shard(1, |_| {})])).unwrap();
    let judged = merged.verdict.criteria.iter().find(|criterion| criterion.name == "segment_ttfb").unwrap();
    assert_eq!((judged.value, judged.met), (Some(0.012), false));
}

#[test]
fn timelines_are_aligned_by_the_wall_clock() {
    let merged = merge(&named(vec![shard(4, |_| {}), shard(0, |_| {})])).unwrap();
    let windows = &merged.recording.timeline.windows;
    let alone = &report().recording.timeline.windows;
    let figures = |window: &Window| (window.second, window.segments, window.viewers.wanted);
    assert_eq!(figures(&windows[0]), figures(&alone[0]));
    let wanted = alone[2].viewers.wanted + alone[0].viewers.wanted;
    assert_eq!(figures(&windows[2]), (4, alone[2].segments + alone[0].segments, wanted));
    assert_eq!(windows.len(), alone.len() + 2);
    let merged = merge(&named(vec![shard(3, |_| {}), shard(0, |_| {})])).unwrap();
    assert_eq!(merged.snapshot.elapsed_seconds, 15.0);
    assert_eq!((merged.run.began_unix, merged.run.seed), (run().began_unix, None));
    // Runs one after the other never have viewers at the same time.
    let later = merge(&named(vec![shard(0, |_| {}), shard(60, |_| {})])).unwrap();
    assert_eq!((merged.snapshot.peak_clients, later.snapshot.peak_clients), (4, 2));
}

#[test]
fn reports_that_cannot_be_merged_are_named() {
    let refused = |reports: Vec<Report>| merge(&named(reports)).unwrap_err().to_string();
    assert_eq!(refused(vec![report()]), "one report alone cannot be merged");
    assert_eq!(refused(vec![report(), report()]), "2.json: is the same run as 1.json");
    let old = shard(1, |report| report.recording.histograms.clear());
    assert!(refused(vec![report(), old]).starts_with("2.json: holds no histogram of "));
    let mut forged: Value = serde_json::from_str(&text(Format::Json, &report())).unwrap();
    forged["histograms"]["connect"] = "SElTVA==".into();
    let failure = read("2.json", &forged.to_string()).unwrap_err();
    assert!(failure.chain().contains("a histogram that cannot be read"), "{}", failure.chain());
}
