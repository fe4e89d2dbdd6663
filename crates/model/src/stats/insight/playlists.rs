//! Live media playlists as viewers see them change: which are not updated, regress, skip segments, are older than what
//! another viewer got before, or name other segments under the same numbers (RFC 8216, 6.2.1 and 6.2.2).
//!
//! Edges disagree only if both versions go on. An encoder that is restarted begins a new version, too, and the one
//! before it never returns. So an older list counts when the newer one is seen again, and another name of a segment
//! when it happens at a second number.
//!
//! A playlist is known by the hash of its URL, query included but for the delivery directives of low-latency HLS
//! (`_HLS_…`): if each viewer has its own token, viewers are not compared with each other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

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
    /// Older lists since then: the servers that sent them, and the most that one was behind, seconds.
    older: Vec<Option<IpAddr>>,
    behind_seconds: f64,
    /// The last number that had two names, and how often that was seen.
    renamed: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    next: u64,
    seen_ns: u64,
    viewer: u32,
    last_segment: u64,
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
    /// Adds an exchange; returns the servers of the playlists that it proves to have been too old.
    pub fn add(&mut self, exchange: &Exchange) -> Vec<Option<IpAddr>> {
        let Some(list) = exchange.playlist else { return Vec::new() };
        if self.known.len() >= FOLLOWED && !self.known.contains_key(&exchange.url_hash) {
            return Vec::new();
        }
        let known = self.known.entry(exchange.url_hash).or_default();
        if known.name != exchange.name {
            known.name.clone_from(&exchange.name);
        }
        let key = (exchange.url_hash, exchange.viewer);
        if list.ended {
            // From here on it need not be updated.
            self.copies.remove(&key);
            return Vec::new();
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

    /// Compares a playlist with what other viewers saw; returns the servers of the older ones, once it is certain that
    /// the newer one goes on.
    fn among_viewers(
        &mut self,
        list: MediaPlaylist,
        exchange: &Exchange,
        seen_ns: u64,
    ) -> Vec<Option<IpAddr>> {
        let (next, target) = (list.next_sequence(), target_ns(&list));
        if seen_ns.saturating_sub(self.confirmed_ns) > target.saturating_mul(3) {
            // No viewer has seen the latest position for three target durations: the stream was restarted.
            self.steps.clear();
            self.older.clear();
            self.renamed = None;
        }
        self.compare_names(list, seen_ns);
        let latest = self.steps.back().map(|step| step.next);
        if latest.is_none_or(|latest| latest <= next) {
            self.confirmed_ns = seen_ns;
            if latest.is_none_or(|latest| latest < next) {
                if self.steps.len() >= STEPS {
                    self.steps.pop_front();
                }
                let (viewer, last_segment) = (exchange.viewer, list.last_segment);
                self.steps.push_back(Step { next, seen_ns, viewer, last_segment });
            }
            return self.confirm();
        }
        let passed = self.steps.iter().find(|step| step.next > next && step.viewer != exchange.viewer);
        let behind = passed.map_or(0, |passed| exchange.started_ns.saturating_sub(passed.seen_ns));
        if behind > target && self.older.len() < STEPS {
            self.older.push(exchange.peer.map(|(address, _)| address));
            self.behind_seconds = self.behind_seconds.max(behind as f64 / SECOND);
        }
        Vec::new()
    }

    /// The latest position was seen again: the lists that were older came from servers that lag behind.
    fn confirm(&mut self) -> Vec<Option<IpAddr>> {
        let behind = std::mem::take(&mut self.behind_seconds);
        if !self.older.is_empty() {
            self.faults.disagreed += self.older.len() as u64;
            let farthest = self.faults.farthest_behind_seconds.unwrap_or(0.0);
            self.faults.farthest_behind_seconds = Some(farthest.max(behind));
        }
        std::mem::take(&mut self.older)
    }

    /// Compares the name of the last segment with the name that another list has for the same number.
    fn compare_names(&mut self, list: MediaPlaylist, seen_ns: u64) {
        let next = list.next_sequence();
        let recent = |step: &&Step| {
            step.next == next && seen_ns.saturating_sub(step.seen_ns) <= target_ns(&list).saturating_mul(3)
        };
        let Some(step) = self.steps.iter().rev().find(recent) else { return };
        if list.segments == 0 || step.last_segment == list.last_segment {
            return;
        }
        match &mut self.renamed {
            // At a restart, one number may have two names.
            None => self.renamed = Some((next, 1)),
            Some((number, times)) if *number == next => *times += 1,
            Some((number, times)) => {
                self.faults.disagreed += std::mem::take(times) + 1;
                *number = next;
            }
        }
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
        assert_eq!(faults(&[(0.0, 1, 8), (1.5, 2, 7), (2.0, 1, 9)]).disagreed, 0);
        let found = faults(&[(0.0, 1, 8), (2.5, 2, 7), (3.0, 1, 9)]);
        assert_eq!(found.disagreed, 1);
        assert!((found.farthest_behind_seconds.unwrap() - 2.5).abs() < 0.01);
        assert_eq!(faults(&[(0.0, 1, 8), (2.5, 2, 7)]).disagreed, 0, "the newer one may be gone");
    }

    #[test]
    fn a_restarted_stream_does_not_disagree() {
        let mut seen = vec![(0.0, 1, 100), (0.5, 2, 100)];
        seen.extend((1..60_u32).map(|k| (f64::from(k), 1 + k % 2, u64::from(k / 2))));
        let found = faults(&seen);
        assert_eq!((found.regressed, found.disagreed), (2, 0));
    }

    /// Two viewers in turn, each at an edge that names its segments after itself from number `from` to `to`.
    fn renamed(from: u32, to: u32) -> u64 {
        let mut playlists = Playlists::default();
        for step in 0..40_u32 {
            let (second, edge) = (step / 2, step % 2);
            let list = MediaPlaylist {
                sequence: u64::from(second),
                segments: 5,
                last_segment: if (from..to).contains(&second) { u64::from(edge) + 1 } else { 7 },
                discontinuity_sequence: 0,
                target_seconds: 1,
                ended: false,
            };
            playlists.add(&Exchange {
                kind: Kind::Playlist,
                started_ns: (f64::from(second) * SECOND) as u64 + u64::from(edge),
                first_byte_ns: Some(1_000_000),
                playlist: Some(list),
                ..super::super::super::tests::segment(edge + 1)
            });
        }
        playlists.faults().unwrap().disagreed
    }

    #[test]
    fn edges_that_name_segments_differently_are_reported_and_a_restart_is_not() {
        assert_eq!(renamed(0, 0), 0);
        assert_eq!(renamed(5, 6), 0, "one number with two names");
        assert_eq!(renamed(5, 9), 4);
    }
}
