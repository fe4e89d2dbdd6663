//! `hls-swarm audit`: gathers the facts about a server, audits it, and prints the result.

use std::io::Write;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use crate::audit::args::{AuditArgs, AuditFormat};
use crate::audit::findings::Audit;
use crate::audit::gather::gather;
use crate::audit::output as view;
use crate::tuning::profile;

/// Audits a streaming server, prints the audit, and writes it to files.
///
/// # Errors
/// There is nothing to audit, or a file cannot be read or written.
pub fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let reports: Vec<(AuditFormat, &PathBuf)> =
        args.reports.iter().map(|path| Ok((format_of(path)?, path))).collect::<Result<_, Failure>>()?;
    reports.iter().try_for_each(|(_, path)| output::check_file("--report", path))?;
    let profile = profile::parse("origin", profile::built_in("origin")?, None)?;
    let audit = crate::audit::audit(&gather(args, &profile)?, args.viewers)?;
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
            .help(format!("pass a file that ends with {}", known.join(", ")))
        },
    )
}
