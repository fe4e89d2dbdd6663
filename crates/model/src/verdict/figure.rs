//! What thresholds and comparisons ask for: a metric, its statistic, and values in its unit.

use std::fmt;
use std::str::FromStr;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::nearest::nearest;

use super::threshold::{InvalidThreshold, Threshold, invalid};
use crate::metric::{Metric, Read, Type, Unit, askable};
use crate::snapshot::{Snapshot, Timing};

/// The value of a metric that is compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The metric's only value.
    Value,
    /// Events per second.
    Rate,
    /// The value that this share (percent, above 0 and at most 100) of a distribution does not exceed.
    Percentile(f64),
    /// The average of a distribution.
    Mean,
    /// The smallest value of a distribution.
    Min,
    /// The largest value of a distribution.
    Max,
}

impl Statistic {
    /// Reads `p95`, `p99.9`, `mean`, `min`, `max` or `rate`.
    fn read(text: &str) -> Option<Self> {
        match text {
            "mean" => Some(Self::Mean),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            "rate" => Some(Self::Rate),
            _ => {
                let digits = text.strip_prefix('p')?;
                let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
                let percent = digits.parse::<f64>().ok().filter(|_| plain)?;
                (percent > 0.0 && percent <= 100.0).then_some(Self::Percentile(percent))
            }
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value => f.write_str("value"),
            Self::Rate => f.write_str("rate"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Mean => f.write_str("mean"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Distributions of durations that statistics are taken from.
pub trait Timings {
    /// The statistic in seconds; `None` if nothing was measured.
    fn statistic(&self, timing: Timing, statistic: Statistic) -> Option<f64>;
}

/// Nothing was measured.
impl Timings for () {
    fn statistic(&self, _: Timing, _: Statistic) -> Option<f64> {
        None
    }
}

/// A metric and, of a distribution or a count, the statistic that is meant: `segment_ttfb:p95`.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) metric: &'static Metric,
    pub(crate) statistic: Statistic,
}

impl Figure {
    /// The measured value; `None` if nothing was measured.
    pub(crate) fn measure(self, snapshot: &Snapshot, timings: &dyn Timings) -> Option<f64> {
        match (self.metric.read, self.statistic) {
            (Read::Timing(timing), statistic) => timings.statistic(timing, statistic),
            (_, Statistic::Rate) => {
                let seconds = snapshot.elapsed_seconds;
                self.metric.scalar(snapshot).filter(|_| seconds > 0.0).map(|events| events / seconds)
            }
            _ => self.metric.scalar(snapshot),
        }
    }
}

impl FromStr for Figure {
    type Err = InvalidThreshold;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let (name, statistic) =
            typed.split_once(':').map_or((typed, None), |(name, statistic)| (name, Some(statistic)));
        let metric = find(name)?;
        Ok(Self { metric, statistic: statistic_of(metric, statistic)? })
    }
}

fn find(name: &str) -> Result<&'static Metric, InvalidThreshold> {
    if let Some((metric, _)) = askable().find(|(metric, _)| metric.id == name) {
        return Ok(metric);
    }
    let help = nearest(name, Threshold::metrics()).map_or_else(
        || format!("name one of {}", Threshold::metrics().collect::<Vec<_>>().join(", ")),
        |meant| format!("did you mean {meant}?"),
    );
    Err(invalid(format!("there is no metric {name:?}"), help))
}

/// The aspect of `metric` that `typed` names.
fn statistic_of(metric: &Metric, typed: Option<&str>) -> Result<Statistic, InvalidThreshold> {
    let (id, statistic) = (&metric.id, typed.and_then(Statistic::read));
    if metric.is_distribution() {
        let help = || {
            format!(
                "write {id}:p95 (or another percentile, such as p50 or p99.9), {id}:mean, {id}:min or {id}:max"
            )
        };
        return match (typed, statistic) {
            (_, Some(statistic)) if statistic != Statistic::Rate => Ok(statistic),
            (None, _) => Err(invalid(format!("{id} is a distribution and needs a statistic"), help())),
            (Some(typed), _) => Err(invalid(format!("{id} has no {typed:?}: it is a distribution"), help())),
        };
    }
    match (typed, statistic) {
        (None, _) => Ok(Statistic::Value),
        (Some(_), Some(Statistic::Rate)) if metric.kind == Type::Counter => Ok(Statistic::Rate),
        (Some(typed), _) if metric.kind == Type::Counter => Err(invalid(
            format!("{id} has no {typed:?}: it is a count"),
            format!("write {id} for the count, or {id}:rate for events per second"),
        )),
        (Some(typed), _) => {
            Err(invalid(format!("{id} has no {typed:?}: it is one number"), format!("write {id} alone")))
        }
    }
}

/// The text that a limit of the unit is written like.
pub(crate) const fn expected(unit: Unit) -> &'static str {
    match unit {
        Unit::Time => "a duration, for example 500ms",
        Unit::Share => "a share, for example 0.01 or 1%",
        Unit::Rate => "a bit rate, for example 50Mbit (per second)",
        Unit::Count => "a number",
    }
}

/// Reads a limit in its unit.
pub(crate) fn read_limit(text: &str, unit: Unit) -> Option<f64> {
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
