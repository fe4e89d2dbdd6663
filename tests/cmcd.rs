//! What native viewers report to a CDN (CMCD), as a server receives it.

use std::collections::BTreeSet;
use std::process::Command;

use tempfile::TempDir;
use url::Url;

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
            assert_eq!(before, "bl=0,d=2000,mtp=500,nor=\"1.ts\",ot=av,sf=h,");
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
        assert_eq!(field(one, "CMCD-Object").as_deref(), Some("d=2000,ot=av"));
        assert!(field(one, "CMCD-Request").unwrap().contains("nor=\"2.ts\""), "{}", one.head);
        assert!(field(one, "CMCD-Session").unwrap().starts_with("sf=h,sid=\""), "{}", one.head);
    }
    assert_eq!(of(&served, "/1.ts").count(), 2);
}
