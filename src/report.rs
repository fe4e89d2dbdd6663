//! Reports: writes the files of a run, and shows, compares and merges them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::comparison::condition::Condition;
use hls_swarm_model::report::{Format, Report, merge, read};
use hls_swarm_model::verdict::Verdict;
use hls_swarm_model::verdict::threshold::InvalidThreshold;
use hls_swarm_os::output;

use crate::cli::commands::ReportCommand;
use crate::output::comparison::Compared;
use crate::output::summary::Part;
use crate::output::{comparison, formats, summary};

/// Shows, compares or merges reports.
///
/// # Errors
/// A report cannot be read or written.
pub fn run(command: ReportCommand) -> Result<ExitCode, Failure> {
    match command {
        ReportCommand::Show { file, reports } => {
            let files = Format::of_all(&reports)?;
            check(&files)?;
            let (_, report) = open(&file)?;
            publish(&files, &report, report.verdict.exit_code, Some(Part::Whole), Ok(()))?;
            Ok(Exit::Pass.into())
        }
        ReportCommand::Compare { before, after, fail_if, reports } => {
            let conditions = fail_if.iter().map(|typed| condition(typed)).collect::<Result<Vec<_>, _>>()?;
            let files = comparison::Format::of_all(&reports)?;
            files.iter().try_for_each(|(_, path)| output::check_file("--report", path))?;
            let ((a, before), (b, after)) = (open(&before)?, open(&after)?);
            let compared = Compared::new((&a, &before), (&b, &after), &conditions);
            // A file that cannot be written does not prevent the others.
            let write = |(format, path): &(comparison::Format, PathBuf)| {
                output::write_file(path, &format.render(&compared))
            };
            let written = files.iter().map(write).fold(Ok(()), Result::and);
            let printed = output::print(&compared.text());
            written.and(printed)?;
            Ok(compared.exit().into())
        }
        ReportCommand::Merge { files, reports } => {
            let into = Format::of_all(&reports)?;
            check(&into)?;
            let parts: Vec<_> = files.iter().map(|file| open(file)).collect::<Result<_, _>>()?;
            let merged = merge::merge(&parts)?;
            publish(&into, &merged, merged.verdict.exit_code, Some(Part::Sum), Ok(()))?;
            Ok(ExitCode::from(merged.verdict.exit_code))
        }
    }
}

/// Reads a condition of `--fail-if`.
fn condition(typed: &str) -> Result<Condition, Failure> {
    typed.parse().map_err(|error: InvalidThreshold| {
        let help = error.help().to_owned();
        Failure::usage(format!("invalid value {typed:?} for --fail-if")).caused_by(error).help(help)
    })
}

/// Reads a report; returns it with the name of its file.
fn open(path: &Path) -> Result<(String, Report), Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("{name}: cannot be read"))
            .caused_by(error)
            .help("name a file that was written with `--report FILE.json`")
    })?;
    let report = read::read(&name, &text)?;
    Ok((name, report))
}

/// Checks, before a run begins, that its reports can be written.
///
/// # Errors
/// A usage failure that names the file.
pub fn check(files: &[(Format, PathBuf)]) -> Result<(), Failure> {
    files.iter().try_for_each(|(_, path)| output::check_file("--report", path))
}

/// Checks that no report and the exchange log are the same file.
///
/// # Errors
/// A usage failure that names the file.
pub fn check_beside(log: Option<&Path>, files: &[(Format, PathBuf)]) -> Result<(), Failure> {
    let place = |path: &Path| std::path::absolute(path).ok();
    match log.filter(|log| files.iter().any(|(_, path)| place(path) == place(log))) {
        Some(log) => {
            Err(Failure::usage(format!("--exchange-log {0}: --report {0} is the same file", log.display()))
                .help("give each a file of its own"))
        }
        None => Ok(()),
    }
}

/// Writes the report into each file and prints the summary, in this order: standard output may lead to a reader that
/// no longer reads. A file that cannot be written does not prevent the others. `exit_code` is that of the program if
/// everything can be written; `part` is what the report is about, from which the next step at the end of the summary
/// follows; `also` is what has been written before.
///
/// # Errors
/// The first failure.
pub fn publish(
    files: &[(Format, PathBuf)],
    report: &Report,
    exit_code: u8,
    part: Option<Part>,
    also: Result<(), Failure>,
) -> Result<(), Failure> {
    let (names, written) = write(files, report);
    let written = written.and(also);
    let exit_code = written.as_ref().map_or_else(|failure| failure.exit().code(), |()| exit_code);
    let verdict = Verdict { exit_code, ..report.verdict.clone() };
    let report = Report { verdict, ..report.clone() };
    let summary = summary::render_as(&report, part, output::takes_color());
    let printed = output::print(&(summary + &names));
    written.and(printed)
}

/// Writes the files; returns a line for each that was written.
fn write(files: &[(Format, PathBuf)], report: &Report) -> (String, Result<(), Failure>) {
    let (mut names, mut failed) = (String::new(), Ok(()));
    for (format, path) in files {
        let written = formats::render(*format, report).and_then(|text| output::write_file(path, &text));
        match written {
            Ok(()) => names += &format!("report: {}\n", path.display()),
            Err(failure) => failed = failed.and(Err(failure)),
        }
    }
    (names, failed)
}
