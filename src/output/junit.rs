//! The report as JUnit's XML, as Jenkins, GitLab and GitHub's actions read it: one test case for the
//! run as such (an error if it proves nothing), one for each criterion, and one for each stage that was judged.

use std::fmt::{self, Write};

use hls_swarm_model::report::Report;
use hls_swarm_model::verdict::{Criterion, VerdictKind};

use super::escape::markup as safe;
use super::figures::utc;

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
    match verdict.kind {
        VerdictKind::Invalid => Some(("invalid", verdict.invalid_reasons.join("; "))),
        VerdictKind::Aborted => {
            Some(("aborted", format!("broken off before its planned end (exit code {})", verdict.exit_code)))
        }
        VerdictKind::Pass | VerdictKind::Fail => None,
    }
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, snapshot, verdict, .. } = report;
    let error = error(report);
    let judged = || snapshot.stages.iter().filter_map(|row| Some((row, row.met?)));
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        verdict.criteria.len() + judged().count() + 1,
        verdict.criteria.iter().filter(|criterion| !criterion.met).count()
            + judged().filter(|(_, met)| !met).count(),
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
        let why = (!criterion.met).then(|| unmet(criterion));
        case(out, name(criterion, &verdict.criteria), "criteria", "time=\"0\"", why.as_deref())?;
    }
    for (row, met) in judged() {
        let broken: Vec<String> = row.failed_criteria.iter().map(unmet).collect();
        let name = format!("stage {}: {}", row.stage, row.title());
        let time = format!("time=\"{:.3}\"", row.seconds);
        case(out, &name, "stages", &time, (!met).then(|| broken.join("; ")).as_deref())?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

/// What a criterion is called: by its metric, which stays the same where a limit is changed; of two about the
/// same metric, by the limit.
fn name<'a>(criterion: &'a Criterion, all: &[Criterion]) -> &'a str {
    let alone = all.iter().filter(|other| other.name == criterion.name).count() == 1;
    if alone { &criterion.name } else { &criterion.limit }
}

fn unmet(criterion: &Criterion) -> String {
    format!("{}: {}, asked for: {}", criterion.name, criterion.value_text(), criterion.limit)
}

/// One test case; `why` it failed, if it did.
fn case(out: &mut String, name: &str, class: &str, time: &str, why: Option<&str>) -> fmt::Result {
    write!(out, "    <testcase name=\"{}\" classname=\"hls-swarm.{class}\" {time}", safe(name))?;
    let Some(why) = why.map(safe) else { return writeln!(out, "/>") };
    writeln!(out, ">")?;
    writeln!(out, "      <failure type=\"criterion\" message=\"{why}\">{why}</failure>")?;
    writeln!(out, "    </testcase>")
}

fn properties(out: &mut String, Report { run, snapshot, verdict, end_reason, .. }: &Report) -> fmt::Result {
    let mut properties = vec![
        ("verdict", verdict.kind.as_str().to_lowercase()),
        ("exit_code", verdict.exit_code.to_string()),
        ("url", run.url.clone()),
        ("version", run.version.clone()),
        ("ffmpeg", run.ffmpeg.clone()),
        ("end_reason", end_reason.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_limits_of_one_metric_are_two_test_cases() {
        let criterion = |name: &str, limit: &str| Criterion {
            name: name.into(),
            limit: limit.into(),
            value: Some(0.1),
            met: true,
        };
        let all = [
            criterion("segment_ttfb", "segment_ttfb:p95<500ms"),
            criterion("segment_ttfb", "segment_ttfb:p99<1s"),
            criterion("error_rate", "<= 0.01"),
        ];
        let names: Vec<&str> = all.iter().map(|one| name(one, &all)).collect();
        assert_eq!(names, ["segment_ttfb:p95<500ms", "segment_ttfb:p99<1s", "error_rate"]);
    }
}
