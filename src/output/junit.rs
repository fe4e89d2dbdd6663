//! The JUnit XML form of a report, which Jenkins, GitLab and GitHub Actions read: one test case for the
//! run itself (an error if its result is not valid), one for each criterion, and one for each judged stage.

use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite, XmlString};

use hls_swarm_base::error::Failure;
use hls_swarm_model::report::Report;
use hls_swarm_model::verdict::{Criterion, VerdictKind};

const SUITE: &str = "hls-swarm";

/// Renders a report as JUnit XML.
///
/// # Errors
/// An internal failure if the document cannot be written.
pub fn render(report: &Report) -> Result<String, Failure> {
    let Report { run, snapshot, verdict, .. } = report;
    let elapsed = seconds(snapshot.elapsed_seconds);
    let mut suite = TestSuite::new(SUITE);
    suite.set_time(elapsed);
    if let Some(start) = i64::try_from(run.began_unix).ok().and_then(|unix| DateTime::from_timestamp(unix, 0))
    {
        suite.set_timestamp(start);
    }
    for (name, value) in properties(report) {
        suite.add_property(Property::new(name, text(&value)));
    }
    suite.add_test_case(case("run", "", elapsed, run_status(report)));
    for criterion in &verdict.criteria {
        let status = criterion_status(criterion.met, || unmet(criterion));
        let name = case_name(criterion, &verdict.criteria);
        suite.add_test_case(case(name, ".criteria", Duration::ZERO, status));
    }
    for row in &snapshot.stages {
        let Some(met) = row.met else { continue };
        let failed = || row.failed_criteria.iter().map(unmet).collect::<Vec<_>>().join("; ");
        let name = format!("stage {}: {}", row.stage, row.title());
        suite.add_test_case(case(&name, ".stages", seconds(row.seconds), criterion_status(met, failed)));
    }
    let mut document = quick_junit::Report::new(SUITE);
    document.set_time(elapsed).add_test_suite(suite);
    document
        .to_string()
        .map_err(|error| Failure::internal("cannot write the report as JUnit XML").caused_by(error))
}

/// Returns `seconds` as a duration; zero if it is negative or not a number.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Text that XML 1.0 permits. `quick-junit` removes control characters but lets two noncharacters through.
fn text(text: &str) -> XmlString {
    XmlString::new(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

fn case(name: &str, class: &str, time: Duration, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(text(name), status);
    case.set_classname(format!("{SUITE}{class}")).set_time(time);
    case
}

/// Whether the run itself produced a result.
fn run_status(Report { verdict, .. }: &Report) -> TestCaseStatus {
    match verdict.kind {
        // A criterion may fail for certain in a run whose other figures prove nothing.
        VerdictKind::Invalid | VerdictKind::Fail if !verdict.invalid_because.is_empty() => {
            non_success(NonSuccessKind::Error, "invalid", &verdict.invalid_because.join("; "))
        }
        VerdictKind::Pass | VerdictKind::Fail | VerdictKind::Invalid => TestCaseStatus::success(),
        VerdictKind::Aborted => {
            let why = format!("aborted before its planned end (exit code {})", verdict.exit_code);
            non_success(NonSuccessKind::Error, "aborted", &why)
        }
    }
}

fn criterion_status(met: bool, message: impl FnOnce() -> String) -> TestCaseStatus {
    if met {
        TestCaseStatus::success()
    } else {
        non_success(NonSuccessKind::Failure, "criterion", &message())
    }
}

/// A status with its message both in the attribute and in the element, because CI systems differ in which
/// of the two they show.
fn non_success(kind: NonSuccessKind, type_name: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(type_name).set_message(text(message)).set_description(text(message));
    status
}

/// The name of a criterion's test case: its metric, which stays the same when the limit is changed. If
/// several criteria share a metric, it is the limit.
fn case_name<'a>(criterion: &'a Criterion, all: &[Criterion]) -> &'a str {
    let unique = all.iter().filter(|other| other.name == criterion.name).count() == 1;
    if unique { &criterion.name } else { &criterion.limit }
}

fn unmet(criterion: &Criterion) -> String {
    format!("{}: {}, limit: {}", criterion.name, criterion.value_text(), criterion.limit)
}

fn properties(report: &Report) -> Vec<(&'static str, String)> {
    let Report { run, snapshot, verdict, end_reason, .. } = report;
    let mut properties = vec![
        ("verdict", verdict.kind.as_str().to_lowercase()),
        ("exit_code", verdict.exit_code.to_string()),
        ("url", run.url.clone()),
        ("version", run.version.clone()),
        match &run.ffmpeg {
            Some(version) => ("ffmpeg", version.clone()),
            None => ("player", run.player_name()),
        },
        ("end_reason", end_reason.clone()),
        ("target_clients", snapshot.target_clients.to_string()),
        ("peak_clients", snapshot.peak_clients.to_string()),
        ("requests", snapshot.requests.total().to_string()),
        ("bytes", snapshot.bytes.total().to_string()),
    ];
    properties.extend(run.seed.map(|seed| ("seed", seed.to_string())));
    properties.extend(verdict.warnings.iter().map(|warning| ("warning", warning.clone())));
    properties
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
            certain: false,
        };
        let all = [
            criterion("segment_ttfb", "segment_ttfb:p95<500ms"),
            criterion("segment_ttfb", "segment_ttfb:p99<1s"),
            criterion("error_rate", "<= 0.01"),
        ];
        let names: Vec<&str> = all.iter().map(|one| case_name(one, &all)).collect();
        assert_eq!(names, ["segment_ttfb:p95<500ms", "segment_ttfb:p99<1s", "error_rate"]);
    }

    #[test]
    fn characters_that_xml_forbids_are_removed() {
        assert_eq!(text("a\u{0}\u{1b}[2Jb\u{ffff}c\n").as_str(), "ab\u{fffd}c\n");
    }
}
