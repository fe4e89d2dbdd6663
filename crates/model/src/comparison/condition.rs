//! Conditions of `report compare --fail-if`: `METRIC[:STATISTIC] OP CHANGE`, for example `segment_ttfb:p95>+20%`,
//! `throughput<-5%`, `error_rate>+0.01`, `startup:p99>+500ms`.

use std::fmt;
use std::str::FromStr;

use super::{Judgement, row};
use crate::metric::{Better, Unit};
use crate::report::Report;
use crate::verdict::figure::{Figure, expected, read_limit};
use crate::verdict::threshold::{InvalidThreshold, invalid};

/// Longer spellings first: `>=` begins with `>`.
const OPERATORS: [(&str, Way, bool); 4] =
    [(">=", Way::Up, true), ("<=", Way::Down, true), (">", Way::Up, false), ("<", Way::Down, false)];

/// The side of the limit on which the condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// The size of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// As a share of the first value.
    Relative(f64),
    /// In the metric's unit.
    Absolute(f64),
}

/// A change from one run to another that is a failure.
#[derive(Clone)]
pub struct Condition {
    text: String,
    figure: Figure,
    way: Way,
    or_equal: bool,
    change: Change,
}

/// What became of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change is that large, and it is not noise.
    Holds,
    /// The change is that large, and noise explains it.
    Noise,
    /// The change is smaller, or in the other direction.
    No,
    /// One run did not measure the figure, or proves nothing.
    Unknown,
}

/// A condition and what became of it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The condition as it was typed.
    pub condition: String,
    /// The figure.
    pub row: super::Row,
    /// What became of it.
    pub outcome: Outcome,
}

impl Condition {
    /// Checks the condition on two reports.
    #[must_use]
    pub fn check(&self, before: &Report, after: &Report) -> Checked {
        let row = row(self.figure, before, after);
        let outcome = match (row.before.zip(row.after), row.judgement) {
            (None, _) | (_, Judgement::Unknown) => Outcome::Unknown,
            (Some((a, b)), _) if !self.is_beyond(a, b) => Outcome::No,
            (_, Judgement::Same) => Outcome::Noise,
            _ => Outcome::Holds,
        };
        Checked { condition: self.text.clone(), row, outcome }
    }

    /// Whether the change from `a` to `b` is beyond the limit. From 0, any increase is.
    fn is_beyond(&self, a: f64, b: f64) -> bool {
        let limit = match self.change {
            Change::Relative(share) => a + a.abs() * share,
            Change::Absolute(difference) => a + difference,
        };
        // Sums of decimals are inexact: 1.1 is not above 1 + 10 %.
        let close = (b - limit).abs() <= limit.abs() * 1e-9;
        match self.way {
            _ if close => self.or_equal,
            Way::Up => b > limit,
            Way::Down => b < limit,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.text)
    }
}

impl FromStr for Condition {
    type Err = InvalidThreshold;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "write it like segment_ttfb:p95>+20% or throughput<-5%";
        let text: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let at = text.find(['<', '>', '=']).ok_or_else(|| invalid("there is no <, <=, > or >=", SHAPE))?;
        let (left, right) = text.split_at(at);
        let (sign, way, or_equal) = OPERATORS
            .iter()
            .find(|(sign, ..)| right.starts_with(sign))
            .ok_or_else(|| invalid("a change is not compared with = or ==", SHAPE))?;
        let figure: Figure = left.parse()?;
        let limit = right.strip_prefix(sign).unwrap_or_default();
        let (factor, size) = match (limit.strip_prefix('+'), limit.strip_prefix('-')) {
            (Some(size), _) => (1.0, size),
            (_, Some(size)) => (-1.0, size),
            _ => {
                let (more, less) = (format!("{left}{sign}+{limit}"), format!("{left}{sign}-{limit}"));
                let meant = match figure.metric.better() {
                    Better::More if *way == Way::Down => less,
                    _ => more,
                };
                return Err(invalid(
                    format!("the change {limit:?} has no sign"),
                    format!("write {meant} for a change from the first to the second report"),
                ));
            }
        };
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let change = match size.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| Change::Relative(factor * percent / 100.0)),
            None => read_limit(size, figure.metric.unit).map(|size| Change::Absolute(factor * size)),
        };
        let change = change.ok_or_else(|| {
            let unit = match figure.metric.unit {
                Unit::Share => "a difference of shares, for example +0.01",
                unit => expected(unit),
            };
            let why = format!("invalid change {limit:?}");
            invalid(
                why,
                format!("write a share of the first value, for example +20%, or {unit}, with its sign"),
            )
        })?;
        Ok(Self { text, figure, way: *way, or_equal: *or_equal, change })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Condition, InvalidThreshold> {
        text.parse()
    }

    #[test]
    fn changes_are_relative_or_in_the_unit_of_the_metric() {
        for (text, a, b, holds) in [
            ("segment_ttfb:p95>+20%", 0.1, 0.121, true),
            ("segment_ttfb:p95 > +20%", 0.1, 0.12, false),
            ("segment_ttfb:p95>=+20%", 0.1, 0.12, true),
            ("segment_ttfb:p95>+20ms", 0.1, 0.121, true),
            ("throughput<-5%", 100e6, 94e6, true),
            ("throughput<-5%", 100e6, 96e6, false),
            ("throughput<=-5Mbit", 100e6, 95e6, true),
            // Faster by less than a fifth.
            ("startup:p99>-20%", 1.0, 0.9, true),
            ("error_rate>+0.01", 0.01, 0.021, true),
            ("error_rate>+50%", 0.01, 0.014, false),
            // Nothing is 20 % more than nothing.
            ("stalls>+20%", 0.0, 1.0, true),
            ("stalls>+20%", 0.0, 0.0, false),
            ("stalls>+2", 1.0, 3.0, false),
            ("timeouts:rate>+0.1", 0.0, 0.11, true),
        ] {
            assert_eq!(read(text).unwrap().is_beyond(a, b), holds, "{text}: {a} {b}");
        }
    }

    #[test]
    fn errors_name_the_wrong_part() {
        for (text, said) in [
            ("segment_ttfb:p95", "there is no <, <=, > or >="),
            ("segment_ttfb:p95==+1%", "a change is not compared with ="),
            ("segment_ttfb>+20%", "segment_ttfb is a distribution and needs a statistic"),
            ("segment_ttbf:p95>+20%", "did you mean segment_ttfb?"),
            ("error_rate:p95>+20%", "write error_rate alone"),
            ("segment_ttfb:p95>20%", "the change \"20%\" has no sign; write segment_ttfb:p95>+20%"),
            ("throughput<5%", "has no sign; write throughput<-5%"),
            ("segment_ttfb:p95>+", "invalid change \"+\""),
            ("segment_ttfb:p95>+20", "or a duration, for example 500ms, with its sign"),
            ("error_rate>+x", "or a difference of shares, for example +0.01"),
            ("throughput<-5", "or a bit rate"),
            ("stalls>+-1", "invalid change \"+-1\""),
            ("stalls>+inf%", "invalid change \"+inf%\""),
        ] {
            let error = read(text).unwrap_err();
            let error = format!("{error}; {}", error.help());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*[<>]?=?[+-]?.*") {
            drop(read(&text));
        }
    }
}
