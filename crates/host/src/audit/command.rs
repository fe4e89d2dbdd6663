//! The wiring of `hls-swarm audit`: facts of a server gathered, judged, shown, written.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::{go_style, logging};
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

/// The first word of a command line that is about audits. No URL of a stream is spelled like this.
pub const WORD: &str = "audit";

/// `main` of `hls-swarm audit`.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::iter::once("hls-swarm audit".into()).chain(std::env::args_os().skip(2));
    let args = match AuditArgs::try_parse_from(go_style::translate(words, &AuditArgs::command())) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    match serve(&args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
    }
}

fn serve(args: &AuditArgs) -> Result<Exit, Failure> {
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
            Failure::usage(format!("--report {}: an audit is not written as {ending:?}", path.display()))
                .help(format!("name a file that ends with {}", known.join(", ")))
        },
    )
}

/// Gathers what is known of the server.
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
            return Err(Failure::usage(format!("--folder {}: there is no such folder", folder.display()))
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

/// The nginx that is meant.
fn master(pid: Option<u32>) -> Result<Master, Failure> {
    let masters = nginx::masters();
    if let Some(pid) = pid {
        let found = masters.into_iter().find(|master| master.pid == pid);
        return found.ok_or_else(|| {
            Failure::preflight(format!("--pid {pid} is no master process of nginx that can be seen"))
                .help("look for it: ps -ef | grep 'nginx: master'")
        });
    }
    match masters.as_slice() {
        [] => Err(Failure::preflight("no nginx runs on this machine, as far as can be seen")
            .help("pass --config FILE, or run it where nginx runs")),
        [one] => Ok(one.clone()),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|master| format!("--pid {} ({})", master.pid, master.command.join(" ")))
                .collect();
            Err(Failure::usage(format!("{} nginx run on this machine", several.len()))
                .help(format!("pass one of: {}", list.join("; "))))
        }
    }
}

fn prefix(master: &Master) -> String {
    // The usual place of Debian; others say it with -p, or with absolute paths.
    let given = master.option("-p").map(PathBuf::from);
    let relative = given.unwrap_or_else(|| PathBuf::from("/usr/share/nginx"));
    let folder = PathBuf::from(format!("/proc/{}/cwd", master.pid)).join(relative);
    std::fs::canonicalize(&folder).unwrap_or(folder).display().to_string()
}

/// Asks nginx for its configuration; where it does not tell, reads the file that it was started with.
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
