//! Native viewers over HTTP/2: their counts equal nginx's log, request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;

use super::account::settle;
use super::faults::live;
use super::media::Live;
use super::native::{INSECURE, NATIVE, native};
use super::site::{Outcome, Site};
use super::swarm::Run;
use super::truth::Served;

const HTTP2: [&str; 2] = ["--http", "2"];

/// Plays a case over HTTP/2, and checks that nothing else was spoken.
fn http2(
    case: &str,
    site: Site,
    target: &str,
    clients: u32,
    length: u32,
    more: &[&str],
) -> (Run, Vec<Served>) {
    let arguments = [&HTTP2, more].concat();
    let (run, served) = native(case, site.with_tls(), target, clients, length, &arguments);
    assert!(served.iter().all(|one| one.http == "2"), "all is HTTP/2");
    for exchange in &run.exchanges {
        assert_eq!(exchange.tls_handshake.is_some(), exchange.connect.is_some(), "{exchange}");
    }
    (run, served)
}

/// The connections of each viewer, as the server counts them.
fn connections(served: &[Served]) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut connections = BTreeMap::<u32, BTreeSet<u64>>::new();
    for one in served {
        connections.entry(one.viewer).or_default().insert(one.connection.unwrap());
    }
    let all: BTreeSet<u64> = connections.values().flatten().copied().collect();
    assert_eq!(all.len(), connections.values().map(BTreeSet::len).sum::<usize>(), "viewers share none");
    connections
}

#[test]
fn http2_live_ts() {
    let (run, served) = http2("HTTP/2, live TS", Site::start("", live), "/s.m3u8", 4, 12, &[]);
    assert!(connections(&served).values().all(|own| own.len() == 1), "one connection per viewer");
    assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
}

/// Audio and video, and playlists and segments, share the one connection of their viewer.
#[test]
fn http2_separate_audio() {
    let site = Site::start("", Live::start_separate_audio);
    let (run, served) = http2("HTTP/2, separate audio", site, "/master.m3u8", 2, 12, &[]);
    assert!(connections(&served).values().all(|own| own.len() == 1), "one connection per viewer");
    let most = run.exchanges.iter().map(|exchange| exchange.streams).max().unwrap();
    assert!(most >= 2, "audio and video are requested at the same time");
}

/// As many requests at a time as there are renditions.
#[test]
fn http2_all_renditions() {
    let site = Site::start("", Live::start_renditions);
    let (run, served) = http2("HTTP/2, all", site, "/master.m3u8", 2, 12, &["--variant", "all"]);
    assert!(connections(&served).values().all(|own| own.len() == 1), "one connection per viewer");
    let most = run.exchanges.iter().map(|exchange| exchange.streams).max().unwrap();
    assert!(most >= 3, "three renditions: {most}");
}

#[test]
fn http2_compressed_playlists() {
    let server = "gzip on; gzip_min_length 1; gzip_types application/vnd.apple.mpegurl;";
    let (run, _) = http2("HTTP/2, compressed", Site::start(server, live), "/s.m3u8", 3, 12, &[]);
    assert!(run.number("/bytes/manifest") > 0);
}

#[test]
fn http2_redirects_cookies_and_tokens() {
    let server = "
        location = /start.m3u8 { add_header Set-Cookie 'session=1; Path=/'; return 302 /hop/s.m3u8?token=S3cret; }
        location ~ ^/hop/.*ts$ { if ($cookie_session != '1') { return 403; } }
        location ~ ^/hop/.*m3u8$ { if ($arg_token != 'S3cret') { return 403; } }";
    let site = Site::start(server, |www| {
        symlink(www, www.join("hop")).unwrap();
        live(www)
    });
    let (run, served) = http2("HTTP/2, redirects", site, "/start.m3u8", 3, 12, &[]);
    assert!(served.iter().filter(|one| one.status == 302).count() >= 3);
    assert_eq!(run.number("/errors/http"), 0);
}

#[test]
fn http2_not_found_and_unavailable() {
    let server = "
        location ~ /s[0-9]*3\\.ts$ { return 404; }
        location ~ /s[0-9]*6\\.ts$ { return 503; }";
    let site = Site::start(server, live).with_tls();
    let arguments = [&NATIVE[..], &INSECURE, &HTTP2].concat();
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 16, &arguments);
    let account = settle("HTTP/2, 404 and 503", &run, &served, &known);
    let failed = account.whole.iter().filter(|pair| pair.served.status >= 400).count() as u64;
    assert!(failed >= 6);
    assert_eq!(run.number("/errors/http"), failed);
    assert!(connections(&served).values().all(|own| own.len() == 1), "an error does not end the connection");
}

/// nginx announces that it closes connections that were idle, or have carried many requests (GOAWAY). Viewers lose nothing.
fn connections_are_closed(case: &str, server: &str) {
    let (run, served) = http2(case, Site::start(server, live), "/s.m3u8", 3, 12, &[]);
    assert!(connections(&served).values().all(|own| own.len() > 1), "several connections per viewer");
    assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
}

#[test]
fn http2_idle_connections_are_closed() {
    connections_are_closed("HTTP/2, idle connections are closed", "keepalive_timeout 300ms;");
}

#[test]
fn http2_old_connections_are_closed() {
    connections_are_closed("HTTP/2, connections end after five requests", "keepalive_requests 5;");
}
