//! Native viewers over HTTP/3 against nginx and Caddy: their counts equal the servers' logs, request by request. Where a
//! program that speaks HTTP/3 is missing, the tests print NOT RUN; `scripts/test-versions trixie` brings both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::faults::live;
use super::media::Live;
use super::native::{INSECURE, NATIVE, native};
use super::program::Companion;
use super::site::Site;
use super::swarm::{Run, Swarm, USER_AGENT};
use super::truth::Served;

/// Whether the nginx in PATH speaks HTTP/3.
fn nginx_speaks_http3(test: &str) -> bool {
    let output = Command::new("nginx").arg("-V").stdin(Stdio::null()).output();
    let speaks =
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("--with-http_v3_module"));
    if !speaks {
        println!("NOT RUN: {test} (the nginx in PATH has no http_v3_module)");
    }
    speaks
}

fn http3(case: &str, site: Site, target: &str, clients: u32, more: &[&str]) -> (Run, Vec<Served>) {
    let arguments = [&["--http", "3"], more].concat();
    let (run, served) = native(case, site.with_tls(), target, clients, 12, &arguments);
    assert!(served.iter().all(|one| one.http == "3"), "all is HTTP/3");
    (run, served)
}

/// Connections of each viewer.
fn connections(served: &[Served]) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut connections = BTreeMap::<u32, BTreeSet<u64>>::new();
    for one in served {
        connections.entry(one.viewer).or_default().insert(one.connection.unwrap());
    }
    connections
}

#[test]
fn http3_live_ts() {
    if nginx_speaks_http3("http3_live_ts") {
        let (run, served) = http3("HTTP/3, live TS", Site::start_http3("", live), "/s.m3u8", 4, &[]);
        assert!(connections(&served).values().all(|own| own.len() == 1), "one connection per viewer");
        assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
        let row = &run.report["protocols"][0];
        assert_eq!((&row["http"], row["connections"].as_u64()), (&json!("3"), Some(4)), "{row}");
        assert_eq!(row["requests"].as_u64(), Some(run.exchanges.len() as u64));
        assert_eq!(row["bytes"].as_u64(), Some(run.number("/bytes/total")));
        assert_eq!(row["handshake"]["count"].as_u64(), Some(4));
    }
}

#[test]
fn http3_separate_audio() {
    if nginx_speaks_http3("http3_separate_audio") {
        let site = Site::start_http3("", Live::start_separate_audio);
        let (run, served) = http3("HTTP/3, separate audio", site, "/master.m3u8", 2, &[]);
        assert!(connections(&served).values().all(|own| own.len() == 1), "one connection per viewer");
        assert!(
            run.exchanges.iter().any(|exchange| exchange.streams >= 2),
            "audio and video at the same time"
        );
    }
}

/// Viewers begin with HTTP/2, and go on with HTTP/3, which nginx announces.
#[test]
fn http3_that_is_announced() {
    if nginx_speaks_http3("http3_that_is_announced") {
        let site = Site::start_http3("add_header Alt-Svc 'h3=\":$server_port\"; ma=60';", live).with_tls();
        let (run, served) = native("HTTP/3, announced", site, "/s.m3u8", 3, 12, &["--http", "auto"]);
        for viewer in 1..=3 {
            let spoken: Vec<_> =
                served.iter().filter(|one| one.viewer == viewer).map(|one| one.http).collect();
            let (first, last) = (spoken.first().unwrap(), spoken.last().unwrap());
            assert_eq!((*first, *last), ("2", "3"), "viewer {viewer}: {spoken:?}");
        }
        let rows = run.report["protocols"].as_array().unwrap();
        for row in rows {
            let logged = served.iter().filter(|one| row["http"] == one.http).count() as u64;
            let cut = run.exchanges.len() as u64 - served.len().min(run.exchanges.len()) as u64;
            let counted = row["requests"].as_u64().unwrap();
            assert!((logged..=logged + cut).contains(&counted), "{row}: {logged} in the log");
        }
        assert_eq!(rows.len(), 2, "{rows:?}");
    }
}

/// Caddy with its own folder, over TLS and QUIC.
struct Caddy {
    process: Companion,
    port: u16,
    log: std::path::PathBuf,
}

impl Caddy {
    /// Serves `folder/www`; `None` without the program.
    fn start(folder: &Path, test: &str) -> Option<Self> {
        let is_there = Command::new("caddy").arg("version").stdin(Stdio::null()).output().is_ok();
        if !is_there {
            println!("NOT RUN: {test} (caddy is missing)");
            return None;
        }
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
        ]);
        openssl.arg(folder.join("key.pem")).arg("-out").arg(folder.join("certificate.pem"));
        assert!(openssl.stdin(Stdio::null()).output().unwrap().status.success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.join("access.log");
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let configuration = json!({
            "admin": { "disabled": true },
            "logging": { "logs": {
                "default": { "level": "ERROR" },
                "truth": {
                    "writer": { "output": "file", "filename": log, "roll": false },
                    "include": ["http.log.access.truth"],
                },
            } },
            "apps": {
                "tls": { "certificates": { "load_files": [{
                    "certificate": path("certificate.pem"), "key": path("key.pem"),
                }] } },
                "http": { "servers": { "site": {
                    "listen": [format!("127.0.0.1:{port}")],
                    "protocols": ["h1", "h2", "h3"],
                    "automatic_https": { "disable": true },
                    "tls_connection_policies": [{}],
                    "logs": { "default_logger_name": "truth" },
                    "routes": [{ "handle": [{ "handler": "file_server", "root": path("www") }] }],
                } } },
            },
        });
        fs::write(folder.join("caddy.json"), configuration.to_string()).unwrap();
        let mut command = Command::new("caddy");
        command.arg("run").arg("--config").arg(folder.join("caddy.json"));
        command.env("HOME", folder).stdin(Stdio::null());
        let process = Companion::start(&mut command);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "caddy does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { process, port, log })
    }

    /// Stops it; viewer, version of HTTP, file name, status, and body bytes of each request of a viewer.
    fn log(mut self) -> Vec<Request> {
        self.process.end(nix::sys::signal::Signal::SIGTERM);
        let text = fs::read_to_string(&self.log).unwrap();
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter_map(|entry| request(&entry)).collect()
    }
}

type Request = (u32, String, String, u16, u64);

fn request(entry: &Value) -> Option<Request> {
    let request = &entry["request"];
    let agent = request["headers"]["User-Agent"][0].as_str()?;
    let viewer = agent.strip_prefix(USER_AGENT)?.strip_prefix("/client-")?.parse().ok()?;
    let http = match request["proto"].as_str()? {
        "HTTP/2.0" => "2",
        "HTTP/3.0" => "3",
        other => other,
    };
    let name = request["uri"].as_str()?.rsplit('/').next()?;
    let status = u16::try_from(entry["status"].as_u64()?).ok()?;
    Some((viewer, http.to_owned(), name.to_owned(), status, entry["size"].as_u64()?))
}

/// Each request that a viewer saw whole is in Caddy's log with the same version, status, and bytes, and the log has no others
/// than those that were under way when the run ended.
fn caddy(http: &str, versions: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("www")).unwrap();
    let _live = live(&folder.path().join("www"));
    let Some(caddy) = Caddy::start(folder.path(), &format!("caddy_over_http{http}")) else { return };
    let arguments = [&NATIVE[..], &INSECURE, &["--http", http]].concat();
    let url = format!("https://127.0.0.1:{}/s.m3u8", caddy.port);
    let run = Swarm::start(&url, 3, 12, &arguments).finish();
    assert!(matches!(run.exit_code, Some(0 | 5)), "{:?}: {}", run.exit_code, run.output);
    let mut logged = caddy.log();
    let mut cut = 0;
    for exchange in &run.exchanges {
        if !exchange.is_complete() {
            cut += 1;
            continue;
        }
        let seen = (
            exchange.viewer,
            exchange.http.clone(),
            exchange.name.clone(),
            exchange.status.unwrap(),
            exchange.body_bytes,
        );
        let place = logged.iter().position(|one| *one == seen);
        let place = place.unwrap_or_else(|| panic!("not in the log: {exchange}\n{logged:?}"));
        logged.remove(place);
    }
    assert!(logged.len() <= cut, "in the log, and seen by no viewer: {logged:?}");
    let segments = run.exchanges.iter().filter(|exchange| exchange.kind == "segment").count();
    assert!(segments >= 3 * 5, "{segments}");
    let spoken: BTreeSet<&str> = run.exchanges.iter().map(|exchange| exchange.http.as_str()).collect();
    assert_eq!(spoken, versions.iter().copied().collect());
    assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
}

#[test]
fn caddy_over_http2() {
    caddy("2", &["2"]);
}

#[test]
fn caddy_over_http3() {
    caddy("3", &["3"]);
}

/// Caddy announces HTTP/3.
#[test]
fn caddy_over_what_it_announces() {
    caddy("auto", &["2", "3"]);
}
