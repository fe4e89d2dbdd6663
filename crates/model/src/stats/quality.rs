//! Quality of experience over all viewers whose players report it.

use hls_swarm_player::Figures;
use hls_swarm_player::interface::StallReason;

use super::distribution::Distribution;
use super::exchanges::LATENCY_BOUNDS;
use crate::metric::counters::{Counter, Counters};
use crate::seen::Seen;
use crate::snapshot::{Quality, Timing};

/// Bounds of the histograms of live latency and of the buffer, seconds.
const BEHIND_BOUNDS: [f64; 13] = [0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// The sums of the figures of all viewers.
#[derive(Clone, Debug)]
pub(crate) struct QualitySums {
    figures: Quality,
    first_media_byte: Distribution,
    by_edge: Distribution,
    by_date: Distribution,
    target: Distribution,
    buffer: Distribution,
    over_time: OverTime,
    counted: Counters,
}

/// What the timeline needs: sums that only grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OverTime {
    /// Bits played, and the seconds in which they were.
    pub(crate) bits: f64,
    pub(crate) played: f64,
    /// Seconds of buffer, and of live latency, added over samples.
    pub(crate) buffer: (f64, u64),
    pub(crate) latency: (f64, u64),
}

impl Default for QualitySums {
    fn default() -> Self {
        let behind = || Distribution::with_buckets(&BEHIND_BOUNDS);
        Self {
            figures: Quality::default(),
            first_media_byte: Distribution::with_buckets(&LATENCY_BOUNDS),
            by_edge: behind(),
            by_date: behind(),
            target: behind(),
            buffer: behind(),
            over_time: OverTime::default(),
            counted: Counters::default(),
        }
    }
}

impl QualitySums {
    /// Adds what a viewer saw between two reports. Durations that were added go to `note` as well.
    pub(crate) fn add(&mut self, before: &Figures, seen: &Seen, mut note: impl FnMut(Timing, u64)) {
        let now = &seen.figures;
        let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for reason in StallReason::ALL {
            let place = reason.index();
            let more =
                now.stalls.get(place).unwrap_or(&0).saturating_sub(*before.stalls.get(place).unwrap_or(&0));
            self.stalled(reason, more.into());
        }
        self.figures.excluded_seconds += now.stalled_own.saturating_sub(before.stalled_own).as_secs_f64();
        self.figures.blocked_seconds += now.blocked.saturating_sub(before.blocked).as_secs_f64();
        for (counter, now, before) in [
            (Counter::SwitchesUp, now.switches_up, before.switches_up),
            (Counter::SwitchesDown, now.switches_down, before.switches_down),
            (Counter::PathwaySwitches, now.pathway_switches, before.pathway_switches),
            (Counter::PartsLoaded, now.parts, before.parts),
            (Counter::PartsLate, now.late_parts, before.late_parts),
            (Counter::HintsWrong, now.wrong_hints, before.wrong_hints),
            (Counter::ReloadsUnblocked, now.unblocked_reloads, before.unblocked_reloads),
            (Counter::ReloadsBlocked, now.blocking_reloads, before.blocking_reloads),
            (Counter::ReloadsUnchanged, now.unchanged_reloads, before.unchanged_reloads),
        ] {
            self.counted.add(counter, now.saturating_sub(before).into());
        }
        let (bits, played) = (now.bits_played - before.bits_played, now.played.saturating_sub(before.played));
        if bits > 0.0 {
            self.figures.bits_played += bits;
            self.figures.bits_played_seconds += played.as_secs_f64();
            self.over_time.bits += bits;
            self.over_time.played += played.as_secs_f64();
        }
        if let Some(first) = now.first_media_byte.filter(|_| before.first_media_byte.is_none()) {
            self.first_media_byte.add_ns(ns(first));
            note(Timing::FirstMediaByte, ns(first));
        }
        // Reports come about once a second while something happens. One that comes after a longer time stands for it,
        // and one that comes sooner, because the state has changed, for nothing.
        let passed = now.observed.saturating_sub(before.observed).as_secs_f64().round() as u64;
        let samples = passed.min(60);
        if samples == 0 {
            return;
        }
        self.buffer.add_many_ns(seen.buffer_ns, samples);
        let buffer = &mut self.over_time.buffer;
        *buffer = (buffer.0 + seen.buffer_ns as f64 / 1e9 * samples as f64, buffer.1 + samples);
        note(Timing::Buffer, seen.buffer_ns);
        if let Some(behind_ns) = seen.latency_by_edge_ns {
            self.by_edge.add_many_ns(behind_ns, samples);
            let latency = &mut self.over_time.latency;
            *latency = (latency.0 + behind_ns as f64 / 1e9 * samples as f64, latency.1 + samples);
            note(Timing::LatencyByEdge, behind_ns);
        }
        if let Some(target_ns) = seen.target_latency_ns {
            self.target.add_many_ns(target_ns, samples);
            note(Timing::TargetLatency, target_ns);
        }
        match seen.latency_by_date_ns.map(u64::try_from) {
            Some(Ok(behind_ns)) => {
                self.by_date.add_many_ns(behind_ns, samples);
                note(Timing::LatencyByDate, behind_ns);
            }
            Some(Err(_)) => self.figures.dates_ahead += samples,
            None => {}
        }
    }

    /// Counts stalls.
    pub(crate) fn stalled(&mut self, reason: StallReason, stalls: u64) {
        if stalls > 0 {
            *self.figures.stalls.entry(reason.name().to_owned()).or_default() += stalls;
            if reason == StallReason::OwnLateness {
                self.counted.add(Counter::StallsExcluded, stalls);
            }
        }
    }

    /// Events since the last call.
    pub(crate) fn take_counted(&mut self) -> Counters {
        std::mem::take(&mut self.counted)
    }

    pub(crate) const fn over_time(&self) -> OverTime {
        self.over_time
    }

    pub(crate) fn figures(&self) -> Quality {
        self.figures.clone().with_bit_rate()
    }

    /// The distributions with something in them. Latencies by a clock that is known to be wrong are none.
    pub(crate) fn distributions(&self) -> impl Iterator<Item = (Timing, &Distribution)> {
        let by_date = (self.figures.dates_ahead == 0).then_some((Timing::LatencyByDate, &self.by_date));
        let others = [
            (Timing::FirstMediaByte, &self.first_media_byte),
            (Timing::LatencyByEdge, &self.by_edge),
            (Timing::TargetLatency, &self.target),
            (Timing::Buffer, &self.buffer),
        ];
        others.into_iter().chain(by_date).filter(|(_, times)| !times.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seen(change: impl FnOnce(&mut Seen)) -> Seen {
        let mut seen = Seen::nothing();
        change(&mut seen);
        seen
    }

    #[test]
    fn the_bit_rate_is_that_of_the_media_that_was_shown() {
        let mut sums = QualitySums::default();
        let first = seen(|seen| {
            (seen.figures.played, seen.figures.bits_played) = (Duration::from_secs(3), 3e6);
        });
        let second = seen(|seen| {
            (seen.figures.played, seen.figures.bits_played) = (Duration::from_secs(4), 6e6);
            (seen.figures.switches_up, seen.figures.pathway_switches) = (1, 2);
            (seen.figures.parts, seen.figures.late_parts, seen.figures.wrong_hints) = (7, 2, 3);
            (seen.figures.unblocked_reloads, seen.figures.unchanged_reloads) = (4, 5);
            (seen.figures.blocking_reloads, seen.figures.blocked) = (6, Duration::from_millis(2500));
        });
        sums.add(&Figures::default(), &first, |_, _| {});
        sums.add(&first.figures, &second, |_, _| {});
        assert_eq!(sums.figures().bitrate_played, Some(1.5e6));
        assert_eq!(sums.figures().blocked_seconds, 2.5);
        let counted = sums.take_counted();
        assert_eq!((counted[Counter::SwitchesUp], counted[Counter::SwitchesDown]), (Some(1), Some(0)));
        assert_eq!(counted[Counter::PathwaySwitches], Some(2));
        let low_latency = [
            Counter::PartsLoaded,
            Counter::PartsLate,
            Counter::HintsWrong,
            Counter::ReloadsUnblocked,
            Counter::ReloadsUnchanged,
            Counter::ReloadsBlocked,
        ];
        assert_eq!(low_latency.map(|counter| counted[counter]), [7, 2, 3, 4, 5, 6].map(Some));
        assert_eq!(sums.take_counted()[Counter::SwitchesUp], None);
    }

    #[test]
    fn a_report_stands_for_the_time_since_the_one_before() {
        let mut sums = QualitySums::default();
        let at = |seconds: u64, buffer_ns: u64| {
            seen(|seen| (seen.figures.observed, seen.buffer_ns) = (Duration::from_secs(seconds), buffer_ns))
        };
        let (one, five) = (at(1, 1_000_000_000), at(5, 6_000_000_000));
        sums.add(&Figures::default(), &one, |_, _| {});
        sums.add(&one.figures, &five, |_, _| {});
        sums.add(&five.figures, &five, |_, _| {});
        assert_eq!(sums.over_time().buffer, (25.0, 5));
        let (_, buffer) = sums.distributions().next().unwrap();
        assert_eq!(buffer.quantiles().unwrap().count, 5);
    }

    #[test]
    fn a_latency_by_a_wrong_clock_is_not_shown() {
        let mut sums = QualitySums::default();
        let at = |seconds: u64, behind: i64| {
            seen(|seen| {
                seen.figures.observed = Duration::from_secs(seconds);
                (seen.latency_by_date_ns, seen.latency_by_edge_ns) = (Some(behind), Some(6_000_000_000));
                seen.target_latency_ns = Some(1_500_000_000);
            })
        };
        let shown = |sums: &QualitySums| sums.distributions().map(|(timing, _)| timing).collect::<Vec<_>>();
        sums.add(&Figures::default(), &at(1, 5_000_000_000), |_, _| {});
        assert!(shown(&sums).contains(&Timing::LatencyByDate));
        sums.add(&at(1, 0).figures, &at(2, -1), |_, _| {});
        assert_eq!(shown(&sums), [Timing::LatencyByEdge, Timing::TargetLatency, Timing::Buffer]);
        assert_eq!(sums.figures().dates_ahead, 1);
    }

    #[test]
    fn a_stall_because_we_were_late_is_excluded() {
        let mut sums = QualitySums::default();
        let late = seen(|seen| {
            seen.figures.stalls[StallReason::OwnLateness.index()] = 2;
            seen.figures.stalls[StallReason::SlowBody.index()] = 1;
            seen.figures.stalled_own = Duration::from_millis(1500);
        });
        sums.add(&Figures::default(), &late, |_, _| {});
        let figures = sums.figures();
        assert_eq!(figures.excluded_seconds, 1.5);
        assert_eq!(
            figures.stalls.into_iter().collect::<Vec<_>>(),
            [("own-lateness".into(), 2), ("slow-body".into(), 1)]
        );
        assert_eq!(sums.take_counted()[Counter::StallsExcluded], Some(2));
    }
}
