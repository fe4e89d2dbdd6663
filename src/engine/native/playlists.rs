//! The playlists that a thread's viewers read. Equal bodies are parsed once: most viewers read the same text, so each
//! body is compared with the last ones of its address first.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use url::Url;

use hls_swarm_client::head::Coding;
use hls_swarm_hls::playlist::variables::Definition;
use hls_swarm_hls::playlist::{Playlist, read_with};
use hls_swarm_model::exchange::MediaPlaylist;

use hls_swarm_probe::record::hash_byte;

use crate::engine::probe::playlists::state;

/// Bodies that are kept per address: with caches in between, viewers see an old one and a new one in turn.
const MAX_BODIES: usize = 3;
/// Addresses that are kept. With an address for each viewer, more would only cost memory.
const ADDRESSES: usize = 2_000;
/// Maximum size of a decoded body, bytes.
const LARGEST_DECODED: u64 = 64 << 20;

/// A playlist that was read.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The parsed playlist.
    pub(super) playlist: Arc<Playlist>,
    /// The state of a media playlist.
    pub(super) state: Option<MediaPlaylist>,
}

/// A body, and the playlist in it, if there is one.
type Seen = (Box<[u8]>, Option<Known>);

/// The playlists of one thread.
#[derive(Debug, Default)]
pub(super) struct Playlists {
    /// By the hash of the address: bodies, latest first.
    known: HashMap<u64, Vec<Seen>>,
}

impl Playlists {
    /// The playlist in `body`, which was found at `url` and may import these variables; `None` if it is not one.
    pub(super) fn take(
        &mut self,
        url_hash: u64,
        url: &Url,
        body: &[u8],
        coding: Coding,
        imports: &[Definition],
    ) -> Option<Known> {
        // Viewers with other variables read something else.
        let url_hash = imports.iter().fold(url_hash, |hash, one| {
            let value = one.value.as_deref().unwrap_or_default();
            one.name.bytes().chain([b'=']).chain(value.bytes()).fold(hash, hash_byte)
        });
        if self.known.len() >= ADDRESSES && !self.known.contains_key(&url_hash) {
            self.known.clear();
        }
        let bodies = self.known.entry(url_hash).or_default();
        if let Some(place) = bodies.iter().position(|(known, _)| **known == *body) {
            return bodies.get(place).and_then(|(_, known)| known.clone());
        }
        let known = parsed(url, body, coding, imports).map(|known| completed(known, bodies));
        bodies.insert(0, (body.into(), known.clone()));
        bodies.truncate(MAX_BODIES);
        known
    }
}

/// Completes a delta update with a playlist that came before it, for all viewers at once: each would otherwise have a copy
/// of its own. What cannot be completed is left to the player, which may have another playlist.
fn completed(known: Known, before: &[Seen]) -> Known {
    let Playlist::Media(update) = &*known.playlist else { return known };
    if update.skipped == 0 {
        return known;
    }
    let whole = before.iter().find_map(|(_, before)| match &*before.as_ref()?.playlist {
        Playlist::Media(before) => update.completed(before),
        Playlist::Multivariant(_) => None,
    });
    match whole {
        Some(whole) => Known { playlist: Arc::new(Playlist::Media(whole)), ..known },
        None => known,
    }
}

fn parsed(url: &Url, body: &[u8], coding: Coding, imports: &[Definition]) -> Option<Known> {
    let text = decoded_body(body, coding)?;
    let playlist = read_with(&String::from_utf8_lossy(&text), url, imports).ok()?.playlist;
    let state = state(&playlist);
    Some(Known { playlist: Arc::new(playlist), state })
}

/// A body without its coding; `None` if it cannot be decoded.
pub(super) fn decoded_body(body: &[u8], coding: Coding) -> Option<Cow<'_, [u8]>> {
    let text = match coding {
        Coding::Identity => body.into(),
        Coding::Gzip => decoded(&mut GzDecoder::new(body))?.into(),
        // Some servers send it without the frame that RFC 9110 requires (8.4.1.2).
        Coding::Deflate => {
            decoded(&mut ZlibDecoder::new(body)).or_else(|| decoded(&mut DeflateDecoder::new(body)))?.into()
        }
        Coding::Other => return None,
    };
    Some(text)
}

fn decoded(reader: &mut dyn Read) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    reader.take(LARGEST_DECODED).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\na.ts\n";

    #[test]
    fn equal_bodies_are_parsed_once() {
        let url: Url = "http://h/a.m3u8".parse().unwrap();
        let mut playlists = Playlists::default();
        let mut take = |hash, body: &[u8]| playlists.take(hash, &url, body, Coding::Identity, &[]);
        let first = take(1, TEXT).unwrap();
        assert_eq!(first.state.unwrap().next_sequence(), 8);
        assert!(Arc::ptr_eq(&first.playlist, &take(1, TEXT).unwrap().playlist));
        assert!(!Arc::ptr_eq(&first.playlist, &take(2, TEXT).unwrap().playlist), "another address");
        assert!(take(1, b"<html>").is_none() && take(1, b"<html>").is_none());
        assert!(Arc::ptr_eq(&first.playlist, &take(1, TEXT).unwrap().playlist));
    }

    #[test]
    fn a_delta_update_is_completed_once_for_all_viewers() {
        let url: Url = "http://h/a.m3u8".parse().unwrap();
        let mut playlists = Playlists::default();
        let list = |first: u64, skipped: u64, until: u64| {
            let skip =
                if skipped > 0 { format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n") } else { String::new() };
            let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{skip}");
            let segments = (first + skipped..until).map(|number| format!("#EXTINF:2,\n{number}.ts\n"));
            head + &segments.collect::<String>()
        };
        let mut take =
            |text: String| playlists.take(1, &url, text.as_bytes(), Coding::Identity, &[]).unwrap();
        let listed = |known: &Known| match &*known.playlist {
            Playlist::Media(media) => (media.skipped, media.segments.len()),
            Playlist::Multivariant(_) => (0, 0),
        };
        assert_eq!(listed(&take(list(5, 3, 10))), (3, 2), "nothing is known that could complete it");
        take(list(5, 0, 10));
        for (first, until) in [(6, 11), (7, 12), (8, 13), (9, 14)] {
            let one = take(list(first, 3, until));
            assert_eq!(listed(&one), (0, 5));
            assert!(Arc::ptr_eq(&one.playlist, &take(list(first, 3, until)).playlist));
        }
    }

    #[test]
    fn imported_variables_are_those_of_the_viewer() {
        let url: Url = "http://h/a.m3u8".parse().unwrap();
        let text =
            b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DEFINE:IMPORT=\"cdn\"\n#EXTINF:2,\n{$cdn}/1.ts\n";
        let mut playlists = Playlists::default();
        let mut segment = |value: &str| {
            let source = hls_swarm_hls::playlist::variables::DefinitionSource::Value;
            let cdn = Definition { name: "cdn".into(), source, value: Some(value.into()) };
            let known = playlists.take(1, &url, text, Coding::Identity, &[cdn]).unwrap();
            let Playlist::Media(media) = &*known.playlist else { panic!("a media playlist") };
            media.segments[0].url.to_string()
        };
        assert_eq!([segment("http://a"), segment("http://b")], ["http://a/1.ts", "http://b/1.ts"]);
    }

    #[test]
    fn compressed_playlists_are_read() {
        let url: Url = "http://h/a.m3u8".parse().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(TEXT).unwrap();
        let body = gzip.finish().unwrap();
        assert!(Playlists::default().take(1, &url, &body, Coding::Gzip, &[]).is_some());
        assert!(Playlists::default().take(1, &url, &body[..20], Coding::Gzip, &[]).is_none());
        assert!(Playlists::default().take(1, &url, &body, Coding::Other, &[]).is_none());
    }
}
