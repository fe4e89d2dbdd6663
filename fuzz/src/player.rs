//! A viewer to which anything happens. `crates/player/tests/viewer/random.rs` does the same with random inputs; here,
//! coverage leads to them.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Playlist, read};
use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_hls::steering::SteeringManifest;
use hls_swarm_player::interface::{FetchFailure, RequestKind, Transfer};
use hls_swarm_player::{
    Algorithm, Config, EventKind, Fetch, Input, Output, Player, Preset, RequestId, Variants,
};
use url::Url;

use crate::planted;

/// The same with pathways, a steering server, and keys.
const STEERED: &str = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steer\",PATHWAY-ID=\"b\"\n\
    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"l\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"a.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"x\",DEFAULT=YES,URI=\"b.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"a\",PATHWAY-ID=\"a\"\nv0.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1500000,AUDIO=\"a\",PATHWAY-ID=\"a\"\nv1.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"b\",PATHWAY-ID=\"b\"\nv2.m3u8\n";
/// Values of PATHWAY-PRIORITY.
const PRIORITIES: [&str; 4] = ["\"a\",\"b\"", "\"b\",\"a\"", "\"c\",\"a\"", ""];
const MAIN: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"a.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"y\",DEFAULT=YES,URI=\"s.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"a\",SUBTITLES=\"s\"\nv0.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1500000,AUDIO=\"a\",SUBTITLES=\"s\"\nv1.m3u8\n";
/// Lines that may be at the head of a playlist or before a segment.
const TAGS: [&str; 8] = [
    "",
    "#EXT-X-GAP\n",
    "#EXT-X-DISCONTINUITY\n",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n",
    "#EXT-X-MAP:URI=\"m\"\n",
    "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n",
    "#EXT-X-START:TIME-OFFSET=-3\n",
    "#EXT-X-SERVER-CONTROL:HOLD-BACK=9\n",
];
const DURATIONS: [&str; 4] = ["2", "0", "7.5", "1000000000"];
/// Most acts of one input: what happens later is hardly new, and slow.
const ACTS: usize = 300;

/// Bytes that decide; 0 once all are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }

    fn media(&mut self, elapsed: Duration) -> String {
        let kind = self.byte();
        let live = (elapsed.as_secs() / 2).saturating_sub(1);
        let first = match kind % 8 {
            0..=4 => live,
            5 => u64::from(self.byte()),
            6 => u64::MAX - 2,
            _ => 0,
        };
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for index in 0..(kind >> 3) % 8 {
            let choice = self.byte();
            text += TAGS[usize::from(choice) % TAGS.len()];
            let duration = if choice & 0x80 == 0 { "2" } else { DURATIONS[usize::from(choice >> 3) % 4] };
            text += &format!("#EXTINF:{duration},\n{}.ts\n", first.saturating_add(index.into()));
        }
        text + if kind & 0xc0 == 0xc0 { "#EXT-X-ENDLIST\n" } else { "" }
    }
}

struct Engine {
    player: Player,
    base: Url,
    now: Duration,
    wake: Option<Duration>,
    under_way: Vec<(Fetch, Duration)>,
    fetched: u32,
    finished: bool,
    stalls: u32,
    downloads_all: bool,
}

impl Engine {
    fn step(&mut self, now: Duration, input: Input) {
        if matches!(input, Input::Timer) && self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let was_finished = self.player.is_finished();
        let mut outputs = Vec::new();
        self.player.step(now, input, &mut outputs);
        assert!(!was_finished || outputs.is_empty(), "nothing after the end");
        // A playlist may jump far ahead; what the player passes over is bounded in each step.
        assert!(outputs.len() < 1100, "{} outputs: {:?}", outputs.len(), outputs.get(..6));
        for output in outputs {
            self.output(output);
        }
        assert_eq!(self.finished, self.player.is_finished());
        let waits = self.wake.is_some() || !self.under_way.is_empty();
        assert!(self.finished || waits, "nothing is awaited: {:#?}", self.player);
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Fetch(fetch) => {
                assert_eq!(fetch.request, RequestId(self.fetched), "ids count up");
                self.fetched += 1;
                let alike = self.under_way.iter().filter(|(other, _)| {
                    other.role == fetch.role
                        && other.variant == fetch.variant
                        && class(other) == class(&fetch)
                });
                // One key may be loaded in advance.
                let most = usize::from(fetch.kind == RequestKind::Key);
                assert!(alike.count() <= most, "one request of a kind per rendition: {fetch:?}");
                self.under_way.push((fetch, self.now));
            }
            Output::Abort(request) => {
                let before = self.under_way.len();
                self.under_way.retain(|(fetch, _)| fetch.request != request);
                assert_eq!(self.under_way.len() + 1, before, "only what is under way is aborted");
            }
            Output::WakeAt(at) => {
                assert!(at > self.now, "a wake-up that is not later");
                self.wake = Some(at);
            }
            Output::Event(event) => {
                assert!(event.at <= self.now, "{event:?} is in the future");
                self.stalls += u32::from(matches!(event.kind, EventKind::Resumed { .. }));
                self.finished |= matches!(event.kind, EventKind::Ended | EventKind::PlaybackFailed { .. });
            }
        }
    }

    /// Lets time pass, true to the timer.
    fn pass(&mut self, until: Duration) {
        let mut turns = 0;
        while let Some(wake) = self.wake.filter(|wake| *wake <= until && !self.finished) {
            self.now = self.now.max(wake);
            self.step(self.now, Input::Timer);
            turns += 1;
            assert!(turns < 1000, "too many wake-ups");
        }
        self.now = self.now.max(until);
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        let act = choices.byte();
        self.pass(self.now + Duration::from_millis(u64::from(choices.byte()) * 12));
        if self.finished {
            return;
        }
        match act % 8 {
            0..=3 if !self.under_way.is_empty() => self.answer(choices),
            4 if !self.under_way.is_empty() => {
                let at = usize::from(choices.byte()) % self.under_way.len();
                let request = self.under_way.swap_remove(at).0.request;
                let failure = choices.of(&[
                    FetchFailure::Status(404),
                    FetchFailure::Status(503),
                    FetchFailure::Cut,
                    FetchFailure::BadContent,
                    FetchFailure::Timeout,
                    FetchFailure::Connection,
                ]);
                self.step(self.now, Input::Failed { request, failure, at: self.now, retry_after: None });
            }
            5 if !self.under_way.is_empty() => {
                let (fetch, started) = &self.under_way[usize::from(choices.byte()) % self.under_way.len()];
                let (request, started) = (fetch.request, *started);
                let bytes = u64::from(choices.byte()) << 12;
                let first_byte = (bytes > 0).then_some(started);
                let length = (bytes > 500_000).then_some(1_000_000);
                self.step(self.now, Input::Progress { request, bytes, length, started, first_byte });
            }
            6 => {
                let by = Duration::from_millis(u64::from(choices.byte()) * 20);
                self.step(self.now, Input::Late { by });
            }
            7 => {
                let request = RequestId(u32::from(choices.byte()));
                if self.under_way.iter().all(|(fetch, _)| fetch.request != request) {
                    self.step(self.now, Input::MediaDone { request, transfer: Transfer::default() });
                }
            }
            _ => self.step(self.now, Input::Timer),
        }
    }

    /// A steering manifest that prefers one pathway or another, and may add one.
    fn steering(&self, choices: &mut Choices<'_>) -> SteeringManifest {
        let text = format!(
            "{{\"VERSION\":1,\"TTL\":2,\"PATHWAY-PRIORITY\":[{}],\"PATHWAY-CLONES\":[{{\"BASE-ID\":\"a\",\
             \"ID\":\"c\",\"URI-REPLACEMENT\":{{\"HOST\":\"c\"}}}}]}}",
            choices.of(&PRIORITIES)
        );
        SteeringManifest::read(text.as_bytes(), &self.base).unwrap()
    }

    fn answer(&mut self, choices: &mut Choices<'_>) {
        let at = usize::from(choices.byte()) % self.under_way.len();
        let (fetch, started) = self.under_way.swap_remove(at);
        let bytes = u64::from(choices.byte()) << 13;
        let transfer = Transfer { bytes, started, first_byte: self.now, finished: self.now };
        let request = fetch.request;
        if fetch.kind == RequestKind::Steering {
            let steering = Arc::new(self.steering(choices));
            return self.step(self.now, Input::Steering { request, steering, at: self.now });
        }
        if !is_playlist(&fetch) {
            return self.step(self.now, Input::MediaDone { request, transfer });
        }
        let choice = if fetch.kind == RequestKind::Multivariant { choices.byte() } else { 1 };
        let text = match choice % 4 {
            0 => MAIN.to_owned(),
            // Where everything is downloaded, pathways mean nothing.
            2 if !self.downloads_all => STEERED.to_owned(),
            _ => choices.media(self.now),
        };
        let playlist: Arc<Playlist> = Arc::new(read(&text, &self.base).unwrap().playlist);
        self.step(self.now, Input::Playlist { request, playlist, transfer, age: Duration::ZERO });
    }
}

/// Requests of which there is one at a time.
fn class(fetch: &Fetch) -> u8 {
    match fetch.kind {
        RequestKind::Multivariant | RequestKind::MediaPlaylist => 0,
        RequestKind::Steering => 1,
        RequestKind::Segment | RequestKind::Part | RequestKind::Init => 2,
        RequestKind::Key => 3,
    }
}

fn is_playlist(fetch: &Fetch) -> bool {
    matches!(fetch.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist)
}

/// A viewer, and what happens to it: each act is a byte for its kind, one for the time that passes before it, and those
/// for its details.
///
/// # Panics
/// The player breaks a promise of its interface, or does not wait for anything.
pub fn player(data: &[u8]) {
    let mut choices = Choices(data);
    let preset = choices.of(&Preset::ALL);
    let variants = match choices.byte() % 8 {
        number @ 0..=3 => Variants::Adaptive(Algorithm::ALL[usize::from(number)]),
        4 => Variants::Fixed(VariantSelection::All),
        5 => Variants::Fixed(VariantSelection::Each),
        _ => Variants::Fixed(VariantSelection::Highest),
    };
    let base = Url::parse("http://host/main.m3u8").unwrap();
    let config = Config { variants, subtitles: true, ..Config::new(base.clone(), preset) };
    let mut engine = Engine {
        player: Player::new(Arc::new(config), choices.byte().into()),
        base,
        now: Duration::from_secs(5),
        wake: None,
        under_way: Vec::new(),
        fetched: 0,
        finished: false,
        stalls: 0,
        downloads_all: variants == Variants::Fixed(VariantSelection::All),
    };
    engine.step(engine.now, Input::Start);
    for _ in 0..ACTS {
        if choices.0.is_empty() || engine.finished {
            break;
        }
        engine.act(&mut choices);
    }
    planted(engine.finished && engine.stalls > 2);
}
