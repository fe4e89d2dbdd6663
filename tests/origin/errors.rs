//! The error messages and exit codes of an origin that cannot start.

use std::net::TcpListener;

use tempfile::TempDir;

use hls_swarm_test_support::origin::refusal;

fn assert_refused(arguments: &[&str], code: i32, messages: &[&str]) {
    let (ended, said) = refusal(arguments);
    assert_eq!(ended, Some(code), "{said}");
    for message in messages {
        assert!(said.contains(message), "no \"{message}\" in: {said}");
    }
}

#[test]
fn a_taken_port_is_named_with_help() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let messages = [&format!("port {port} on 127.0.0.1 is taken"), "help: pass --port 0"];
    assert_refused(&["--port", &port], 3, &messages);
}

#[test]
fn missing_and_wrong_programs_are_named() {
    let help = "help: install nginx, or pass --nginx PATH";
    assert_refused(&["--nginx", "no-such-nginx"], 3, &["cannot run no-such-nginx", help]);
    let help = "help: install FFmpeg, or pass --ffmpeg PATH";
    assert_refused(&["--ffmpeg", "/no/such/ffmpeg"], 3, &["cannot run /no/such/ffmpeg", help]);
    assert_refused(&["--ffmpeg", "true"], 3, &["true is not FFmpeg", "help: pass --ffmpeg PATH"]);
    assert_refused(&["--nginx", "true"], 3, &["true is not nginx", "help: pass --nginx PATH"]);
}

#[test]
fn errors_contain_the_output_of_nginx_and_ffmpeg() {
    let messages =
        ["nginx -t rejects the configuration", "/no/such/place/a.log", "No such file or directory"];
    assert_refused(&["--access-log", "/no/such/place/a.log"], 3, &messages);

    let directory = TempDir::new().unwrap();
    let profile = directory.path().join("odd.toml");
    let text = include_str!("../../profiles/origin/default.toml").replace("veryfast", "quickish");
    std::fs::write(&profile, text).unwrap();
    let messages = ["cannot encode the loop: exit code", "quickish", "help: "];
    assert_refused(&["--profile", profile.to_str().unwrap()], 3, &messages);
}

#[test]
fn unusable_directories_are_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    let named = format!("cannot write below {missing}");
    assert_refused(&["--dir", missing], 3, &[&named, "No such file", "help: pass --dir"]);

    let big = ["--segment-seconds", "60", "--list-size", "1000", "--video-bitrate", "500000"];
    let arguments = [&["--dir", directory.path().to_str().unwrap()], big.as_slice()].concat();
    assert_refused(&arguments, 3, &["MiB free, and the stream needs", "help: "]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn errors_in_profiles_and_flags_are_explained() {
    assert_refused(
        &["--profile", "defualt"],
        2,
        &["there is no origin profile \"defualt\"", "did you mean default?"],
    );
    assert_refused(&["--profile", "./no.toml"], 2, &["cannot read the profile ./no.toml: No such file"]);
    assert_refused(&["--loop-seconds", "10"], 2, &["AAC frames", "help: pass a multiple of 8"]);
    assert_refused(&["--video-size", "big"], 2, &["invalid video size \"big\"", "1280x720"]);
    assert_refused(&["--no-such-flag"], 2, &["--no-such-flag"]);

    let directory = TempDir::new().unwrap();
    let profile = directory.path().join("typo.toml");
    std::fs::write(&profile, "segment_seconds = 2\nlist_sise = 10\n").unwrap();
    let messages = ["typo.toml, line 2: unknown field `list_sise`", "help: did you mean `list_size`?"];
    assert_refused(&["--profile", profile.to_str().unwrap()], 2, &messages);
}
