//! Reads processes from /proc, and sends signals to single processes.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// A process as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub name: String,
}

/// Every process that is not a zombie.
pub fn processes() -> Vec<Process> {
    let read = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        (fields.next()? != "Z").then_some(())?;
        Some(Process { pid, parent: fields.next()?.parse().ok()?, name: name.to_owned() })
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| read(entry.ok()?)).collect()
}

/// All descendants of a process, children first.
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = processes();
    let (mut found, mut parents) = (Vec::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        for one in all.iter().filter(|one| one.parent == parent) {
            parents.push(one.pid);
            found.push(one.clone());
        }
    }
    found
}

/// The processes of `former` that are still alive, whatever their parent is now.
pub fn survivors(former: &[Process]) -> Vec<Process> {
    let alive = processes();
    former
        .iter()
        .filter(|one| alive.iter().any(|now| now.pid == one.pid && now.name == one.name))
        .cloned()
        .collect()
}

/// Every process except zombies that was started with this variable in its environment.
pub fn with_variable(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}");
    let has = |one: &Process| {
        let environment = std::fs::read(format!("/proc/{}/environ", one.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    processes().into_iter().filter(has).collect()
}

/// Children of a process that have ended and were not reaped.
pub fn zombies(parent: u32) -> Vec<u32> {
    let read = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        (fields.next()? == "Z" && fields.next()?.parse() == Ok(parent)).then_some(pid)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| read(entry.ok()?)).collect()
}

/// The name of a process; empty if there is no such process.
pub fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
