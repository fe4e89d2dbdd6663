//! The page as a whole: its policy, its size, and what must not be in it.

use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Exchange, Kind};
use hls_swarm_model::run::Setup;
use hls_swarm_model::verdict::criteria::judge;
use hls_swarm_test_support::recorded::{self, SECOND, exchange, report, report_in_parts, stats_of};

use super::*;

/// The text between two others.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

#[test]
fn the_policy_allows_what_is_in_the_page_and_nothing_else() {
    let page = render(&report());
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let hash_of = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
    let (style, script) = (between(&page, "<style>", "</style>"), between(&page, "<script>", "</script>"));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            hash_of(style),
            hash_of(script)
        )
    );
    assert_eq!((page.matches("<script").count(), page.matches("<style").count()), (1, 1));
    // None of these would work with the policy.
    let markup = page.replace(script, "").replace(style, "");
    for forbidden in [" style=", " onclick=", " onload=", "<link", "<img", "<iframe", "@import", "url("] {
        assert!(!markup.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn what_others_wrote_stays_text() {
    let mut report = report();
    let hostile = "<script>alert(1)</script>\"'>";
    report.run.url = hostile.into();
    report.run.setup = Some(Setup {
        title: Some(hostile.into()),
        notes: Some(hostile.into()),
        command_line: hostile.into(),
        ..Setup::default()
    });
    for group in &mut report.recording.timeline.failures {
        (group.what, group.first_name) = (hostile.into(), hostile.into());
    }
    for mark in &mut report.recording.timeline.marks {
        mark.text = hostile.into();
    }
    let page = render(&report);
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn each_drawing_has_a_value_for_each_window() {
    for report in [report(), report_in_parts()] {
        let windows = report.recording.timeline.windows.len();
        let page = render(&report);
        let figures: Vec<&str> = page.split("<figure class=\"drawing\"").skip(1).collect();
        assert!(figures.len() >= 3, "{}", figures.len());
        for figure in figures {
            let values = between(figure, "data-values=\"", "\"");
            assert_eq!(values.split('\n').count(), windows, "{}", between(figure, "id=\"", "\""));
            for path in figure.split(" d=\"").skip(1) {
                let path = path.split('"').next().unwrap();
                assert!(!path.contains("NaN") && !path.contains("inf"), "{path}");
            }
        }
    }
}

/// Ten thousand viewers, six minutes, failures and slow segments of all kinds.
fn large() -> Report {
    let thresholds = vec!["segment_total:p95<500ms".parse().unwrap()];
    let mut stats = stats_of(Source::Native, 10_000).with_timeline(2.0, &thresholds);
    for viewer in 1..=10_000 {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    let mut random: u32 = 1;
    for second in (2..=360_u64).step_by(2) {
        for _ in 0..100 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let viewer = (random >> 8) % 10_000 + 1;
            let status = match (random >> 4) % 9 {
                0 => 503,
                1 => 404,
                _ => 200,
            };
            let one = Exchange {
                status: Some(status),
                download_ns: Some(u64::from(random % 4_000) * 1_000_000 + 100_000),
                url_hash: second,
                ..exchange(viewer, Kind::Segment, second)
            };
            stats.apply(Event::Exchange(Box::new(one)));
        }
        stats.tick(second * SECOND);
    }
    stats.apply(Event::Closing { at_ns: 361 * SECOND });
    let snapshot = stats.snapshot(361 * SECOND);
    let recording = stats.recording();
    Report {
        verdict: judge(&snapshot, &recording, &thresholds, None),
        snapshot,
        recording,
        run: recorded::run(),
        end_reason: "it reached its planned length".into(),
    }
}

#[test]
fn ten_thousand_viewers_fit_into_a_page_of_less_than_a_megabyte() {
    let report = large();
    assert!(report.recording.timeline.windows.len() > 170 && report.recording.timeline.lanes.len() == 40);
    let page = render(&report);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("40 of 10\u{202f}000"), "the lanes say what they are a part of");
}

#[test]
fn the_live_page_is_the_same_page_without_a_verdict() {
    let report = report();
    let mut snapshot = report.snapshot.clone();
    snapshot.timeline = report.recording.timeline.clone();
    let page = live::page(&report.run, &live::content(&report.run, &[], &snapshot));
    assert!(page.contains("RUNNING") && page.contains("connect-src 'self'"), "{page}");
    let drawings = |page: &str| between(page, "<section class=\"drawings\"", "</section>").to_owned();
    assert_eq!(drawings(&page), drawings(&render(&report)));
    assert!(page.contains("Criteria so far") && !page.contains("It fails with"));
    let over = live::conclusion(&report);
    assert!(over.contains("<strong>FAIL</strong>") && over.contains("It fails with "), "{over}");
    assert_eq!(drawings(&over), drawings(&page));
    assert!(!over.contains("<script") && !over.contains("RUNNING"));
}
