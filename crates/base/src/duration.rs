//! Durations in Go's notation (`30s`, `1h30m`, `1.5s`, `200ms`), which the scripts of this field use.
//!
//! The parser is our own because jiff's friendly format is another language. jiff accepts what Go refuses
//! (`5 m`, `5min`, `1:00:00`, `1,5s`, `+5s`) and refuses what Go accepts (`.5s`, `1.5h30m`, `30m1h`, `0.5ns`,
//! `2μs` with the Greek letter). A check that forbids the one and splits the other into terms for jiff is as
//! long as this parser. A test compares both on all texts that both accept.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration that is read and printed in Go's notation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration(pub Duration);

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let units: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
        let units = units.join("|");
        json_schema!({
            "type": "string",
            "description": "A duration such as 30s, 200ms, 5m, 1h30m, or 0",
            "pattern": format!(r"^\s*(0|(([0-9]+\.?[0-9]*|\.[0-9]+)({units}))+)\s*$"),
        })
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration in which a bare number counts milliseconds.
///
/// # Errors
/// The text is not a duration.
pub fn or_milliseconds(text: &str) -> Result<GoDuration, InvalidDuration> {
    with_unit(text, "ms").parse()
}

/// Reads a duration in which a bare number counts seconds.
///
/// # Errors
/// The text is not a duration.
pub fn or_seconds(text: &str) -> Result<GoDuration, InvalidDuration> {
    with_unit(text, "s").parse()
}

fn with_unit(text: &str, unit: &str) -> String {
    let bare = text.trim();
    let number = bare.starts_with(|c: char| c.is_ascii_digit()) && bare.parse::<f64>().is_ok();
    if number { format!("{bare}{unit}") } else { text.to_owned() }
}

/// The reason why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDuration(String);

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (durations look like 30s, 200ms, 5m, 1h30m, or 0)", self.0)
    }
}

impl std::error::Error for InvalidDuration {}

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(InvalidDuration("empty".into()));
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, next) = tail.split_at(letters);
            if number.is_empty() {
                return Err(InvalidDuration(format!("no number before {unit:?}")));
            }
            if unit.is_empty() {
                return Err(InvalidDuration(format!("no unit after {number}")));
            }
            let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(InvalidDuration(format!("unknown unit {unit:?}")));
            };
            let part = nanoseconds(number, *scale)
                .ok_or_else(|| InvalidDuration(format!("{number}{unit} is not a number in range")))?;
            total = total.checked_add(part).ok_or_else(|| InvalidDuration("too long".into()))?;
            rest = next;
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

impl TryFrom<String> for GoDuration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.to_string()
    }
}

/// Multiplies `number` (digits with at most one point) by `scale`; parts of a nanosecond are cut off, as Go does.
fn nanoseconds(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * unit)?;
    }
    Some(total)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let decimal = |unit: u128, name: &str| {
            let text = format!("{}.{:09}", nanos / unit, nanos % unit * 1_000_000_000 / unit);
            format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => f.write_str(&decimal(1_000, "µs")),
            1_000_000..1_000_000_000 => f.write_str(&decimal(1_000_000, "ms")),
            _ => {
                let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
                let seconds = GoSeconds(nanos % 60_000_000_000);
                match (hours, minutes) {
                    (0, 0) => write!(f, "{seconds}"),
                    (0, _) => write!(f, "{minutes}m{seconds}"),
                    _ => write!(f, "{hours}h{minutes}m{seconds}"),
                }
            }
        }
    }
}

/// Nanoseconds below a minute, printed as seconds.
struct GoSeconds(u128);

impl fmt::Display for GoSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{}s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_notation_is_read_and_written_as_go_does() {
        for (typed, printed) in [
            ("30s", "30s"),
            ("5m", "5m0s"),
            ("1h30m", "1h30m0s"),
            ("24h", "24h0m0s"),
            ("200ms", "200ms"),
            ("1.5s", "1.5s"),
            (".5s", "500ms"),
            ("0", "0s"),
            ("1500us", "1.5ms"),
            ("1.5h30m", "2h0m0s"),
            ("30m1h", "1h30m0s"),
            ("0.5ns", "0s"),
            ("2μs", "2µs"),
            ("2µs", "2µs"),
        ] {
            assert_eq!(typed.parse::<GoDuration>().unwrap().to_string(), printed, "{typed}");
        }
    }

    #[test]
    fn an_error_names_the_wrong_part() {
        for (typed, expected) in [
            ("", "empty"),
            ("30", "no unit after 30"),
            ("s", "no number before"),
            ("5 m", "unknown unit"),
            ("5min", "unknown unit"),
            ("1:00:00", "unknown unit"),
            ("1,5s", "unknown unit"),
            ("+5s", "no number before"),
            ("-5s", "no number before"),
            ("3x", "unknown unit"),
            ("1.2.3s", "not a number"),
            ("99999999999h", "not a number in range"),
        ] {
            let error = typed.parse::<GoDuration>().unwrap_err().to_string();
            assert!(error.contains(expected), "{typed:?}: {error}");
        }
    }

    #[test]
    fn a_bare_number_takes_the_unit_of_its_flag() {
        for (typed, milliseconds, seconds) in
            [("100", 100, 100_000), ("0.5", 0, 500), ("0", 0, 0), ("3s", 3000, 3000), (" 7 ", 7, 7000)]
        {
            assert_eq!(or_milliseconds(typed).unwrap().0.as_millis(), milliseconds, "{typed}");
            assert_eq!(or_seconds(typed).unwrap().0.as_millis(), seconds, "{typed}");
        }
        for wrong in ["", "-1", "1e3", "inf", "ten"] {
            assert!(or_seconds(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_reading_agree(nanos in 0_u64..1_000_000_000_000_000) {
            let duration = GoDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse::<GoDuration>().unwrap(), duration);
        }

        #[test]
        fn jiff_reads_the_same_duration_where_it_accepts_the_text(
            terms in prop::collection::vec(("[0-9]{1,4}(\\.[0-9]{1,9})?", 0..UNITS.len()), 1..4),
        ) {
            let text: String = terms.iter().map(|(number, unit)| format!("{number}{}", UNITS[*unit].0)).collect();
            let ours = text.parse::<GoDuration>().unwrap().0;
            if let Ok(theirs) = jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(&text) {
                prop_assert_eq!(ours, theirs, "{}", text);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            drop(text.parse::<GoDuration>());
        }
    }
}
