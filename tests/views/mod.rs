//! Snapshots of the outputs: one recorded run as summary, reports, and Prometheus exposition. Metrics that were
//! not measured must be absent.

use hls_swarm::output::{formats, prometheus, summary};
use hls_swarm_model::exchange::Source;
use hls_swarm_model::report::Format;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{PlaybackSource, StageRow};
use hls_swarm_model::verdict::VerdictKind;
use hls_swarm_test_support::recorded;

mod dashboard;

use hls_swarm_test_support::recorded::{SECOND, recorded, report, report_in_parts, run, stats};

fn shown(format: Format) -> String {
    formats::render(format, &report()).unwrap()
}

#[test]
fn the_summary() {
    let summary = summary::render(&report(), false);
    insta::assert_snapshot!(summary);
    let colored = summary::render(&report(), true);
    let plain = colored.replace("\u{1b}[0m", "");
    let plain = ["1", "32", "1;31", "33"]
        .iter()
        .fold(plain, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    assert_eq!(plain, summary, "color changes the text");
    assert!(colored.contains("\u{1b}[1;31mFAIL") && colored.contains("\u{1b}[32m✓"), "{colored}");
}

#[test]
fn the_summary_fits_into_80_columns() {
    for report in [report(), report_in_parts()] {
        for line in summary::render(&report, false).lines() {
            let fits = line.chars().count() <= 80 || line.split(' ').any(|word| word.chars().count() > 69);
            assert!(fits, "{line}");
        }
    }
}

#[test]
fn the_summary_names_the_next_step_and_the_reason_why_playback_is_absent() {
    let mut report = report();
    assert!(summary::render(&report, false).contains("\nnext: look for these failures"));
    report.verdict.kind = VerdictKind::Invalid;
    assert!(summary::render(&report, false).contains("\nnext: this machine was the bottleneck"));
    report.snapshot.sources.playback = PlaybackSource::Downloads;
    let text = summary::render(&report, false);
    assert!(
        text.contains("with --variant all, native viewers") && !text.contains("player does not"),
        "{text}"
    );
}

#[test]
fn the_report() {
    insta::assert_snapshot!(shown(Format::Json));
}

/// The page with one element per line: a browser ignores line breaks, but a reviewer of a diff does not.
fn lines(page: &str) -> String {
    page.replace("><", ">\n<")
}

#[test]
fn the_page() {
    insta::assert_snapshot!(lines(&shown(Format::Html)));
}

#[test]
fn the_capacity_is_shown_first_unless_the_run_is_invalid() {
    let page = |word| {
        let mut report = report();
        report.snapshot.stages = vec![StageRow { clients: 12, met: Some(true), ..StageRow::default() }];
        report.verdict.kind = word;
        formats::render(Format::Html, &report).unwrap()
    };
    for (word, shown_first) in [
        (VerdictKind::Pass, true),
        (VerdictKind::Fail, true),
        (VerdictKind::Invalid, false),
        (VerdictKind::Aborted, false),
    ] {
        assert_eq!(page(word).contains("It holds 12 viewers"), shown_first, "{word:?}");
    }
}

#[test]
fn the_junit_file() {
    insta::assert_snapshot!(shown(Format::Xml));
}

#[test]
fn the_comment() {
    insta::assert_snapshot!(shown(Format::Markdown));
}

#[test]
fn the_series() {
    insta::assert_snapshot!(shown(Format::Csv));
}

/// A run with stages and several streams, in every format that shows them.
#[test]
fn a_run_in_parts() {
    let report = report_in_parts();
    insta::assert_snapshot!("parts_summary", summary::render(&report, false));
    for (name, format) in [("json", Format::Json), ("junit", Format::Xml), ("comment", Format::Markdown)] {
        insta::assert_snapshot!(format!("parts_{name}"), formats::render(format, &report).unwrap());
    }
    insta::assert_snapshot!("parts_page", lines(&formats::render(Format::Html, &report).unwrap()));
    insta::assert_snapshot!("parts_exposition", prometheus::render(&report.snapshot, &report.run));
}

#[test]
fn the_exposition() {
    insta::assert_snapshot!(prometheus::render(&recorded().snapshot(12 * SECOND), &run()));
}

#[test]
fn the_exposition_omits_metrics_that_were_not_measured() {
    let text =
        prometheus::render(&stats(Source::Log).snapshot(SECOND), &Run { per_viewer_metrics: false, ..run() });
    for absent in [
        "hls_swarm_inferred_latency",
        "hls_swarm_request_ttfb",
        "hls_swarm_average_speed",
        "hls_swarm_error_rate",
        "hls_swarm_kernel_received_bytes_total",
        "hls_swarm_kernel_bytes_agreement",
        "hls_swarm_probe_records_lost_total",
        "hls_swarm_client_speed",
        "hls_swarm_uptime",
    ] {
        assert!(!text.contains(absent), "{absent} was not measured:\n{text}");
    }
    assert!(text.contains("hls_swarm_source{requests=\"log\"} 1"));
}
