//! The playback of FFmpeg viewers and of native viewers, compared with a model in Python that knows only what the origin sent. The origin
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
use hls_swarm_test_support::server::{Answer, Server};
use hls_swarm_test_support::stream::vod;
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

/// The streams of the origin.
const SITUATIONS: [&str; 9] =
    ["clean", "late", "missing", "cut", "html", "empty", "outage", "capped", "audio"];
/// The same where the whole stream is there from the beginning.
const VODS: [&str; 5] = ["vod", "vod_late", "vod_missing", "vod_html", "vod_capped"];
/// The figures of a viewer with the buffer of a player.
const FIELDS: [&str; 3] = ["startup", "stalled", "played"];
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

/// One FFmpeg viewer on each of the streams `names` for `seconds`.
fn run(names: &[&str], seconds: u32) -> Run {
    let fake = FakeFfmpeg::playing(&format!(
        "read up _ </proc/uptime; echo \"$up $*\" >>\"$(dirname \"$0\")/starts\"; exec {} \"$@\"",
        real().display()
    ));
    let (outcome, sent) = play(names, seconds, &["--ffmpeg", &fake.path()]);
    Run { outcome, sent, starts: starts(&fake) }
}

/// One native viewer on each stream for `seconds`. It sends its first request when it starts. A simple player begins with
/// whole segments, as the model does; others begin at an exact position.
fn run_native(seconds: u32) -> Run {
    let (outcome, sent) = play(&SITUATIONS, seconds, &["--engine", "native", "--preset", "simple"]);
    let start = |name: &str| (name.to_owned(), sent[name]["start"].as_f64().unwrap());
    let starts = SITUATIONS.iter().map(|name| start(name)).collect();
    Run { outcome, sent, starts }
}

/// What viewers saw, and what they were sent.
fn play(names: &[&str], seconds: u32, engine: &[&str]) -> (Outcome, Value) {
    let folder = tempfile::tempdir().unwrap();
    segments(folder.path());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut python = program("python3");
    let origin =
        Companion::start(python.arg(script("failing_origin.py")).arg(port.to_string()).arg(folder.path()));
    let log = || ask(port, "GET", "/log").ok();
    eventually("the origin answers", Duration::from_secs(20), || log().map(drop));
    let streams: Vec<String> =
        names.iter().map(|name| format!("http://127.0.0.1:{port}/{name}/live.m3u8")).collect();
    let streams: Vec<&str> = streams.iter().flat_map(|url| ["--stream", url]).collect();
    let (clients, duration) = (names.len().to_string(), format!("{seconds}s"));
    let load = ["--clients", &clients, "--ramp-rate", "50", "--ramp-jitter", "0s", "--duration", &duration];
    let outcome = Swarm::new(&[&load[..], &["--error-storm", "off"], engine, &streams].concat()).run();
    let sent = serde_json::from_slice(&log().unwrap().body).unwrap();
    drop(origin);
    (outcome, sent)
}

/// Compares the figures `fields` of each viewer, and the media that it missed, with those of the model. Returns what the
/// model finds.
fn compared<'a>(run: &Run, names: &[&'a str], fields: &[&str]) -> BTreeMap<&'a str, Value> {
    let Run { outcome, sent, starts } = run;
    let mut models = BTreeMap::new();
    let began = starts.values().copied().fold(f64::INFINITY, f64::min);
    let end = began + outcome.number("/elapsed_seconds");
    let mut wrong = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let model = model(&sent[name], starts[*name], end);
        let viewer = |field: &str| outcome.number(&format!("/per_viewer/{place}/{field}_seconds"));
        for field in fields {
            let reported = viewer(if *field == "played" { "media" } else { field });
            let truth = model[*field].as_f64().unwrap();
            println!("{name} {field}: {reported:.3} reported, {truth:.3} sent");
            if (reported - truth).abs() > (0.05 * truth).max(0.3) {
                wrong.push(format!("{name}: {field} {reported} instead of {truth}"));
            }
        }
        let (reported, truth) = (viewer("missing"), model["missing"].as_f64().unwrap());
        models.insert(*name, model);
        println!("{name} missing: {reported:.3} reported, {truth:.3} sent");
        if (reported - truth).abs() > 0.001 {
            wrong.push(format!("{name}: {reported} s missing instead of {truth}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", outcome.stdout);
    models
}

#[test]
fn a_vod_is_played_with_the_buffer_of_a_player_or_its_stalls_are_not_judged() {
    let mut ffmpeg = program("ffmpeg");
    let help = ffmpeg.args(["-hide_banner", "-h", "full"]).output().unwrap().stdout;
    let run = run(&VODS, 22);
    if run.outcome.report["source"]["playback"] == "inferred" {
        // FFmpeg is linked statically, so nothing but its log is known.
        for row in run.outcome.report["per_viewer"].as_array().unwrap() {
            assert!(row["stalled_seconds"].is_null(), "{row}");
        }
        assert!(run.outcome.report["stalls"].is_null(), "{:#}", run.outcome.report);
        return;
    }
    if String::from_utf8_lossy(&help).contains("-readrate_initial_burst") {
        compared(&run, &VODS, &FIELDS);
        // 16 s of media are there when a segment is 9 s late.
        assert_eq!(run.outcome.number("/per_viewer/1/stalled_seconds"), 0.0, "{}", run.outcome.stdout);
        return;
    }
    compared(&run, &VODS, &["startup"]);
    assert_eq!(run.outcome.report["source"]["playback"], "unbuffered");
    for threshold in ["rebuffering<1%", "stalls==0", "throughput_ratio>=98%"] {
        let folder = tempfile::tempdir().unwrap();
        vod(folder.path(), 3);
        let www = folder.path().join("www");
        let server = Server::start(move |target, _| {
            let kind = if target.ends_with(".ts") { "video/mp2t" } else { "application/vnd.apple.mpegurl" };
            Answer::ok(kind, &std::fs::read(www.join(&target[1..])).unwrap())
        });
        let url = server.url("/vod.m3u8");
        let outcome = Swarm::new(&["--duration", "4s", "--threshold", threshold, &url]).run();
        assert_eq!(outcome.code(), 3, "{}", outcome.stderr);
        let message = outcome.stderr.rsplit_once("error: ").unwrap().1;
        for words in [threshold, "without the buffer of a player", "-readrate_initial_burst", "\n  help: "] {
            assert!(message.contains(words), "{words}: {message}");
        }
        let viewers = server.served().iter().filter(|one| one.head.contains("/client-")).count();
        assert_eq!(viewers, 0, "nothing was started");
    }
}

/// What the players themselves report: stalls, their reasons, and what follows from them.
#[test]
fn native_viewers_report_what_a_model_finds_that_knows_only_what_was_sent() {
    let run = run_native(24);
    let models = compared(&run, &SITUATIONS, &FIELDS);
    let outcome = &run.outcome;
    let place = |name: &str| SITUATIONS.iter().position(|one| *one == name).unwrap();
    for name in ["clean", "late", "outage", "audio"] {
        let viewer = |field: &str| outcome.number(&format!("/per_viewer/{}/{field}", place(name)));
        let (stalls, longest) = (viewer("stalls"), viewer("longest_stall_seconds"));
        println!("{name}: {stalls} stalls, the longest of {longest} s; {}", models[name]);
        assert_eq!(stalls, models[name]["stalls"].as_f64().unwrap(), "{name}\n{}", outcome.stdout);
        assert!((longest - models[name]["longest"].as_f64().unwrap()).abs() < 0.3, "{name}: {longest}");
    }
    let stalls = |reason: &str| outcome.report.pointer(&format!("/quality/stalls/{reason}")).cloned();
    println!("{}", outcome.report["quality"]);
    assert!(stalls("slow-body").is_some() && stalls("connection").is_some(), "{}", outcome.stdout);
    // Those that do not count are counted apart, and there is no other source of stalls.
    let reasons = outcome.report["quality"]["stalls"].as_object().unwrap();
    let all: f64 = reasons.values().map(|count| count.as_f64().unwrap()).sum();
    assert_eq!(
        all,
        outcome.number("/viewers/stalled") + outcome.number("/stalls_excluded"),
        "{}",
        outcome.stdout
    );
    assert_eq!(outcome.report["source"]["playback"], "players");
    let stalled_viewers = outcome.number("/viewers/stalled_viewers");
    let expected = models.values().filter(|model| model["stalls"].as_f64() > Some(0.0)).count();
    assert!((stalled_viewers - expected as f64).abs() <= 1.0, "{stalled_viewers} instead of {expected}");
    // A live viewer begins three target durations behind the edge, and a segment of it is complete at once.
    let behind = outcome.number("/latency_seconds/latency_by_edge/p50");
    assert!((4.0..=14.0).contains(&behind), "{behind}");
    assert!(outcome.number("/latency_seconds/first_media_byte/count") >= 8.0, "{}", outcome.stdout);
    assert!(outcome.number("/latency_seconds/buffer/max") <= 14.0, "{}", outcome.stdout);
}

#[test]
fn figures_equal_those_of_a_model_that_knows_only_what_was_sent() {
    let run = run(&SITUATIONS, 22);
    compared(&run, &SITUATIONS, &FIELDS);
    let outcome = &run.outcome;
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
