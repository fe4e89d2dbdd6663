//! Live media playlists as viewers see them change: which stand still, regress, skip segments, or are
//! older than what another viewer got before (RFC 8216, 6.2.1 and 6.2.2).
//!
//! A playlist is known by the hash of its URL, query included but for the delivery directives of low-latency HLS
//! (`_HLS_…`): if each viewer has its own token, viewers are not compared with each other.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::exchange::{Exchange, MediaPlaylist};
use crate::merge::Merge;
use crate::snapshot::{FaultyPlaylist, PlaylistFaults};

/// The maximum number of playlists that are followed.
const FOLLOWED: usize = 512;
/// The number of steps of a playlist that are remembered.
const STEPS: usize = 64;
const SECOND: f64 = 1e9;

/// All media playlists.
#[derive(Clone, Debug, Default)]
pub struct Playlists {
    known: BTreeMap<u64, Known>,
    copies: HashMap<(u64, u32), Copy>,
}

/// One playlist over all viewers.
#[derive(Clone, Debug, Default)]
struct Known {
    name: Box<str>,
    faults: PlaylistFaults,
    /// Positions, each with the time when a viewer first saw it; in increasing order.
    steps: VecDeque<Step>,
    /// Time when a viewer last saw the latest position.
    confirmed_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    next: u64,
    seen_ns: u64,
    viewer: u32,
}

/// The latest state that one viewer saw.
#[derive(Clone, Copy, Debug)]
struct Copy {
    list: MediaPlaylist,
    /// Times when it saw this list first and last.
    since_ns: u64,
    seen_ns: u64,
    stale: bool,
}

impl Playlists {
    /// Adds an exchange; returns whether it brought a playlist that was too old.
    pub fn add(&mut self, exchange: &Exchange) -> bool {
        let Some(list) = exchange.playlist else { return false };
        if self.known.len() >= FOLLOWED && !self.known.contains_key(&exchange.url_hash) {
            return false;
        }
        let known = self.known.entry(exchange.url_hash).or_default();
        if known.name != exchange.name {
            known.name.clone_from(&exchange.name);
        }
        let key = (exchange.url_hash, exchange.viewer);
        if list.ended {
            // From here on it may stand still.
            self.copies.remove(&key);
            return false;
        }
        let seen_ns = exchange.started_ns.saturating_add(exchange.first_byte_ns.unwrap_or(0));
        let before = self.copies.get(&key).copied();
        let copy = match before {
            Some(before) => known.compare(before, list, exchange.started_ns, seen_ns),
            None => Copy { list, since_ns: seen_ns, seen_ns, stale: false },
        };
        self.copies.insert(key, copy);
        known.among_viewers(list, exchange, seen_ns)
    }

    /// The sum over all; `None` if no playlist was seen.
    #[must_use]
    pub fn faults(&self) -> Option<PlaylistFaults> {
        let mut sum = PlaylistFaults::default();
        self.known.values().for_each(|known| sum.merge(&known.faults));
        (!self.known.is_empty()).then_some(sum)
    }

    /// The playlists with defects.
    #[must_use]
    pub fn faulty(&self) -> Vec<FaultyPlaylist> {
        let faulty = self.known.values().filter(|known| known.faults.any());
        let mut rows: Vec<FaultyPlaylist> = faulty
            .map(|known| FaultyPlaylist { name: known.name.to_string(), faults: known.faults })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }
}

fn target_ns(list: &MediaPlaylist) -> u64 {
    u64::from(list.target_seconds.max(1)).saturating_mul(1_000_000_000)
}

impl Known {
    /// Compares a playlist that was requested at `asked_ns` with what the same viewer saw before.
    fn compare(&mut self, before: Copy, list: MediaPlaylist, asked_ns: u64, seen_ns: u64) -> Copy {
        let target = target_ns(&list);
        if list == before.list {
            // The list may have been old when it was first seen, so this is a lower bound.
            let still = asked_ns.saturating_sub(before.since_ns);
            let stale = still > target.saturating_add(target / 2);
            if stale {
                self.faults.stale += u64::from(!before.stale);
                let longest = self.faults.longest_stale_seconds.unwrap_or(0.0);
                self.faults.longest_stale_seconds = Some(longest.max(still as f64 / SECOND));
            }
            return Copy { seen_ns, stale, ..before };
        }
        if list.next_sequence() < before.list.next_sequence() || list.sequence < before.list.sequence {
            self.faults.regressed += 1;
        } else if list.sequence > before.list.next_sequence() {
            // New segments may come every half target duration at most; a viewer that stayed away for
            // longer than the list lasts at that pace has missed some by itself.
            let lasts = u64::from(before.list.segments).saturating_mul(target / 2);
            if asked_ns.saturating_sub(before.seen_ns) < lasts {
                self.faults.skipped += list.sequence - before.list.next_sequence();
            }
        }
        Copy { list, since_ns: seen_ns, seen_ns, stale: false }
    }

    /// Compares a playlist with what other viewers saw; returns whether it is too old.
    fn among_viewers(&mut self, list: MediaPlaylist, exchange: &Exchange, seen_ns: u64) -> bool {
        let (next, target) = (list.next_sequence(), target_ns(&list));
        if seen_ns.saturating_sub(self.confirmed_ns) > target.saturating_mul(3) {
            // No viewer has seen the latest position for three target durations: the stream was restarted.
            self.steps.clear();
        }
        if self.steps.back().is_none_or(|step| step.next <= next) {
            self.confirmed_ns = seen_ns;
        }
        if self.steps.back().is_none_or(|step| step.next < next) {
            if self.steps.len() >= STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(Step { next, seen_ns, viewer: exchange.viewer });
            return false;
        }
        let passed = self.steps.iter().find(|step| step.next > next && step.viewer != exchange.viewer);
        let Some(passed) = passed else { return false };
        let behind = exchange.started_ns.saturating_sub(passed.seen_ns);
        if behind <= target {
            return false;
        }
        self.faults.disagreed += 1;
        let farthest = self.faults.farthest_behind_seconds.unwrap_or(0.0);
        self.faults.farthest_behind_seconds = Some(farthest.max(behind as f64 / SECOND));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Kind;

    /// Viewers (1, 2…) that see a list of 5 segments of 2 s, as (second, viewer, sequence).
    fn faults(seen: &[(f64, u32, u64)]) -> PlaylistFaults {
        let mut playlists = Playlists::default();
        for (second, viewer, sequence) in seen {
            let list = MediaPlaylist {
                sequence: *sequence,
                segments: 5,
                last_segment: *sequence,
                discontinuity_sequence: 0,
                target_seconds: 2,
                ended: false,
            };
            playlists.add(&Exchange {
                kind: Kind::Playlist,
                started_ns: (second * SECOND) as u64,
                first_byte_ns: Some(1_000_000),
                playlist: Some(list),
                ..super::super::super::tests::segment(*viewer)
            });
        }
        playlists.faults().unwrap()
    }

    #[test]
    fn a_list_that_advances_in_time_has_no_defect() {
        let seen: Vec<(f64, u32, u64)> = (0..40)
            .flat_map(|k| [(f64::from(k), 1, k as u64 / 2), (f64::from(k) + 0.7, 2, k as u64 / 2)])
            .collect();
        assert_eq!(faults(&seen), PlaylistFaults::default());
    }

    #[test]
    fn a_list_that_stands_still_is_stale_once_until_it_advances() {
        let found = faults(&[(0.0, 1, 7), (2.0, 1, 7), (3.0, 1, 7), (3.1, 1, 7), (9.0, 1, 7), (10.0, 1, 8)]);
        assert_eq!((found.stale, found.regressed, found.skipped), (1, 0, 0));
        assert!((found.longest_stale_seconds.unwrap() - 9.0).abs() < 0.01, "{found:?}");
        let found = faults(&[(0.0, 1, 7), (3.5, 1, 7), (4.0, 1, 8), (8.0, 1, 8)]);
        assert_eq!(found.stale, 2);
    }

    #[test]
    fn a_playlist_that_regresses_or_skips_is_counted() {
        assert_eq!(faults(&[(0.0, 1, 7), (1.0, 1, 6)]).regressed, 1);
        // From 7..=11 to 14: 12 and 13 were never shown.
        assert_eq!(faults(&[(0.0, 1, 7), (2.0, 1, 14)]).skipped, 2);
        // A viewer that was away for 6 s may have missed them by itself.
        assert_eq!(faults(&[(0.0, 1, 7), (6.0, 1, 14)]).skipped, 0);
    }

    #[test]
    fn a_copy_disagrees_if_another_viewer_was_ahead_over_a_target_duration_ago() {
        assert_eq!(faults(&[(0.0, 1, 8), (1.5, 2, 7)]).disagreed, 0);
        let found = faults(&[(0.0, 1, 8), (2.5, 2, 7)]);
        assert_eq!(found.disagreed, 1);
        assert!((found.farthest_behind_seconds.unwrap() - 2.5).abs() < 0.01);
    }

    #[test]
    fn a_restarted_stream_does_not_disagree_forever() {
        let mut seen = vec![(0.0, 1, 100), (0.5, 2, 100)];
        seen.extend((1..60_u32).map(|k| (f64::from(k), 1 + k % 2, u64::from(k / 2))));
        let found = faults(&seen);
        assert_eq!(found.regressed, 2);
        assert!(found.disagreed <= 6, "{found:?}");
    }
}
