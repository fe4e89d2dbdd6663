//! The target policy: allow-lists, the administrator's limits, the confirmation, and the error-rate limit. Public
//! addresses are those of RFC 5737, which are not routed; nothing is ever sent to them.

use std::time::{Duration, Instant};

use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::swarm::{Outcome, Swarm};

const PUBLIC: &str = "http://192.0.2.1/live.m3u8";
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// A connection attempt to such an address would take until the timeout of ten seconds.
const AT_ONCE: Duration = Duration::from_secs(8);

fn refused(outcome: &Outcome, code: i32, said: &[&str]) {
    assert_eq!(outcome.code(), code, "{}", outcome.stderr);
    for words in said.iter().chain(&["help: "]) {
        assert!(outcome.stderr.contains(words), "no {words:?} in {}", outcome.stderr);
    }
    assert!(outcome.elapsed < AT_ONCE, "{:?}", outcome.elapsed);
}

#[test]
fn hosts_that_are_not_allowed_receive_no_connection() {
    let outcome = Swarm::new(&["--allow-host", "*.example.com", PUBLIC]).run();
    refused(&outcome, 3, &["192.0.2.1 is not among the hosts that --allow-host allows"]);
    let outcome = Swarm::new(&["--clients", "101", PUBLIC]).run();
    refused(&outcome, 3, &["101 viewers would load 192.0.2.1", "--yes or --allow-host 192.0.2.1"]);
}

#[test]
fn a_stream_cannot_refer_to_a_host_that_is_not_allowed() {
    let redirect = Server::start(|_, _| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {PUBLIC}\r\nContent-Length: 0\r\n\r\n");
        Answer::new(head, Then::Close)
    });
    let url = redirect.url("/live.m3u8");
    let outcome = Swarm::new(&["--allow-host", "cdn.example.com", &url]).run();
    refused(&outcome, 3, &["192.0.2.1 is not among the hosts"]);
    let outcome = Swarm::new(&["--clients", "101", "--skip-preflight", &url]).run();
    refused(&outcome, 3, &["101 viewers would load 192.0.2.1"]);

    let elsewhere = Server::start(|_, _| {
        let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://192.0.2.1/a.ts\n";
        Answer::ok(PLAYLIST, list.as_bytes())
    });
    let url = elsewhere.url("/live.m3u8");
    let outcome = Swarm::new(&["--allow-host", "cdn.example.com", "--skip-preflight", &url]).run();
    refused(&outcome, 3, &["192.0.2.1 is not among the hosts"]);
}

#[test]
fn a_steering_server_has_to_be_allowed_where_viewers_ask_it() {
    let steered = Server::start(|target, _| {
        let list = match target {
            "/main.m3u8" => {
                "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"http://192.0.2.1/steer\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n"
            }
            _ => "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n",
        };
        Answer::ok(PLAYLIST, list.as_bytes())
    });
    let url = steered.url("/main.m3u8");
    let run = |flags: &[&str]| {
        Swarm::new(
            &[&["--engine", "native", "--allow-host", "127.0.0.1", "--duration", "1s"], flags, &[&url]]
                .concat(),
        )
        .run()
    };
    refused(&run(&[]), 3, &["steering", "192.0.2.1 is not among the hosts"]);
    let without = run(&["--preset", "exoplayer"]);
    assert!(!without.stderr.contains("192.0.2.1"), "it does not ask: {}", without.stderr);
}

#[test]
fn the_limits_of_the_administrator_override_flags() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("hls-swarm")).unwrap();
    let file = home.path().join("hls-swarm/config.toml");
    std::fs::write(&file, "max_clients = 5\nallow_hosts = ['cdn.example.com']\n").unwrap();
    let swarm = |arguments: &[&str]| Swarm::new(arguments).env("XDG_CONFIG_HOME", home.path()).run();
    let outcome = swarm(&["--clients", "6", "--yes", "http://127.0.0.1:1/a.m3u8"]);
    refused(&outcome, 2, &["--clients 6", "config.toml allows 5 viewers"]);
    let outcome = swarm(&["--clients", "5", "--allow-host", "192.0.2.1", PUBLIC]);
    refused(&outcome, 3, &["config.toml: allow_hosts allows"]);
    std::fs::write(&file, "max_client = 5\n").unwrap();
    let outcome = swarm(&["http://127.0.0.1:1/a.m3u8"]);
    refused(&outcome, 2, &["config.toml, line 1", "did you mean `max_clients`?"]);
}

/// Viewers play for a while; then every segment is missing.
#[test]
fn a_high_error_rate_ends_the_run_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    hls_swarm_test_support::stream::vod(folder.path(), 1);
    let segment = std::fs::read(folder.path().join("www/vod0.ts")).unwrap();
    let began = Instant::now();
    let server = Server::start(move |target, _| {
        let second = began.elapsed().as_secs();
        if target.ends_with(".m3u8") {
            let entry = |number: u64| format!("#EXT-X-DISCONTINUITY\n#EXTINF:1,\n{number}.ts\n");
            let entries: String = (second..second + 3).map(entry).collect();
            let list = format!(
                "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{second}\n"
            );
            Answer::ok(PLAYLIST, format!("{list}{entries}").as_bytes())
        } else if second < 6 {
            Answer::ok("video/mp2t", &segment)
        } else {
            Answer::new("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Then::Keep)
        }
    });
    let arguments = ["--clients", "8", "--ramp-rate", "50", "--error-storm", "20%:3s", "--duration", "60s"];
    // Thresholds that allow all errors do not disable the limit.
    let outcome =
        Swarm::new(&[&arguments[..], &["--threshold", "error_rate<=100%", &server.url("/a.m3u8")]].concat())
            .run();
    outcome.assert_judged(4, "fail");
    assert!(outcome.elapsed < Duration::from_secs(30), "{:?}", outcome.elapsed);
    assert_eq!(outcome.report["end_reason"], "the error rate exceeded its limit (--error-storm)");
    let criteria = outcome.report["criteria"].as_array().unwrap();
    let error_rate_limit = criteria.iter().find(|criterion| criterion["name"] == "error_storm").unwrap();
    assert_eq!(
        (&error_rate_limit["limit"], &error_rate_limit["met"]),
        (&"less than 20% of the requests failed in the last 3s".into(), &false.into())
    );
    assert!(outcome.stdout.contains("error_storm"), "{}", outcome.stdout);
}
