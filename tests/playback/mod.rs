//! The playback of FFmpeg viewers, compared with a model in Python that knows only what the origin sent. The origin
//! fails on purpose: each viewer plays a stream that fails in its own way. ffmpeg and python3 must be installed:
//! without them these tests fail, they do not skip.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use hls_swarm_test_support::fake_ffmpeg::{FakeFfmpeg, real};
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::program::{Companion, program};
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

/// The streams of the origin.
const SITUATIONS: [&str; 9] =
    ["clean", "late", "missing", "cut", "html", "empty", "outage", "capped", "audio"];
/// Media that the origin has, seconds.
const MEDIA: &str = "80";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playback").join(name)
}

/// Writes segments of 2 s: video with audio, video alone, and audio alone.
fn segments(folder: &Path) {
    let video = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10"];
    let audio = ["-f", "lavfi", "-i", "sine"];
    for (name, inputs) in
        [("seg", [&video[..], &audio].concat()), ("video", video.to_vec()), ("audio", audio.to_vec())]
    {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error"]).args(inputs).args([
            "-t",
            MEDIA,
            "-c:v",
            "mpeg2video",
            "-g",
            "20",
            "-c:a",
            "aac",
        ]);
        ffmpeg.args(["-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename"]);
        let output =
            ffmpeg.arg(folder.join(format!("{name}%d.ts"))).arg(folder.join("list.m3u8")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// The figures of the model for a viewer that began at `start`.
fn model(sent: &Value, start: f64, end: f64) -> Value {
    let input = json!({"start": start, "end": end, "renditions": sent["renditions"]});
    let mut python = program("python3");
    python.arg(script("reference_model.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// When the first process of each stream's viewer was started, by name, in seconds of `CLOCK_BOOTTIME`.
fn starts(fake: &FakeFfmpeg) -> BTreeMap<String, f64> {
    let mut starts = BTreeMap::new();
    for line in fake.notes("starts").lines() {
        let (at, arguments) = line.split_once(' ').unwrap();
        let name = arguments.split("/live.m3u8").next().and_then(|rest| rest.rsplit('/').next()).unwrap();
        starts.entry(name.to_owned()).or_insert_with(|| at.parse().unwrap());
    }
    starts
}

struct Run {
    outcome: Outcome,
    sent: Value,
    starts: BTreeMap<String, f64>,
}

/// One viewer on each stream for `seconds`.
fn run(seconds: u32) -> Run {
    let folder = tempfile::tempdir().unwrap();
    segments(folder.path());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut python = program("python3");
    let origin =
        Companion::start(python.arg(script("failing_origin.py")).arg(port.to_string()).arg(folder.path()));
    let log = || ask(port, "GET", "/log").ok();
    eventually("the origin answers", Duration::from_secs(20), || log().map(drop));
    let fake = FakeFfmpeg::playing(&format!(
        "read up _ </proc/uptime; echo \"$up $*\" >>\"$(dirname \"$0\")/starts\"; exec {} \"$@\"",
        real().display()
    ));
    let streams = SITUATIONS.map(|name| format!("http://127.0.0.1:{port}/{name}/live.m3u8"));
    let streams: Vec<&str> = streams.iter().flat_map(|url| ["--stream", url]).collect();
    let (clients, duration, path) = (SITUATIONS.len().to_string(), format!("{seconds}s"), fake.path());
    let load = ["--clients", &clients, "--ramp-rate", "50", "--ramp-jitter", "0s", "--duration", &duration];
    let more = ["--error-storm", "off", "--ffmpeg", &path];
    let outcome = Swarm::new(&[&load[..], &more, &streams].concat()).run();
    let sent = serde_json::from_slice(&log().unwrap().body).unwrap();
    drop(origin);
    Run { outcome, sent, starts: starts(&fake) }
}

#[test]
fn figures_equal_those_of_a_model_that_knows_only_what_was_sent() {
    let Run { outcome, sent, starts } = run(22);
    let began = starts.values().copied().fold(f64::INFINITY, f64::min);
    let end = began + outcome.number("/elapsed_seconds");
    let mut wrong = Vec::new();
    for (place, name) in SITUATIONS.iter().enumerate() {
        let model = model(&sent[name], starts[*name], end);
        let viewer = |field: &str| outcome.number(&format!("/per_viewer/{place}/{field}_seconds"));
        for (field, reported) in
            [("startup", viewer("startup")), ("stalled", viewer("stalled")), ("played", viewer("media"))]
        {
            let truth = model[field].as_f64().unwrap();
            println!("{name} {field}: {reported:.3} reported, {truth:.3} sent");
            if (reported - truth).abs() > (0.05 * truth).max(0.3) {
                wrong.push(format!("{name}: {field} {reported} instead of {truth}"));
            }
        }
        let (reported, truth) = (viewer("missing"), model["missing"].as_f64().unwrap());
        println!("{name} missing: {reported:.3} reported, {truth:.3} sent");
        if (reported - truth).abs() > 0.001 {
            wrong.push(format!("{name}: {reported} s missing instead of {truth}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", outcome.stdout);
    // Whatever FFmpeg made of it, the viewers of bad content lost media, and the counts say so.
    assert!(outcome.number("/segments_bad_content") >= 6.0, "{}", outcome.stdout);
    assert!(outcome.number("/errors/content") >= 4.0, "{}", outcome.stdout);
    let missing = outcome.number("/playback_time/missing_seconds");
    assert_eq!(outcome.number("/segments_skipped") * 2.0, missing.round(), "{}", outcome.stdout);
}

#[test]
fn the_model_stalls_when_the_video_element_of_hlsjs_did() {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/player/tests/hlsjs");
    for name in ["log1", "log2", "log3"] {
        let mut python = program("python3");
        let log = logs.join(format!("{name}.json"));
        let output = python.arg(script("reference_model.py")).arg("--hlsjs").arg(log).output().unwrap();
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (real, model) = (&figures["video_element_stalled"], &figures["model"]["stalled"]);
        // The first frame needs up to 0.25 s of decoding, in which the model plays already.
        let off = (real.as_f64().unwrap() - model.as_f64().unwrap()).abs();
        assert!(off < 0.25, "{name}: {figures}");
    }
}
