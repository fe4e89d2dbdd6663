//! Streams behind TLS, redirects, and tokens.

use std::os::unix::fs::symlink;

use super::account::settle;
use super::media::Live;
use super::site::{Outcome, Site};
use super::streams::{assert_passed, count};

fn live(www: &std::path::Path) -> Live {
    Live::start(www, &[])
}

/// Over TLS, requests, status codes, and body bytes are as exact as without it. The kernel's bytes are
/// ciphertext, so there is no agreement.
#[test]
fn https() {
    let site = Site::start("", live);
    let site = site.with_tls();
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 12, &["--dangerous", "--insecure"]);
    let account = settle("HTTPS", &run, &served, &known);
    assert_passed(&run);
    assert!(count(&account, "segment") >= 3 * 8);
    for pair in &account.whole {
        let exchange = pair.exchange;
        assert!(exchange.tls, "{exchange}");
        assert_eq!(exchange.tls_handshake.is_some(), exchange.connect.is_some(), "{exchange}");
    }
}

/// A redirect counts as a request.
#[test]
fn redirects() {
    let server = "
        location = /start.m3u8 { return 302 /hop/s.m3u8; }
        location ~ ^/hop/(.*\\.ts)$ { return 302 /data/$1; }";
    let site = Site::start(server, |www| {
        for name in ["hop", "data"] {
            symlink(www, www.join(name)).unwrap();
        }
        live(www)
    });
    let Outcome { run, served, known } = site.play("/start.m3u8", 3, 12, &[]);
    let account = settle("redirects", &run, &served, &known);
    assert_passed(&run);
    let of = |prefix: &str, status: u16| {
        account
            .whole
            .iter()
            .filter(|pair| pair.served.target.starts_with(prefix) && pair.served.status == status)
            .count()
    };
    assert!(of("/start.m3u8", 302) >= 3);
    assert!(of("/hop/s", 302) >= 3 * 8 && of("/hop/s.m3u8", 200) >= 3);
    // Each redirect was followed, except for one that was the last response of a stopped viewer.
    for row in &run.rows {
        let by_viewer: Vec<_> = served.iter().filter(|one| one.viewer == row.viewer).collect();
        let asked = |prefix: &str| {
            let segments = by_viewer.iter().filter(|one| one.kind() == "segment");
            segments.filter(|one| one.target.starts_with(prefix)).count()
        };
        let last = by_viewer.last().unwrap();
        let open = usize::from(last.kind() == "segment" && last.target.starts_with("/hop/"));
        assert_eq!(asked("/hop/"), asked("/data/") + open, "viewer {}", row.viewer);
    }
}

/// Tokens in the queries of playlists and segments reach the server, and are not in the report or the exchange log.
/// nginx modifies the playlist, so it is sent in chunks, whose framing counts as body.
#[test]
fn token_in_the_query() {
    let server = "
        if ($arg_token != 'S3cret') { return 403; }
        location ~ m3u8$ {
          sub_filter_types application/vnd.apple.mpegurl; sub_filter_once off;
          sub_filter '.ts' '.ts?token=S3cret&part=1';
        }";
    let site = Site::start(server, live);
    let Outcome { run, served, known } = site.play("/s.m3u8?token=S3cret", 3, 12, &[]);
    let account = settle("token", &run, &served, &known);
    assert_passed(&run);
    assert!(served.iter().all(|one| one.target.contains("?token=S3cret") && one.status == 200));
    assert!(count(&account, "segment") >= 3 * 8 && count(&account, "manifest") >= 3 * 5);
    assert!(!run.text.contains("S3cret"), "the token is in {}", run.text);
    assert!(!run.output.contains("S3cret"), "the token is in {}", run.output);
}
