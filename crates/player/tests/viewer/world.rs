//! The world of a viewer: a stream, a line, faults, and an engine that may be late.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Playlist, read};
use hls_swarm_hls::steering::SteeringManifest;
use hls_swarm_player::interface::{FetchFailure, RequestKind, StallReason, Transfer};
use hls_swarm_player::{
    Config, Event, EventKind, Fetch, Figures, Input, Output, Player, Preset, RequestId, Snapshot,
};
use url::{Position, Url};

/// Seconds as a duration.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// What a playlist is at a time, by its path and query; `None`: 404.
pub type Lists = Box<dyn FnMut(&str, f64) -> Option<String>>;

/// Seconds to the first byte, seconds of the body, and bytes, by path and time; `None`: as the line has it.
pub type Transfers = Box<dyn Fn(&str, f64) -> Option<(f64, f64, u64)>>;

/// Bytes of a body that have arrived a number of seconds after its request, by path; `None`: as the transfer has it.
pub type Progressing = Box<dyn Fn(&str, f64) -> Option<u64>>;

/// When the server has what is requested, or else the status of its refusal.
pub type Held = Box<dyn Fn(&Url, f64) -> Result<f64, u16>>;

/// A fault of the requests that match.
#[derive(Clone)]
pub struct Fault {
    /// Part of the path.
    pub path: String,
    /// Seconds between which a request begins.
    pub during: std::ops::Range<f64>,
    pub effect: Effect,
}

#[derive(Clone, Copy)]
pub enum Effect {
    /// It fails at once.
    Fails(FetchFailure),
    /// The first byte comes this many seconds later.
    Late(f64),
}

/// The world.
pub struct World {
    pub lists: Lists,
    /// Bytes of everything but playlists, by path.
    pub bytes: Box<dyn Fn(&str) -> u64>,
    /// Seconds until the first byte.
    pub latency: f64,
    /// From when on which rate, bits per second.
    pub line: Vec<(f64, f64)>,
    pub faults: Vec<Fault>,
    /// Transfers whose times are given.
    pub transfers: Transfers,
    /// The progress of transfers, where it is known.
    pub progress: Progressing,
    /// When the server has what is requested, by address and time, or else the status of its refusal.
    pub held: Held,
    /// How late the engine is with everything, seconds, from when to when.
    pub lateness: (f64, std::ops::Range<f64>),
    /// Whether the engine reports it.
    pub reports_lateness: bool,
    /// What the viewer's chances depend on.
    pub seed: u64,
}

/// The result of a simulated viewer.
pub struct Run {
    pub player: Player,
    /// When which request began.
    pub requests: Vec<(f64, Fetch)>,
    pub events: Vec<Event>,
    /// Media that arrived, seconds, by role and variant, in the order of arrival: when, number, and duration.
    pub arrived: Vec<(f64, Fetch)>,
    pub steps: usize,
    /// What was seen at the end of each whole second.
    pub snapshots: Vec<(Snapshot, Figures)>,
}

/// A live stream: `window` segments of 2 s, `ahead` of which are there at 0 s.
pub fn live(window: u64, ahead: u64) -> Lists {
    Box::new(move |_, at| Some(live_text(ahead + (at / 2.0) as u64, window, 2.0, "")))
}

/// The text of a live playlist that ends before the segment `next`.
pub fn live_text(next: u64, window: u64, duration: f64, end: &str) -> String {
    let first = next.saturating_sub(window);
    let mut text =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n", duration.ceil());
    for sequence in first..next {
        write!(text, "#EXTINF:{duration},\n{sequence}.ts\n").unwrap();
    }
    text + end
}

/// A multivariant playlist of these bandwidths at `/main.m3u8`, whose variants are at `/v0/`, `/v1/` and so on.
pub fn ladder(bandwidths: &[u64], mut lists: Lists) -> Lists {
    let mut text = "#EXTM3U\n".to_owned();
    for (variant, bandwidth) in bandwidths.iter().enumerate() {
        write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},RESOLUTION=16x{}\n/v{variant}/list.m3u8\n",
            9 + variant
        )
        .unwrap();
    }
    Box::new(move |path, at| if path == "/main.m3u8" { Some(text.clone()) } else { lists(path, at) })
}

impl World {
    pub fn new(lists: Lists) -> Self {
        Self {
            lists,
            bytes: Box::new(|_| 500_000),
            latency: 0.02,
            line: vec![(0.0, 80e6)],
            faults: Vec::new(),
            transfers: Box::new(|_, _| None),
            progress: Box::new(|_, _| None),
            held: Box::new(|_, at| Ok(at)),
            lateness: (0.0, 0.0..0.0),
            reports_lateness: false,
            seed: 7,
        }
    }

    pub fn fault(mut self, path: &str, during: std::ops::Range<f64>, effect: Effect) -> Self {
        self.faults.push(Fault { path: path.to_owned(), during, effect });
        self
    }

    /// Bits that the line carries between two times.
    fn bits(&self, from: f64, to: f64) -> f64 {
        let mut bits = 0.0;
        for (index, (begin, rate)) in self.line.iter().enumerate() {
            let end = self.line.get(index + 1).map_or(f64::INFINITY, |next| next.0);
            bits += (end.min(to) - begin.max(from)).max(0.0) * rate;
        }
        bits
    }

    /// When `bytes` have arrived whose first one comes at `from`.
    fn end(&self, from: f64, bytes: u64) -> f64 {
        let (mut at, mut rest) = (from, bytes as f64 * 8.0);
        for (index, (begin, rate)) in self.line.iter().enumerate() {
            let end = self.line.get(index + 1).map_or(f64::INFINITY, |next| next.0);
            if end <= at {
                continue;
            }
            at = at.max(*begin);
            if rest <= (end - at) * rate {
                return at + rest / rate;
            }
            rest -= (end - at) * rate;
            at = end;
        }
        f64::INFINITY
    }

    /// A viewer of `/main.m3u8` with a preset.
    pub fn play(self, preset: Preset, until: f64) -> Run {
        self.run(Config::new(Url::parse("http://host/main.m3u8").unwrap(), preset), until)
    }

    pub fn run(mut self, config: Config, until: f64) -> Run {
        let mut run = Run {
            player: Player::new(Arc::new(config), self.seed),
            requests: Vec::new(),
            events: Vec::new(),
            arrived: Vec::new(),
            steps: 0,
            snapshots: Vec::new(),
        };
        let mut texts: HashMap<String, Arc<Playlist>> = HashMap::new();
        // By time and then by order.
        let mut queue: BTreeMap<(u64, u64), Input> = BTreeMap::from([((0, 0), Input::Start)]);
        let mut timer = None;
        let mut under_way: Vec<(Fetch, f64, Answer)> = Vec::new();
        let (mut order, mut outputs) = (0, Vec::new());
        let micros = |at: f64| (at * 1e6).round() as u64;
        while let Some(((at, _), input)) = queue.pop_first() {
            let due = at as f64 / 1e6;
            if due > until || run.player.is_finished() {
                break;
            }
            let (late, when) = &self.lateness;
            let now = if when.contains(&due) && !matches!(input, Input::Start) { due + late } else { due };
            if now > due && self.reports_lateness {
                let by = seconds(now - due);
                run.player.step(seconds(now), Input::Late { by }, &mut outputs);
            }
            while run.snapshots.len() < now as usize {
                run.snapshots.push((run.player.snapshot(), run.player.figures()));
            }
            match &input {
                Input::Timer => {
                    timer = None;
                    for (fetch, started, answer) in &under_way {
                        let begun = now >= answer.first && fetch.kind == RequestKind::Segment;
                        let known = (self.progress)(fetch.url.path(), now - started).filter(|_| begun);
                        let bytes =
                            if begun { known.unwrap_or_else(|| self.bytes_until(answer, now)) } else { 0 };
                        let progress = Input::Progress {
                            request: fetch.request,
                            bytes,
                            length: begun.then_some(answer.bytes),
                            started: seconds(*started),
                            first_byte: begun.then(|| seconds(answer.first)),
                        };
                        run.player.step(seconds(now), progress, &mut outputs);
                    }
                }
                Input::MediaDone { request, .. }
                | Input::Playlist { request, .. }
                | Input::Steering { request, .. }
                | Input::Failed { request, .. } => {
                    let Some(place) = under_way.iter().position(|(fetch, ..)| fetch.request == *request)
                    else {
                        continue;
                    };
                    let (fetch, ..) = under_way.swap_remove(place);
                    if matches!(input, Input::MediaDone { .. }) {
                        run.arrived.push((due, fetch));
                    }
                }
                _ => {}
            }
            run.player.step(seconds(now), input, &mut outputs);
            run.steps += 1;
            assert!(outputs.len() < 5000, "{} outputs of one step", outputs.len());
            for output in std::mem::take(&mut outputs) {
                order += 1;
                match output {
                    Output::Fetch(fetch) => {
                        let (answer, input) = self.answer(&fetch, now, &mut texts);
                        run.requests.push((now, fetch.clone()));
                        under_way.push((fetch, now, answer));
                        if answer.finished.is_finite() {
                            queue.insert((micros(answer.finished), order), input);
                        }
                    }
                    Output::Abort(request) => under_way.retain(|(fetch, ..)| fetch.request != request),
                    Output::WakeAt(wake) => {
                        assert!(wake > seconds(now), "a wake-up that is not later");
                        if let Some(key) = timer {
                            queue.remove(&key);
                        }
                        let key = (wake.as_micros() as u64 + 1, order);
                        queue.insert(key, Input::Timer);
                        timer = Some(key);
                    }
                    Output::Event(event) => run.events.push(event),
                }
            }
        }
        if !run.player.is_finished() {
            run.player.step(seconds(until), Input::Timer, &mut outputs);
        }
        run.snapshots.resize(until as usize, (run.player.snapshot(), run.player.figures()));
        run
    }

    /// Bytes of the body that have arrived.
    fn bytes_until(&self, answer: &Answer, now: f64) -> u64 {
        if answer.given {
            let share = (now - answer.first) / (answer.finished - answer.first).max(1e-9);
            return (answer.bytes as f64 * share.clamp(0.0, 1.0)) as u64;
        }
        (self.bits(answer.first, now) / 8.0) as u64
    }

    /// When the answer to a request comes, and what it is.
    fn answer(
        &mut self,
        fetch: &Fetch,
        now: f64,
        texts: &mut HashMap<String, Arc<Playlist>>,
    ) -> (Answer, Input) {
        let path = fetch.url.path().to_owned();
        let request = fetch.request;
        let given = (self.transfers)(&path, now);
        let held = (self.held)(&fetch.url, now);
        let ready = held.unwrap_or(now).max(now);
        let mut first = ready + given.map_or(self.latency, |(ttfb, ..)| ttfb);
        let without_body = |first: f64| Answer { first, finished: first, bytes: 0, given: false };
        for fault in
            self.faults.iter().filter(|fault| fault.during.contains(&now) && path.contains(&fault.path))
        {
            match fault.effect {
                Effect::Fails(failure) => {
                    return (
                        without_body(first),
                        Input::Failed {
                            request,
                            failure,
                            at: seconds(first),
                            retry_after: retry_after(failure),
                        },
                    );
                }
                Effect::Late(by) => first += by,
            }
        }
        if let Err(status) = held {
            let failure = FetchFailure::Status(status);
            return (
                without_body(first),
                Input::Failed { request, failure, at: seconds(first), retry_after: retry_after(failure) },
            );
        }
        let playlist = matches!(fetch.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist);
        let steering = fetch.kind == RequestKind::Steering;
        if !playlist && !steering {
            let bytes = fetch.byte_range.map_or_else(|| (self.bytes)(&path), |range| range.length);
            let (finished, bytes) = match given {
                Some((_, body, bytes)) => (first + body, bytes),
                None => (self.end(first, bytes), bytes),
            };
            let transfer = transfer(now, first, finished, bytes);
            let answer = Answer { first, finished, bytes, given: given.is_some() };
            return (answer, Input::MediaDone { request, transfer });
        }
        let Some(text) = (self.lists)(&fetch.url[Position::BeforePath..Position::AfterQuery], ready) else {
            let failure = FetchFailure::Status(404);
            return (
                without_body(first),
                Input::Failed { request, failure, at: seconds(first), retry_after: retry_after(failure) },
            );
        };
        if steering {
            let steering = Arc::new(SteeringManifest::read(text.as_bytes(), &fetch.url).unwrap());
            return (without_body(first), Input::Steering { request, steering, at: seconds(first) });
        }
        let finished = first + given.map_or(0.0, |(_, body, _)| body);
        let transfer = transfer(now, first, finished, text.len() as u64);
        let parse = |text: &String| Arc::new(read(text, &fetch.url).unwrap().playlist);
        // One entry per URL and text, as an engine that interns has it.
        let playlist = texts.entry(format!("{path} {text}")).or_insert_with(|| parse(&text));
        let input =
            Input::Playlist { request, playlist: Arc::clone(playlist), transfer, age: Duration::ZERO };
        (Answer { first, finished, bytes: 0, given: false }, input)
    }
}

/// `Retry-After` of the refusals that have it.
fn retry_after(failure: FetchFailure) -> Option<Duration> {
    (failure == FetchFailure::Status(429)).then_some(RETRY_AFTER)
}

/// `Retry-After` of a 429.
pub const RETRY_AFTER: Duration = Duration::from_secs(7);

/// When an answer comes.
#[derive(Clone, Copy)]
struct Answer {
    first: f64,
    finished: f64,
    bytes: u64,
    /// Whether the times were given, instead of following from the line.
    given: bool,
}

fn transfer(started: f64, first: f64, finished: f64, bytes: u64) -> Transfer {
    let finite = |at: f64| if at.is_finite() { seconds(at) } else { Duration::MAX };
    Transfer { bytes, started: seconds(started), first_byte: finite(first), finished: finite(finished) }
}

impl Run {
    /// When which media sequence numbers were requested, of which variant.
    pub fn segments(&self) -> Vec<(f64, u64, u16)> {
        let segment = |(at, fetch): &(f64, Fetch)| {
            let segment = fetch.segment.as_ref()?;
            Some((*at, segment.sequence, fetch.variant))
        };
        self.requests.iter().filter_map(segment).collect()
    }

    /// When playlists were requested.
    pub fn reloads(&self) -> Vec<f64> {
        let playlist =
            |fetch: &Fetch| matches!(fetch.kind, RequestKind::MediaPlaylist | RequestKind::Multivariant);
        self.requests.iter().filter(|(_, fetch)| playlist(fetch)).map(|(at, _)| *at).collect()
    }

    pub fn paths(&self) -> Vec<&str> {
        self.requests.iter().map(|(_, fetch)| fetch.url.path()).collect()
    }

    /// When stalls ended, how long they were, and why.
    pub fn stalls(&self) -> Vec<(f64, f64, StallReason)> {
        let stall = |event: &Event| match event.kind {
            EventKind::Resumed { stalled, reason } => {
                Some((event.at.as_secs_f64(), stalled.as_secs_f64(), reason))
            }
            _ => None,
        };
        self.events.iter().filter_map(stall).collect()
    }

    /// When which variant was switched to.
    pub fn switches(&self) -> Vec<(f64, u16)> {
        let switch = |event: &Event| match event.kind {
            EventKind::Switched { to, .. } => Some((event.at.as_secs_f64(), to)),
            _ => None,
        };
        self.events.iter().filter_map(switch).collect()
    }

    pub fn kinds(&self) -> Vec<EventKind> {
        self.events.iter().map(|event| event.kind.clone()).collect()
    }

    /// The ids of all requests.
    pub fn ids(&self) -> Vec<RequestId> {
        self.requests.iter().map(|(_, fetch)| fetch.request).collect()
    }
}

/// Whether two times are equal but for `by` seconds.
pub fn near(one: f64, other: f64, by: f64) -> bool {
    (one - other).abs() <= by
}
