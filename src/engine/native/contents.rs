//! The segments whose bodies viewers read, and what they read. Most viewers discard theirs unseen: of each segment, the first
//! two viewers of a thread read it, and one in [`SAMPLE`] of the others, so that servers with different bodies are found.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use url::{Position, Url};

use hls_swarm_client::Transfer;
use hls_swarm_client::head::Coding;
use hls_swarm_hls::playlist::media::{ByteRange, EncryptionMethod};
use hls_swarm_media::{Reader, Tracks, Unread};
use hls_swarm_model::listed::VariantLabel;
use hls_swarm_model::recent::Recent;
use hls_swarm_model::segment_read::SegmentRead;
use hls_swarm_player::Player;
use hls_swarm_player::interface::{Fetch, RequestKind, Role};

/// Viewers of each segment that always read it.
const FIRST: u32 = 2;
/// One in that many others reads it.
const SAMPLE: u64 = 256;
/// Segments that are remembered, so that no more viewers than these read them.
const SEGMENTS: usize = 20_000;
/// Initialization sections that are remembered.
const INITIALIZATIONS: usize = 2_000;

/// A segment, whatever the addresses of single viewers are: the viewers of a stream request it under the same number. A
/// stream is the place of its configuration in memory.
type Claim = (usize, Role, u16, u64);

/// What a thread knows of the segments of its viewers.
#[derive(Debug)]
pub(super) struct Contents {
    /// How many viewers have requested a segment.
    requested: Recent<Claim, u32>,
    /// Initialization sections, by the identity of their URLs.
    tracks: Recent<u64, Arc<Tracks>>,
    seed: u64,
}

impl Contents {
    pub(super) fn new(seed: u64) -> Self {
        Self { requested: Recent::new(SEGMENTS), tracks: Recent::new(INITIALIZATIONS), seed }
    }

    /// What is to be read of the response to a request of `player`; `None` = nothing.
    pub(super) fn reading(&mut self, player: &Player, fetch: &Fetch) -> Option<Box<Reading>> {
        let is_part = fetch.byte_range.is_some();
        let subject = match (fetch.kind, fetch.role, &fetch.segment) {
            (RequestKind::Init, ..) => Subject::Initialization(identity(&fetch.url, fetch.byte_range)),
            (RequestKind::Segment, Role::Main | Role::Audio, Some(segment)) => {
                let stream = Arc::as_ptr(player.config()).addr();
                if !self.is_chosen((stream, fetch.role, fetch.variant, segment.sequence)) {
                    return None;
                }
                Subject::Segment(Listed::of(player, fetch, segment.sequence)?)
            }
            _ => return None,
        };
        Some(Box::new(Reading {
            subject,
            is_part,
            reader: Reader::new(),
            digest: Context::new(&SHA256),
            bytes: 0,
        }))
    }

    fn is_chosen(&mut self, claim: Claim) -> bool {
        let number = match self.requested.renew(&claim, |_| 1) {
            Some(number) => {
                *number = number.saturating_add(1);
                *number
            }
            None => {
                self.requested.insert(claim, 1, 1);
                1
            }
        };
        number <= FIRST || {
            // The place of the stream in memory differs from run to run.
            let (_, role, variant, sequence) = claim;
            hash(&(self.seed, role, variant, sequence, number)).is_multiple_of(SAMPLE)
        }
    }

    /// Takes a body that has arrived whole and is what was requested. Returns what is to be reported of a segment.
    pub(super) fn take(
        &mut self,
        reading: &Reading,
        coding: Coding,
        name: &str,
        variant: Option<Arc<VariantLabel>>,
        transfer: &Transfer,
    ) -> Option<SegmentRead> {
        // A server that ignores the range sends something else.
        let is_partial = transfer.head.as_ref().is_some_and(|head| head.status == 206);
        if is_partial != reading.is_part {
            return None;
        }
        match &reading.subject {
            Subject::Initialization(identity) => {
                if let Some(tracks) = reading.reader.tracks() {
                    self.tracks.insert(*identity, Arc::new(tracks.clone()), 1);
                }
                None
            }
            Subject::Segment(listed) => {
                let tracks = listed.initialization.and_then(|identity| self.tracks.renew(&identity, |_| 1));
                let times = match coding {
                    Coding::Identity if listed.is_encrypted => Err(Unread::Encrypted),
                    Coding::Identity => reading.reader.times(tracks.map(|tracks| &**tracks)),
                    _ => Err(Unread::Coded),
                };
                Some(SegmentRead {
                    url: listed.identity,
                    before: listed.before,
                    name: name.into(),
                    variant,
                    sequence: listed.sequence,
                    announced_us: listed.announced_us,
                    whole_seconds: listed.whole_seconds,
                    target_us: listed.target_us,
                    bytes: reading.bytes,
                    hash: (coding == Coding::Identity).then(|| reading.hash()),
                    edge: Some(transfer.peer.ip()),
                    times,
                })
            }
        }
    }
}

/// A body that is read.
pub(super) struct Reading {
    subject: Subject,
    is_part: bool,
    reader: Reader,
    digest: Context,
    bytes: u64,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("subject", &self.subject).field("bytes", &self.bytes).finish()
    }
}

impl Reading {
    /// The body begins.
    pub(super) fn begin(&mut self) {
        (self.reader, self.digest, self.bytes) = (Reader::new(), Context::new(&SHA256), 0);
    }

    /// Takes bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.reader.take(bytes);
        self.bytes += bytes.len() as u64;
        if matches!(self.subject, Subject::Segment(_)) {
            self.digest.update(bytes);
        }
    }

    fn hash(&self) -> u64 {
        let digest = self.digest.clone().finish();
        digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// What a body is.
#[derive(Debug)]
enum Subject {
    /// An initialization section, by the identity of its URL.
    Initialization(u64),
    Segment(Listed),
}

/// A segment, as its playlist lists it.
#[derive(Debug)]
struct Listed {
    identity: u64,
    before: Option<u64>,
    initialization: Option<u64>,
    sequence: u64,
    announced_us: u64,
    whole_seconds: bool,
    target_us: u64,
    is_encrypted: bool,
}

impl Listed {
    fn of(player: &Player, fetch: &Fetch, sequence: u64) -> Option<Self> {
        let (media, index) = player.listed(&fetch.url, sequence)?;
        let segment = media.segments.get(index)?;
        let before = index.checked_sub(1).and_then(|before| media.segments.get(before));
        let before = before.filter(|before| !segment.discontinuity && !before.gap);
        let us = |seconds: f64| (seconds.max(0.0) * 1e6).round() as u64;
        // Without EXT-X-VERSION the version is 1, and durations are integers (RFC 8216, 4.3.2.1).
        let whole_seconds = media.version.unwrap_or(1) < 3 && segment.duration.fract() == 0.0;
        Some(Self {
            identity: identity(&segment.url, segment.byte_range),
            before: before.map(|before| identity(&before.url, before.byte_range)),
            initialization: segment.map.as_ref().map(|map| identity(&map.url, map.byte_range)),
            sequence,
            announced_us: us(segment.duration),
            whole_seconds,
            target_us: us(media.longest_segment()),
            is_encrypted: segment.key.as_ref().is_some_and(|key| key.method == EncryptionMethod::Aes128),
        })
    }
}

/// The identity of a resource: its URL without the query, in which viewers have tokens of their own, and its byte range.
fn identity(url: &Url, range: Option<ByteRange>) -> u64 {
    let range: Option<Range<u64>> =
        range.map(|range| range.offset..range.offset.saturating_add(range.length));
    hash(&(&url[..Position::AfterPath], range))
}

/// The same in each run, since the keys of this hasher are.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_viewers_read_a_segment_and_a_sample_of_the_others() {
        let mut contents = Contents::new(7);
        let claim = |sequence: u64| (0, Role::Main, 0, sequence);
        let mut read = |sequence: u64| (0..10_000).filter(|_| contents.is_chosen(claim(sequence))).count();
        let (one, two) = (read(1), read(2));
        assert!((20..80).contains(&one) && (20..80).contains(&two), "{one} and {two}");
        let chosen = |seed: u64| {
            let mut contents = Contents::new(seed);
            (0..10_000).filter(|_| contents.is_chosen(claim(1))).collect::<Vec<u32>>()
        };
        assert_eq!(chosen(7), chosen(7));
        assert_eq!(chosen(7)[..2], [0, 1]);
        assert_ne!(chosen(7), chosen(8));
    }

    #[test]
    fn tokens_are_no_part_of_an_identity_and_ranges_are() {
        let of = |url: &str, range| identity(&url.parse().unwrap(), range);
        let range = |offset| Some(ByteRange { offset, length: 5 });
        assert_eq!(of("http://h/a.ts?token=1", None), of("http://h/a.ts?token=2", None));
        assert_ne!(of("http://h/a.ts", None), of("http://h/b.ts", None));
        assert_ne!(of("http://h/a.ts", None), of("http://i/a.ts", None));
        assert_ne!(of("http://h/a.ts", range(0)), of("http://h/a.ts", range(5)));
    }
}
