//! What a viewer has seen, as its own player reports it.

use hls_swarm_player::interface::StallReason;
use hls_swarm_player::{Figures, State};

/// What a viewer has seen since its session began, and what it sees at this moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The figures of the session so far.
    pub figures: Figures,
    /// What the playhead does.
    pub state: State,
    /// The stall under way: how long it has lasted, nanoseconds, and what playback waits for.
    pub stall: Option<(u64, StallReason)>,
    /// Media that can be shown from now on without a break, nanoseconds.
    pub buffer_ns: u64,
    /// Live latency by the edge of the playlist, nanoseconds; `None` unless a live stream plays.
    pub latency_by_edge_ns: Option<u64>,
    /// The latency that the playlist asks for, nanoseconds; `None` unless a live stream plays.
    pub target_latency_ns: Option<u64>,
    /// Live latency by EXT-X-PROGRAM-DATE-TIME, nanoseconds; negative if the encoder's clock is ahead of this machine's.
    pub latency_by_date_ns: Option<i64>,
}

impl Seen {
    /// A session that has just begun.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            figures: Figures::default(),
            state: State::Starting,
            stall: None,
            buffer_ns: 0,
            latency_by_edge_ns: None,
            target_latency_ns: None,
            latency_by_date_ns: None,
        }
    }
}
