//! The process layer with children that misbehave. It has a `main` of its own, because the guard has to
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
use hls_swarm_os::process::{Program, StopTimeouts, ask, drain};
use hls_swarm_test_support::patience::eventually;
use hls_swarm_test_support::processes::{self, zombies};

const SOON: Duration = Duration::from_secs(5);

fn main() {
    // Tools that list tests ask so; there is one.
    if std::env::args().any(|word| word == "--list") {
        println!("process: test");
        return;
    }
    // What whoever started this left open is not ours to close.
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
        children_are_alone(&guard, &inherited).await;
        endings_are_told(&guard).await;
        floods_do_not_stop_anyone(&guard).await;
        what_a_child_leaves_dies_with_it(&guard).await;
        who_holds_the_pipes_does_not_hold_us(&guard).await;
        patience_ends(&guard).await;
        stopping_is_nice_first(&guard).await;
        dropping_kills(&guard).await;
        cancelled_waits_lose_nothing(&guard).await;
    });
    drop(runtime);
    assert!(zombies(std::process::id()).iter().all(|pid| processes::name(*pid) == "hls-guard"));
    the_guard_cleans_up(guard, watched);
    println!("the process layer holds");
}

fn shell(script: &str) -> Program {
    Program::new("/bin/sh", ["-c", script])
}

fn alive(pid: u32) -> bool {
    processes::processes().iter().any(|one| one.pid == pid)
}

/// Starts a script that prints the number of a process in its group, and reads it.
async fn number(child: &mut hls_swarm_os::process::Child) -> u32 {
    let stdout = child.stdout.as_ref().unwrap();
    let mut text = String::new();
    while !text.ends_with('\n') {
        stdout.readable().await.unwrap();
        let mut buffer = [0; 64];
        if let Ok(read) = stdout.try_read(&mut buffer) {
            assert!(read > 0, "it ended: {text}");
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
    text.trim().parse().unwrap()
}

async fn children_are_alone(guard: &Arc<Guard>, inherited: &[String]) {
    let script = "echo; readlink /proc/$$/fd/0; ulimit -c; ls -m /proc/$$/fd; \
                  cut -d ' ' -f 5 /proc/$$/stat; echo $$";
    let answer = ask(&shell(script), guard, 10_000, SOON).await.unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines[0], "/dev/null", "nothing is read from the terminal");
    assert_eq!(lines[1], "0", "no core is dumped");
    let open: Vec<&str> = lines[2].split(", ").collect();
    let ours: Vec<_> = open.iter().filter(|fd| !inherited.contains(&fd.to_string())).collect();
    assert_eq!(ours, [] as [&&str; 0], "no descriptor of ours is left open");
    assert!(["0", "1", "2"].iter().all(|fd| open.contains(fd)));
    assert_eq!(lines[3], lines[4], "it leads a group of its own");
}

async fn endings_are_told(guard: &Arc<Guard>) {
    for (script, ending) in [
        ("exit 0", ProcessExit::Exited(0)),
        ("exit 77", ProcessExit::Exited(77)),
        ("kill -SEGV $$", ProcessExit::Signaled(SIGSEGV)),
        ("kill -KILL $$", ProcessExit::Signaled(SIGKILL)),
    ] {
        assert_eq!(ask(&shell(script), guard, 100, SOON).await.unwrap().ending, ending, "{script}");
    }
    let missing = Program::new("/nowhere/program", ["x"; 0]).start(guard).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let directory = Program::new("/proc", ["x"; 0]).start(guard).unwrap_err();
    assert_eq!(directory.kind(), ErrorKind::PermissionDenied);
}

async fn floods_do_not_stop_anyone(guard: &Arc<Guard>) {
    let flood = "head -c 50000000 /dev/zero >&2; head -c 50000000 /dev/zero; exit 5";
    let answer = ask(&shell(flood), guard, 1000, Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.ending, ProcessExit::Exited(5), "nobody was blocked");
    assert_eq!((answer.stdout.len(), answer.stderr.len()), (1000, 1000), "and the rest was thrown away");
    let child = shell("head -c 3000000 /dev/zero").start(guard).unwrap();
    let mut bytes = 0;
    drain(child.stdout.as_ref().unwrap(), |part| bytes += part.len()).await;
    assert_eq!(bytes, 3_000_000);
}

async fn what_a_child_leaves_dies_with_it(guard: &Arc<Guard>) {
    let mut child = shell("trap '' TERM; sleep 1000 & echo $!; exit 3").start(guard).unwrap();
    let grandchild = number(&mut child).await;
    assert_eq!(child.wait().await, ProcessExit::Exited(3));
    eventually("the grandchild is gone", SOON, || (!alive(grandchild)).then_some(()));
    assert_eq!(child.wait().await, ProcessExit::Exited(3), "asking again changes nothing");
    // Its number may belong to somebody else by now: nothing is sent to it any more.
    child.signal(Signal::SIGKILL);
}

async fn who_holds_the_pipes_does_not_hold_us(guard: &Arc<Guard>) {
    let began = Instant::now();
    // The grandchild is in a session of its own, so that it survives the group, and keeps the pipes.
    let answer = ask(&shell("setsid sleep 3 & echo said; exit 0"), guard, 100, SOON).await.unwrap();
    assert_eq!((answer.ending, &answer.stdout[..]), (ProcessExit::Exited(0), &b"said\n"[..]));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn patience_ends(guard: &Arc<Guard>) {
    let began = Instant::now();
    let time = Duration::from_millis(300);
    let error = ask(&shell("trap '' TERM; sleep 1000 & sleep 1000"), guard, 100, time).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn stopping_is_nice_first(guard: &Arc<Guard>) {
    let patience = StopTimeouts { again: Duration::from_millis(300), kill: Duration::from_millis(900) };
    let stop = async |script: &str| {
        let mut child = shell(script).start(guard).unwrap();
        number(&mut child).await;
        let began = Instant::now();
        let ending = child.stop(patience).await;
        (ending, began.elapsed().as_secs_f64())
    };
    // At the first asking, at the second, and not at all.
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

async fn dropping_kills(guard: &Arc<Guard>) {
    let mut child = shell("trap '' TERM; sleep 1000 & echo $!; wait").start(guard).unwrap();
    let (own, grandchild) = (child.pid(), number(&mut child).await);
    drop(child);
    eventually("both are gone", SOON, || (!alive(own) && !alive(grandchild)).then_some(()));
    // Nobody waits for it any more but the runtime, at its leisure.
    let began = Instant::now();
    while zombies(std::process::id()).contains(&own) {
        assert!(began.elapsed() < SOON, "a zombie is left");
        drop(ask(&shell("exit 0"), guard, 1, SOON).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn cancelled_waits_lose_nothing(guard: &Arc<Guard>) {
    let mut child = shell("sleep 0.4; exit 4").start(guard).unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(50), child.wait()).await.is_err());
    }
    assert_eq!(child.wait().await, ProcessExit::Exited(4));
}

/// When its pipe ends, the guard kills what is still registered and removes the directories; what was
/// released is none of its business.
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
    // The child holds the guard as well; as in a program that dies, only the pipe's end counts.
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
    assert!(zombies(std::process::id()).is_empty(), "nor is anything of the guard left");
}
