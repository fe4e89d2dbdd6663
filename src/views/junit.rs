//! The report as JUnit's XML, as Jenkins, GitLab and GitHub's actions read it: one test case for the
//! run as such (an error if it proves nothing), and one for each criterion.

use std::fmt::{self, Write};

use super::escape::markup as safe;
use super::figures::utc;
use crate::words::report::Report;
use crate::words::verdict::Word;

/// The report.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report);
    text
}

/// Why the run as such is no result, if it is none.
fn error(report: &Report) -> Option<(&'static str, String)> {
    let verdict = &report.verdict;
    match verdict.word {
        Word::Invalid => Some(("invalid", verdict.invalid_because.join("; "))),
        Word::Aborted => {
            Some(("aborted", format!("broken off before its planned end (exit code {})", verdict.exit_code)))
        }
        Word::Pass | Word::Fail => None,
    }
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, snapshot, verdict, .. } = report;
    let error = error(report);
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        verdict.criteria.len() + 1,
        verdict.criteria.iter().filter(|criterion| !criterion.met).count(),
        u8::from(error.is_some()),
    );
    let time = format!("time=\"{:.3}\"", snapshot.elapsed_seconds);
    let began = utc(run.began_unix);
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"hls-swarm\" {counts} {time}>")?;
    writeln!(out, "  <testsuite name=\"hls-swarm\" {counts} skipped=\"0\" {time} timestamp=\"{began}\">")?;
    properties(out, report)?;
    write!(out, "    <testcase name=\"run\" classname=\"hls-swarm\" {time}")?;
    match error {
        Some((kind, why)) => {
            let why = safe(&why);
            writeln!(
                out,
                ">\n      <error type=\"{kind}\" message=\"{why}\">{why}</error>\n    </testcase>"
            )?;
        }
        None => writeln!(out, "/>")?,
    }
    for criterion in &verdict.criteria {
        let (name, limit, value) = (safe(&criterion.name), safe(&criterion.limit), criterion.value_text());
        write!(out, "    <testcase name=\"{name}\" classname=\"hls-swarm.criteria\" time=\"0\"")?;
        if criterion.met {
            writeln!(out, "/>")?;
        } else {
            let message = format!("{name}: {value}, asked for: {limit}");
            writeln!(out, ">")?;
            writeln!(out, "      <failure type=\"criterion\" message=\"{message}\">{message}</failure>")?;
            writeln!(out, "    </testcase>")?;
        }
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn properties(
    out: &mut String,
    Report { run, snapshot, verdict, ended_because, .. }: &Report,
) -> fmt::Result {
    let mut properties = vec![
        ("verdict", verdict.word.shout().to_lowercase()),
        ("exit_code", verdict.exit_code.to_string()),
        ("url", run.url.clone()),
        ("version", run.version.clone()),
        ("ffmpeg", run.ffmpeg.clone()),
        ("ended_because", ended_because.clone()),
        ("target_clients", snapshot.target_clients.to_string()),
        ("peak_clients", snapshot.peak_clients.to_string()),
        ("requests", snapshot.requests.total().to_string()),
        ("bytes", snapshot.bytes.total().to_string()),
    ];
    properties.extend(run.seed.map(|seed| ("seed", seed.to_string())));
    writeln!(out, "    <properties>")?;
    for (name, value) in properties {
        writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", safe(&value))?;
    }
    writeln!(out, "    </properties>")
}
