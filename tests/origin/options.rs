//! The effects of the tables `serve`, `log` and `limits` of a profile, and of the state directory.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::profile::BUILT_IN;
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::{Origin, command};
use hls_swarm_test_support::waiting::eventually;

#[test]
fn request_rates_are_limited_by_address_and_by_token() {
    let limits = ["--token-requests-per-second", "1", "--limit-burst", "3", "--limit-status", "503"];
    let origin = Origin::start(&limits);
    let statuses = |path: &str| -> Vec<u16> {
        (0..8).map(|_| ask(origin.port(), "GET", path).unwrap().status).collect()
    };
    let tokens = ["a", "b"].map(|token| statuses(&format!("/stream.m3u8?token={token}")));
    for seen in &tokens {
        let served = seen.iter().filter(|status| **status == 200).count();
        // One request, three in the burst, and one for each second that has passed.
        assert!(
            (4..=6).contains(&served) && seen.iter().all(|status| matches!(status, 200 | 503)),
            "{seen:?}"
        );
    }
    assert_eq!(statuses("/stream.m3u8"), [200; 8], "requests without a token are not limited");
    assert_eq!(statuses("/health"), [200; 8]);

    let origin = Origin::start(&["--address-requests-per-second", "20", "--limit-burst", "2"]);
    let seen: Vec<u16> = (0..40).map(|_| ask(origin.port(), "GET", "/stream.m3u8").unwrap().status).collect();
    assert!(seen.contains(&200) && seen.contains(&429), "{seen:?}");
}

#[test]
fn connections_of_one_address_are_limited() {
    let origin =
        Origin::start(&["--address-connections", "1", "--video-bitrate", "20000", "--video-size", "640x360"]);
    // A request in flight whose body is not read.
    let segment = origin.playlist().unwrap().0.segments[0].clone();
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", origin.port())).unwrap();
    nix::sys::socket::setsockopt(&slow, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
    let size = ask(origin.port(), "HEAD", &format!("/{segment}")).unwrap();
    let size: u64 = size.header("content-length").unwrap().parse().unwrap();
    std::io::Write::write_all(&mut slow, format!("GET /{segment} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .unwrap();
    let mut first = [0; 12];
    slow.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let status = ask(origin.port(), "GET", "/stream.m3u8").unwrap().status;
    // A response that fits into the buffers of the kernel is no longer in flight.
    assert!(status == 429 || size < 4 << 20, "{status} with {size} bytes in flight");
}

#[test]
fn https_has_its_own_certificate_and_http_2() {
    let origin = Origin::start(&["--tls", "--tls-port", "0"]);
    let (url, ca) = (origin.facts["tls_url"].as_str().unwrap(), origin.facts["ca"].as_str().unwrap());
    let curl = |url: &str, more: &[&str]| {
        let written = ["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
        let output = Command::new("curl").args(written).args(more).arg(url).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(curl(url, &["--cacert", ca]), (true, "2 200".to_owned()));
    assert_eq!(curl(url, &["--cacert", ca, "--http1.1"]), (true, "1.1 200".to_owned()));
    let by_name = url.replace("127.0.0.1", "localhost");
    assert_eq!(curl(&by_name, &["--cacert", ca]), (true, "2 200".to_owned()));
    assert!(!curl(url, &[]).0, "the certificate is not trusted without its authority");
    let key = origin.directory().join("certificate.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(key).unwrap());
    assert_eq!(mode & 0o077, 0, "only the owner can read the key");
    let plain = Origin::start(&["--tls", "--tls-port", "0", "--http2=false"]);
    let (url, ca) = (plain.facts["tls_url"].as_str().unwrap(), plain.facts["ca"].as_str().unwrap());
    assert_eq!(curl(url, &["--cacert", ca]), (true, "1.1 200".to_owned()));
}

#[test]
fn systemd_is_notified() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let cache = TempDir::new().unwrap();
    let mut command = command(&["--cache-dir", cache.path().to_str().unwrap()]);
    command
        .env("NOTIFY_SOCKET", &path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    let mut origin = command.spawn().unwrap();
    let receive = || {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let ready = receive();
    hls_swarm_test_support::processes::send(origin.id(), Signal::SIGTERM);
    let stopping = receive();
    assert_eq!(origin.wait().unwrap().code(), Some(0));
    assert!(ready.starts_with("READY=1\nSTATUS=http://127.0.0.1:"), "{ready}");
    assert_eq!(stopping, "STOPPING=1\n");
}

#[test]
fn a_saved_position_is_continued() {
    let state = TempDir::new().unwrap();
    let arguments = ["--state-dir", state.path().to_str().unwrap()];
    let mut origin = Origin::start(&arguments);
    let (before, _) = eventually("three segments", Duration::from_secs(15), || {
        origin.playlist().filter(|(listed, _)| listed.segments.len() >= 3)
    });
    origin.signal(Signal::SIGKILL);
    origin.end();
    let after = Origin::start(&arguments);
    let (listed, text) = after.playlist().unwrap();
    assert!(listed.media_sequence >= before.media_sequence + 3, "{text}");
    assert!(text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    let (code, said) = hls_swarm_test_support::origin::refusal(&arguments);
    assert!(code == Some(3) && said.contains("is used by another hls-origin"), "{said}");
}

#[test]
fn a_full_file_system_is_reported_and_survived() {
    // In a mount namespace, which ends with the origin.
    let place = TempDir::new().unwrap();
    let cache = TempDir::new().unwrap();
    let inner =
        command(&["--cache-dir", cache.path().to_str().unwrap(), "--dir", place.path().to_str().unwrap()]);
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size=80m tmpfs {} && exec \"$0\" \"$@\"", place.path().display());
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(inner.get_program())
        .args(inner.get_args());
    let mut origin = Origin::start_command(command);
    let root = format!("/proc/{}/root{}/filler", origin.pid(), place.path().display());
    // Fills all but a page or two.
    let filler = std::fs::File::create(&root).unwrap();
    let mut zeros = std::io::repeat(0).take(200 << 20);
    assert!(std::io::copy(&mut zeros, &mut &filler).is_err(), "the file system is full");
    eventually("health reports it", Duration::from_secs(20), || {
        (origin.get("/health").status == 503).then_some(())
    });
    let (before, _) = origin.playlist().unwrap();
    assert_eq!(
        origin.get(&format!("/{}", before.segments[0])).status,
        200,
        "existing segments can be fetched"
    );
    drop(filler);
    std::fs::remove_file(&root).unwrap();
    eventually("the stream continues", Duration::from_secs(20), || {
        let (now, _) = origin.playlist()?;
        assert!(now.media_sequence >= before.media_sequence);
        (now.media_sequence >= before.media_sequence + 2 && origin.get("/health").status == 200).then_some(())
    });
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let said = origin.standard_error();
    assert!(
        said.contains("no space left for segments") && said.contains("there is enough space again"),
        "{said}"
    );
}

/// Lets nginx, of whichever version, check the configuration of each profile, without and with every option.
/// Warnings count as errors, because the next version may reject what this one calls deprecated.
#[test]
fn nginx_accepts_every_profile_with_every_option() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key, log) = (path("certificate.pem"), path("certificate.key"), path("access.log"));
    ["temp", "www"].iter().for_each(|name| std::fs::create_dir(path(name)).unwrap());
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let every = [
        ["--tls", "--http2=true"].as_slice(),
        &["--address-requests-per-second=50", "--address-connections=10", "--limit-burst=7"],
        &["--token-requests-per-second=5", "--token-connections=3", "--limit-status=503"],
        &["--streams=b,c", "--access-log", &log],
    ]
    .concat();
    for (profile, _) in BUILT_IN {
        for options in [[].as_slice(), &every] {
            let rendered = Command::new(env!("CARGO_BIN_EXE_hls-origin"))
                .args(["render", "nginx", "--profile", profile, "--listen", "127.0.0.1"])
                .args(options)
                .env("LOGS_DIRECTORY", folder.path())
                .output()
                .unwrap();
            assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
            std::fs::write(path("nginx.conf"), rendered.stdout).unwrap();
            let tested = Command::new("nginx")
                .args(["-t", "-p", folder.path().to_str().unwrap(), "-c", "nginx.conf"])
                .output()
                .unwrap();
            let said = String::from_utf8(tested.stderr).unwrap();
            // Without -e, which 1.18 does not have, nginx warns ordinary users that they cannot write the system's log.
            let warnings = said.lines().filter(|line| line.contains("nginx: [") && !line.contains("[alert]"));
            assert!(tested.status.success() && warnings.count() == 0, "{profile} {options:?}: {said}");
        }
    }
}

#[test]
fn render_prints_what_would_run() {
    let rendered = |what: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_hls-origin")).arg("render").args(what).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let nginx = rendered(&["nginx", "--profile", "stress", "--address-connections", "9"]);
    assert!(nginx.contains("limit_conn address_connections 9;") && nginx.contains("listen 127.0.0.1:17080 "));
    let ffmpeg = rendered(&["ffmpeg", "--profile", "4k-abr"]);
    assert!(
        ffmpeg.contains("testsrc2=size=3840x2160:rate=30") && ffmpeg.contains(" -hls_time 2 "),
        "{ffmpeg}"
    );
    let unit = rendered(&["systemd", "--profile", "low-latency"]);
    assert!(
        unit.contains("Type=notify\n")
            && unit.contains("hls-origin --profile low-latency --dir %t/hls-origin\n")
    );
}
