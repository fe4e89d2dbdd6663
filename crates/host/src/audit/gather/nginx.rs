//! The nginx that runs on this machine or in a container of it: its processes, their limits, its version,
//! and its configuration, which nginx prints or which is read from its files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use procfs::process::{LimitValue, all_processes};

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Program, capture};
use hls_swarm_os::runtime;

use super::files::Root;
use crate::audit::facts::{Build, Process};
use crate::audit::nginx_conf::{Files, absolute, dump, glob, includes, parse};

const ANSWER_BYTES: usize = 8 << 20;
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// More files than any configuration has.
const MAX_FILES: usize = 2000;
/// Size of the largest program that is searched for its version, bytes.
const LARGEST_PROGRAM: u64 = 256 << 20;

/// A master process of nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Master {
    /// Process id.
    pub(crate) pid: u32,
    /// Command line, from its title.
    pub(crate) command: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Whether it runs in another mount namespace, such as that of a container.
    pub(crate) contained: bool,
}

impl Master {
    /// Returns the value of an option such as `-c`. The title joins arguments with blanks, so the value of
    /// `-g` extends to its last `;`.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        let words: Vec<&str> = self.command.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with(name))?;
        let attached = words.get(at)?.strip_prefix(name).filter(|value| !value.is_empty());
        let value: Vec<&str> = attached.into_iter().chain(words.get(at + 1..)?.iter().copied()).collect();
        let length = match name {
            "-g" => value.iter().rposition(|word| word.ends_with(';')).map_or(value.len(), |last| last + 1),
            _ => 1,
        };
        let value = value.get(..length)?.join(" ");
        (!value.is_empty()).then_some(value)
    }

    /// Returns the root of its file system.
    pub(crate) fn root(&self) -> Root {
        if self.contained { Root::of_process(self.pid) } else { Root::own() }
    }

    /// Returns the prefix of relative paths outside of the configuration.
    pub(crate) fn prefix(&self, build: Option<&Build>) -> String {
        // Debian's default, where the program does not say.
        let given = self.option("-p").or_else(|| build_option(build, "--prefix="));
        let relative = PathBuf::from(given.unwrap_or_else(|| "/usr/share/nginx".into()));
        let cwd = fs::read_link(format!("/proc/{}/cwd", self.pid)).unwrap_or_else(|_| PathBuf::from("/"));
        let folder = cwd.join(relative);
        self.root().resolve(&folder).unwrap_or(folder).display().to_string()
    }

    /// Returns the path of the main configuration file.
    pub(crate) fn configuration_file(&self, build: Option<&Build>) -> Option<PathBuf> {
        let named = self.option("-c").or_else(|| build_option(build, "--conf-path="));
        named.map(|name| Path::new(&self.prefix(build)).join(name))
    }
}

fn build_option(build: Option<&Build>, name: &str) -> Option<String> {
    let options = build?.options.split_whitespace();
    options.into_iter().find_map(|option| option.strip_prefix(name)).map(str::to_owned)
}

/// Returns every visible master process of nginx.
pub(crate) fn masters() -> Vec<Master> {
    let Ok(processes) = all_processes() else { return Vec::new() };
    let own = namespace("self", "mnt");
    let masters = processes.flatten().filter_map(|process| {
        let title = process.cmdline().ok()?.join(" ");
        let command = title.trim_end().strip_prefix("nginx: master process ")?.to_owned();
        let exe = process.exe().ok().map(|path| path.display().to_string());
        // After an upgrade the kernel appends a mark to the name of the running program.
        let exe = exe.map(|path| path.trim_end_matches(" (deleted)").to_owned());
        let program = exe.or_else(|| command.split_whitespace().next().map(str::to_owned))?;
        let contained = namespace(&process.pid.to_string(), "mnt").is_some_and(|other| Some(other) != own);
        Some(Master { pid: u32::try_from(process.pid).ok()?, command, program: program.into(), contained })
    });
    masters.collect()
}

/// Returns the inode of a namespace of a process.
pub(crate) fn namespace(pid: &str, kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok().map(|file| file.ino())
}

/// Returns the processes of `master`: itself, and its workers.
pub(crate) fn processes(master: u32) -> Vec<Process> {
    let mut found = Vec::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Ok(pid) = u32::try_from(process.pid) else { continue };
        let child = process.stat().is_ok_and(|stat| u32::try_from(stat.ppid) == Ok(master));
        let worker = child
            && process.cmdline().is_ok_and(|words| words.join(" ").starts_with("nginx: worker process"));
        if pid != master && !worker {
            continue;
        }
        let limits = process.limits().ok().map(|limits| limits.max_open_files);
        let open_files = limits.map(|limit| (limit_value(limit.soft_limit), limit_value(limit.hard_limit)));
        let open_now = process.fd_count().ok().and_then(|count| u64::try_from(count).ok());
        found.push(Process { pid, worker, open_files, open_now });
    }
    found.sort_by_key(|process| (process.worker, process.pid));
    found
}

/// Returns a limit as a number.
pub(crate) const fn limit_value(value: LimitValue) -> u64 {
    match value {
        LimitValue::Unlimited => u64::MAX,
        LimitValue::Value(value) => value,
    }
}

/// Reads the version and build options of a running nginx from its program, without running it.
pub(crate) fn build(master: &Master) -> Option<Build> {
    let path = format!("/proc/{}/exe", master.pid);
    if fs::metadata(&path).ok()?.len() > LARGEST_PROGRAM {
        return None;
    }
    parse_build(&fs::read(path).ok()?)
}

fn parse_build(program: &[u8]) -> Option<Build> {
    let after = |mark: &[u8]| {
        let at = program.windows(mark.len()).position(|window| window == mark)? + mark.len();
        let rest = program.get(at..)?;
        let end = rest.iter().position(|byte| *byte == 0 || *byte == b'\n')?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    };
    let version = after(b"nginx version: ")?;
    let number = version.split('/').nth(1)?;
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next().and_then(Result::ok).unwrap_or(0));
    Some(Build { version, options: after(b"configure arguments:").unwrap_or_default() })
}

/// Asks nginx for its configuration (`nginx -T`), with the options that it was started with.
///
/// # Errors
/// A failure with nginx's message: this user may not run it, or it no longer accepts its files.
pub(crate) async fn configuration(master: &Master, guard: &Arc<Guard>) -> Result<Files, Failure> {
    let mut arguments: Vec<OsString> = vec!["-T".into()];
    for name in ["-p", "-c", "-g"] {
        if let Some(value) = master.option(name) {
            arguments.extend([name.into(), value.into()]);
        }
    }
    let program = Program::new(&master.program, arguments);
    let shown = master.program.display();
    let cannot =
        |why: String| Failure::preflight(format!("{shown} -T does not print the configuration: {why}"));
    let answer = capture(&program, guard, ANSWER_BYTES, ANSWER_TIME)
        .await
        .map_err(|error| cannot(error.to_string()))?;
    let files = dump(&String::from_utf8_lossy(&answer.stdout));
    let message = String::from_utf8_lossy(&answer.stderr);
    let first = files.first().map(|(path, _)| path.clone());
    let Some(main) = first.filter(|_| answer.exit.is_success()) else {
        return Err(cannot(message.lines().last().unwrap_or("no output").to_owned())
            .help("run it as root, or pass --config FILE"));
    };
    let mut found = Files { main, texts: files.into_iter().collect(), ..Files::default() };
    let names: Vec<String> = found.texts.keys().cloned().collect();
    found.global = master.option("-g");
    for name in names {
        // What nginx prints has lost whether the last line ended.
        let exact = fs::read_to_string(&name).ok();
        if let Some((text, exact)) = found.texts.get_mut(&name).zip(exact)
            && text.trim_end() == exact.trim_end()
        {
            *text = exact;
        }
        note_real_path(&Root::own(), &name, &mut found);
    }
    Ok(found)
}

fn note_real_path(root: &Root, name: &str, files: &mut Files) {
    if let Some(real) =
        root.resolve(Path::new(name)).map(|real| real.display().to_string()).filter(|real| real != name)
    {
        files.real_paths.insert(name.to_owned(), real);
    }
}

/// Source of the files of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file system.
    pub(crate) root: Root,
    /// Whether the files are those of another machine: then only files beside the main file belong to it.
    pub(crate) other_machine: bool,
}

/// Reads a configuration from its files, with the files that it includes.
///
/// # Errors
/// A usage failure: the main file is not readable. Included files may be missing.
pub(crate) fn read(source: &Source, main: &Path) -> Result<Files, Failure> {
    let absolute_main = std::path::absolute(main).map_err(|error| unreadable(main, error))?;
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let real = source.root.resolve(&absolute_main).ok_or_else(|| unreadable(main, missing()))?;
    let name = real.display().to_string();
    let folder = real.parent().unwrap_or(Path::new("/")).display().to_string();
    let mut files = Files { main: name.clone(), ..Files::default() };
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut waiting = vec![real];
    while let Some(path) = waiting.pop() {
        if files.texts.len() >= MAX_FILES || !seen.insert(path.clone()) {
            continue;
        }
        let key = path.display().to_string();
        let resolved = source.root.resolve(&path).unwrap_or_else(|| path.clone());
        let text = match fs::read(source.root.outer(&resolved)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if key == name => return Err(unreadable(&path, error)),
            Err(_) => continue,
        };
        note_real_path(&source.root, &key, &mut files);
        // A syntax error is reported where the files are put together.
        for include in parse(&key, &text).map(|tree| includes(&tree)).unwrap_or_default() {
            let pattern = absolute(&folder, &include);
            let found = source.expand(&pattern, &folder, &mut files.unread);
            files.included.insert(pattern, found.iter().map(|path| path.display().to_string()).collect());
            waiting.extend(found);
        }
        files.texts.insert(key, text);
    }
    Ok(files)
}

impl Source {
    /// Returns the files of an include, and notes patterns that were not looked up.
    fn expand(&self, pattern: &str, folder: &str, unread: &mut BTreeSet<String>) -> Vec<PathBuf> {
        let mut place = pattern.to_owned();
        if self.other_machine && !pattern.starts_with(&format!("{folder}/")) {
            // The copy of /etc/nginx of another machine lies where its main file is.
            const CONFIGURATIONS: [&str; 4] = [
                "/etc/nginx/",
                "/usr/local/nginx/conf/",
                "/usr/local/openresty/nginx/conf/",
                "/opt/nginx/conf/",
            ];
            let inside = CONFIGURATIONS.iter().find_map(|base| pattern.strip_prefix(base));
            match inside {
                Some(inside) => place = format!("{folder}/{inside}"),
                None => {
                    unread.insert(pattern.to_owned());
                    return Vec::new();
                }
            }
        }
        let fixed: PathBuf = Path::new(&place)
            .components()
            .take_while(|part| !part.as_os_str().to_str().is_some_and(glob::is_pattern))
            .collect();
        let found = expand(&self.root, &place);
        if found.is_empty() && (!glob::is_pattern(&place) || self.root.resolve(&fixed).is_none()) {
            unread.insert(pattern.to_owned());
        }
        found
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display()))
        .caused_by(error)
        .help("pass a readable configuration of nginx")
}

/// Returns the files that match a pattern, in the order in which nginx reads them.
fn expand(root: &Root, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        found = found
            .into_iter()
            .flat_map(|folder| {
                if !glob::is_pattern(part) {
                    return vec![folder.join(part)];
                }
                let Some(real) = root.resolve(&folder) else { return Vec::new() };
                let entries = fs::read_dir(root.outer(&real)).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                names.filter(|name| glob::matches(part, name)).map(|name| folder.join(name)).collect()
            })
            .take(MAX_FILES)
            .collect();
    }
    found.retain(|path| root.resolve(path).is_some_and(|real| root.outer(&real).is_file()));
    found.sort();
    found
}

/// Asks nginx for its configuration; where it does not answer, reads the file that it was started with.
/// The configuration of a container is read through the root of its process.
///
/// # Errors
/// Neither nginx nor its files can be read.
pub(crate) fn ask_or_read(master: &Master, build: Option<&Build>) -> Result<Files, Failure> {
    let source = Source { root: master.root(), other_machine: false };
    let file = master.configuration_file(build);
    if master.contained {
        let file = file.unwrap_or_else(|| PathBuf::from("/etc/nginx/nginx.conf"));
        return Ok(Files { global: master.option("-g"), ..read(&source, &file)? });
    }
    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    match (runtime.block_on(configuration(master, &guard)), file) {
        (Ok(files), _) => Ok(files),
        (Err(failure), Some(file)) if file.is_file() => {
            failure.print(&mut std::io::stderr());
            read(&source, &file)
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Reads a configuration from files of this machine.
///
/// # Errors
/// The main file is not readable.
pub fn read_here(main: &Path) -> Result<Files, Failure> {
    read(&Source { root: Root::own(), other_machine: false }, main)
}

/// Names of files that are included more than once count once.
pub(crate) fn real_name<'a>(real_paths: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    real_paths.get(name).map_or(name, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(command: &str) -> Master {
        Master { pid: 1, command: command.into(), program: "nginx".into(), contained: false }
    }

    #[test]
    fn options_are_read_from_the_title() {
        for (command, name, value) in [
            ("nginx -c /x.conf -g daemon off;", "-g", Some("daemon off;")),
            ("nginx -g daemon off; user www; -c /x.conf", "-g", Some("daemon off; user www;")),
            ("nginx -g daemon off; -c /x.conf", "-c", Some("/x.conf")),
            ("nginx -gdaemon off;", "-g", Some("daemon off;")),
            ("nginx -c/x.conf -p /srv/", "-c", Some("/x.conf")),
            ("nginx -c/x.conf -p /srv/", "-p", Some("/srv/")),
            ("nginx", "-c", None),
        ] {
            assert_eq!(master(command).option(name).as_deref(), value, "{command}");
        }
    }

    #[test]
    fn the_version_is_read_from_the_program() {
        let program = b"\x7fELF..\0nginx version: nginx/1.22.1\n\0x\0configure arguments: --prefix=/usr/share/nginx --with-threads\n\0";
        let build = parse_build(program).unwrap();
        assert_eq!(build.version, (1, 22, 1));
        assert_eq!(build_option(Some(&build), "--prefix=").as_deref(), Some("/usr/share/nginx"));
        assert_eq!(parse_build(b"\0nginx version: openresty/1.27.1.2\n").unwrap().version, (1, 27, 1));
        assert_eq!(parse_build(b"nothing"), None);
    }

    #[test]
    fn files_of_another_machine_are_read_beside_its_main_file_only() {
        let folder = tempfile::TempDir::new().unwrap();
        let elsewhere = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("conf.d")).unwrap();
        fs::write(folder.path().join("conf.d/a.conf"), "gzip on;").unwrap();
        fs::write(elsewhere.path().join("b.conf"), "gzip off;").unwrap();
        let outside = format!("{}/*.conf", elsewhere.path().display());
        let main = folder.path().join("nginx.conf");
        fs::write(
            &main,
            format!(
                "events {{}} http {{ include /etc/nginx/conf.d/*.conf; include {outside}; include sites/*; }}"
            ),
        )
        .unwrap();
        let read = |other_machine| read(&Source { root: Root::own(), other_machine }, &main).unwrap();
        let files = read(true);
        assert_eq!(files.texts.len(), 2, "{files:?}");
        assert!(
            files.unread.contains(&outside) && files.unread.iter().any(|p| p.ends_with("/sites/*")),
            "{files:?}"
        );
        let files = read(false);
        assert!(files.texts.keys().any(|name| name.ends_with("/b.conf")) && !files.unread.contains(&outside));
    }
}
