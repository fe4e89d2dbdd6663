//! What goes into a [`Player`](crate::Player) and what comes out of it.
//!
//! # How an engine drives a player
//!
//! 1. Create the player, and pass [`Input::Start`] at the time at which the viewer presses "play".
//! 2. Carry out what [`Player::step`](crate::Player::step) appends to the outputs, in its order:
//!    * [`Output::Fetch`]: begin a request. Its answer is exactly one of [`Input::Playlist`] (for playlists),
//!      [`Input::Steering`] (for steering manifests), [`Input::MediaDone`] (for everything else), or
//!      [`Input::Failed`]. The player never has more than two requests per rendition under way: one for a playlist,
//!      and one for media or what media needs. Beside them it has at most one for a steering manifest, and one for a
//!      key of EXT-X-SESSION-KEY.
//!    * [`Output::Abort`]: drop a request, whatever has arrived of it. It needs no answer, and one that crosses the
//!      abort is ignored.
//!    * [`Output::WakeAt`]: pass [`Input::Timer`] at this time. A later `WakeAt` replaces an earlier one; there is
//!      one timer per player. After a `Timer` it is set again, so waking too early or too often changes nothing.
//!    * [`Output::Event`]: a fact for statistics and logs.
//! 3. Before each `Timer`, pass [`Input::Progress`] for the requests of kind [`RequestKind::Segment`] that are under
//!    way: the player checks every 100 ms whether to give a slow segment up, and applies time limits. It asks to be
//!    woken only while that matters.
//! 4. Stop when [`Player::is_finished`](crate::Player::is_finished); or whenever the viewer leaves, without more ado.
//!
//! Times are [`Duration`]s since one instant before the viewer began, the same for all inputs of one player. They
//! should not run backward; a time that does is taken for the latest one. The times inside an input (`finished`, for
//! example) are when something happened, and `now` is when the player learns it: the difference is the engine's own
//! lateness, and the player attributes to it the stalls that it explains ([`StallReason::OwnLateness`]).
//!
//! A redirect is followed by the engine. Playlists are parsed with the final URL as their base; the player reloads
//! the URL of the playlist that lists it, as hls.js does.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::Playlist;
use hls_swarm_hls::playlist::media::{ByteRange, Key};
use hls_swarm_hls::steering::SteeringManifest;
use url::Url;

use crate::cmcd::Cmcd;

/// A request of one player. Ids count from 0 and are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// What happens to a player.
#[derive(Clone, Debug)]
pub enum Input {
    /// The viewer presses "play".
    Start,
    /// A playlist has arrived whole and was parsed. Viewers share equal playlists.
    Playlist {
        /// The request of kind [`RequestKind::Multivariant`] or [`RequestKind::MediaPlaylist`].
        request: RequestId,
        /// The playlist.
        playlist: Arc<Playlist>,
        /// Its transfer.
        transfer: Transfer,
        /// How long a cache has had it: `Age`.
        age: Duration,
    },
    /// A steering manifest has arrived whole and was parsed.
    Steering {
        /// The request of kind [`RequestKind::Steering`].
        request: RequestId,
        /// The steering manifest.
        steering: Arc<SteeringManifest>,
        /// When its last byte arrived.
        at: Duration,
    },
    /// A segment, initialization section, or key has arrived whole.
    MediaDone {
        /// The request.
        request: RequestId,
        /// Its transfer.
        transfer: Transfer,
    },
    /// A part of a segment has arrived.
    Progress {
        /// The request.
        request: RequestId,
        /// Bytes of the body so far.
        bytes: u64,
        /// Bytes of the whole body, if the response has its length.
        length: Option<u64>,
        /// When the request was sent.
        started: Duration,
        /// When the first byte of the response arrived; `None` if none has.
        first_byte: Option<Duration>,
    },
    /// A request failed.
    Failed {
        /// The request.
        request: RequestId,
        /// What was wrong.
        failure: FetchFailure,
        /// When it failed.
        at: Duration,
        /// `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
    /// The time of [`Output::WakeAt`] has come.
    Timer,
    /// The engine itself is late at this moment: a task was not scheduled, or a socket was ready and not read. It
    /// counts for what arrives or begins within the next 10 ms. The player sees by itself how late a timer is, and an
    /// answer whose `finished` is before `now`; the greater of both counts.
    Late {
        /// The delay.
        by: Duration,
    },
}

/// The times and the size of a response that arrived whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes of the body as they were transferred.
    pub bytes: u64,
    /// When the request was sent, or its connection was begun where it needed one.
    pub started: Duration,
    /// When the first byte of the response arrived.
    pub first_byte: Duration,
    /// When the last byte arrived.
    pub finished: Duration,
}

/// What was wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchFailure {
    /// The status code of the response, which is neither 2xx nor a redirect.
    Status(u16),
    /// The response ended before its announced length.
    Cut,
    /// The response is whole, but not what was requested: no playlist, no media, not the requested range.
    BadContent,
    /// Nothing came for too long, by the engine's own limits. (The player applies those of its preset itself.)
    Timeout,
    /// No connection, or it broke before the head of the response; names that do not resolve, and TLS.
    Connection,
}

/// What a player wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Begin a request.
    Fetch(Fetch),
    /// Drop a request.
    Abort(RequestId),
    /// Pass [`Input::Timer`] at this time; replaces an earlier one.
    WakeAt(Duration),
    /// Something that the viewer saw.
    Event(Event),
}

/// A request that a player wants.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its id.
    pub request: RequestId,
    /// What it is for.
    pub kind: RequestKind,
    /// The rendition it belongs to.
    pub role: Role,
    /// The index of the variant it belongs to, in the order of the multivariant playlist. 0 without one.
    pub variant: u16,
    /// The URL to request.
    pub url: Url,
    /// The bytes to request (a `Range` header); `None`: all.
    pub byte_range: Option<ByteRange>,
    /// The media that is requested, for [`RequestKind::Segment`] and [`RequestKind::Part`].
    pub segment: Option<SegmentInfo>,
    /// Whether the server may hold the response until it has what is asked for: a blocking reload, or a part that is
    /// only announced. The time to its first byte does not measure the server.
    pub waits: bool,
    /// What the player reports to a CDN, if that is wanted; not with keys.
    pub cmcd: Option<Box<Cmcd>>,
    /// Whether it is a repetition after a failure.
    pub repeated: bool,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// The URL that the viewer opens: a multivariant playlist, or the only media playlist.
    Multivariant,
    /// A media playlist.
    MediaPlaylist,
    /// A segment.
    Segment,
    /// An initialization section (EXT-X-MAP).
    Init,
    /// A key (EXT-X-KEY).
    Key,
    /// A partial segment (EXT-X-PART).
    Part,
    /// A steering manifest (EXT-X-CONTENT-STEERING).
    Steering,
}

/// The part that a rendition has in playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The variant: video, and audio unless it is separate.
    Main,
    /// A separate audio rendition, without which nothing plays.
    Audio,
    /// Subtitles, which playback does not wait for.
    Subtitles,
}

/// A segment that is requested, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentInfo {
    /// Its media sequence number.
    pub sequence: u64,
    /// The index of the part; `None` = the whole segment.
    pub part: Option<u64>,
    /// EXTINF, or DURATION of the part; the part target of a part that is only announced.
    pub duration: Duration,
    /// Whether EXT-X-DISCONTINUITY precedes it.
    pub discontinuity: bool,
    /// How it is encrypted.
    pub key: Option<Arc<Key>>,
}

/// Something that the viewer saw, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it happened. It may be earlier than the step that reports it.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What a viewer saw.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The first frame.
    Started {
        /// The time since the viewer pressed "play".
        startup: Duration,
    },
    /// The playhead stopped for lack of media.
    Stalled {
        /// What playback waits for, as far as it is known when the stall begins.
        reason: StallReason,
    },
    /// The playhead moves again.
    Resumed {
        /// The duration of the stall.
        stalled: Duration,
        /// What caused the stall, now that it is over. This is the reason that counts.
        reason: StallReason,
    },
    /// Segments of another variant are requested from now on.
    Switched {
        /// The variant before, by its index in the multivariant playlist.
        from: u16,
        /// The variant from now on.
        to: u16,
        /// Whether its BANDWIDTH is higher.
        up: bool,
    },
    /// Media is requested from another pathway from now on.
    PathwaySwitched {
        /// The variant before, by its index in the multivariant playlist.
        from: u16,
        /// The variant from now on. Variants of cloned pathways follow those that the playlist lists.
        to: u16,
        /// Why.
        cause: PathwayCause,
    },
    /// Media will not be played, because it could not be had.
    Skipped {
        /// Its duration.
        media: Duration,
        /// Why.
        cause: SkipCause,
    },
    /// The media sequence numbers started over, as after an encoder's restart. Playback goes on with what is listed.
    Restarted,
    /// The end of the stream was shown.
    Ended,
    /// The viewer cannot go on. The player does nothing more.
    PlaybackFailed {
        /// Why.
        reason: PlaybackFailure,
    },
}

/// Why a viewer goes to another pathway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathwayCause {
    /// The steering manifest prefers it.
    Steering,
    /// The one before failed.
    Failure,
}

/// What caused a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StallReason {
    /// A segment (or what it needs) was under way, and too slow.
    SlowBody,
    /// A playlist was under way, and too slow.
    SlowPlaylist,
    /// The playlist listed no new media in time.
    NoNewMedia,
    /// Media or a playlist was not there: 404 or 410.
    Missing,
    /// Another status code 4xx.
    ClientError,
    /// A status code 5xx.
    ServerError,
    /// No connection, a cut one, or nothing for too long.
    Connection,
    /// What arrived was not media or not a playlist.
    BadContent,
    /// The engine was late: without it there would have been no stall. Does not count against the stream.
    OwnLateness,
}

impl StallReason {
    /// All reasons, in the order of [`StallReason::index`].
    pub const ALL: [Self; 9] = [
        Self::SlowBody,
        Self::SlowPlaylist,
        Self::NoNewMedia,
        Self::Missing,
        Self::ClientError,
        Self::ServerError,
        Self::Connection,
        Self::BadContent,
        Self::OwnLateness,
    ];

    /// The place in a table of reasons.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowBody => "slow-body",
            Self::SlowPlaylist => "slow-playlist",
            Self::NoNewMedia => "no-new-media",
            Self::Missing => "missing",
            Self::ClientError => "client-error",
            Self::ServerError => "server-error",
            Self::Connection => "connection",
            Self::BadContent => "bad-content",
            Self::OwnLateness => "own-lateness",
        }
    }
}

/// Why media was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipCause {
    /// Its requests failed more often than the policy permits.
    Failed,
    /// The playlist marks it as absent (EXT-X-GAP).
    Gap,
    /// It left the playlist before it was requested.
    FellBehind,
}

/// Why a viewer cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaybackFailure {
    /// The multivariant playlist, or the only media playlist, could not be loaded.
    Playlist(FetchFailure),
    /// No variant matches the selection, or none is listed.
    NoMatchingVariant,
    /// A key could not be loaded, or no player without a DRM system has it.
    Key,
    /// A stream that has ended lists no media that could be played.
    NothingToPlay,
}
