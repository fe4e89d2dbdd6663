//! The playback of a viewer whose player reports it.

use hls_swarm_player::interface::StallReason;
use hls_swarm_player::{SHORTEST_STALL_NS, State, Viewing};

use crate::seen::Seen;

/// What was reported last, and what follows from it until the next report.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    at_ns: u64,
    seen: Seen,
    viewing: Viewing,
    /// The length of the stall under way, nanoseconds.
    stall_ns: u64,
    /// The reason of the stall under way, once it counts although its end is not known.
    unended: Option<StallReason>,
}

impl Reported {
    pub(crate) fn new(at_ns: u64, seen: Seen) -> Self {
        let viewing = viewing(&seen);
        let stall_ns = seen.stall.map_or(0, |(lasted_ns, _)| lasted_ns);
        Self { at_ns, seen, viewing, stall_ns, unended: None }
    }

    pub(crate) const fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(crate) const fn state(&self) -> State {
        self.seen.state
    }

    pub(crate) const fn viewing(&self) -> Viewing {
        self.viewing
    }

    /// Moves on to `at_ns`. Between two reports, a viewer plays what it has buffered, and a stall goes on: the player
    /// reports each change at once.
    pub(crate) fn advance(&mut self, at_ns: u64) {
        let passed_ns = at_ns.saturating_sub(self.at_ns);
        let reported = viewing(&self.seen);
        match self.seen.state {
            State::Playing => {
                let played_ns = reported.played_ns + passed_ns.min(self.seen.buffer_ns);
                self.viewing.played_ns = self.viewing.played_ns.max(played_ns);
            }
            State::Stalled => {
                let stall_ns = self.seen.stall.map_or(0, |(lasted_ns, _)| lasted_ns) + passed_ns;
                let stalled_ns = reported.stalled_ns + passed_ns;
                self.stall_ns = self.stall_ns.max(stall_ns);
                self.viewing.stalled_ns = self.viewing.stalled_ns.max(stalled_ns);
                if self.stall_ns >= SHORTEST_STALL_NS {
                    self.viewing.longest_stall_ns = self.viewing.longest_stall_ns.max(self.stall_ns);
                }
            }
            State::Starting | State::Ended => {}
        }
    }

    pub(crate) const fn is_unended(&self) -> bool {
        self.seen.stall.is_some() && self.unended.is_none() && self.stall_ns >= SHORTEST_STALL_NS
    }

    /// The session is over: nothing more is shown of what is buffered.
    pub(crate) fn end(&mut self) {
        (self.seen.state, self.seen.buffer_ns) = (State::Ended, 0);
    }

    /// Counts the stall under way, because nothing that comes later counts. Returns its reason, the first time.
    pub(crate) fn settle(&mut self) -> Option<StallReason> {
        let counts = self.unended.is_none() && self.stall_ns >= SHORTEST_STALL_NS;
        let (_, reason) = self.seen.stall.filter(|_| counts)?;
        self.viewing.stalls += 1;
        self.unended = Some(reason);
        Some(reason)
    }
}

/// The figures of a report. A stall counts once it has ended: only then is it known whether it was the stream's.
fn viewing(seen: &Seen) -> Viewing {
    let figures = &seen.figures;
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Viewing {
        startup_ns: figures.startup.map(ns),
        played_ns: ns(figures.played),
        stalled_ns: ns(figures.stalled),
        longest_stall_ns: ns(figures.longest_stall),
        stalls: figures.stall_count().into(),
        missing_ns: ns(figures.skipped),
        skipped: figures.skipped_segments,
        // Players do not report why the server did not have a segment.
        unavailable_ns: 0,
        unavailable: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hls_swarm_player::Figures;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn playing(seconds: u64, buffer: u64) -> Seen {
        let figures = Figures {
            startup: Some(Duration::from_millis(300)),
            played: Duration::from_secs(seconds),
            ..Figures::default()
        };
        Seen { figures, state: State::Playing, buffer_ns: buffer * SECOND, ..Seen::nothing() }
    }

    #[test]
    fn what_is_buffered_is_played_and_no_more() {
        let mut reported = Reported::new(10 * SECOND, playing(5, 3));
        reported.advance(9 * SECOND);
        assert_eq!(reported.viewing().played_ns, 5 * SECOND);
        reported.advance(12 * SECOND);
        assert_eq!(reported.viewing().played_ns, 7 * SECOND);
        reported.advance(60 * SECOND);
        assert_eq!(reported.viewing().played_ns, 8 * SECOND);
        assert_eq!((reported.viewing().stalled_ns, reported.settle()), (0, None));
    }

    #[test]
    fn a_stall_under_way_lasts_on_and_counts_once() {
        let figures = Figures {
            stalled: Duration::from_secs(2),
            longest_stall: Duration::from_secs(2),
            ..playing(5, 0).figures
        };
        let stall = Some((SECOND, StallReason::SlowBody));
        let mut reported =
            Reported::new(10 * SECOND, Seen { figures, state: State::Stalled, stall, ..Seen::nothing() });
        reported.advance(14 * SECOND);
        let Viewing { stalled_ns, longest_stall_ns, stalls, .. } = reported.viewing();
        assert_eq!((stalled_ns, longest_stall_ns, stalls), (6 * SECOND, 5 * SECOND, 0));
        assert_eq!((reported.settle(), reported.settle()), (Some(StallReason::SlowBody), None));
        assert_eq!(reported.viewing().stalls, 1);
    }

    #[test]
    fn a_stall_under_way_counts_once_it_is_long_enough() {
        let stall = Some((SHORTEST_STALL_NS / 2, StallReason::SlowBody));
        let seen = Seen { state: State::Stalled, stall, ..Seen::nothing() };
        let mut reported = Reported::new(SECOND, seen);
        reported.advance(SECOND + SHORTEST_STALL_NS / 4);
        let Viewing { stalled_ns, longest_stall_ns, .. } = reported.viewing();
        assert_eq!((stalled_ns, longest_stall_ns, reported.settle()), (SHORTEST_STALL_NS / 4, 0, None));
        reported.advance(SECOND + SHORTEST_STALL_NS / 2);
        assert_eq!(reported.settle(), Some(StallReason::SlowBody));
        assert_eq!(reported.viewing().longest_stall_ns, SHORTEST_STALL_NS);
    }
}
