//! `hls-swarm audit`: gathers the facts about a server, audits it, and prints the result.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::{go_style, logging};
use hls_swarm_os::{output_file, stdout};

use crate::audit::args::{AuditArgs, AuditFormat};
use crate::audit::findings::Audit;
use crate::audit::gather::gather;
use crate::audit::output;
use crate::tuning::profile;

/// The name of the sub-command.
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
    reports.iter().try_for_each(|(_, path)| output_file::check("--report", path))?;
    let profile = profile::parse("origin", profile::built_in("origin")?, None)?;
    let audit = crate::audit::audit(&gather(args, &profile)?, args.viewers)?;
    let said = stdout::say(&output::render(args.format, &audit)?);
    for (format, path) in reports {
        output_file::write(path, &output::render(format, &audit)?)?;
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
            Failure::usage(format!("--report {}: invalid extension {ending:?}", path.display()))
                .help(format!("pass a file that ends with {}", known.join(", ")))
        },
    )
}
