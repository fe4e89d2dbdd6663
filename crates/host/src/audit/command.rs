//! `hls-swarm audit`: gathers facts about a streaming server, judges them, and prints the findings.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::{output, runtime};

use crate::audit::args::{AuditArgs, AuditFormat};
use crate::audit::facts::Facts;
use crate::audit::findings::Audit;
use crate::audit::gather::nginx::{self, Files, Master};
use crate::audit::gather::{folder, redis};
use crate::audit::nginx::Nginx;
use crate::audit::nginx_conf::assemble;
use crate::audit::output as view;
use crate::tuning::{profile, sysctl};

/// Audits a streaming server, prints the audit, and writes it to files.
///
/// # Errors
/// There is nothing to audit, or a file cannot be read or written.
pub fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let reports: Vec<(AuditFormat, &PathBuf)> =
        args.reports.iter().map(|path| Ok((format_of(path)?, path))).collect::<Result<_, Failure>>()?;
    reports.iter().try_for_each(|(_, path)| output::check_file("--report", path))?;
    let audit = crate::audit::audit(&gather(args)?, args.viewers)?;
    let said = output::print(&view::render(args.format, &audit)?);
    for (format, path) in reports {
        output::write_file(path, &view::render(format, &audit)?)?;
        // Standard output may be JSON or a patch.
        drop(writeln!(std::io::stderr(), "report: {}", path.display()));
    }
    said.map(|()| exit(args, &audit))
}

fn exit(args: &AuditArgs, audit: &Audit) -> Exit {
    match args.fail_on.zip(audit.worst()) {
        Some((limit, worst)) if worst >= limit => Exit::Criteria,
        _ => Exit::Pass,
    }
}

fn format_of(path: &Path) -> Result<AuditFormat, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    AuditFormat::ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format).ok_or_else(
        || {
            let known: Vec<String> =
                AuditFormat::ENDINGS.iter().map(|(known, _)| format!(".{known}")).collect();
            Failure::usage(format!(
                "invalid value \"{}\" for --report: unknown format {ending:?}",
                path.display()
            ))
            .help(format!("name a file that ends with {}", known.join(", ")))
        },
    )
}

/// Gathers facts about the server.
fn gather(args: &AuditArgs) -> Result<Facts, Failure> {
    let (subject, (main, files), processes, prefix) = match &args.config {
        Some(path) => {
            let files = nginx::read(path)?;
            let folder = Path::new(&files.0).parent().unwrap_or(Path::new("/")).to_owned();
            let prefix = args.prefix.clone().unwrap_or(folder).display().to_string();
            (format!("{}", path.display()), files, Vec::new(), prefix)
        }
        None => {
            let master = master(args.pid)?;
            let prefix = prefix(&master);
            let subject = format!("nginx (process {}: {})", master.pid, master.command.join(" "));
            (subject, ask(&master)?, nginx::processes(master.pid), prefix)
        }
    };
    let configuration = assemble(&main, files).map_err(|(file, error)| {
        Failure::usage(format!("{file}, line {}: {}", error.line, error.what))
            .help("let nginx check it: nginx -t")
    })?;
    let mut paths: Vec<PathBuf> =
        Nginx::of(&configuration).roots(&prefix).into_iter().map(PathBuf::from).collect();
    for folder in &args.folders {
        if !folder.is_dir() {
            return Err(Failure::usage(format!(
                "invalid value \"{}\" for --folder: there is no such folder",
                folder.display()
            ))
            .help("name a folder with playlists and segments"));
        }
        paths.push(folder.clone());
    }
    let mut folders: Vec<_> = paths.iter().filter_map(|path| folder::scan(path)).collect();
    folders.sort_by(|left, right| left.path.cmp(&right.path));
    // A folder inside another one has been looked at with it.
    folders.dedup_by(|inner, outer| {
        inner.path == outer.path || inner.path.starts_with(&format!("{}/", outer.path))
    });
    let facts = Facts { subject, configuration, prefix, processes, folders, ..Facts::default() };
    Ok(with_host(facts, args, profile::parse("origin", profile::built_in("origin")?, None)?))
}

fn with_host(facts: Facts, args: &AuditArgs, profile: profile::Profile) -> Facts {
    let redis = match args.redis.as_deref() {
        Some("off") => Vec::new(),
        Some(place) => vec![redis::at(place)],
        None if args.no_host => Vec::new(),
        None => redis::running(),
    };
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    let facts = Facts { redis, processors: u32::try_from(processors).unwrap_or(1), ..facts };
    if args.no_host {
        return facts;
    }
    let machine = sysctl::machine(profile.key.keys());
    Facts {
        disks: folder::disks_of(&facts.folders, &machine.disks),
        kernel: machine.keys,
        link_mbit: sysctl::link_mbit(),
        ..facts
    }
}

/// The nginx to audit.
fn master(pid: Option<u32>) -> Result<Master, Failure> {
    let masters = nginx::masters();
    if let Some(pid) = pid {
        let found = masters.into_iter().find(|master| master.pid == pid);
        return found.ok_or_else(|| {
            Failure::preflight(format!(
                "invalid value \"{pid}\" for --pid: no visible master process of nginx has this id"
            ))
            .help("look for it: ps -ef | grep 'nginx: master'")
        });
    }
    match masters.as_slice() {
        [] => Err(Failure::preflight("no nginx that is visible to this user runs on this machine")
            .help("pass --config FILE, or run it where nginx runs")),
        [one] => Ok(one.clone()),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|master| format!("--pid {} ({})", master.pid, master.command.join(" ")))
                .collect();
            Err(Failure::usage(format!("{} instances of nginx run on this machine", several.len()))
                .help(format!("pass one of: {}", list.join("; "))))
        }
    }
}

fn prefix(master: &Master) -> String {
    // Debian's default; others use -p or absolute paths.
    let given = master.option("-p").map(PathBuf::from);
    let relative = given.unwrap_or_else(|| PathBuf::from("/usr/share/nginx"));
    let folder = PathBuf::from(format!("/proc/{}/cwd", master.pid)).join(relative);
    std::fs::canonicalize(&folder).unwrap_or(folder).display().to_string()
}

/// Asks nginx for its configuration; if that fails, reads the file it was started with.
fn ask(master: &Master) -> Result<Files, Failure> {
    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    let asked = runtime.block_on(nginx::configuration(master, &guard));
    let named = master.option("-c").map(|name| Path::new(&prefix(master)).join(name));
    match (asked, named) {
        (Ok(files), _) => Ok(files),
        (Err(failure), Some(file)) if file.is_file() => {
            failure.print(&mut std::io::stderr());
            nginx::read(&file)
        }
        (Err(failure), _) => Err(failure),
    }
}
