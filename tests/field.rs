//! Streams as servers and packagers in the field have them: sessions, cookies, proxies, encodings, refused ranges, gaps,
//! ends, and what FFmpeg cannot play. FFmpeg viewers of scripted servers; ffmpeg must be installed: without it these
//! tests fail, they do not skip.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Served, Server, Then};
use hls_swarm_test_support::swarm::{Outcome, Swarm};

const LIST: &str = "application/vnd.apple.mpegurl";
const TS: &str = "video/mp2t";
const SEGMENTS: usize = 20;
const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n";

/// Segments of one second.
fn segment(number: usize) -> Vec<u8> {
    static MEDIA: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let media = MEDIA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10", "-t", "20"]);
        ffmpeg.args(["-c:v", "mpeg2video", "-g", "10", "-f", "segment", "-segment_time", "1"]);
        let output = ffmpeg.arg(folder.path().join("%d.ts")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (0..SEGMENTS).map(|one| std::fs::read(folder.path().join(format!("{one}.ts"))).unwrap()).collect()
    });
    media[number % SEGMENTS].clone()
}

/// A VOD playlist with `tags` before its segments, whose addresses `address` makes.
fn vod(tags: &str, address: impl Fn(usize) -> String) -> String {
    let segments: String = (0..SEGMENTS).map(|number| format!("#EXTINF:1,\n{}\n", address(number))).collect();
    format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:0\n{tags}{segments}#EXT-X-ENDLIST\n")
}

/// The playlist of a live stream that began at `began`; `entry` makes the lines of a segment.
fn live(began: Instant, entry: impl Fn(usize) -> String) -> String {
    let last = 4 + began.elapsed().as_secs() as usize;
    let segments: String = (last - 4..=last).map(entry).collect();
    format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:{}\n{segments}", last - 4)
}

/// The segment of an address that ends with its number and `.ts`.
fn by_number(target: &str) -> Answer {
    let name = target.rsplit('/').next().unwrap().split('?').next().unwrap();
    match name.trim_end_matches(".ts").parse() {
        Ok(number) => Answer::ok(TS, &segment(number)),
        Err(_) => missing(),
    }
}

fn missing() -> Answer {
    Answer::new("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Then::Keep)
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    Answer::new([head.as_bytes(), body].concat(), Then::Keep)
}

fn run(url: &str, arguments: &[&str]) -> Outcome {
    run_with(&[], url, arguments)
}

fn run_with(environment: &[(&str, &str)], url: &str, arguments: &[&str]) -> Outcome {
    let mut all = vec!["--clients", "2", "--ramp-rate", "10", "--duration", "6s"];
    all.extend(arguments);
    all.push(url);
    environment.iter().fold(Swarm::new(&all), |swarm, (name, value)| swarm.env(name, value)).run()
}

/// The requests of viewers.
fn by_viewers(server: Server) -> Vec<Served> {
    server.served().into_iter().filter(|one| one.head.contains("/client-")).collect()
}

/// Asserts that the report has the requests and the bytes that the server saw.
fn assert_counted(outcome: &Outcome, served: &[Served]) {
    let counts = outcome.report["requests"].as_object().unwrap_or_else(|| panic!("{}", outcome.stderr));
    let requests: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(requests, served.len() as u64, "{}", outcome.stdout);
    assert_eq!(counts["other"], 0, "{}", outcome.stdout);
    // A segment may have been under way when its viewer was stopped.
    if outcome.number("/in_flight_at_stop") == 0.0 {
        let bytes: u64 = served.iter().map(Served::body_bytes).sum();
        assert_eq!(outcome.number("/bytes/total") as u64, bytes, "{}", outcome.stdout);
    }
}

fn assert_played(outcome: &Outcome) {
    let criteria = outcome.report["criteria"].as_array().unwrap_or_else(|| panic!("{}", outcome.stderr));
    let played = criteria.iter().find(|one| one["name"] == "viewers_played").unwrap();
    assert_eq!(played["met"], true, "{}", outcome.stdout);
    assert_eq!(outcome.number("/errors/rate"), 0.0, "{}", outcome.stdout);
}

/// The number of the viewer that made a request.
fn viewer(request: &Served) -> &str {
    request.head.split("/client-").nth(1).unwrap().split("\r\n").next().unwrap()
}

#[test]
fn each_viewer_has_a_session_and_cookies_of_its_own_whatever_the_variant() {
    let server = Server::start_by_head(|target, head, before| {
        let session = || target.split('/').nth(2).unwrap();
        match target.rsplit('/').next().unwrap() {
            "live.m3u8" => answer("302 Found", &format!("Location: /s/{before}/master.m3u8\r\n"), b""),
            "master.m3u8" => {
                let list = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nlow.m3u8\n\
                            #EXT-X-STREAM-INF:BANDWIDTH=500000.5\nhigh.m3u8\n";
                let cookie = format!("Set-Cookie: token=of-session-{}; Path=/\r\n", session());
                answer("200 OK", &format!("{cookie}Content-Type: {LIST}\r\n"), list.as_bytes())
            }
            _ if !head.contains(&format!("Cookie: token=of-session-{}", session())) => {
                answer("403 Forbidden", "", b"")
            }
            "high.m3u8" => Answer::ok(LIST, vod("", |number| format!("{number}.ts")).as_bytes()),
            _ => by_number(target),
        }
    });
    let outcome = run(&server.url("/live.m3u8"), &["--clients", "3", "--variant", "highest"]);
    let served = by_viewers(server);
    assert_played(&outcome);
    assert_counted(&outcome, &served);
    for number in ["1", "2", "3"] {
        let own: Vec<&Served> = served.iter().filter(|one| viewer(one) == number).collect();
        assert_eq!(own[0].target, "/live.m3u8", "each viewer requests the stream itself");
        let sessions: BTreeSet<&str> =
            own[1..].iter().map(|one| one.target.split('/').nth(2).unwrap()).collect();
        assert_eq!(sessions.len(), 1, "viewer {number}: {sessions:?}");
        assert!(own.iter().all(|one| !one.target.contains("low")), "only the chosen variant is loaded");
    }
    let all: BTreeSet<&str> = served.iter().filter_map(|one| one.target.split('/').nth(2)).collect();
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn a_dead_variant_costs_the_viewers_that_would_play_it_and_is_named() {
    let server = Server::start(|target, _| match target {
        "/master.m3u8" => Answer::ok(
            LIST,
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=16x9\ndead.m3u8\n\
              #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=16x8\na.m3u8\n",
        ),
        "/a.m3u8" => Answer::ok(LIST, vod("", |number| format!("{number}.ts")).as_bytes()),
        target => by_number(target),
    });
    let outcome = run(&server.url("/master.m3u8"), &["--variant", "each"]);
    assert!(outcome.stderr.contains("! rendition: 9p of 2 bit/s: cannot fetch"), "{}", outcome.stderr);
    let viewers = by_viewers(server);
    let of = |number: &str, end: &str| {
        viewers.iter().filter(|one| viewer(one) == number && one.target.ends_with(end)).count()
    };
    assert!(
        of("1", "dead.m3u8") > 0 && of("1", ".ts") == 0 && of("2", ".ts") > 3 && of("2", "dead.m3u8") == 0
    );
}

#[test]
fn servers_that_refuse_ranges_or_name_nothing_play_and_addresses_stay_as_they_were_written() {
    let server = Server::start_by_head(|target, head, _| match target {
        "/play?sig=a~b'c" if head.to_ascii_lowercase().contains("\r\nrange:") => {
            answer("406 Not Acceptable", "", b"no ranges")
        }
        // Neither name nor type is that of a playlist; and the head is folded.
        "/play?sig=a~b'c" => {
            let list = vod("", |number| format!("part/{number}?sig='x'"));
            answer("200 OK", "Content-Type: text/plain\r\nX-Note: a\r\n b\r\n", list.as_bytes())
        }
        target if target.ends_with("?sig='x'") => by_number(target),
        _ => missing(),
    });
    let outcome = run(&server.url("/play?sig=a~b'c"), &[]);
    assert_played(&outcome);
    assert_counted(&outcome, &by_viewers(server));
}

#[test]
fn encodings_are_read_as_ffmpeg_reads_them() {
    let list = vod("", |number| format!("{number}.ts")).into_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&list).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&list).unwrap();
    let (gzip, zlib) = (gzip.finish().unwrap(), zlib.finish().unwrap());
    let server = Server::start(move |target, _| match target {
        "/gzip.m3u8" => answer("200 OK", "Content-Encoding: gzip\r\n", &gzip),
        "/deflate.m3u8" => answer("200 OK", "Content-Encoding: deflate\r\n", &zlib),
        "/br.m3u8" => answer("200 OK", "Content-Encoding: br\r\n", b"\x8b\x01\x80"),
        target => by_number(target),
    });
    for target in ["/gzip.m3u8", "/deflate.m3u8"] {
        assert_played(&run(&server.url(target), &["--duration", "4s"]));
    }
    let outcome = run(&server.url("/br.m3u8"), &[]);
    assert_eq!(outcome.code(), 3, "{}", outcome.stderr);
    let said =
        "comes with \"Content-Encoding: br\", although it was not asked for, and FFmpeg cannot decode br";
    assert_eq!(outcome.stderr.matches(said).count(), 1, "once: {}", outcome.stderr);
}

#[test]
fn what_ffmpeg_cannot_play_is_named_before_a_viewer_starts() {
    let server = Server::start(|target, _| {
        let entry = |tags: &str, address: &str| vod(tags, |number| format!("{address}{number}.ts"));
        let list = match target {
            "/drm.m3u8" => {
                let key = "METHOD=SAMPLE-AES,URI=\"skd://key\",KEYFORMAT=\"com.apple.streamingkeydelivery\"";
                entry(&format!("#EXT-X-KEY:{key}\n"), "")
            }
            "/define.m3u8" => entry("#EXT-X-DEFINE:NAME=\"dir\",VALUE=\"ts\"\n", "{$dir}/"),
            "/long.m3u8" => entry("", &format!("{}/", "k".repeat(5000))),
            "/page.m3u8" => return Answer::ok("text/html", b"<html><body>busy</body></html>"),
            _ => entry("", ""),
        };
        Answer::ok(LIST, list.as_bytes())
    });
    for (target, arguments, said) in [
        (
            "/drm.m3u8",
            &[][..],
            "EXT-X-KEY: segments are encrypted with SAMPLE-AES of com.apple.streamingkeydelivery",
        ),
        ("/define.m3u8", &[], "EXT-X-DEFINE: FFmpeg does not replace variables"),
        ("/long.m3u8", &[], "bytes, and FFmpeg cannot request one of more than 4095"),
        ("/page.m3u8", &[], "(text/html: \"<html><body>busy</body></html>\")"),
        (
            "/plain.m3u8",
            &["--variant", "720p", "--probe-failure-policy", "fail"],
            "is a media playlist, without variants",
        ),
    ] {
        let outcome = run(&server.url(target), arguments);
        assert_eq!(outcome.code(), 3, "{target}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.matches(said).count(), 1, "{target}, once: {}", outcome.stderr);
    }
}

#[test]
fn a_viewer_that_never_plays_gives_its_reason_even_if_it_still_runs() {
    let server = Server::start(|target, _| match target {
        "/long.m3u8" => {
            let name = "k".repeat(5000);
            Answer::ok(LIST, format!("{HEAD}#EXTINF:1,\n{name}/0.ts\n#EXTINF:1,\n{name}/1.ts\n").as_bytes())
        }
        _ => Answer::ok(LIST, HEAD.as_bytes()),
    });
    for (target, why) in [
        ("/long.m3u8", "more bytes than FFmpeg can request"),
        ("/empty.m3u8", "the playlist lists no segments"),
    ] {
        let outcome = run(&server.url(target), &["--skip-preflight"]);
        assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
        let reasons = outcome.reasons();
        assert!(reasons.iter().any(|(reason, _)| reason.contains(why)), "{target}: {reasons:?}");
    }
}

#[test]
fn preflight_and_viewers_take_the_same_proxy() {
    let stream = |target: &str, head: &str| match target.rsplit('/').next().unwrap() {
        _ if head.starts_with("CONNECT") => answer("403 Forbidden", "", b""),
        "live.m3u8" => Answer::ok(LIST, vod("", |number| format!("{number}.ts")).as_bytes()),
        _ => by_number(target),
    };
    let server = Server::start_by_head(move |target, head, _| stream(target, head));
    let url = server.url("/live.m3u8");
    let proxy = server.url("");
    let nowhere = "http://127.0.0.1:9";
    for (environment, way) in [
        (&[("HTTP_PROXY", proxy.as_str())][..], "through the proxy http://127.0.0.1"),
        (&[("https_proxy", nowhere)], "directly, because no proxy applies to it"),
        (&[("http_proxy", nowhere), ("NO_PROXY", "127.0.0.1")], "directly, because no proxy applies to it"),
    ] {
        let outcome = run_with(environment, &url, &["--duration", "4s"]);
        assert_played(&outcome);
        assert!(outcome.stderr.contains(way), "{environment:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("inferred"), "the self-test takes no proxy: {}", outcome.stderr);
    }
    let outcome = run_with(&[("http_proxy", nowhere)], &url, &[]);
    assert_eq!(outcome.code(), 3);
    assert!(outcome.stderr.contains("check the proxy http://127.0.0.1:9"), "{}", outcome.stderr);
    let (whole, plain): (Vec<_>, Vec<_>) =
        by_viewers(server).into_iter().partition(|one| one.target.starts_with("http://"));
    assert!(!whole.is_empty() && !plain.is_empty());
}

#[test]
fn a_user_in_the_address_is_sent_with_every_request() {
    let server = Server::start_by_head(|target, head, _| match target {
        // "me:p w" in base64.
        _ if !head.contains("Authorization: Basic bWU6cCB3") => {
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
        }
        "/live.m3u8" => Answer::ok(LIST, vod("", |number| format!("{number}.ts")).as_bytes()),
        target => by_number(target),
    });
    let url = server.url("/live.m3u8").replace("://", "://me:p%20w@");
    let outcome = run(&url, &[]);
    assert_played(&outcome);
    assert_counted(&outcome, &by_viewers(server));
}

#[test]
fn announced_gaps_are_not_errors() {
    let server = Server::start(|target, _| match target {
        "/live.m3u8" => {
            let gap = |number: usize| if number % 4 == 1 { "#EXT-X-GAP\n" } else { "" };
            let segments: String =
                (0..SEGMENTS).map(|number| format!("{}#EXTINF:1,\n{number}.ts\n", gap(number))).collect();
            Answer::ok(LIST, format!("{HEAD}{segments}#EXT-X-ENDLIST\n").as_bytes())
        }
        target if target.trim_matches(['/', 't', 's', '.']).parse::<usize>().unwrap() % 4 == 1 => missing(),
        target => by_number(target),
    });
    let outcome = run(&server.url("/live.m3u8"), &["--threshold", "error_rate<1%"]);
    let served = by_viewers(server);
    let gaps = served.iter().filter(|one| one.sent.starts_with(b"HTTP/1.1 404")).count();
    assert!(gaps > 0);
    assert_eq!(outcome.number("/gap_requests"), gaps as f64, "{}", outcome.stdout);
    assert_eq!(outcome.number("/errors/rate"), 0.0, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("5 of 20 segments are announced gaps (EXT-X-GAP)"), "{}", outcome.stderr);
    assert_counted(&outcome, &served);
}

#[test]
fn the_end_of_a_live_stream_is_reported_with_what_was_tested() {
    let began = Instant::now();
    let server = Server::start(move |target, _| match target {
        "/live.m3u8" => {
            let entry = |number: usize| format!("#EXTINF:1,\n{number}.ts\n");
            let over = began.elapsed() > Duration::from_secs(7);
            let at = if over { Instant::now().checked_sub(Duration::from_secs(7)).unwrap() } else { began };
            let end = if over { "#EXT-X-ENDLIST\n" } else { "" };
            Answer::ok(LIST, format!("{}{end}", live(at, entry)).as_bytes())
        }
        target => by_number(target),
    });
    let outcome = run(&server.url("/live.m3u8"), &["--duration", "40s"]);
    assert!(outcome.elapsed < Duration::from_secs(30), "{:?}", outcome.elapsed);
    let said = "the live stream has ended (EXT-X-ENDLIST), before the planned 40s: only that time was tested";
    assert!(outcome.said().contains(said), "{}", outcome.stdout);
}

#[test]
fn edges_with_other_segments_under_the_same_numbers_are_reported() {
    let began = Instant::now();
    let server = Server::start(move |target, before| match target {
        "/live.m3u8" => {
            let edge = if before % 2 == 0 { "a" } else { "b" };
            Answer::ok(
                LIST,
                live(began, |number| format!("#EXTINF:1,\n{edge}-/{number}.ts?{edge}\n")).as_bytes(),
            )
        }
        "/names.m3u8" => {
            let edge = if before % 3 == 0 { "1" } else { "2" };
            let entry = |number: usize| format!("#EXTINF:1,\nx/{edge}{number:03}.ts\n");
            Answer::ok(LIST, live(began, entry).as_bytes())
        }
        target => by_number(target),
    });
    let same = run(&server.url("/live.m3u8"), &[]);
    assert_eq!(same.number("/insight/playlists/disagreed"), 0.0, "tokens may differ: {}", same.stdout);
    let other = run(&server.url("/names.m3u8"), &["--clients", "4", "--duration", "10s"]);
    assert!(other.number("/insight/playlists/disagreed") > 0.0, "{}", other.stdout);
    assert!(other.said().contains("other segments under the same numbers"), "{}", other.stdout);
}
