//! Thresholds as typed: `METRIC[:STATISTIC] OP LIMIT`, for example `segment_ttfb:p95<500ms`,
//! `error_rate<0.1%`, `active_ratio>=1`, `throughput>50Mbit`.

use std::fmt;
use std::str::FromStr;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::nearest::nearest;

use crate::exchange::Kind;
use crate::metric::{MEASURES, Unit, measure};
use crate::snapshot::{Quantiles, Snapshot};

/// How a measured value is held against a limit.
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

type Scalar = fn(&Snapshot) -> Option<f64>;
type Times = fn(&Snapshot) -> Option<Quantiles>;
type Statistic = fn(&Quantiles) -> f64;

/// Metrics with one value each.
const SCALARS: [(&str, Scalar); 13] = [
    ("error_rate", |s| s.errors.rate),
    ("active_ratio", |s| s.active_ratio),
    ("viewers_played", |s| Some(s.lifetimes.played as f64 / s.lifetimes.expected.max(1) as f64)),
    ("given_up", |s| Some(s.lifetimes.given_up as f64)),
    ("stalls", |s| s.stalls().map(|stalls| stalls as f64)),
    ("restarts", |s| Some(s.lifetimes.restarts as f64)),
    ("timeouts", |s| Some(s.errors.timeouts as f64)),
    ("peak_clients", |s| Some(s.peak_clients as f64)),
    ("speed", |s| s.playback.average_speed),
    ("rebuffering", |s| s.watching.rebuffering()),
    ("cache_hits", |s| {
        let answers = s.cache.0 + s.cache.1;
        (answers > 0).then(|| s.cache.0 as f64 / answers as f64)
    }),
    ("throughput_ratio", |s| s.watching.throughput_ratio(s.expected_viewer_seconds)),
    ("throughput", |s| (s.elapsed_seconds > 0.0).then(|| s.bytes.total() as f64 * 8.0 / s.elapsed_seconds)),
];

/// Metrics that are distributions of times.
const TIMES: [(&str, Times); 9] = [
    ("segment_ttfb", |s| s.latency.by_kind[Kind::Segment].ttfb),
    ("segment_download", |s| s.latency.by_kind[Kind::Segment].download),
    ("segment_total", |s| s.latency.segment_total),
    ("manifest_ttfb", |s| s.latency.by_kind[Kind::Playlist].ttfb),
    ("manifest_download", |s| s.latency.by_kind[Kind::Playlist].download),
    ("connect", |s| s.latency.connect),
    ("dns", |s| s.latency.dns),
    ("tls_handshake", |s| s.latency.tls),
    ("startup", |s| s.latency.startup),
];

const STATISTICS: [(&str, Statistic); 4] =
    [("p50", |q| q.p50), ("p95", |q| q.p95), ("p99", |q| q.p99), ("max", |q| q.max)];

/// A threshold.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// As it was typed, without spaces.
    text: String,
    metric: &'static str,
    source: Source,
    operator: Operator,
    limit: f64,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Scalar(Scalar),
    Statistic(Times, Statistic),
}

impl PartialEq for Threshold {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Threshold {
    /// The metric that it is about.
    #[must_use]
    pub const fn metric(&self) -> &'static str {
        self.metric
    }

    /// Whether it is about single durations.
    #[must_use]
    pub const fn is_of_times(&self) -> bool {
        matches!(self.source, Source::Statistic(..))
    }

    /// The names of all metrics.
    pub fn metrics() -> impl Iterator<Item = &'static str> {
        MEASURES.iter().map(|measure| measure.name)
    }

    /// What was measured; `None` if nothing was.
    #[must_use]
    pub fn measure(&self, snapshot: &Snapshot) -> Option<f64> {
        match self.source {
            Source::Scalar(read) => read(snapshot),
            Source::Statistic(read, of) => read(snapshot).as_ref().map(of),
        }
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

/// Why a text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidThreshold(String);

impl fmt::Display for InvalidThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidThreshold {}

impl FromStr for Threshold {
    type Err = InvalidThreshold;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let wrong = |why: String| InvalidThreshold(why);
        let text: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let at = text.find(['<', '>', '=']).ok_or_else(|| wrong("there is no <, <=, >, >= or ==".into()))?;
        let (left, right) = text.split_at(at);
        let (sign, operator) = OPERATORS
            .iter()
            .find(|(sign, _)| right.starts_with(sign))
            .ok_or_else(|| wrong("a single = is no comparison, write ==".into()))?;
        let limit = right.strip_prefix(sign).unwrap_or_default();
        let (name, statistic) =
            left.split_once(':').map_or((left, None), |(name, statistic)| (name, Some(statistic)));
        let (metric, unit, source) = find(name, statistic)?;
        let limit =
            read_limit(limit, unit).ok_or_else(|| wrong(format!("{limit:?} is no {}", words(unit))))?;
        Ok(Self { metric, source, operator: *operator, limit, text })
    }
}

fn find(name: &str, statistic: Option<&str>) -> Result<(&'static str, Unit, Source), InvalidThreshold> {
    if let Some((metric, read)) = SCALARS.iter().find(|(known, _)| *known == name) {
        return match statistic {
            None => Ok((metric, unit(metric), Source::Scalar(*read))),
            Some(statistic) => {
                Err(InvalidThreshold(format!("{name} is one number and has no {statistic:?}")))
            }
        };
    }
    if let Some((metric, read)) = TIMES.iter().find(|(known, _)| *known == name) {
        let found = statistic.and_then(|typed| STATISTICS.iter().find(|(known, _)| *known == typed));
        return match found {
            Some((_, of)) => Ok((metric, unit(metric), Source::Statistic(*read, *of))),
            None => Err(InvalidThreshold(format!("{name} needs one of :p50, :p95, :p99, :max"))),
        };
    }
    let meant = nearest(name, Threshold::metrics())
        .map_or_else(String::new, |meant| format!(", did you mean {meant}?"));
    let all: Vec<&str> = Threshold::metrics().collect();
    Err(InvalidThreshold(format!("there is no metric {name:?}{meant} (there are: {})", all.join(", "))))
}

/// Every metric has one; a test compares the tables.
fn unit(metric: &str) -> Unit {
    measure(metric).map_or(Unit::Count, |measure| measure.unit)
}

const fn words(unit: Unit) -> &'static str {
    match unit {
        Unit::Time => "duration, for example 500ms",
        Unit::Share => "share, for example 0.01 or 1%",
        Unit::Rate => "rate, for example 50Mbit (per second)",
        Unit::Count => "number",
    }
}

fn read_limit(text: &str, unit: Unit) -> Option<f64> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match unit {
        Unit::Time => text.parse::<GoDuration>().ok().map(|duration| duration.0.as_secs_f64()),
        Unit::Share => match text.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| percent / 100.0),
            None => number(text),
        },
        Unit::Rate => {
            let bits = text.strip_suffix("/s").unwrap_or(text).strip_suffix("bit")?;
            let scales = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
            match scales.iter().find_map(|(prefix, scale)| Some((bits.strip_suffix(*prefix)?, scale))) {
                Some((bits, scale)) => number(bits).map(|bits| bits * scale),
                None => number(bits),
            }
        }
        Unit::Count => number(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Threshold, InvalidThreshold> {
        text.parse()
    }

    #[test]
    fn every_metric_that_is_told_can_be_measured() {
        let scalars = SCALARS.iter().map(|(name, _)| (*name, false));
        let measured: Vec<(&str, bool)> =
            scalars.chain(TIMES.iter().map(|(name, _)| (*name, true))).collect();
        let told: Vec<(&str, bool)> =
            MEASURES.iter().map(|measure| (measure.name, measure.distribution)).collect();
        assert_eq!(measured, told);
        for measure in &MEASURES {
            let example = format!("{}{}", measure.name, measure.example);
            assert_eq!(read(&example).unwrap().metric(), measure.name);
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
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("error_rate", "there is no <"),
            ("error_rate=1", "write =="),
            ("eror_rate<1", "did you mean error_rate?"),
            ("error_rate:p95<1", "has no \"p95\""),
            ("startup<2s", "needs one of :p50"),
            ("startup:p96<2s", "needs one of :p50"),
            ("startup:p95<2", "\"2\" is no duration"),
            ("throughput>50", "\"50\" is no rate"),
            ("error_rate<-1", "\"-1\" is no share"),
            ("speed<", "\"\" is no number"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*[<>=]?.*") {
            drop(read(&text));
        }
    }
}
