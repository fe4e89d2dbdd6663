//! The socket probe in FFmpeg and curl, over plain HTTP and inside TLS, against nginx's own log. FFmpeg,
//! curl, nginx and openssl must be installed: without them these tests fail, they do not skip.

use std::fs;
use std::path::Path;
use std::process::Command;

use hls_swarm_probe::record::{NETWORK_ENVIRONMENT, Record, body, content, encoding, end, flag, kind};
use hls_swarm_test_support::nginx::Nginx;
use hls_swarm_test_support::program::program;

use crate::probe::served::{self, Logged};
use crate::probe::watched::{Run, run};

/// A folder with `www/s.m3u8` and its segments, and nginx in front of it.
fn origin() -> (tempfile::TempDir, Nginx) {
    let folder = tempfile::tempdir().unwrap();
    let www = folder.path().join("www");
    fs::create_dir(&www).unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-t", "6"]);
    ffmpeg.args([
        "-c:v",
        "mpeg2video",
        "-g",
        "50",
        "-f",
        "hls",
        "-hls_time",
        "2",
        "-hls_playlist_type",
        "vod",
    ]);
    let output = ffmpeg.arg(www.join("s.m3u8")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let nginx = served::start(folder.path());
    (folder, nginx)
}

/// A viewer that prints every packet that it received. Newer versions of FFmpeg verify certificates; an OpenSSL
/// build reads ours from the environment.
fn viewer(url: &str, certificate: &Path) -> Command {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-i", url, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-"]);
    ffmpeg.env("SSL_CERT_FILE", certificate).env_remove("http_proxy").env_remove("https_proxy");
    ffmpeg
}

fn curl(certificate: &Path) -> Command {
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "15", "--http1.1", "--cacert"]);
    curl.arg(certificate);
    curl
}

/// Checks that every request in the log is one exchange with the same facts, and that there are no others.
fn assert_same(run: &Run, log: &[Logged], tls: bool) {
    let exchanges = run.exchanges();
    assert_eq!(exchanges.len(), log.len(), "{log:#?}\n{exchanges:#?}");
    let key = |record: &Record| (record.local_port, String::from_utf8_lossy(record.name()).into_owned());
    for logged in log {
        let record =
            exchanges.iter().find(|record| key(record) == (logged.port, logged.name.clone())).unwrap();
        assert_eq!((record.end, record.status), (end::COMPLETE, logged.status), "{}", logged.name);
        assert_eq!(record.head_bytes, logged.head_bytes, "{}", logged.name);
        assert_eq!(record.body_bytes, logged.body_bytes, "{}", logged.name);
        assert_eq!(record.has(flag::TLS), tls);
        let text = logged.head_bytes + logged.body_bytes;
        if tls {
            // Handshake on the first exchange of a connection; framing on each.
            assert!((text + 20..text + text / 50 + 8192).contains(&record.received), "{}", logged.name);
        } else {
            assert_eq!(record.received, text, "{}", logged.name);
        }
    }
    for record in &exchanges {
        assert_eq!(record.has(flag::CONNECT), record.request == 1);
        assert_eq!(record.has(flag::TLS_HANDSHAKE), tls && record.request == 1);
        assert_eq!(record.tls_ns > 0, tls && record.request == 1);
    }
}

fn ffmpeg_against_nginx(tls: bool) {
    let (folder, nginx) = origin();
    let (scheme, port) = if tls { ("https", nginx.tls) } else { ("http", nginx.plain) };
    let url = format!("{scheme}://127.0.0.1:{port}/s.m3u8");
    let run = run(&mut viewer(&url, &nginx.certificate()));
    assert!(run.output.status.success(), "{:?}", run.output);
    let after_run = fs::read_to_string(folder.path().join("access.log")).unwrap().lines().count();
    let plain = viewer(&url, &nginx.certificate()).output().unwrap();
    assert_eq!(plain, run.output, "FFmpeg does the same with and without the probe");
    assert!(plain.stdout.len() > 1000);
    let log = served::log(nginx);
    assert_same(&run, &log[..after_run], tls);
    assert_eq!(after_run, 4, "a playlist and three segments");
    let playlist = &run.exchanges()[0];
    assert_eq!(
        (playlist.sniff().get(..7), playlist.content_type()),
        (Some(&b"#EXTM3U"[..]), &b"application/vnd.apple.mpegurl"[..])
    );
    let text = fs::read(folder.path().join("www/s.m3u8")).unwrap();
    let asked = format!("/s.m3u8\n127.0.0.1:{port}\n").into_bytes();
    assert_eq!(run.body_of(playlist), [asked, text].concat(), "FFmpeg read the file that nginx has");
    assert_eq!((playlist.body, playlist.content), (body::WHOLE, content::PLAYLIST));
    for segment in &run.exchanges()[1..] {
        assert_eq!((segment.body, segment.content), (body::NONE, content::MPEG_TS));
        assert_eq!((segment.sniff()[0], segment.content_type()), (0x47, &b"video/mp2t"[..]));
    }
}

#[test]
fn ffmpeg_over_plain_http() {
    ffmpeg_against_nginx(false);
}

#[test]
fn ffmpeg_over_tls() {
    ffmpeg_against_nginx(true);
}

#[test]
fn curl_over_tls() {
    let (_folder, nginx) = origin();
    let base = format!("https://127.0.0.1:{}", nginx.tls);
    let run = run(curl(&nginx.certificate())
        .args(["--compressed", "--location"])
        .args(
            ["/s.m3u8", "/s0.ts", "/moved/s1.ts", "/none.ts", "/to-the-end/s.m3u8"]
                .map(|path| format!("{base}{path}")),
        )
        .args(["-o", "/dev/null"].repeat(5)));
    assert!(run.output.status.success(), "{:?}", run.output);
    let log = served::log(nginx);
    let exchanges = run.exchanges();
    assert_eq!(
        exchanges.iter().map(|record| record.status).collect::<Vec<_>>(),
        [200, 200, 302, 200, 404, 200]
    );
    assert!(exchanges.iter().all(|record| record.connection == 1), "kept alive");
    for (record, logged) in exchanges.iter().zip(&log) {
        assert_eq!(
            (record.head_bytes, record.body_bytes),
            (logged.head_bytes, logged.body_bytes),
            "{logged:?}"
        );
        assert_eq!(record.end, end::COMPLETE, "{logged:?}");
        assert!(record.has(flag::TLS));
    }
    let chunked = exchanges[0];
    assert!(chunked.has(flag::CHUNKED | flag::ENCODED) && chunked.sniff().starts_with(&[0x1f, 0x8b]));
    let to_the_end = exchanges[5];
    assert!(to_the_end.has(flag::CONNECTION_CLOSE | flag::ENCODED));
    assert!(!to_the_end.has(flag::CHUNKED) && !to_the_end.has(flag::CONTENT_LENGTH));
    let bodies = [chunked, to_the_end].map(|playlist| {
        assert_eq!((playlist.body, playlist.encoding), (body::WHOLE, encoding::GZIP));
        let body = run.body_of(&playlist);
        let start = body.windows(2).position(|bytes| bytes == [0x1f, 0x8b]).unwrap();
        body[start..].to_vec()
    });
    assert_eq!(bodies[0], bodies[1], "the body as it was sent, whatever its framing");
}

#[test]
fn curl_refuses_the_certificate() {
    let (_folder, nginx) = origin();
    let mut command = program("curl");
    command.args(["--silent", "--noproxy", "*", &format!("https://127.0.0.1:{}/s.m3u8", nginx.tls)]);
    let run = run(&mut command);
    assert_eq!(run.output.status.code(), Some(60));
    assert!(run.exchanges().is_empty());
    let closed = run.of(kind::CLOSED);
    assert_eq!((closed.len(), closed[0].request), (1, 0));
    assert!(closed[0].has(flag::TLS | flag::CONNECT) && !closed[0].has(flag::TLS_HANDSHAKE));
    assert!(closed[0].received > 0, "the certificate was received");
    assert!(served::log(nginx).is_empty());
}

/// A viewer that verifies certificates trusts those that the probe was configured to trust, for the requested
/// name, and no others.
#[test]
fn certificates_are_verified_as_configured() {
    let (folder, nginx) = origin();
    let (own, other) = (nginx.certificate(), folder.path().join("other.pem"));
    let mut openssl = program("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=other", "-keyout", "/dev/null", "-out"]).arg(&other);
    assert!(openssl.output().unwrap().status.success());

    // GnuTLS, in FFmpeg.
    let plays = |host: &str, settings: &str, authorities: &Path| {
        let mut ffmpeg = program("ffmpeg");
        let url = format!("https://{host}:{}/s.m3u8", nginx.tls);
        ffmpeg.args(["-v", "error", "-nostdin", "-tls_verify", "1", "-i", &url, "-map", "0:v"]);
        ffmpeg.args(["-c", "copy", "-f", "framecrc", "-"]).env(NETWORK_ENVIRONMENT, settings);
        ffmpeg.env("SSL_CERT_FILE", authorities).env_remove("http_proxy").env_remove("https_proxy");
        let output = run(&mut ffmpeg).output;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("certificate"), "{said}");
        output.status.success()
    };
    let (numbers, name) = ("127.0.0.1", "origin.test");
    let elsewhere = format!("resolve={name}/0/{numbers}");
    assert!(!plays(numbers, "cap=1000000000", &own), "no authority was configured");
    assert!(plays(numbers, "trust=SSL_CERT_FILE", &own));
    assert!(!plays(numbers, "trust=SSL_CERT_FILE", &other), "it trusts only that file");
    assert!(!plays(name, &format!("trust=SSL_CERT_FILE {elsewhere}"), &own), "its name is another one");
    assert!(plays(name, &format!("verify=no {elsewhere}"), &other));

    // OpenSSL.
    let connects = |settings: &str| {
        let mut client = program("openssl");
        client.args(["s_client", "-verify", "1", "-verify_return_error", "-CAfile"]).arg(&other);
        client.args(["-connect", &format!("{numbers}:{}", nginx.tls)]).env(NETWORK_ENVIRONMENT, settings);
        run(&mut client).output.status.success()
    };
    assert!(!connects("cap=1000000000") && connects("verify=no"));
}
