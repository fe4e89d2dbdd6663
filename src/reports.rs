//! The wiring of reports: files that a run leaves, and what can be done with them later.

use std::io::Write;
use std::path::PathBuf;

use crate::system::output_file;
use crate::views::{formats, summary};
use crate::words::failure::Failure;
use crate::words::report::{Format, Report};

/// Makes sure, before a run begins, that its reports can be written.
///
/// # Errors
/// A usage failure that names the file.
pub fn check(files: &[(Format, PathBuf)]) -> Result<(), Failure> {
    files.iter().try_for_each(|(_, path)| output_file::check("--report", path))
}

/// Prints the summary.
pub fn say(report: &Report) {
    let Report { run, snapshot, verdict, ended_because, .. } = report;
    drop(write!(std::io::stdout(), "{}", summary::render(snapshot, run, verdict, ended_because)));
}

/// Writes the report into each file. One that cannot be written does not keep the others from it.
///
/// # Errors
/// The first failure.
pub fn write(files: &[(Format, PathBuf)], report: &Report) -> Result<(), Failure> {
    let mut failed = Ok(());
    for (format, path) in files {
        let written = formats::render(*format, report).and_then(|text| output_file::write(path, &text));
        match written {
            Ok(()) => drop(writeln!(std::io::stdout(), "report: {}", path.display())),
            Err(failure) => failed = failed.and(Err(failure)),
        }
    }
    failed
}
