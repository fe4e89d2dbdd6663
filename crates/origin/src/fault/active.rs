//! Which faults are on, and what they do to a request.

use std::time::Duration;

use hls_swarm_model::classify::{self, ResponseHints};
use hls_swarm_model::exchange;

use super::{Fault, Kind, Share};

/// A fault that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, by which it is turned off.
    pub id: u64,
    /// The fault.
    pub fault: Fault,
    /// How often it has struck.
    pub strikes: u64,
}

/// What becomes of a request instead of an ordinary answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it is served.
    Pass,
    /// This status.
    Status(u16),
    /// The playlist that was served when the fault of this number struck first.
    Stalled(u64),
    /// A playlist from before so many segments.
    Regressed(u32),
    /// A reset of the connection.
    Drop,
    /// This share of the body.
    Truncated(Share),
}

/// What is done about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Wait this long before anything else.
    pub delay: Duration,
    /// Then, between head and body, this long.
    pub first_byte: Duration,
    /// Send at most so many bits per second.
    pub bits_per_second: Option<u64>,
    /// What is answered.
    pub answer: Answer,
}

impl Decision {
    /// Nothing is done.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        first_byte: Duration::ZERO,
        bits_per_second: None,
        answer: Answer::Pass,
    };
}

/// The faults that are on.
#[derive(Clone, Debug)]
pub struct Book {
    seed: u64,
    last: u64,
    entries: Vec<Entry>,
}

impl Book {
    /// No faults yet; `seed` says which segments will be missing.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, last: 0, entries: Vec::new() }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Turns a fault on and returns its number.
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.last += 1;
        self.entries.push(Entry { id: self.last, fault, strikes: 0 });
        self.last
    }

    /// Turns a fault off; none if it is not on.
    pub fn remove(&mut self, id: u64) -> Option<Fault> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(place).fault)
    }

    /// Turns all faults off.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// What is on, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Counts a strike of a fault that is not about a request.
    pub fn strike(&mut self, id: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.strikes += 1;
        }
    }

    /// Decides about a request for `path` (without query); `chance` gives numbers from 0 to below 1.
    ///
    /// Delays add up, the narrowest band holds, and of the faults that change the answer the oldest
    /// one that strikes does; the ones behind it are not asked.
    pub fn decide(&mut self, path: &str, chance: &mut dyn FnMut() -> f64) -> Decision {
        let mut decision = Decision::NONE;
        for entry in &mut self.entries {
            let used_up = entry.fault.count.is_some_and(|count| entry.strikes >= count);
            let answers = answer(entry.id, &entry.fault.kind);
            let decided = answers.is_some() && decision.answer != Answer::Pass;
            if used_up || decided || !concerns(&entry.fault, path) {
                continue;
            }
            let ratio = entry.fault.rate.ratio();
            let hit = match entry.fault.kind {
                // A viewer that asks again for what is missing must not find it.
                Kind::MissingSegments => fixed_chance(self.seed, path) < ratio,
                Kind::Death { .. } => false,
                _ => chance() < ratio,
            };
            if !hit {
                continue;
            }
            entry.strikes += 1;
            match entry.fault.kind {
                Kind::Delay { time, jitter } => decision.delay += time + jitter.mul_f64(chance()),
                Kind::SlowFirstByte(time) => decision.first_byte += time,
                Kind::Bandwidth(bits) => {
                    decision.bits_per_second =
                        Some(decision.bits_per_second.map_or(bits, |now| now.min(bits)));
                }
                _ => decision.answer = answers.unwrap_or(decision.answer),
            }
        }
        decision
    }
}

/// The answer that a kind leads to; none of those that only slow down.
const fn answer(id: u64, kind: &Kind) -> Option<Answer> {
    Some(match kind {
        Kind::Status(code) => Answer::Status(*code),
        Kind::StalledPlaylist => Answer::Stalled(id),
        Kind::RegressingPlaylist(segments) => Answer::Regressed(*segments),
        Kind::MissingSegments => Answer::Status(404),
        Kind::Drop => Answer::Drop,
        Kind::Truncate(share) => Answer::Truncated(*share),
        Kind::Delay { .. } | Kind::SlowFirstByte(_) | Kind::Bandwidth(_) | Kind::Death { .. } => return None,
    })
}

/// Whether a fault is about this path at all.
fn concerns(fault: &Fault, path: &str) -> bool {
    if let Some(pattern) = &fault.path {
        return pattern.fits(path);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let of = classify::kind(ResponseHints { name, ..ResponseHints::default() });
    match fault.kind {
        Kind::StalledPlaylist | Kind::RegressingPlaylist(_) => of == exchange::Kind::Playlist,
        Kind::MissingSegments => of == exchange::Kind::Segment,
        _ => !own(path),
    }
}

/// Pages for those who watch the origin; they tell the truth unless a pattern names them.
fn own(path: &str) -> bool {
    matches!(path, "/health" | "/nginx_status") || path.starts_with("/files/json/")
}

/// A number from 0 to below 1 that is always the same for a path (FNV-1a, then mixed).
fn fixed_chance(seed: u64, path: &str) -> f64 {
    let bytes = seed.to_le_bytes().into_iter().chain(path.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Neighbouring names differ in their last letters only, which FNV leaves in the low bits.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn book(specs: &[&str]) -> Book {
        let mut book = Book::new(1);
        for spec in specs {
            book.add(spec.parse().unwrap());
        }
        book
    }

    fn never() -> f64 {
        panic!("chance was asked")
    }

    #[test]
    fn usual_paths_follow_from_the_kind() {
        for (spec, playlist, segment) in [
            ("status=503", true, true),
            ("stalled-playlist", true, false),
            ("regressing-playlist", true, false),
            ("missing-segments", false, true),
            ("drop,path=*.m3u8", true, false),
        ] {
            let hits = |path: &str| book(&[spec]).decide(path, &mut || 0.0) != Decision::NONE;
            assert_eq!((hits("/stream.m3u8"), hits("/low/seg_1.ts")), (playlist, segment), "{spec}");
            assert!(!hits("/health") && !hits("/files/json/"), "{spec}");
        }
        let named = book(&["status=503,path=/health"]).decide("/health", &mut || 0.0);
        assert_eq!(named.answer, Answer::Status(503));
    }

    #[test]
    fn slowness_adds_up_and_the_oldest_answer_holds() {
        let mut book = book(&[
            "delay=100ms,jitter=100ms",
            "delay=1s",
            "bandwidth=2M",
            "bandwidth=1M",
            "slow-first-byte=3s",
            "status=503",
            "drop",
        ]);
        let decision = book.decide("/seg_1.ts", &mut || 0.5);
        assert_eq!(
            decision,
            Decision {
                delay: Duration::from_millis(1150),
                first_byte: Duration::from_secs(3),
                bits_per_second: Some(1_000_000),
                answer: Answer::Status(503),
            }
        );
        assert_eq!(
            book.entries().iter().map(|entry| entry.strikes).collect::<Vec<_>>(),
            [1, 1, 1, 1, 1, 1, 0]
        );
    }

    #[test]
    fn a_fault_ends_after_its_count_and_when_it_is_turned_off() {
        let mut book = book(&["status=500,count=2", "status=404"]);
        let mut ask = || book.decide("/a.ts", &mut || 0.0).answer;
        assert_eq!([ask(), ask(), ask()].map(|answer| answer), [500, 500, 404].map(Answer::Status));
        assert!(book.remove(2).is_some() && book.remove(2).is_none());
        assert_eq!(book.decide("/a.ts", &mut || 0.0), Decision::NONE);
        assert_eq!(book.add("drop".parse().unwrap()), 3, "numbers are not used again");
        book.clear();
        assert_eq!(book.entries(), []);
    }

    #[test]
    fn a_missing_segment_stays_missing() {
        let mut book = book(&["missing-segments,rate=30%"]);
        let mut missing = 0;
        for number in 0..1000 {
            let path = format!("/seg_{number:05}.ts");
            let first = book.decide(&path, &mut never);
            assert_eq!(book.decide(&path, &mut never), first);
            missing += u32::from(first.answer == Answer::Status(404));
        }
        assert!((250..350).contains(&missing), "about 30 % of them: {missing}");
    }

    #[test]
    fn death_is_not_about_requests() {
        let mut book = book(&["encoder-death,every=5s"]);
        assert_eq!(book.decide("/a.ts", &mut never), Decision::NONE);
        book.strike(1);
        assert_eq!(book.entries()[0].strikes, 1);
    }

    proptest! {
        #[test]
        fn a_rate_is_met(rate in 1_u32..=100, seed in any::<u64>()) {
            let mut book = book(&[&format!("status=503,rate={rate}%")]);
            // A simple generator of numbers is enough here.
            let mut state = seed;
            let mut chance = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let hits = (0..4000).filter(|_| book.decide("/a.ts", &mut chance) != Decision::NONE).count();
            let expected = f64::from(rate) * 40.0;
            prop_assert!((hits as f64 - expected).abs() < 6.0 * (expected.max(10.0)).sqrt());
        }
    }
}
