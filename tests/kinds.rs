//! Kinds of requests and wrong bodies where neither names nor content types identify them: FFmpeg viewers of a
//! scripted server. ffmpeg and openssl must be installed: without them
//! these tests fail, they do not skip.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::swarm::Swarm;

const NOTHING: &str = "application/octet-stream";
const SEGMENTS: usize = 6;
const KEY: &[u8; 16] = b"0123456789abcdef";

/// Segments of one second.
fn media() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10", "-t", "6"]);
    ffmpeg.args(["-c:v", "mpeg2video", "-g", "10", "-f", "segment", "-segment_time", "1"]);
    let output = ffmpeg.arg(folder.path().join("%d.ts")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (0..SEGMENTS).map(|number| std::fs::read(folder.path().join(format!("{number}.ts"))).unwrap()).collect()
}

fn encrypted(segment: &[u8]) -> Vec<u8> {
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut openssl = program("openssl");
    openssl.args(["enc", "-aes-128-cbc", "-K", &key, "-iv", &format!("{:032x}", 1)]);
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(segment).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn vod(tags: &str, address: impl Fn(usize) -> String) -> Vec<u8> {
    let segments: String = (0..SEGMENTS).map(|number| format!("#EXTINF:1,\n{}\n", address(number))).collect();
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n";
    format!("{head}{tags}{segments}#EXT-X-ENDLIST\n").into_bytes()
}

/// Requests by kind and objects with what is wrong with them, of one viewer that plays the stream.
fn played(server: &Server, target: &str) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let url = server.url(target);
    let outcome = Swarm::new(&["--clients", "1", "--duration", "8s", &url]).run();
    let kinds = outcome.report["requests"].as_object().unwrap();
    let kinds = kinds.iter().map(|(kind, count)| (kind.clone(), count.as_u64().unwrap())).collect();
    let failed = outcome.report["insight"]["failed"].as_array().cloned().unwrap_or_default();
    let failed = failed.iter().map(|row| {
        (
            format!("{}: {}", row["name"].as_str().unwrap(), row["what"].as_str().unwrap()),
            row["count"].as_u64().unwrap(),
        )
    });
    (kinds, failed.collect())
}

/// The requests of the viewer.
fn targets(server: Server) -> Vec<String> {
    let by_viewers = server.served().into_iter().filter(|request| request.head.contains("/client-"));
    by_viewers.map(|request| request.target).collect()
}

/// The number of targets of each kind.
fn by_kind(targets: &[String], kind: impl Fn(&str) -> &'static str) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> =
        ["manifest", "segment", "init", "key", "steering", "other"].map(|kind| (kind.to_owned(), 0)).into();
    targets.iter().for_each(|target| *all.get_mut(kind(target)).unwrap() += 1);
    all
}

#[test]
fn encrypted_segments_and_their_key_are_classified_by_the_playlist() {
    let media: Vec<Vec<u8>> = media().iter().map(|segment| encrypted(segment)).collect();
    let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"license?id=7\",IV=0x{:032x}\n", 1);
    let server = Server::start(move |target, _| match target {
        "/live.m3u8" => Answer::ok("application/x-mpegurl", &vod(&key, |number| format!("part/{number}"))),
        "/license?id=7" => Answer::ok(NOTHING, KEY),
        part => Answer::ok(NOTHING, &media[part.trim_start_matches("/part/").parse::<usize>().unwrap()]),
    });
    let (kinds, failed) = played(&server, "/live.m3u8");
    let served = by_kind(&targets(server), |target| match target {
        "/live.m3u8" => "manifest",
        "/license?id=7" => "key",
        _ => "segment",
    });
    assert_eq!(kinds, served);
    assert!(served["segment"] >= SEGMENTS as u64 && served["key"] >= 1, "{served:?}");
    assert_eq!(failed, BTreeMap::new(), "encrypted bodies are not classified as wrong");
}

#[test]
fn urls_without_file_names_are_classified_by_the_playlist_and_wrong_bodies_are_named() {
    let media = media();
    let server = Server::start(move |target, _| {
        let (_, query) = target.split_once('?').unwrap();
        let Some(number) = query.strip_prefix("seg=") else {
            return match query {
                "all" => {
                    Answer::ok("application/x-mpegurl", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n?list=1\n")
                }
                "list=1" => Answer::ok("application/x-mpegurl", &vod("", |number| format!("?seg={number}"))),
                edge => {
                    Answer::ok(NOTHING, &media[edge.strip_prefix("edge=").unwrap().parse::<usize>().unwrap()])
                }
            };
        };
        let segment = &media[number.parse::<usize>().unwrap()];
        match number {
            // A redirect to a URL that no playlist lists.
            "1" => Answer::new(
                "HTTP/1.1 302 Found\r\nLocation: /b?edge=1\r\nContent-Length: 0\r\n\r\n",
                Then::Keep,
            ),
            "2" => Answer::ok("text/html", b"<!DOCTYPE html><html><body>busy</body></html>"),
            "3" => Answer::ok(NOTHING, &segment[..segment.len() / 188 / 2 * 188 + 100]),
            "4" => Answer::ok(NOTHING, b""),
            _ => Answer::ok(NOTHING, segment),
        }
    });
    let (kinds, failed) = played(&server, "/a?all");
    let targets = targets(server);
    let asked = |query: &str| targets.iter().filter(|target| target.ends_with(query)).count() as u64;
    let expected = BTreeMap::from([
        ("a: an HTML page".to_owned(), asked("seg=2")),
        ("a: cut short".to_owned(), asked("seg=3")),
        ("a: empty".to_owned(), asked("seg=4")),
    ]);
    assert_eq!(failed, expected);
    let is_segment = |target: &str| target.contains("seg=") || target.contains("edge=");
    let served = by_kind(&targets, |target| if is_segment(target) { "segment" } else { "manifest" });
    assert_eq!(kinds, served);
    assert!(served["segment"] > SEGMENTS as u64 && kinds["other"] == 0, "{served:?}");
}
