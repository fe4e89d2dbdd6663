//! The programs as the first process of a PID namespace, as in a container: orphans are reaped, signals
//! reach the program, and its exit code is passed on.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use hls_swarm_test_support::program::program;
use hls_swarm_test_support::waiting::eventually;

/// The command as the first process of its own PID namespace. `unshare` forks it, exits with its exit code, and
/// kills it when it is killed itself.
fn first(path: &str, arguments: &[&str]) -> Command {
    let mut command = program("unshare");
    // Ordinary users need a user namespace, too. Root does not, and nginx changes the owner of root's files.
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-current-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", path]);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
fn start(command: &mut Command) -> Child {
    command.spawn().unwrap()
}

/// `(pid, state, parent, name)` of all processes of this user.
fn processes() -> Vec<(i32, char, i32, String)> {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        Some((pid, fields.next()?.chars().next()?, fields.next()?.parse().ok()?, name.to_owned()))
    })
    .collect()
}

fn children(parent: i32) -> Vec<(i32, char, i32, String)> {
    processes().into_iter().filter(|(_, _, of, _)| *of == parent).collect()
}

/// An origin whose encoder leaves an orphan behind at each start.
#[test]
fn orphans_are_reaped_and_sigterm_ends_all_processes() {
    let folder = TempDir::new().unwrap();
    let ffmpeg = folder.path().join("ffmpeg");
    // The first shell exits, so that the second one becomes an orphan, which ends immediately.
    let script = "#!/bin/sh\n( (sleep 0.2; exit 3) & )\nexec /usr/bin/env ffmpeg \"$@\"\n";
    std::fs::write(&ffmpeg, script).unwrap();
    std::os::unix::fs::chown(&ffmpeg, None, None).unwrap();
    std::fs::set_permissions(&ffmpeg, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments = [
        "--port=0",
        "--video-size=160x90",
        "--fps=10",
        "--video-bitrate=100",
        "--ffmpeg",
        &path("ffmpeg"),
        "--cache-dir",
        &path("cache"),
        "--dir",
        &path("run"),
    ];
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let mut child = start(&mut first(env!("CARGO_BIN_EXE_hls-origin"), &arguments));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap_or_else(|| {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("no READY: {said}")
    });
    assert!(ready.as_ref().unwrap().starts_with("READY"), "{ready:?}");

    let unshare = i32::try_from(child.id()).unwrap();
    let (init, ..) = children(unshare).pop().unwrap();
    assert!(!children(init).is_empty(), "the program runs below the first process");
    eventually("no zombie below the first process", Duration::from_secs(5), || {
        children(init).iter().all(|(_, state, ..)| *state != 'Z').then_some(())
    });

    let asked = Instant::now();
    kill(Pid::from_raw(init), Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    // It exited by itself, not by a signal; 143 is its exit code after SIGTERM.
    assert!(matches!(status.code(), Some(0 | 143)), "{status} {:?}", status.signal());
    assert_eq!(std::fs::read_dir(folder.path().join("run")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_exit_code_is_passed_on() {
    let output = first(env!("CARGO_BIN_EXE_hls-swarm"), &["--clients", "0", "http://127.0.0.1:1/a.m3u8"]);
    let output = { output }.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("\"0\" for --clients"), "{said}");
}

#[test]
fn the_health_command_checks_the_program() {
    let ask = |program: &str, port: &str| {
        let mut command = Command::new(program);
        command.arg("health").env("METRICS_PORT", port).env("HLS_ORIGIN_PORT", port);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for program in [env!("CARGO_BIN_EXE_hls-swarm"), env!("CARGO_BIN_EXE_hls-origin")] {
        let (code, said) = ask(program, &closed);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("refused"), "{said}");
    }
}
