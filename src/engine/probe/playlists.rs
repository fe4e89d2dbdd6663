//! The playlists that viewers read, and what they list. Equal bodies are parsed once for all viewers.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use hls_swarm_hls::playlist::media::EncryptionMethod;
use hls_swarm_hls::playlist::{Media, Multivariant, Playlist, read};
use hls_swarm_hls::request_target::RequestTarget;
use hls_swarm_model::exchange::MediaPlaylist;
use hls_swarm_model::listed::{Entry, Listed, ListedUrl, ListedUrls, Rendition, SegmentId, VariantLabel};
use hls_swarm_model::recent::Recent;
use hls_swarm_probe::record::{URL_HASH_START, encoding, hash_byte, url_hash};

use super::bodies::Body;

/// Maximum number of addresses in all playlists that are kept. Many playlists are small, but one of a day with segments
/// of 2 s has 43200.
const MAX_ADDRESSES: usize = 200_000;
/// Maximum number of variants and renditions of one playlist that have names.
const MAX_LABELS: usize = 1000;
/// Maximum size of a decoded body, bytes.
const MAX_DECODED_BYTES: u64 = 16 << 20;

/// A playlist that viewers read.
#[derive(Clone, Debug)]
pub struct Known {
    /// The content of the playlist.
    pub rendition: Rendition,
    /// The parsed playlist.
    pub said: Arc<Playlist>,
    /// The state of a media playlist; `None` for a multivariant playlist, and if the end is missing.
    pub state: Option<MediaPlaylist>,
    /// Whether its end is missing, because it is too long.
    pub is_cut: bool,
    /// The addresses that it lists, and the generation of the known addresses that contains them.
    lists: Arc<[ListedUrl]>,
    listed_in: Option<u32>,
}

/// Identity of a playlist's text: hash of its URL, what it carries, and hash of the body.
type Text = (u64, Rendition, Option<Arc<VariantLabel>>, u64);

/// The playlists that were read recently, by body, and the addresses that they list.
#[derive(Debug)]
pub struct Playlists {
    known: Recent<Text, Option<Known>>,
    hasher: RandomState,
    /// The addresses.
    pub urls: ListedUrls,
}

impl Default for Playlists {
    fn default() -> Self {
        Self { known: Recent::new(MAX_ADDRESSES), hasher: RandomState::new(), urls: ListedUrls::default() }
    }
}

/// The playlists of a run, shared by what reads them.
#[derive(Clone, Debug, Default)]
pub struct SharedPlaylists(Arc<Mutex<Playlists>>);

impl SharedPlaylists {
    /// The playlists. A panic elsewhere leaves them as they were, so it does not matter here.
    pub(super) fn lock(&self) -> MutexGuard<'_, Playlists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a multivariant playlist lists, which this program requested with `request`.
    pub(crate) fn learn(&self, request: &RequestTarget, playlist: &Playlist) {
        if let Playlist::Multivariant(multivariant) = playlist {
            let mut playlists = self.lock();
            of_multivariant(request, multivariant).into_iter().for_each(|url| playlists.urls.list(url));
        }
    }
}

impl Playlists {
    /// Takes the body of a response to `url_hash`; `None` if it is not a playlist. `entry`: what was requested.
    pub fn take(
        &mut self,
        url_hash: u64,
        entry: Option<&Entry>,
        body: &Body,
        coding: u8,
        tls: bool,
    ) -> Option<Known> {
        let (rendition, variant) = match entry {
            Some(Entry { listed: Listed::Playlist(rendition), variant }) => (*rendition, variant.clone()),
            _ => (Rendition::default(), None),
        };
        let key = (
            url_hash,
            rendition,
            variant.clone(),
            self.hasher.hash_one((coding, tls, body.is_cut, &body.bytes)),
        );
        let weight = |known: &Option<Known>| 1 + known.as_ref().map_or(0, |known| known.lists.len());
        if self.known.get(&key).is_none() {
            let of = Entry { listed: Listed::Playlist(rendition), variant: variant.clone() };
            let known = known(url_hash, body, coding, tls, &of);
            let weight = weight(&known);
            self.known.insert(key.clone(), known, weight);
        }
        let known = self.known.renew(&key, weight)?.as_mut()?;
        let entry = Entry { listed: Listed::Playlist(rendition), variant };
        self.urls.list(ListedUrl { url_hash, offset: None, entry });
        let generation = self.urls.generation();
        if known.listed_in != Some(generation) {
            known.lists.iter().for_each(|url| self.urls.list(url.clone()));
            known.listed_in = Some(generation);
        }
        Some(known.clone())
    }
}

fn known(playlist: u64, body: &Body, coding: u8, tls: bool, of: &Entry) -> Option<Known> {
    let rendition = match of.listed {
        Listed::Playlist(rendition) => rendition,
        _ => Rendition::default(),
    };
    let decoded = decoded(body, coding)?;
    let mut text = String::from_utf8_lossy(&decoded);
    if body.is_cut {
        // The last line may be incomplete.
        let end = text.rfind('\n').unwrap_or(0);
        text = text.get(..end)?.to_owned().into();
    }
    let said = read(&text, &body.request.url(tls)?).ok()?.playlist;
    let lists = match &said {
        Playlist::Media(media) => of_media(&body.request, media, playlist, rendition, of.variant.as_ref()),
        Playlist::Multivariant(multivariant) => of_multivariant(&body.request, multivariant),
    };
    let state = if body.is_cut { None } else { state(&said) };
    let (said, lists) = (Arc::new(said), lists.into());
    Some(Known { rendition, said, state, is_cut: body.is_cut, lists, listed_in: None })
}

/// The decoded body; `None` if it cannot be decoded.
fn decoded(body: &Body, coding: u8) -> Option<Vec<u8>> {
    let bytes = body.bytes.as_slice();
    let all = |reader: &mut dyn Read| {
        let mut decoded = Vec::new();
        let read = reader.take(MAX_DECODED_BYTES).read_to_end(&mut decoded);
        // A body that was cut ends with an error.
        (read.is_ok() || (body.is_cut && !decoded.is_empty())).then_some(decoded)
    };
    match coding {
        encoding::IDENTITY => Some(bytes.to_vec()),
        encoding::GZIP => all(&mut GzDecoder::new(bytes)),
        // As FFmpeg and browsers do: some servers send it without the frame that RFC 9110 requires (8.4.1.2).
        encoding::DEFLATE => {
            all(&mut ZlibDecoder::new(bytes)).or_else(|| all(&mut DeflateDecoder::new(bytes)))
        }
        _ => None,
    }
}

fn hash(request: &RequestTarget) -> u64 {
    url_hash(request.target.as_bytes(), request.host.as_bytes())
}

/// The hashes that requests for an address may have: as it is in the playlist, and as normalizing players write it.
fn hashes(base: &RequestTarget, uri: &str, url: &url::Url) -> impl Iterator<Item = u64> {
    let raw = base.resolve(uri).map(|request| hash(&request));
    let normalized = url.has_host().then(|| hash(&url.into())).filter(|normalized| raw != Some(*normalized));
    raw.into_iter().chain(normalized)
}

fn of_media(
    base: &RequestTarget,
    media: &Media,
    playlist: u64,
    rendition: Rendition,
    variant: Option<&Arc<VariantLabel>>,
) -> Vec<ListedUrl> {
    let mut urls = Vec::with_capacity(media.segments.len() + 2);
    let mut list = |uri: &str, url: &url::Url, offset: Option<u64>, listed: Listed| {
        // One key may serve all variants.
        let variant = variant.filter(|_| listed != Listed::Key).cloned();
        let entry = Entry { listed, variant };
        urls.extend(hashes(base, uri, url).map(|url_hash| ListedUrl {
            url_hash,
            offset,
            entry: entry.clone(),
        }));
    };
    let (mut key, mut map) = (None, None);
    for segment in &media.segments {
        // Both apply to many segments.
        if map != segment.map.as_ref() {
            map = segment.map.as_ref();
            if let Some(map) = map {
                list(&map.uri, &map.url, map.byte_range.map(|range| range.offset), Listed::Init);
            }
        }
        if key != segment.key.as_ref() {
            key = segment.key.as_ref();
            if let Some((key, url)) = key.and_then(|key| Some((key, key.url.as_ref()?))) {
                list(&key.uri, url, None, Listed::Key);
            }
        }
        let id = SegmentId {
            playlist,
            sequence: segment.sequence,
            duration_us: (segment.duration * 1e6) as u64,
            rendition,
            encrypted: key.is_some_and(|key| key.method == EncryptionMethod::Aes128),
            from_start: true,
        };
        let offset = segment.byte_range.map(|range| range.offset);
        let listed = if segment.gap { Listed::Gap } else { Listed::Segment(Some(id)) };
        list(&segment.uri, &segment.url, offset, listed);
    }
    urls
}

fn of_multivariant(base: &RequestTarget, playlist: &Multivariant) -> Vec<ListedUrl> {
    let mut urls = Vec::new();
    if let Some(steering) = &playlist.content_steering {
        let entry = Entry { listed: Listed::Steering, variant: None };
        let listed = |url_hash| ListedUrl { url_hash, offset: None, entry: entry.clone() };
        urls.extend(hashes(base, &steering.uri, &steering.url).map(listed));
    }
    let mut list = |uri: &str, url: &url::Url, rendition: Rendition, variant: Option<VariantLabel>| {
        let entry = Entry { listed: Listed::Playlist(rendition), variant: variant.map(Arc::new) };
        let listed = |url_hash| ListedUrl { url_hash, offset: None, entry: entry.clone() };
        urls.extend(hashes(base, uri, url).map(listed));
    };
    // Of several entries for one address the first counts, and a variant before a rendition: a playlist may be both
    // (for audio-only playback).
    for (place, one) in playlist.renditions.iter().enumerate().rev() {
        if let Some((uri, url)) = one.uri.as_ref().zip(one.url.as_ref()) {
            let label = (place < MAX_LABELS).then(|| VariantLabel::of_rendition(playlist, one));
            list(uri, url, Rendition::of(one.kind), label);
        }
    }
    for (place, one) in playlist.variants.iter().enumerate().rev() {
        let label = (place < MAX_LABELS).then(|| VariantLabel::of_variant(playlist, one));
        list(&one.uri, &one.url, Rendition::Main, label);
    }
    urls
}

/// The state by which insight compares playlists.
pub(crate) fn state(said: &Playlist) -> Option<MediaPlaylist> {
    let Playlist::Media(media) = said else { return None };
    let last = media.segments.last().map(|segment| last_element(&segment.uri));
    let segments = media.skipped.saturating_add(media.segments.len() as u64);
    Some(MediaPlaylist {
        sequence: media.media_sequence,
        segments: u32::try_from(segments).unwrap_or(u32::MAX),
        last_segment: last.map_or(0, |name| name.bytes().fold(URL_HASH_START, hash_byte)),
        discontinuity_sequence: u32::try_from(media.discontinuity_sequence).unwrap_or(u32::MAX),
        target_seconds: media.target_duration as u32,
        ended: media.ended,
    })
}

/// The last element of an address's path; tokens before and after it may differ.
fn last_element(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    path.rsplit('/').next().unwrap_or(path)
}
