//! The sentence at the top of a report: what held, what broke, and when.

use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::StageRow;
use hls_swarm_model::verdict::{Criterion, VerdictKind};

use crate::output::figures::{bit_rate, clock, count, length};

/// Criteria that a sentence names.
const NAMED: usize = 3;

/// The sentence about the run; `None` if the run shows nothing about the server.
pub(super) fn sentence(report: &Report) -> Option<String> {
    match report.verdict.kind {
        VerdictKind::Pass | VerdictKind::Fail => Some(by_stages(report).unwrap_or_else(|| as_whole(report))),
        VerdictKind::Invalid | VerdictKind::Aborted => None,
    }
}

/// What the stages that held a level have shown; `None` if there is none.
fn by_stages(report: &Report) -> Option<String> {
    let judged = || report.snapshot.stages.iter().filter(|row| row.met.is_some());
    let failed = judged().filter(|row| row.met == Some(false)).min_by_key(|row| row.clients);
    let below = |row: &&StageRow| failed.is_none_or(|failed| row.clients < failed.clients);
    let held = judged().filter(|row| row.met == Some(true)).filter(below).max_by_key(|row| row.clients);
    let viewers = |row: &StageRow| count(row.clients);
    let holds =
        held.map(|row| format!("holds {} viewers, {}", viewers(row), bit_rate(row.bytes_per_second() * 8.0)));
    let fails = failed.map(|row| {
        let within = (row.began_seconds, row.began_seconds + row.seconds);
        let why = broken(report, &row.failed_criteria, within);
        format!("fails at {}{}{why}", viewers(row), if why.is_empty() { "" } else { ": " })
    });
    Some(match (holds, fails) {
        (Some(holds), Some(fails)) => format!("{holds}; {fails}"),
        (Some(holds), None) => format!("{holds}, the most that were tried"),
        (None, Some(fails)) => format!("{fails} (the least that were tried)"),
        (None, None) => return None,
    })
}

fn as_whole(report: &Report) -> String {
    let snapshot = &report.snapshot;
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let viewers = count(snapshot.peak_clients);
    let rate = bit_rate(snapshot.bytes.total() as f64 * 8.0 / seconds);
    if snapshot.lifetimes.played == 0 {
        return format!("no viewer ever played: {viewers} tried for {}", length(seconds));
    }
    let why = broken(report, &report.verdict.criteria, (0.0, f64::INFINITY));
    if report.verdict.kind == VerdictKind::Pass || why.is_empty() {
        return format!("holds {viewers} viewers, {rate} on average, for {}", length(seconds));
    }
    format!("fails with {viewers} viewers, {rate} on average: {why}")
}

/// The criteria that were not met between two moments of the run, each with the time.
fn broken(report: &Report, criteria: &[Criterion], within: (f64, f64)) -> String {
    // That stages failed adds nothing to their own criteria.
    let unmet: Vec<&Criterion> =
        criteria.iter().filter(|criterion| !criterion.met && criterion.name != "stages").collect();
    let named = unmet.iter().take(NAMED).map(|criterion| {
        let found = report.recording.timeline.first_break(&criterion.name, &criterion.limit, within);
        let when = found.map_or_else(String::new, |found| match found.lasting {
            true => format!(" from {} on", clock(found.second)),
            false => format!(", first at {}", clock(found.second)),
        });
        format!("{}{when}", compared(criterion))
    });
    let mut texts: Vec<String> = named.collect();
    if unmet.len() > NAMED {
        texts.push(format!("and {} more", unmet.len() - NAMED));
    }
    texts.join("; ")
}

/// A criterion that was not met, with what was measured: "segment total p95 812 ms > 500 ms".
fn compared(criterion: &Criterion) -> String {
    let value = rounded(&criterion.value_text());
    let (figure, rest) = match criterion.limit.find(['<', '>', '=']) {
        Some(place) => criterion.limit.split_at(place),
        None => return format!("{} {value} ({})", criterion.name.replace('_', " "), criterion.limit),
    };
    let figure = if figure.trim().is_empty() { criterion.name.as_str() } else { figure.trim() };
    let (operator, limit) = match rest.trim_start_matches(['<', '>', '=']) {
        limit if rest.starts_with('<') => ('>', limit),
        limit if rest.starts_with('>') => ('<', limit),
        limit => ('≠', limit),
    };
    format!("{} {value} {operator} {}", figure.replace(['_', ':'], " "), limit.trim())
}

/// A value with three significant digits or so; the table of criteria has all of them.
fn rounded(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let Some(value) = number.parse::<f64>().ok().filter(|_| number.contains('.')) else {
        return text.to_owned();
    };
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.1 => 2,
        _ => return text.to_owned(),
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use hls_swarm_model::exchange::Kind;
    use hls_swarm_model::timeline::Window;
    use hls_swarm_test_support::recorded::report;

    use super::*;

    /// A level of 60 s that was judged; each viewer received 5.3 Mbit/s.
    fn level(stage: u64, clients: u64, met: bool) -> StageRow {
        let mut row = StageRow { stage, clients, seconds: 60.0, met: Some(met), ..StageRow::default() };
        row.began_seconds = 60.0 * (stage - 1) as f64;
        row.bytes[Kind::Segment] = clients * 5_333_333 / 8 * 60;
        if !met {
            row.failed_criteria = vec![criterion("segment_total", "segment_total:p95<500ms", 0.812)];
        }
        row
    }

    /// A run in these stages, in which segments are slow from `slow_from` on, seconds.
    fn staged(stages: Vec<StageRow>, slow_from: u64) -> Report {
        let mut report = report();
        let end = stages.len() as u64 * 60;
        let window = |second| {
            let mut window = Window { second, seconds: 2.0, ..Window::default() };
            window.segment_total.add(if second >= slow_from { 0.812 } else { 0.1 });
            window
        };
        report.recording.timeline.windows = (0..end).step_by(2).map(window).collect();
        report.verdict.kind = if stages.iter().all(|row| row.met == Some(true)) {
            VerdictKind::Pass
        } else {
            VerdictKind::Fail
        };
        report.snapshot.stages = stages;
        report
    }

    #[test]
    fn a_run_in_stages_names_the_level_that_held_and_the_one_that_broke() {
        let held = [level(1, 100, true), level(2, 300, true)];
        let broken = staged([held.to_vec(), vec![level(3, 400, false)]].concat(), 130);
        assert_eq!(
            sentence(&broken).unwrap(),
            "holds 300 viewers, 1.6 Gbit/s; fails at 400: segment total p95 812 ms > 500ms from 2:10 on"
        );
        // A level above one that failed has not held, whatever it shows.
        let recovered =
            staged(vec![level(1, 100, true), level(2, 300, false), level(3, 400, true)], u64::MAX);
        let text = sentence(&recovered).unwrap();
        assert!(text.starts_with("holds 100 viewers, 533 Mbit/s; fails at 300: segment total"), "{text}");
        let all = staged(held.to_vec(), u64::MAX);
        assert_eq!(sentence(&all).unwrap(), "holds 300 viewers, 1.6 Gbit/s, the most that were tried");
        let none = staged(vec![level(1, 400, false)], 30);
        assert_eq!(
            sentence(&none).unwrap(),
            "fails at 400: segment total p95 812 ms > 500ms from 0:30 on (the least that were tried)"
        );
    }

    fn criterion(name: &str, limit: &str, value: f64) -> Criterion {
        Criterion { name: name.into(), limit: limit.into(), value: Some(value), met: false, certain: false }
    }

    #[test]
    fn a_criterion_is_compared_with_its_limit() {
        for (name, limit, value, expected) in [
            ("segment_total", "segment_total:p95<500ms", 0.812, "segment total p95 812 ms > 500ms"),
            ("active_ratio", ">= 90 %", 0.5, "active ratio 50 % < 90 %"),
            ("error_rate", "<= 1 %", 0.026549, "error rate 2.65 % > 1 %"),
            ("given_up", "no viewer failed permanently", 2.0, "given up 2 (no viewer failed permanently)"),
        ] {
            assert_eq!(compared(&criterion(name, limit, value)), expected);
        }
    }
}
