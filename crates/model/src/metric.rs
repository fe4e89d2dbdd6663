//! What can be asked of a run by name: the metrics of thresholds and criteria, their units and meanings.
//! How each is taken from a snapshot is `verdict::threshold`'s.

/// What a value is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; typed as a Go duration.
    Time,
    /// 0 to 1; typed so, or in percent.
    Share,
    /// Bits per second; typed with k, M or G.
    Rate,
    /// A number.
    Count,
}

/// A metric that a run can be held against.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// Its name, as typed.
    pub name: &'static str,
    /// What it is given in.
    pub unit: Unit,
    /// Whether it is a distribution, of which a threshold is about one percentile.
    pub distribution: bool,
    /// A limit that may stand behind it in a threshold.
    pub example: &'static str,
    /// What it tells.
    pub meaning: &'static str,
}

const fn one(name: &'static str, unit: Unit, example: &'static str, meaning: &'static str) -> MetricInfo {
    MetricInfo { name, unit, distribution: false, example, meaning }
}

const fn times(name: &'static str, example: &'static str, meaning: &'static str) -> MetricInfo {
    MetricInfo { name, unit: Unit::Time, distribution: true, example, meaning }
}

/// All metrics that a threshold may name, in the order in which they are told.
pub const MEASURES: [MetricInfo; 22] = [
    one("error_rate", Unit::Share, "<0.1%", "requests and connects that failed, of all"),
    one(
        "active_ratio",
        Unit::Share,
        ">=99%",
        "viewers that play, of those that should, mean over time after the ramp",
    ),
    one("viewers_played", Unit::Share, ">=100%", "viewers that ever played, of those that had the time to"),
    one("given_up", Unit::Count, "==0", "viewers that are not started again"),
    one("stalls", Unit::Count, "==0", "times that a viewer fell behind real time for more than 5 s"),
    one("restarts", Unit::Count, "<10", "viewers' processes started again"),
    one("timeouts", Unit::Count, "==0", "connects and requests given up after the time-out"),
    one("peak_clients", Unit::Count, ">=500", "most viewers up at once"),
    one("speed", Unit::Count, ">=0.95", "mean playback speed at the end, 1 = real time"),
    one(
        "rebuffering",
        Unit::Share,
        "<1%",
        "time in which a player's buffer would have been empty, of the viewing time",
    ),
    one("cache_hits", Unit::Share, ">95%", "answers from a cache, of those in which an edge told"),
    one("throughput_ratio", Unit::Share, ">=98%", "media that came in time, of the media that was due"),
    one("throughput", Unit::Rate, ">50Mbit", "body bits per second, mean over the run"),
    times("segment_ttfb", ":p95<500ms", "segments: from the request to the first byte"),
    times("segment_download", ":p95<1s", "segments: from the first to the last byte"),
    times("segment_total", ":p95<1s", "segments: from the request to the last byte"),
    times("manifest_ttfb", ":p95<200ms", "playlists: from the request to the first byte"),
    times("manifest_download", ":p95<200ms", "playlists: from the first to the last byte"),
    times("connect", ":p95<100ms", "TCP connects"),
    times("dns", ":p95<100ms", "name look-ups"),
    times("tls_handshake", ":p95<200ms", "TLS handshakes"),
    times("startup", ":p99<2s", "from the start of a viewer to its first whole segment"),
];

/// Metrics that need players that report how far they have played.
pub const NEED_PROGRESS: [&str; 4] = ["stalls", "speed", "rebuffering", "throughput_ratio"];

/// Criteria that no threshold can name.
const BUILT_IN: [MetricInfo; 5] = [
    one("stages", Unit::Share, "", "stages that held a level and met the criteria, of all such stages"),
    one("error_storm", Unit::Share, "", "the run was ended because most requests failed"),
    one("merged_runs", Unit::Share, "", "parts of the load that passed by themselves, of all"),
    one("shards_reported", Unit::Share, "", "shards that handed in their report, of all"),
    times("abort_after", "", "the run was ended because a threshold had failed for so long"),
];

/// The metric or criterion `name`; `None` if there is none.
#[must_use]
pub fn measure(name: &str) -> Option<&'static MetricInfo> {
    MEASURES.iter().chain(&BUILT_IN).find(|measure| measure.name == name)
}

impl Unit {
    /// `value` as people read it. Never rounded so far that it seems to meet a limit that it does not meet.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Time if value < 10.0 => format!("{} ms", trimmed(value * 1000.0, 1)),
            Self::Time => format!("{} s", trimmed(value, 2)),
            Self::Share => format!("{} %", trimmed(value * 100.0, 4)),
            Self::Rate => format!("{} Mbit/s", trimmed(value / 1e6, 3)),
            Self::Count => trimmed(value, 4),
        }
    }
}

/// At most so many decimals, without zeros at the end.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well_and_do_not_flatter() {
        assert_eq!((Unit::Time.text(0.0034), Unit::Time.text(31.5)), ("3.4 ms".into(), "31.5 s".into()));
        assert_eq!((Unit::Share.text(1.0), Unit::Share.text(0.0)), ("100 %".into(), "0 %".into()));
        assert_eq!(Unit::Share.text(0.99996), "99.996 %");
        assert_eq!(Unit::Rate.text(107_900_000.0), "107.9 Mbit/s");
        assert_eq!((Unit::Count.text(20.0), Unit::Count.text(0.98)), ("20".into(), "0.98".into()));
    }

    #[test]
    fn names_are_there_once() {
        for (place, measure) in MEASURES.iter().enumerate() {
            assert!(
                MEASURES.iter().skip(place + 1).all(|other| other.name != measure.name),
                "{}",
                measure.name
            );
        }
        assert!(measure("stages").is_some() && measure("no").is_none());
    }
}
