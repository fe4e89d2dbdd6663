//! Where the bodies of responses go: playlists are kept, media is inspected as far as needed and otherwise discarded.

use hls_swarm_client::head::{Coding, Head};
use hls_swarm_client::{KeepBody, Sink};
use hls_swarm_model::content::Content;
use hls_swarm_probe::inspect::Inspector;

use super::contents::Reading;
use crate::engine::probe::decode::content_of;

/// Largest playlist, bytes: half a million segments with long addresses fit.
const LARGEST_PLAYLIST: usize = 64 << 20;

/// The body of a response.
#[derive(Debug)]
pub(super) struct Body {
    inspector: Inspector,
    /// A playlist.
    pub(super) kept: Option<KeepBody>,
    /// A segment or an initialization section whose media is checked.
    pub(super) reading: Option<Box<Reading>>,
    /// Whether it can be what was requested; the body of an error cannot.
    pub(super) is_served: bool,
    /// Its coding.
    pub(super) coding: Coding,
}

impl Body {
    /// The body of a playlist.
    pub(super) fn of_playlist() -> Self {
        Self { kept: Some(KeepBody::new(LARGEST_PLAYLIST)), ..Self::of_media(None) }
    }

    /// The body of anything else, of which `reading` is read.
    pub(super) fn of_media(reading: Option<Box<Reading>>) -> Self {
        Self { inspector: Inspector::new(), kept: None, reading, is_served: false, coding: Coding::Identity }
    }

    /// Its apparent content; `None` if that is not known.
    pub(super) fn content(&self) -> Option<Content> {
        let is_plain = self.is_served && self.coding == Coding::Identity;
        content_of(self.inspector.kind()).filter(|_| is_plain)
    }

    /// Whether the body, which is whole, ends in the middle of a packet or of a box.
    pub(super) fn is_cut_short(&self) -> bool {
        self.is_served && self.coding == Coding::Identity && self.inspector.is_cut_short()
    }
}

impl Sink for Body {
    fn begin(&mut self, head: &Head) {
        self.inspector.begin();
        self.is_served = matches!(head.status, 200 | 206);
        self.coding = head.coding;
        if let Some(kept) = &mut self.kept {
            kept.begin(head);
        }
        if let Some(reading) = &mut self.reading {
            reading.begin();
        }
    }

    fn discardable(&self) -> u64 {
        match &self.kept {
            _ if !self.is_served => u64::MAX,
            Some(kept) => kept.discardable(),
            None if self.coding != Coding::Identity => u64::MAX,
            None if self.reading.is_some() => 0,
            None => self.inspector.irrelevant(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_served {
            self.inspector.take(bytes);
            if let Some(kept) = &mut self.kept {
                kept.take(bytes);
            }
            if let Some(reading) = &mut self.reading {
                reading.take(bytes);
            }
        }
    }

    fn discarded(&mut self, bytes: u64) {
        if self.is_served {
            self.inspector.skip(bytes);
        }
    }
}
