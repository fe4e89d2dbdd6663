//! Pathways: which server the variants come from (RFC 8216bis, 7), by the steering server and after failures.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::multivariant::Variant;
use hls_swarm_hls::playlist::pathway::{DEFAULT_PATHWAY, Pathways};
use hls_swarm_hls::playlist::{Multivariant, Playlist};
use hls_swarm_hls::query::set_parameter;
use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_hls::steering::{DEFAULT_TTL, SteeringManifest};
use url::Url;

use super::open::{audio_of, subtitles_of};
use super::rules::Refusals;
use super::track::Source;
use super::*;
use crate::config::Variants;
use crate::interface::{Fetch, PathwayCause};
use crate::preset::Preset;

/// The pathways of a stream, and the one that is played.
#[derive(Clone, Debug)]
pub(crate) struct Steering {
    pub(crate) pathways: Pathways,
    current: u16,
    /// The pathways that the steering server prefers, by their identifiers; empty before it has answered.
    priority: Vec<String>,
    /// Pathways that failed, and when.
    penalized: Vec<(u16, Duration)>,
    /// The pathway to go to between two segments.
    wanted: Option<u16>,
    server: Option<Server>,
}

/// The steering server.
#[derive(Clone, Debug)]
struct Server {
    url: Url,
    ttl: Duration,
    /// When the next request is due; `None`: never, or not before the one under way is answered.
    due: Option<Duration>,
    request: Option<RequestId>,
    /// When the last request began.
    began: Duration,
    failures: u8,
    /// Whether it has answered, or failed for good.
    answered: bool,
    /// Whether it has sent a manifest.
    known: bool,
}

impl Preset {
    /// Whether this player asks the steering server of a stream (EXT-X-CONTENT-STEERING).
    #[must_use]
    pub const fn asks_steering_servers(self) -> bool {
        Rules::of(self).pathways.is_some()
    }
}

impl Steering {
    /// The pathways of a playlist that a viewer begins to play at `now`. `None` if there is nothing to choose.
    pub(crate) fn new(list: &Multivariant, now: Duration) -> Option<Self> {
        let pathways = Pathways::of(list);
        let steering = list.content_steering.as_ref();
        let server = steering.filter(|steering| matches!(steering.url.scheme(), "http" | "https"));
        if pathways.names.len() < 2 && server.is_none() {
            return None;
        }
        let named = steering.and_then(|steering| steering.pathway.as_deref()).unwrap_or(DEFAULT_PATHWAY);
        let server = server.map(|steering| Server {
            url: steering.url.clone(),
            ttl: DEFAULT_TTL,
            due: Some(now),
            request: None,
            began: now,
            failures: 0,
            answered: false,
            known: false,
        });
        let current = pathways.find(named).unwrap_or(0);
        let (priority, penalized) = (Vec::new(), Vec::new());
        Some(Self { pathways, current, priority, penalized, wanted: None, server })
    }

    /// Whether the variant at `place` belongs to the pathway that is played.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.pathways.of.get(place) == Some(&Some(self.current))
    }

    /// The pathway to be played: the first one in the order of priority that has not failed within `penalty`.
    fn preferred(&mut self, now: Duration, penalty: Duration) -> Option<u16> {
        self.penalized.retain(|(_, since)| now.saturating_sub(*since) <= penalty);
        let names = if self.priority.is_empty() { &self.pathways.names } else { &self.priority };
        let places = names.iter().filter_map(|name| self.pathways.find(name));
        let is_penalized = |place: &u16| self.penalized.iter().any(|(known, _)| known == place);
        places.into_iter().find(|place| !is_penalized(place))
    }

    /// When something is to be done: a request, or a time limit.
    pub(crate) fn due(&self) -> Option<Duration> {
        let server = self.server.as_ref()?;
        server.request.map(|_| server.began + rules::PLAYLIST_LIMIT).or(server.due)
    }
}

impl Player {
    /// The multivariant playlist, with the pathways that the steering server added. `None` before it was loaded, and
    /// where the stream has none.
    #[must_use]
    pub const fn multivariant(&self) -> Option<&Arc<Playlist>> {
        self.multivariant.as_ref()
    }

    /// The pathways of the playlist, if this viewer follows them.
    pub(super) fn steering_of(&self, list: &Multivariant) -> Option<Box<Steering>> {
        let every = [VariantSelection::All, VariantSelection::Each].map(Variants::Fixed);
        let follows = self.rules.pathways.is_some() && !every.contains(&self.config.variants);
        follows.then(|| Steering::new(list, self.now)).flatten().map(Box::new)
    }

    /// Whether playback does not begin because the steering server has not answered yet.
    pub(super) fn waits_for_steering(&self) -> bool {
        let waits = self.rules.pathways.is_some_and(|rules| rules.waits_for_manifest);
        let server = self.steering.as_ref().and_then(|steering| steering.server.as_ref());
        waits && server.is_some_and(|server| !server.answered)
    }

    /// Whether this is the request of a steering manifest.
    pub(super) fn is_steering(&self, request: RequestId) -> bool {
        let server = self.steering.as_ref().and_then(|steering| steering.server.as_ref());
        server.is_some_and(|server| server.request == Some(request))
    }

    pub(super) fn request_steering(&mut self, outputs: &mut Vec<Output>) {
        let (now, throughput) = (self.now, self.throughput_known());
        let waits = self.rules.pathways.is_some_and(|rules| rules.waits_for_manifest);
        let Some(steering) = &self.steering else { return };
        let Some(server) = steering.server.as_ref().filter(|server| server.due.is_some_and(|due| due <= now))
        else {
            return;
        };
        let mut url = server.url.clone();
        // A player that waits for the manifest plays no pathway before it.
        if server.known || !waits {
            let name = steering.pathways.names.get(usize::from(steering.current));
            set_parameter(&mut url, "_HLS_pathway", name.map_or(DEFAULT_PATHWAY, String::as_str));
            if let Some(bits) = throughput {
                set_parameter(&mut url, "_HLS_throughput", &(bits as u64).to_string());
            }
        }
        let repeated = server.failures > 0;
        let request = self.next_id();
        if let Some(server) = self.steering.as_mut().and_then(|steering| steering.server.as_mut()) {
            (server.request, server.due, server.began) = (Some(request), None, now);
        }
        outputs.push(Output::Fetch(Fetch {
            request,
            kind: RequestKind::Steering,
            role: Role::Main,
            variant: 0,
            url,
            byte_range: None,
            segment: None,
            waits: false,
            cmcd: None,
            repeated,
        }));
    }

    pub(super) fn take_steering(&mut self, request: RequestId, manifest: &SteeringManifest, at: Duration) {
        if !self.is_steering(request) {
            return;
        }
        let at = at.min(self.now);
        let with = self.list().and_then(|list| list.with_clones(&manifest.clones));
        let pathways = with.as_ref().map(Pathways::of);
        if let Some(with) = with {
            self.multivariant = Some(Arc::new(Playlist::Multivariant(with)));
        }
        let now = self.now;
        let penalty = self.rules.pathways.map_or(Duration::ZERO, |rules| rules.penalty);
        let Some(steering) = &mut self.steering else { return };
        if let Some(server) = &mut steering.server {
            (server.request, server.failures) = (None, 0);
            (server.answered, server.known) = (true, true);
            server.ttl = manifest.ttl;
            server.due = Some(at + manifest.ttl);
            if let Some(url) = &manifest.reload_url {
                server.url = url.clone();
            }
        }
        if let Some(pathways) = pathways {
            steering.pathways = pathways;
        }
        if !manifest.priority.is_empty() {
            steering.priority.clone_from(&manifest.priority);
            steering.wanted =
                steering.preferred(now, penalty).filter(|preferred| *preferred != steering.current);
        }
    }

    pub(super) fn steering_failed(
        &mut self,
        failure: FetchFailure,
        retry_after: Option<Duration>,
        at: Duration,
    ) {
        self.figures.failures += 1;
        let chance = self.chance();
        let Some(rules) = self.rules.pathways else { return };
        let server = self.steering.as_mut().and_then(|steering| steering.server.as_mut());
        let Some(server) = server else { return };
        server.request = None;
        server.failures = server.failures.saturating_add(1);
        let repetition = rules.retry.wait(failure, server.failures, chance);
        server.answered |= repetition.is_none();
        server.due = match (failure, rules.refusals) {
            (FetchFailure::Status(410), Refusals::Final | Refusals::Specified)
            | (FetchFailure::Status(429), Refusals::Final) => {
                server.answered = true;
                None
            }
            (FetchFailure::Status(429), Refusals::Specified) => {
                (server.answered, server.failures) = (true, 0);
                Some(at + retry_after.unwrap_or(server.ttl))
            }
            _ => {
                if repetition.is_none() {
                    server.failures = 0;
                }
                Some(at + repetition.unwrap_or(server.ttl))
            }
        };
    }

    /// Drops a request for a steering manifest that has taken too long.
    pub(super) fn limit_steering(&mut self, outputs: &mut Vec<Output>) {
        let server = self.steering.as_ref().and_then(|steering| steering.server.as_ref());
        let Some((request, began)) = server.and_then(|server| Some((server.request?, server.began))) else {
            return;
        };
        if began + rules::PLAYLIST_LIMIT <= self.now {
            outputs.push(Output::Abort(request));
            self.steering_failed(FetchFailure::Timeout, None, self.now);
        }
    }

    /// Goes to the pathway that the steering server prefers, at the beginning of a segment. A playlist that is under way
    /// is awaited, unless the server holds it.
    pub(super) fn follow_steering(&mut self, outputs: &mut Vec<Output>) {
        let Some(wanted) = self.steering.as_ref().and_then(|steering| steering.wanted) else { return };
        let between = |main: &Track| {
            let comes = main.reload.request.is_some() && main.blocking().is_none();
            main.load.is_none() && main.before_switch.is_none() && main.part == 0 && !comes
        };
        if self.main().is_some_and(between) {
            self.switch_pathway(wanted, PathwayCause::Steering, outputs);
        }
    }

    /// Goes to another pathway because the present one fails. Returns whether there is another one.
    pub(super) fn fail_over(&mut self, outputs: &mut Vec<Output>) -> bool {
        let now = self.now;
        let (Some(rules), Some(steering)) = (self.rules.pathways, &mut self.steering) else { return false };
        if steering.pathways.names.len() < 2 {
            return false;
        }
        let current = steering.current;
        if !steering.penalized.iter().any(|(known, _)| *known == current) {
            steering.penalized.push((current, now));
        }
        let preferred = steering.preferred(now, rules.penalty).filter(|preferred| *preferred != current);
        preferred.is_some_and(|to| self.switch_pathway(to, PathwayCause::Failure, outputs))
    }

    /// Plays the variants of another pathway from now on. Returns whether it has any.
    fn switch_pathway(&mut self, to: u16, cause: PathwayCause, outputs: &mut Vec<Output>) -> bool {
        let Some(steering) = &mut self.steering else { return false };
        steering.wanted = None;
        let before = std::mem::replace(&mut steering.current, to);
        let found = self.levels_of_pathway();
        let Some((levels, level)) = found else {
            if let Some(steering) = &mut self.steering {
                steering.current = before;
            }
            return false;
        };
        let old = self.levels.get(self.level).copied();
        self.levels = levels;
        self.level = level;
        self.abr.levels_changed(level);
        // Nothing of the pathway before is waited for.
        if let Some(load) = self.tracks.first_mut().and_then(|main| main.load.as_mut()) {
            load.is_given_up = false;
        }
        let (Some(old), Some(new)) = (old, self.levels.get(level).copied()) else { return false };
        let untouched = |main: &Track| {
            main.playlist.is_none() && main.before_switch.is_none() && main.reload.request.is_none()
        };
        // Where nothing was requested yet, it is the pathway to begin with.
        if !self.main().is_some_and(untouched) {
            self.figures.pathway_switches += 1;
            self.figures.switches_up += u32::from(new.bandwidth > old.bandwidth);
            self.figures.switches_down += u32::from(new.bandwidth < old.bandwidth);
            let kind = EventKind::PathwaySwitched { from: old.variant, to: new.variant, cause };
            self.event(self.now, kind, outputs);
        }
        let known = self.ended.iter().find(|(variant, _)| *variant == new.variant);
        let known = known.map(|(_, playlist)| Arc::clone(playlist));
        self.move_track(0, Source::Variant(new.variant), known, outputs);
        for index in 1..self.tracks.len() {
            let source = self.list().and_then(|list| match self.tracks[index].role {
                Role::Audio => audio_of(list, new.variant),
                Role::Subtitles => subtitles_of(list, new.variant),
                Role::Main => None,
            });
            if let Some(source) = source.filter(|source| *source != self.tracks[index].source) {
                self.move_track(index, source, None, outputs);
            }
        }
        true
    }

    /// The variants of the pathway that is played now, and which of them takes the place of the present one.
    fn levels_of_pathway(&self) -> Option<(Vec<Level>, usize)> {
        let list = self.list()?;
        let present = self.levels.get(self.level)?;
        let variant = list.variants.get(usize::from(present.variant))?;
        let mut levels = self
            .levels_among(list, |place| self.steering.as_ref().is_some_and(|steering| steering.has(place)));
        let is_fixed = matches!(self.config.variants, Variants::Fixed(_));
        let is_same = |level: &Level| {
            list.variants.get(usize::from(level.variant)).is_some_and(|other| is_counterpart(variant, other))
        };
        let same = levels.iter().position(is_same);
        let same_place = Some(self.level).filter(|_| !is_fixed && levels.len() == self.levels.len());
        let nearest = (0..levels.len())
            .min_by_key(|place| levels.get(*place).map(|level| level.bandwidth.abs_diff(present.bandwidth)));
        let level = same.or(same_place).or(nearest)?;
        if is_fixed {
            levels = vec![*levels.get(level)?];
            return Some((levels, 0));
        }
        Some((levels, level))
    }
}

/// Whether a variant of another pathway has the same media.
fn is_counterpart(one: &Variant, other: &Variant) -> bool {
    match (&one.stable_id, &other.stable_id) {
        (Some(one), Some(other)) => one == other,
        _ => {
            (one.bandwidth, one.resolution, &one.codecs) == (other.bandwidth, other.resolution, &other.codecs)
        }
    }
}
