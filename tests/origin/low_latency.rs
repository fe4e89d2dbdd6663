//! The low-latency origin, with FFmpeg and nginx and embedded: blocking reloads, delta updates, announced parts, and that
//! the parts of a segment are the segment.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_hls::playlist::{Media, Playlist, read};
use hls_swarm_origin::access_log::LogEntry;
use hls_swarm_test_support::http::Connection;
use hls_swarm_test_support::low_latency::{Response, faults};
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::waiting::eventually;
use url::Url;

/// Ten frames per second, so that a part of 500 ms has five, and two variants.
const LOW_LATENCY: [&str; 4] = ["--profile", "ll-hls", "--list-size", "9"];
const VARIANTS: [&str; 2] = ["--ladder", "80x46@50"];

/// A viewer's connections: one for playlists, one for parts.
struct Viewer {
    lists: Connection,
    parts: Connection,
}

impl Viewer {
    fn new(origin: &Origin) -> Self {
        let open = || Connection::open(origin.port()).unwrap();
        Self { lists: open(), parts: open() }
    }

    fn list(&mut self, query: &str) -> (Media, String) {
        let answer = self.lists.ask("GET", &format!("/stream.m3u8{query}")).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{query}: {text}");
        let reading = read(&text, &Url::parse("http://origin/stream.m3u8").unwrap()).unwrap();
        assert_eq!(reading.warnings, [], "{text}");
        let Playlist::Media(media) = reading.playlist else { panic!("{text}") };
        (media, text)
    }

    fn part(&mut self, uri: &str) -> Vec<u8> {
        let answer = self.parts.ask("GET", &format!("/{uri}")).unwrap();
        assert_eq!(answer.status, 200, "{uri}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60, immutable"), "{uri}");
        answer.body
    }
}

/// Parts of all segments of a playlist, by segment and index.
fn parts(media: &Media) -> Vec<(u64, usize, String)> {
    let partial = media.partial.iter().map(|partial| (media.next_sequence(), &partial.parts));
    let complete = media.segments.iter().map(|segment| (segment.sequence, &segment.parts));
    complete
        .chain(partial)
        .flat_map(|(number, parts)| {
            parts.iter().enumerate().map(move |(index, part)| (number, index, part.uri.clone()))
        })
        .collect()
}

/// Follows the live edge for some segments.
fn follow(origin: &Origin) {
    let mut viewer = Viewer::new(origin);
    // Delta updates begin when the playlist is longer than six target durations.
    let (mut media, _) = eventually("the playlist is full", Duration::from_secs(20), || {
        Some(viewer.list("")).filter(|(media, _)| media.segments.len() == 9)
    });
    let began = Instant::now();
    let mut fetched: Vec<(u64, usize, Vec<u8>)> = Vec::new();
    let mut deltas = 0;
    for _ in 0..14 {
        let last = media.last_part();
        let (sequence, part) =
            last.map_or((media.next_sequence(), 0), |(sequence, part)| (sequence, part + 1));
        let hint = media.preload_hints[0].uri.clone();
        // The announced part is requested before it is there, and comes with the playlist that lists it.
        let early = viewer.part(&hint);
        let (update, text) = viewer.list(&format!("?_HLS_msn={sequence}&_HLS_part={part}&_HLS_skip=YES"));
        deltas += u32::from(update.skipped > 0);
        let next = update.completed(&media).unwrap_or_else(|| panic!("not complete: {text}"));
        let (old, new) = (parts(&media), parts(&next));
        let added: Vec<_> = new.iter().filter(|part| !old.contains(part)).collect();
        assert!(!added.is_empty() && added[0].2 == hint, "{hint}: {added:?}\n{text}");
        for (number, index, uri) in added {
            let body = viewer.part(uri);
            assert!(*uri != hint || body == early, "{uri}");
            fetched.push((*number, *index, body));
        }
        media = next;
    }
    // 14 parts of half a second, as they were made.
    let took = began.elapsed();
    assert!((Duration::from_millis(5500)..Duration::from_secs(12)).contains(&took), "{took:?}");
    assert!(deltas > 5, "{deltas} delta updates");
    let (whole, _) = viewer.list("");
    let mut compared = 0;
    for segment in &whole.segments {
        let own = fetched.iter().filter(|(number, ..)| *number == segment.sequence);
        let own: Vec<_> = own.map(|(_, index, body)| (*index, body.clone())).collect();
        if own.first().is_some_and(|(index, _)| *index == 0) && own.len() == 2 {
            let bytes: Vec<u8> = own.into_iter().flat_map(|(_, body)| body).collect();
            assert!(bytes == viewer.part(&segment.uri), "{}", segment.uri);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{compared} segments");
    for (query, status) in [("?_HLS_msn=99999", 400), ("?_HLS_part=0", 400), ("?_HLS_msn=x", 400)] {
        assert_eq!(
            viewer.lists.ask("GET", &format!("/stream.m3u8{query}")).unwrap().status,
            status,
            "{query}"
        );
    }
    assert_eq!(viewer.parts.ask("GET", "/seg_99999.0.m4s").unwrap().status, 404);
}

#[test]
fn parts_of_ffmpeg_are_served_as_they_are_made() {
    let origin = Origin::start(&[&LOW_LATENCY[..], &VARIANTS].concat());
    follow(&origin);
    let (_, text) = Viewer::new(&origin).list("");
    assert!(text.contains("#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN="), "{text}");
    let plain = origin.get("/stream.m3u8");
    assert_eq!(plain.header("cache-control"), Some("public, max-age=0"));
    assert_eq!(origin.get("/master.m3u8").status, 200);
    // FFmpeg is replaced, and the numbers go on behind a discontinuity.
    let before = Viewer::new(&origin).list("").0;
    let encoder = origin.child_named("ffmpeg").unwrap();
    hls_swarm_test_support::processes::send(encoder, Signal::SIGKILL);
    let mut viewer = Viewer::new(&origin);
    let deadline = Instant::now() + Duration::from_secs(20);
    let after = loop {
        let (media, _) = viewer.list("");
        if media.segments.iter().any(|segment| segment.discontinuity) {
            break media;
        }
        assert!(Instant::now() < deadline, "no discontinuity");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(after.next_sequence() > before.next_sequence());
    assert!(
        parts(&after).iter().all(|(_, _, uri)| !viewer.part(uri).is_empty()),
        "every part that is listed is there"
    );
    assert!(after.segments.iter().all(|segment| !viewer.part(&segment.uri).is_empty()));
}

#[test]
fn the_embedded_origin_has_parts_as_well() {
    let origin = Origin::start(&[&LOW_LATENCY[..], &["--embedded"]].concat());
    follow(&origin);
    let answer = origin.get("/stream.m3u8");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let uri = Viewer::new(&origin).list("").0.segments[3].parts.first().map(|part| part.uri.clone());
    assert!(
        uri.is_none_or(|uri| origin.get(&format!("/{uri}")).header("content-type") == Some("video/mp2t"))
    );
}

#[test]
fn what_has_no_parts_is_refused() {
    let (code, said) = refusal(&["--profile", "ll-hls", "--separate-audio"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("does not support parts of separate audio") && said.contains("--part-duration 0s"),
        "{said}"
    );
}

/// What a viewer did: file, query, body bytes, and all bytes of each response.
type Requests = Vec<(String, u64, u64)>;

/// Native viewers of the low-latency origin: their requests and bytes equal nginx's log, viewer by viewer; no part is
/// asked for twice, and none is left out.
fn viewers_agree_with_the_log(preset: &str, flags: &[&str]) -> serde_json::Value {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (log, exchanges, report) = (file("access.log"), file("exchanges.ndjson"), file("report.json"));
    let mut origin = Origin::start(&[&LOW_LATENCY[..], flags, &["--access-log", &log]].concat());
    eventually("the playlist is full", Duration::from_secs(20), || {
        Some(Viewer::new(&origin).list("").0).filter(|media| media.segments.len() == 9)
    });
    let url = origin.facts["url"].as_str().unwrap().to_owned();
    let mut swarm = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    swarm.args(["--engine", "native", "--preset", preset, "--clients", "5", "--ramp-rate", "5"]);
    swarm.args(["--duration", "10s", "--metrics", "off", "--tui=false", "--report", &report]);
    let output = swarm.args(["--exchange-log", &exchanges, &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 5)), "{said}");
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));

    let mut logged: BTreeMap<u64, Requests> = BTreeMap::new();
    let mut parts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    // Blocking reloads that were answered, and the seconds for which they were held.
    let mut held = (0.0, 0.0);
    let text = std::fs::read_to_string(&log).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<LogEntry>(line).unwrap());
    for entry in entries {
        let Some((_, viewer)) = entry.http_user_agent.rsplit_once("/client-") else { continue };
        let viewer: u64 = viewer.parse().unwrap();
        let name = entry.uri.trim_start_matches('/').to_owned();
        let numbers = name.strip_prefix("seg_").or(name.strip_prefix("v1_")).map(|rest| rest.split('.'));
        if let Some([number, part, _]) = numbers.map(|numbers| numbers.collect::<Vec<_>>()).as_deref() {
            let (number, part): (u64, u64) = (number.parse().unwrap(), part.parse().unwrap());
            parts.entry(viewer).or_default().push(2 * number + part);
        }
        // 499: the viewer was stopped while the server held the response.
        assert!(matches!(entry.status, 200 | 499), "{entry:?}");
        if entry.status == 200 && entry.args.contains("_HLS_msn=") {
            held = (held.0 + 1.0, held.1 + entry.request_time);
        }
        logged.entry(viewer).or_default().push((name, entry.body_bytes_sent, entry.bytes_sent));
    }
    for (viewer, mut parts) in parts.clone() {
        // The log has the order in which responses ended.
        parts.sort_unstable();
        let unique: BTreeSet<_> = parts.iter().collect();
        assert_eq!(unique.len(), parts.len(), "viewer {viewer} asked for a part twice: {parts:?}");
        assert!(
            parts.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "viewer {viewer} left one out: {parts:?}"
        );
        assert!(parts.len() >= 15, "viewer {viewer}: {parts:?}");
    }
    let mut unfinished = 0;
    for line in std::fs::read_to_string(&exchanges).unwrap().lines() {
        let exchange: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| exchange[name].as_u64().unwrap();
        if exchange["outcome"] != "complete" {
            unfinished += 1;
            continue;
        }
        let own = logged.get_mut(&number("viewer")).unwrap();
        let name = exchange["name"].as_str().unwrap();
        let same = (name.to_owned(), number("body_bytes"), number("head_bytes") + number("body_bytes"));
        let place = own.iter().position(|one| *one == same);
        own.swap_remove(place.unwrap_or_else(|| panic!("not in the log: {line}")));
    }
    // What is left was in flight when the run stopped: a blocking reload and a part of each viewer.
    let left: usize = logged.values().map(Vec::len).sum();
    assert!(left <= unfinished && unfinished <= 15, "{left} logged and not counted, {unfinished} unfinished");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    let number = |path: &str| report.pointer(path).and_then(serde_json::Value::as_f64);
    let loaded = parts.values().map(Vec::len).sum::<usize>() as f64;
    let counted = number("/parts_loaded").unwrap();
    // Players report once a second, so that the parts of the last second are missing: two, and one more in flight.
    assert!(loaded - 5.0 * 4.0 <= counted && counted <= loaded, "{counted} counted, {loaded} in the log");
    let (reloads, seconds) =
        (number("/reloads_blocked").unwrap(), number("/quality/blocked_seconds").unwrap());
    assert!(held.0 - 5.0 * 4.0 <= reloads && reloads <= held.0, "{reloads} counted, {held:?} in the log");
    // Without the last second of each viewer, and with the time that a request takes to the origin and back.
    assert!(
        (held.1 - 5.0 * 1.5..held.1 + 0.02 * held.0).contains(&seconds),
        "{seconds} s, {held:?} in the log"
    );
    assert!(seconds > 5.0 * 6.0, "playlists are held most of the time: {seconds}");
    // Three parts of half a second, without rounding of the histogram.
    let target = number("/latency_seconds/target_latency/p50").unwrap();
    assert!((target - 1.5).abs() < 0.02, "{target}");
    report
}

#[test]
fn native_viewers_play_parts_from_nginx_and_count_what_it_logs() {
    let report = viewers_agree_with_the_log("hlsjs", &VARIANTS);
    // Behind the edge: three parts of 0.5 s, and what passes until the next one is listed.
    let latency = report.pointer("/latency_seconds/latency_by_edge").unwrap();
    println!("by edge {latency}, by date {}", report["latency_seconds"]["latency_by_date"]);
    let p50 = latency["p50"].as_f64().unwrap();
    assert!((1.0..3.0).contains(&p50), "{latency}");
}

#[test]
fn native_viewers_request_announced_parts_of_the_embedded_origin() {
    let report = viewers_agree_with_the_log("simple", &["--embedded"]);
    assert_eq!(report.pointer("/hints_wrong").and_then(serde_json::Value::as_u64), Some(0));
    assert_eq!(report.pointer("/reloads_unblocked").and_then(serde_json::Value::as_u64), Some(0));
}

/// The playlists that a client gets that follows the live edge for this long.
fn responses(origin: &Origin, time: Duration) -> Vec<Response> {
    let mut viewer = Viewer::new(origin);
    let (mut media, text) = viewer.list("");
    let mut responses = vec![Response { asked: None, text }];
    let began = Instant::now();
    while began.elapsed() < time {
        let part = media.partial.as_ref().map_or(0, |partial| partial.parts.len() as u64);
        let asked = (media.next_sequence(), part);
        let skip = if responses.len().is_multiple_of(2) { "&_HLS_skip=YES" } else { "" };
        let (update, text) = viewer.list(&format!("?_HLS_msn={}&_HLS_part={}{skip}", asked.0, asked.1));
        responses.push(Response { asked: Some(asked), text });
        media =
            update.completed(&media).unwrap_or_else(|| panic!("{asked:?}: a delta update is not complete"));
    }
    responses
}

#[test]
fn the_validator_finds_no_fault_in_a_minute() {
    std::thread::scope(|scope| {
        for flags in [&VARIANTS[..], &["--embedded"], &["--part-duration", "300ms"]] {
            scope.spawn(move || {
                let origin = Origin::start(&[&LOW_LATENCY[..], flags].concat());
                let responses = responses(&origin, Duration::from_secs(60));
                assert!(responses.len() > 100, "{flags:?}: {} responses", responses.len());
                assert_eq!(faults(&responses), [""; 0], "{flags:?}");
            });
        }
    });
}

/// Plays a stream with a fault for some seconds, and returns the report.
fn with_fault(fault: &str, preset: &str) -> serde_json::Value {
    let directory = TempDir::new().unwrap();
    let report = directory.path().join("report.json").to_str().unwrap().to_owned();
    let origin = Origin::start(&[&LOW_LATENCY[..], &["--embedded", "--fault", fault]].concat());
    let mut swarm = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    swarm.args(["--engine", "native", "--preset", preset, "--clients", "2", "--duration", "10s"]);
    swarm.args([
        "--metrics",
        "off",
        "--tui=false",
        "--report",
        &report,
        origin.facts["url"].as_str().unwrap(),
    ]);
    let output = swarm.output().unwrap();
    assert!(output.status.code().is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap()
}

#[test]
fn each_fault_of_low_latency_shows_in_its_own_figure() {
    std::thread::scope(|scope| {
        for (fault, preset, figure, least) in [
            ("unblocked-reloads", "hlsjs", "/reloads_unblocked", 6),
            ("dead-hints", "simple", "/hints_wrong", 10),
            ("missing-parts,rate=30%", "hlsjs", "/segments_skipped", 1),
            ("late-parts=1500ms", "hlsjs", "/viewers/stalled", 1),
        ] {
            scope.spawn(move || {
                let report = with_fault(fault, preset);
                let found = report.pointer(figure).and_then(serde_json::Value::as_u64);
                assert!(found >= Some(least), "{fault}: {figure} is {found:?}");
                if fault == "unblocked-reloads" {
                    // Six: three of each viewer, which plays whole segments from then on.
                    assert!(found <= Some(6), "{found:?}");
                    assert_eq!(
                        report.pointer("/viewers/stalled").and_then(serde_json::Value::as_u64),
                        Some(0)
                    );
                }
            });
        }
    });
}
