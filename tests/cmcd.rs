//! What native viewers report to a CDN (CMCD), as a server receives it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::server::{Answer, Served, Server, Then};

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n\
                        #EXT-X-ENDLIST\n";

fn answer(target: &str) -> Answer {
    match target.split('?').next() {
        Some("/v.m3u8") => Answer::ok("application/vnd.apple.mpegurl", PLAYLIST.as_bytes()),
        Some(path) if path.ends_with(".ts") => {
            let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
            Answer::ok("video/mp2t", &packet.repeat(500))
        }
        _ => Answer::new("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Then::Keep),
    }
}

/// Plays the VOD with two viewers. Returns the hashes of the addresses that were requested.
fn play(server: &Server, mode: &str) -> BTreeSet<String> {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("exchanges.ndjson");
    let mut swarm = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    swarm.args([
        "--engine",
        "native",
        "--cmcd",
        mode,
        "--clients",
        "2",
        "--ramp-rate",
        "5",
        "--duration",
        "4s",
    ]);
    swarm.args(["--metrics", "off", "--tui=false", "--exchange-log"]).arg(&log).arg(server.url("/v.m3u8"));
    let output = swarm.output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log).unwrap();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["url_hash"].to_string();
    text.lines().map(line).collect()
}

/// The requests of viewers, by their path.
fn of<'a>(served: &'a [Served], path: &'a str) -> impl Iterator<Item = &'a Served> {
    let is_viewer = |one: &&Served| one.head.contains("/client-");
    served.iter().filter(is_viewer).filter(move |one| one.target.split('?').next() == Some(path))
}

#[test]
fn requests_are_described_in_the_query() {
    let server = Server::start(|target, _| answer(target));
    let hashes = play(&server, "query");
    assert_eq!(hashes, play(&server, "off"), "an address is the same whatever is reported with it");
    let served = server.served();
    let data = |one: &Served| {
        let url = Url::parse(&format!("http://host{}", one.target)).unwrap();
        url.query_pairs().find(|(name, _)| name == "CMCD").map(|(_, data)| data.into_owned())
    };
    let sessions: BTreeSet<String> = of(&served, "/0.ts")
        .filter_map(&data)
        .map(|data| {
            let (before, sid) = data.split_once("sid=\"").unwrap();
            assert_eq!(before, "br=0,d=2000,mtp=500,nor=\"1.ts\",ot=av,sf=h,");
            let (sid, after) = sid.split_once('"').unwrap();
            assert_eq!((sid.len(), after), (36, ",su"), "{data}");
            sid.to_owned()
        })
        .collect();
    assert_eq!(sessions.len(), 2, "each viewer is a session");
    let lists: Vec<_> = of(&served, "/v.m3u8").map(&data).collect();
    // Two viewers described their requests, and two did not.
    assert_eq!(lists.iter().flatten().count(), 2, "{lists:?}");
    assert!(lists.iter().flatten().all(|data| data.starts_with("mtp=500,ot=m,sf=h,sid=")), "{lists:?}");
    assert!(of(&served, "/2.ts").filter_map(&data).all(|data| !data.contains("nor=")));
}

#[test]
fn requests_are_described_in_headers() {
    let server = Server::start(|target, _| answer(target));
    play(&server, "header");
    let served = server.served();
    let field = |one: &Served, name: &str| {
        let value =
            one.head.lines().find_map(|line| line.split_once(": ").filter(|(field, _)| *field == name));
        value.map(|(_, value)| value.trim().to_owned())
    };
    for one in of(&served, "/1.ts") {
        assert_eq!(one.target, "/1.ts");
        assert_eq!(field(one, "CMCD-Object").as_deref(), Some("br=0,d=2000,ot=av"));
        assert!(field(one, "CMCD-Request").unwrap().contains("nor=\"2.ts\""), "{}", one.head);
        assert!(field(one, "CMCD-Session").unwrap().starts_with("sf=h,sid=\""), "{}", one.head);
    }
    assert_eq!(of(&served, "/1.ts").count(), 2);
}

const VIEWERS: u64 = 5;

/// Plays a stream of the origin with five viewers, whose second half of the run may have a fault. Returns the report, and
/// what the origin sums up of its access log.
fn summed(origin: &[&str], swarm: &[&str], fault: Option<&str>) -> (Value, Value) {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (log, report) = (file("access.log"), file("report.json"));
    let mut origin = Origin::start(&[origin, &["--access-log", &log]].concat());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    command.args([
        "--engine",
        "native",
        "--clients",
        &VIEWERS.to_string(),
        "--ramp-rate",
        "5",
        "--duration",
        "16s",
    ]);
    command.args(["--metrics", "off", "--tui=false", "--report", &report]).args(swarm);
    let url = origin.facts["url"].as_str().unwrap().to_owned();
    let viewers = std::thread::spawn(move || command.arg(url).output().unwrap());
    if let Some(fault) = fault {
        let control = origin.facts["control"].as_str().unwrap().to_owned();
        let change = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hls-origin"));
            let output = command.args(["fault", "--control", &control]).args(words).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        std::thread::sleep(Duration::from_secs(6));
        change(&["add", fault]);
        std::thread::sleep(Duration::from_secs(2));
        change(&["clear"]);
    }
    let output = viewers.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let report = std::fs::read_to_string(report).unwrap_or_else(|error| panic!("{error}: {said}"));
    let mut sum = Command::new(env!("CARGO_BIN_EXE_hls-origin"));
    let sum = sum.args(["cmcd", "--json", &log]).output().unwrap();
    assert!(sum.status.success(), "{}", String::from_utf8_lossy(&sum.stderr));
    (serde_json::from_str(&report).unwrap(), serde_json::from_slice(&sum.stdout).unwrap())
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

/// What viewers had in flight when they were stopped may be on one side only.
fn assert_about(one: u64, other: u64) {
    assert!(one.abs_diff(other) <= VIEWERS && one > 5 * VIEWERS, "{one}, {other}");
}

/// The sums of the origin are those of the report, in both modes and both versions.
#[test]
fn the_origin_sums_up_what_the_report_counts() {
    for (origin, mode, version) in [(&["--embedded"][..], "query", "1"), (&[][..], "header", "2")] {
        let (report, sum) =
            summed(origin, &["--cmcd", mode, "--cmcd-version", version, "--cmcd-cid", "a \"demo\""], None);
        assert_eq!(sum["sessions"].as_object().unwrap().len() as u64, VIEWERS, "{sum:#}");
        assert_eq!(number(&sum, "/unreadable"), 0, "{sum:#}");
        assert_about(number(&report, "/requests/manifest"), number(&sum, "/object_types/m/requests"));
        assert_about(number(&report, "/requests/segment"), number(&sum, "/object_types/av/requests"));
        assert_eq!(sum["versions"].as_object().unwrap().keys().collect::<Vec<_>>(), [version]);
        assert_eq!(sum["contents"]["a \"demo\""], sum["described"], "every request names the content");
        // Preflight does not describe its requests.
        assert!(number(&sum, "/requests") > number(&sum, "/described"));
        let segments = &sum["object_types"]["av"];
        // Segments of one second.
        let media = segments["media_seconds"].as_f64().unwrap();
        assert!((media - number(segments, "/requests") as f64).abs() < 1.0, "{sum:#}");
        let bytes = number(&report, "/bytes/segment").abs_diff(number(segments, "/bytes"));
        assert!(bytes * 10 <= number(segments, "/bytes"), "{sum:#}");
        if version == "2" {
            let sessions = sum["sessions"].as_object().unwrap();
            assert!(sessions.values().all(|session| session["reports_missing"] == 0), "{sum:#}");
        }
    }
}

/// Each viewer reports that its buffer ran empty, as often as the report counts stalls.
#[test]
fn starvations_are_the_stalls_of_the_report() {
    let swarm = ["--cmcd", "header", "--cmcd-version", "2", "--preset", "simple", "--error-storm", "off"];
    let (report, sum) = summed(&["--faults"], &swarm, Some("delay=7s,path=*.ts"));
    let stalls = report["quality"]["stalls"].as_object().unwrap();
    let stalls: u64 = stalls.values().map(|count| count.as_u64().unwrap()).sum();
    let mut starved = 0;
    for session in sum["sessions"].as_object().unwrap().values() {
        let lasted = session["starved_ms"].as_array().unwrap();
        let counted = session["starvations_counted"].as_u64().unwrap();
        assert!(session["buffer_starvations"].as_u64().unwrap() <= counted, "{sum:#}");
        // One may have begun when the last report was sent.
        assert!((lasted.len() as u64..=lasted.len() as u64 + 1).contains(&counted), "{sum:#}");
        // Shorter interruptions do not count as stalls.
        let long = lasted.iter().filter(|one| one.as_f64().unwrap() >= 250.0).count() as u64;
        assert!(long > 0, "each viewer stalls: {sum:#}");
        starved += long;
        let delay = session["start_delay_ms"].as_f64().unwrap();
        let longest = report["latency_seconds"]["startup"]["max"].as_f64().unwrap() * 1000.0;
        assert!(delay <= longest + 1.0, "{delay} ms, {longest} ms at most");
    }
    assert_eq!(starved, stalls, "{sum:#}");
}

#[test]
fn what_is_not_an_access_log_or_not_a_content_id_is_refused() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    std::fs::write(&log, "{}\n").unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(env!("CARGO_BIN_EXE_hls-origin"), &["cmcd", log.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("line 1 is not of an access log"), "{code:?} {said}");
    let (code, said) = run(env!("CARGO_BIN_EXE_hls-origin"), &["cmcd", "/no/such/log"]);
    assert!(code == Some(2) && said.contains("/no/such/log: cannot be read"), "{code:?} {said}");
    let long = "x".repeat(129);
    for (flag, value) in [("--cmcd-cid", "é"), ("--cmcd-cid", &long), ("--cmcd-version", "3")] {
        let arguments = ["--engine", "native", "--cmcd", "query", flag, value, "http://127.0.0.1:9/a.m3u8"];
        let (code, said) = run(env!("CARGO_BIN_EXE_hls-swarm"), &arguments);
        assert!(code == Some(2) && said.contains(flag), "{code:?} {said}");
    }
}
