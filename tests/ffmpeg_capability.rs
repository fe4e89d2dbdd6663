//! Capability detection from the recorded output of three real binaries (`tests/corpus/README.md`).

use std::fs;
use std::path::Path;

use hls_swarm::engine::ffmpeg::capability::{Capabilities, Detection, Scope, TlsBackend};

fn asked(binary: &str, knows_datetime: bool) -> Capabilities {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/capability").join(binary);
    let (stdout, stderr) =
        (fs::read(folder.join("stdout.txt")).unwrap(), fs::read(folder.join("stderr.txt")).unwrap());
    let mut detection = Detection::new();
    if !knows_datetime {
        detection.answer(
            false,
            b"",
            b"Invalid loglevel \"datetime+info\". Possible levels are numbers or:\n",
        );
    }
    assert!(detection.next_question().is_some());
    detection.answer(true, &stdout, &stderr);
    assert_eq!(detection.next_question(), None);
    detection.finish("ffmpeg").unwrap()
}

#[test]
fn options_are_detected_per_binary() {
    let binaries = [asked("5.1-debian", false), asked("7.0-static", false), asked("9.0-static", true)];
    for (scope, option, known) in [
        (Scope::Tool, "progress", [true, true, true]),
        (Scope::Tool, "stats_period", [true, true, true]),
        (Scope::Tool, "re", [true, true, true]),
        (Scope::Tool, "readrate", [true, true, true]),
        (Scope::Tool, "readrate_initial_burst", [false, true, true]),
        (Scope::Tool, "readrate_catchup", [false, false, true]),
        (Scope::Hls, "max_reload", [true, true, true]),
        (Scope::Hls, "seg_max_retry", [false, true, true]),
        // A security fix that 5.1.9 has and 7.0.2 lacks.
        (Scope::Hls, "extension_picky", [true, false, true]),
        (Scope::Hls, "hls_time", [false, false, false]),
        (Scope::Http, "reconnect_on_network_error", [true, true, true]),
        (Scope::Http, "reconnect_max_retries", [false, false, true]),
        (Scope::Http, "max_redirects", [true, false, true]),
        (Scope::Url, "rw_timeout", [true, true, true]),
        (Scope::Tcp, "local_addr", [false, true, true]),
        (Scope::Tls, "tls_verify", [true, true, true]),
        (Scope::Format, "fflags", [true, true, true]),
    ] {
        let found = binaries.each_ref().map(|binary| binary.has(scope, option));
        assert_eq!(found, known, "{option}");
    }
    assert_eq!(binaries.each_ref().map(|binary| binary.log_datetime), [false, false, true]);
    assert_eq!(
        binaries.each_ref().map(|binary| binary.version.as_str()),
        ["5.1.9-0+deb12u1", "7.0.2-static", "n9.0.2-17-g2a571b6068-20260930"]
    );
    for binary in &binaries {
        binary.check("ffmpeg", true).unwrap();
    }
}

#[test]
fn defaults_are_detected_per_binary() {
    let binaries = [asked("5.1-debian", false), asked("7.0-static", false), asked("9.0-static", true)];
    let reloads = binaries.each_ref().map(|binary| binary.default_of(Scope::Hls, "max_reload"));
    assert_eq!(reloads, [Some("100"), Some("3"), Some("100")]);
    let verifies = binaries.each_ref().map(Capabilities::verifies_tls_by_default);
    assert_eq!(verifies, [Some(false), Some(false), Some(true)]);
    let tls = binaries.each_ref().map(|binary| binary.tls);
    assert_eq!(tls, [TlsBackend::GnuTls, TlsBackend::GnuTls, TlsBackend::OpenSsl]);
}
