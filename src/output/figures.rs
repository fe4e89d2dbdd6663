//! Readable figures: dates, durations, bytes, rates, milliseconds.

use hls_swarm_model::timeline::failures::FailureGroup;
use jiff::Timestamp;

pub use hls_swarm_base::figures::count;

/// Seconds since 1970 as a date and time of day in UTC, `2026-11-21T08:00:59`.
#[must_use]
pub fn utc(unix: u64) -> String {
    let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    time.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// A length of time: `45 s`, `12 min 5 s`, `3 h 20 min`.
#[must_use]
pub fn length(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Seconds as a clock: `0:07`, `1:02:03`.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// When the first and the last failure of a group were.
#[must_use]
pub fn span(group: &FailureGroup) -> String {
    let (first, last) = (clock(group.first_second), clock(group.last_second));
    if first == last { format!("at {first}") } else { format!("{first} to {last}") }
}

/// A group of failures on one line: how many, on how many objects, when, and the name of the first object.
#[must_use]
pub fn failure_line(group: &FailureGroup) -> String {
    let name = match group.first_name.as_str() {
        "" => String::new(),
        name if group.objects == 1 => format!(": {name}"),
        name => format!(", first {name}"),
    };
    format!("{}, {}{name}", group.title(), span(group))
}

/// Bytes with a decimal prefix.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    prefixed(bytes as f64, "B")
}

/// Bits per second with a decimal prefix.
#[must_use]
pub fn bit_rate(bits_per_second: f64) -> String {
    prefixed(bits_per_second, "bit/s")
}

fn prefixed(value: f64, unit: &str) -> String {
    let mut scaled = value;
    for prefix in ["", "k", "M", "G", "T"] {
        if scaled < 999.5 || prefix == "T" {
            let digits = if prefix.is_empty() || scaled >= 99.95 { 0 } else { 1 };
            return format!("{scaled:.digits$} {prefix}{unit}");
        }
        scaled /= 1000.0;
    }
    String::new()
}

/// Seconds as milliseconds, with as many digits as are significant.
#[must_use]
pub fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// A share as percent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00");
        assert_eq!(utc(951_868_799), "2000-02-29T23:59:59");
        assert_eq!(utc(1_795_244_947), "2026-11-21T07:09:07");
    }

    #[test]
    fn figures_have_readable_units() {
        assert_eq!(length(725.2), "12 min 5 s");
        assert_eq!(length(12_000.0), "3 h 20 min");
        assert_eq!((bytes(999), bytes(1_500_000)), ("999 B".into(), "1.5 MB".into()));
        assert_eq!((bytes(999_700), bytes(0)), ("1.0 MB".into(), "0 B".into()));
        assert_eq!(bit_rate(123_456_789.0), "123 Mbit/s");
        assert_eq!(milliseconds(0.0123), "12.3 ms");
    }
}
