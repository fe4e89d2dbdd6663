//! The active faults, and the decision what they do to a request.

use std::time::Duration;

use hls_swarm_model::classify::{self, ResponseHints};
use hls_swarm_model::exchange;

use super::{Fault, FaultKind, Share};

/// An active fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveFault {
    /// Number by which it is removed.
    pub(crate) id: u64,
    /// The fault.
    pub(crate) fault: Fault,
    /// The number of times it was injected.
    pub(crate) injected: u64,
}

/// The response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseAction {
    /// Without a fault.
    Forward,
    /// With this status code.
    Status(u16),
    /// With the playlist that was served when the fault with this number was first injected.
    Stall(u64),
    /// With the playlist as it was this number of segments ago.
    Regress(u32),
    /// With a playlist that announces a part that never comes.
    DeadHint,
    /// With the playlist of this moment, whatever the request waits for.
    Unblocked,
    /// By resetting the connection.
    Drop,
    /// With this share of the body.
    Truncate(Share),
}

/// The effect of the active faults on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Delay before the request is answered.
    pub(crate) delay: Duration,
    /// Delay between the head of the response and the first byte of its body.
    pub(crate) first_byte_delay: Duration,
    /// Rate limit of the response, in bit/s.
    pub(crate) bits_per_second: Option<u64>,
    /// The response to the request.
    pub(crate) action: ResponseAction,
}

impl Decision {
    /// No fault applies.
    pub(crate) const NONE: Self = Self {
        delay: Duration::ZERO,
        first_byte_delay: Duration::ZERO,
        bits_per_second: None,
        action: ResponseAction::Forward,
    };
}

/// The set of active faults.
#[derive(Clone, Debug)]
pub(crate) struct ActiveFaults {
    seed: u64,
    last_id: u64,
    faults: Vec<ActiveFault>,
}

impl ActiveFaults {
    /// Starts without faults; `seed` determines which segments a `missing-segments` fault hides.
    #[must_use]
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, last_id: 0, faults: Vec::new() }
    }

    /// The seed of the random decisions.
    #[must_use]
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a fault and returns its number.
    pub(crate) fn add(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.faults.push(ActiveFault { id: self.last_id, fault, injected: 0 });
        self.last_id
    }

    /// Removes a fault; `None` if there is none with this number.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Fault> {
        let index = self.faults.iter().position(|active| active.id == id)?;
        Some(self.faults.remove(index).fault)
    }

    /// Removes all faults.
    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// The active faults, oldest first.
    #[must_use]
    pub(crate) fn faults(&self) -> &[ActiveFault] {
        &self.faults
    }

    /// Counts an injection of a fault that does not concern a request.
    pub(crate) fn count_injection(&mut self, id: u64) {
        if let Some(active) = self.faults.iter_mut().find(|active| active.id == id) {
            active.injected += 1;
        }
    }

    /// Decides what happens to a request for `path` (without query); `random` returns numbers in [0, 1).
    ///
    /// Delays add up, the lowest rate limit applies, and of the faults that change the response, the oldest
    /// one that hits is used. Once one hits, the random decisions of later ones are not made.
    pub(crate) fn decide(&mut self, path: &str, random: &mut dyn FnMut() -> f64) -> Decision {
        let mut decision = Decision::NONE;
        for active in &mut self.faults {
            let used_up = active.fault.count.is_some_and(|count| active.injected >= count);
            let action = action(active.id, &active.fault.kind);
            let already_decided = action.is_some() && decision.action != ResponseAction::Forward;
            if used_up || already_decided || !concerns(&active.fault, path) {
                continue;
            }
            let ratio = active.fault.rate.ratio();
            let hit = match active.fault.kind {
                // A viewer that retries must not find a missing segment.
                FaultKind::MissingSegments | FaultKind::MissingParts => fixed_random(self.seed, path) < ratio,
                FaultKind::Kill { .. } => false,
                _ => random() < ratio,
            };
            if !hit {
                continue;
            }
            active.injected += 1;
            match active.fault.kind {
                FaultKind::Delay { time, jitter } => decision.delay += time + jitter.mul_f64(random()),
                FaultKind::LateParts(time) => decision.delay += time,
                FaultKind::SlowFirstByte(time) => decision.first_byte_delay += time,
                FaultKind::Bandwidth(bits) => {
                    decision.bits_per_second =
                        Some(decision.bits_per_second.map_or(bits, |now| now.min(bits)));
                }
                _ => decision.action = action.unwrap_or(decision.action),
            }
        }
        decision
    }
}

/// The action of a kind of fault; `None` for those that only slow a response down.
const fn action(id: u64, kind: &FaultKind) -> Option<ResponseAction> {
    Some(match kind {
        FaultKind::Status(code) => ResponseAction::Status(*code),
        FaultKind::StalledPlaylist => ResponseAction::Stall(id),
        FaultKind::RegressingPlaylist(segments) => ResponseAction::Regress(*segments),
        FaultKind::MissingSegments | FaultKind::MissingParts => ResponseAction::Status(404),
        FaultKind::DeadHints => ResponseAction::DeadHint,
        FaultKind::UnblockedReloads => ResponseAction::Unblocked,
        FaultKind::Drop => ResponseAction::Drop,
        FaultKind::Truncate(share) => ResponseAction::Truncate(*share),
        FaultKind::Delay { .. }
        | FaultKind::LateParts(_)
        | FaultKind::SlowFirstByte(_)
        | FaultKind::Bandwidth(_)
        | FaultKind::Kill { .. } => return None,
    })
}

/// Whether a fault concerns requests for this path.
fn concerns(fault: &Fault, path: &str) -> bool {
    if let Some(pattern) = &fault.path {
        return pattern.matches(path);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let requested = classify::kind(ResponseHints { name, ..ResponseHints::default() });
    match fault.kind {
        FaultKind::StalledPlaylist
        | FaultKind::RegressingPlaylist(_)
        | FaultKind::DeadHints
        | FaultKind::UnblockedReloads => requested == exchange::Kind::Playlist,
        FaultKind::LateParts(_) | FaultKind::MissingParts => is_part(name),
        FaultKind::MissingSegments => requested == exchange::Kind::Segment,
        _ => !is_monitoring(path),
    }
}

/// Whether this is the name of a part, such as `seg_00007.2.m4s`.
fn is_part(name: &str) -> bool {
    let mut pieces = name.split('.').skip(1);
    let index =
        pieces.next().is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()));
    index && pieces.next().is_some()
}

/// Whether this is a page for monitoring, which faults spare unless their pattern matches it.
fn is_monitoring(path: &str) -> bool {
    matches!(path, "/health" | "/nginx_status") || path.starts_with("/files/json/")
}

/// A number in [0, 1) that is always the same for a path (FNV-1a, then mixed).
fn fixed_random(seed: u64, path: &str) -> f64 {
    let bytes = seed.to_le_bytes().into_iter().chain(path.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Consecutive names differ in their last characters only, which FNV leaves in the low bits.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn active(specs: &[&str]) -> ActiveFaults {
        let mut active = ActiveFaults::new(1);
        for spec in specs {
            active.add(spec.parse().unwrap());
        }
        active
    }

    fn never() -> f64 {
        panic!("no random number is needed")
    }

    #[test]
    fn the_default_paths_depend_on_the_kind() {
        for (spec, playlist, segment) in [
            ("status=503", true, true),
            ("stalled-playlist", true, false),
            ("regressing-playlist", true, false),
            ("missing-segments", false, true),
            ("late-parts=1s", false, false),
            ("missing-parts", false, false),
            ("dead-hints", true, false),
            ("unblocked-reloads", true, false),
            ("drop,path=*.m3u8", true, false),
        ] {
            let hits = |path: &str| active(&[spec]).decide(path, &mut || 0.0) != Decision::NONE;
            assert_eq!((hits("/stream.m3u8"), hits("/low/seg_1.ts")), (playlist, segment), "{spec}");
            assert!(!hits("/health") && !hits("/files/json/"), "{spec}");
            let of_parts =
                ["late-parts=1s", "missing-parts", "status=503", "missing-segments"].contains(&spec);
            assert_eq!(hits("/low/seg_00001.0.m4s"), of_parts || spec == "drop", "{spec}");
        }
        let named = active(&["status=503,path=/health"]).decide("/health", &mut || 0.0);
        assert_eq!(named.action, ResponseAction::Status(503));
    }

    #[test]
    fn delays_add_up_and_the_oldest_action_is_used() {
        let mut faults = active(&[
            "delay=100ms,jitter=100ms",
            "delay=1s",
            "bandwidth=2M",
            "bandwidth=1M",
            "slow-first-byte=3s",
            "status=503",
            "drop",
        ]);
        let decision = faults.decide("/seg_1.ts", &mut || 0.5);
        assert_eq!(
            decision,
            Decision {
                delay: Duration::from_millis(1150),
                first_byte_delay: Duration::from_secs(3),
                bits_per_second: Some(1_000_000),
                action: ResponseAction::Status(503),
            }
        );
        assert_eq!(
            faults.faults().iter().map(|active| active.injected).collect::<Vec<_>>(),
            [1, 1, 1, 1, 1, 1, 0]
        );
    }

    #[test]
    fn a_fault_ends_after_its_count_and_when_it_is_removed() {
        let mut faults = active(&["status=500,count=2", "status=404"]);
        let mut ask = || faults.decide("/a.ts", &mut || 0.0).action;
        assert_eq!([ask(), ask(), ask()].map(|answer| answer), [500, 500, 404].map(ResponseAction::Status));
        assert!(faults.remove(2).is_some() && faults.remove(2).is_none());
        assert_eq!(faults.decide("/a.ts", &mut || 0.0), Decision::NONE);
        assert_eq!(faults.add("drop".parse().unwrap()), 3, "numbers are not reused");
        faults.clear();
        assert_eq!(faults.faults(), []);
    }

    #[test]
    fn a_missing_segment_stays_missing() {
        let mut faults = active(&["missing-segments,rate=30%"]);
        let mut missing = 0;
        for number in 0..1000 {
            let path = format!("/seg_{number:05}.ts");
            let first = faults.decide(&path, &mut never);
            assert_eq!(faults.decide(&path, &mut never), first);
            missing += u32::from(first.action == ResponseAction::Status(404));
        }
        assert!((250..350).contains(&missing), "about 30 % of them: {missing}");
    }

    #[test]
    fn a_kill_fault_does_not_concern_requests() {
        let mut faults = active(&["encoder-death,every=5s"]);
        assert_eq!(faults.decide("/a.ts", &mut never), Decision::NONE);
        faults.count_injection(1);
        assert_eq!(faults.faults()[0].injected, 1);
    }

    proptest! {
        #[test]
        fn faults_hit_at_the_given_rate(rate in 1_u32..=100, seed in any::<u64>()) {
            let mut faults = active(&[&format!("status=503,rate={rate}%")]);
            // A linear congruential generator is good enough here.
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let hits = (0..4000).filter(|_| faults.decide("/a.ts", &mut random) != Decision::NONE).count();
            let expected = f64::from(rate) * 40.0;
            prop_assert!((hits as f64 - expected).abs() < 6.0 * (expected.max(10.0)).sqrt());
        }
    }
}
