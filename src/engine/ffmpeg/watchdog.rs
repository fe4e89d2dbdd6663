//! Detects an FFmpeg process that makes no progress: it has read no media for too long.
//!
//! This is about the process, which can be started again. Whether its viewer has stalled follows from the segments
//! that arrived.

/// Time for which the next segment may be overdue, nanoseconds.
const HOLD_NS: u64 = 5_000_000_000;

/// The watchdog of one process.
#[derive(Debug)]
pub(crate) struct Watchdog {
    advanced_ns: u64,
    longest_ns: u64,
}

impl Watchdog {
    /// A process that was started at `started_ns` and plays segments of about `segment_ns`.
    pub(crate) fn new(started_ns: u64, segment_ns: u64) -> Self {
        let longest_ns = segment_ns.saturating_add(HOLD_NS.max(segment_ns));
        Self { advanced_ns: started_ns, longest_ns }
    }

    /// Records that media was read at `at_ns`.
    pub(crate) const fn advanced(&mut self, at_ns: u64) {
        self.advanced_ns = at_ns;
    }

    /// Whether the process makes no progress at `at_ns`.
    pub(crate) const fn stands_still(&self, at_ns: u64) -> bool {
        at_ns.saturating_sub(self.advanced_ns) > self.longest_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_process_stands_still_once_a_segment_is_overdue_for_long() {
        for (segment, at) in [(2, 7), (6, 12), (10, 20)] {
            let mut watchdog = Watchdog::new(0, segment * SECOND);
            assert!(!watchdog.stands_still(at * SECOND) && watchdog.stands_still(at * SECOND + 1));
            watchdog.advanced(3 * SECOND);
            assert!(!watchdog.stands_still((at + 3) * SECOND) && watchdog.stands_still((at + 4) * SECOND));
        }
    }
}
