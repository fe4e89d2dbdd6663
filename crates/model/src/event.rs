//! The events of a run, as the aggregator receives them.

use std::borrow::Cow;
use std::sync::Arc;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_hls::playlist::Playlist;

use super::command::Command;
use super::exchange::{Exchange, Kind};
use crate::listed::Rendition;
use crate::metric::counters::Counter;
use crate::origin_sample::Scraped;
use crate::seen::Seen;
use crate::segment_read::SegmentRead;
use crate::stats::StagePlan;

/// The reason why a viewer's process ended, from the point of view of its life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndClass {
    /// It played the stream to its end (EXT-X-ENDLIST).
    Finished,
    /// The program stopped it, because the run, its session or its stage of the load is over.
    Stopped,
    /// It crashed, ended before the end of the stream, or was stopped because it stalled.
    Failed,
}

impl Event {
    /// The event with all texts that others wrote, such as names of objects, as `redact` shows them.
    #[must_use]
    pub fn redacted(mut self, redact: &impl Fn(&str) -> Cow<'_, str>) -> Self {
        let apply = |text: &mut String| {
            if let Cow::Owned(shown) = redact(text) {
                *text = shown;
            }
        };
        match &mut self {
            Self::Batch(events) => {
                for event in events {
                    let whole = std::mem::replace(event, Self::Rejected);
                    *event = whole.redacted(redact);
                }
            }
            Self::Exchange(exchange) => {
                for text in [Some(&mut exchange.name), exchange.edge.as_mut()].into_iter().flatten() {
                    if let Cow::Owned(shown) = redact(text) {
                        *text = shown.into();
                    }
                }
            }
            Self::SegmentRead(read) => {
                if let Cow::Owned(shown) = redact(&read.name) {
                    read.name = shown.into();
                }
            }
            Self::ConnectFailed { reason, .. } | Self::Ended { reason, .. } => apply(reason),
            Self::Forbidden { host, .. } => apply(host),
            Self::Origin { scraped: Scraped::Failed(_, why), .. } => apply(why),
            _ => {}
        }
        self
    }
}

/// The rule that forbids a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenBy {
    /// An allow-list lacks the host.
    AllowList,
    /// The address is public, and the load was not confirmed.
    PublicAddress,
    /// Secret headers would reach a host that they were not given for.
    HeaderHosts,
    /// One of these; a native viewer gives the message in place of the host.
    Message,
}

impl ForbiddenBy {
    /// Why there was no connection to `host`.
    #[must_use]
    pub fn reason(self, host: &str) -> String {
        let why = match self {
            Self::AllowList => "is not among the allowed hosts",
            Self::PublicAddress => "is a public address, and the load was not confirmed",
            Self::Message => return format!("forbidden: {host}"),
            Self::HeaderHosts => "is not among the hosts that may receive the secret headers",
        };
        format!("forbidden: {host} {why}")
    }
}

/// An event. `viewer` counts from 1.
#[derive(Clone, Debug)]
pub enum Event {
    /// A viewer's process was started.
    Started {
        /// The viewer.
        viewer: u32,
        /// Number of its starts so far.
        generation: u32,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A viewer plays several playlists together, such as video and separate audio, and does not learn this from a
    /// playlist.
    Renditions {
        /// The viewer.
        viewer: u32,
        /// The number of playlists.
        count: u8,
    },
    /// The process of a viewer reported for the first time that it has read media.
    ReadsMedia {
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
        /// The reason, as a text that is the same for equal causes; empty if it was stopped and had reported no error.
        reason: String,
        /// Seconds from its start.
        uptime_seconds: f64,
    },
    /// A viewer has watched a live stream to its end, and leaves.
    Left {
        /// The viewer.
        viewer: u32,
    },
    /// A viewer will not be started again.
    GivenUp {
        /// The viewer.
        viewer: u32,
    },
    /// Several events, in order.
    Batch(Vec<Self>),
    /// A request and its response are over.
    Exchange(Box<Exchange>),
    /// The body of an exchange that has been counted did not arrive whole.
    CutShort {
        /// The viewer.
        viewer: u32,
        /// What was requested.
        kind: Kind,
        /// The bytes that were counted.
        counted_bytes: u64,
        /// The bytes that arrived; `None` = not known.
        arrived_bytes: Option<u64>,
    },
    /// A viewer has read a whole segment, which most viewers discard unseen.
    SegmentRead(Box<SegmentRead>),
    /// A viewer has read a whole playlist.
    Playlist {
        /// The viewer.
        viewer: u32,
        /// Number of its starts.
        generation: u32,
        /// Identity of the playlist: the hash of its URL without delivery directives.
        playlist: u64,
        /// Its media, by the multivariant playlist that refers to it.
        rendition: Rendition,
        /// Its content; shared by all viewers that read the same text.
        said: Arc<Playlist>,
        /// Time when its last byte arrived, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The player of a viewer reports what it has seen. From its first report on, nothing about the viewer's playback is
    /// derived from what arrived.
    Seen {
        /// The viewer.
        viewer: u32,
        /// Time of the report, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
        /// What it has seen in this session.
        seen: Box<Seen>,
    },
    /// A connection could not be made.
    ConnectFailed {
        /// The viewer.
        viewer: u32,
        /// The operating system's message.
        reason: String,
        /// Whether the operating system reported a timeout.
        timed_out: bool,
        /// Time that the viewer had waited when it gave up without a response, nanoseconds.
        given_up_after_ns: Option<u64>,
        /// The viewer closed it in the middle of the TLS handshake: because that failed, or because the
        /// viewer was being stopped.
        handshake_left: bool,
    },
    /// A native viewer looked a name up, and got no address.
    LookupFailed {
        /// The viewer.
        viewer: u32,
        /// How long the lookup took, nanoseconds.
        took_ns: u64,
    },
    /// The stream led a viewer to a host that it may not connect to.
    Forbidden {
        /// The viewer.
        viewer: u32,
        /// The host, or its address and port.
        host: String,
        /// The rule.
        by: ForbiddenBy,
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
    /// An event that is only counted.
    Counted {
        /// The viewer.
        viewer: u32,
        /// What.
        counter: Counter,
        /// The number of times.
        events: u64,
    },
    /// Facts were lost on their way to the aggregator.
    FactsLost {
        /// The number of records.
        records: u64,
    },
    /// Lines of FFmpeg: the number that was read, and the number that was dropped because of the limit.
    Lines {
        /// The viewer.
        viewer: u32,
        /// Read.
        parsed: u64,
        /// Those of them with a reason that exceeded the limit and was dropped.
        dropped: u64,
    },
    /// A viewer is expected to play from now on.
    Arrived {
        /// The viewer.
        viewer: u32,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A viewer is no longer expected to play: it is being stopped, or has ended before.
    RampedDown {
        /// The viewer.
        viewer: u32,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A viewer was rejected because the limit of viewers was reached.
    Rejected,
    /// A stage of the load begins.
    Stage {
        /// Its index, from 0.
        stage: usize,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// A level of a search for the limit of the load begins; `None` = the one that is under way ends.
    Level {
        /// What is planned.
        level: Option<StagePlan>,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The load was changed manually.
    ManualChange {
        /// How.
        command: Command,
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The run is over: viewers are being stopped, and their activity from now on does not count as playback.
    Closing {
        /// Time of the event, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
    },
    /// The origin's exporters were scraped.
    Origin {
        /// Time when the response arrived, `CLOCK_MONOTONIC` nanoseconds.
        at_ns: u64,
        /// Their values.
        scraped: Scraped,
    },
    /// The delay with which a timer of this program fired.
    Lag {
        /// Nanoseconds.
        nanos: u64,
    },
    /// The load of the machine during the last second.
    Machine {
        /// Busy share of all processors, 0 to 100.
        cpu_percent: f64,
        /// Share of one processor that this program used, in percent.
        own_cpu_percent: f64,
    },
    /// How long the processes of this run waited for a processor since the last such event.
    Waited(Waited),
}

/// How long the processes of a run were ready to run and did not run, between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Time between the samples, nanoseconds.
    pub elapsed_ns: u64,
    /// Time that the threads of this program waited for a processor, nanoseconds; `None` = not known.
    pub own_ns: Option<u64>,
    /// Time for which its control group was throttled, nanoseconds, added over processors; `None` = not known, or
    /// without a quota.
    pub throttled_ns: Option<u64>,
    /// Time for which any process of the machine waited for a processor, nanoseconds; `None` = not known.
    pub pressure_ns: Option<u64>,
    /// Life of the sampled viewers since each was sampled before, nanoseconds, added over viewers.
    pub viewers_elapsed_ns: u64,
    /// Time that they waited for a processor, nanoseconds, added over viewers.
    pub viewers_ns: u64,
    /// Life of the sampled viewers without the first seconds, in which they start, nanoseconds, added over viewers.
    pub started_elapsed_ns: u64,
    /// Time that they waited for a processor in it, nanoseconds, added over viewers.
    pub started_ns: u64,
    /// How many times they got a processor.
    pub viewers_turns: u64,
    /// The longest time that one of them waited, since the sample before its last one, nanoseconds.
    pub longest_ns: u64,
    /// How many times a viewer was stopped (SIGSTOP).
    pub stops: u64,
    /// Time for which viewers were stopped, at least, nanoseconds, added over viewers.
    pub stopped_ns: u64,
}
