//! Insight into caches and streams, compared with a real nginx: two caching edges in front of one origin, each with
//! a log of its cache. One of them keeps playlists for far too long, the other one lacks some
//! segments. ffmpeg and nginx must be installed: without them this test fails, it does not skip.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::program::{Companion, program};
use hls_swarm_test_support::swarm::Swarm;
use hls_swarm_test_support::waiting::eventually;

const GOOD: &str = "127.0.0.1";
const SLOW: &str = "127.0.0.2";

/// Counts by edge, kind, and cache status.
type Counts = BTreeMap<(String, String, &'static str), u64>;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn edges(folder: &Path, origin: u16, edge: u16) -> String {
    let own = folder.display();
    let server = |address: &str, zone: &str, more: &str| {
        format!(
            "proxy_cache_path {own}/{zone} keys_zone={zone}:1m;
             server {{
               listen {address}:{edge};
               proxy_cache {zone}; proxy_cache_lock on;
               add_header X-Cache $upstream_cache_status always; add_header X-Served-By {zone} always;
               location / {{ proxy_pass http://127.0.0.1:{origin}; proxy_cache_valid 200 60s; add_header Age 7;
                 add_header X-Cache $upstream_cache_status always; add_header X-Served-By {zone} always; }}
               {more}
             }}"
        )
    };
    let playlists = |seconds: u32| {
        format!(
            "location ~ m3u8$ {{ proxy_pass http://127.0.0.1:{origin}; proxy_cache_valid 200 {seconds}s; }}"
        )
    };
    let missing = "location ~ [37].ts$ { return 404; }";
    format!(
        "server {{ listen 127.0.0.1:{origin}; root {own}/www; access_log off; }}\n{}\n{}",
        server(GOOD, "good", &format!("{missing} {}", playlists(1))),
        server(SLOW, "slow", &playlists(5))
    )
}

fn live(folder: &Path) -> Companion {
    let www = folder.join("www");
    std::fs::create_dir(&www).unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10"]);
    ffmpeg.args(["-c:v", "mpeg2video", "-g", "10", "-f", "hls", "-hls_time", "1", "-hls_list_size", "8"]);
    ffmpeg.args(["-hls_flags", "temp_file"]).arg(www.join("live.m3u8"));
    let companion = Companion::start(&mut ffmpeg);
    eventually("the stream is live", Duration::from_secs(20), || www.join("live2.ts").exists().then_some(()));
    companion
}

#[test]
fn caches_edges_and_playlists_equal_the_logs_of_the_edges() {
    let folder = tempfile::tempdir().unwrap();
    let stream = live(folder.path());
    let (origin, edge) = (free_port(), free_port());
    let http = edges(folder.path(), origin, edge);
    let log_format = "log_format truth '$http_user_agent $server_addr $status $upstream_cache_status $uri \
                      $body_bytes_sent';";
    let nginx = Nginx::start(folder.path(), Site { log_format, http: &http, ..Site::default() });
    let resolve = format!("{GOOD},{SLOW}");
    let url = format!("http://edge.test:{edge}/live.m3u8");
    let arguments = ["--resolve", &resolve, "--clients", "4", "--ramp-rate", "10", "--duration", "14s", &url];
    let outcome = Swarm::new(&arguments).run();
    let log = nginx.log();
    drop(stream);

    let (mut words, mut totals, mut missing) = (Counts::new(), BTreeMap::new(), BTreeMap::new());
    for line in log.lines().filter(|line| line.contains("/client-")) {
        let [_, address, status, word, uri, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let kind = if uri.ends_with(".ts") { "segment" } else { "manifest" };
        let word = match word {
            "HIT" => Some("hits"),
            "MISS" => Some("misses"),
            "-" | "" => None,
            _ => Some("others"),
        };
        if let Some(word) = word {
            *words.entry((address.to_owned(), kind.to_owned(), word)).or_default() += 1;
        }
        let total: &mut (u64, u64) = totals.entry(address.to_owned()).or_default();
        total.0 += 1;
        total.1 += bytes.parse::<u64>().unwrap();
        if status == "404" {
            *missing.entry(uri.trim_start_matches('/').to_owned()).or_insert(0_u64) += 1;
        }
    }

    let insight = &outcome.report["insight"];
    let rows = insight["edges"].as_array().unwrap();
    let mut reported = Counts::new();
    for row in rows {
        let address = row["address"].as_str().unwrap().to_owned();
        for counts in row["cache"].as_array().unwrap() {
            for word in ["hits", "misses", "others"] {
                let count = counts[word].as_u64().unwrap();
                if count > 0 {
                    let kind = counts["kind"].as_str().unwrap().to_owned();
                    reported.insert((address.clone(), kind, word), count);
                }
            }
        }
        let edge: (u64, u64) = (row["requests"].as_u64().unwrap(), row["bytes"].as_u64().unwrap());
        println!("{address}: {edge:?} reported, {:?} logged", totals[&address]);
    }
    // Requests in flight when a viewer was stopped may be only in the log.
    let open = outcome.number("/in_flight_at_stop") as u64;
    println!("{reported:?} reported\n{words:?} logged, {open} in flight at the stop");
    let sum = |counts: &Counts| counts.values().sum::<u64>();
    assert!(sum(&words) - sum(&reported) <= open, "{reported:?} {words:?}");
    for (key, logged) in &words {
        let reported = reported.get(key).copied().unwrap_or(0);
        assert!(
            reported <= *logged && logged - reported <= open,
            "{key:?}: {reported} reported, {logged} logged"
        );
    }
    assert!(words.keys().any(|(_, _, word)| *word == "hits"), "{words:?}");
    assert!(words.keys().any(|(_, _, word)| *word == "others"), "{words:?}");

    let edge = |address: &str| rows.iter().find(|row| row["address"] == address).unwrap();
    assert_eq!((&edge(GOOD)["names"][0], &edge(SLOW)["names"][0]), (&"good".into(), &Value::from("slow")));
    for address in [GOOD, SLOW] {
        let requests = edge(address)["requests"].as_u64().unwrap();
        assert!(totals[address].0.abs_diff(requests) <= open, "{address}: {requests} {totals:?}");
    }
    // Only the copies of the slow edge were too old.
    assert_eq!(edge(GOOD)["old_playlists"], 0, "{insight:#}");
    assert!(edge(SLOW)["old_playlists"].as_u64().unwrap() > 0, "{insight:#}");
    assert!(insight["playlists"]["stale"].as_u64().unwrap() > 0, "{insight:#}");
    assert_eq!(insight["playlists"]["regressed"], 0, "{insight:#}");
    let failed: BTreeMap<String, u64> = insight["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(failed, missing);
    assert!(!failed.is_empty());
    let age = insight["ages"].as_array().unwrap().iter().find(|row| row["kind"] == "segment").unwrap();
    assert_eq!((&age["seconds"]["p50"], &age["seconds"]["max"]), (&7.0.into(), &Value::from(7.0)));
}
