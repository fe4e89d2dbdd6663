//! Playback of a viewer: whether it keeps up with real time, by the media time that FFmpeg reports.
//!
//! Live media arrives in bursts of one segment, so speed is measured between bursts: any other window would
//! make a healthy viewer look slow for half of each segment. If no burst arrives for longer than two
//! segments, the waiting time counts as well.

use std::collections::VecDeque;

/// A viewer below this speed is too slow.
pub const SLOW: f64 = 0.9;
/// Time for which a viewer must be too slow before it counts as stalled, nanoseconds.
const HOLD_NS: u64 = 5_000_000_000;

/// The playback of one viewer process.
#[derive(Clone, Debug)]
pub struct Playback {
    started_ns: u64,
    segment_ns: u64,
    /// Time (nanoseconds) and media time (microseconds) of the advances in the window and of the one before it.
    advances: VecDeque<(u64, u64)>,
    first: Option<(u64, u64)>,
    slow_since: Option<u64>,
    stalled: bool,
}

/// A change of the state of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has been too slow for too long.
    Stalled,
    /// It is fast enough again.
    Recovered,
}

/// The state of playback at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    /// Media time divided by wall time; `None` until a window is full.
    pub speed: Option<f64>,
    /// Lag of media behind the wall clock since the first media, seconds.
    pub drift_seconds: f64,
    /// Whether the viewer stalled or recovered just now.
    pub change: Option<Change>,
}

impl Playback {
    /// Returns the playback of a process that was started at `started_ns` and plays segments of about
    /// `segment_ns`.
    #[must_use]
    pub const fn new(started_ns: u64, segment_ns: u64) -> Self {
        Self {
            started_ns,
            segment_ns,
            advances: VecDeque::new(),
            first: None,
            slow_since: None,
            stalled: false,
        }
    }

    /// Whether any media has been played.
    #[must_use]
    pub const fn has_played(&self) -> bool {
        self.first.is_some()
    }

    /// Notes a report of FFmpeg: `media_us` had been played at `at_ns`.
    pub fn report(&mut self, at_ns: u64, media_us: u64) {
        let before = self.advances.back().map_or(0, |(_, media)| *media);
        if media_us <= before {
            return;
        }
        self.first.get_or_insert((at_ns, media_us));
        self.advances.push_back((at_ns, media_us));
        // One advance from before the window is kept, because speed is measured from there.
        let window = self.window_ns();
        while self.advances.get(1).is_some_and(|(at, _)| at_ns.saturating_sub(*at) >= window) {
            self.advances.pop_front();
        }
    }

    /// Assesses playback at `at_ns`. Call it at least once per second.
    pub fn assess(&mut self, at_ns: u64) -> Assessment {
        let speed = self.speed(at_ns);
        let slow = speed.is_some_and(|speed| speed < SLOW);
        let since = slow.then(|| self.slow_since.unwrap_or(at_ns).min(self.overdue_since(at_ns)));
        self.slow_since = since;
        let stalled = since.is_some_and(|since| at_ns.saturating_sub(since) > HOLD_NS.max(self.segment_ns));
        let change = match (self.stalled, slow, stalled) {
            (false, _, true) => Some(Change::Stalled),
            (true, false, _) => Some(Change::Recovered),
            _ => None,
        };
        self.stalled = match change {
            Some(Change::Stalled) => true,
            Some(Change::Recovered) => false,
            None => self.stalled,
        };
        Assessment { speed, drift_seconds: self.drift_seconds(at_ns), change }
    }

    /// The time when the next media was due, if it is late; otherwise the current time. Late media is
    /// detected only after two segments, but the viewer has been slow since the next segment was due.
    fn overdue_since(&self, at_ns: u64) -> u64 {
        let last = self.advances.back().map_or(at_ns, |(at, _)| *at);
        if self.until(at_ns, last) == last { at_ns } else { last.saturating_add(self.segment_ns) }
    }

    fn window_ns(&self) -> u64 {
        HOLD_NS.max(self.segment_ns.saturating_mul(3))
    }

    /// The end of the measured time: the last burst, or now if the next one is late.
    fn until(&self, at_ns: u64, last: u64) -> u64 {
        let late = self.segment_ns.saturating_mul(2).max(2_000_000_000);
        if at_ns.saturating_sub(last) > late { at_ns } else { last }
    }

    fn speed(&self, at_ns: u64) -> Option<f64> {
        let Some((last_at, last_media)) = self.advances.back().copied() else {
            // Nothing has been played: after a whole window, the speed is 0.
            return (at_ns.saturating_sub(self.started_ns) > self.window_ns()).then_some(0.0);
        };
        let (first_at, first_media) = self.advances.front().copied()?;
        let wall = self.until(at_ns, last_at).saturating_sub(first_at);
        // Bursts can only be averaged over at least half a window.
        (wall >= self.window_ns() / 2).then(|| (last_media - first_media) as f64 * 1000.0 / wall as f64)
    }

    fn drift_seconds(&self, at_ns: u64) -> f64 {
        let (Some((first_at, first_media)), Some((last_at, last_media))) =
            (self.first, self.advances.back().copied())
        else {
            return 0.0;
        };
        let wall = self.until(at_ns, last_at).saturating_sub(first_at) as f64 / 1e9;
        (wall - (last_media - first_media) as f64 / 1e6).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Plays `bursts` (second, media seconds), assesses every second, and returns the changes.
    fn play(segment: u64, bursts: &[(u64, u64)], seconds: u64) -> Vec<(u64, Change)> {
        let mut playback = Playback::new(0, segment * SECOND);
        let mut changes = Vec::new();
        for second in 0..seconds {
            for (_, media) in bursts.iter().filter(|(at, _)| *at == second) {
                playback.report(second * SECOND, media * 1_000_000);
            }
            if let Some(change) = playback.assess(second * SECOND).change {
                changes.push((second, change));
            }
        }
        changes
    }

    #[test]
    fn steady_bursts_never_stall() {
        for segment in [1, 2, 6, 10] {
            let bursts: Vec<(u64, u64)> =
                (1..=60 / segment).map(|k| (k * segment, (k + 2) * segment)).collect();
            assert_eq!(play(segment, &bursts, 60), [], "segments of {segment} s");
        }
    }

    #[test]
    fn bursts_that_are_occasionally_half_a_segment_late_do_not_stall() {
        let bursts: Vec<(u64, u64)> =
            (1..15).map(|k| (k * 6 + if k % 3 == 0 { 3 } else { 0 }, (k + 2) * 6)).collect();
        assert_eq!(play(6, &bursts, 90), []);
    }

    #[test]
    fn missing_media_stalls_and_new_media_recovers() {
        let mut bursts: Vec<(u64, u64)> = (1..=10).map(|k| (k * 2, (k + 2) * 2)).collect();
        bursts.extend((20..30).map(|k| (k * 2, (k - 7) * 2)));
        let changes = play(2, &bursts, 60);
        assert_eq!(changes.first().map(|(_, change)| *change), Some(Change::Stalled));
        // The last burst arrived at second 20, the next one was due at 22.
        assert!((27..=28).contains(&changes[0].0), "stalled at {}", changes[0].0);
        assert_eq!(changes.get(1).map(|(_, change)| *change), Some(Change::Recovered));
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn half_speed_stalls() {
        let bursts: Vec<(u64, u64)> = (1..30).map(|k| (k * 4, (k + 2) * 2)).collect();
        assert_eq!(play(2, &bursts, 100).first().map(|(_, change)| *change), Some(Change::Stalled));
    }

    #[test]
    fn a_viewer_that_never_plays_stalls() {
        assert_eq!(play(2, &[], 30).len(), 1);
    }

    #[test]
    fn drift_is_the_lead_of_the_wall_clock() {
        let mut playback = Playback::new(0, 2 * SECOND);
        playback.report(SECOND, 6_000_000);
        playback.report(11 * SECOND, 12_000_000);
        assert!((playback.assess(11 * SECOND).drift_seconds - 4.0).abs() < 1e-9);
    }
}
