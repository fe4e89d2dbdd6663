//! The program against a real nginx, a real folder, and a Redis that only answers one question.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::audit::bad_server;
use crate::audit::origin::Origin;
use crate::audit::program::{Companion, program};

fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hls-swarm")).arg("audit").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn checks(audit: &Value) -> Vec<String> {
    let findings = audit["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

/// Answers `CONFIG GET maxmemory` with 0, as a Redis does that nobody configured.
fn redis() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().take(20).flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let selection: Vec<String> = lines.by_ref().take(7).map_while(Result::ok).collect();
            let known = selection.iter().any(|line| line == "maxmemory");
            let answer: &[u8] =
                if known { b"*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n" } else { b"-ERR unknown\r\n" };
            drop((&stream).write_all(answer));
        }
    });
    port
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// An nginx with a soft limit of 1024 open files, and its master's process id.
fn start(folder: &Path, port: u16) -> (Companion, u32) {
    let nginx = program("nginx").get_program().to_owned();
    let mut shell = program("sh");
    shell.args(["-c", "ulimit -Sn 1024; exec \"$0\" -c \"$1/nginx.conf\""]);
    let mut process = Companion::start(shell.arg(nginx).arg(folder));
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(
            process.ended().is_none() && begun.elapsed() < Duration::from_secs(10),
            "nginx does not start"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let pid = std::fs::read_to_string(folder.join("nginx.pid")).unwrap();
    (process, pid.trim().parse().unwrap())
}

#[test]
fn a_bad_nginx_is_found_out_and_its_fixes_fix_it() {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    bad_server::write(folder.path(), port, free_port());
    let (mut nginx, pid) = start(folder.path(), port);
    let redis = format!("127.0.0.1:{}", redis());
    let (pid, at) = (pid.to_string(), folder.path().display());
    let [patch, markdown] = ["fix.patch", "audit.md"].map(|name| format!("{at}/{name}"));
    let what = ["--pid", &pid, "--viewers", "600", "--no-host", "--redis", &redis, "--format", "json"];
    let output =
        audit(&[&what[..], &["--report", &patch, "--report", &markdown, "--fail-on", "critical"]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output);
    assert_eq!(
        checks(&report),
        [
            "open-files",
            "stale-segments",
            "redis-memory",
            "upstream-keepalive",
            "open-file-cache",
            "segment-length",
            "rate-limits",
            "list-size",
            "monitoring"
        ]
    );
    let evidence = report["findings"][0]["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("soft limit of open files 1024"), "{evidence}");
    assert!(std::fs::read_to_string(&markdown).unwrap().contains("## critical: workers may open 1024 files"));

    // The patch applies as it stands, nginx takes the result, and what it fixed is gone.
    let applied = program("patch").args(["-p1", "-d", "/", "-i", &patch]).output().unwrap();
    assert!(applied.status.success(), "{applied:?}\n{}", std::fs::read_to_string(&patch).unwrap());
    // Kept open, an old playlist would be served on.
    let site = std::fs::read_to_string(folder.path().join("sites-enabled/default")).unwrap();
    let playlists = site.split_once("location ~ \\.m3u8$ {").expect("a place for playlists").1;
    assert!(playlists.trim_start().starts_with("open_file_cache off;"), "{site}");
    let configuration = format!("{at}/nginx.conf");
    let tested = program("nginx").args(["-t", "-c", &configuration]).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let what =
        ["--config", &configuration, "--viewers", "600", "--no-host", "--redis", "off", "--format", "json"];
    let report = json(&audit(&what));
    assert_eq!(checks(&report), ["stale-segments", "segment-length", "list-size"]);
    nginx.end(nix::sys::signal::Signal::SIGTERM);
}

#[test]
fn our_own_origin_as_it_runs_gets_none_above_low() {
    for profile in ["default", "low-latency"] {
        let origin = Origin::start(&["--profile", profile]);
        let pid = origin.child_named("nginx").unwrap().to_string();
        let output = audit(&[
            "--pid",
            &pid,
            "--no-host",
            "--viewers",
            "500",
            "--format",
            "json",
            "--fail-on",
            "moderate",
        ]);
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        // It was looked at: its configuration, its limits, its folder.
        let good: Vec<&str> =
            report["good"].as_array().unwrap().iter().map(|good| good[0].as_str().unwrap()).collect();
        for check in [
            "open-files",
            "worker-connections",
            "open-file-cache",
            "stale-segments",
            "segment-length",
            "monitoring",
        ] {
            assert!(good.contains(&check), "{check}: {report:#}");
        }
    }
}

#[test]
fn bad_input_is_named() {
    let folder = TempDir::new().unwrap();
    let broken = folder.path().join("broken.conf");
    std::fs::write(&broken, "events {\n").unwrap();
    let broken = broken.to_str().unwrap();
    for (arguments, code, why) in [
        (&["--config", "/none/nginx.conf"][..], 2, "/none/nginx.conf cannot be read"),
        (&["--config", broken], 2, "broken.conf, line 1: a `{` whose `}` is missing"),
        (&["--config", broken, "--report", "x.pdf"], 2, "unknown format \"pdf\""),
        (&["--pid", "1"], 3, "no visible master process of nginx has this id"),
        (&["--viewers", "0"], 2, "expected a number from 1 up"),
    ] {
        let output = audit(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(why), "{arguments:?}: {said}");
    }
}
