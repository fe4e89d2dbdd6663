//! The nginx that runs on this machine, through /proc: its processes, their real limits, and how it was
//! started. Its configuration is asked of itself, or read from its files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use procfs::process::{LimitValue, all_processes};

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Program, capture};

use crate::audit::facts::Process;
use crate::audit::nginx_conf::{absolute, dump, glob, includes, parse};

const ANSWER_BYTES: usize = 8 << 20;
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// More files than any configuration has.
const MOST_FILES: usize = 2000;

/// A master of nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its process id.
    pub pid: u32,
    /// How it was started, from its title.
    pub command: Vec<String>,
    /// The program.
    pub program: PathBuf,
}

impl Master {
    /// What followed an option such as `-c`.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let at = self.command.iter().position(|word| word == name)?;
        self.command.get(at + 1).map(String::as_str)
    }
}

/// Every master of nginx that can be seen.
#[must_use]
pub fn masters() -> Vec<Master> {
    let Ok(processes) = all_processes() else { return Vec::new() };
    let masters = processes.flatten().filter_map(|process| {
        let title = process.cmdline().ok()?.join(" ");
        let command = title.strip_prefix("nginx: master process ")?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let program = process.exe().ok().or_else(|| command.first().map(PathBuf::from))?;
        Some(Master { pid: u32::try_from(process.pid).ok()?, command, program })
    });
    masters.collect()
}

/// The processes of `master`: itself, and its workers.
#[must_use]
pub fn processes(master: u32) -> Vec<Process> {
    let mut found = Vec::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Ok(pid) = u32::try_from(process.pid) else { continue };
        let child = process.stat().is_ok_and(|stat| u32::try_from(stat.ppid) == Ok(master));
        let worker = child
            && process.cmdline().is_ok_and(|words| words.join(" ").starts_with("nginx: worker process"));
        if pid != master && !worker {
            continue;
        }
        let number = |value| match value {
            LimitValue::Unlimited => u64::MAX,
            LimitValue::Value(value) => value,
        };
        let limits = process.limits().ok().map(|limits| limits.max_open_files);
        let open_files = limits.map(|limit| (number(limit.soft_limit), number(limit.hard_limit)));
        let open_now = process.fd_count().ok().and_then(|count| u64::try_from(count).ok());
        found.push(Process { pid, worker, open_files, open_now });
    }
    found.sort_by_key(|process| (process.worker, process.pid));
    found
}

/// Where a configuration starts, with every file by its path.
pub type Files = (String, BTreeMap<String, String>);

/// Asks nginx for its configuration (`nginx -T`), as it was started.
///
/// # Errors
/// A failure that tells what nginx said: it may not be run, or no longer likes its files.
pub async fn configuration(master: &Master, guard: &Arc<Guard>) -> Result<Files, Failure> {
    let mut arguments: Vec<OsString> = vec!["-T".into()];
    for name in ["-p", "-c", "-g"] {
        if let Some(value) = master.option(name) {
            arguments.extend([name.into(), value.into()]);
        }
    }
    let program = Program::new(&master.program, arguments);
    let shown = master.program.display();
    let cannot = |why: String| Failure::preflight(format!("{shown} -T tells no configuration: {why}"));
    let answer = capture(&program, guard, ANSWER_BYTES, ANSWER_TIME)
        .await
        .map_err(|error| cannot(error.to_string()))?;
    let files = dump(&String::from_utf8_lossy(&answer.stdout));
    let said = String::from_utf8_lossy(&answer.stderr);
    let first = files.first().map(|(path, _)| path.clone());
    match first.filter(|_| answer.exit.is_success()) {
        Some(main) => Ok((main, files.into_iter().collect())),
        None => Err(cannot(said.lines().last().unwrap_or("nothing").to_owned())
            .help("run it as root, or pass --config FILE")),
    }
}

/// Reads a configuration from its files, with what it includes.
///
/// # Errors
/// A usage failure: the file cannot be read. What it includes may be missing.
pub fn read(main: &Path) -> Result<Files, Failure> {
    let main = fs::canonicalize(main).map_err(|error| unreadable(main, error))?;
    let name = main.display().to_string();
    let folder = main.parent().unwrap_or(Path::new("/")).display().to_string();
    let mut files = BTreeMap::new();
    let mut waiting = vec![main];
    while let Some(path) = waiting.pop() {
        let key = path.display().to_string();
        if files.contains_key(&key) || files.len() >= MOST_FILES {
            continue;
        }
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if key == name => return Err(unreadable(&path, error)),
            // nginx_conf::assemble names it as missing.
            Err(_) => continue,
        };
        // What cannot be parsed is told where everything is put together.
        for include in parse(&key, &text).map(|tree| includes(&tree)).unwrap_or_default() {
            waiting.extend(expand(&absolute(&folder, &include)));
        }
        files.insert(key, text);
    }
    Ok((name, files))
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display()))
        .caused_by(error)
        .help("name a configuration of nginx that you may read")
}

/// The files that a pattern means; part by part, so that only folders on its way are listed.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found
            .into_iter()
            .flat_map(|folder| {
                if !glob::is_pattern(part) {
                    return vec![folder.join(part)];
                }
                let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                names.filter(|name| glob::matches(part, name)).map(|name| folder.join(name)).collect()
            })
            .take(MOST_FILES)
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}
