//! `hls-swarm demo`, with all programs and with none.

use hls_swarm_test_support::swarm::{Outcome, Swarm};

/// A short demo whose PATH is `path`. `--metrics` and `--report` are those of the demo.
fn demo(path: &str, flags: &[&str]) -> Outcome {
    let arguments: [&[&str]; 3] = [
        &["demo", "--clients", "3", "--duration", "6s", "--metrics", "127.0.0.1:0"],
        &["--report", "demo.html", "--report", "report.json"],
        flags,
    ];
    Swarm::new(&arguments.concat()).env("PATH", path).run()
}

fn said(outcome: &Outcome) -> String {
    format!("{}\n{}", outcome.stdout, outcome.stderr)
}

#[test]
fn a_demo_needs_no_other_program() {
    let outcome = demo("/nowhere", &[]);
    let said = said(&outcome);
    outcome.assert_judged(0, "pass");
    assert!(said.contains("starting the embedded test origin, because ffmpeg"), "{said}");
    assert!(said.contains("viewers: native ones, because FFmpeg is not installed"), "{said}");
    assert!(said.contains("report: demo.html") && said.contains("/demo.html in a browser"), "{said}");
    // The demo's own, not that of the summary.
    assert_eq!(said.matches("next: ").count(), 1, "{said}");
    assert!(said.contains("next: test your own stream"), "{said}");
}

#[test]
fn a_demo_plays_its_own_stream_only() {
    let outcome = demo("/nowhere", &["http://127.0.0.1:1/stream.m3u8"]);
    assert_eq!(outcome.code(), 2);
    assert!(outcome.stderr.contains("hls-swarm URL"), "{}", outcome.stderr);
}

#[test]
fn a_demo_with_all_programs_uses_them() {
    let path = std::env::var("PATH").unwrap();
    let outcome = demo(&path, &[]);
    let said = said(&outcome);
    outcome.assert_judged(0, "pass");
    assert!(said.contains("hls-origin, with FFmpeg and nginx"), "{said}");
    assert!(said.contains("measured by the socket probe"), "{said}");
}

#[test]
fn a_demo_whose_origin_does_not_start_falls_back_to_the_embedded_one() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/false", folder.path().join("nginx")).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let outcome = demo(&path, &[]);
    let said = said(&outcome);
    outcome.assert_judged(0, "pass");
    assert!(said.contains("the origin did not start: "), "{said}");
    assert!(said.contains("starting the embedded test origin, because the one with FFmpeg"), "{said}");
}
