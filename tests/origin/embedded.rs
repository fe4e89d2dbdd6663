//! The embedded origin: FFmpeg plays it without warnings, its responses are like those of nginx, and the viewers
//! of hls-swarm count the same requests as its access log.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::access_log::LogEntry;
use hls_swarm_origin::publisher::playlist;
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::processes::descendants;
use hls_swarm_test_support::waiting::eventually;

/// The embedded origin needs neither program, and logs nothing without a problem.
const EMBEDDED: [&str; 7] =
    ["--embedded", "--ffmpeg", "/no/ffmpeg", "--nginx", "/no/nginx", "--log-level", "warn"];

fn entries(log: &std::path::Path) -> Vec<LogEntry> {
    let text = std::fs::read_to_string(log).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<LogEntry>(line).unwrap());
    // The origin itself first checks that the stream can be fetched.
    entries.filter(|entry| !entry.http_user_agent.starts_with("hls-origin/")).collect()
}

#[test]
fn ffmpeg_plays_live_and_vod_without_warnings() {
    let origin = Origin::start(&EMBEDDED);
    let base = format!("http://127.0.0.1:{}", origin.port());
    for (path, limit) in [("stream.m3u8", &["-t", "6"][..]), ("master.m3u8", &["-t", "4"]), ("vod.m3u8", &[])]
    {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "warning", "-i"]).arg(format!("{base}/{path}")).args(limit);
        let output = command.args(["-f", "null", "-"]).output().unwrap();
        assert!(output.status.success(), "{path}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{path}");
    }
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-show_entries", "format=duration", "-of", "csv=p=0"]);
    let output = command.arg(format!("{base}/vod.m3u8")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let seconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!((59.9..60.2).contains(&seconds), "{seconds}");
}

#[test]
fn the_live_playlist_advances_and_its_segments_can_be_fetched() {
    let origin = Origin::start(&EMBEDDED);
    assert!(descendants(origin.pid()).len() <= 1, "only the guard");
    let (first, _) = origin.playlist().unwrap();
    assert_eq!(first.segments.len(), 4, "the playlist is full from the start");
    for segment in &first.segments {
        let answer = origin.get(&format!("/{segment}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60, immutable"));
        assert!(answer.body.chunks(188).all(|packet| packet.len() == 188 && packet[0] == 0x47));
        // 100 and 128 kbit/s for one second.
        assert!((28_000..29_000).contains(&answer.body.len()), "{}", answer.body.len());
    }
    eventually("the playlist advances", Duration::from_secs(5), || {
        origin.playlist().filter(|(now, _)| now.media_sequence >= first.media_sequence + 2)
    });
    for path in ["/seg_99999.ts", "/seg_0.ts", "/nothing", "/", "/../Cargo.toml"] {
        assert_eq!(origin.get(path).status, 404, "{path}");
    }
    let health = origin.get("/health");
    assert_eq!((health.status, health.body.as_slice()), (200, b"ok\n".as_slice()));
    let refused = ask(origin.port(), "POST", "/stream.m3u8").unwrap();
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let head = ask(origin.port(), "HEAD", "/vod_00000.ts").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let status = String::from_utf8(origin.get("/nginx_status").body).unwrap();
    assert!(status.starts_with("Active connections: 1 \nserver accepts handled requests\n "), "{status}");
    let sizes: serde_json::Value = serde_json::from_slice(&origin.get("/files/json/").body).unwrap();
    let last = sizes.as_array().unwrap().last().unwrap();
    let body = origin.get(&format!("/{}", last["name"].as_str().unwrap())).body;
    assert_eq!(last["size"].as_u64(), Some(body.len() as u64));
}

#[test]
fn a_vod_is_served_instead_of_the_live_stream() {
    let origin = Origin::start(&[&EMBEDDED[..], &["--vod", "10"]].concat());
    let text = String::from_utf8(origin.get("/stream.m3u8").body).unwrap();
    assert!(text.ends_with("vod_00009.ts\n#EXT-X-ENDLIST\n"), "{text}");
    assert_eq!(playlist::parse(&text).unwrap().segments.len(), 10);
    assert_eq!((origin.get("/vod_00009.ts").status, origin.get("/vod_00010.ts").status), (200, 404));
}

#[test]
fn viewers_count_the_same_requests_as_the_access_log() {
    let directory = TempDir::new().unwrap();
    let (log, exchanges) = (directory.path().join("access.log"), directory.path().join("exchanges.ndjson"));
    let mut origin = Origin::start(&[&EMBEDDED[..], &["--access-log", log.to_str().unwrap()]].concat());
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let mut swarm = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    swarm.args(["--clients", "5", "--ramp-rate", "5", "--duration", "8s", "--metrics", "off", "--tui=false"]);
    let output = swarm.args(["--exchange-log", exchanges.to_str().unwrap(), &url]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));

    // The stream check of the run is not a viewer.
    let mut logged: BTreeMap<(u64, String, u64, u64), usize> = BTreeMap::new();
    for entry in entries(&log).into_iter().filter(|entry| entry.http_user_agent.contains("/client-")) {
        assert!(matches!(entry.status, 200 | 206), "{entry:?}");
        let name = entry.uri.trim_start_matches('/').to_owned();
        *logged
            .entry((entry.remote_port.into(), name, entry.body_bytes_sent, entry.bytes_sent))
            .or_default() += 1;
    }
    let mut complete = 0;
    for line in std::fs::read_to_string(&exchanges).unwrap().lines() {
        let exchange: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| exchange[name].as_u64().unwrap();
        if exchange["outcome"] == "complete" {
            let sent = number("head_bytes") + number("body_bytes");
            let name = exchange["name"].as_str().unwrap().to_owned();
            let left = logged.get_mut(&(number("local_port"), name, number("body_bytes"), sent));
            *left.filter(|left| **left > 0).unwrap_or_else(|| panic!("not in the log: {line}")) -= 1;
            complete += 1;
        }
    }
    assert!(complete > 40, "{complete}");
    // When the run stops, each viewer may have a playlist and two segments in flight.
    let left: usize = logged.values().sum();
    assert!(left <= 15, "logged but not counted: {left}");
}

#[test]
fn unsupported_settings_are_rejected() {
    for (flags, message) in [
        (&["--format", "fmp4"][..], "the embedded origin does not support fMP4"),
        (&["--encryption", "aes-128"], "does not support encryption"),
        (&["--fault", "encoder-death"], "the embedded origin has no process to kill"),
    ] {
        let (code, said) = refusal(&[&["--embedded"], flags].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(message) && said.contains("omit --embedded"), "{said}");
    }
}
