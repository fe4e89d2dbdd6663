//! The times of the media of one segment.

/// The time after which those of MPEG-TS begin again: 2^33 / 90 kHz, microseconds.
const WRAP_US: u64 = (1 << 33) * 100 / 9;

/// The times of a segment's media: those of its video, or else of its first track. They are times of decoding, which, unlike
/// those of presentation, follow each other without a gap from one segment to the next, whatever the order of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The beginning, microseconds.
    pub start_us: u64,
    /// The duration, microseconds; `None` if there is only one frame, whose duration is not known.
    pub duration_us: Option<u64>,
    /// By how much the duration may be wrong, microseconds: MPEG-TS does not say how long the last frame lasts.
    pub error_us: u64,
    /// Whether the times are those of MPEG-TS, which begin again after 26.5 hours.
    pub wraps: bool,
}

impl Times {
    /// The time from the end of this segment to the beginning of `next`, microseconds; negative if they overlap. `lasts_us` is
    /// the duration of this segment.
    #[must_use]
    pub fn gap_us(&self, lasts_us: u64, next: &Self) -> i64 {
        let end = self.start_us.saturating_add(lasts_us);
        if self.wraps && next.wraps {
            let after = (next.start_us % WRAP_US + WRAP_US - end % WRAP_US) % WRAP_US;
            let before = WRAP_US - after;
            return if after <= before { signed(after) } else { -signed(before) };
        }
        if next.start_us >= end { signed(next.start_us - end) } else { -signed(end - next.start_us) }
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// The reason why the times of a segment cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// It is neither fragmented MP4 nor MPEG-TS: packed audio, for example.
    Format,
    /// It is one of these, and something in it has another form than its format requires.
    Malformed,
    /// Its initialization section is not known.
    Initialization,
    /// It is encrypted as a whole.
    Encrypted,
    /// It was sent with a content coding.
    Coded,
    /// No frame in it has a time.
    NoTimes,
}

impl Unread {
    /// The reason in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format => "neither fMP4 nor MPEG-TS",
            Self::Malformed => "malformed",
            Self::Initialization => "initialization section not known",
            Self::Encrypted => "encrypted (AES-128)",
            Self::Coded => "content coding",
            Self::NoTimes => "no timestamps",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start_us: u64, wraps: bool) -> Times {
        Times { start_us, duration_us: None, error_us: 0, wraps }
    }

    #[test]
    fn gaps_are_positive_and_overlaps_negative() {
        let begin = at(10_000_000, false);
        assert_eq!(begin.gap_us(2_000_000, &at(12_000_000, false)), 0);
        assert_eq!(begin.gap_us(2_000_000, &at(12_500_000, false)), 500_000);
        assert_eq!(begin.gap_us(2_000_000, &at(11_000_000, false)), -1_000_000);
        assert_eq!(at(u64::MAX, false).gap_us(9, &at(0, false)), -i64::MAX);
    }

    #[test]
    fn times_of_mpeg_ts_begin_again() {
        let last = at(WRAP_US - 500_000, true);
        assert_eq!(last.gap_us(2_000_000, &at(1_500_000, true)), 0);
        assert_eq!(last.gap_us(2_000_000, &at(1_400_000, true)), -100_000);
        assert_eq!(last.gap_us(100_000, &at(1_500_000, true)), 1_900_000);
    }
}
