//! What a player would have shown of the media that FFmpeg has read: how long it played, and how long it
//! stood still because its buffer was empty.
//!
//! FFmpeg reads live media as soon as it is there; a player shows it in real time. This one begins with a
//! segment in its buffer, as players do, and plays whatever it has. A clip needs no decoder for that.

/// The buffer of one process.
#[derive(Clone, Debug)]
pub struct Buffer {
    segment_us: u64,
    media_us: u64,
    shown_us: u64,
    at_ns: u64,
    begun: bool,
    told: (u64, u64),
    stalled_us: u64,
}

impl Buffer {
    /// Empty; segments last about `segment_ns`.
    #[must_use]
    pub const fn new(segment_ns: u64) -> Self {
        Self {
            segment_us: segment_ns / 1000,
            media_us: 0,
            shown_us: 0,
            at_ns: 0,
            begun: false,
            told: (0, 0),
            stalled_us: 0,
        }
    }

    /// By `at_ns`, `media_us` have been read.
    pub fn report(&mut self, at_ns: u64, media_us: u64) {
        self.advance(at_ns);
        self.media_us = self.media_us.max(media_us);
        if !self.begun && self.media_us > 0 && self.media_us >= self.segment_us {
            (self.begun, self.at_ns) = (true, at_ns);
        }
    }

    /// Shows what there is up to `at_ns`.
    pub fn advance(&mut self, at_ns: u64) {
        if !self.begun {
            return;
        }
        let passed = at_ns.saturating_sub(self.at_ns) / 1000;
        self.at_ns += passed * 1000;
        let shown = passed.min(self.media_us.saturating_sub(self.shown_us));
        self.shown_us += shown;
        self.stalled_us += passed - shown;
    }

    /// What was shown, and how long it stood still, since the last call, microseconds.
    pub fn news(&mut self) -> (u64, u64) {
        let (shown, stalled) = std::mem::replace(&mut self.told, (self.shown_us, self.stalled_us));
        (self.shown_us - shown, self.stalled_us - stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Segments of 2 s; `(when, media)` in seconds. What was shown and stalled by `end`.
    fn play(reports: &[(u64, u64)], end: u64) -> (u64, u64) {
        let mut buffer = Buffer::new(2 * SECOND);
        for (at, media) in reports {
            buffer.report(at * SECOND, media * 1_000_000);
        }
        buffer.advance(end * SECOND);
        let (shown, stalled) = buffer.news();
        assert_eq!(buffer.news(), (0, 0));
        (shown / 1_000_000, stalled / 1_000_000)
    }

    #[test]
    fn a_steady_stream_never_stands_still() {
        assert_eq!(play(&[(5, 6), (7, 8), (9, 10), (11, 12)], 11), (6, 0));
        // Paced media comes as it is shown: the start buffer is what keeps it going.
        let paced: Vec<(u64, u64)> = (0..30).map(|second| (second, second)).collect();
        assert_eq!(play(&paced, 29), (27, 0));
    }

    #[test]
    fn an_empty_buffer_is_counted_to_the_second() {
        // 4 s of media from second 1 on last until 5; more comes at 8.
        assert_eq!(play(&[(1, 4), (8, 6)], 10), (6, 3));
        assert_eq!(play(&[(1, 4)], 10), (4, 5));
    }

    #[test]
    fn before_the_first_segment_nobody_watches() {
        assert_eq!(play(&[(1, 1)], 10), (0, 0));
        assert_eq!(play(&[], 10), (0, 0));
    }
}
