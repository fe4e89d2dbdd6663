//! The verdict: whether the run is valid, and whether it met its criteria.
//!
//! In this order: viewers were led to a host that is not allowed (4), no viewer ever played (6), a criterion failed for
//! certain (4), the run proves nothing (5), it was interrupted (128 + n), a criterion was not met (4), pass (0). Certain
//! is a failure that the load generator's own condition cannot have caused: a server does not respond with 503, or with
//! an HTML page, because a viewer is late.

use hls_swarm_base::exit::Exit;

use super::threshold::{Threshold, Timings};
use super::validity;
use crate::limit::Found;
use crate::metric::counters::Counter;
use crate::metric::{self, Scope, Unit, criteria as names};
use crate::snapshot::Snapshot;
use crate::verdict::{Criterion, Verdict, VerdictKind};

/// Least share of the viewers that should play which has to play, over time. Below it the field's
/// alert "active < 90 % of target" fires.
const MIN_ACTIVE: f64 = 0.9;
/// Largest error rate. Above it the field's alert "error rate > 1 %" fires.
const MAX_ERRORS: f64 = 0.01;

/// Evaluates a run by its last snapshot. A threshold replaces the built-in criterion about the
/// same metric. `interrupted_by` is the signal that ended the run before its planned end.
#[must_use]
pub fn judge(
    snapshot: &Snapshot,
    timings: &dyn Timings,
    thresholds: &[Threshold],
    interrupted_by: Option<u8>,
) -> Verdict {
    let mut criteria = built_in(snapshot);
    criteria.retain(|criterion| thresholds.iter().all(|threshold| threshold.metric() != criterion.name));
    criteria.extend(thresholds.iter().map(|threshold| held(threshold, snapshot, timings)));
    criteria.extend(levels(snapshot));
    let mut invalid_because = validity::invalid(snapshot);
    invalid_because.extend(validity::undecided(snapshot, timings, thresholds));
    invalid_because.extend(validity::failed_while_waiting(snapshot, &criteria));
    let warnings = validity::warnings(snapshot);
    let mut verdict = Verdict {
        kind: VerdictKind::Pass,
        exit_code: Exit::Pass.code(),
        criteria,
        invalid_because,
        warnings,
    };
    let invalid = !verdict.invalid_because.is_empty();
    let led_astray = snapshot.counters[Counter::ForbiddenConnections].is_some_and(|count| count > 0);
    let (kind, exit) = if let (Some(signal), 0) = (interrupted_by, snapshot.lifetimes.played) {
        (VerdictKind::Aborted, Exit::Signal(signal))
    } else if led_astray {
        // True whatever the figures are worth, and it may be why no viewer played.
        (VerdictKind::Fail, Exit::Criteria)
    } else if snapshot.lifetimes.played == 0
        && validity::exhausted(snapshot) == 0
        && !(invalid && nothing_failed(snapshot))
    {
        (VerdictKind::Fail, Exit::NeverPlayed)
    } else if invalid && !verdict.has_certain_failure() {
        (VerdictKind::Invalid, Exit::Invalid)
    } else if let Some(signal) = interrupted_by {
        (VerdictKind::Aborted, Exit::Signal(signal))
    } else if verdict.criteria.iter().any(|criterion| !criterion.met) {
        (VerdictKind::Fail, Exit::Criteria)
    } else {
        (VerdictKind::Pass, Exit::Pass)
    };
    (verdict.kind, verdict.exit_code) = (kind, exit.code());
    verdict
}

/// Whether no request and no process failed, so that viewers that never played may only have been too slow.
const fn nothing_failed(snapshot: &Snapshot) -> bool {
    let exits = &snapshot.lifetimes.exits;
    snapshot.errors.failed == 0 && exits.error + exits.signal == 0
}

/// The verdict with one criterion more that was not met.
#[must_use]
pub fn aborted_by(mut verdict: Verdict, criterion: Criterion) -> Verdict {
    let fails = match verdict.kind {
        VerdictKind::Pass => true,
        VerdictKind::Invalid => criterion.certain,
        VerdictKind::Fail | VerdictKind::Aborted => false,
    };
    verdict.criteria.push(criterion);
    if fails {
        (verdict.kind, verdict.exit_code) = (VerdictKind::Fail, Exit::Criteria.code());
    }
    verdict
}

/// Why a run with the figures `snapshot` proves nothing; empty if it is valid.
#[must_use]
pub fn invalid_because(snapshot: &Snapshot) -> Vec<String> {
    validity::invalid(snapshot)
}

/// The verdict on a search for the limit of the load, in place of that on the run, in which levels were meant to fail.
/// `at_least` viewers have to hold.
#[must_use]
pub fn of_search(mut verdict: Verdict, found: &Found, at_least: Option<u32>) -> Verdict {
    let enough = found.viewers() >= at_least.unwrap_or(0);
    let limit = at_least.map_or_else(
        || "a limit or the cap is found".to_owned(),
        |least| format!("at least {least} viewers hold"),
    );
    let met = enough && found.is_over && (found.ours.is_none() || at_least.is_some());
    verdict.criteria.retain(|criterion| criterion.name == names::ALLOWED_HOSTS);
    let led_astray = verdict.criteria.iter().any(|criterion| !criterion.met);
    verdict.criteria.push(Criterion::new(names::LIMIT, limit, Some(found.viewers().into()), met));
    verdict.invalid_because = found.ours.iter().cloned().collect();
    let (kind, exit) = match &found.ours {
        _ if led_astray => (VerdictKind::Fail, Exit::Criteria),
        // What has held is not in doubt.
        Some(_) if at_least.is_none() || !enough => (VerdictKind::Invalid, Exit::Invalid),
        None if !met => (VerdictKind::Fail, Exit::Criteria),
        _ => (VerdictKind::Pass, Exit::Pass),
    };
    (verdict.kind, verdict.exit_code) = (kind, exit.code());
    verdict
}

/// The criteria of a stage with the figures `snapshot`.
#[must_use]
pub fn stage_criteria(
    snapshot: &Snapshot,
    timings: &dyn Timings,
    thresholds: &[Threshold],
) -> Vec<Criterion> {
    let of_a_stage = |name: &str| {
        let asked = metric::find(name).and_then(|metric| metric.asked);
        asked.is_some_and(|asked| asked.scope != Scope::WholeRun)
    };
    let mut criteria = built_in(snapshot);
    criteria.retain(|criterion| {
        of_a_stage(&criterion.name) && thresholds.iter().all(|threshold| threshold.metric() != criterion.name)
    });
    let asked = thresholds.iter().filter(|threshold| of_a_stage(threshold.metric()));
    criteria.extend(asked.map(|threshold| held(threshold, snapshot, timings)));
    criteria
}

/// Whether each stage that holds a level met its criteria.
fn levels(snapshot: &Snapshot) -> Option<Criterion> {
    let judged: Vec<bool> = snapshot.stages.iter().filter_map(|row| row.met).collect();
    let met = judged.iter().filter(|met| **met).count();
    let certain = snapshot.stages.iter().flat_map(|row| &row.failed_criteria).any(|failed| failed.certain);
    (!judged.is_empty()).then(|| {
        Criterion::new(
            names::STAGES,
            "every stage that holds a level meets these criteria",
            Some(met as f64 / judged.len() as f64),
            met == judged.len(),
        )
        .certain(certain)
    })
}

pub(super) fn held(threshold: &Threshold, snapshot: &Snapshot, timings: &dyn Timings) -> Criterion {
    let value = threshold.measure(snapshot, timings);
    // A criterion that was not measured is not met.
    let met = value.is_some_and(|value| threshold.holds(value));
    let certain = validity::certain_value(threshold.metric(), snapshot);
    let certain = certain.is_some_and(|least| threshold.fails_from(least, snapshot));
    Criterion::new(threshold.metric(), threshold.to_string(), value, met).certain(certain)
}

fn built_in(snapshot: &Snapshot) -> Vec<Criterion> {
    let played = snapshot.lifetimes.played as f64 / snapshot.lifetimes.expected.max(1) as f64;
    let mut criteria = vec![
        Criterion::new(
            names::VIEWERS_PLAYED,
            "every expected viewer has played",
            Some(played),
            played >= 1.0,
        ),
        Criterion::new(
            names::GIVEN_UP,
            "no viewer failed permanently",
            Some(snapshot.lifetimes.given_up as f64),
            snapshot.lifetimes.given_up == 0,
        ),
    ];
    criteria.extend(snapshot.counters[Counter::ForbiddenConnections].map(|count| {
        let limit = "viewers connect to allowed hosts only";
        Criterion::new(names::ALLOWED_HOSTS, limit, Some(count as f64), count == 0).certain(true)
    }));
    // A run that ends within its ramp has no settled time to judge.
    criteria.extend(snapshot.active_ratio.map(|ratio| {
        let limit = format!(">= {}", Unit::Share.text(MIN_ACTIVE));
        Criterion::new(names::ACTIVE_RATIO, limit, Some(ratio), ratio >= MIN_ACTIVE)
    }));
    criteria.push(
        Criterion::new(
            names::ERROR_RATE,
            format!("<= {}", Unit::Share.text(MAX_ERRORS)),
            snapshot.errors.rate,
            snapshot.errors.rate.is_some_and(|rate| rate <= MAX_ERRORS),
        )
        .certain(validity::certain_value(names::ERROR_RATE, snapshot).is_some_and(|rate| rate > MAX_ERRORS)),
    );
    criteria
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exchange::Source;
    use crate::snapshot::{Errors, PlaybackSource, Sources, StageRow};
    use crate::stats::{Expectation, Stats};
    use crate::verdict::error_rate_limit::{ErrorRateLimit, Exceeded};

    pub(in crate::verdict) fn good() -> Snapshot {
        let sources =
            Sources { requests: Source::Probe, bytes: Source::Probe, playback: PlaybackSource::Arrivals };
        let expectation = Expectation {
            began_ns: 0,
            planned_seconds: Some(60.0),
            target_clients: 2,
            start_up_seconds: 5.0,
            timeout_ns: 15_000_000_000,
            sources,
        };
        let mut snapshot = Stats::new(expectation).snapshot(0);
        snapshot.target_now = 2;
        (snapshot.lifetimes.played, snapshot.lifetimes.expected) = (2, 2);
        snapshot.active_ratio = Some(1.0);
        snapshot.errors.rate = Some(0.0);
        snapshot.agreement.kernel_bytes = Some(1.0);
        snapshot
    }

    #[test]
    fn a_search_passes_with_a_limit_and_not_with_ours() {
        use crate::limit::{Outcome, Search};
        let judged = |outcomes: &[(u32, Outcome)], at_least: Option<u32>| {
            let mut search = Search::new(1, 2);
            outcomes.iter().for_each(|(viewers, outcome)| search.tried(*viewers, outcome.clone()));
            // Levels fail on purpose.
            let mut snapshot = good();
            snapshot.errors.rate = Some(0.5);
            let verdict = of_search(judge(&snapshot, &(), &[], None), &search.found(), at_least);
            assert_eq!(verdict.criteria.last().unwrap().name, names::LIMIT);
            (verdict.kind, verdict.exit_code)
        };
        let failed = || Outcome::Failed("errors".into());
        let limit = [(1, Outcome::Held), (2, failed()), (2, failed()), (1, Outcome::Held)];
        let cap = [(1, Outcome::Held), (2, Outcome::Held)];
        let ours = [(1, Outcome::Held), (2, Outcome::Ours("late".into()))];
        assert_eq!(judged(&limit, None), (VerdictKind::Pass, 0));
        assert_eq!(judged(&limit, Some(2)), (VerdictKind::Fail, 4));
        assert_eq!(judged(&cap, Some(2)), (VerdictKind::Pass, 0));
        assert_eq!(judged(&cap, Some(3)), (VerdictKind::Fail, 4));
        assert_eq!(judged(&ours, None), (VerdictKind::Invalid, 5));
        assert_eq!(judged(&ours, Some(2)), (VerdictKind::Invalid, 5));
        assert_eq!(judged(&limit[..2], None), (VerdictKind::Fail, 4), "not finished");
    }

    fn verdict(change: impl FnOnce(&mut Snapshot), interrupted_by: Option<u8>) -> (VerdictKind, u8) {
        let mut snapshot = good();
        change(&mut snapshot);
        let verdict = judge(&snapshot, &(), &[], interrupted_by);
        (verdict.kind, verdict.exit_code)
    }

    #[test]
    fn each_way_to_end_has_its_code() {
        assert_eq!(verdict(|_| {}, None), (VerdictKind::Pass, 0));
        assert_eq!(verdict(|_| {}, Some(2)), (VerdictKind::Aborted, 130));
        assert_eq!(verdict(|s| s.lifetimes.played = 0, None), (VerdictKind::Fail, 6));
        assert_eq!(verdict(|s| s.lifetimes.played = 0, Some(15)), (VerdictKind::Aborted, 143));
        assert_eq!(verdict(|s| s.lifetimes.played = 1, None), (VerdictKind::Fail, 4));
        assert_eq!(verdict(|s| s.lifetimes.given_up = 1, None), (VerdictKind::Fail, 4));
        assert_eq!(verdict(|s| s.active_ratio = Some(0.89), None), (VerdictKind::Fail, 4));
        assert_eq!(verdict(|s| s.errors.rate = Some(0.02), None), (VerdictKind::Fail, 4));
        assert_eq!(verdict(|s| s.generator.events_lost = 1, None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(|s| s.generator.p99_lag_ms = 501.0, None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(|s| s.generator.max_lag_ms = 2900.0, None), (VerdictKind::Pass, 0));
        assert_eq!(verdict(|s| s.generator.max_lag_ms = 9800.0, None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(|s| s.agreement.kernel_bytes = Some(0.99), None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(|s| s.lifetimes.unseen = 1, None), (VerdictKind::Invalid, 5));
        let exhausted = |s: &mut Snapshot| {
            s.counters[Counter::Exhausted] = Some(1);
            s.lifetimes.played = 0;
        };
        assert_eq!(verdict(exhausted, None), (VerdictKind::Invalid, 5));
        let led_astray = |s: &mut Snapshot| {
            s.counters[Counter::ForbiddenConnections] = Some(1);
            (s.lifetimes.played, s.generator.events_lost) = (0, 1);
        };
        assert_eq!(verdict(led_astray, None), (VerdictKind::Fail, 4));
        assert_eq!(
            verdict(|s| s.counters[Counter::ForbiddenConnections] = Some(0), None),
            (VerdictKind::Pass, 0)
        );
        assert_eq!(verdict(starved, Some(2)), (VerdictKind::Invalid, 5));
    }

    fn starved(snapshot: &mut Snapshot) {
        let waits = &mut snapshot.generator.waits;
        (waits.viewer_wait_seconds, waits.viewer_sampled_seconds) = (Some(21.0), Some(100.0));
    }

    #[test]
    fn failures_that_lateness_cannot_cause_count_in_an_invalid_run() {
        let with_errors = |http: u64, timeouts: u64| {
            move |s: &mut Snapshot| {
                starved(s);
                s.errors.attempts = 100;
                (s.errors.http, s.errors.timeouts, s.errors.failed) = (http, timeouts, http + timeouts);
                s.errors = s.errors.with_rate();
            }
        };
        assert_eq!(verdict(with_errors(38, 0), None), (VerdictKind::Fail, 4));
        assert_eq!(verdict(with_errors(0, 38), None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(with_errors(1, 37), None), (VerdictKind::Invalid, 5));
        assert_eq!(verdict(with_errors(38, 0), Some(2)), (VerdictKind::Aborted, 130));
        // Records that were lost may all have been successes.
        let lost = |s: &mut Snapshot| {
            with_errors(2, 0)(s);
            s.generator.events_lost = 200;
        };
        assert_eq!(verdict(lost, None), (VerdictKind::Invalid, 5));
        let mut snapshot = good();
        with_errors(38, 0)(&mut snapshot);
        let judged = |threshold: &str| judge(&snapshot, &(), &[threshold.parse().unwrap()], None).exit_code;
        assert_eq!([judged("error_rate<10%"), judged("error_rate<50%"), judged("error_rate>90%")], [4, 5, 5]);
        assert!(!judge(&snapshot, &(), &[], None).invalid_because.is_empty(), "both are listed");
    }

    #[test]
    fn wrong_content_and_missing_segments_fail_an_invalid_run() {
        type Change = fn(&mut Snapshot);
        let certain: [(&str, Change); 8] = [
            ("error_rate<1%", |s| s.errors.content = 30),
            ("object_error_rate<1%", |s| (s.errors.http, s.errors.objects_failed) = (30, 30)),
            ("segments_bad_content==0", |s| s.counters[Counter::SegmentsBadContent] = Some(3)),
            ("segments_bad_content:rate<0.01", |s| s.counters[Counter::SegmentsBadContent] = Some(3)),
            ("segments_skipped==0", |s| s.counters[Counter::SegmentsUnavailable] = Some(3)),
            ("segments_unavailable<3", |s| s.counters[Counter::SegmentsUnavailable] = Some(3)),
            ("missing_media<1s", |s| s.playback_time.unavailable_seconds = 1.5),
            ("forbidden_connections==0", |s| s.counters[Counter::ForbiddenConnections] = Some(1)),
        ];
        // A viewer that is late may interrupt a response, miss a segment, or wait too long for one.
        let not_certain: [(&str, Change); 5] = [
            ("error_rate<1%", |s| s.errors.broken = 30),
            ("object_error_rate<1%", |s| (s.errors.timeouts, s.errors.objects_failed) = (30, 30)),
            ("segments_bad_content<3", |s| {
                (s.counters[Counter::SegmentsBadContent], s.errors.broken) = (Some(30), 28);
            }),
            ("segments_skipped<3", |s| s.counters[Counter::SegmentsUnavailable] = Some(2)),
            ("missing_media<2s", |s| s.playback_time.unavailable_seconds = 1.5),
        ];
        let judged = |(threshold, change): (&str, Change)| {
            let mut snapshot = good();
            starved(&mut snapshot);
            snapshot.elapsed_seconds = 60.0;
            (snapshot.errors.attempts, snapshot.errors.objects) = (100, 100);
            change(&mut snapshot);
            let Errors { http, broken, timeouts, content, .. } = snapshot.errors;
            snapshot.errors.failed = http + broken + timeouts + content;
            snapshot.errors = snapshot.errors.with_rate();
            snapshot.counters[Counter::SegmentsSkipped] = Some(40);
            snapshot.playback_time.missing_seconds = 80.0;
            // Only the criterion in question.
            let lenient = ["error_rate<100%".parse().unwrap(), threshold.parse().unwrap()];
            let thresholds = if threshold.starts_with("error_rate") { &lenient[1..] } else { &lenient };
            let verdict = judge(&snapshot, &(), thresholds, None);
            let criterion = verdict.criteria.iter().find(|one| one.limit == threshold).unwrap();
            assert!(!criterion.met, "{threshold} is listed as failed: {criterion:?}");
            assert!(!verdict.invalid_because.is_empty(), "{threshold}");
            verdict.exit_code
        };
        for case in certain {
            assert_eq!(judged(case), 4, "{}", case.0);
        }
        for case in not_certain {
            assert_eq!(judged(case), 5, "{}", case.0);
        }
    }

    #[test]
    fn viewers_that_waited_while_they_started_do_not_fail_a_run() {
        let judged = |stalled: u64, http: u64| {
            let mut snapshot = good();
            starved(&mut snapshot);
            let waits = &mut snapshot.generator.waits;
            (waits.started_wait_seconds, waits.started_sampled_seconds) = (Some(1.0), Some(80.0));
            snapshot.lifetimes.stalled = stalled;
            (snapshot.errors.attempts, snapshot.errors.http, snapshot.errors.failed) = (100, http, http);
            snapshot.errors = snapshot.errors.with_rate();
            judge(&snapshot, &(), &["stalls==0".parse().unwrap()], None).exit_code
        };
        assert_eq!([judged(0, 0), judged(1, 0), judged(1, 50)], [0, 5, 4]);
    }

    #[test]
    fn a_stage_that_failed_for_certain_fails_an_invalid_run() {
        let with = |certain: bool| {
            let mut snapshot = good();
            starved(&mut snapshot);
            let failed = Criterion::new(names::ERROR_RATE, "<= 1%", Some(0.5), false).certain(certain);
            snapshot.stages =
                vec![StageRow { met: Some(false), failed_criteria: vec![failed], ..StageRow::default() }];
            judge(&snapshot, &(), &[], None).exit_code
        };
        assert_eq!([with(true), with(false)], [4, 5]);
    }

    #[test]
    fn viewers_that_were_only_too_slow_have_not_shown_that_the_stream_does_not_play() {
        let never = |s: &mut Snapshot| {
            starved(s);
            s.lifetimes.played = 0;
        };
        assert_eq!(verdict(never, None), (VerdictKind::Invalid, 5));
        let refused = |s: &mut Snapshot| {
            never(s);
            s.errors.failed = 1;
        };
        assert_eq!(verdict(refused, None), (VerdictKind::Fail, 6));
    }

    #[test]
    fn thresholds_decide_and_replace_what_they_are_about() {
        let judged = |text: &str, change: fn(&mut Snapshot)| {
            let mut snapshot = good();
            change(&mut snapshot);
            let verdict = judge(&snapshot, &(), &[text.parse().unwrap()], None);
            (verdict.exit_code, verdict.criteria.len())
        };
        let all = judge(&good(), &(), &[], None).criteria.len();
        assert_eq!(judged("stalls==0", |_| {}), (0, all + 1));
        assert_eq!(judged("stalls==0", |s| s.lifetimes.stalled = 1), (4, all + 1));
        assert_eq!(judged("error_rate<5%", |s| s.errors.rate = Some(0.02)), (0, all));
        // Nothing was measured, so nothing was shown.
        assert_eq!(judged("startup:p95<2s", |_| {}), (4, all + 1));
    }

    #[test]
    fn a_run_that_was_given_up_is_no_pass_and_hides_nothing_worse() {
        let error_rate_limit = || ErrorRateLimit::default().criterion(Exceeded { rate: 0.6, certain: 0.1 });
        let lenient = ["error_rate<90%".parse().unwrap()];
        let verdict = judge(&good(), &(), &lenient, None);
        assert_eq!(verdict.exit_code, 0);
        let given_up = aborted_by(verdict, error_rate_limit());
        assert_eq!((given_up.kind, given_up.exit_code), (VerdictKind::Fail, 4));
        assert!(given_up.criteria.iter().any(|criterion| criterion.name == "error_storm" && !criterion.met));
        let mut lost = good();
        lost.generator.events_lost = 1;
        let verdict = aborted_by(judge(&lost, &(), &[], None), error_rate_limit());
        assert_eq!((verdict.kind, verdict.exit_code), (VerdictKind::Invalid, 5));
        let of_the_server = ErrorRateLimit::default().criterion(Exceeded { rate: 0.6, certain: 0.5 });
        let verdict = aborted_by(judge(&lost, &(), &[], None), of_the_server);
        assert_eq!((verdict.kind, verdict.exit_code), (VerdictKind::Fail, 4));
    }

    #[test]
    fn a_run_without_any_request_does_not_pass() {
        assert_eq!(verdict(|s| s.errors.rate = None, None), (VerdictKind::Fail, 4));
    }
}
