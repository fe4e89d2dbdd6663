//! Thresholds as typed: `METRIC[:STATISTIC] OP LIMIT`, for example `segment_ttfb:p95<500ms`,
//! `error_rate<0.1%`, `timeouts:rate<0.5`, `throughput>50Mbit`. [`crate::metric`] has the metrics.

use std::fmt;
use std::str::FromStr;

use super::figure::{Figure, expected, read_limit};
use crate::metric::{self, Metric, Unit, askable};
use crate::snapshot::Snapshot;

pub use super::figure::{Statistic, Timings};

/// The comparison of a measured value with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// Longer spellings first: `<=` begins with `<`.
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// A threshold.
#[derive(Clone)]
pub struct Threshold {
    /// The text on the command line, without spaces.
    text: String,
    figure: Figure,
    operator: Operator,
    limit: f64,
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threshold({})", self.text)
    }
}

impl PartialEq for Threshold {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Threshold {
    /// Its metric.
    #[must_use]
    pub fn metric(&self) -> &'static str {
        &self.figure.metric.id
    }

    /// The statistic that is compared.
    #[must_use]
    pub const fn statistic(&self) -> Statistic {
        self.figure.statistic
    }

    /// The limit of a threshold that large values exceed, in the metric's unit; `None` of others.
    #[must_use]
    pub const fn upper_limit(&self) -> Option<f64> {
        match self.operator {
            Operator::Less | Operator::LessOrEqual => Some(self.limit),
            Operator::Greater | Operator::GreaterOrEqual | Operator::Equal => None,
        }
    }

    /// The reader of its metric.
    pub(super) const fn read(&self) -> metric::Read {
        self.figure.metric.read
    }

    /// The scope of its value.
    #[must_use]
    pub fn scope(&self) -> metric::Scope {
        self.figure.metric.asked.map_or(metric::Scope::WholeRun, |asked| asked.scope)
    }

    /// Whether it is about durations, which are kept one by one.
    #[must_use]
    pub const fn is_of_times(&self) -> bool {
        self.figure.metric.is_distribution()
    }

    /// The names of all metrics.
    pub fn metrics() -> impl Iterator<Item = &'static str> {
        askable().map(|(metric, _)| metric.id.as_str())
    }

    /// The measured value; `None` if nothing was measured.
    #[must_use]
    pub fn measure(&self, snapshot: &Snapshot, timings: &dyn Timings) -> Option<f64> {
        self.figure.measure(snapshot, timings)
    }

    /// Whether the limit is exceeded for certain, if the metric is at least `least`.
    pub(super) fn fails_from(&self, least: f64, snapshot: &Snapshot) -> bool {
        let seconds = snapshot.elapsed_seconds;
        let least = match self.figure.statistic {
            Statistic::Rate if seconds > 0.0 => least / seconds,
            Statistic::Rate => return false,
            _ => least,
        };
        self.holds(0.0) && !self.holds(least)
    }

    /// Whether `value` is within the limit.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        match self.operator {
            Operator::Less => value < self.limit,
            Operator::LessOrEqual => value <= self.limit,
            Operator::Greater => value > self.limit,
            Operator::GreaterOrEqual => value >= self.limit,
            Operator::Equal => (value - self.limit).abs() < f64::EPSILON,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The reason why a text is not a threshold, and a text to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidThreshold {
    why: String,
    help: String,
}

impl InvalidThreshold {
    /// The text to write instead.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for InvalidThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for InvalidThreshold {}

pub(crate) fn invalid(why: impl Into<String>, help: impl Into<String>) -> InvalidThreshold {
    InvalidThreshold { why: why.into(), help: help.into() }
}

impl FromStr for Threshold {
    type Err = InvalidThreshold;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "write it like segment_ttfb:p95<500ms or error_rate<0.1%, or name a set: standard, aws";
        let text: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let at =
            text.find(['<', '>', '=']).ok_or_else(|| invalid("there is no <, <=, >, >= or ==", SHAPE))?;
        let (left, right) = text.split_at(at);
        let (sign, operator) = OPERATORS
            .iter()
            .find(|(sign, _)| right.starts_with(sign))
            .ok_or_else(|| invalid("a single = does not compare", "write == for equal"))?;
        let limit = right.strip_prefix(sign).unwrap_or_default();
        let figure: Figure = left.parse()?;
        let metric = figure.metric;
        let unit = metric.unit;
        let value = read_limit(limit, unit).ok_or_else(|| {
            invalid(format!("invalid limit {limit:?}"), format!("write {}", expected(unit)))
        })?;
        if unit == Unit::Share && !limit.ends_with('%') && !is_within_reach(*operator, value) {
            return Err(percent_without_unit(metric, &format!("{left}{sign}"), limit, value));
        }
        Ok(Self { figure, operator: *operator, limit: value, text })
    }
}

/// Whether a ratio, which is between 0 and 1, may or may not meet the limit. Other limits are percent whose unit is
/// missing: `error_rate<1` would nearly always hold, `active_ratio>=90` never.
fn is_within_reach(operator: Operator, limit: f64) -> bool {
    match operator {
        Operator::Less | Operator::LessOrEqual | Operator::Greater => limit < 1.0,
        Operator::GreaterOrEqual | Operator::Equal => limit <= 1.0,
    }
}

/// The error for a ratio that is compared with the number `limit` without a unit.
fn percent_without_unit(metric: &Metric, compared: &str, limit: &str, value: f64) -> InvalidThreshold {
    let why = format!("it compares the ratio {} with {limit}, and a ratio is between 0 and 1", metric.id);
    // Without the inaccuracy that a division would show.
    let fraction = format!("{:.9}", value / 100.0);
    let fraction = fraction.trim_end_matches('0');
    let help = match metric.asked {
        Some(asked) if value > 100.0 => format!("write it like {}{}", metric.id, asked.example),
        _ => format!("write {compared}{limit}% or {compared}{}", fraction.trim_end_matches('.')),
    };
    invalid(why, help)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Threshold, InvalidThreshold> {
        text.parse()
    }

    #[test]
    fn every_example_is_a_threshold() {
        for (metric, asked) in askable() {
            let example = format!("{}{}", metric.id, asked.example);
            assert_eq!(read(&example).unwrap().metric(), metric.id);
        }
    }

    #[test]
    fn statistics_are_read() {
        for (text, statistic) in [
            ("segment_ttfb:p99.9<1s", Statistic::Percentile(99.9)),
            ("segment_ttfb:p50<1s", Statistic::Percentile(50.0)),
            ("init_total:p100<1s", Statistic::Percentile(100.0)),
            ("connect:mean<1s", Statistic::Mean),
            ("connect:min>0s", Statistic::Min),
            ("connect:max<1s", Statistic::Max),
            ("timeouts:rate<0.1", Statistic::Rate),
            ("stale_requests:rate<0.1", Statistic::Rate),
            ("timeouts<1", Statistic::Value),
        ] {
            assert_eq!(read(text).unwrap().figure.statistic, statistic, "{text}");
        }
    }

    #[test]
    fn limits_are_read_in_their_units() {
        for (text, metric, limit) in [
            ("segment_ttfb:p95<500ms", "segment_ttfb", 0.5),
            ("startup:max <= 2s", "startup", 2.0),
            ("error_rate<0.1%", "error_rate", 0.001),
            ("active_ratio>=1", "active_ratio", 1.0),
            ("throughput > 50Mbit/s", "throughput", 5e7),
            ("throughput>800kbit", "throughput", 8e5),
            ("stalls==0", "stalls", 0.0),
        ] {
            let threshold = read(text).unwrap();
            assert_eq!(threshold.metric(), metric, "{text}");
            assert!((threshold.limit - limit).abs() < 1e-9, "{text}: {}", threshold.limit);
        }
    }

    #[test]
    fn comparisons_compare() {
        for (text, below, at, above) in [
            ("speed<1", true, false, false),
            ("speed<=1", true, true, false),
            ("speed>1", false, false, true),
            ("speed>=1", false, true, true),
            ("speed==1", false, true, false),
        ] {
            let threshold = read(text).unwrap();
            assert_eq!([0.9, 1.0, 1.1].map(|value| threshold.holds(value)), [below, at, above], "{text}");
        }
    }

    #[test]
    fn errors_name_the_wrong_part() {
        for (text, said) in [
            ("error_rate", "there is no <"),
            ("error_rate=1", "write =="),
            ("error_rate<1", "it compares the ratio error_rate with 1, and a ratio is between 0 and 1"),
            ("error_rate<1", "; write error_rate<1% or error_rate<0.01"),
            ("error_rate<=1", "; write error_rate<=1% or error_rate<=0.01"),
            ("active_ratio >= 90", "; write active_ratio>=90% or active_ratio>=0.9"),
            ("active_ratio>1.0", "; write active_ratio>1.0% or active_ratio>0.01"),
            ("cache_hits==99.9", "; write cache_hits==99.9% or cache_hits==0.999"),
            ("viewers_played>=100", "; write viewers_played>=100% or viewers_played>=1"),
            ("rebuffering<500", "; write it like rebuffering<1%"),
            ("eror_rate<1", "did you mean error_rate?"),
            ("no<1", "name one of peak_clients"),
            ("error_rate:p95<1", "write error_rate alone"),
            ("timeouts:p95<1", "or timeouts:rate for events per second"),
            ("startup<2s", "startup is a distribution and needs a statistic"),
            ("startup:p0<2s", "write startup:p95"),
            ("startup:p101<2s", "write startup:p95"),
            ("startup:p1e1<2s", "write startup:p95"),
            ("startup:rate<2s", "startup has no \"rate\""),
            ("startup:p95<2", "write a duration"),
            ("throughput>50", "write a bit rate"),
            ("error_rate<-1", "write a share"),
            ("speed<", "invalid limit \"\""),
        ] {
            let error = read(text).unwrap_err();
            let error = format!("{error}; {}", error.help());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_ratio_is_compared_with_a_number_that_it_can_fall_short_of_and_reach(
            sign in prop::sample::select(vec!["<", "<=", ">", ">=", "=="]),
            limit in 0.0..200.0_f64,
            with_unit: bool,
        ) {
            for (metric, _) in askable().filter(|(metric, _)| metric.unit == Unit::Share) {
                let unit = if with_unit { "%" } else { "" };
                let typed = format!("{}{sign}{limit}{unit}", metric.id);
                match read(&typed) {
                    Ok(_) => prop_assert!(with_unit || limit <= 1.0, "{}", typed),
                    Err(error) => {
                        prop_assert!(!with_unit && limit >= 1.0, "{}: {}", typed, error);
                        // What is suggested instead is accepted, and means the same.
                        let meant = error.help().strip_prefix("write ").and_then(|help| help.split_once(" or "));
                        let Some((percent, fraction)) = meant else { prop_assert!(limit > 100.0); continue };
                        let (percent, fraction) = (read(percent).unwrap(), read(fraction).unwrap());
                        prop_assert!((percent.limit - fraction.limit).abs() < 1e-8, "{}", error.help());
                    }
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".*[<>=]?.*") {
            drop(read(&text));
        }
    }
}
