//! `--find-limit` against servers whose limits are known, one of them a real nginx, and where this machine is the limit.

use std::fs;
use std::time::Instant;

use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::publisher::packets;
use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::stream::served;
use hls_swarm_test_support::swarm::Swarm;

/// A live stream that `most` viewers get; the others get 503.
fn limited(most: u32) -> Server {
    let began = Instant::now();
    Server::start_by_head(move |target, head, _| {
        let viewer = head
            .split("/client-")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
        match viewer {
            Some(viewer) if viewer > most => {
                Answer::new(&b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"[..], Then::Keep)
            }
            _ => served(target, began),
        }
    })
}

#[test]
fn the_limit_of_a_server_is_found_and_the_cap_never_exceeded() {
    let server = limited(5);
    let url = server.url("/live.m3u8");
    let load = ["--engine", "native", "--find-limit", "--clients", "12", "--hold", "3s", "--ramp-rate", "50"];
    let outcome = Swarm::new(&[&load[..], &["--ramp-jitter", "0s", "--at-least", "9", &url]].concat()).run();
    let said = outcome.report["end_reason"].as_str().unwrap();
    println!("{said}\n{}", outcome.stdout);
    assert!(said.starts_with("holds 5 viewers (") && said.contains("fails at 6 because"), "{said}");
    assert!(said.contains("held in 2 of 2 attempts, failed in 2 of 2 attempts"), "{said}");
    assert_eq!((outcome.code(), &outcome.report["verdict"]), (4, &"fail".into()), "{}", outcome.stdout);
    let criterion = &outcome.report["criteria"][0];
    assert_eq!((&criterion["name"], &criterion["value"]), (&"limit".into(), &5.0.into()), "{criterion}");
    // Each attempt is a stage, and shows what it failed by.
    let stages = outcome.report["stages"].as_array().unwrap();
    for stage in stages {
        assert_eq!(stage["met"], stage["clients"].as_u64() <= Some(5), "{stage}");
    }
    let most = stages.iter().map(|stage| stage["clients"].as_u64().unwrap()).max();
    assert!(most <= Some(12) && outcome.number("/peak_clients") <= 12.0, "{most:?}");
}

#[test]
fn a_cap_that_holds_is_found() {
    let server = limited(100);
    let url = server.url("/live.m3u8");
    let load = ["--engine", "native", "--find-limit", "--clients", "4", "--hold", "2s", "--ramp-rate", "50"];
    let outcome = Swarm::new(&[&load[..], &["--ramp-jitter", "0s", &url]].concat()).run();
    let said = outcome.report["end_reason"].as_str().unwrap();
    assert_eq!(outcome.code(), 0, "{}", outcome.stdout);
    assert!(said.starts_with("holds 4 viewers (") && said.contains("4 was the cap"), "{said}");
    assert_eq!(outcome.number("/peak_clients"), 4.0);
}

#[test]
fn the_limit_of_connections_of_a_real_nginx_is_found() {
    const MOST: u64 = 5;
    // A segment of 2 s takes about 1.9 s, so each viewer has nearly always one request under way.
    const RATE: usize = 50_000;
    let home = tempfile::tempdir().unwrap();
    let www = home.path().join("www");
    fs::create_dir(&www).unwrap();
    let segments: String = (0..100).map(|number| format!("#EXTINF:2,\ns{number}.ts\n")).collect();
    let list = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n");
    fs::write(www.join("vod.m3u8"), list).unwrap();
    // What nginx may send in the first second is sent at once.
    let body = packets(RATE * 29 / 10);
    (0..100).for_each(|number| fs::write(www.join(format!("s{number}.ts")), &body).unwrap());
    let http = "limit_conn_zone $server_addr zone=all:1m;";
    let server = format!("limit_conn all {MOST}; limit_rate {RATE};");
    let nginx = Nginx::start(home.path(), Site { http, server: &server, ..Site::default() });
    let url = format!("http://127.0.0.1:{}/vod.m3u8", nginx.plain);
    // Begins with a 32nd of the cap.
    let load =
        ["--engine", "native", "--find-limit", "--clients", "128", "--hold", "3s", "--ramp-rate", "50"];
    let outcome = Swarm::new(&[&load[..], &["--ramp-jitter", "0s", &url]].concat()).run();
    let said = outcome.report["end_reason"].as_str().unwrap();
    println!("{said}\n{}", outcome.stdout);
    // One viewer more is refused nearly always, and two more are always.
    let holds = [MOST, MOST + 1].map(|most| format!("holds {most} viewers ("));
    assert!(holds.iter().any(|holds| said.starts_with(holds)), "{said}");
    assert!(said.contains("fails at"), "{said}");
    assert!(outcome.report["http_status"]["503"].as_u64().unwrap() > 0, "{}", outcome.stdout);
}

#[test]
fn a_limit_of_this_machine_is_none_of_the_server() {
    let server = limited(10_000);
    let url = server.url("/live.m3u8");
    // 40 viewers fit into 120 open files, and 160 do not, whatever they share.
    let load =
        ["--engine", "native", "--find-limit", "--clients", "1280", "--hold", "2s", "--ramp-rate", "100"];
    let more = ["--ramp-jitter", "0s", "--skip-preflight", &url];
    let outcome = Swarm::after("ulimit -n 120", &[&load[..], &more].concat()).run();
    let said = outcome.report["end_reason"].as_str().unwrap_or_default();
    println!("{said}\n{}\n{}", outcome.stdout, outcome.stderr);
    assert_eq!((outcome.code(), &outcome.report["verdict"]), (5, &"invalid".into()), "{said}");
    assert!(outcome.number("/generator_exhausted") > 0.0, "{}", outcome.stdout);
    assert!(said.contains("we were the limit") && !said.contains("fails at"), "{said}");
    assert!(outcome.number("/peak_clients") <= 160.0, "{said}");
}
