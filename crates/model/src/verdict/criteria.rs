//! The verdict: is the run valid, and did it meet what was asked of it?
//!
//! In this order: no viewer ever played (6), the run proves nothing (5), it was interrupted (128 + n),
//! a criterion was not met (4), pass (0).

use hls_swarm_base::exit::Exit;

use super::threshold::{Threshold, Timings};
use crate::metric::{self, Scope, Unit, criteria as names};
use crate::snapshot::Snapshot;
use crate::verdict::{Criterion, Verdict, VerdictKind};

/// Least share of the viewers that should play which has to play, over time. Below it the field's
/// alert "active < 90 % of target" fires.
const LEAST_ACTIVE: f64 = 0.9;
/// Largest error rate. Above it the field's alert "error rate > 1 %" fires.
const MOST_ERRORS: f64 = 0.01;
/// A run in which all processors were busy for more than this share of its seconds proves nothing.
const MOST_SATURATED: f64 = 0.5;
/// Timers that fire later than this (99th percentile) make our own figures late too, milliseconds.
const MOST_LAG_MS: f64 = 500.0;
/// A program that stood still for longer than this once has judged what viewers did meanwhile too late, and
/// counted stalls that were its own, milliseconds.
const MOST_STANDSTILL_MS: f64 = 3000.0;
/// Kernel and probe have to agree on bytes this well.
const LEAST_AGREEMENT: f64 = 0.999;

/// Judges a run by its last snapshot. A threshold takes the place of the built-in criterion about the
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
    let invalid_because = invalid(snapshot);
    let (kind, exit) = if let (Some(signal), 0) = (interrupted_by, snapshot.lifetimes.played) {
        (VerdictKind::Aborted, Exit::Signal(signal))
    } else if snapshot.lifetimes.played == 0 {
        (VerdictKind::Fail, Exit::NeverPlayed)
    } else if !invalid_because.is_empty() {
        (VerdictKind::Invalid, Exit::Invalid)
    } else if let Some(signal) = interrupted_by {
        (VerdictKind::Aborted, Exit::Signal(signal))
    } else if criteria.iter().any(|criterion| !criterion.met) {
        (VerdictKind::Fail, Exit::Criteria)
    } else {
        (VerdictKind::Pass, Exit::Pass)
    };
    Verdict { kind, exit_code: exit.code(), criteria, invalid_because }
}

/// The verdict with one criterion more that was not met.
#[must_use]
pub fn aborted_by(mut verdict: Verdict, criterion: Criterion) -> Verdict {
    verdict.criteria.push(criterion);
    if verdict.kind == VerdictKind::Pass {
        (verdict.kind, verdict.exit_code) = (VerdictKind::Fail, Exit::Criteria.code());
    }
    verdict
}

/// The criteria that a stage is held against, whose account `snapshot` is.
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
    (!judged.is_empty()).then(|| {
        Criterion::new(
            names::STAGES,
            "every stage that holds a level meets these criteria",
            Some(met as f64 / judged.len() as f64),
            met == judged.len(),
        )
    })
}

fn held(threshold: &Threshold, snapshot: &Snapshot, timings: &dyn Timings) -> Criterion {
    let value = threshold.measure(snapshot, timings);
    // What was not measured has not been shown to hold.
    let met = value.is_some_and(|value| threshold.holds(value));
    Criterion::new(threshold.metric(), threshold.to_string(), value, met)
}

fn built_in(snapshot: &Snapshot) -> Vec<Criterion> {
    let played = snapshot.lifetimes.played as f64 / snapshot.lifetimes.expected.max(1) as f64;
    let mut criteria = vec![
        Criterion::new(
            names::VIEWERS_PLAYED,
            "every viewer that had the time has played",
            Some(played),
            played >= 1.0,
        ),
        Criterion::new(
            names::GIVEN_UP,
            "no viewer was given up",
            Some(snapshot.lifetimes.given_up as f64),
            snapshot.lifetimes.given_up == 0,
        ),
    ];
    // A run that ends within its ramp has no settled time to judge.
    criteria.extend(snapshot.active_ratio.map(|ratio| {
        let limit = format!(">= {}", Unit::Share.text(LEAST_ACTIVE));
        Criterion::new(names::ACTIVE_RATIO, limit, Some(ratio), ratio >= LEAST_ACTIVE)
    }));
    criteria.push(Criterion::new(
        names::ERROR_RATE,
        format!("<= {}", Unit::Share.text(MOST_ERRORS)),
        snapshot.errors.rate,
        snapshot.errors.rate.is_some_and(|rate| rate <= MOST_ERRORS),
    ));
    criteria
}

fn invalid(snapshot: &Snapshot) -> Vec<String> {
    let generator = &snapshot.generator;
    let mut because = Vec::new();
    if generator.events_lost > 0 {
        because.push(format!("{} records of the probe were lost", generator.events_lost));
    }
    let unseen =
        snapshot.viewers.iter().filter(|row| row.media_seconds > 0.0 && row.requests.total() == 0).count();
    if unseen > 0 {
        because.push(format!("{unseen} viewers played without a single request being seen"));
    }
    let saturated = generator.saturated_seconds as f64 / generator.sampled_seconds.max(1) as f64;
    if saturated > MOST_SATURATED {
        because.push(format!(
            "all processors of this machine were busy in {} of {} seconds: end what else runs here, or take \
             fewer viewers or more machines",
            generator.saturated_seconds, generator.sampled_seconds
        ));
    }
    if generator.p99_lag_ms > MOST_LAG_MS {
        because.push(format!(
            "this program itself was {:.0} ms late in 1 of 100 cases: the machine is overloaded",
            generator.p99_lag_ms
        ));
    }
    if generator.max_lag_ms > MOST_STANDSTILL_MS {
        because.push(format!(
            "this program itself was stopped or starved for {:.1} s, and saw too late what viewers did meanwhile: \
             the machine is overloaded, or the process was stopped",
            generator.max_lag_ms / 1000.0
        ));
    }
    if let Some(agreement) = snapshot.agreement.kernel_bytes
        && !(LEAST_AGREEMENT..=2.0 - LEAST_AGREEMENT).contains(&agreement)
    {
        because.push(format!("viewers read {agreement:.4} of the bytes that the kernel received for them"));
    }
    because
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Source;
    use crate::snapshot::{PlaybackSource, Sources, ViewerRow};
    use crate::stats::{Expectation, Stats};
    use crate::verdict::error_rate_limit::ErrorRateLimit;

    fn good() -> Snapshot {
        let sources =
            Sources { requests: Source::Probe, bytes: Source::Probe, playback: PlaybackSource::Progress };
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
        let unseen = |s: &mut Snapshot| {
            s.viewers.push(ViewerRow { media_seconds: 2.0, ..ViewerRow::default() });
        };
        assert_eq!(verdict(unseen, None), (VerdictKind::Invalid, 5));
        let busy = |s: &mut Snapshot| {
            (s.generator.saturated_seconds, s.generator.sampled_seconds) = (6, 10);
        };
        assert_eq!(verdict(busy, Some(2)), (VerdictKind::Invalid, 5));
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
        let error_rate_limit = || ErrorRateLimit::default().criterion(Some(0.6));
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
    }

    #[test]
    fn a_run_without_any_request_does_not_pass() {
        assert_eq!(verdict(|s| s.errors.rate = None, None), (VerdictKind::Fail, 4));
    }
}
