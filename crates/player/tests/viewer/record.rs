//! Records of what hls.js did, and viewers in their world: the same playlists at the same times, the same transfers, the same
//! faults.
//!
//! The records are in `tests/hlsjs`; `PLAYER_RECORDS` names another directory with the same files.

use std::path::PathBuf;

use hls_swarm_player::cmcd::CmcdVersion;
use hls_swarm_player::interface::FetchFailure;
use hls_swarm_player::{Config, Fetch, Preset};
use serde_json::Value;
use url::Url;

use super::world::{Effect, Lists, Run, World, live_text, seconds};

/// Loads of a playlist within this time, seconds, had the same answer.
const SAME_LOAD: f64 = 0.1;

/// Looks at a segment within this time, seconds, saw the same of it.
const SAME_LOOK: f64 = 0.03;

/// The events of a record; times are milliseconds.
pub struct Record {
    pub events: Vec<Value>,
}

pub fn number(event: &Value, name: &str) -> Option<f64> {
    event[name].as_f64()
}

pub fn integer(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap()
}

impl Record {
    #[allow(
        clippy::disallowed_methods,
        clippy::panic,
        reason = "the records are files; the crate itself reads none"
    )]
    pub fn read(name: &str) -> Self {
        let here = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hlsjs"));
        let directory = std::env::var_os("PLAYER_RECORDS").map_or_else(here, PathBuf::from);
        let path = directory.join(name).with_extension("json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { events: serde_json::from_str(&text).unwrap() }
    }

    pub fn all<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["what"] == what)
    }

    /// Seconds since the viewer pressed "play".
    pub fn seconds(&self, event: &Value, name: &str) -> Option<f64> {
        let play = self.all("play").next().and_then(|event| number(event, "t")).unwrap();
        number(event, name).map(|at| (at - play) / 1000.0)
    }

    pub fn at(&self, event: &Value) -> f64 {
        self.seconds(event, "t").unwrap()
    }

    pub fn end(&self) -> f64 {
        self.at(self.events.last().unwrap())
    }

    /// The stalls of the video: when they began, and how long they were.
    pub fn stalls(&self) -> Vec<(f64, f64)> {
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

    /// The level of each segment that was played: that of its last load; and the one that is chosen for what follows.
    pub fn levels(&self) -> Vec<Segment> {
        let mut levels: Vec<Segment> = Vec::new();
        for event in self.all("FRAG_BUFFERED") {
            let segment =
                Segment { number: integer(event, "sn"), level: integer(event, "level"), at: self.at(event) };
            levels.retain(|other| other.number != segment.number);
            levels.push(segment);
        }
        levels.sort_unstable_by_key(|segment| segment.number);
        if let (Some(last), Some(chosen)) = (levels.last(), self.all("LEVEL_SWITCHING").last()) {
            let (level, at) = (integer(chosen, "level"), self.at(chosen));
            levels.push(Segment { number: last.number + 1, level, at });
        }
        levels
    }

    /// The last segment that the playlist of a level listed at a time: what hls.js was answered at about that time, or else
    /// what was seen of the playlist.
    fn last_listed(&self, level: u64, at: f64) -> u64 {
        let of_level = |event: &&Value| integer(event, "level") == level;
        let distance = |event: &Value| (self.seconds(event, "start").unwrap() - at).abs();
        let loads = self.all("LEVEL_LOADED").filter(of_level);
        let nearest = loads.min_by(|one, other| distance(one).total_cmp(&distance(other)));
        if let Some(answered) = nearest.filter(|event| distance(event) < SAME_LOAD) {
            return integer(answered, "to");
        }
        let seen = self.all("listed").filter(of_level).take_while(|event| self.at(event) <= at);
        integer(seen.last().unwrap(), "to")
    }

    /// The level of a path; `None` for the multivariant playlist.
    fn level(&self, path: &str) -> Option<u64> {
        match path.strip_prefix("/v") {
            Some(rest) => rest.split('/').next()?.parse().ok(),
            // The only variant.
            None => (self.bitrates().len() == 1).then_some(0),
        }
    }

    /// Seconds to the first byte, seconds of the body, and bytes of the request of a path at a time.
    fn transfer(&self, path: &str, at: f64) -> Option<(f64, f64, u64)> {
        let level = self.level(path)?;
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
            let (bytes, whole) = (integer(event, "bytes"), integer(event, "total"));
            return Some((first - start, (now - first) * whole as f64 / bytes.max(1) as f64, whole));
        }
        // What hls.js did not load: as long as something else of about that time.
        let distance = |event: &&Value| (self.seconds(event, "start").unwrap() - at).abs();
        let nearest =
            self.all("FRAG_BUFFERED").min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        let (first, body, bytes) = times(nearest, "parsed")?;
        let here = self.bitrates()[level as usize] / 4.0 * 0.9;
        Some((first, body * here / bytes as f64, here as u64))
    }

    /// Bytes of a segment that had arrived a number of seconds after its request.
    fn progress(&self, path: &str, after: f64) -> Option<u64> {
        let level = self.level(path)?;
        let segment: u64 = path.strip_suffix(".ts")?.rsplit('/').next()?.parse().unwrap();
        let is_it = |event: &&Value| {
            let begun = event["first"].is_number();
            begun && integer(event, "sn") == segment && integer(event, "level") == level
        };
        let since = |event: &Value, at: f64| at - self.seconds(event, "start").unwrap();
        let looks = self.all("progress").filter(is_it);
        let looks = looks.map(|event| (since(event, self.at(event)), integer(event, "bytes") as f64));
        let first = self.all("progress").find(is_it)?;
        let first = (since(first, self.seconds(first, "first").unwrap()), 0.0);
        let points: Vec<(f64, f64)> = std::iter::once(first).chain(looks).collect();
        // At the moment at which hls.js looked.
        let distance = |point: &(f64, f64)| (point.0 - after).abs();
        let nearest = points.iter().skip(1).min_by(|one, other| distance(one).total_cmp(&distance(other)));
        if let Some(look) = nearest.filter(|look| distance(look) < SAME_LOOK) {
            return Some(look.1 as u64);
        }
        let between = points.windows(2).find(|pair| (pair[0].0..=pair[1].0).contains(&after))?;
        let [(from, less), (to, more)] = [between[0], between[1]];
        Some((less + (more - less) * (after - from) / (to - from).max(1e-9)) as u64)
    }

    pub fn bitrates(&self) -> Vec<f64> {
        self.of_levels("levels")
    }

    fn of_levels(&self, name: &str) -> Vec<f64> {
        let levels = self.all("MANIFEST_PARSED").next().unwrap()[name].as_array().unwrap();
        levels.iter().map(|level| level.as_f64().unwrap_or(0.0)).collect()
    }

    /// Segments that were not there, and their levels.
    pub fn missing(&self) -> Vec<(u64, u64)> {
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

    /// Whether it plays a media playlist.
    pub fn is_single(&self) -> bool {
        self.bitrates().len() == 1
    }

    /// Whether a playlist that was loaded at about this time listed something new.
    pub fn lists_soon(&self, at: f64) -> bool {
        let mut last = None;
        self.all("LEVEL_LOADED").any(|event| {
            let to = integer(event, "to");
            let is_new = last.replace(to).is_some_and(|last| to > last);
            is_new && (self.at(event) - at).abs() < 0.3
        })
    }

    /// The segments that were loaded once more after a switch: each of their levels, in this order.
    fn repeated(loads: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let again = |place: &usize| loads[..*place].iter().any(|(number, _)| *number == loads[*place].0);
        (0..loads.len()).filter(again).map(|place| loads[place]).collect()
    }

    /// A viewer who sees the first frame when hls.js showed it, and who meets what is chance to a viewer as hls.js met it:
    /// whether a segment is loaded once more after a switch.
    pub fn replay_like_hlsjs(self) -> (Self, Run) {
        let (mut record, run) = self.replay(0.0, 0);
        let first_frame = record.at(record.all("first frame").next().unwrap());
        let startup = run.player.figures().startup.unwrap().as_secs_f64();
        assert!(startup <= first_frame, "{startup} s beside {first_frame} s");
        let loads = |event: &Value| (integer(event, "sn"), integer(event, "level"));
        let theirs = Self::repeated(&record.all("FRAG_BUFFERED").map(loads).collect::<Vec<_>>());
        for seed in 0..100 {
            let (same, run) = record.replay(first_frame - startup, seed);
            let highest = same.bitrates().len() as u64 - 1;
            let load = |(_, fetch): &(f64, Fetch)| {
                Some((fetch.segment.as_ref()?.sequence, highest - u64::from(fetch.variant)))
            };
            let own = Self::repeated(&run.arrived.iter().filter_map(load).collect::<Vec<_>>());
            if own == theirs || seed == 99 {
                return (same, run);
            }
            record = same;
        }
        unreachable!("the last seed returns")
    }

    /// A viewer in the world of the record, who sees the first frame `decoding` seconds after the first segment.
    fn replay(self, decoding: f64, seed: u64) -> (Self, Run) {
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
        let single = bitrates.len() == 1;
        let record = std::rc::Rc::new(self);
        let lists_of = std::rc::Rc::clone(&record);
        let lists: Lists = Box::new(move |path, at| {
            if path == "/main.m3u8" && !single {
                return Some(main.clone());
            }
            let last = lists_of.last_listed(lists_of.level(path)?, at);
            Some(live_text(last + 1, 10.min(last + 1), 2.0, ""))
        });
        let mut world = World::new(lists);
        for (segment, level) in record.missing() {
            let gone = Effect::Fails(FetchFailure::Status(404));
            world = world.fault(&format!("/v{level}/{segment}.ts"), 0.0..1e9, gone);
        }
        let transfers = std::rc::Rc::clone(&record);
        world.seed = seed;
        world.transfers = Box::new(move |path, at| transfers.transfer(path, at));
        let arriving = std::rc::Rc::clone(&record);
        world.progress = Box::new(move |path, after| arriving.progress(path, after));
        let until = record.end();
        let url = Url::parse("http://host/main.m3u8").unwrap();
        let run = world.run(
            Config {
                cmcd: Some(CmcdVersion::V1),
                decoding: seconds(decoding),
                ..Config::new(url, Preset::HlsJs)
            },
            until,
        );
        (std::rc::Rc::into_inner(record).unwrap(), run)
    }
}

/// A segment that was played, its level, and when it was there, or when its level was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub number: u64,
    pub level: u64,
    pub at: f64,
}
