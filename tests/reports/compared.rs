//! `report compare`: what is better, worse, or noise, and what `--fail-if` makes of it.

use hls_swarm::output::comparison::{Compared, Format as ComparedFormat};
use hls_swarm_model::comparison::condition::Condition;
use hls_swarm_model::comparison::{Comparison, Judgement, Row, compare};
use hls_swarm_model::report::{Format, Report};

use super::{Sample, hls_swarm, play, text};

/// A run of 8 viewers with 1600 segments whose first bytes take about `median_ms`, log-normally distributed, and of
/// which the share `failing` fails.
fn simulated(seed: u64, median_ms: f64, failing: f64) -> Report {
    let mut random = fastrand::Rng::with_seed(seed);
    let samples: Vec<Sample> = (0..20_u64)
        .flat_map(|second| (0..80_u32).map(move |request| (second, request % 8 + 1)))
        .map(|(second, viewer)| {
            // The sum of twelve uniform numbers is nearly normal, with a standard deviation of 1.
            let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let ttfb = median_ms * 1000.0 * (0.4 * normal).exp();
            (viewer, second, true, ttfb as u64, 20_000, random.f64() >= failing, 1000)
        })
        .collect();
    play(&samples, |_| true)
}

fn find<'a>(comparison: &'a Comparison, name: &str) -> &'a Row {
    comparison.rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"))
}

fn condition(text: &str) -> Condition {
    text.parse().unwrap()
}

#[test]
fn runs_that_differ_by_chance_alone_are_the_same() {
    let runs: Vec<Report> = (0..12).map(|seed| simulated(seed, 50.0, 0.02)).collect();
    let mut judged = 0;
    for (place, before) in runs.iter().enumerate() {
        for after in &runs[place + 1..] {
            let comparison = compare(before, after);
            for row in &comparison.rows {
                let changed = matches!(row.judgement, Judgement::Worse | Judgement::Better);
                assert!(!changed, "{row:?}");
                judged += usize::from(row.judgement == Judgement::Same);
            }
        }
    }
    assert!(judged > 1000, "{judged}");
}

#[test]
fn a_change_that_noise_does_not_explain_is_found_in_both_directions() {
    let (fast, slow) = (simulated(1, 50.0, 0.02), simulated(2, 90.0, 0.10));
    let (worse, better) = (compare(&fast, &slow), compare(&slow, &fast));
    for name in ["segment_ttfb:p50", "segment_ttfb:p95", "segment_ttfb:p99", "error_rate"] {
        assert_eq!(find(&worse, name).judgement, Judgement::Worse, "{:?}", find(&worse, name));
        assert_eq!(find(&better, name).judgement, Judgement::Better, "{:?}", find(&better, name));
    }
    assert_eq!(find(&worse, "segment_download:p95").judgement, Judgement::Same);
    // 4 % more is more than chance explains with that number of samples, and too little to matter.
    let close = compare(&fast, &simulated(3, 52.0, 0.02));
    assert_eq!(find(&close, "segment_ttfb:p50").judgement, Judgement::Same);
}

#[test]
fn a_condition_holds_only_for_a_change_that_noise_does_not_explain() {
    let (fast, slow) = (simulated(1, 50.0, 0.02), simulated(2, 70.0, 0.02));
    let code = |before: &Report, after: &Report, conditions: &[&str]| {
        let conditions: Vec<Condition> = conditions.iter().map(|text| condition(text)).collect();
        let compared = Compared::new(("a.json", before), ("b.json", after), &conditions);
        (compared.exit().code(), compared.text())
    };
    let (exit, shown) = code(&fast, &slow, &["segment_ttfb:p95>+20%", "throughput<-5%"]);
    assert_eq!(exit, 4, "{shown}");
    assert!(shown.contains("✗ segment_ttfb:p95>+20%") && shown.contains("✓ throughput<-5%"), "{shown}");
    assert!(shown.ends_with("FAIL (exit code 4)\n"), "{shown}");
    let (exit, shown) = code(&fast, &slow, &["segment_ttfb:p95>+100%"]);
    assert_eq!(exit, 0, "{shown}");
    let (exit, shown) = code(&slow, &fast, &["segment_ttfb:p95>+20%"]);
    assert_eq!(exit, 0, "{shown}");
    let (exit, shown) = code(&fast, &slow, &[]);
    assert!(exit == 0 && !shown.contains("exit code"), "{shown}");
    // The largest of few samples differs by chance.
    let few = |seed| {
        let mut report = simulated(seed, 50.0, 0.0);
        report.snapshot.peak_clients = 8;
        report
    };
    let (a, b) = (few(5), few(6));
    let noisy = code(&a, &b, &["segment_ttfb:p99>+0.1%", "segment_ttfb:p99<-0.1%"]);
    assert!(noisy.0 == 0 && noisy.1.contains("which noise explains"), "{}", noisy.1);
}

#[test]
fn what_was_not_measured_or_proves_nothing_is_not_judged() {
    let fast = simulated(1, 50.0, 0.02);
    let mut invalid = simulated(2, 90.0, 0.02);
    invalid.verdict.invalid_because = vec!["viewers waited".into()];
    let conditions = [condition("segment_ttfb:p95>+20%")];
    let compared = Compared::new(("a", &fast), ("b", &invalid), &conditions);
    assert_eq!(compared.exit().code(), 5);
    let shown = compared.text();
    assert!(shown.contains("B proves nothing, so no figure is judged: viewers waited"), "{shown}");
    assert!(
        shown.contains("No figure could be judged.") && shown.ends_with("INVALID (exit code 5)\n"),
        "{shown}"
    );
    // Nothing has looked a name up.
    let compared = Compared::new(("a", &fast), ("b", &fast), &[condition("dns:p95>+20%")]);
    assert_eq!(compared.exit().code(), 5, "{}", compared.text());
}

#[test]
fn unlike_runs_are_said_to_be() {
    let before = simulated(1, 50.0, 0.02);
    let mut after = before.clone();
    after.snapshot.target_clients = 80;
    after.snapshot.elapsed_seconds *= 2.0;
    let notes = compare(&before, &after).notes.join("\n");
    assert!(notes.contains("planned viewers: 8 and 80") && notes.contains("their length"), "{notes}");
}

#[test]
fn the_command_fails_a_job_and_writes_the_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, report) in [("a.json", simulated(1, 50.0, 0.02)), ("b.json", simulated(2, 90.0, 0.02))] {
        std::fs::write(folder.path().join(name), text(Format::Json, &report)).unwrap();
    }
    let run = |line: &str| hls_swarm(folder.path(), &line.split(' ').collect::<Vec<_>>());
    let line = "report compare a.json b.json --fail-if segment_ttfb:p95>+20% -o c.html -o c.md -o c.txt";
    let (code, shown, said) = run(line);
    assert_eq!(code, Some(4), "{said}");
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(file("c.txt"), shown);
    assert!(file("c.md").contains("| ❌ failed | segment\\_ttfb:p95>+20% |"), "{}", file("c.md"));
    let page = file("c.html");
    assert!(page.contains("verdict fail") && page.contains("✗ failed") && page.contains("<svg"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "its own");
    let (code, ..) = run("report compare b.json a.json --fail-if segment_ttfb:p95>+20%");
    assert_eq!(code, Some(0));
    for (line, why) in [
        ("report compare a.json b.json --fail-if segment_ttbf:p95>+20%", "did you mean segment_ttfb?"),
        ("report compare a.json b.json --fail-if segment_ttfb:p95>20%", "write segment_ttfb:p95>+20%"),
        ("report compare a.json b.json --fail-if nonsense", "for --fail-if"),
        ("report compare a.json b.json -o c.pdf", "use one of the extensions .html, .md or .txt"),
        ("report compare a.json missing.json", "missing.json: cannot be read"),
    ] {
        let (code, _, said) = run(line);
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
    }
}

#[test]
fn text_in_a_comparison_is_escaped() {
    let evil = "</p><script>alert(1)</script>'\"&\u{7}|\n<!-- ]]>";
    let mut report = simulated(1, 50.0, 0.02);
    report.run.url = evil.into();
    report.verdict.invalid_because = vec![evil.into()];
    let compared = Compared::new((evil, &report), (evil, &report), &[]);
    for format in [ComparedFormat::Html, ComparedFormat::Markdown] {
        let text = format.render(&compared);
        let scripts = if format == ComparedFormat::Html { 1 } else { 0 };
        assert_eq!(text.matches("<script").count(), scripts, "its own: {text}");
        assert!(
            !text.contains("alert(1)</script>") && !text.contains("<!-- ]") && !text.contains('\u{7}'),
            "{text}"
        );
    }
}
