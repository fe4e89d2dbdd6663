//! The responses of a ready origin.

use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::access_log::LogEntry;
use hls_swarm_origin::publisher::playlist;
use hls_swarm_test_support::http::{Connection, ask};
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::processes::{Process, descendants, send};
use hls_swarm_test_support::waiting::eventually;

#[test]
fn the_announced_stream_can_be_fetched() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("ready.json");
    let origin = Origin::start(&["--ready-file", file.to_str().unwrap()]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    assert_eq!(origin.ready, format!("READY {url}"));
    assert_eq!(origin.facts["ready"], true);
    assert_eq!(origin.facts["url"], url);
    assert_eq!(origin.facts["pid"], origin.pid());
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, origin.facts);

    let health = origin.get("/health");
    assert_eq!((health.status, health.body.as_slice()), (200, b"ok\n".as_slice()));
    let status = origin.get("/nginx_status");
    assert!(String::from_utf8(status.body).unwrap().starts_with("Active connections: "));

    // A full playlist of complete segments: MPEG-TS packets have 188 bytes and start with 0x47.
    let (listed, _) = eventually("four segments are listed", Duration::from_secs(15), || {
        origin.playlist().filter(|(listed, _)| listed.segments.len() == 4)
    });
    for segment in &listed.segments {
        let answer = origin.get(&format!("/{segment}"));
        assert_eq!(answer.status, 200, "{segment}");
        assert_eq!(answer.header("content-type"), Some("video/mp2t"));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(!answer.body.is_empty() && answer.body.len().is_multiple_of(188));
        assert!(answer.body.chunks(188).all(|packet| packet[0] == 0x47));
    }
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

/// A connection to each worker of nginx: while it is opened, all other workers are stopped.
fn connection_to_each_worker(origin: &Origin) -> Vec<Connection> {
    let workers = descendants(origin.child_named("nginx").unwrap());
    let open = |worker: &Process| {
        let others: Vec<_> = workers.iter().filter(|other| other.pid != worker.pid).collect();
        others.iter().for_each(|other| send(other.pid, Signal::SIGSTOP));
        // A worker that is not stopped yet could accept the connection.
        eventually("the other workers are stopped", Duration::from_secs(5), || {
            others.iter().all(|other| is_stopped(other.pid)).then_some(())
        });
        let mut connection = Connection::open(origin.port()).unwrap();
        assert_eq!(connection.ask("GET", "/health").unwrap().status, 200);
        others.iter().for_each(|other| send(other.pid, Signal::SIGCONT));
        connection
    };
    workers.iter().map(open).collect()
}

fn media_sequence(connection: &mut Connection) -> u64 {
    let text = String::from_utf8(connection.ask("GET", "/stream.m3u8").unwrap().body).unwrap();
    playlist::parse(&text).unwrap().media_sequence
}

/// A worker with an older playlist in its cache must not answer after one with a newer playlist. (With one CPU,
/// there is only one worker.)
#[test]
fn the_media_sequence_never_decreases_across_workers() {
    let origin = Origin::start(&[]);
    let mut connections = connection_to_each_worker(&origin);
    let file = origin.directory().join("www/stream.m3u8");
    let changed = || std::fs::metadata(&file).unwrap().modified().unwrap();
    let mut newest = 0;
    for pause in (500..950).step_by(40) {
        std::thread::sleep(Duration::from_millis(pause));
        // One worker reads the playlist shortly before it changes, the others do not.
        let before = changed();
        media_sequence(&mut connections[0]);
        eventually("the playlist changes", Duration::from_secs(5), || (changed() != before).then_some(()));
        for connection in connections.iter_mut().rev() {
            let now = media_sequence(connection);
            assert!(now >= newest, "{now} after {newest}");
            newest = now;
        }
    }
    assert!(newest >= 6, "the stream advanced");
}

#[test]
fn responses_have_the_headers_for_players_and_caches() {
    let origin = Origin::start(&["--segment-seconds", "2"]);
    let playlist = origin.get("/stream.m3u8");
    assert_eq!(playlist.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(playlist.header("cache-control"), Some("public, max-age=1, stale-while-revalidate=2"));
    assert_eq!(playlist.header("access-control-allow-origin"), Some("*"));
    assert_eq!(playlist.header("allow"), None);
    let segment = origin.get("/seg_00000.ts");
    assert_eq!(segment.header("cache-control"), Some("public, max-age=60, immutable"));

    let missing = origin.get("/seg_99999.ts");
    assert_eq!((missing.status, missing.header("cache-control")), (404, None));
    assert_eq!(missing.header("access-control-allow-origin"), Some("*"));
    // A page of another origin must not read figures about this machine through a user's browser.
    for path in ["/nginx_status", "/files/json/"] {
        let figures = origin.get(path);
        assert_eq!((figures.status, figures.header("cache-control")), (200, Some("no-store")), "{path}");
        assert_eq!(figures.header("access-control-allow-origin"), None, "{path}");
    }
    // Neither its own files nor the way up are served.
    for path in ["/", "/nginx.conf", "/../nginx.conf", "/seg_00000.ts.tmp"] {
        assert!(matches!(origin.get(path).status, 400 | 404), "{path}");
    }

    let preflight = ask(origin.port(), "OPTIONS", "/stream.m3u8").unwrap();
    assert_eq!((preflight.status, preflight.header("access-control-max-age")), (204, Some("86400")));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    let head = ask(origin.port(), "HEAD", "/stream.m3u8").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = ask(origin.port(), method, "/stream.m3u8").unwrap();
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
}

#[test]
fn the_access_log_has_one_exact_entry_per_request() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("access log.json");
    let mut origin = Origin::start(&["--access-log", file.to_str().unwrap()]);
    let segment = origin.get("/seg_00000.ts?token=\"x\"");
    let missing = origin.get("/gone.ts");
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));

    let text = std::fs::read_to_string(file).unwrap();
    let entries: Vec<LogEntry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (own, by_client): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.http_user_agent.starts_with("hls-origin/"));
    // The origin checked the stream with two requests on one connection.
    assert_eq!(own.iter().map(|entry| entry.connection_requests).collect::<Vec<_>>(), [1, 2]);
    let [first, second] = by_client.as_slice() else { panic!("{text}") };
    assert_eq!((first.uri.as_str(), first.args.as_str()), ("/seg_00000.ts", "token=\"x\""));
    assert_eq!((first.status, first.body_bytes_sent), (200, segment.body.len() as u64));
    assert_eq!((first.request_method.as_str(), first.request_completion.as_str()), ("GET", "OK"));
    assert_eq!((second.status, second.body_bytes_sent), (404, missing.body.len() as u64));
    assert!(first.bytes_sent > first.body_bytes_sent && first.msec > 1.6e9 && first.remote_port > 0);
}

#[test]
fn a_live_encoder_is_served_too() {
    let origin = Origin::start(&["--encoder", "live"]);
    let (first, _) = origin.playlist().unwrap();
    eventually("the live stream advances", Duration::from_secs(20), || {
        origin.playlist().filter(|(now, _)| now.media_sequence >= first.media_sequence + 2)
    });
    assert_eq!(origin.get("/health").status, 200);
}

#[test]
fn the_origin_listens_on_the_requested_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let origin = Origin::start(&["--listen", "::", "--port", &free.to_string()]);
    assert_eq!(origin.port(), free);
    assert_eq!(origin.facts["url"], format!("http://[::1]:{free}/stream.m3u8"));
    assert_eq!(origin.get("/health").status, 200, "the unspecified address serves IPv4 as well");
}
