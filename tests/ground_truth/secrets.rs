//! Secrets reach only the server: they are in no process list, report, or log.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::account::settle;
use super::media::Live;
use super::site::{Outcome, Site};
use super::streams::assert_passed;
use super::swarm::Swarm;

const TOKEN: &str = "s3cr3t-query-0815";
const BEARER: &str = "s3cr3t-header-4711";
const PLACE: &str = "s3cr3t-path-1337";

/// Every command line of this machine that a user could see.
fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|one| fs::read(one.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        // The test's own encoder writes into the folder that has the secret name.
        .filter(|line| !line.contains(" -hls_time "))
        .collect()
}

#[test]
fn only_the_server_receives_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        format!("{{file:{}}}", path.display())
    };
    let (token, bearer, place) = (kept("token", TOKEN), kept("bearer", BEARER), kept("place", PLACE));
    // Requests without the secrets are refused.
    let rules = format!(
        "if ($http_authorization != \"Bearer {BEARER}\") {{ return 403; }}
         location ~ m3u8$ {{ if ($arg_token != \"{TOKEN}\") {{ return 403; }} }}"
    );
    let site = Site::start(&rules, |www| {
        let www = www.join(PLACE);
        fs::create_dir(&www).unwrap();
        Live::start(&www, &[])
    });
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (header, metrics) = (format!("Authorization: Bearer {bearer}"), format!("127.0.0.1:{port}"));
    let reports = ["r.html", "r.xml", "r.md", "r.csv"].map(|name| folder.path().join(name));
    let mut arguments =
        vec!["--header", &header, "--metrics", &metrics, "--ffmpeg-debug", "--log-level", "trace"];
    for report in &reports {
        arguments.extend(["--report", report.to_str().unwrap()]);
    }
    let url = site.url(&format!("/{place}/s.m3u8?token={token}"));
    let swarm = Swarm::start(&url, 2, 8, &arguments);

    std::thread::sleep(Duration::from_secs(5));
    let lines = command_lines();
    let viewers =
        lines.iter().filter(|line| line.contains("{HLS_SWARM_SECRET_") && line.contains(&site.host()));
    assert_eq!(viewers.count(), 2, "both viewers are listed, with the public part of the URL");
    let mut scrape = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut exposed = String::new();
    scrape.read_to_string(&mut exposed).unwrap();
    assert!(exposed.contains("hls_swarm_info{"), "{exposed}");

    let Outcome { run, served, known } = site.finish(swarm);
    settle("secrets", &run, &served, &known);
    assert_passed(&run);
    assert!(run.output.contains("Opening"), "FFmpeg's messages are in the log");
    assert!(run.output.contains("***"), "secrets in FFmpeg's messages are hidden");
    let files = reports.map(|path| fs::read_to_string(path).unwrap());
    let shown = lines.iter().chain(&files).chain([&exposed, &run.output, &run.text]);
    for text in shown {
        for secret in [TOKEN, BEARER, PLACE] {
            let at = text.find(secret);
            assert_eq!(at, None, "{secret}: …{}", &text[at.unwrap_or(0).saturating_sub(200)..]);
        }
    }
}
