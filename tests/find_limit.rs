//! `--find-limit` against a server whose limit is known.

use std::time::Instant;

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
