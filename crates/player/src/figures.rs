//! Running figures of a viewer, which cost nothing to read and are easy to add up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::interface::StallReason;

/// What a viewer has seen so far. Everything only grows (apart from a stall under way, see
/// [`Player::figures`](crate::Player::figures)), so the difference of two of these is what happened in between.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Startup time: from "play" to the first frame. `None` until then.
    pub startup: Option<Duration>,
    /// Time from "play" to the first byte of a segment. `None` until then.
    pub first_media_byte: Option<Duration>,
    /// Media that was shown.
    pub played: Duration,
    /// Time stalled after the start, without [`Figures::stalled_own`].
    pub stalled: Duration,
    /// Time stalled because the engine was late: not the stream's fault.
    pub stalled_own: Duration,
    /// The longest stall that counts against the stream.
    pub longest_stall: Duration,
    /// Stalls of at least [`SHORTEST_STALL_NS`](crate::SHORTEST_STALL_NS) by reason, in the order of
    /// [`StallReason::ALL`]; the one under way is not among them ([`Snapshot::stall`]).
    pub stalls: [u32; StallReason::ALL.len()],
    /// Switches to a variant of higher BANDWIDTH.
    pub switches_up: u32,
    /// Switches to a variant of lower BANDWIDTH.
    pub switches_down: u32,
    /// Switches to another pathway.
    pub pathway_switches: u32,
    /// Media that was skipped: never played.
    pub skipped: Duration,
    /// The number of segments that were skipped, over all renditions.
    pub skipped_segments: u64,
    /// The integral of the BANDWIDTH of the variant that was shown, over the media that was shown: bits.
    /// The quotient of it and `played` is the bitrate played, time-weighted.
    pub bits_played: f64,
    /// The integral of the buffer length over the time since the first frame, seconds squared. The quotient of it
    /// and `observed` is the average buffer length.
    pub buffer_seconds_squared: f64,
    /// The time since the first frame.
    pub observed: Duration,
    /// Requests that failed, retries included.
    pub failures: u32,
    /// Parts that arrived.
    pub parts: u32,
    /// Parts that were listed more than two part durations after the parts before them.
    pub late_parts: u32,
    /// Announced parts that did not come, or were not the next ones.
    pub wrong_hints: u32,
    /// Blocking reloads that were answered without what they asked for.
    pub unblocked_reloads: u32,
    /// Reloads that brought nothing new.
    pub unchanged_reloads: u32,
    /// Blocking reloads that were answered with what they asked for.
    pub blocking_reloads: u32,
    /// The time for which servers held responses to blocking reloads.
    pub blocked: Duration,
    /// Segments that were abandoned for a lower variant during their download.
    pub abandoned: u32,
}

impl Figures {
    /// The average BANDWIDTH of the media that was shown, bits per second. `None` before the first frame, or where the
    /// playlists name no BANDWIDTH.
    #[must_use]
    pub fn bitrate_played(&self) -> Option<f64> {
        (self.bits_played > 0.0).then(|| self.bits_played / self.played.as_secs_f64())
    }

    /// The rebuffering ratio: stalled / (stalled + played), after CTA-2066. `None` before the first frame.
    #[must_use]
    pub fn rebuffering_ratio(&self) -> Option<f64> {
        let all = self.stalled + self.played;
        (!all.is_zero()).then(|| self.stalled.as_secs_f64() / all.as_secs_f64())
    }

    /// The number of stalls that count against the stream.
    #[must_use]
    pub fn stall_count(&self) -> u32 {
        let own = self.stalls[StallReason::OwnLateness.index()];
        self.stalls.iter().sum::<u32>() - own
    }
}

/// What a viewer sees right now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// What the playhead does; `None` where there is no playback (`all`).
    pub state: Option<crate::State>,
    /// The stall under way: how long it has lasted, and what playback waits for as far as it was known when it began.
    pub stall: Option<(Duration, StallReason)>,
    /// Media that can be shown from now on without a break.
    pub buffer: Duration,
    /// The index of the variant whose segments are requested.
    pub variant: u16,
    /// Its BANDWIDTH, bits per second; `None` without a multivariant playlist.
    pub bandwidth: Option<u64>,
    /// The estimate of the throughput, bits per second; `None` before the first segment.
    pub throughput: Option<f64>,
    /// Live latency by the playlist: how far the playhead is behind the end of the last segment listed, and how long
    /// ago the playlist that listed it was loaded. `None` unless playback of a live stream has begun.
    pub latency_by_edge: Option<Duration>,
    /// The latency that the playlist asks for: PART-HOLD-BACK where parts are played, else HOLD-BACK, else three target
    /// durations. `None` unless playback of a live stream has begun.
    pub target_latency: Option<Duration>,
    /// EXT-X-PROGRAM-DATE-TIME at the playhead. `None` where the playlist has no dates.
    pub date: Option<Timestamp>,
}

impl Snapshot {
    /// Live latency by date, at a time of the wall clock. Negative if the clocks of the encoder and of this machine
    /// differ; it is not a latency then, and must not be shown as one.
    #[must_use]
    pub fn latency_by_date(&self, wall_clock: Timestamp) -> Option<SignedDuration> {
        self.date.map(|date| wall_clock.duration_since(date))
    }
}
