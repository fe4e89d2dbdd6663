//! Reports after the run: they can be read again, shards add up, and text is escaped in markup.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use hls_swarm::output::formats;
use hls_swarm::reference;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Cache, Exchange, Kind, Source};
use hls_swarm_model::report::merge::merge;
use hls_swarm_model::report::read::read;
use hls_swarm_model::report::{Format, Report};
use hls_swarm_model::snapshot::{PlaybackSource, Sources, StageRow};
use hls_swarm_model::stats::{Expectation, StagePlan, Stats};
use hls_swarm_model::timeline::Window;
use hls_swarm_model::verdict::VerdictKind;
use hls_swarm_model::verdict::criteria::judge;
use hls_swarm_model::verdict::threshold::Threshold;
use hls_swarm_test_support::recorded;

mod compared;
mod merged;
mod mutated;

use hls_swarm_test_support::recorded::{SECOND, exchange, report, report_in_parts, run};

fn text(format: Format, report: &Report) -> String {
    formats::render(format, report).unwrap()
}

fn named(reports: Vec<Report>) -> Vec<(String, Report)> {
    (1..).zip(reports).map(|(number, report)| (format!("{number}.json"), report)).collect()
}

#[test]
fn reading_loses_nothing() {
    for report in [report(), report_in_parts()] {
        let written = text(Format::Json, &report);
        let again = read("a.json", &written).unwrap();
        for (_, format) in Format::ENDINGS {
            assert_eq!(text(format, &again), text(format, &report));
        }
    }
}

/// The names in code spans of a page.
fn spans(page: &str) -> BTreeSet<&str> {
    // Code blocks are not prose.
    let prose = page.split("\n```").step_by(2);
    let spans = prose.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.flat_map(|span| span.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).collect()
}

/// All fields below `value`, each with the place of its first occurrence.
fn fields(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            // Status codes and names of distributions are not fields.
            for (name, below) in
                map.iter().filter(|_| !path.ends_with("http_status") && path != ".histograms")
            {
                found.entry(name.clone()).or_insert_with(|| format!("{path}.{name}"));
                fields(below, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(list) => list.iter().for_each(|below| fields(below, path, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_in_the_documentation() {
    // The metric catalogue documents counters.
    let pages = reference::pages();
    let (_, thresholds) = pages.iter().find(|(name, _)| *name == "thresholds.md").unwrap();
    let documented: BTreeSet<&str> =
        [include_str!("../../docs/report.md"), thresholds.as_str()].into_iter().flat_map(spans).collect();
    let mut found = BTreeMap::new();
    for report in [report(), report_in_parts()] {
        let written: Value = serde_json::from_str(&text(Format::Json, &report)).unwrap();
        fields(&written, "", &mut found);
    }
    assert!(found.len() > 150, "{}", found.len());
    let missing: Vec<&String> =
        found.iter().filter(|(name, _)| !documented.contains(name.as_str())).map(|(_, path)| path).collect();
    assert!(missing.is_empty(), "not in docs/report.md: {missing:?}");
}

#[test]
fn files_that_are_not_reports_are_named() {
    let schema_9 = text(Format::Json, &report()).replace("\"schema\": 1", "\"schema\": 9");
    for (content, why) in [
        (schema_9.as_str(), "a.json: has schema 9, and this program reads 1"),
        ("{}", "a.json: not a JSON report of hls-swarm: missing field `schema`"),
        ("<html>", "a.json: not a JSON report of hls-swarm: expected value"),
        ("{\"schema\": 1}", "a.json: not a JSON report of hls-swarm: missing field"),
    ] {
        let failure = read("a.json", content).unwrap_err();
        assert!(failure.chain().starts_with(why), "{}", failure.chain());
        assert_eq!(failure.exit().code(), 2);
    }
}

/// One exchange of a generated load: viewer, second, kind, first byte and download in microseconds,
/// status, body bytes.
type Sample = (u32, u64, bool, u64, u64, bool, u64);

/// A run over the samples that belong to the viewers `mine`.
fn play(samples: &[Sample], mine: impl Fn(u32) -> bool) -> Report {
    let viewers: Vec<u32> = (1..=8).filter(|viewer| mine(*viewer)).collect();
    let all = u32::try_from(viewers.len()).unwrap();
    let stage = |seconds, from, clients| StagePlan { name: None, seconds, from, clients };
    let streams = [("http://a/".to_owned(), 3), ("http://b/".to_owned(), 1)].to_vec();
    let threshold: Threshold = "segment_ttfb:p95<10s".parse().unwrap();
    let sources =
        Sources { requests: Source::Probe, bytes: Source::Probe, playback: PlaybackSource::Arrivals };
    let mut stats = Stats::new(Expectation {
        began_ns: 0,
        planned_seconds: Some(20.0),
        target_clients: viewers.len() as u32,
        start_up_seconds: 5.0,
        timeout_ns: 15 * SECOND,
        sources,
    })
    .with_stages(
        vec![stage(8.0, 0, all), stage(12.0, all, all)],
        WeightedSet::weighted(streams).unwrap(),
        vec![threshold.clone()],
    );
    stats.apply(Event::Stage { stage: 0, at_ns: 0 });
    for viewer in &viewers {
        stats.apply(Event::Arrived { viewer: *viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer: *viewer, generation: 1, at_ns: 0 });
    }
    for second in 0..20 {
        if second == 8 {
            stats.apply(Event::Stage { stage: 1, at_ns: second * SECOND });
        }
        for (viewer, _, segment, ttfb, download, fine, bytes) in
            samples.iter().filter(|sample| sample.1 == second && mine(sample.0)).copied()
        {
            let kind = if segment { Kind::Segment } else { Kind::Playlist };
            stats.apply(Event::Exchange(Box::new(Exchange {
                first_byte_ns: Some(ttfb * 1000),
                download_ns: Some(download * 1000),
                status: Some(if fine { 200 } else { 503 }),
                body_bytes: bytes,
                received_bytes: Some(bytes + 300),
                // Edge, age, and address: values that differ within a shard and between shards.
                peer: Some(([192, 0, 2, u8::try_from(bytes % 3).unwrap()].into(), 80)),
                age_s: (bytes % 2 == 0).then_some((ttfb % 100) as u32),
                cache: [Some(Cache::Hit), Some(Cache::Miss), Some(Cache::Other), None][(bytes % 4) as usize],
                // These figures compare viewers with each other, which shards cannot do.
                playlist: None,
                ..exchange(viewer, kind, second)
            })));
        }
        stats.apply(Event::Lag { nanos: 1_000_000 });
        stats.apply(Event::Machine { cpu_percent: 30.0, own_cpu_percent: 2.0 });
        stats.tick((second + 1) * SECOND);
    }
    stats.apply(Event::Closing { at_ns: 20 * SECOND });
    let snapshot = stats.snapshot(20 * SECOND);
    let verdict = judge(&snapshot, &stats.recording(), &[threshold], None);
    let end_reason = "it reached its planned length".to_owned();
    Report { run: run(), verdict, snapshot, recording: stats.recording(), end_reason }
}

fn sample() -> impl Strategy<Value = Sample> {
    let (ttfb, download) = (50_u64..3_000_000, 50_u64..9_000_000);
    (1_u32..9, 0_u64..20, any::<bool>(), ttfb, download, prop::bool::weighted(0.97), 0_u64..2_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn four_shards_equal_one_run(samples in prop::collection::vec(sample(), 1..250)) {
        let whole = play(&samples, |_| true);
        // Through files, as users do.
        let shards = (0..4).map(|shard| {
            let report = play(&samples, |viewer| viewer % 4 == shard);
            read("shard.json", &text(Format::Json, &report)).unwrap()
        });
        let parts = named(shards.collect());
        let merged = merge(&parts).unwrap();
        let (got, want) = (&merged.snapshot, &whole.snapshot);
        prop_assert_eq!(got.requests, want.requests);
        prop_assert_eq!(got.bytes, want.bytes);
        prop_assert_eq!(got.received_bytes, want.received_bytes);
        prop_assert_eq!(&got.http_status, &want.http_status);
        prop_assert_eq!(got.errors, want.errors);
        prop_assert_eq!(got.lifetimes, want.lifetimes);
        prop_assert_eq!(got.peak_clients, want.peak_clients);
        prop_assert_eq!(got.elapsed_seconds, want.elapsed_seconds);
        prop_assert_eq!(got.viewers.len(), want.viewers.len());
        let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-9;
        prop_assert!(close(got.active_ratio, want.active_ratio));
        // Histograms have the same cells everywhere, so percentiles are equal, not only close.
        prop_assert_eq!(got.latency, want.latency);
        prop_assert_eq!(&got.insight, &want.insight);
        prop_assert_eq!(got.streams.len(), 2);
        prop_assert_eq!(&got.streams, &want.streams);
        prop_assert_eq!(got.stages.len(), 2);
        for (got, want) in got.stages.iter().zip(&want.stages) {
            let same = |row: &StageRow| StageRow { active_ratio: None, met: None, failed_criteria: Vec::new(), ..row.clone() };
            prop_assert_eq!(same(got), same(want));
            prop_assert!(got.active_ratio.is_some() == want.active_ratio.is_some());
            prop_assert!(want.active_ratio.is_none() || close(got.active_ratio, want.active_ratio));
            // A level counts as held only if it was by every shard; that is more than the sum shows.
            prop_assert!(got.met != Some(true) || want.met == Some(true));
        }
        let held = |report: &Report| report.snapshot.stages.iter().all(|row| row.met != Some(false));
        prop_assert_eq!(held(&merged), parts.iter().all(|(_, part)| held(part)));
        let (got, want) = (&merged.recording.timeline, &whole.recording.timeline);
        prop_assert_eq!(got.windows.len(), want.windows.len());
        for (got, want) in got.windows.iter().zip(&want.windows) {
            let counts = |window: &Window| (window.second, window.playlists, window.segments, window.bytes);
            prop_assert_eq!(counts(got), counts(want));
            prop_assert_eq!((&got.segment_total, &got.errors), (&want.segment_total, &want.errors));
            prop_assert!(close(Some(got.viewers.wanted), Some(want.viewers.wanted)));
            prop_assert!(close(Some(got.viewers.playing), Some(want.viewers.playing)));
        }
        let judged = |report: &Report| {
            let own = report.verdict.criteria.iter().filter(|criterion| !SHARDS.contains(&criterion.name.as_str()));
            own.map(|criterion| (criterion.name.clone(), criterion.met)).collect::<Vec<_>>()
        };
        prop_assert_eq!(judged(&merged), judged(&whole));
    }
}

/// Criteria that apply to each shard, and may therefore be stricter than for one run.
const SHARDS: [&str; 2] = ["merged_runs", "stages"];

fn shard(second: u64, change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report();
    report.run.began_unix += second;
    report.run.seed = Some(second);
    change(&mut report);
    report
}

fn hls_swarm(folder: &std::path::Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    let output = command.current_dir(folder).args(words).env("STREAM_URL", "http://127.0.0.1:9/a").output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_commands_read_and_write_files() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    for (name, second) in [("a.json", 0), ("b.json", 2)] {
        std::fs::write(in_folder(name), text(Format::Json, &shard(second, |_| {}))).unwrap();
    }
    let run = |line: &str| hls_swarm(folder.path(), &line.split(' ').collect::<Vec<_>>());

    let (code, shown, _) = run("report show a.json");
    assert_eq!(code, Some(0));
    assert!(shown.contains("\nFAIL (exit code 4)\n\nnext: "), "{shown}");
    let (code, shown, _) = run("report compare a.json b.json");
    assert_eq!(code, Some(0));
    assert!(shown.contains("is better or worse in B"), "{shown}");
    // The exit code is that of the merged verdict.
    let (code, shown, _) = run("report merge a.json b.json --report all.json --report all.html");
    assert_eq!(code, Some(4), "{shown}");
    let merged = read("all.json", &std::fs::read_to_string(in_folder("all.json")).unwrap()).unwrap();
    assert_eq!(merged.snapshot.requests.total(), 2 * report().snapshot.requests.total());
    assert!(in_folder("all.html").exists());

    for (line, why) in [
        ("report merge a.json a.json", "a.json: is the same run as a.json"),
        ("report show missing.json", "missing.json: cannot be read"),
        ("report show a.json --report a.pdf", "unknown file extension"),
        ("report show a.json --report nowhere/a.md", "cannot be written"),
        // A command comes before its flags; a URL is never taken for one.
        ("-v report show a.json", "-v before the command \"report\""),
        ("--report run.pdf http://127.0.0.1:9/report", "unknown file extension"),
    ] {
        let (code, _, said) = run(line);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
    }
    let (code, plan, said) = run("-report=a.json -report b.html -dry-run http://127.0.0.1:9/report");
    assert_eq!(code, Some(0), "{said}");
    assert!(plan.contains("reports = [\"a.json\", \"b.html\"]"), "{plan}");
    assert!(plan.contains("url = \"http://127.0.0.1:9/report\""), "{plan}");
}

#[test]
fn text_is_escaped_in_markup() {
    let evil = "</p><script>alert(1)</script>'\"&\u{7}|\n<!-- ]]>";
    let report = shard(0, |report| {
        report.run.url = evil.into();
        report.run.ffmpeg = Some(evil.into());
        report.end_reason = evil.into();
        report.snapshot.exit_reasons = vec![(evil.into(), 1)];
        report.snapshot.connect_failures = vec![(evil.into(), 1)];
        report.verdict.kind = VerdictKind::Invalid;
        report.verdict.invalid_because = vec![evil.into()];
        for criterion in &mut report.verdict.criteria {
            (criterion.name, criterion.limit) = (evil.into(), evil.into());
        }
    });
    for format in [Format::Html, Format::Xml, Format::Markdown] {
        let text = text(format, &report);
        // A page has a script of its own.
        let own = usize::from(format == Format::Html);
        assert!(text.matches("<script").count() == own && !text.contains("<!-- ]"), "{text}");
        assert!(!text.contains('\u{7}'));
    }
}

#[test]
fn an_invalid_run_shows_what_failed_for_certain_and_why_it_is_invalid() {
    let report = shard(0, |report| {
        (report.verdict.kind, report.verdict.exit_code) = (VerdictKind::Fail, 4);
        report.verdict.invalid_because = vec!["viewers waited".into()];
        report.verdict.warnings = vec!["processors were busy".into()];
    });
    let summary = hls_swarm::output::summary::render(&report, false);
    let texts =
        [Format::Html, Format::Xml, Format::Markdown, Format::Json].map(|format| text(format, &report));
    for text in texts.iter().chain([&summary]) {
        // Markdown escapes underscores.
        let plain = text.replace('\\', "");
        for part in ["error_rate", "viewers waited", "processors were busy"] {
            assert!(plain.contains(part), "no {part:?} in {text}");
        }
    }
    assert!(summary.contains("\nFAIL (exit code 4)\n"), "{summary}");
}

#[test]
fn junit_counts_equal_the_test_cases() {
    let invalid = shard(0, |report| {
        report.verdict.kind = VerdictKind::Invalid;
        report.verdict.invalid_because = vec!["3 records of the probe were lost".into()];
    });
    let aborted =
        shard(0, |report| (report.verdict.kind, report.verdict.exit_code) = (VerdictKind::Aborted, 130));
    for (report, errors) in [(report(), 0), (invalid, 1), (aborted, 1)] {
        let text = text(Format::Xml, &report);
        let count = |tag: &str| text.matches(tag).count();
        assert_eq!((count("<testcase "), count("<failure "), count("<error ")), (5, 1, errors), "{text}");
        for (attribute, value) in [("tests", 5), ("failures", 1), ("errors", errors), ("skipped", 0)] {
            assert_eq!(count(&format!(" {attribute}=\"{value}\"")), 2, "{attribute}: {text}");
        }
    }
}

#[test]
fn the_page_has_no_external_resources() {
    let page = text(Format::Html, &report());
    for word in ["<script ", "<link", "<img", "<iframe", "url(", "@import", " src=", " href=", "onload"] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<figure").count(), 10);
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
}

#[test]
fn a_page_of_a_run_without_measurements_is_complete() {
    let sources = Source::Log;
    let stats = recorded::stats(sources);
    let snapshot = stats.snapshot(0);
    let verdict = judge(&snapshot, &(), &[], None);
    let report = Report {
        run: run(),
        verdict,
        snapshot,
        recording: stats.recording(),
        end_reason: "no viewer ever played".into(),
    };
    for (_, format) in Format::ENDINGS {
        let text = text(format, &report);
        assert!(!text.contains("NaN") && !text.contains("inf,"), "{text}");
    }
    assert!(text(Format::Html, &report).trim_end().ends_with("</html>"));
}
