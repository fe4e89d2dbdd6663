//! Whatever happens: random playlists, arrivals, failures, and timers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::read;
use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_hls::steering::SteeringManifest;
use hls_swarm_player::interface::{FetchFailure, RequestKind, Role, Transfer};
use hls_swarm_player::{
    Algorithm, Config, EventKind, Fetch, Input, Output, Player, Preset, RequestId, Variants,
};
use proptest::prelude::*;
use url::Url;

/// What the engine does next.
#[derive(Clone, Debug)]
enum Act {
    /// Answers one of the requests under way, after a number of milliseconds.
    Answer {
        which: usize,
        wait: u32,
        late: u32,
        bytes: u64,
    },
    /// The same with this playlist.
    List {
        which: usize,
        wait: u32,
        list: List,
    },
    Fail {
        which: usize,
        wait: u32,
        failure: FetchFailure,
    },
    Progress {
        which: usize,
        wait: u32,
        bytes: u64,
        begun: bool,
    },
    /// An answer to what was never requested, or not any more.
    Nonsense {
        id: u32,
    },
    /// Waits for the timer, or less.
    Timer {
        part: f64,
    },
    Late {
        by: u32,
    },
    /// A clock that runs backward.
    Backward,
}

/// A media playlist.
#[derive(Clone, Debug)]
struct List {
    first: u64,
    durations: Vec<f64>,
    gaps: u8,
    head: String,
    ended: bool,
}

impl List {
    fn text(&self) -> String {
        let mut text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n{}", self.first, self.head);
        for (index, duration) in self.durations.iter().enumerate() {
            if self.gaps >> (index % 8) & 1 == 1 && index % 3 == 0 {
                text += "#EXT-X-GAP\n";
            }
            text += &format!("#EXTINF:{duration},\n{}.ts\n", self.first.saturating_add(index as u64));
        }
        text + if self.ended { "#EXT-X-ENDLIST\n" } else { "" }
    }
}

fn list() -> impl Strategy<Value = List> {
    let duration = prop_oneof![8 => Just(2.0), 1 => Just(0.0), 1 => 0.0..9.0, 1 => Just(1e9)];
    let head = prop_oneof![
        4 => Just(String::new()),
        1 => Just("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"m\"\n".to_owned()),
        1 => Just("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n".to_owned()),
        1 => Just("#EXT-X-START:TIME-OFFSET=-3\n".to_owned()),
        1 => Just("#EXT-X-SERVER-CONTROL:HOLD-BACK=9\n#EXT-X-DISCONTINUITY\n".to_owned()),
    ];
    let first = prop_oneof![6 => 0_u64..30, 1 => Just(u64::MAX - 2)];
    (first, prop::collection::vec(duration, 0..8), any::<u8>(), head, prop::bool::weighted(0.1))
        .prop_map(|(first, durations, gaps, head, ended)| List { first, durations, gaps, head, ended })
}

fn failure() -> impl Strategy<Value = FetchFailure> {
    prop_oneof![
        prop::sample::select(vec![200_u16, 302, 403, 404, 410, 429, 500, 503]).prop_map(FetchFailure::Status),
        Just(FetchFailure::Cut),
        Just(FetchFailure::BadContent),
        Just(FetchFailure::Timeout),
        Just(FetchFailure::Connection),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let wait = || 0_u32..3000;
    prop_oneof![
        6 => (any::<usize>(), wait(), 0_u32..50, 0_u64..2_000_000)
            .prop_map(|(which, wait, late, bytes)| Act::Answer { which, wait, late, bytes }),
        5 => (any::<usize>(), wait(), list()).prop_map(|(which, wait, list)| Act::List { which, wait, list }),
        2 => (any::<usize>(), wait(), failure()).prop_map(|(which, wait, failure)| Act::Fail { which, wait, failure }),
        1 => (any::<usize>(), wait(), 0_u64..2_000_000, any::<bool>())
            .prop_map(|(which, wait, bytes, begun)| Act::Progress { which, wait, bytes, begun }),
        1 => (0_u32..200).prop_map(|id| Act::Nonsense { id }),
        6 => (0.0..1.2).prop_map(|part| Act::Timer { part }),
        1 => (0_u32..5000).prop_map(|by| Act::Late { by }),
        1 => Just(Act::Backward),
    ]
}

fn variants() -> impl Strategy<Value = Variants> {
    prop_oneof![
        4 => prop::sample::select(Algorithm::ALL.to_vec()).prop_map(Variants::Adaptive),
        1 => Just(Variants::Fixed(VariantSelection::All)),
        1 => Just(Variants::Fixed(VariantSelection::Each)),
        1 => Just(Variants::Fixed(VariantSelection::Highest)),
    ]
}

const MAIN: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"a.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"y\",DEFAULT=YES,URI=\"s.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"a\",SUBTITLES=\"s\"\nv0.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1500000,AUDIO=\"a\",SUBTITLES=\"s\"\nv1.m3u8\n";
/// The same with pathways, a steering server, and keys.
const STEERED: &str = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steer\",PATHWAY-ID=\"b\"\n\
    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"l\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"a.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"x\",DEFAULT=YES,URI=\"b.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"a\",PATHWAY-ID=\"a\"\nv0.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1500000,AUDIO=\"a\",PATHWAY-ID=\"a\"\nv1.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO=\"b\",PATHWAY-ID=\"b\"\nv2.m3u8\n";

/// Requests of which there is one at a time.
fn class(fetch: &Fetch) -> u8 {
    match fetch.kind {
        RequestKind::Multivariant | RequestKind::MediaPlaylist => 0,
        RequestKind::Steering => 1,
        RequestKind::Segment | RequestKind::Part | RequestKind::Init => 2,
        RequestKind::Key => 3,
    }
}

/// A steering manifest that prefers one pathway or another, and may add one.
fn steering(choice: u64, base: &Url) -> Arc<SteeringManifest> {
    let priority = ["\"a\",\"b\"", "\"b\",\"a\"", "\"c\",\"a\"", ""][choice as usize % 4];
    let text = format!(
        "{{\"VERSION\":1,\"TTL\":2,\"PATHWAY-PRIORITY\":[{priority}],\"PATHWAY-CLONES\":[{{\"BASE-ID\":\"a\",\
         \"ID\":\"c\",\"URI-REPLACEMENT\":{{\"HOST\":\"c\"}}}}]}}"
    );
    Arc::new(SteeringManifest::read(text.as_bytes(), base).unwrap())
}

/// An engine that acts at random.
struct Engine {
    player: Player,
    base: Url,
    now: Duration,
    wake: Option<Duration>,
    under_way: Vec<(Fetch, Duration)>,
    outputs: Vec<Output>,
    /// Media that arrived, by role: seconds.
    arrived: HashMap<Role, f64>,
    fetched: u32,
    finished: bool,
    /// The time of the last step.
    stepped: Duration,
    /// The multivariant playlist.
    main: &'static str,
}

impl Engine {
    fn new(preset: Preset, variants: Variants, seed: u64) -> Self {
        let base = Url::parse("http://host/main.m3u8").unwrap();
        let downloads_all = variants == Variants::Fixed(VariantSelection::All);
        let config = Config { variants, subtitles: true, ..Config::new(base.clone(), preset) };
        Self {
            player: Player::new(Arc::new(config), seed),
            base,
            now: Duration::from_secs(5),
            wake: None,
            under_way: Vec::new(),
            outputs: Vec::new(),
            arrived: HashMap::new(),
            fetched: 0,
            finished: false,
            stepped: Duration::ZERO,
            // Where everything is downloaded, pathways mean nothing.
            main: if seed.is_multiple_of(2) || downloads_all { MAIN } else { STEERED },
        }
    }

    fn step(&mut self, now: Duration, input: Input) {
        let timer = matches!(input, Input::Timer) && self.wake.is_some_and(|wake| wake <= now);
        if timer {
            self.wake = None;
        }
        self.stepped = self.stepped.max(now);
        let was_finished = self.player.is_finished();
        self.player.step(now, input, &mut self.outputs);
        assert!(!was_finished || self.outputs.is_empty(), "nothing after the end");
        // Every segment of a playlist can be a gap, once per rendition.
        assert!(self.outputs.len() < 100, "{} outputs", self.outputs.len());
        for output in std::mem::take(&mut self.outputs) {
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
                    self.finished |=
                        matches!(event.kind, EventKind::Ended | EventKind::PlaybackFailed { .. });
                }
            }
        }
        assert_eq!(self.finished, self.player.is_finished());
        // Never idle without a way on.
        let waits = self.wake.is_some() || !self.under_way.is_empty();
        assert!(self.finished || waits, "nothing is awaited: {:#?}", self.player);
    }

    fn pick(&mut self, which: usize) -> Option<(Fetch, Duration)> {
        (!self.under_way.is_empty()).then(|| self.under_way.swap_remove(which % self.under_way.len()))
    }

    fn pass(&mut self, wait: u32) {
        let until = self.now + Duration::from_millis(wait.into());
        // The engine is true to the timer.
        let mut turns = 0;
        while let Some(wake) = self.wake.filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.step(self.now, Input::Timer);
            turns += 1;
            assert!(turns < 1000, "too many wake-ups in {wait} ms");
            if self.player.is_finished() {
                return;
            }
        }
        self.now = until;
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Answer { which, wait, late, bytes } => {
                self.pass(*wait);
                let Some((fetch, started)) = self.pick(*which) else { return };
                let finished = self.now;
                self.now += Duration::from_millis((*late).into());
                let transfer = Transfer { bytes: *bytes, started, first_byte: finished, finished };
                let request = fetch.request;
                if matches!(fetch.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist) {
                    let text = if fetch.kind == RequestKind::Multivariant {
                        self.main.to_owned()
                    } else {
                        let first = (finished.as_secs() / 2).saturating_sub(1);
                        let list = List {
                            first,
                            durations: vec![2.0; 5],
                            gaps: 0,
                            head: String::new(),
                            ended: false,
                        };
                        list.text()
                    };
                    let playlist = Arc::new(read(&text, &self.base).unwrap().playlist);
                    self.step(self.now, Input::Playlist { request, playlist, transfer, age: Duration::ZERO });
                } else if fetch.kind == RequestKind::Steering {
                    let steering = steering(*bytes, &self.base);
                    self.step(self.now, Input::Steering { request, steering, at: finished });
                } else {
                    if let Some(segment) = &fetch.segment {
                        *self.arrived.entry(fetch.role).or_default() += segment.duration.as_secs_f64();
                    }
                    self.step(self.now, Input::MediaDone { request, transfer });
                }
            }
            Act::List { which, wait, list } => {
                self.pass(*wait);
                let Some((fetch, started)) = self.pick(*which) else { return };
                if !matches!(fetch.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist) {
                    return self.under_way.push((fetch, started));
                }
                let playlist = Arc::new(read(&list.text(), &self.base).unwrap().playlist);
                let transfer = Transfer { bytes: 1, started, first_byte: started, finished: self.now };
                self.step(
                    self.now,
                    Input::Playlist { request: fetch.request, playlist, transfer, age: Duration::ZERO },
                );
            }
            Act::Fail { which, wait, failure } => {
                self.pass(*wait);
                let Some((fetch, _)) = self.pick(*which) else { return };
                self.step(
                    self.now,
                    Input::Failed {
                        request: fetch.request,
                        failure: *failure,
                        at: self.now,
                        retry_after: None,
                    },
                );
            }
            Act::Progress { which, wait, bytes, begun } => {
                self.pass(*wait);
                let Some((fetch, started)) = self.under_way.get(which % self.under_way.len().max(1)) else {
                    return;
                };
                let (request, started) = (fetch.request, *started);
                let first_byte = begun.then_some(started);
                let length = begun.then_some(1_000_000);
                self.step(self.now, Input::Progress { request, bytes: *bytes, length, started, first_byte });
            }
            Act::Nonsense { id } => {
                let request = RequestId(*id);
                if self.under_way.iter().any(|(fetch, _)| fetch.request == request) {
                    return;
                }
                self.step(self.now, Input::MediaDone { request, transfer: Transfer::default() });
                self.step(self.now, Input::Start);
            }
            Act::Timer { part } => {
                let wake = self.wake.unwrap_or(self.now);
                self.now += wake.saturating_sub(self.now).mul_f64(*part);
                self.step(self.now, Input::Timer);
            }
            Act::Late { by } => self.step(self.now, Input::Late { by: Duration::from_millis((*by).into()) }),
            Act::Backward => self.step(Duration::ZERO, Input::Timer),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_viewer_plays_what_arrived_and_goes_on(
        preset in prop::sample::select(Preset::ALL.to_vec()),
        variants in variants(),
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 0..150),
    ) {
        let mut engine = Engine::new(preset, variants, seed);
        let began = engine.now;
        engine.step(engine.now, Input::Start);
        let mut before = engine.player.figures();
        for act in &acts {
            engine.act(act);
            let figures = engine.player.figures();
            // Where one of them has ended, the other one is played alone.
            let of = |role| engine.arrived.get(&role).copied().unwrap_or(0.0);
            let arrived = of(Role::Main).max(of(Role::Audio));
            prop_assert!(figures.played.as_secs_f64() <= arrived + 1e-6, "{:?} of {} s", figures.played, arrived);
            prop_assert!(figures.played >= before.played && figures.skipped >= before.skipped);
            prop_assert!(figures.switches_up >= before.switches_up && figures.failures >= before.failures);
            let stalled = figures.stalled + figures.stalled_own;
            if let Some(startup) = figures.startup {
                let all = startup + figures.played + stalled;
                let passed = engine.now - began;
                prop_assert!(all <= passed + Duration::from_nanos(10), "{:?} in {:?}", figures, passed);
                if !engine.finished {
                    // All time is accounted for, up to the last step.
                    let unseen = (engine.stepped - began).saturating_sub(all);
                    prop_assert!(unseen < Duration::from_nanos(10), "{:?} in {:?}", figures, passed);
                }
            }
            prop_assert!(figures.longest_stall <= figures.stalled);
            let most = 1_500_000.0 * figures.played.as_secs_f64();
            prop_assert!(figures.bits_played <= most + 1.0, "{:?}", figures);
            before = figures;
        }
    }

    #[test]
    fn equal_seeds_and_inputs_give_equal_outputs(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let play = || {
            let mut engine = Engine::new(Preset::Shaka, Variants::Adaptive(Algorithm::Shaka), seed);
            engine.step(engine.now, Input::Start);
            acts.iter().for_each(|act| engine.act(act));
            (engine.player.figures(), engine.wake, engine.fetched)
        };
        prop_assert_eq!(play(), play());
    }
}
