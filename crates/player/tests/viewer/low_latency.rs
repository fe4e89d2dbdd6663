//! Low-Latency HLS: parts, blocking reloads, announced parts, delta updates, and servers that cease to block.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hls_swarm_hls::playlist::{Playlist, read};
use hls_swarm_player::interface::{RequestKind, Role, StallReason};
use hls_swarm_player::{EventKind, Fetch, Preset};
use url::Url;

use super::world::{Run, World, ladder, near};

/// Seconds of a part, and parts of a segment.
const PART: f64 = 0.5;
const PARTS: u64 = 4;
/// Segments in the playlist, and segments at 0 s.
const WINDOW: u64 = 10;
const AHEAD: u64 = 40;

/// A server: when each part is listed, whether it blocks, and what it announces.
#[derive(Clone, Copy)]
struct Server {
    /// Seconds that parts are late, from when to when.
    late: (f64, f64, f64),
    blocks_until: f64,
    /// Whether the announced parts never come.
    lies: bool,
}

const HONEST: Server = Server { late: (0.0, 0.0, 0.0), blocks_until: f64::INFINITY, lies: false };

/// The number of parts that there are at a time.
impl Server {
    /// When the part with this number, from the first segment on, is listed.
    fn listed_at(&self, part: u64) -> f64 {
        let at = (part as f64 - (AHEAD * PARTS) as f64 + 1.0) * PART;
        let (by, from, until) = self.late;
        if (from..until).contains(&at) { at + by } else { at }
    }

    fn parts_at(&self, at: f64) -> u64 {
        let on_time = AHEAD * PARTS + (at.max(0.0) / PART) as u64;
        (0..=on_time).rev().find(|part| *part == 0 || self.listed_at(part - 1) <= at + 1e-9).unwrap_or(0)
    }

    fn text(&self, folder: &str, others: &str, at: f64) -> String {
        let all = self.parts_at(at);
        let (next, rest) = (all / PARTS, all % PARTS);
        let first = next.saturating_sub(WINDOW);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-PART-INF:PART-TARGET={PART}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,PART-HOLD-BACK=1.5\n"
        );
        let part = |text: &mut String, number: u64, index: u64| {
            let independent = if index == 0 { ",INDEPENDENT=YES" } else { "" };
            writeln!(text, "#EXT-X-PART:DURATION={PART},URI=\"{folder}{number}.{index}.mp4\"{independent}")
                .unwrap();
        };
        for number in first..next {
            if number + 3 >= next {
                (0..PARTS).for_each(|index| part(&mut text, number, index));
            }
            write!(text, "#EXTINF:2,\n{folder}{number}.mp4\n").unwrap();
        }
        (0..rest).for_each(|index| part(&mut text, next, index));
        let lie = if self.lies { "never" } else { "" };
        writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{folder}{next}.{rest}.mp4{lie}\"").unwrap();
        let (last, index) = ((all - 1) / PARTS, (all - 1) % PARTS);
        for other in others.split(' ').filter(|other| !other.is_empty()) {
            writeln!(text, "#EXT-X-RENDITION-REPORT:URI=\"{other}\",LAST-MSN={last},LAST-PART={index}")
                .unwrap();
        }
        text
    }

    /// The response to a request for a playlist, with a delta update if one is asked for.
    fn list(&self, address: &str, others: &str, at: f64) -> String {
        let folder = address.split('?').next().unwrap().rsplit_once('/').unwrap().0.to_owned() + "/";
        let text = self.text(&folder, others, at);
        if !address.contains("_HLS_skip=YES") {
            return text;
        }
        match read(&text, &Url::parse("http://host/").unwrap()).unwrap().playlist {
            Playlist::Media(media) => media.delta(media.skippable()).to_string(),
            Playlist::Multivariant(_) => unreachable!(),
        }
    }

    /// When the server answers.
    fn held(&self, url: &Url, at: f64) -> Result<f64, u16> {
        let query: BTreeMap<_, _> = url.query_pairs().collect();
        let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok());
        if let Some(sequence) = number("_HLS_msn") {
            let part = sequence * PARTS + number("_HLS_part").unwrap_or(PARTS - 1);
            if part > self.parts_at(at) + 3 * PARTS {
                return Err(400);
            }
            return Ok(if at < self.blocks_until { self.listed_at(part).max(at) } else { at });
        }
        let name = url.path().rsplit('/').next().unwrap();
        if name.ends_with("never") {
            return Err(404);
        }
        let mut numbers = name.split('.');
        let part = numbers.next().and_then(|number| number.parse::<u64>().ok()).zip(numbers.next());
        match part.and_then(|(number, index)| Some(number * PARTS + index.parse::<u64>().ok()?)) {
            // A part that is announced is held, and one that is not does not exist.
            Some(part) if part > self.parts_at(at) => Err(404),
            Some(part) => Ok(self.listed_at(part).max(at)),
            None => Ok(at),
        }
    }

    fn world(self) -> World {
        let mut world = World::new(Box::new(move |address, at| Some(self.list(address, "", at))));
        world.bytes = Box::new(|_| 100_000);
        world.held = Box::new(move |url, at| self.held(url, at));
        world
    }
}

/// The parts that were requested, by number, and the whole segments.
fn requested(run: &Run) -> (Vec<u64>, Vec<u64>) {
    let (mut parts, mut segments) = (Vec::new(), Vec::new());
    for (_, fetch) in &run.requests {
        match (fetch.kind, &fetch.segment) {
            (RequestKind::Part, Some(part)) => parts.push(part.sequence * PARTS + part.part.unwrap()),
            (RequestKind::Segment, Some(segment)) => segments.push(segment.sequence),
            _ => {}
        }
    }
    (parts, segments)
}

fn follow_each_other(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[test]
fn parts_are_played_near_the_live_edge() {
    for preset in Preset::ALL {
        let run = HONEST.world().play(preset, 60.0);
        let (parts, segments) = requested(&run);
        assert_eq!((run.stalls(), &segments[..]), (vec![], &[][..]), "{preset}");
        assert!(
            follow_each_other(&parts),
            "{preset}: none is asked for twice, and none is skipped: {parts:?}"
        );
        assert!((118..=126).contains(&parts.len()), "{preset}: {}", parts.len());
        let figures = run.player.figures();
        assert_eq!(
            (figures.wrong_hints, figures.unblocked_reloads, figures.late_parts),
            (0, 0, 0),
            "{preset}"
        );
        assert!(figures.parts >= 117, "{preset}: {figures:?}");
        // Three parts behind the end of what was listed, plus the age of that.
        let (snapshot, _) = run.snapshots[30];
        let latency = snapshot.latency_by_edge.unwrap().as_secs_f64();
        assert_eq!(snapshot.target_latency.unwrap().as_secs_f64(), 1.5, "{preset}");
        // Without a precise start, playback begins with an independent part, and those are 2 s apart.
        assert!((1.0..4.3).contains(&latency), "{preset}: {latency}");
        // Two reloads a second, each of which waits.
        assert!((118..=126).contains(&run.reloads().len()), "{preset}: {}", run.reloads().len());
        let blocked = figures.blocked.as_secs_f64();
        assert!((50.0..60.0).contains(&blocked), "{preset}: {blocked}");
    }
}

#[test]
fn hlsjs_requests_listed_parts_and_others_announced_ones() {
    for (preset, early) in [(Preset::HlsJs, false), (Preset::Simple, true)] {
        let run = HONEST.world().play(preset, 30.0);
        let waited = run.requests.iter().filter(|(_, fetch)| fetch.kind == RequestKind::Part && fetch.waits);
        assert_eq!(waited.count() > 50, early, "{preset}");
    }
}

#[test]
fn delta_updates_are_asked_for_and_completed() {
    let run = HONEST.world().play(Preset::HlsJs, 30.0);
    let asked =
        |name: &str| run.requests.iter().filter(|(_, fetch)| fetch.url.as_str().contains(name)).count();
    let reloads = run.reloads().len();
    assert_eq!((asked("_HLS_msn="), asked("_HLS_skip=YES")), (reloads - 1, reloads - 1));
    assert_eq!(run.stalls(), []);
}

#[test]
fn a_server_that_ceases_to_block_is_left_for_whole_segments() {
    for preset in [Preset::HlsJs, Preset::Simple] {
        let run = Server { blocks_until: 20.0, ..HONEST }.world().play(preset, 60.0);
        let (parts, segments) = requested(&run);
        assert!(
            follow_each_other(&parts) && follow_each_other(&segments),
            "{preset}: {parts:?} {segments:?}"
        );
        let last = *parts.last().unwrap();
        // The segment whose first parts were had is completed with the whole one, or the next one follows.
        assert!((last / PARTS..=last / PARTS + 1).contains(&segments[0]), "{preset}: {last} {segments:?}");
        assert_eq!(run.player.figures().unblocked_reloads, 3, "{preset}");
        let later = run.reloads().iter().filter(|at| **at > 25.0).count();
        assert!(later <= 36, "{preset}: {later} reloads, as of any live stream");
        let played = run.player.figures().played.as_secs_f64();
        assert!(played > 50.0, "{preset}: {played}");
        assert!(run.kinds().iter().all(|kind| !matches!(kind, EventKind::Skipped { .. })), "{preset}");
    }
}

#[test]
fn announced_parts_that_never_come_are_counted_and_do_no_harm() {
    let run = Server { lies: true, ..HONEST }.world().play(Preset::Simple, 30.0);
    assert_eq!(run.stalls(), []);
    assert!(run.player.figures().wrong_hints > 50, "{:?}", run.player.figures());
    let paths: Vec<_> = run.paths().into_iter().filter(|path| path.ends_with("mp4")).collect();
    let mut once = paths.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), paths.len(), "each part is asked for once");
}

#[test]
fn late_parts_stall_playback_and_are_counted() {
    let run = Server { late: (3.0, 20.0, 20.4), ..HONEST }.world().play(Preset::HlsJs, 60.0);
    let figures = run.player.figures();
    assert_eq!(figures.late_parts, 1, "{figures:?}");
    let stalls = run.stalls();
    assert_eq!(stalls.len(), 1, "{stalls:?}");
    assert!(stalls[0].2 == StallReason::NoNewMedia && stalls[0].1 < 3.0, "{stalls:?}");
}

#[test]
fn a_switch_asks_for_what_the_rendition_report_says() {
    let server = HONEST;
    let lists = Box::new(move |address: &str, at: f64| {
        let others = if address.starts_with("/v0") { "/v1/list.m3u8" } else { "/v0/list.m3u8" };
        Some(server.list(address, others, at))
    });
    let mut world = World::new(ladder(&[500_000, 2_400_000], lists));
    world.held = Box::new(move |url, at| server.held(url, at));
    world.bytes = Box::new(|path| if path.starts_with("/v0") { 30_000 } else { 150_000 });
    let run = world.play(Preset::HlsJs, 40.0);
    let (parts, segments) = requested(&run);
    assert!(follow_each_other(&parts) && segments.is_empty(), "{parts:?} {segments:?}");
    let switches = run.switches();
    assert!(switches.iter().any(|(_, to)| *to == 1), "{switches:?}");
    let first = run.requests.iter().find(|(_, fetch)| fetch.url.path() == "/v1/list.m3u8").unwrap();
    assert!(first.1.url.query().is_some_and(|query| query.starts_with("_HLS_msn=")), "{}", first.1.url);
    assert_eq!(run.stalls(), []);
    let (snapshot, _) = run.snapshots[35];
    assert!(near(snapshot.latency_by_edge.unwrap().as_secs_f64(), 2.0, 1.1), "{snapshot:?}");
}

/// A stream of video with separate audio, of which both have parts.
fn with_audio(address: &str, at: f64) -> Option<String> {
    if address != "/main.m3u8" {
        return Some(HONEST.list(address, "", at));
    }
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"/a/list.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=900000,AUDIO=\"a\"\n/v/list.m3u8\n";
    Some(text.to_owned())
}

#[test]
fn parts_of_separate_audio_are_played_with_those_of_the_video() {
    for preset in Preset::ALL {
        let mut world = HONEST.world();
        world.lists = Box::new(with_audio);
        let run = world.play(preset, 40.0);
        let parts = |role: Role| -> Vec<u64> {
            let of_role = run
                .requests
                .iter()
                .filter(|(_, fetch)| fetch.role == role && fetch.kind == RequestKind::Part);
            let parts = of_role.filter_map(|(_, fetch)| fetch.segment.as_ref());
            parts.map(|part| part.sequence * PARTS + part.part.unwrap()).collect()
        };
        let (video, audio) = (parts(Role::Main), parts(Role::Audio));
        assert!(follow_each_other(&video) && follow_each_other(&audio), "{preset}: {video:?} {audio:?}");
        assert!(
            video[0] == audio[0] && video.len().abs_diff(audio.len()) <= 1,
            "{preset}: {video:?} {audio:?}"
        );
        assert!(video.len() > 75 && run.stalls().is_empty(), "{preset}: {} {:?}", video.len(), run.stalls());
        let latency = run.player.snapshot().latency_by_edge.unwrap().as_secs_f64();
        assert!(latency < 2.3, "{preset}: {latency}");
    }
}

#[test]
fn the_key_of_encrypted_parts_is_loaded_once_and_before_them() {
    let mut world = HONEST.world();
    world.lists = Box::new(|address, at| {
        let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"/k\"\n#EXTINF";
        // Segments and parts before it are clear; the first one listed is not played.
        Some(HONEST.list(address, "", at).replacen("#EXTINF", key, 1))
    });
    let run = world.play(Preset::HlsJs, 30.0);
    let keys: Vec<usize> =
        (0..run.requests.len()).filter(|place| run.requests[*place].1.kind == RequestKind::Key).collect();
    let first = run.requests.iter().position(|(_, fetch)| fetch.kind == RequestKind::Part).unwrap();
    assert!(keys.len() == 1 && keys[0] < first, "{keys:?} {first}");
    let (parts, _) = requested(&run);
    assert!(follow_each_other(&parts) && parts.len() > 55 && run.stalls().is_empty(), "{parts:?}");
    let encrypted = |fetch: &Fetch| fetch.segment.as_ref().is_some_and(|part| part.key.is_some());
    let all = run.requests.iter().filter(|(_, fetch)| fetch.kind == RequestKind::Part);
    assert!(all.map(|(_, fetch)| fetch).all(encrypted));
}

#[test]
fn the_time_for_which_playlists_are_held_does_not_count_as_waiting() {
    let run = HONEST.world().play(Preset::HlsJs, 30.0);
    let figures = run.player.figures();
    // Each reload is held for about one part, and nearly all of the time one of them is.
    let held = figures.blocked.as_secs_f64();
    assert!((26.0..30.0).contains(&held), "{held}");
    let reloads =
        run.requests.iter().filter(|(_, fetch)| fetch.waits && fetch.kind == RequestKind::MediaPlaylist);
    let reloads = reloads.count();
    // The last one is under way.
    assert!((reloads - 1..=reloads).contains(&(figures.blocking_reloads as usize)), "{reloads}: {figures:?}");
    assert_eq!((figures.stalled, figures.unblocked_reloads), (std::time::Duration::ZERO, 0));
    let snapshot = run.player.snapshot();
    assert_eq!(snapshot.target_latency, Some(std::time::Duration::from_millis(1500)));
}
