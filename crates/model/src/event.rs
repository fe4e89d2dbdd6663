//! Events: what happens in a run, as the aggregator receives it.

use std::sync::Arc;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_hls::playlist::Playlist;

use super::command::Command;
use super::exchange::Exchange;
use crate::listed::Rendition;
use crate::metric::counters::Counter;
use crate::origin_sample::Scraped;

/// Why a viewer's process ended, as its life cycle sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndClass {
    /// It played the stream to its end (EXT-X-ENDLIST).
    Finished,
    /// We stopped it, because the run, its session or its part of the load is over.
    Stopped,
    /// It died, ended a stream that has no end, or stalled and was stopped for that.
    Failed,
}

/// One thing that happened. `viewer` counts from 1.
#[derive(Clone, Debug)]
pub enum Event {
    /// A viewer's process was started.
    Started {
        /// The viewer.
        viewer: u32,
        /// How often it has been started by now.
        generation: u32,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The viewer's player does not report how far it has played: it counts as playing from its first whole segment
    /// on, until no segment has arrived for `silence_ns`.
    NoProgress {
        /// The viewer.
        viewer: u32,
        /// Longest time between two segments, nanoseconds; `None` = until its process ends.
        silence_ns: Option<u64>,
    },
    /// FFmpeg reported how far it has played.
    Progress {
        /// The viewer.
        viewer: u32,
        /// Media played by this process, microseconds.
        media_us: u64,
        /// Media time over wall time in the current window; `None` until the window is full.
        speed: Option<f64>,
        /// How far behind the wall clock it is since it began to play, seconds.
        drift_seconds: f64,
    },
    /// What a player with a start buffer of one segment would have shown since the last time.
    PlaybackTime {
        /// The viewer.
        viewer: u32,
        /// Media shown, microseconds.
        shown_us: u64,
        /// How long its buffer was empty, microseconds.
        stalled_us: u64,
    },
    /// A viewer fell below real time for too long.
    Stalled {
        /// The viewer.
        viewer: u32,
    },
    /// A stalled viewer plays again.
    Recovered {
        /// The viewer.
        viewer: u32,
    },
    /// A viewer's process has ended.
    Ended {
        /// The viewer.
        viewer: u32,
        /// Why.
        class: EndClass,
        /// How.
        ending: ProcessExit,
        /// Whether it had to be killed.
        killed: bool,
        /// Why, in a text that groups equal causes.
        reason: String,
        /// Seconds from its start.
        uptime_seconds: f64,
    },
    /// A viewer has seen a live stream to its end, and leaves.
    Left {
        /// The viewer.
        viewer: u32,
    },
    /// A viewer will not be started again.
    GivenUp {
        /// The viewer.
        viewer: u32,
    },
    /// A request and its response are over.
    Exchange(Box<Exchange>),
    /// A viewer read a playlist, to its end.
    Playlist {
        /// The viewer.
        viewer: u32,
        /// How often it had been started.
        generation: u32,
        /// Which playlist: hash of its URL without delivery directives.
        playlist: u64,
        /// What it carries, by the multivariant playlist that led to it.
        rendition: Rendition,
        /// What it said; the same value for all viewers that read the same.
        said: Arc<Playlist>,
        /// When its last byte had come, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A connection could not be made.
    ConnectFailed {
        /// The viewer.
        viewer: u32,
        /// The operating system's message.
        reason: String,
        /// Whether the operating system reported a time-out.
        timed_out: bool,
        /// How long the viewer had waited when it gave up without an answer, nanoseconds.
        given_up_after_ns: Option<u64>,
        /// The viewer closed it in the middle of the TLS handshake: because that failed, or because the
        /// viewer was being stopped.
        handshake_left: bool,
    },
    /// The kernel received bytes on a connection that no exchange accounts for.
    Received {
        /// The viewer.
        viewer: u32,
        /// Bytes.
        bytes: u64,
        /// Whether the connection was encrypted.
        tls: bool,
    },
    /// Something happened that is only counted.
    Counted {
        /// The viewer.
        viewer: u32,
        /// What.
        counter: Counter,
        /// How often.
        events: u64,
    },
    /// Facts were lost on their way to the aggregator.
    FactsLost {
        /// How many records.
        records: u64,
    },
    /// FFmpeg's lines: how many were read, and how many of them went past the bound.
    Lines {
        /// The viewer.
        viewer: u32,
        /// Read.
        parsed: u64,
        /// Of these, reasons beyond the bound, which were not kept.
        dropped: u64,
    },
    /// A viewer is expected from now on.
    Arrived {
        /// The viewer.
        viewer: u32,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A viewer is not expected any more: it is being stopped, or has ended before.
    RampedDown {
        /// The viewer.
        viewer: u32,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A viewer was rejected because the limit of viewers was reached.
    Rejected,
    /// A stage of the load begins.
    Stage {
        /// Its place, from 0.
        stage: usize,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The load was changed manually.
    ManualChange {
        /// How.
        command: Command,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The run is over: viewers are being stopped, and what they do from now on is not playback.
    Closing {
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The origin's exporters were scraped.
    Origin {
        /// When the answer had come, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
        /// What they reported.
        scraped: Scraped,
    },
    /// How late a timer of ours fired.
    Lag {
        /// Nanoseconds.
        nanos: u64,
    },
    /// What the machine was doing during the last second.
    Machine {
        /// Busy share of all processors, 0 to 100.
        cpu_percent: f64,
        /// Share of one processor that this program used, in percent.
        own_cpu_percent: f64,
    },
}
