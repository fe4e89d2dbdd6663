//! The wall-clock time at which a run begins.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan, Zoned};

/// How late a run may still begin: shards do not come up in the same second.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// When a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At this moment.
    Moment(Timestamp),
    /// When the machine's own clock next shows this time.
    Time(Time),
}

/// The wait until the start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait for this time.
    For(Duration),
    /// Not at all: the time passed recently.
    Late(Duration),
    /// Not at all: the time passed too long ago.
    Missed(Duration),
}

impl StartAt {
    /// Returns the wait at `now`.
    #[must_use]
    pub fn wait(self, now: &Zoned) -> Wait {
        let moment = match self {
            Self::Moment(moment) => moment,
            Self::Time(time) => {
                let today = now.with().time(time).build().map(|today| today.timestamp());
                let tomorrow = now
                    .checked_add(1.day())
                    .and_then(|tomorrow| tomorrow.with().time(time).build())
                    .map(|tomorrow| tomorrow.timestamp());
                // The calendar ends in the year 9999, so this can fail only then.
                let today = today.unwrap_or(now.timestamp());
                if today >= now.timestamp() { today } else { tomorrow.unwrap_or(today) }
            }
        };
        let ahead = moment.duration_since(now.timestamp());
        match (Duration::try_from(ahead), ahead.unsigned_abs()) {
            (Ok(ahead), _) => Wait::For(ahead),
            (Err(_), late) if late <= MAX_DELAY => Wait::Late(late),
            (Err(_), late) => Wait::Missed(late),
        }
    }
}

/// Why a text is not a valid start time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidStartAt(String);

impl fmt::Display for InvalidStartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidStartAt {}

impl FromStr for StartAt {
    type Err = InvalidStartAt;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A time of day is short; a longer text is meant to have a date.
        if text.len() <= "20:00:00".len() {
            return text.parse().map(Self::Time).map_err(|error| InvalidStartAt(error.to_string()));
        }
        text.parse().map(Self::Moment).map_err(|error| InvalidStartAt(error.to_string()))
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moment(moment) => moment.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(text: &str) -> Wait {
        let now: Zoned = "2026-11-21T19:00:00+01:00[+01:00]".parse().unwrap();
        text.parse::<StartAt>().unwrap().wait(&now)
    }

    #[test]
    fn the_wait_for_timestamps_and_times_of_day_is_computed() {
        let hours = |hours: u64| Wait::For(Duration::from_secs(hours * 3600));
        assert_eq!(wait("2026-11-21T20:00:00Z"), hours(2));
        assert_eq!(wait("2026-11-21T20:00:00+01:00"), hours(1));
        assert_eq!(wait("20:00"), hours(1));
        assert_eq!(wait("18:00:00"), hours(23));
        assert_eq!(wait("2026-11-21T17:59:00Z"), Wait::Late(Duration::from_secs(60)));
        assert_eq!(wait("2026-11-20T18:00:00Z"), Wait::Missed(Duration::from_secs(86_400)));
    }

    #[test]
    fn invalid_start_times_are_refused() {
        for wrong in ["", "8pm", "25:00", "2026-12-01", "2026-12-01T20:00:00", "tomorrow at noon"] {
            assert!(wrong.parse::<StartAt>().is_err(), "{wrong}");
        }
    }
}
