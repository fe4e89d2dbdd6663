//! What chance explains: the interval that a figure lies in with 99.9 % confidence, from the number of its samples.
//!
//! * A percentile lies between the samples whose ranks are that far from its own (binomial). This needs no assumption
//!   about the distribution. With too few samples there is no upper bound for a high percentile; then everything from
//!   the lower bound of the median to the largest sample is its interval, so that only a shift of nearly all samples is
//!   a change.
//! * An average lies within 3.29 standard errors.
//! * A share lies in Wilson's interval. Shares of time are those of viewers, which are independent of each other;
//!   seconds of one viewer are not.
//! * A count lies in the interval of a Poisson process, and is compared per second of the run.
//! * The smallest and the largest value, bit rates and speeds have no interval: of these, only the size of the change
//!   counts.
//!
//! Two figures differ if their intervals do not overlap. That is stricter than a test at 99.9 %, on purpose: a comparison
//! looks at dozens of figures, and the samples of one run are not entirely independent.

use super::NOTICEABLE;
use crate::metric::{Metric, Read, Type, Unit, criteria};
use crate::report::Report;
use crate::snapshot::{Snapshot, Timing};
use crate::stats::distribution::Distribution;
use crate::verdict::figure::{Figure, Statistic};

/// Standard errors of 99.9 % confidence.
const CONFIDENCE: f64 = 3.291;
/// The chance that a figure lies above its interval, or below it.
const ONE_SIDED: f64 = 0.0005;
/// The smallest change of a duration that counts, seconds.
const SHORTEST: f64 = 0.001;
/// The smallest change of a share that counts.
const SMALLEST_SHARE: f64 = 0.001;

/// The values that a figure may have, given its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Interval {
    low: f64,
    high: f64,
}

/// Whether the difference of the value `a` of one report and `b` of another is neither noise nor too small to matter.
pub(super) fn is_change(figure: Figure, (a, before): (f64, &Report), (b, after): (f64, &Report)) -> bool {
    let is_count = figure.metric.kind == Type::Counter && figure.metric.unit == Unit::Count;
    // Counts of runs of different lengths are compared per second.
    let per_second = |value: f64, report: &Report| match figure.statistic {
        Statistic::Value if is_count => value / report.snapshot.elapsed_seconds.max(f64::MIN_POSITIVE),
        _ => value,
    };
    let (first, second) = (per_second(a, before), per_second(b, after));
    if (second - first).abs() <= smallest(figure, first, before, after) {
        return false;
    }
    let left = interval(figure, first, before);
    let right = interval(figure, second, after);
    left.high < right.low || right.high < left.low
}

/// The largest difference that does not matter.
fn smallest(figure: Figure, first: f64, before: &Report, after: &Report) -> f64 {
    let relative = match figure.metric.unit {
        // 98 % after 99 % is twice as much of what should not be.
        Unit::Share => (first.min(1.0 - first).max(0.0) * NOTICEABLE).max(SMALLEST_SHARE),
        _ => first.abs() * NOTICEABLE,
    };
    match figure.metric.read {
        Read::Timing(timing) => {
            relative.max(SHORTEST).max(waited(timing, figure.statistic, &before.snapshot).max(waited(
                timing,
                figure.statistic,
                &after.snapshot,
            )))
        }
        _ => relative,
    }
}

/// By how much a duration may be too long because viewers waited for a processor, seconds.
fn waited(timing: Timing, statistic: Statistic, snapshot: &Snapshot) -> f64 {
    let from_packets = matches!(timing, Timing::Rtt | Timing::MinRtt);
    match snapshot.latency_error.filter(|_| !from_packets) {
        Some(error) if matches!(statistic, Statistic::Max) => error.max,
        Some(error) => error.mean,
        None => 0.0,
    }
}

fn interval(figure: Figure, value: f64, report: &Report) -> Interval {
    let exact = Interval { low: value, high: value };
    match figure.metric.read {
        Read::Timing(timing) => {
            let distribution = report.recording.histograms.get(&timing.name());
            let found = distribution.and_then(|distribution| match figure.statistic {
                Statistic::Percentile(percent) => percentile(distribution, percent),
                Statistic::Mean => {
                    let off = CONFIDENCE * distribution.standard_error()?;
                    Some(Interval { low: value - off, high: value + off })
                }
                _ => None,
            });
            found.unwrap_or(exact)
        }
        _ if figure.metric.unit == Unit::Share => share(value, samples(figure.metric, &report.snapshot)),
        _ if figure.metric.kind == Type::Counter && figure.metric.unit == Unit::Count => {
            rate(value, report.snapshot.elapsed_seconds)
        }
        _ => exact,
    }
}

/// The interval of a percentile; `None` of an empty distribution.
fn percentile(distribution: &Distribution, percent: f64) -> Option<Interval> {
    let (count, share) = (distribution.count() as f64, percent / 100.0);
    // The chance that all samples are below the percentile, or above it.
    let (no_high, no_low) = (share.powf(count) > ONE_SIDED, (1.0 - share).powf(count) > ONE_SIDED);
    let off = |share: f64| CONFIDENCE * (share * (1.0 - share) / count).sqrt();
    let low = if no_high { share.min(0.5 - off(0.5)) } else { share - off(share) };
    let high = if no_low { share.max(0.5 + off(0.5)) } else { share + off(share) };
    let at = |share: f64| distribution.statistic(Statistic::Percentile((share * 100.0).clamp(0.0, 100.0)));
    let low = if no_low { distribution.statistic(Statistic::Min)? } else { at(low)? };
    let high = if no_high { distribution.statistic(Statistic::Max)? } else { at(high)? };
    Some(Interval { low, high })
}

/// The number of independent samples of a share.
fn samples(metric: &Metric, snapshot: &Snapshot) -> u64 {
    match metric.id.as_str() {
        criteria::ERROR_RATE => snapshot.errors.attempts,
        "object_error_rate" => snapshot.errors.objects,
        "cache_hits" => snapshot.cache.hits + snapshot.cache.misses,
        _ => snapshot.peak_clients,
    }
}

/// Wilson's interval of a share of `count` samples.
fn share(value: f64, count: u64) -> Interval {
    let (n, square) = (count.max(1) as f64, CONFIDENCE * CONFIDENCE);
    let value = value.clamp(0.0, 1.0);
    let middle = (value + square / (2.0 * n)) / (1.0 + square / n);
    let off = CONFIDENCE / (1.0 + square / n) * (value * (1.0 - value) / n + square / (4.0 * n * n)).sqrt();
    Interval { low: middle - off, high: middle + off }
}

/// The interval of a rate of events that was counted over `seconds` (by the square root, whose variance is constant).
fn rate(per_second: f64, seconds: f64) -> Interval {
    let seconds = seconds.max(f64::MIN_POSITIVE);
    let root = (per_second * seconds).max(0.0);
    let low = ((root + 0.375).sqrt() - CONFIDENCE / 2.0).max(0.0).powi(2) - 0.375;
    let high = ((root + 0.375).sqrt() + CONFIDENCE / 2.0).powi(2) - 0.375;
    Interval { low: low.max(0.0) / seconds, high: high / seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        let Interval { low, high } = share(0.1, 100);
        assert!((low - 0.037).abs() < 0.002 && (high - 0.241).abs() < 0.002, "{low} {high}");
        let Interval { low, high } = share(0.0, 20);
        assert!(low.abs() < 1e-9 && (high - 0.351).abs() < 0.002, "{low} {high}");
        let Interval { low, high } = rate(10.0, 10.0);
        assert!((low - 7.0).abs() < 0.1 && (high - 13.6).abs() < 0.1, "{low} {high}");
        let Interval { low, high } = rate(0.0, 60.0);
        assert!(low.abs() < 1e-9 && high * 60.0 < 6.0, "{low} {high}");
    }
    #[test]
    fn a_percentile_of_few_samples_has_no_narrow_interval() {
        let mut distribution = Distribution::new();
        (1..=1000_u64).for_each(|ms| distribution.add_ns(ms * 1_000_000));
        let many = percentile(&distribution, 95.0).unwrap();
        assert!(many.low > 0.92 && many.low < 0.95 && many.high > 0.95 && many.high < 0.98, "{many:?}");
        let mut distribution = Distribution::new();
        (1..=20_u64).for_each(|ms| distribution.add_ns(ms * 1_000_000));
        let few = percentile(&distribution, 95.0).unwrap();
        assert!(few.low < 0.006 && few.high >= 0.02, "{few:?}");
    }
}
