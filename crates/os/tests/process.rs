//! Tests of the process layer with children that misbehave. They have a `main` of their own, because the guard has to
//! be forked from a process with one thread, which the usual test harness is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc::{SIGKILL, SIGSEGV, SIGTERM};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Account, Confinement, Program, StopTimeouts, capture, drain};
use hls_swarm_os::waiting::{Change, changes_of_children};
use hls_swarm_test_support::processes::{self, zombies};
use hls_swarm_test_support::waiting::eventually;

const SOON: Duration = Duration::from_secs(5);

fn main() {
    // Tools that list tests pass --list; there is one test.
    if std::env::args().any(|word| word == "--list") {
        println!("process: test");
        return;
    }
    // Descriptors that this process inherited open stay open in its children.
    let inherited: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|at| !at.starts_with("/proc")))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let watched = TempDir::new().unwrap();
    let guard = Arc::new(Guard::start().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        a_child_is_isolated(&guard, &inherited).await;
        a_confined_child_has_few_rights(&guard).await;
        the_exit_status_is_reported(&guard).await;
        large_output_blocks_neither_side(&guard).await;
        the_group_dies_with_its_leader(&guard).await;
        an_open_pipe_does_not_delay_the_capture(&guard).await;
        a_program_is_killed_after_the_timeout(&guard).await;
        stopping_escalates(&guard).await;
        dropping_a_child_kills_its_group(&guard).await;
        a_cancelled_wait_loses_nothing(&guard).await;
        stops_of_a_child_are_reported_and_its_end_is_left(&guard).await;
    });
    drop(runtime);
    assert!(zombies(std::process::id()).iter().all(|pid| processes::name(*pid) == "hls-guard"));
    the_guard_cleans_up(guard, watched);
    println!("process layer: ok");
}

fn shell(script: &str) -> Program {
    Program::new("/bin/sh", ["-c", script])
}

fn alive(pid: u32) -> bool {
    processes::processes().iter().any(|one| one.pid == pid)
}

async fn stops_of_a_child_are_reported_and_its_end_is_left(guard: &Arc<Guard>) {
    let mut child = shell("exec sleep 1000").start(guard).unwrap();
    let pid = child.pid();
    assert_eq!(changes_of_children(), []);
    let next = || eventually("a change", SOON, || changes_of_children().first().copied());
    child.signal(Signal::SIGSTOP);
    assert_eq!(next(), Change::Stopped(pid));
    assert_eq!(changes_of_children(), [], "each change is reported once");
    child.signal(Signal::SIGCONT);
    assert_eq!(next(), Change::Continued(pid));
    child.signal(Signal::SIGTERM);
    eventually("the end", SOON, || zombies(std::process::id()).contains(&pid).then_some(()));
    assert_eq!(changes_of_children(), []);
    assert_eq!(child.wait().await, ProcessExit::Signaled(SIGTERM));
}

/// Starts a script that prints the number of a process in its group, and reads it.
async fn number(child: &mut hls_swarm_os::process::Child) -> u32 {
    let stdout = child.stdout.as_ref().unwrap();
    let mut text = String::new();
    while !text.ends_with('\n') {
        stdout.readable().await.unwrap();
        let mut buffer = [0; 64];
        if let Ok(read) = stdout.try_read(&mut buffer) {
            assert!(read > 0, "the child has ended: {text}");
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
    text.trim().parse().unwrap()
}

async fn a_child_is_isolated(guard: &Arc<Guard>, inherited: &[String]) {
    let script = "echo; readlink /proc/$$/fd/0; ulimit -c; ls -m /proc/$$/fd; \
                  cut -d ' ' -f 5 /proc/$$/stat; echo $$";
    let captured = capture(&shell(script), guard, 10_000, SOON).await.unwrap();
    let text = String::from_utf8(captured.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines[0], "/dev/null", "nothing is read from the terminal");
    assert_eq!(lines[1], "0", "no core is dumped");
    let open: Vec<&str> = lines[2].split(", ").collect();
    let ours: Vec<_> = open.iter().filter(|fd| !inherited.contains(&fd.to_string())).collect();
    assert_eq!(ours, [] as [&&str; 0], "no other descriptor is inherited");
    assert!(["0", "1", "2"].iter().all(|fd| open.contains(fd)));
    assert_eq!(lines[3], lines[4], "the child leads a group of its own");
}

async fn a_confined_child_has_few_rights(guard: &Arc<Guard>) {
    let script =
        "env; grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj; ulimit -d; id -u; id -G";
    let mut program = shell(script);
    program.environment.push(("OWN".into(), "1".into()));
    let free = capture(&program, guard, 100_000, SOON).await.unwrap();
    assert!(String::from_utf8(free.stdout).unwrap().contains("NoNewPrivs:\t0"));
    let root = nix::unistd::geteuid().is_root();
    program.confinement = Some(Confinement {
        variables: vec!["PATH".to_owned(), "HOM*".to_owned()],
        memory_bytes: Some(1 << 30),
        user: root.then(|| Account::find("--user", "daemon").unwrap()),
    });
    let captured = capture(&program, guard, 100_000, SOON).await.unwrap();
    let text = String::from_utf8(captured.stdout).unwrap();
    assert!(text.contains("PATH=") && text.contains("OWN=1") && text.contains("HOME="), "{text}");
    assert!(!text.contains("CARGO"), "cargo's variables are not the child's business: {text}");
    let lines: Vec<&str> = text.lines().rev().collect();
    let [groups, user, data, score, privileges, ..] = lines[..] else { panic!("{text}") };
    assert_eq!((data, score, privileges), ("1048576", "500", "NoNewPrivs:\t1"));
    if root {
        let other = Account::find("--user", "daemon").unwrap();
        assert_eq!((user, groups), (&*other.user.to_string(), &*other.group.to_string()));
    }
    // It still ends with this program.
    program.arguments = vec!["-c".into(), "tail -c +1 /dev/zero | tail".into()];
    program.confinement = Some(Confinement { memory_bytes: Some(64 << 20), ..Confinement::default() });
    program.environment.push(("PATH".into(), std::env::var_os("PATH").unwrap()));
    let greedy = capture(&program, guard, 100_000, Duration::from_secs(30)).await.unwrap();
    assert!(String::from_utf8_lossy(&greedy.stderr).contains("memory"), "{greedy:?}");
}

async fn the_exit_status_is_reported(guard: &Arc<Guard>) {
    for (script, ending) in [
        ("exit 0", ProcessExit::Exited(0)),
        ("exit 77", ProcessExit::Exited(77)),
        ("kill -SEGV $$", ProcessExit::Signaled(SIGSEGV)),
        ("kill -KILL $$", ProcessExit::Signaled(SIGKILL)),
    ] {
        assert_eq!(capture(&shell(script), guard, 100, SOON).await.unwrap().exit, ending, "{script}");
    }
    let missing = Program::new("/nowhere/program", ["x"; 0]).start(guard).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let directory = Program::new("/proc", ["x"; 0]).start(guard).unwrap_err();
    assert_eq!(directory.kind(), ErrorKind::PermissionDenied);
}

async fn large_output_blocks_neither_side(guard: &Arc<Guard>) {
    let flood = "head -c 50000000 /dev/zero >&2; head -c 50000000 /dev/zero; exit 5";
    let captured = capture(&shell(flood), guard, 1000, Duration::from_secs(30)).await.unwrap();
    assert_eq!(captured.exit, ProcessExit::Exited(5), "neither side was blocked");
    assert_eq!((captured.stdout.len(), captured.stderr.len()), (1000, 1000), "the rest is discarded");
    let child = shell("head -c 3000000 /dev/zero").start(guard).unwrap();
    let mut bytes = 0;
    drain(child.stdout.as_ref().unwrap(), |part| bytes += part.len()).await;
    assert_eq!(bytes, 3_000_000);
}

async fn the_group_dies_with_its_leader(guard: &Arc<Guard>) {
    let mut child = shell("trap '' TERM; sleep 1000 & echo $!; exit 3").start(guard).unwrap();
    let grandchild = number(&mut child).await;
    assert_eq!(child.wait().await, ProcessExit::Exited(3));
    eventually("the grandchild has ended", SOON, || (!alive(grandchild)).then_some(()));
    assert_eq!(child.wait().await, ProcessExit::Exited(3), "a second wait returns the same");
    // The id may belong to another process by now, so no signal is sent to it any more.
    child.signal(Signal::SIGKILL);
}

async fn an_open_pipe_does_not_delay_the_capture(guard: &Arc<Guard>) {
    let began = Instant::now();
    // The grandchild is in a session of its own, so that it survives the group, and keeps the pipes.
    let captured = capture(&shell("setsid sleep 3 & echo text; exit 0"), guard, 100, SOON).await.unwrap();
    assert_eq!((captured.exit, &captured.stdout[..]), (ProcessExit::Exited(0), &b"text\n"[..]));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn a_program_is_killed_after_the_timeout(guard: &Arc<Guard>) {
    let began = Instant::now();
    let time = Duration::from_millis(300);
    let error = capture(&shell("trap '' TERM; sleep 1000 & sleep 1000"), guard, 100, time).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn stopping_escalates(guard: &Arc<Guard>) {
    let timeouts = StopTimeouts { again: Duration::from_millis(300), kill: Duration::from_millis(900) };
    let stop = async |script: &str| {
        let mut child = shell(script).start(guard).unwrap();
        number(&mut child).await;
        let began = Instant::now();
        let ending = child.stop(timeouts).await;
        (ending, began.elapsed().as_secs_f64())
    };
    // Ends at the first SIGTERM, at the second, and at neither.
    let wait = "while :; do sleep 0.05; done";
    let (ending, took) = stop(&format!("trap 'exit 9' TERM; echo 1; {wait}")).await;
    assert!(ending == ProcessExit::Exited(9) && took < 0.3, "{ending} after {took} s");
    let (ending, took) =
        stop(&format!("n=0; trap 'n=$((n + 1)); [ $n = 2 ] && exit 9' TERM; echo 1; {wait}")).await;
    assert!(ending == ProcessExit::Exited(9) && (0.3..0.9).contains(&took), "{ending} after {took} s");
    let (ending, took) = stop(&format!("trap '' TERM; echo 1; {wait}")).await;
    assert!(
        ending == ProcessExit::Signaled(SIGKILL) && (0.9..2.0).contains(&took),
        "{ending} after {took} s"
    );
    let (ending, _) = stop("echo 1; exec sleep 1000").await;
    assert_eq!(ending, ProcessExit::Signaled(SIGTERM));
}

async fn dropping_a_child_kills_its_group(guard: &Arc<Guard>) {
    let mut child = shell("trap '' TERM; sleep 1000 & echo $!; wait").start(guard).unwrap();
    let (own, grandchild) = (child.pid(), number(&mut child).await);
    drop(child);
    eventually("both have ended", SOON, || (!alive(own) && !alive(grandchild)).then_some(()));
    // Only the runtime reaps it now, at some later time.
    let began = Instant::now();
    while zombies(std::process::id()).contains(&own) {
        assert!(began.elapsed() < SOON, "a zombie is left");
        drop(capture(&shell("exit 0"), guard, 1, SOON).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_cancelled_wait_loses_nothing(guard: &Arc<Guard>) {
    let mut child = shell("sleep 0.4; exit 4").start(guard).unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(50), child.wait()).await.is_err());
    }
    assert_eq!(child.wait().await, ProcessExit::Exited(4));
}

/// When its pipe closes, the guard kills the groups and removes the directories that are still registered,
/// and leaves those that were released.
fn the_guard_cleans_up(guard: Arc<Guard>, watched: TempDir) {
    let (kept, gone) = (watched.path().join("kept"), watched.path().join("gone"));
    for directory in [&kept, &gone] {
        std::fs::create_dir_all(directory.join("deep")).unwrap();
        std::fs::write(directory.join("deep/file"), "x").unwrap();
        guard.watch_directory(directory);
    }
    guard.release_directory(&kept);
    let file = watched.path().join("file");
    std::fs::write(&file, "x").unwrap();
    guard.watch_directory(&file);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut child, grandchild) = runtime.block_on(async {
        let mut child = shell("trap '' TERM; sleep 1000 & echo $!; wait").start(&guard).unwrap();
        let grandchild = number(&mut child).await;
        (child, grandchild)
    });
    // The child holds the guard as well; as in a program that dies, only the closed pipe counts.
    let pid = child.pid();
    let exists = |path: &Path| path.exists();
    assert!(alive(pid) && alive(grandchild) && exists(&gone));
    let ending = runtime.block_on(async {
        child.signal(Signal::SIGKILL);
        child.wait().await
    });
    assert_eq!(ending, ProcessExit::Signaled(SIGKILL));
    drop((child, runtime));
    assert_eq!(Arc::strong_count(&guard), 1);
    let began = Instant::now();
    drop(guard);
    assert!(began.elapsed() < Duration::from_secs(2), "the guard is waited for: {:?}", began.elapsed());
    assert!(
        exists(&kept.join("deep/file")) && !exists(&gone) && !exists(&file),
        "only what was registered is removed"
    );
    assert!(zombies(std::process::id()).is_empty(), "nothing of the guard is left");
}
