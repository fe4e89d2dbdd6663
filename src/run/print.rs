//! `--print-cmd`: prints the command line of the first viewer.

use std::io::Write;
use std::process::ExitCode;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::exchange::Source;
use hls_swarm_os::{output, secrets};

use crate::config::plan::Plan;
use crate::preflight::Ready;

/// Prints the command line, quoted for a shell.
pub(crate) fn command(plan: &Plan, ready: &Ready) -> Result<ExitCode, Failure> {
    let (stream, selection) = ready.selections.of(1);
    let Some((program, arguments)) = ready.engine.command_line(stream, selection, 1) else {
        return Err(Failure::usage("--print-cmd with --engine native: its viewers have no process")
            .help("leave out one of them"));
    };
    let quote = |text: &std::ffi::OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=,@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let arguments = std::iter::once(program.as_os_str()).chain(arguments.iter().map(AsRef::as_ref));
    let line = arguments.map(quote).collect::<Vec<String>>().join(" ");
    // Secrets that the user typed are shown, so that the command can be tried. Those that were read from a file or the
    // environment are not.
    let line = if plan.secrets.were_read() { secrets::redact(&line).into_owned() } else { line };
    output::print(&format!("{line}\n"))?;
    if ready.engine.source() == Source::Probe {
        drop(writeln!(std::io::stderr(), "(a run also loads the socket probe, through LD_PRELOAD)"));
    }
    Ok(Exit::Pass.into())
}
