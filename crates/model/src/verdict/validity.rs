//! Validity: whether the load generator was able to measure.
//!
//! The evidence is what happened to the program's own processes. That other work keeps the processors busy is only a
//! warning: as long as viewers get a processor when they need one, their figures are right.

use super::threshold::{Threshold, Timings};
use crate::metric::counters::Counter;
use crate::metric::{Unit, criteria};
use crate::snapshot::{Deviation, DeviationKind, DifferingBodies, Generator, Snapshot};
use crate::verdict::Criterion;

/// The largest share of their lives for which viewers may wait for a processor, without their first seconds: when many
/// start together, they wait for each other. That makes startup times too long, and is a warning. Measured with 6 to 35
/// viewers on two processors: at 0.08 to 0.15 the media that played was within 1 % of the media that was due, as without any waiting;
/// at 0.38 it was 30 % less, and a healthy stream failed.
const MAX_WAITING: f64 = 0.2;
/// Share of waiting from which latencies and startup times are visibly too long, although playback is not affected.
const SOME_WAITING: f64 = 0.05;
/// The longest time that one viewer may wait for a processor, seconds: a longer wait uses up what a viewer of a live
/// stream buffers. Also the longest pause of this program itself, after which it would evaluate viewers too late and could
/// count its own pauses as stalls.
const LONGEST_PAUSE: f64 = 3.0;
/// The largest share of the run for which the control group may be throttled. Beyond 1 %, the 99th percentile of a
/// latency measures the quota.
const MAX_THROTTLED: f64 = 0.01;
/// Timers that fire later than this (99th percentile) make the program's own figures inaccurate, milliseconds.
const MAX_LAG_MS: f64 = 500.0;
/// The largest share of the viewing time in which viewers may stall because this program was late. Such stalls count
/// for nothing, so beyond it too much of the run shows nothing about the stream.
const MAX_EXCLUDED: f64 = 0.01;
/// Share of seconds with busy processors from which a warning is given.
const MOSTLY_SATURATED: f64 = 0.5;
/// Minimum agreement between the byte counts of the probe and the kernel.
const MIN_AGREEMENT: f64 = 0.999;

/// The reasons why a run proves nothing; empty if it is valid.
pub(super) fn invalid(snapshot: &Snapshot) -> Vec<String> {
    let mut because = lost(snapshot);
    let refusals = exhausted(snapshot);
    if refusals > 0 {
        because.push(format!(
            "this machine refused viewers a process, descriptors, memory, or local ports {refusals} times: raise its \
             limits (hls-swarm tune check), or take fewer viewers or more machines"
        ));
    }
    because.extend(starved(snapshot));
    because
}

/// The number of times that this machine refused a viewer a resource, which is not the fault of the stream.
pub(super) fn exhausted(snapshot: &Snapshot) -> u64 {
    snapshot.counters[Counter::Exhausted].unwrap_or(0)
}

/// The reasons why figures are incomplete or contradict each other.
fn lost(snapshot: &Snapshot) -> Vec<String> {
    let mut because = Vec::new();
    let records = snapshot.generator.events_lost;
    if records > 0 {
        because.push(format!("{records} records of the probe were lost"));
    }
    let unseen = snapshot.lifetimes.unseen;
    if unseen > 0 {
        because.push(format!("{unseen} viewers played without a single request being seen"));
    }
    if let Some(agreement) = snapshot.agreement.kernel_bytes
        && !(MIN_AGREEMENT..=2.0 - MIN_AGREEMENT).contains(&agreement)
    {
        because.push(format!("viewers read {agreement:.4} of the bytes that the kernel received for them"));
    }
    because
}

/// The reasons why processes of this run could not run when they needed to.
fn starved(snapshot: &Snapshot) -> Vec<String> {
    let generator = &snapshot.generator;
    let waits = &generator.waits;
    let mut because = Vec::new();
    if let Some(share) = waits.of_started_viewers().filter(|share| *share > MAX_WAITING) {
        because.push(format!(
            "viewers waited for a processor in {:.0} % of their time after their start, more than {:.0} %: stop other programs on this machine, or use fewer viewers or more machines",
            share * 100.0,
            MAX_WAITING * 100.0
        ));
    }
    if let Some(error) = snapshot.latency_error.filter(|error| error.max > LONGEST_PAUSE) {
        because.push(format!(
            "one viewer waited {:.1} s for a processor between two samples, more than {LONGEST_PAUSE} s: stop other programs on this machine, or use fewer viewers or more machines",
            error.max
        ));
    }
    if let Some(throttled) = waits.throttled_seconds
        && throttled > MAX_THROTTLED * snapshot.elapsed_seconds
    {
        because.push(format!(
            "the CPU quota of the control group throttled this run for {throttled:.1} s, more than {:.0} % of it: raise \
             the quota (cpu.max, CPUQuota=, limits.cpu, --cpus), or take fewer viewers",
            MAX_THROTTLED * 100.0
        ));
    }
    if waits.viewer_stops > 0 {
        because.push(format!(
            "viewers were stopped {} times by a signal (SIGSTOP or another stop signal), for {:.1} s in total or a \
             little more: something outside of this program did that",
            waits.viewer_stops, waits.viewer_stopped_seconds
        ));
    }
    if let Some(share) = snapshot.excluded_share().filter(|share| *share > MAX_EXCLUDED) {
        because.push(format!(
            "viewers stalled for {:.2} % of the viewing time because this program was late, more than {:.0} %: stop other programs on this machine, or use fewer viewers or more machines",
            share * 100.0,
            MAX_EXCLUDED * 100.0
        ));
    }
    if generator.p99_lag_ms > MAX_LAG_MS {
        because.push(format!(
            "this program itself was {:.0} ms late in 1 of 100 cases: the machine is overloaded",
            generator.p99_lag_ms
        ));
    }
    if generator.max_lag_ms > LONGEST_PAUSE * 1000.0 {
        because.push(format!(
            "this program itself was stopped or starved for {:.1} s, and saw too late what viewers did meanwhile: \
             the machine is overloaded, or the process was stopped",
            generator.max_lag_ms / 1000.0
        ));
    }
    because
}

/// The thresholds of latencies that failed, and would not have failed if viewers had not waited for a processor.
/// Without noticeable waiting there are none.
pub(super) fn undecided(snapshot: &Snapshot, timings: &dyn Timings, thresholds: &[Threshold]) -> Vec<String> {
    let noticeable = snapshot.generator.waits.of_viewers().is_some_and(|share| share >= SOME_WAITING);
    let Some(error) = snapshot.latency_error.filter(|_| noticeable) else { return Vec::new() };
    let because = thresholds.iter().filter(|threshold| threshold.is_of_times()).filter_map(|threshold| {
        let value = threshold.measure(snapshot, timings)?;
        let least = (value - error.max).max(0.0);
        (!threshold.holds(value) && threshold.holds(least)).then(|| {
            format!(
                "{threshold} failed with {}, of which up to {} may be waiting of viewers for a processor: stop other programs on this machine, or use fewer viewers or more machines",
                Unit::Time.text(value),
                Unit::Time.text(error.max)
            )
        })
    });
    because.collect()
}

/// The criteria that failed although late viewers may have caused that, in a run whose viewers had to wait while they
/// started. If all criteria are met, that waiting did no harm.
pub(super) fn failed_while_waiting(snapshot: &Snapshot, criteria: &[Criterion]) -> Option<String> {
    let waits = &snapshot.generator.waits;
    let share = waits.of_viewers().filter(|share| *share > MAX_WAITING)?;
    // Otherwise the run is invalid anyway.
    waits.of_started_viewers().filter(|share| *share <= MAX_WAITING)?;
    let failed = criteria.iter().filter(|criterion| !criterion.met && !criterion.certain);
    let failed: Vec<&str> = failed.map(|criterion| criterion.name.as_str()).collect();
    (!failed.is_empty()).then(|| {
        format!(
            "{} failed, and viewers waited for a processor in {:.0} % of their time, mostly while they started: lower \
             --ramp-rate, stop other programs on this machine, or use fewer viewers or more machines",
            failed.join(", "),
            share * 100.0
        )
    })
}

/// The warnings: what is wrong with the media, and conditions that make figures less exact but not invalid.
pub(super) fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = content_warnings(snapshot);
    warnings.extend(condition_warnings(snapshot));
    warnings
}

/// One warning for each kind of finding in the media itself.
fn content_warnings(snapshot: &Snapshot) -> Vec<String> {
    let Some(content) = &snapshot.content else { return Vec::new() };
    let counted = |counter: Counter| snapshot.counters[counter].unwrap_or(0);
    let worst = |is_kind: fn(DeviationKind) -> bool| {
        content.deviations.iter().find(|one| is_kind(one.kind)).map_or_else(String::new, Deviation::sentence)
    };
    let bodies = content.differing.first().map_or_else(String::new, DifferingBodies::sentence);
    let exceeded: Vec<&str> = content
        .bit_rates
        .iter()
        .filter(|row| row.exceeds_bandwidth() || row.exceeds_average())
        .map(|row| row.name.as_str())
        .collect();
    let found = [
        (
            counted(Counter::DurationsWrong),
            "segments have a wrong EXTINF",
            worst(|kind| kind == DeviationKind::Duration),
        ),
        (
            counted(Counter::TimestampGaps),
            "segments do not continue the timestamps of the one before",
            worst(|kind| kind != DeviationKind::Duration),
        ),
        (counted(Counter::BodiesDiffering), "bodies differ from others of the same URL", bodies),
        (
            exceeded.len() as u64,
            "variants have a higher bit rate than the multivariant playlist announces",
            exceeded.join(", "),
        ),
    ];
    let found = found.into_iter().filter(|(count, ..)| *count > 0);
    found.map(|(count, what, example)| format!("{count} {what}: {example}")).collect()
}

fn condition_warnings(snapshot: &Snapshot) -> Vec<String> {
    let Generator { saturated_seconds, sampled_seconds, waits, .. } = &snapshot.generator;
    let waiting = waits.of_viewers();
    let percent =
        |share: f64| format!("viewers waited for a processor in {:.1} % of their time", share * 100.0);
    if let Some(share) = waiting.filter(|share| *share >= SOME_WAITING) {
        return vec![format!("{}: latencies and startup times are longer by that waiting", percent(share))];
    }
    if *saturated_seconds as f64 <= MOSTLY_SATURATED * *sampled_seconds as f64 {
        return Vec::new();
    }
    let effect = waiting.map_or_else(|| "whether viewers had to wait is not known".to_owned(), percent);
    vec![format!(
        "all processors of this machine were busy in {saturated_seconds} of {sampled_seconds} seconds; {effect}"
    )]
}

/// A lower bound of the metric `id` that holds whatever the condition of the load generator was: what servers did, with
/// every lost record taken for a success. `None` = there is none.
pub(super) fn certain_value(id: &str, snapshot: &Snapshot) -> Option<f64> {
    let Snapshot { errors, counters, generator, .. } = snapshot;
    let counted = |counter: Counter| counters[counter].map(|count| count as f64);
    let share = |failed: u64, of: u64| {
        let all = of + generator.events_lost;
        (all > 0).then(|| failed as f64 / all as f64)
    };
    match id {
        criteria::ERROR_RATE => share(errors.certain(), errors.attempts),
        "object_error_rate" => {
            // Each of the other failures may be one of the failed objects.
            let others = errors.failed.saturating_sub(errors.certain());
            share(errors.objects_failed.saturating_sub(others), errors.objects)
        }
        // Bodies that were interrupted are among these, and a server may interrupt a viewer that reads too slowly.
        "segments_bad_content" => {
            counters[Counter::SegmentsBadContent].map(|count| count.saturating_sub(errors.broken) as f64)
        }
        "segments_skipped" | "segments_unavailable" => counted(Counter::SegmentsUnavailable),
        "missing_media" => Some(snapshot.playback_time.unavailable_seconds),
        // What servers sent and playlists said does not depend on the load generator.
        "segment_durations_wrong" => counted(Counter::DurationsWrong),
        "timestamp_gaps" => counted(Counter::TimestampGaps),
        "bodies_differing" => counted(Counter::BodiesDiffering),
        criteria::ALLOWED_HOSTS | "forbidden_connections" => counted(Counter::ForbiddenConnections),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{LatencyError, Quality, Timing};
    use crate::verdict::criteria::tests::good;
    use crate::verdict::threshold::Statistic;

    fn reasons(change: impl FnOnce(&mut Snapshot)) -> (Vec<String>, usize) {
        let mut snapshot = good();
        snapshot.elapsed_seconds = 60.0;
        change(&mut snapshot);
        (invalid(&snapshot), warnings(&snapshot).len())
    }

    fn waiting(snapshot: &mut Snapshot, share: f64) {
        let waits = &mut snapshot.generator.waits;
        (waits.viewer_wait_seconds, waits.viewer_sampled_seconds) = (Some(share * 50.0), Some(50.0));
    }

    #[test]
    fn busy_processors_alone_are_a_warning() {
        let busy = |s: &mut Snapshot| {
            (s.generator.saturated_seconds, s.generator.sampled_seconds) = (60, 60);
            waiting(s, 0.01);
        };
        assert_eq!(reasons(busy), (vec![], 1));
        assert_eq!(reasons(|s| waiting(s, 0.04)), (vec![], 0));
        assert_eq!(reasons(|s| waiting(s, 0.15)), (vec![], 1));
    }

    #[test]
    fn a_latency_that_failed_because_viewers_waited_proves_nothing() {
        struct Always(f64);
        impl Timings for Always {
            fn statistic(&self, _: Timing, _: Statistic) -> Option<f64> {
                Some(self.0)
            }
        }
        let undecided = |seconds: f64, share: f64| {
            let mut snapshot = good();
            waiting(&mut snapshot, share);
            snapshot.latency_error = Some(LatencyError { mean: 0.01, max: 1.5 });
            let thresholds = ["startup:p99<2s".parse().unwrap(), "error_rate<1%".parse().unwrap()];
            undecided(&snapshot, &Always(seconds), &thresholds).len()
        };
        assert_eq!([undecided(1.9, 0.1), undecided(2.5, 0.1), undecided(3.6, 0.1)], [0, 1, 0]);
        assert_eq!(undecided(2.5, 0.01), 0, "viewers hardly waited");
    }

    #[test]
    fn each_way_to_be_kept_from_running_is_a_reason() {
        let because = |reason: (Vec<String>, usize), text: &str| {
            assert!(reason.0.len() == 1 && reason.0[0].contains(text), "{reason:?}");
        };
        let long = |s: &mut Snapshot, started: f64| {
            waiting(s, 0.3);
            let waits = &mut s.generator.waits;
            (waits.started_wait_seconds, waits.started_sampled_seconds) = (Some(started * 40.0), Some(40.0));
        };
        because(reasons(|s| long(s, 0.21)), "waited for a processor in 21 %");
        assert_eq!(reasons(|s| long(s, 0.01)), (vec![], 1), "they waited for each other while they started");
        because(reasons(|s| waiting(s, 0.21)), "waited for a processor in 21 %");
        because(
            reasons(|s| s.latency_error = Some(LatencyError { mean: 0.001, max: 3.1 })),
            "waited 3.1 s for",
        );
        because(reasons(|s| s.generator.waits.throttled_seconds = Some(0.7)), "throttled this run for 0.7 s");
        assert_eq!(reasons(|s| s.generator.waits.throttled_seconds = Some(0.5)), (vec![], 0));
        because(reasons(|s| s.generator.waits.viewer_stops = 3), "stopped 3 times");
        let excluded = |seconds: f64| {
            move |s: &mut Snapshot| {
                s.playback_time.viewed_seconds = 98.0;
                s.quality = Some(Quality { excluded_seconds: seconds, ..Quality::default() });
            }
        };
        because(
            reasons(excluded(2.0)),
            "stalled for 2.00 % of the viewing time because this program was late",
        );
        assert_eq!(reasons(excluded(0.9)), (vec![], 0));
        because(reasons(|s| s.generator.p99_lag_ms = 501.0), "501 ms late");
        because(reasons(|s| s.generator.max_lag_ms = 3100.0), "for 3.1 s");
    }
}
