//! The beginning: the URL that the viewer opens, and the renditions that follow from it.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::Playlist;
use hls_swarm_hls::playlist::multivariant::{Multivariant, RenditionKind, Variant};
use hls_swarm_hls::selection::{NoMatchingVariant, Selected, VariantSelection, select, select_among};

use super::track::{Source, Track};
use super::*;
use crate::config::Variants;
use crate::interface::{Fetch, Transfer};

/// Beginnings of the names of video codecs in CODECS.
const VIDEO_CODECS: [&str; 9] = ["avc", "hvc1", "hev1", "dvh1", "dvhe", "vp08", "vp09", "av01", "dva"];

/// Whether a variant is known to have no video.
fn is_audio_only(variant: &Variant) -> bool {
    let video = |codecs: &String| {
        codecs.split(',').any(|codec| VIDEO_CODECS.iter().any(|video| codec.trim().starts_with(video)))
    };
    variant.resolution.is_none() && variant.codecs.as_ref().is_some_and(|codecs| !video(codecs))
}

impl Player {
    pub(super) fn begin(&mut self) {
        if self.opening == Opening::Idle {
            self.began = self.now;
            self.watch.at = self.now;
            self.opening = Opening::Waiting { due: self.now, failures: 0 };
        }
    }

    pub(super) fn request_opening(&mut self, outputs: &mut Vec<Output>) {
        let Opening::Waiting { due, failures } = self.opening else { return };
        if due > self.now {
            return;
        }
        let request = self.next_id();
        self.opening = Opening::Loading { request, began: self.now, failures };
        outputs.push(Output::Fetch(Fetch {
            request,
            kind: RequestKind::Multivariant,
            role: Role::Main,
            variant: 0,
            url: self.config.url.clone(),
            byte_range: None,
            segment: None,
            waits: false,
            cmcd: self.cmcd_of_playlist(),
            repeated: failures > 0,
        }));
    }

    pub(super) fn opening_failed(
        &mut self,
        failure: FetchFailure,
        failures: u8,
        at: Duration,
        outputs: &mut Vec<Output>,
    ) {
        self.figures.failures += 1;
        let failures = failures.saturating_add(1);
        let chance = self.chance();
        match self.rules.playlists.wait(failure, failures, chance) {
            Some(wait) => self.opening = Opening::Waiting { due: at + wait, failures },
            None => self.fail_playback(PlaybackFailure::Playlist(failure), outputs),
        }
    }

    /// Takes what the URL turned out to be.
    pub(super) fn opened(
        &mut self,
        playlist: Arc<Playlist>,
        transfer: &Transfer,
        age: Duration,
        outputs: &mut Vec<Output>,
    ) {
        self.opening = Opening::Done;
        match &*playlist {
            Playlist::Media(_) => {
                if let Variants::Adaptive(algorithm) = self.config.variants {
                    // There is nothing to choose; the throughput is estimated nevertheless.
                    self.abr = Abr::new(algorithm);
                }
                self.levels = vec![Level {
                    variant: 0,
                    bandwidth: 0,
                    average: 0,
                    penalty_until: Duration::ZERO,
                    known: false,
                }];
                let mut track = Track::new(Role::Main, Source::Opened, transfer.started);
                track.reload.due = None;
                self.tracks.push(track);
                self.take_media_playlist(0, playlist, transfer, age, outputs);
            }
            Playlist::Multivariant(list) => {
                if !self.open_variants(list) {
                    return self.fail_playback(PlaybackFailure::NoMatchingVariant, outputs);
                }
                self.multivariant = Some(playlist);
                self.preload_session_keys();
            }
        }
        self.tracks.shrink_to_fit();
        self.levels.shrink_to_fit();
        let needed = self.tracks.iter().filter(|track| track.role != Role::Subtitles).count();
        if !self.plays_all() {
            let buffer = self.config.preset.rules();
            let playhead = Playhead::new(buffer, needed, ns(self.began));
            self.playhead = Some(playhead.with_decoder(ns(self.config.decoding)));
        }
    }

    /// Whether every rendition is downloaded, and nothing is played.
    pub(super) fn plays_all(&self) -> bool {
        self.config.variants == Variants::Fixed(VariantSelection::All) && self.multivariant.is_some()
    }

    /// Chooses what to play of a multivariant playlist. Returns whether there is anything.
    fn open_variants(&mut self, list: &Multivariant) -> bool {
        let place = |found: &Variant| list.variants.iter().position(|variant| std::ptr::eq(variant, found));
        let steering = self.steering_of(list);
        let on_pathway = |place: usize| steering.as_ref().is_none_or(|steering| steering.has(place));
        let chosen: Vec<usize> = match self.config.variants {
            Variants::Adaptive(algorithm) => {
                self.abr = Abr::new(algorithm);
                usable(list).filter(|place| on_pathway(*place)).collect()
            }
            Variants::Fixed(selection) => match selected(list, selection, on_pathway) {
                Ok(Selected::Multivariant) => return self.open_all(list),
                Ok(Selected::Variants(variants)) => {
                    let turn = self.seed.checked_rem(variants.len() as u64).unwrap_or(0) as usize;
                    variants.get(turn).copied().and_then(place).into_iter().collect()
                }
                Err(_) => return false,
            },
        };
        let Some(listed_first) = chosen.first().copied() else { return false };
        self.levels = sorted_levels(list, chosen);
        self.steering = steering;
        let first = self.levels.iter().position(|level| usize::from(level.variant) == listed_first);
        let mut abr = std::mem::replace(&mut self.abr, Abr::Fixed);
        self.level = abr.first(&self.view(), first.unwrap_or(0)).min(self.levels.len() - 1);
        self.abr = abr;
        let variant = self.levels[self.level].variant;
        self.tracks.push(Track::new(Role::Main, Source::Variant(variant), self.now));
        let audio = audio_of(list, variant);
        self.tracks.extend(audio.map(|audio| Track::new(Role::Audio, audio, self.now)));
        if self.config.subtitles {
            let subtitles = subtitles_of(list, variant);
            self.tracks.extend(subtitles.map(|source| Track::new(Role::Subtitles, source, self.now)));
        }
        true
    }

    /// The variants to choose from among those that `is_wanted`, lowest BANDWIDTH first.
    pub(super) fn levels_among(&self, list: &Multivariant, is_wanted: impl Fn(usize) -> bool) -> Vec<Level> {
        let mut levels = sorted_levels(list, usable(list).filter(|place| is_wanted(*place)));
        for level in &mut levels {
            level.known = self.ended.iter().any(|(variant, _)| *variant == level.variant);
        }
        levels
    }

    /// Every variant, and every rendition that has a playlist.
    fn open_all(&mut self, list: &Multivariant) -> bool {
        self.levels = (0..list.variants.len()).filter_map(|place| level(list, place)).collect();
        let now = self.now;
        let variants = (0..list.variants.len()).filter_map(|place| u16::try_from(place).ok());
        self.tracks.extend(variants.map(|place| Track::new(Role::Main, Source::Variant(place), now)));
        for (place, rendition) in list.renditions.iter().enumerate() {
            let role = match rendition.kind {
                RenditionKind::Audio => Role::Audio,
                RenditionKind::Subtitles if self.config.subtitles => Role::Subtitles,
                _ => continue,
            };
            if let (Some(_), Ok(place)) = (&rendition.url, u16::try_from(place)) {
                self.tracks.push(Track::new(role, Source::Rendition(place), now));
            }
        }
        !self.tracks.is_empty()
    }
}

/// Variants that can be played: those with video, where any has video.
fn usable(list: &Multivariant) -> impl Iterator<Item = usize> {
    let video = list.variants.iter().any(|variant| !is_audio_only(variant));
    let usable = move |variant: &Variant| !(video && is_audio_only(variant));
    list.variants.iter().enumerate().filter(move |(_, variant)| usable(variant)).map(|(place, _)| place)
}

/// The variants of a selection: those of the pathway that is played, unless it has none.
fn selected(
    list: &Multivariant,
    selection: VariantSelection,
    on_pathway: impl Fn(usize) -> bool,
) -> Result<Selected<'_>, NoMatchingVariant> {
    let own: Vec<&Variant> = list
        .variants
        .iter()
        .enumerate()
        .filter(|(place, _)| on_pathway(*place))
        .map(|(_, one)| one)
        .collect();
    select_among(&own, selection).or_else(|_| select(list, selection))
}

fn sorted_levels(list: &Multivariant, places: impl IntoIterator<Item = usize>) -> Vec<Level> {
    let mut levels: Vec<Level> = places.into_iter().filter_map(|place| level(list, place)).collect();
    levels.sort_by_key(|level| level.bandwidth);
    levels
}

fn level(list: &Multivariant, place: usize) -> Option<Level> {
    let variant = list.variants.get(place)?;
    Some(Level {
        variant: u16::try_from(place).ok()?,
        bandwidth: variant.bandwidth,
        average: variant.average_bandwidth.unwrap_or(variant.bandwidth),
        penalty_until: Duration::ZERO,
        known: false,
    })
}

/// The separate audio that belongs to a variant.
pub(super) fn audio_of(list: &Multivariant, variant: u16) -> Option<Source> {
    let url = list.audio_of(list.variants.get(usize::from(variant))?)?;
    let is_it = |url_of: Option<&url::Url>| url_of.is_some_and(|other| std::ptr::eq(other, url));
    let place = list.renditions.iter().position(|rendition| is_it(rendition.url.as_ref()))?;
    u16::try_from(place).ok().map(Source::Rendition)
}

/// The subtitles of a variant that are shown unless the user chose others: those that are default.
pub(super) fn subtitles_of(list: &Multivariant, variant: u16) -> Option<Source> {
    let group = list.variants.get(usize::from(variant))?.subtitles.as_deref()?;
    let place = list.renditions.iter().position(|rendition| {
        rendition.kind == RenditionKind::Subtitles
            && rendition.group == group
            && rendition.default
            && rendition.url.is_some()
    })?;
    u16::try_from(place).ok().map(Source::Rendition)
}
