//! One session of one viewer: carries out what its player asks for, and passes it what happened.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_client::{Client, FetchError, Fetched, Progress, Request};
use hls_swarm_hls::playlist::Playlist;
use hls_swarm_hls::playlist::media::EncryptionMethod;
use hls_swarm_model::event::{EndClass, Event, ForbiddenBy};
use hls_swarm_model::exchange::Kind;
use hls_swarm_model::listed::{Rendition, SegmentId, VariantLabel};
use hls_swarm_model::seen::Seen;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::secrets;
use hls_swarm_player::cmcd::CmcdSession;
use hls_swarm_player::interface::{
    EventKind, Fetch, FetchFailure, Input, Output, PlaybackFailure, RequestId, RequestKind, Role, Transfer,
};
use hls_swarm_player::{Player, State};

use url::Url;

use super::CmcdMode;
use super::body::Body;
use super::observer::{Recorder, Tag};
use super::shard::{Job, Shared};
use crate::engine::SessionEnd;

/// A timer that fires later than this keeps the viewer waiting.
const LATE_AFTER: Duration = Duration::from_millis(5);
/// How often a viewer reports what it sees, if it wakes up anyway. Changes of its state are reported at once.
const REPORTS: Duration = Duration::from_secs(1);

/// What a media playlist is to the player: its role, and the index of its variant.
type Place = (Role, u16);

/// A request under way.
struct Under {
    id: RequestId,
    kind: RequestKind,
    /// The rendition it belongs to, and its variant.
    place: Place,
    /// Whether only a part of the resource was asked for.
    is_part: bool,
    tag: Rc<Tag>,
    progress: Rc<Progress>,
    fetch: Pin<Box<dyn Future<Output = Result<Fetched<Body>, FetchError>>>>,
}

/// A session.
struct Viewing {
    player: Player,
    shared: Rc<Shared>,
    client: Rc<Client<Recorder>>,
    under: Vec<Under>,
    wake: Option<Duration>,
    /// The instant from which the player's time counts, `CLOCK_MONOTONIC` nanoseconds, and the same for timers.
    epoch: (u64, Instant),
    /// By role and variant: the hash of the address of the media playlist.
    playlists: Vec<(Place, u64)>,
    /// The multivariant playlist, and by role and variant what it calls them.
    multivariant: Option<Arc<Playlist>>,
    labels: Vec<(Place, Option<Arc<VariantLabel>>)>,
    failure: Option<PlaybackFailure>,
    /// Why the last request failed.
    last_error: Option<String>,
    viewer: u32,
    /// How requests are described to CDNs, and by which identifiers.
    cmcd: (CmcdMode, CmcdSession),
    /// When it reports what it sees next; `None` = never, because nothing is played.
    report_at: Option<Duration>,
}

/// Plays until the stream has ended, playback has failed, or the viewer is stopped.
pub(super) async fn run(job: Job, shared: &Rc<Shared>) -> SessionEnd {
    let Job { session, config, user_agent, source, cmcd, bits, started_ns, stop } = job;
    let viewer = session.viewer;
    shared.outbox.push(Event::Started { viewer, generation: session.generation, at_ns: started_ns });
    let recorder = Rc::new(Recorder { session, shared: Rc::clone(shared) });
    // Where every rendition is downloaded, nothing is played.
    let plays = !super::downloads_all(config.variants);
    let turn = viewer.saturating_sub(1) as usize;
    let client = Client::new(Rc::clone(&shared.client), recorder, user_agent, source, bits, turn);
    let mut viewing = Viewing {
        shared: Rc::clone(shared),
        player: Player::new(config, seed(shared.seed, viewer, session.generation)),
        client: Rc::new(client),
        under: Vec::new(),
        wake: None,
        epoch: (started_ns, Instant::now()),
        playlists: Vec::new(),
        multivariant: None,
        labels: Vec::new(),
        failure: None,
        last_error: None,
        viewer,
        cmcd: (
            cmcd.mode,
            CmcdSession {
                session: identifier(shared.seed, viewer, session.generation),
                content: cmcd.content.as_ref().to_owned(),
                version: cmcd.version,
            },
        ),
        report_at: plays.then_some(REPORTS),
    };
    if plays {
        shared.outbox.push(Event::Seen { viewer, at_ns: started_ns, seen: Box::new(Seen::nothing()) });
    }
    let is_stopped = tokio::select! {
        biased;
        () = stop.cancelled() => true,
        () = viewing.play() => false,
    };
    let (class, reason) = viewing.end(is_stopped);
    // Requests under way end now, and are reported before the session.
    drop(viewing);
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    let ending = ProcessExit::Exited(u8::from(class == EndClass::Failed).into());
    tracing::debug!(viewer, generation = session.generation, ?class, reason, "viewer ended");
    let uptime_seconds = uptime.as_secs_f64();
    shared.outbox.push(Event::Ended { viewer, class, ending, killed: false, reason, uptime_seconds });
    SessionEnd { class, uptime, ahead: Duration::ZERO }
}

/// The random seed of one session. Where each viewer has a variant of its own, the number of the viewer decides, so it is
/// the whole seed of the first session.
const fn seed(run: u64, viewer: u32, generation: u32) -> u64 {
    let first = viewer.saturating_sub(1) as u64;
    if generation <= 1 { first } else { first.wrapping_add(run.wrapping_mul(generation as u64)) }
}

/// A UUID that is different for each session of a run.
fn identifier(run: u64, viewer: u32, generation: u32) -> String {
    let mix = |word: u64| {
        let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let high = mix(run ^ 0x9e37_79b9_7f4a_7c15);
    let low = mix(high ^ (u64::from(viewer) << 32 | u64::from(generation)));
    // Version 4 and its variant (RFC 9562).
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

impl Viewing {
    async fn play(&mut self) {
        self.step(Input::Start);
        while !self.player.is_finished() {
            let wake = self.wake;
            let epoch = self.epoch.1;
            let timer = async {
                match wake {
                    Some(wake) => sleep_until(epoch + wake).await,
                    None => std::future::pending().await,
                }
            };
            let answered = {
                let mut timer = pin!(timer);
                poll_fn(|context| {
                    for place in 0..self.under.len() {
                        let Some(under) = self.under.get_mut(place) else { continue };
                        if let Poll::Ready(result) = under.fetch.as_mut().poll(context) {
                            return Poll::Ready(Some((self.under.swap_remove(place), result)));
                        }
                    }
                    timer.as_mut().poll(context).map(|()| None)
                })
                .await
            };
            match answered {
                Some((under, result)) => self.answer(under, result),
                None => self.timer(),
            }
        }
    }

    /// The player's time.
    fn now(&self) -> Duration {
        self.time(now_ns())
    }

    fn time(&self, at_ns: u64) -> Duration {
        Duration::from_nanos(at_ns.saturating_sub(self.epoch.0))
    }

    fn timer(&mut self) {
        let wake = self.wake.take();
        let now = self.now();
        if let Some(by) = wake.and_then(|wake| now.checked_sub(wake)).filter(|by| *by > LATE_AFTER) {
            self.step(Input::Late { by });
        }
        let progress: Vec<Input> = self
            .under
            .iter()
            .filter(|under| under.kind == RequestKind::Segment)
            .map(|under| self.progress(under))
            .collect();
        progress.into_iter().for_each(|input| self.step(input));
        self.step(Input::Timer);
    }

    fn progress(&self, under: &Under) -> Input {
        let progress = &under.progress;
        let time = |at: &Cell<u64>| Some(at.get()).filter(|at| *at > 0).map(|at| self.time(at));
        Input::Progress {
            request: under.id,
            bytes: progress.body_bytes.get(),
            length: Some(progress.length.get()).filter(|length| *length > 0),
            started: time(&progress.started_ns).unwrap_or_else(|| self.now()),
            first_byte: time(&progress.first_byte_ns),
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        // Empty between two steps, and therefore shared by the viewers of a thread.
        let mut outputs = self.shared.outputs.take();
        self.player.step(now, input, &mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Fetch(fetch) => self.fetch(fetch),
                Output::Abort(id) => {
                    let place = self.under.iter().position(|under| under.id == id);
                    if let Some(under) = place.map(|place| self.under.swap_remove(place)) {
                        under.tag.is_abandoned.set(true);
                    }
                }
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Event(event) => {
                    tracing::trace!(viewer = self.viewer, ?event, "viewer");
                    if let EventKind::PlaybackFailed { reason } = event.kind {
                        self.failure = Some(reason);
                    }
                    // The state has changed.
                    self.report_at = self.report_at.map(|at| at.min(now));
                }
            }
        }
        self.shared.outputs.replace(outputs);
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = Some(now + REPORTS);
            self.report(now);
        }
    }

    /// Reports what the viewer has seen.
    fn report(&self, now: Duration) {
        let snapshot = self.player.snapshot();
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let by_date = snapshot.latency_by_date(jiff::Timestamp::now());
        let seen = Seen {
            figures: self.player.figures(),
            state: snapshot.state.unwrap_or(State::Starting),
            stall: snapshot.stall.map(|(lasted, reason)| (ns(lasted), reason)),
            buffer_ns: ns(snapshot.buffer),
            latency_by_edge_ns: snapshot.latency_by_edge.map(ns),
            target_latency_ns: snapshot.target_latency.map(ns),
            latency_by_date_ns: by_date.map(|behind| i64::try_from(behind.as_nanos()).unwrap_or(i64::MAX)),
        };
        let at_ns = self.epoch.0.saturating_add(ns(now));
        self.shared.outbox.push(Event::Seen { viewer: self.viewer, at_ns, seen: Box::new(seen) });
    }

    fn fetch(&mut self, fetch: Fetch) {
        let rendition = rendition(fetch.role);
        let playlist = self.playlist_of(fetch.role, fetch.variant);
        let segment = fetch.segment.as_ref().map(|segment| SegmentId {
            playlist,
            sequence: segment.sequence,
            duration_us: u64::try_from(segment.duration.as_micros()).unwrap_or(u64::MAX),
            rendition,
            encrypted: segment.key.as_ref().is_some_and(|key| key.method == EncryptionMethod::Aes128),
            from_start: true,
        });
        let is_playlist = matches!(fetch.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist);
        let place = (fetch.role, fetch.variant);
        let variant = match fetch.kind {
            // Keys may serve all variants.
            RequestKind::Multivariant | RequestKind::Key => None,
            RequestKind::Steering => None,
            RequestKind::MediaPlaylist => self.label(place, &fetch.url),
            _ => self.labels.iter().find(|(known, _)| *known == place).and_then(|(_, label)| label.clone()),
        };
        let is_kept = is_playlist || fetch.kind == RequestKind::Steering;
        let tag = Rc::new(Tag {
            kind: kind(fetch.kind),
            rendition,
            segment,
            variant,
            is_blocking_reload: fetch.waits,
            multivariant: self.multivariant.clone().filter(|_| fetch.kind == RequestKind::MediaPlaylist),
            is_abandoned: Cell::new(false),
            playlist: RefCell::new(None),
            steering: RefCell::new(None),
            defect: Cell::new(None),
        });
        let progress = Rc::new(Progress::default());
        let reading = self.shared.contents.borrow_mut().reading(&self.player, &fetch);
        let is_part = fetch.byte_range.is_some();
        let (mut url, mut fields) = (fetch.url, Vec::new());
        match (&fetch.cmcd, &self.cmcd) {
            (Some(data), (CmcdMode::Query, session)) => url = data.in_query(session, &url),
            (Some(data), (CmcdMode::Header, session)) => fields = data.in_headers(session, &url),
            _ => {}
        }
        let request = Request {
            fields,
            range: fetch.byte_range.map(|range| range.offset..range.offset.saturating_add(range.length)),
            compressed: is_kept,
            progress: Some(Rc::clone(&progress)),
            ..Request::get(url)
        };
        let body = if is_kept { Body::of_playlist() } else { Body::of_media(reading) };
        let (client, own) = (Rc::clone(&self.client), Rc::clone(&tag));
        let future = Box::pin(async move { client.fetch(request, own, body).await });
        self.under.reserve_exact(1);
        self.under.push(Under {
            id: fetch.request,
            kind: fetch.kind,
            place: (fetch.role, fetch.variant),
            is_part,
            tag,
            progress,
            fetch: future,
        });
    }

    /// The label of the variant or rendition whose media playlist is at `url`.
    fn label(&mut self, place: Place, url: &Url) -> Option<Arc<VariantLabel>> {
        if let Some((_, label)) = self.labels.iter().find(|(known, _)| *known == place) {
            return label.clone();
        }
        // The player's own, because the steering server may have added pathways.
        let playlist = self.player.multivariant().map(|playlist| &**playlist);
        let Some(Playlist::Multivariant(playlist)) = playlist else { return None };
        let variant = || {
            let (Role::Main, variant) = place else { return None };
            Some(VariantLabel::of_variant(playlist, playlist.variants.get(usize::from(variant))?))
        };
        let rendition = || {
            let found = playlist.renditions.iter().find(|one| one.url.as_ref() == Some(url))?;
            Some(VariantLabel::of_rendition(playlist, found))
        };
        let label = variant().or_else(rendition).map(Arc::new);
        self.labels.reserve_exact(1);
        self.labels.push((place, label.clone()));
        label
    }

    fn playlist_of(&self, role: Role, variant: u16) -> u64 {
        self.playlists.iter().find(|(known, _)| *known == (role, variant)).map_or(0, |(_, hash)| *hash)
    }

    /// Passes the answer to a request on to the player.
    fn answer(&mut self, under: Under, result: Result<Fetched<Body>, FetchError>) {
        let request = under.id;
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) => {
                if let FetchError::Forbidden(why) = &error {
                    let (viewer, host, by) = (self.viewer, why.clone(), ForbiddenBy::Message);
                    self.shared.outbox.push(Event::Forbidden { viewer, host, by });
                }
                let failure = failure(&error);
                self.last_error = Some(error.to_string());
                let at = self.now();
                return self.step(Input::Failed { request, failure, at, retry_after: None });
            }
        };
        let transfer = Transfer {
            bytes: fetched.body_bytes,
            started: self.time(fetched.started_ns),
            first_byte: self.time(fetched.first_byte_ns),
            finished: self.time(fetched.ended_ns),
        };
        let status = fetched.head.status;
        let failure = match (status, under.tag.defect.get()) {
            (200..=299, Some(defect)) => {
                Some((FetchFailure::BadContent, format!("what arrived was {defect}")))
            }
            (200, None) if under.is_part => {
                Some((FetchFailure::BadContent, "the server ignored the byte range".to_owned()))
            }
            (200..=299, None) => None,
            _ => Some((FetchFailure::Status(status), format!("HTTP status {status}"))),
        };
        let retry_after = fetched.head.retry_after_s.map(|wait| Duration::from_secs(wait.into()));
        let steering = under.tag.steering.take();
        let found = under.tag.playlist.take();
        let is_playlist = matches!(under.kind, RequestKind::Multivariant | RequestKind::MediaPlaylist);
        let input = match (failure, found) {
            (Some((failure, why)), _) => {
                self.last_error = Some(why);
                Input::Failed { request, failure, at: transfer.finished, retry_after }
            }
            (None, _) if under.kind == RequestKind::Steering => match steering {
                Some(Ok(steering)) => Input::Steering { request, steering, at: transfer.finished },
                invalid => {
                    let why = invalid.and_then(Result::err).map(|invalid| invalid.to_string());
                    self.last_error =
                        Some(why.unwrap_or_else(|| "what arrived cannot be decoded".to_owned()));
                    let failure = FetchFailure::BadContent;
                    Input::Failed { request, failure, at: transfer.finished, retry_after }
                }
            },
            (None, Some((known, hash))) if is_playlist => {
                if under.kind == RequestKind::Multivariant {
                    // What the variants are called may have changed.
                    self.multivariant = Some(Arc::clone(&known.playlist));
                    self.labels.clear();
                }
                self.note_playlist(under.place, hash);
                let age = Duration::from_secs(fetched.head.age_s.unwrap_or(0).into());
                Input::Playlist { request, playlist: known.playlist, transfer, age }
            }
            (None, _) if is_playlist => {
                self.last_error = Some("what arrived was not a playlist".to_owned());
                let failure = FetchFailure::BadContent;
                Input::Failed { request, failure, at: transfer.finished, retry_after }
            }
            (None, _) => Input::MediaDone { request, transfer },
        };
        self.step(input);
    }

    fn note_playlist(&mut self, place: Place, hash: u64) {
        match self.playlists.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => *known = hash,
            None => {
                self.playlists.reserve_exact(1);
                self.playlists.push((place, hash));
            }
        }
    }

    /// How the session ended, and why in a text that is the same for equal causes.
    fn end(&self, is_stopped: bool) -> (EndClass, String) {
        match self.failure {
            _ if is_stopped => (EndClass::Stopped, "stopped".to_owned()),
            None => (EndClass::Finished, "played to the end".to_owned()),
            Some(failure) => {
                let what = describe(failure);
                let reason = match &self.last_error {
                    Some(error) => format!("{what}: {}", secrets::redact(error)),
                    None => what.to_owned(),
                };
                (EndClass::Failed, reason)
            }
        }
    }
}

const fn kind(kind: RequestKind) -> Kind {
    match kind {
        RequestKind::Multivariant | RequestKind::MediaPlaylist => Kind::Playlist,
        RequestKind::Segment | RequestKind::Part => Kind::Segment,
        RequestKind::Init => Kind::Init,
        RequestKind::Key => Kind::Key,
        RequestKind::Steering => Kind::Steering,
    }
}

const fn rendition(role: Role) -> Rendition {
    match role {
        Role::Main => Rendition::Main,
        Role::Audio => Rendition::Audio,
        Role::Subtitles => Rendition::Subtitles,
    }
}

const fn failure(error: &FetchError) -> FetchFailure {
    match error {
        FetchError::TimedOut => FetchFailure::Timeout,
        FetchError::Cut(_) => FetchFailure::Cut,
        FetchError::Malformed(_) => FetchFailure::BadContent,
        FetchError::Forbidden(_)
        | FetchError::NotConnected(_)
        | FetchError::Broken(_)
        | FetchError::Redirect(_) => FetchFailure::Connection,
    }
}

const fn describe(failure: PlaybackFailure) -> &'static str {
    match failure {
        PlaybackFailure::Playlist(_) => "the playlist could not be loaded",
        PlaybackFailure::NoMatchingVariant => "no variant matches --variant",
        PlaybackFailure::Key => "a key could not be loaded",
        PlaybackFailure::NothingToPlay => "the stream has ended, and nothing of it could be played",
    }
}
