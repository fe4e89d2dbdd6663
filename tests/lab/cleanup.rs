//! The lab leaves nothing behind, whatever ends it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lab::machines::{image, script};
use crate::lab::processes::{Process, send, with_variable};
use crate::lab::waiting::eventually;

/// Every process of a lab that a test starts has this variable.
const MARK: &str = "HLS_LAB_TEST";
const SOON: Duration = Duration::from_secs(5);
/// Two emulated machines on a busy host.
const BOOT: Duration = Duration::from_secs(90);

fn marked(mark: &str) -> Vec<Process> {
    with_variable(MARK, mark)
}

fn machines(mark: &str) -> usize {
    marked(mark).iter().filter(|one| one.name.starts_with("qemu")).count()
}

/// The network namespace of every process; kernel threads and processes that have just ended have none.
fn namespaces() -> impl Iterator<Item = (u32, PathBuf)> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, std::fs::read_link(entry.path().join("ns/net")).ok()?))
    })
}

/// The network namespaces that a lab has made: those of its processes which this test is not in.
fn made_by(mark: &str) -> BTreeSet<PathBuf> {
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let pids: BTreeSet<u32> = marked(mark).iter().map(|one| one.pid).collect();
    namespaces().filter(|(pid, one)| pids.contains(pid) && *one != own).map(|(_, one)| one).collect()
}

/// Devices and mounts, which a lab could leave behind.
fn traces() -> Vec<String> {
    let devices = std::fs::read_dir("/sys/class/net").unwrap();
    let devices = devices.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts: Vec<_> =
        mounts.lines().filter(|line| line.contains("microvm/lab")).map(str::to_owned).collect();
    // Only names of the lab: other devices may change at any time.
    devices.filter(|name| name.starts_with("hls")).chain(mounts).collect()
}

/// A lab that a test has started.
struct Lab {
    child: Child,
    mark: String,
}

impl Lab {
    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    fn start(mark: &str) -> Self {
        image();
        let mut command = script("lab");
        command.args(["shell", "sleep", "600"]).env(MARK, mark).env_remove("HLS_LAB");
        let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, mark: mark.to_owned() }
    }

    /// Sends a signal to the script alone, and waits until nothing of it is left.
    fn end(mut self, signal: Signal) {
        let made = made_by(&self.mark);
        assert_eq!(made.len(), 1, "a lab has exactly one network namespace: {made:?}");
        send(self.child.id(), signal);
        let status = self.child.wait().unwrap();
        assert!(!status.success(), "{signal}: {status}");
        eventually(&format!("nothing is left after {signal}"), SOON, || {
            let lifetimes = namespaces().any(|(_, one)| made.contains(&one));
            (marked(&self.mark).is_empty() && !lifetimes).then_some(())
        });
    }
}

#[test]
#[ignore = "boots machines: make lab-test"]
fn a_lab_that_is_killed_leaves_nothing() {
    let before = traces();
    let mut lab = Lab::start("killed");
    let heard = BufReader::new(lab.child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let ready =
        heard.inspect(|line| println!("{line}")).filter(|line| line.starts_with("READY")).take(2).count();
    assert_eq!(ready, 2, "origin and client");
    assert_eq!(machines("killed"), 2);

    let second =
        script("lab").args(["shell", "true"]).env_remove("HLS_LAB").env(MARK, "second").output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another lab runs"), "{second:?}");
    assert_eq!((machines("killed"), marked("second").len()), (2, 0), "a second start has no effect");

    lab.end(Signal::SIGKILL);
    assert_eq!(traces(), before);
}

#[test]
#[ignore = "boots machines: make lab-test"]
fn a_lab_that_is_interrupted_while_it_boots_leaves_nothing() {
    let before = traces();
    let lab = Lab::start("interrupted");
    eventually("both machines boot", BOOT, || (machines("interrupted") == 2).then_some(()));
    lab.end(Signal::SIGINT);
    assert_eq!(traces(), before);
}

/// One machine with user networking, in a directory of its own.
struct Single {
    state: TempDir,
}

impl Single {
    fn command(&self, word: &str) -> Command {
        let mut command = script("microvm");
        command.args([word, "client"]).env("STATE", self.state.path()).env(MARK, "single");
        command.env_remove("HLS_LAB").env("NET", "user").env("VM_KIND", "debian");
        command
    }

    fn says(&self, word: &str) -> (Option<i32>, String) {
        let log = self.state.path().join("said");
        // A file, not a pipe: the machine keeps running after the command has ended.
        let file = std::fs::File::create(&log).unwrap();
        let status = self.command(word).stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        (status.code(), std::fs::read_to_string(&log).unwrap())
    }

    fn pid_file(&self) -> PathBuf {
        Path::new(self.state.path()).join("client/pid")
    }
}

#[test]
#[ignore = "boots machines: make lab-test"]
fn a_machine_ends_with_its_runner() {
    image();
    let single = Single { state: TempDir::new().unwrap() };
    let (code, said) = single.says("start");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = single.says("start");
    assert!(code == Some(0) && said.contains("already running"), "{said}");
    assert_eq!(machines("single"), 1, "a second start starts no second machine");

    let runner = std::fs::read_to_string(single.pid_file()).unwrap();
    send(runner.trim().parse().unwrap(), Signal::SIGKILL);
    eventually("the machine is gone with its runner", SOON, || marked("single").is_empty().then_some(()));
    assert_eq!(single.says("status").0, Some(1));

    let (code, said) = single.says("start");
    assert_eq!(code, Some(0), "a start after a killed runner: {said}");
    assert_eq!(single.says("stop").0, Some(0));
    eventually("the machine is gone", SOON, || marked("single").is_empty().then_some(()));
}
