//! Keys that the multivariant playlist names (EXT-X-SESSION-KEY): loaded once, before a segment needs them.

use std::time::Duration;

use url::Url;

use super::media::hash_of;
use super::*;
use crate::interface::Fetch;

/// The most keys of one playlist that are loaded in advance. More would displace each other.
const MOST: usize = 16;

/// Keys that are loaded in advance, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Preload {
    /// The next one is the last.
    urls: Vec<Url>,
    /// The request under way, and when it began.
    under_way: Option<(RequestId, Duration)>,
}

impl Player {
    /// Takes the keys of the multivariant playlist, if this preset loads them in advance.
    pub(super) fn preload_session_keys(&mut self) {
        let Some(list) = self.list().filter(|_| self.rules.preloads_session_keys) else { return };
        let mut urls: Vec<Url> = Vec::new();
        for key in list.session_keys.iter().filter(|key| key.format.is_none()) {
            if let Some(url) = key.url.as_ref().filter(|url| !urls.contains(url)) {
                urls.push(url.clone());
            }
        }
        urls.truncate(MOST);
        urls.reverse();
        self.preload = (!urls.is_empty()).then(|| Box::new(Preload { urls, under_way: None }));
    }

    /// Whether a key is going to be loaded in advance, so that a segment need not request it.
    pub(super) fn is_preloaded(&self, url: &Url) -> bool {
        self.preload.as_ref().is_some_and(|preload| preload.urls.contains(url))
    }

    pub(super) fn request_session_key(&mut self, outputs: &mut Vec<Output>) {
        let idle = self.preload.as_ref().filter(|preload| preload.under_way.is_none());
        let Some(url) = idle.and_then(|preload| preload.urls.last().cloned()) else { return };
        let (request, now) = (self.next_id(), self.now);
        if let Some(preload) = &mut self.preload {
            preload.under_way = Some((request, now));
        }
        outputs.push(Output::Fetch(Fetch {
            request,
            kind: RequestKind::Key,
            role: Role::Main,
            variant: 0,
            url,
            byte_range: None,
            segment: None,
            waits: false,
            cmcd: None,
            repeated: false,
        }));
    }

    /// Takes the answer to the request of a key that is loaded in advance. One that failed is requested again when a
    /// segment needs it. Returns whether it was such a request.
    pub(super) fn take_session_key(&mut self, request: RequestId, arrived: bool) -> bool {
        let Some(preload) = &mut self.preload else { return false };
        if preload.under_way.is_none_or(|(known, _)| known != request) {
            return false;
        }
        preload.under_way = None;
        let url = preload.urls.pop();
        if preload.urls.is_empty() {
            self.preload = None;
        }
        if let Some(url) = url.filter(|_| arrived) {
            self.remember(hash_of(&url, None));
        }
        self.figures.failures += u32::from(!arrived);
        true
    }

    /// When the request under way has taken too long.
    pub(super) fn session_key_due(&self) -> Option<Duration> {
        let (_, began) = self.preload.as_ref()?.under_way?;
        Some(began + rules::FIRST_BYTE_LIMIT)
    }

    pub(super) fn limit_session_key(&mut self, outputs: &mut Vec<Output>) {
        if self.session_key_due().is_some_and(|due| due <= self.now)
            && let Some((request, _)) = self.preload.as_ref().and_then(|preload| preload.under_way)
        {
            outputs.push(Output::Abort(request));
            self.take_session_key(request, false);
        }
    }
}
