//! Viewers beside records of hls.js: the same playlists at the same times, the same transfers, the same faults.
//!
//! The records are in `tests/hlsjs`; `PLAYER_RECORDS` names another directory with the same files.

use std::path::PathBuf;

use hls_swarm_player::interface::FetchFailure;
use hls_swarm_player::{Estimator, Preset};
use serde_json::Value;

use super::world::{Effect, Lists, Run, World, live_text, near};

/// The events of a record; times are milliseconds.
struct Record {
    events: Vec<Value>,
}

fn number(event: &Value, name: &str) -> Option<f64> {
    event[name].as_f64()
}

fn integer(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap()
}

impl Record {
    #[allow(
        clippy::disallowed_methods,
        clippy::panic,
        reason = "the records are files; the crate itself reads none"
    )]
    fn read(name: &str) -> Self {
        let here = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hlsjs"));
        let directory = std::env::var_os("PLAYER_RECORDS").map_or_else(here, PathBuf::from);
        let path = directory.join(name).with_extension("json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { events: serde_json::from_str(&text).unwrap() }
    }

    fn all<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["what"] == what)
    }

    /// Seconds since the viewer pressed "play".
    fn seconds(&self, event: &Value, name: &str) -> Option<f64> {
        let play = self.all("play").next().and_then(|event| number(event, "t")).unwrap();
        number(event, name).map(|at| (at - play) / 1000.0)
    }

    fn at(&self, event: &Value) -> f64 {
        self.seconds(event, "t").unwrap()
    }

    fn end(&self) -> f64 {
        self.at(self.events.last().unwrap())
    }

    /// The stalls of the video: when they began, and how long they were.
    fn stalls(&self) -> Vec<(f64, f64)> {
        let (mut playing, mut since, mut stalls) = (false, None, Vec::new());
        for event in &self.events {
            match event["what"].as_str().unwrap() {
                "waiting" if playing => since = Some(self.at(event)),
                "playing" => {
                    playing = true;
                    stalls.extend(since.take().map(|since| (since, self.at(event) - since)));
                }
                _ => {}
            }
        }
        stalls
    }

    /// The level of each segment that was played: that of its last load.
    fn levels(&self) -> Vec<(u64, u64)> {
        let mut levels: Vec<(u64, u64)> = Vec::new();
        for event in self.all("FRAG_BUFFERED") {
            let (segment, level) = (integer(event, "sn"), integer(event, "level"));
            levels.retain(|(other, _)| *other != segment);
            levels.push((segment, level));
        }
        levels.sort_unstable();
        levels
    }

    /// The last segment listed, by time: between the load that did not have it yet and the one that had it.
    fn listed(&self) -> Vec<(f64, u64)> {
        let mut listed: Vec<(f64, u64)> = Vec::new();
        let mut before = 0.0;
        for event in self.all("LEVEL_LOADED") {
            let (at, to) = (self.seconds(event, "first").unwrap(), integer(event, "to"));
            match listed.last() {
                None => listed.push((0.0, to)),
                Some((_, last)) if to > *last => listed.push((f64::midpoint(before, at), to)),
                Some(_) => {}
            }
            before = at;
        }
        listed
    }

    /// Seconds to the first byte, seconds of the body, and bytes of the request of a path at a time.
    fn transfer(&self, path: &str, at: f64) -> Option<(f64, f64, u64)> {
        let level = match path.strip_prefix("/v") {
            Some(rest) => rest.split('/').next()?.parse().ok()?,
            // The only variant, or the multivariant playlist.
            None if self.bitrates().len() == 1 => 0,
            None => return None,
        };
        let times = |event: &Value, end: &str| {
            let [start, first, end] = ["start", "first", end].map(|name| self.seconds(event, name));
            Some((first? - start?, end? - first?, integer(event, "bytes")))
        };
        let Some(segment) = path.strip_suffix(".ts").and_then(|path| path.rsplit('/').next()) else {
            // The load of a playlist that was nearest in time.
            let distance = |event: &&Value| (self.seconds(event, "start").unwrap() - at).abs();
            let nearest =
                self.all("LEVEL_LOADED").min_by(|one, other| distance(one).total_cmp(&distance(other)));
            return times(nearest?, "end");
        };
        let segment: u64 = segment.parse().unwrap();
        let is_it = |event: &&Value| integer(event, "sn") == segment && integer(event, "level") == level;
        // hls.js counts the time in which it parses a segment.
        if let Some(event) = self.all("FRAG_BUFFERED").find(is_it) {
            return times(event, "parsed");
        }
        if let Some(event) = self.all("FRAG_LOAD_EMERGENCY_ABORTED").find(is_it) {
            let (start, now) = (self.seconds(event, "start")?, self.at(event));
            let Some(first) = self.seconds(event, "first") else { return Some((8.0, 0.01, 500_000)) };
            // It would have gone on at this rate.
            let (bytes, bitrate) = (integer(event, "bytes"), self.bitrates()[level as usize]);
            let whole = bitrate / 4.0;
            return Some((first - start, (now - first) * whole / bytes.max(1) as f64, whole as u64));
        }
        // What hls.js did not load: as long as something else of about that time.
        let distance = |event: &&Value| (self.seconds(event, "start").unwrap() - at).abs();
        let nearest =
            self.all("FRAG_BUFFERED").min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        let (first, body, bytes) = times(nearest, "parsed")?;
        let here = self.bitrates()[level as usize] / 4.0 * 0.9;
        Some((first, body * here / bytes as f64, here as u64))
    }

    fn bitrates(&self) -> Vec<f64> {
        self.of_levels("levels")
    }

    fn of_levels(&self, name: &str) -> Vec<f64> {
        let levels = self.all("MANIFEST_PARSED").next().unwrap()[name].as_array().unwrap();
        levels.iter().map(|level| level.as_f64().unwrap_or(0.0)).collect()
    }

    /// Segments that were not there, and their levels.
    fn missing(&self) -> Vec<(u64, u64)> {
        let mut last = (0, 0);
        let mut missing = Vec::new();
        for event in &self.events {
            match event["what"].as_str().unwrap() {
                "FRAG_LOADING" => last = (integer(event, "sn"), integer(event, "level")),
                "ERROR" if event["details"] == "fragLoadError" => missing.push(last),
                _ => {}
            }
        }
        missing
    }

    /// A viewer in the world of the record.
    fn replay(self) -> (Self, Run) {
        let bitrates = self.bitrates();
        let mut main = "#EXTM3U\n".to_owned();
        // The test origin lists the highest variant first.
        let averages = self.of_levels("averages");
        for (level, bitrate) in bitrates.iter().enumerate().rev() {
            let average = averages[level];
            main += &format!(
                "#EXT-X-STREAM-INF:BANDWIDTH={bitrate},AVERAGE-BANDWIDTH={average},RESOLUTION=16x9\n\
                 /v{level}/list.m3u8\n"
            );
        }
        let listed = self.listed();
        let single = bitrates.len() == 1;
        let lists: Lists = Box::new(move |path, at| {
            if path == "/main.m3u8" && !single {
                return Some(main.clone());
            }
            let (_, last) = listed.iter().rev().find(|(since, _)| *since <= at).unwrap_or(&listed[0]);
            Some(live_text(last + 1, 10.min(last + 1), 2.0, ""))
        });
        let record = std::rc::Rc::new(self);
        let mut world = World::new(lists);
        for (segment, level) in record.missing() {
            let gone = Effect::Fails(FetchFailure::Status(404));
            world = world.fault(&format!("/v{level}/{segment}.ts"), 0.0..1e9, gone);
        }
        let transfers = std::rc::Rc::clone(&record);
        world.transfers = Box::new(move |path, at| transfers.transfer(path, at));
        let until = record.end();
        let run = world.play(Preset::HlsJs, until);
        (std::rc::Rc::into_inner(record).unwrap(), run)
    }
}

/// Levels without repetitions, and the segment that each begins with.
fn switches(levels: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut switches: Vec<(u64, u64)> = Vec::new();
    for (segment, level) in levels {
        if switches.last().is_none_or(|(_, last)| last != level) {
            switches.push((*segment, *level));
        }
    }
    switches
}

/// Compares what a viewer did with what hls.js did.
fn assert_alike(name: &str) {
    let (record, run) = Record::read(name).replay();
    let mut levels: Vec<(u64, u64)> = run
        .arrived
        .iter()
        .filter_map(|(_, fetch)| {
            let level = record.bitrates().len() as u64 - 1 - u64::from(fetch.variant);
            Some((fetch.segment.as_ref()?.sequence, level))
        })
        .collect();
    levels.sort_unstable();
    let real = record.levels();
    assert_eq!(levels[0].0, real[0].0, "{name}: the segment that playback begins with");

    let (own, theirs) = (switches(&levels), switches(&real));
    let of = |switches: &[(u64, u64)]| switches.iter().map(|(_, level)| *level).collect::<Vec<_>>();
    assert_eq!(of(&own), of(&theirs), "{name}: {own:?} beside {theirs:?}");
    for (own, theirs) in own.iter().zip(&theirs) {
        assert!(own.0.abs_diff(theirs.0) <= 1, "{name}: {own:?} beside {theirs:?}");
    }

    let first_frame = record.at(record.all("first frame").next().unwrap());
    let startup = run.player.figures().startup.unwrap().as_secs_f64();
    let decoding = first_frame - startup;
    assert!((0.0..1.0).contains(&decoding), "{name}: {startup} beside {first_frame}");

    let (own, theirs) = (run.stalls(), record.stalls());
    assert_eq!(own.len(), theirs.len(), "{name}: {own:?} beside {theirs:?}");
    for (index, ((ended, stalled, _), (began, real))) in own.iter().zip(&theirs).enumerate() {
        // 150 ms, and the 100 ms after which hls.js looks again. The video began later, by the time of its decoder,
        // and so its buffer lasted longer.
        let longer = if index == 0 { decoding } else { 0.0 };
        assert!(near(*ended, began + real, 0.25), "{name}: a stall until {ended} beside {}", began + real);
        assert!(near(stalled - longer, *real, 0.25), "{name}: {stalled} s beside {real} s from {began}");
    }

    // The multivariant playlist is not among hls.js's events.
    let multivariant = usize::from(record.bitrates().len() > 1);
    let theirs = multivariant + record.all("LEVEL_LOADED").count() + record.all("FRAG_LOADING").count();
    let own = run.requests.len();
    assert!(own.abs_diff(theirs) * 10 <= theirs.max(20), "{name}: {own} requests beside {theirs}");
}

#[test]
fn without_a_fault_a_viewer_does_what_hlsjs_does() {
    assert_alike("clean");
}

#[test]
fn a_late_segment_stalls_a_viewer_as_it_stalls_hlsjs() {
    assert_eq!(Record::read("late").stalls().len(), 1, "the record has lost its stall");
    assert_alike("late");
}

#[test]
fn a_missing_segment_is_skipped_as_by_hlsjs() {
    assert!(!Record::read("missing").missing().is_empty(), "the record has lost its missing segment");
    assert_alike("missing");
}

#[test]
fn under_a_cap_a_viewer_switches_as_hlsjs_does() {
    assert!(switches(&Record::read("cap").levels()).len() > 1, "the record has lost its switches");
    assert_alike("cap");
}

#[test]
fn a_playlist_that_stands_still_stalls_a_viewer_as_it_stalls_hlsjs() {
    assert_eq!(Record::read("still").stalls().len(), 1, "the record has lost its stall");
    assert_alike("still");
}

#[test]
fn the_estimator_gives_the_estimates_of_hlsjs() {
    let mut compared = 0;
    for name in ["clean", "late", "missing", "cap", "still"] {
        let record = Record::read(name);
        let mut estimator = Estimator::default();
        let equal = |own: f64, theirs: f64, event: &Value| {
            assert!((own / theirs - 1.0).abs() <= 1e-6, "{name}: {own} beside {event}");
        };
        for event in &record.events {
            match event["what"].as_str().unwrap() {
                "estimator" => estimator = Estimator::new(number(event, "default").unwrap()),
                "ttfb" => {
                    estimator.sample_ttfb(number(event, "ms").unwrap());
                    equal(estimator.ttfb_ms(), number(event, "estimate").unwrap(), event);
                }
                "sample" => {
                    estimator.sample(number(event, "ms").unwrap(), integer(event, "bytes"));
                    equal(estimator.bits(), number(event, "estimate").unwrap(), event);
                    compared += 1;
                }
                _ => {}
            }
        }
    }
    assert!(compared > 50, "{compared} estimates");
}

#[test]
fn transfers_become_the_samples_of_hlsjs() {
    // From the times of the transfers alone, without what hls.js passed to its estimator.
    for name in ["clean", "missing", "still"] {
        let record = Record::read(name);
        let mut estimator = Estimator::default();
        let mut estimates = record.all("sample").map(|event| number(event, "estimate").unwrap());
        for event in record.all("FRAG_BUFFERED") {
            let [start, first, parsed] =
                ["start", "first", "parsed"].map(|name| number(event, name).unwrap());
            estimator.loaded(first - start, parsed - start, integer(event, "bytes"));
            let theirs = estimates.next().unwrap();
            assert!(
                (estimator.bits() / theirs - 1.0).abs() <= 1e-6,
                "{name}: {} beside {theirs}",
                estimator.bits()
            );
        }
    }
}

/// hls.js on the low-latency origin: no stall, near its target, and each part once.
#[test]
fn hlsjs_plays_the_parts_of_the_origin_near_its_target() {
    let record = Record::read("parts");
    assert_eq!(record.stalls(), []);
    let mut parts = std::collections::BTreeSet::new();
    for event in record.all("FRAG_LOADED") {
        let Some(part) = event["part"].as_u64() else { continue };
        assert!(parts.insert((integer(event, "sn"), part)), "twice: {event}");
    }
    // Four parts in two seconds, for 35 s at least.
    assert!(parts.len() >= 70, "{} parts", parts.len());
    let ticks = record.all("tick").filter(|event| record.at(event) > 10.0);
    let off = ticks.map(|event| number(event, "latency").unwrap() - number(event, "target").unwrap());
    // It begins to play at its target, which is 1.5 s, and stays as far behind as that took: it does not catch up.
    assert!(off.into_iter().all(|off| (0.0..0.75).contains(&off)), "{:?}", record.all("tick").last());
    let errors: Vec<_> = record.all("ERROR").filter(|event| event["fatal"] == true).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let target = record.all("tick").last().and_then(|event| number(event, "target"));
    assert_eq!(target, Some(1.5));
}
