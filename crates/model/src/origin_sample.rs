//! Samples of the origin's exporters.

/// A scrape target at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The node exporter: the origin's machine.
    Node,
    /// The nginx exporter.
    Nginx,
    /// The list of segment sizes.
    Sizes,
}

impl Target {
    /// The name in messages and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Nginx => "nginx",
            Self::Sizes => "segment_sizes",
        }
    }
}

/// One sample of the origin's machine. Counters are those since its boot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeSample {
    /// Seconds that all processors together were busy (all modes but idle and iowait).
    pub busy_seconds: f64,
    /// Seconds of all processors together, busy or idle.
    pub all_seconds: f64,
    /// Share of the memory in use, 0 to 1 (MemTotal less MemAvailable).
    pub memory_used: Option<f64>,
    /// Bytes received by its network devices.
    pub received_bytes: Option<f64>,
    /// Bytes transmitted by them.
    pub transmitted_bytes: Option<f64>,
}

/// One sample of the origin's nginx (`stub_status`). Counters are those since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NginxSample {
    /// Connections open now.
    pub active: f64,
    /// Connections accepted.
    pub accepted: f64,
    /// Connections handled; fewer than were accepted if a limit was reached.
    pub handled: f64,
    /// Requests.
    pub requests: f64,
}

/// The result of one scrape.
#[derive(Clone, Debug, PartialEq)]
pub enum Scraped {
    /// From the node exporter.
    Node(NodeSample),
    /// From the nginx exporter.
    Nginx(NginxSample),
    /// Names and sizes of segments, bytes.
    Sizes(Vec<(Box<str>, u64)>),
    /// The reason why the scrape failed.
    Failed(Target, String),
}
