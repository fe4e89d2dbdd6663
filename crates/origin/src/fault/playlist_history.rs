//! Earlier versions of playlists, for the faults that serve an outdated playlist.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, TRANSFER_ENCODING};
use hyper::{HeaderMap, Response};

use crate::publisher::playlist;

/// Number of versions kept per path; more than any sensible fault needs.
const MAX_SAVED: usize = 64;
/// Number of paths whose versions are kept, and of stalled playlists: more than any stream has playlists.
const MAX_PATHS: usize = 256;

/// A response with its whole body.
pub(crate) type FullResponse = Response<Bytes>;

/// The playlists that were served.
#[derive(Debug, Default)]
pub(crate) struct PlaylistHistory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    versions: HashMap<String, VecDeque<(u64, SavedResponse)>>,
    frozen: HashMap<(u64, String), SavedResponse>,
}

#[derive(Clone, Debug)]
struct SavedResponse(HeaderMap, Bytes);

impl SavedResponse {
    fn of(response: &FullResponse) -> Self {
        // It will be served completely, even if a range was requested when it was saved.
        let mut headers = response.headers().clone();
        for name in [CONTENT_RANGE, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        headers.insert(CONTENT_LENGTH, response.body().len().into());
        Self(headers, response.body().clone())
    }

    fn response(&self) -> FullResponse {
        let mut response = Response::new(self.1.clone());
        response.headers_mut().clone_from(&self.0);
        response
    }
}

impl PlaylistHistory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves a media playlist; ignores other responses.
    pub(crate) fn record(&self, path: &str, response: &FullResponse) {
        let text = String::from_utf8_lossy(response.body());
        let Some(listed) = playlist::parse(&text) else { return };
        let path = normalized(path);
        let mut inner = self.lock();
        if inner.versions.len() >= MAX_PATHS && !inner.versions.contains_key(&path) {
            return;
        }
        let versions = inner.versions.entry(path).or_default();
        if versions.back().is_none_or(|(newest, _)| *newest < listed.media_sequence) {
            versions.push_back((listed.media_sequence, SavedResponse::of(response)));
            if versions.len() > MAX_SAVED {
                versions.pop_front();
            }
        }
    }

    /// The newest version that is at least `segments` behind the current one; if there is none, the oldest
    /// version; `None` if only the current one is known.
    pub(crate) fn earlier(&self, path: &str, segments: u32) -> Option<FullResponse> {
        let inner = self.lock();
        let versions = inner.versions.get(&normalized(path))?;
        let (newest, _) = versions.back()?;
        let old = versions.iter().rev().find(|(sequence, _)| sequence + u64::from(segments) <= *newest);
        let (sequence, saved) = old.or_else(|| versions.front())?;
        (sequence < newest).then(|| saved.response())
    }

    /// The playlist at which fault number `id` stalled; `None` before [`Self::freeze`].
    pub(crate) fn frozen(&self, id: u64, path: &str) -> Option<FullResponse> {
        self.lock().frozen.get(&(id, normalized(path))).map(SavedResponse::response)
    }

    /// Makes fault number `id` stall at this playlist.
    pub(crate) fn freeze(&self, id: u64, path: &str, response: &FullResponse) {
        let mut inner = self.lock();
        if inner.frozen.len() < MAX_PATHS {
            inner.frozen.insert((id, normalized(path)), SavedResponse::of(response));
        }
    }

    /// Forgets the playlists at which faults stalled that `is_active` does not know any more.
    pub(crate) fn thaw(&self, is_active: impl Fn(u64) -> bool) {
        self.lock().frozen.retain(|(id, _), _| is_active(*id));
    }
}

/// The path as nginx understands it: percent-decoded, without empty, `.` and `..` segments. Otherwise one playlist
/// had as many paths as a client likes to write.
pub(crate) fn normalized(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, tail) {
            (b'%', &[high, low, ref tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                decoded.push(hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0));
                rest = tail;
            }
            _ => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(sequence: u64) -> FullResponse {
        Response::new(format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n").into())
    }

    #[test]
    fn an_earlier_playlist_is_as_old_as_requested_or_the_oldest_one() {
        let playlists = PlaylistHistory::default();
        let earlier = |segments| playlists.earlier("/a.m3u8", segments).map(Response::into_body);
        playlists.record("/a.m3u8", &Response::new("no playlist".into()));
        assert_eq!(earlier(1), None);
        for sequence in [5, 6, 6, 8] {
            playlists.record("/a.m3u8", &listed(sequence));
        }
        assert_eq!(earlier(2), Some(listed(6).into_body()));
        assert_eq!(earlier(3), Some(listed(5).into_body()));
        assert_eq!(earlier(9), Some(listed(5).into_body()));
        assert_eq!(playlists.earlier("/b.m3u8", 1).map(Response::into_body), None);
    }

    #[test]
    fn paths_that_clients_invent_take_no_memory() {
        let playlists = PlaylistHistory::default();
        for number in 0..5000 {
            for path in
                [format!("/x{number}/../a.m3u8"), format!("//.//%61.m3u8?{number}").replace(['?'], "/../")]
            {
                playlists.record(&path, &listed(number));
                playlists.freeze(number, &path, &listed(number));
            }
            playlists.record(&format!("/{number}.m3u8"), &listed(number));
        }
        let inner = playlists.lock();
        assert!(inner.versions.len() <= MAX_PATHS && inner.frozen.len() <= MAX_PATHS);
        assert_eq!(inner.versions["/a.m3u8"].len(), MAX_SAVED);
        drop(inner);
        playlists.thaw(|id| id == 3);
        assert!(playlists.frozen(3, "/./a.m3u8").is_some() && playlists.frozen(2, "/a.m3u8").is_none());
    }

    #[test]
    fn a_path_is_normalized_as_nginx_does_it() {
        for (path, expected) in [
            ("/a/./b/../c.m3u8", "/a/c.m3u8"),
            ("//a//b", "/a/b"),
            ("/%2e%2E/a%20b", "/a b"),
            ("/../../a", "/a"),
            ("/100%", "/100%"),
            ("/%zz", "/%zz"),
        ] {
            assert_eq!(normalized(path), expected, "{path}");
        }
    }
}
