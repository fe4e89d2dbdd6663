//! Playlists that were served, kept so that they can be served again when it is wrong to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, TRANSFER_ENCODING};
use hyper::{HeaderMap, Response};

use crate::publisher::playlist;

/// Playlists of one path that are kept; more than any sensible fault goes back.
const KEPT: usize = 64;

/// A response with its whole body.
pub(crate) type Whole = Response<Bytes>;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Playlists(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    past: HashMap<String, VecDeque<(u64, Kept)>>,
    frozen: HashMap<(u64, String), Kept>,
}

#[derive(Clone, Debug)]
struct Kept(HeaderMap, Bytes);

impl Kept {
    fn of(response: &Whole) -> Self {
        // It will be served as a whole, whatever was asked for when it was kept.
        let mut headers = response.headers().clone();
        for name in [CONTENT_RANGE, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        headers.insert(CONTENT_LENGTH, response.body().len().into());
        Self(headers, response.body().clone())
    }

    fn response(&self) -> Whole {
        let mut response = Response::new(self.1.clone());
        response.headers_mut().clone_from(&self.0);
        response
    }
}

impl Playlists {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a media playlist; anything else is passed over.
    pub(crate) fn remember(&self, path: &str, response: &Whole) {
        let text = String::from_utf8_lossy(response.body());
        let Some(listed) = playlist::read(&text) else { return };
        let mut inner = self.lock();
        let past = inner.past.entry(path.to_owned()).or_default();
        if past.back().is_none_or(|(newest, _)| *newest < listed.media_sequence) {
            past.push_back((listed.media_sequence, Kept::of(response)));
            if past.len() > KEPT {
                past.pop_front();
            }
        }
    }

    /// The newest playlist from at least `segments` before the newest one; if none is that old, the
    /// oldest one; none if nothing is older.
    pub(crate) fn earlier(&self, path: &str, segments: u32) -> Option<Whole> {
        let inner = self.lock();
        let past = inner.past.get(path)?;
        let (newest, _) = past.back()?;
        let old = past.iter().rev().find(|(sequence, _)| sequence + u64::from(segments) <= *newest);
        let (sequence, kept) = old.or_else(|| past.front())?;
        (sequence < newest).then(|| kept.response())
    }

    /// The playlist that the fault `id` stalled at; none before [`Self::freeze`].
    pub(crate) fn frozen(&self, id: u64, path: &str) -> Option<Whole> {
        self.lock().frozen.get(&(id, path.to_owned())).map(Kept::response)
    }

    /// Stalls at this playlist.
    pub(crate) fn freeze(&self, id: u64, path: &str, response: &Whole) {
        self.lock().frozen.insert((id, path.to_owned()), Kept::of(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(sequence: u64) -> Whole {
        Response::new(format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n").into())
    }

    #[test]
    fn an_earlier_playlist_is_as_old_as_asked_or_as_old_as_there_is() {
        let playlists = Playlists::default();
        let earlier = |segments| playlists.earlier("/a.m3u8", segments).map(Response::into_body);
        playlists.remember("/a.m3u8", &Response::new("no playlist".into()));
        assert_eq!(earlier(1), None);
        for sequence in [5, 6, 6, 8] {
            playlists.remember("/a.m3u8", &listed(sequence));
        }
        assert_eq!(earlier(2), Some(listed(6).into_body()));
        assert_eq!(earlier(3), Some(listed(5).into_body()));
        assert_eq!(earlier(9), Some(listed(5).into_body()));
        assert_eq!(playlists.earlier("/b.m3u8", 1).map(Response::into_body), None);
    }
}
