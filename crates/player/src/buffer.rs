//! The buffer of a player: how long it would have played the media that FFmpeg has read, and how long it would
//! have stalled because its buffer was empty.
//!
//! FFmpeg reads live media as soon as it is available; a player plays it in real time. This model starts with
//! one segment in its buffer, as players do, and plays whatever it has. It needs no decoder.

/// The buffer of one viewer process.
#[derive(Clone, Debug)]
pub struct Buffer {
    segment_us: u64,
    media_us: u64,
    played_us: u64,
    stalled_us: u64,
    at_ns: u64,
    started: bool,
    /// Played and stalled time at the last call of [`Self::take_elapsed`], microseconds.
    taken: (u64, u64),
}

impl Buffer {
    /// Returns an empty buffer for segments of about `segment_ns`.
    #[must_use]
    pub const fn new(segment_ns: u64) -> Self {
        Self {
            segment_us: segment_ns / 1000,
            media_us: 0,
            played_us: 0,
            stalled_us: 0,
            at_ns: 0,
            started: false,
            taken: (0, 0),
        }
    }

    /// Notes that `media_us` of media had been read at `at_ns`.
    pub fn report(&mut self, at_ns: u64, media_us: u64) {
        self.advance(at_ns);
        self.media_us = self.media_us.max(media_us);
        if !self.started && self.media_us > 0 && self.media_us >= self.segment_us {
            (self.started, self.at_ns) = (true, at_ns);
        }
    }

    /// Plays until `at_ns` what the buffer holds.
    pub fn advance(&mut self, at_ns: u64) {
        if !self.started {
            return;
        }
        let passed = at_ns.saturating_sub(self.at_ns) / 1000;
        self.at_ns += passed * 1000;
        let played = passed.min(self.media_us.saturating_sub(self.played_us));
        self.played_us += played;
        self.stalled_us += passed - played;
    }

    /// Returns the time played and the time stalled since the last call, microseconds.
    pub fn take_elapsed(&mut self) -> (u64, u64) {
        let (played, stalled) = std::mem::replace(&mut self.taken, (self.played_us, self.stalled_us));
        (self.played_us - played, self.stalled_us - stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Plays segments of 2 s; `reports` are (time, media) in seconds. Returns the seconds played and stalled
    /// until `end`.
    fn play(reports: &[(u64, u64)], end: u64) -> (u64, u64) {
        let mut buffer = Buffer::new(2 * SECOND);
        for (at, media) in reports {
            buffer.report(at * SECOND, media * 1_000_000);
        }
        buffer.advance(end * SECOND);
        let (played, stalled) = buffer.take_elapsed();
        assert_eq!(buffer.take_elapsed(), (0, 0));
        (played / 1_000_000, stalled / 1_000_000)
    }

    #[test]
    fn a_steady_stream_never_stalls() {
        assert_eq!(play(&[(5, 6), (7, 8), (9, 10), (11, 12)], 11), (6, 0));
        // Paced media arrives at playback speed: the initial buffer prevents stalls.
        let paced: Vec<(u64, u64)> = (0..30).map(|second| (second, second)).collect();
        assert_eq!(play(&paced, 29), (27, 0));
    }

    #[test]
    fn the_time_of_an_empty_buffer_is_exact() {
        // 4 s of media from second 1 on last until second 5; more arrives at second 8.
        assert_eq!(play(&[(1, 4), (8, 6)], 10), (6, 3));
        assert_eq!(play(&[(1, 4)], 10), (4, 5));
    }

    #[test]
    fn playback_starts_with_the_first_segment() {
        assert_eq!(play(&[(1, 1)], 10), (0, 0));
        assert_eq!(play(&[], 10), (0, 0));
    }
}
