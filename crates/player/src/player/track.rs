//! A rendition that is loaded: its playlist, and the requests for it.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Media, Playlist};
use url::Url;

use crate::interface::{Fetch, RequestId, RequestKind, Role, SegmentInfo, Transfer};

/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// A rendition that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    role: Role,
    url: Url,
    playlist: Option<Arc<Playlist>>,
    reload: Option<Duration>,
    reloading: Option<(RequestId, Duration)>,
    /// The media sequence number of the next segment to request.
    next: Option<u64>,
    /// Segments that were requested before it; the playhead counts by it.
    slot: u64,
    loading: Option<RequestId>,
    retry: Duration,
    failures: u8,
}

impl Track {
    pub(crate) fn new(role: Role, url: Url) -> Self {
        Self {
            role,
            url,
            playlist: None,
            reload: Some(Duration::ZERO),
            reloading: None,
            next: None,
            slot: 0,
            loading: None,
            retry: Duration::ZERO,
            failures: 0,
        }
    }

    fn media(&self) -> Option<&Media> {
        match self.playlist.as_deref()? {
            Playlist::Media(media) => Some(media),
            Playlist::Multivariant(_) => None,
        }
    }

    pub(crate) fn is_reloading(&self, request: RequestId) -> bool {
        self.reloading.is_some_and(|(reloading, _)| reloading == request)
    }

    pub(crate) fn is_loading(&self, request: RequestId) -> bool {
        self.loading == Some(request)
    }

    pub(crate) fn loaded(&mut self, playlist: Arc<Playlist>, transfer: Transfer) {
        let began = self.reloading.take().map_or(transfer.started, |(_, began)| began);
        let Playlist::Media(media) = &*playlist else { return };
        let changed = self.media().is_none_or(|before| before.next_sequence() != media.next_sequence());
        let target = Duration::from_secs_f64(media.longest_segment().clamp(0.5, 3600.0));
        let wait = if changed { target } else { target / 2 };
        self.reload = media.is_live().then_some(began + wait);
        if self.next.is_none() {
            let mut behind = 0.0;
            let start = media.segments.iter().rev().find(|segment| {
                behind += segment.duration;
                media.is_live() && behind >= 3.0 * media.longest_segment()
            });
            self.next = start.or(media.segments.first()).map(|segment| segment.sequence);
        }
        self.playlist = Some(playlist);
    }

    /// The slot and the duration of the segment that has just arrived.
    pub(crate) fn arrived(&mut self) -> Option<(u64, u64)> {
        self.loading = None;
        self.failures = 0;
        let (next, slot) = (self.next?, self.slot);
        let segment = self.media()?.segments.iter().find(|segment| segment.sequence == next);
        let duration_ns = segment.map_or(0, |segment| (segment.duration * 1e9) as u64);
        self.next = next.checked_add(1);
        self.slot += 1;
        Some((slot, duration_ns))
    }

    pub(crate) fn failed(&mut self, request: RequestId, at: Duration) {
        if self.is_reloading(request) {
            self.reloading = None;
            self.reload = Some(at + RETRY);
        } else if self.is_loading(request) {
            self.loading = None;
            self.failures = self.failures.saturating_add(1);
            self.retry = at + RETRY;
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let over = |media: &Media| media.ended && self.next.is_some_and(|next| next >= media.next_sequence());
        self.loading.is_none() && self.media().is_some_and(over)
    }

    pub(crate) fn reload_is_due(&self, now: Duration) -> bool {
        self.reloading.is_none() && self.reload.is_some_and(|due| due <= now)
    }

    pub(crate) fn reload(&mut self, request: RequestId, now: Duration) -> Fetch {
        self.reloading = Some((request, now));
        self.reload = None;
        Fetch {
            request,
            kind: RequestKind::MediaPlaylist,
            role: self.role,
            variant: 0,
            url: self.url.clone(),
            byte_range: None,
            segment: None,
            repeated: false,
        }
    }

    pub(crate) fn segment_is_due(&self, now: Duration) -> bool {
        self.loading.is_none() && self.retry <= now
    }

    pub(crate) fn next_segment(&mut self, request: RequestId) -> Option<Fetch> {
        let next = self.next?;
        let segment = self.media()?.segments.iter().find(|segment| segment.sequence >= next)?;
        let fetch = Fetch {
            request,
            kind: RequestKind::Segment,
            role: self.role,
            variant: 0,
            url: segment.url.clone(),
            byte_range: segment.byte_range,
            segment: Some(SegmentInfo {
                sequence: segment.sequence,
                duration: Duration::from_secs_f64(segment.duration.clamp(0.0, 1e6)),
                discontinuity: segment.discontinuity,
                key: segment.key.clone(),
            }),
            repeated: self.failures > 0,
        };
        self.next = Some(segment.sequence);
        self.loading = Some(request);
        Some(fetch)
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        let retry = (self.loading.is_none() && self.failures > 0).then_some(self.retry);
        self.reload.into_iter().chain(retry).min()
    }
}
