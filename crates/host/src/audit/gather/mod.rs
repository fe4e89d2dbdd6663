//! Gathering of the facts about a server.

pub(crate) mod files;
pub mod nginx;
pub(crate) mod redis;
pub(crate) mod services;

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use hls_swarm_base::error::Failure;

use super::args::AuditArgs;
use super::facts::{Facts, Folder};
use super::nginx::Nginx;
use super::nginx_conf::{Configuration, Files, assemble};
use crate::tuning::comparison::{HostSettings, KeyState};
use crate::tuning::profile::Profile;
use crate::tuning::sysctl;
use files::Root;
use nginx::{Master, Source};

/// Gathers the facts about the server that the arguments name.
///
/// # Errors
/// There is no nginx, several run, or the configuration is not readable.
pub(crate) fn gather(args: &AuditArgs, profile: &Profile) -> Result<Facts, Failure> {
    let facts = match &args.config {
        Some(path) => from_file(args, path)?,
        // Stale files can be found without nginx.
        None if args.only_folders() => {
            let folders = scan_all(&Root::own(), args.folders.clone());
            Facts { subject: "folders".into(), folders, ..Facts::default() }
        }
        None => from_process(args)?,
    };
    Ok(with_host(facts, args, profile))
}

fn from_file(args: &AuditArgs, path: &Path) -> Result<Facts, Failure> {
    let source = Source { root: Root::own(), other_machine: args.no_host };
    let files = nginx::read(&source, path)?;
    let folder = Path::new(&files.main).parent().unwrap_or(Path::new("/")).to_owned();
    let prefix = args.prefix.clone().unwrap_or(folder).display().to_string();
    let configuration = put_together(files)?;
    // The folders of another machine are not here; those with the same names are this machine's own.
    let roots = if args.no_host { Vec::new() } else { roots(&configuration, &prefix) };
    let folders = scan_all(&source.root, [roots, named_folders(args)?].concat());
    Ok(Facts { subject: path.display().to_string(), configuration, prefix, folders, ..Facts::default() })
}

fn from_process(args: &AuditArgs) -> Result<Facts, Failure> {
    let master = master(args.pid)?;
    let build = nginx::build(&master);
    let prefix = master.prefix(build.as_ref());
    let configuration = put_together(nginx::ask_or_read(&master, build.as_ref())?)?;
    let mut folders = scan_all(&master.root(), roots(&configuration, &prefix));
    folders.extend(scan_all(&Root::own(), named_folders(args)?));
    let mut notes = Vec::new();
    if master.contained {
        notes.push(format!(
            "nginx runs in its own mount namespace, such as a container; files are read and named as it sees them \
             (below /proc/{}/root)",
            master.pid
        ));
    }
    let root =
        |pid: &str| std::fs::metadata(format!("/proc/{pid}/root/")).ok().map(|root| (root.dev(), root.ino()));
    Ok(Facts {
        mount_namespace: master.contained.then_some(master.pid),
        container: master.contained && root(&master.pid.to_string()) != root("self"),
        subject: format!("nginx (process {}: {})", master.pid, master.command),
        configuration,
        prefix,
        build,
        processes: nginx::processes(master.pid),
        folders: without_nested(folders),
        notes,
        ..Facts::default()
    })
}

fn put_together(files: Files) -> Result<Configuration, Failure> {
    assemble(files).map_err(|(file, error)| {
        Failure::usage(format!("{file}, line {}: {}", error.line, error.what))
            .help("let nginx check it: nginx -t")
    })
}

fn roots(configuration: &Configuration, prefix: &str) -> Vec<PathBuf> {
    Nginx::new(configuration, prefix, &[]).roots(prefix).into_iter().map(PathBuf::from).collect()
}

fn named_folders(args: &AuditArgs) -> Result<Vec<PathBuf>, Failure> {
    match args.folders.iter().find(|folder| !folder.is_dir()) {
        Some(folder) => {
            Err(Failure::usage(format!("--folder {}: there is no such folder", folder.display()))
                .help("pass a folder with playlists and segments"))
        }
        None => Ok(args.folders.clone()),
    }
}

fn scan_all(root: &Root, paths: Vec<PathBuf>) -> Vec<Folder> {
    let absolute = paths.iter().filter_map(|path| std::path::absolute(path).ok());
    without_nested(absolute.filter_map(|path| files::scan(root, &path)).collect())
}

/// Removes folders inside of other ones, which were read with them.
fn without_nested(mut folders: Vec<Folder>) -> Vec<Folder> {
    folders.sort_by(|left, right| left.path.cmp(&right.path));
    folders.dedup_by(|inner, outer| {
        inner.path == outer.path || inner.path.starts_with(&format!("{}/", outer.path.trim_end_matches('/')))
    });
    folders
}

fn with_host(mut facts: Facts, args: &AuditArgs, profile: &Profile) -> Facts {
    facts.redis = match args.redis.as_deref() {
        Some("off") => Vec::new(),
        Some(place) => vec![redis::at(place)],
        None if args.no_host => Vec::new(),
        None => redis::running(),
    };
    let processors = || std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok());
    facts.processors = args.processors.or_else(|| if args.no_host { None } else { processors() });
    if args.no_host {
        return facts;
    }
    let master = facts.processes.first().map(|process| process.pid);
    facts.network_namespace =
        master.filter(|pid| nginx::namespace(&pid.to_string(), "net") != nginx::namespace("self", "net"));
    let settings = host_settings(facts.network_namespace, profile);
    let root = match master.map(|pid| pid.to_string()) {
        Some(pid) if nginx::namespace(&pid, "mnt") != nginx::namespace("self", "mnt") => {
            pid.parse().map_or_else(|_| Root::own(), Root::of_process)
        }
        _ => Root::own(),
    };
    facts.disks = files::disks_of(&root, &facts.folders, &settings.disks);
    facts.kernel = settings.keys;
    facts.link_mbit = sysctl::link_mbit();
    facts.services = services::listening(master);
    facts.encoders = services::encoders();
    facts
}

/// Reads the settings of this machine; those of the network in the network namespace of process `other`.
fn host_settings(other: Option<u32>, profile: &Profile) -> HostSettings {
    let own = sysctl::machine(profile.key.keys());
    let Some(pid) = other else { return own };
    let keys: Vec<String> = profile.key.keys().filter(|key| key.starts_with("net.")).cloned().collect();
    // Only the thread enters the namespace, and it ends with the reading.
    let inside = std::thread::spawn(move || {
        let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).ok()?;
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).ok()?;
        Some(sysctl::machine(keys.iter()).keys)
    });
    let inside = inside.join().ok().flatten();
    let unreadable =
        || KeyState::Unreadable("nginx has its own network namespace; run the audit as root".into());
    let net = profile.key.keys().filter(|key| key.starts_with("net."));
    let net = net.map(|key| {
        let state = inside.as_ref().and_then(|keys| keys.get(key)).cloned();
        (key.clone(), state.unwrap_or_else(unreadable))
    });
    let mut keys = own.keys.clone();
    keys.extend(net);
    HostSettings { keys, ..own }
}

/// Finds the master process to audit.
fn master(pid: Option<u32>) -> Result<Master, Failure> {
    let masters = nginx::masters();
    if let Some(pid) = pid {
        let found = masters.into_iter().find(|master| master.pid == pid);
        return found.ok_or_else(|| {
            Failure::preflight(format!("--pid {pid} is not a visible master process of nginx"))
                .help("look for it: ps -ef | grep 'nginx: master'")
        });
    }
    match masters.as_slice() {
        [] => Err(Failure::preflight("no running nginx is visible on this machine")
            .help("pass --config FILE, or run the audit where nginx runs")),
        [one] => Ok(one.clone()),
        several => {
            let list: Vec<String> =
                several.iter().map(|master| format!("--pid {} ({})", master.pid, master.command)).collect();
            Err(Failure::usage(format!("{} nginx run on this machine", several.len()))
                .help(format!("pass one of: {}", list.join("; "))))
        }
    }
}

/// Reads a folder of this machine and everything below it; `None` if it holds no playlist.
#[must_use]
pub fn scan_folder(path: &Path) -> Option<Folder> {
    files::scan(&Root::own(), path)
}
