//! Manual changes in the dashboard of a real run, on a pseudo-terminal: a viewer is added, the load is paused, a viewer
//! is removed. The report lists all changes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::libc;
use nix::pty::{Winsize, openpty};
use serde_json::Value;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::stream::endless;
use hls_swarm_test_support::waiting::eventually;

const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn keys_change_a_real_run_and_the_report_lists_the_changes() {
    let (server, fake, home) = (endless(), FakeFfmpeg::playing("play 100"), tempfile::tempdir().unwrap());
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
    command.args(["--clients", "1", "--ramp-jitter", "0s", "--metrics", "off", "--report", "report.json"]);
    command.args(["--ffmpeg", &fake.path(), &server.url("/live.m3u8")]).current_dir(home.path());
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let slave = || terminal.slave.try_clone().unwrap();
    command.stdin(slave()).stdout(slave()).stderr(slave());
    // SAFETY: setsid and ioctl may be called between fork and exec, and nothing else is.
    unsafe {
        command.pre_exec(|| {
            let led = libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0;
            if led { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let mut child = command.spawn().unwrap();
    let mut keys = File::from(terminal.master);
    let screen = Arc::new(Mutex::new(String::new()));
    let (mut reader, seen) = (keys.try_clone().unwrap(), Arc::clone(&screen));
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            seen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
    let shows = |text: &str| {
        eventually(text, TIMEOUT, || screen.lock().unwrap().contains(text).then_some(()));
    };
    shows("1 of 1 play");
    keys.write_all(b"+").unwrap();
    // Only what has changed on the screen is drawn.
    std::thread::sleep(Duration::from_millis(2500));
    keys.write_all(b" ").unwrap();
    shows("PAUSED");
    keys.write_all(b"-").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    keys.write_all(b"q").unwrap();
    let status = eventually("the run ends", TIMEOUT, || child.try_wait().unwrap());
    let report: Value =
        serde_json::from_slice(&std::fs::read(home.path().join("report.json")).unwrap()).unwrap();
    let changes: Vec<&str> = report["manual_changes"]["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["1 more", "paused", "1 fewer"], "{status}");
    assert_eq!(
        (report["peak_clients"].as_u64(), report["viewers"]["ramped_down"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(report["viewers"]["exits"]["error"], 0);
}
