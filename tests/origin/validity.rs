//! Every profile and format, checked by an HLS validator and ffprobe: durations within the target, increasing
//! numbers, aligned variants, and every listed segment available until the end of its lifetime.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use hls_swarm_test_support::hls::{History, Variant, multivariant};
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;

/// How long each stream is watched.
const WATCH: Duration = Duration::from_secs(14);
/// Lifetime of segments: four listed and five delisted ones, of one second each.
const LIFETIME: Duration = Duration::from_secs(9);

fn text(port: u16, path: &str) -> String {
    let answer = ask(port, "GET", path).unwrap();
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.body).unwrap()
}

fn ffprobe(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("ffprobe").args(["-v", "error"]).args(arguments).arg(url).output().unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.is_empty(), "{url}: {warnings}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks the attributes of a variant in the multivariant playlist against ffprobe.
fn assert_described(name: &str, base: &str, (attributes, uri): &Variant) {
    let entries = "stream=codec_type,profile,level,width,height,r_frame_rate";
    let json = ffprobe(&format!("{base}{uri}"), &["-show_entries", entries, "-of", "json"]);
    let probed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let streams = probed["streams"].as_array().unwrap();
    let video = streams.iter().find(|one| one["codec_type"] == "video").unwrap();
    let size = format!("{}x{}", video["width"], video["height"]);
    assert_eq!(attributes["RESOLUTION"], size, "{name} {uri}");
    let rate = format!("{}.000", video["r_frame_rate"].as_str().unwrap().trim_end_matches("/1"));
    assert_eq!(attributes["FRAME-RATE"], rate, "{name} {uri}");
    let (avc, aac) = attributes["CODECS"].split_once(',').unwrap();
    assert_eq!(aac, "mp4a.40.2", "{name} {uri}");
    let level = format!("{:02x}", video["level"].as_i64().unwrap());
    let profile = match video["profile"].as_str().unwrap() {
        "High" => "64",
        "Main" => "4d",
        "Constrained Baseline" | "Baseline" => "42",
        other => panic!("{other}"),
    };
    assert!(
        avc.starts_with(&format!("avc1.{profile}")) && avc.ends_with(&level),
        "{name} {uri}: {avc} {level}"
    );
}

/// Watches a live stream whose playlists are below `folder`.
fn watch(name: &str, origin: &Origin, folder: &str, time: Duration) {
    let port = origin.port();
    let (variants, renditions) = multivariant(&text(port, &format!("{folder}/master.m3u8")));
    let base = format!("http://127.0.0.1:{port}{folder}/");
    variants.iter().for_each(|variant| assert_described(name, &base, variant));
    let names: Vec<String> =
        variants.iter().map(|(_, uri)| uri.clone()).chain(renditions.values().cloned()).collect();
    let mut histories: Vec<History> = names.iter().map(|_| History::default()).collect();
    let (mut due, mut peaks) = (BTreeMap::<String, Instant>::new(), BTreeMap::<String, f64>::new());
    let started = Instant::now();
    while started.elapsed() < time {
        let now = Instant::now();
        for (playlist, history) in names.iter().zip(&mut histories) {
            let known = history.seen.len();
            history
                .take(&text(port, &format!("{folder}/{playlist}")))
                .unwrap_or_else(|wrong| panic!("{name} {playlist}: {wrong}"));
            for segment in history.seen.values().skip(known) {
                let path = format!("{folder}/{}", segment.uri);
                let answer = ask(port, "GET", &path).unwrap();
                assert_eq!(answer.status, 200, "{name} {path}");
                let peak = peaks.entry(playlist.clone()).or_default();
                *peak = peak.max(answer.body.len() as f64 * 8.0 / segment.seconds);
                // It was published a little before it was seen. When the others were published is unknown.
                if known > 0 {
                    due.insert(path, now + LIFETIME - Duration::from_millis(1500));
                }
                if let Some(map) = &segment.map {
                    assert_eq!(
                        ask(port, "GET", &format!("{folder}/{map}")).unwrap().status,
                        200,
                        "{name} {map}"
                    );
                }
            }
        }
        let expired: Vec<_> =
            due.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        for path in expired {
            due.remove(&path);
            // On a busy machine, the check may be too late to prove anything.
            let status = ask(port, "HEAD", &path).unwrap().status;
            assert!(status == 200 || now.elapsed() > Duration::from_millis(500), "{name} {path}: {status}");
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    let first = &histories[0];
    assert!(first.seen.len() >= 8, "{name} stalls: {}", first.seen.len());
    for (playlist, history) in names.iter().zip(&histories) {
        for (number, segment) in &history.seen {
            // Segments of the same number have the same duration in every rendition, up to an audio frame of 21 ms.
            let Some(other) = first.seen.get(number) else { continue };
            assert!((segment.seconds - other.seconds).abs() < 0.03, "{name} {playlist} {number}");
            assert_eq!(segment.discontinuity, other.discontinuity, "{name} {playlist} {number}");
        }
    }
    let extra: f64 = renditions.values().map(|uri| peaks[uri]).sum();
    for (attributes, uri) in &variants {
        let (bandwidth, average) = (&attributes["BANDWIDTH"], &attributes["AVERAGE-BANDWIDTH"]);
        let (bandwidth, average): (f64, f64) = (bandwidth.parse().unwrap(), average.parse().unwrap());
        assert!(
            average <= bandwidth && peaks[uri] + extra <= bandwidth + 1000.0,
            "{name} {uri}: {peaks:?} {bandwidth}"
        );
    }
}

/// FFmpeg plays it without warnings.
fn assert_played(name: &str, url: &str) {
    let arguments = [
        "-v",
        "repeat+warning",
        "-nostdin",
        "-i",
        url,
        "-t",
        "3",
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c",
        "copy",
        "-f",
        "null",
        "-",
    ];
    let output = Command::new("ffmpeg").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // Warnings about FFmpeg's own limits: it reads each initialization section again, and it does not play
    // subtitles.
    let ignored = ["Found duplicated MOOV Atom", "Can't support the subtitle"];
    let warnings: Vec<&str> =
        said.lines().filter(|line| !ignored.iter().any(|words| line.contains(words))).collect();
    assert!(output.status.success() && warnings.is_empty(), "{name}: {warnings:?}");
}

fn assert_valid(name: &str, arguments: &[&str], time: Duration) {
    let arguments = [&["--listen", "127.0.0.1"], arguments].concat();
    let origin = Origin::start(&arguments);
    watch(name, &origin, "", time);
    assert_played(name, origin.facts["url"].as_str().unwrap());
}

/// All but `ll-hls`, whose playlists `low_latency` checks.
const PROFILES: [&str; 8] =
    ["default", "low-latency", "4k-abr", "stress", "logged", "debug", "tap", "tap-logged"];
const LADDER: [&str; 2] = ["--ladder", "128x72@60"];

fn every_profile(time: Duration) {
    let logs = tempfile::TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for name in PROFILES {
            let log = logs.path().join(name);
            scope.spawn(move || {
                let logged = ["logged", "debug", "tap-logged"].contains(&name);
                let log = log.to_str().unwrap();
                let log: &[&str] = if logged { &["--access-log", log] } else { &[] };
                assert_valid(name, &[&["--profile", name], log].concat(), time);
            });
        }
    });
}

#[test]
fn every_profile_is_valid_and_plays() {
    every_profile(WATCH);
}

#[test]
#[ignore = "three minutes"]
fn every_profile_is_valid_for_three_minutes() {
    every_profile(Duration::from_secs(180));
}

#[test]
fn every_format_is_valid_and_plays() {
    let separate = ["--separate-audio", "--subtitles"];
    std::thread::scope(|scope| {
        for (name, arguments) in [
            ("fmp4", [&["--format", "fmp4"], LADDER.as_slice()].concat()),
            ("ts separate", [LADDER.as_slice(), &separate].concat()),
            ("fmp4 separate", [&["--format", "fmp4"], LADDER.as_slice(), &separate].concat()),
            ("encrypted", [&["--encryption", "aes-128"], LADDER.as_slice()].concat()),
            ("live", [&["--encoder", "live"], LADDER.as_slice()].concat()),
        ] {
            scope.spawn(move || assert_valid(name, &arguments, WATCH));
        }
        scope.spawn(|| {
            let origin = Origin::start(&["--streams", "b,c"]);
            ["", "/b", "/c"]
                .into_iter()
                .for_each(|folder| watch("streams", &origin, folder, Duration::from_secs(10)));
            assert_eq!(origin.facts["additional_urls"].as_array().unwrap().len(), 2);
        });
    });
}

#[test]
fn a_vod_is_complete_from_the_start() {
    for format in [["--format", "ts"], ["--format", "fmp4"]] {
        let origin = Origin::start(&[format.as_slice(), &["--vod", "13", "--separate-audio"]].concat());
        for playlist in ["stream.m3u8", "audio.m3u8"] {
            let mut history = History::default();
            history.take(&text(origin.port(), &format!("/{playlist}"))).unwrap();
            let media = history.newest.unwrap();
            let seconds: f64 = media.segments.iter().map(|one| one.seconds).sum();
            assert!(
                media.ended && media.segments.len() == 13 && (seconds - 13.0).abs() < 0.1,
                "{playlist} {seconds}"
            );
        }
        let url = origin.facts["url"].as_str().unwrap();
        let duration = ffprobe(url, &["-show_entries", "format=duration", "-of", "csv=p=0"]);
        assert!((duration.trim().parse::<f64>().unwrap() - 13.0).abs() < 0.2, "{duration}");
        assert_eq!(origin.get("/health").status, 200);
        // A segment that FFmpeg started after the end of the VOD is removed.
        assert!(["ts", "m4s"].iter().all(|end| origin.get(&format!("/seg_00013.{end}")).status == 404));
    }
}

#[test]
fn audio_video_and_subtitles_start_together() {
    for format in [["--format", "ts"], ["--format", "fmp4"]] {
        let origin = Origin::start(&[format.as_slice(), &["--separate-audio", "--subtitles"]].concat());
        let start = |playlist: &str| {
            let url = format!("http://127.0.0.1:{}/{playlist}", origin.port());
            let answer = ffprobe(
                &url,
                &["-live_start_index", "0", "-show_entries", "stream=start_time", "-of", "csv=p=0"],
            );
            answer.lines().find_map(|line| line.trim().trim_end_matches(',').parse::<f64>().ok()).unwrap()
        };
        let (video, audio) = (start("stream.m3u8"), start("audio.m3u8"));
        assert!((video % 1.0 - audio % 1.0).abs() < 0.03, "{format:?}: {video} {audio}");
        let mut history = History::default();
        history.take(&text(origin.port(), "/subtitles.m3u8")).unwrap();
        let media = history.newest.unwrap();
        let cue = text(origin.port(), &format!("/{}", media.segments[0].uri));
        let mapped =
            cue.split("MPEGTS:").nth(1).unwrap().lines().next().unwrap().parse::<f64>().unwrap() / 90_000.0;
        assert!((mapped % 1.0 - video % 1.0).abs() < 0.001, "{format:?}: {mapped} {video}");
        assert!(
            cue.starts_with("WEBVTT\n") && cue.contains(&format!("segment {}\n", media.sequence)),
            "{cue}"
        );
    }
}
