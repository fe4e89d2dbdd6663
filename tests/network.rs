//! The viewers' network settings, compared with a real nginx's log: resolved addresses with TLS verified,
//! source addresses, and bandwidth caps. ffmpeg, nginx and openssl must be
//! installed: without them these tests fail, they do not skip.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::program::program;
use hls_swarm_test_support::stream::vod;
use hls_swarm_test_support::swarm::{Outcome, Swarm};

/// nginx in front of `folder/www`, with an additional port on two addresses, and a certificate for
/// origin.test that a private authority signed.
struct Edge {
    nginx: Nginx,
    port: u16,
    authority: PathBuf,
    _folder: TempDir,
}

/// One line of the log.
#[derive(Debug)]
struct Line {
    viewer: String,
    from: String,
    to: String,
    sni: String,
    host: String,
    bytes: f64,
    seconds: f64,
    ended: f64,
    uri: String,
}

impl Edge {
    fn start(fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let authority = certificates(folder.path());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let own = folder.path().display();
        let http = format!(
            "server {{
               listen 127.0.0.1:{port} ssl sndbuf=16k; listen 127.0.0.2:{port} ssl sndbuf=16k;
               ssl_certificate {own}/origin.pem; ssl_certificate_key {own}/origin.key;
               root {own}/www;
             }}"
        );
        let log_format = "log_format truth '$http_user_agent $remote_addr $server_addr $ssl_server_name \
                          $host $bytes_sent $request_time $msec $uri';";
        let nginx = Nginx::start(folder.path(), Site { log_format, http: &http, ..Site::default() });
        Self { nginx, port, authority, _folder: folder }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/vod.m3u8", self.port)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Swarm::new(arguments).env("SSL_CERT_FILE", &self.authority).run()
    }

    /// Stops nginx and returns the requests of viewers.
    fn served(self) -> Vec<Line> {
        let log = self.nginx.log();
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [agent, from, to, sni, host, bytes, seconds, ended, uri] = words[..] else {
                panic!("{line}")
            };
            let viewer = agent.rsplit('/').next().unwrap();
            let [viewer, from, to, sni, host, uri] = [viewer, from, to, sni, host, uri].map(str::to_owned);
            let [bytes, seconds, ended] = [bytes, seconds, ended].map(|text| text.parse().unwrap());
            Line { viewer, from, to, sni, host, bytes, seconds, ended, uri }
        };
        log.lines().map(line).collect()
    }
}

/// Creates `origin.pem` and `origin.key` in `folder`; returns the authority that signed them.
fn certificates(folder: &Path) -> PathBuf {
    let openssl = |arguments: &str| {
        let output = program("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:origin.test\n").unwrap();
    openssl(&format!("req {key} -subj /CN=origin.test -keyout origin.key -out origin.csr"));
    openssl(
        "x509 -req -in origin.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out origin.pem",
    );
    folder.join("ca.pem")
}

/// Verified TLS to a name that no resolver knows, by two addresses in turn, from four addresses in turn.
#[test]
fn names_resolve_as_configured_and_viewers_use_many_source_addresses_with_tls_verified() {
    let edge = Edge::start(|folder| vod(folder, 20));
    let url = edge.url("origin.test");
    let outcome = edge.run(&[
        "--resolve",
        "127.0.0.1,127.0.0.2",
        "--source-ip",
        "127.0.0.5-127.0.0.7,127.0.0.9",
        "--probe",
        "require",
        "--clients",
        "4",
        "--ramp-rate",
        "20",
        "--duration",
        "6s",
        &url,
    ]);
    outcome.assert_judged(0, "pass");
    let served = edge.served();
    let mut viewers = BTreeMap::<&str, (BTreeSet<&str>, BTreeSet<&str>)>::new();
    for line in &served {
        assert_eq!((line.sni.as_str(), line.host.as_str()), ("origin.test", "origin.test"), "{line:?}");
        let (from, to) = viewers.entry(&line.viewer).or_default();
        from.insert(&line.from);
        to.insert(&line.to);
    }
    let one = |text: &'static str| BTreeSet::from([text]);
    let expected = [
        ("client-1", "127.0.0.5", "127.0.0.1"),
        ("client-2", "127.0.0.6", "127.0.0.2"),
        ("client-3", "127.0.0.7", "127.0.0.1"),
        ("client-4", "127.0.0.9", "127.0.0.2"),
    ];
    for (viewer, from, to) in expected {
        assert_eq!(viewers[viewer], (one(from), one(to)), "{viewer}");
    }
    assert!(viewers.contains_key("preflight"), "{viewers:?}");
    let connects = outcome.number("/latency_seconds/connect/count");
    assert!(connects >= 4.0, "{connects}");
    assert!(outcome.report.pointer("/latency_seconds/dns").is_none(), "no name was looked up");
}

/// No setting is ignored: a wrong certificate, a name without the flag, an address of another machine, an
/// FFmpeg that cannot load the probe.
#[test]
fn settings_that_cannot_be_applied_end_the_run_in_preflight() {
    let edge = Edge::start(|folder| vod(folder, 2));
    let (url, other) = (edge.url("origin.test"), edge.url("other.test"));
    let wrapper = FakeFfmpeg::always("unset LD_PRELOAD\nexec ffmpeg \"$@\"");
    let wrapper = wrapper.path();
    let cases: [(&[&str], &str); 4] = [
        (&["--resolve", "127.0.0.1", &other], "certificate"),
        (&[&url], "origin.test"),
        (
            &["--resolve", "127.0.0.1", "--source-ip", "127.0.0.1,192.0.2.1", &url],
            "192.0.2.1 is not an address",
        ),
        (&["--resolve", "127.0.0.1", "--ffmpeg", &wrapper, &url], "--resolve is done by the probe"),
    ];
    for (arguments, said) in cases {
        let outcome = edge.run(&[arguments, &["--clients", "1", "--duration", "3s"]].concat());
        assert_eq!(outcome.code(), 3, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    }
    assert!(edge.served().iter().all(|line| line.viewer == "preflight" && line.sni == "origin.test"));
}

/// Only the probe can change the trusted certificates of an FFmpeg that verifies every certificate, as 9.0 does.
#[test]
fn viewers_that_cannot_be_given_trusted_certificates_are_refused() {
    let edge = Edge::start(|folder| vod(folder, 10));
    let url = edge.url("127.0.0.1");
    let verifying = FakeFfmpeg::always(
        "case \" $* \" in\n*' -h full '*) said=$(ffmpeg \"$@\") || exit 1\n\
         echo \"$said\" | sed '/ -tls_verify /s/(default [^)]*)/(default 1)/' ;;\n*) exec ffmpeg \"$@\" ;;\nesac",
    );
    let path = verifying.path();
    let what = ["--dangerous", "--insecure", "--clients", "1", "--duration", "4s", "--ffmpeg", &path, &url];
    let outcome = edge.run(&[&["--probe", "off"], &what[..]].concat());
    assert_eq!(outcome.code(), 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("only the probe passes --insecure on"), "{}", outcome.stderr);
    let outcome = edge.run(&[&["--probe", "require"], &what[..]].concat());
    outcome.assert_judged(0, "pass");
    assert!(outcome.number("/requests/segment") >= 3.0, "{}", outcome.stdout);
}

/// Two viewers of a stream of 4 Mbit/s: one may read 2 Mbit/s, the other one 40. nginx's log shows how
/// fast each of them was served.
#[test]
fn a_capped_viewer_is_served_at_its_cap_and_stalls() {
    let edge = Edge::start(|folder| vod_of_4_mbit(folder, 24));
    let url = edge.url("origin.test");
    let outcome = edge.run(&[
        "--resolve",
        "127.0.0.1",
        "--bandwidth-cap",
        "2M,40M",
        "--clients",
        "2",
        "--ramp-rate",
        "20",
        "--duration",
        "15s",
        &url,
    ]);
    // Without a burst at its start, FFmpeg reads a VOD without the buffer of a player, so stalls are not measured.
    if outcome.report["source"]["playback"] != "unbuffered" {
        assert!(outcome.number("/viewers/stalled") >= 1.0, "{}", outcome.stderr);
    }
    let states: Vec<&str> = outcome.report["per_viewer"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.len(), 2);
    let media = |viewer: usize| outcome.number(&format!("/per_viewer/{viewer}/media_seconds"));
    assert!(media(0) < 9.0 && media(1) > 11.0, "{} {}", media(0), media(1));
    let served = edge.served();
    let capped: Vec<&Line> =
        served.iter().filter(|line| line.viewer == "client-1" && line.uri.ends_with(".ts")).collect();
    let began = capped.first().map(|line| line.ended - line.seconds).unwrap();
    let ended = capped.last().map(|line| line.ended).unwrap();
    let bits = capped.iter().map(|line| line.bytes).sum::<f64>() * 8.0;
    let rate = bits / (ended - began);
    println!("{} segments at {:.3} Mbit/s", capped.len(), rate / 1e6);
    assert!((1.8e6..=2.2e6).contains(&rate), "{rate}: {capped:?}");
}

/// A VOD with a constant 4 Mbit/s in segments of one second.
fn vod_of_4_mbit(folder: &Path, seconds: u32) {
    let www = folder.join("www");
    std::fs::create_dir(&www).unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25"]);
    ffmpeg.args(["-t", &seconds.to_string(), "-c:v", "mpeg2video", "-g", "25", "-b:v", "4M"]);
    ffmpeg.args(["-minrate", "4M", "-maxrate", "4M", "-bufsize", "1M", "-muxrate", "4.3M"]);
    ffmpeg.args(["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"]);
    let output = ffmpeg.arg(www.join("vod.m3u8")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
