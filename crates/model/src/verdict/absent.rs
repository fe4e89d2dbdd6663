//! Thresholds on figures that a run will not have, which is known from its sources before it begins.

use super::threshold::Threshold;
use crate::exchange::Source;
use crate::metric::counters::SeenIn;
use crate::metric::{NEED_BUFFER, NEED_PLAYLISTS, NEED_SEGMENTS, Read};
use crate::snapshot::{PlaybackSource, Snapshot, Timing};

/// Why a run does not have a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The reason.
    pub because: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

const NO_BUFFER: Absent = Absent {
    because: "viewers read a VOD at the pace of playback, without the buffer of a player: this FFmpeg has no \
              -readrate_initial_burst",
    help: "leave it out, or use FFmpeg 6.1 or later, or --engine native",
};
const NOT_IN_LOG: Absent = Absent {
    because: "the figures come from FFmpeg's log, which does not show it",
    help: "leave it out, or use an FFmpeg that can load the socket probe (docs/ffmpeg.md), or --engine native",
};
const NOTHING_PLAYED: Absent = Absent {
    because: "viewers download every rendition, so nothing is played",
    help: "leave it out, or do not pass --variant all",
};
const NO_PLAYERS: Absent = Absent {
    because: "only the players of native viewers report it",
    help: "leave it out, or pass --engine native without --variant all",
};
const NOT_READ: Absent = Absent {
    because: "only native viewers read segments to check their media",
    help: "leave it out, or pass --engine native",
};
const NO_CLIENT: Absent = Absent {
    because: "only native viewers measure how long a lookup took that failed",
    help: "leave it out, or pass --engine native",
};
const NO_ARRIVALS: Absent = Absent {
    because: "native viewers do not tell it from other segments that they skip",
    help: "leave it out, or use segments_skipped",
};
const NO_LOG: Absent =
    Absent { because: "it comes from FFmpeg's log, and the viewers are not FFmpeg", help: "leave it out" };
const NO_LIMITS: Absent = Absent {
    because: "nothing limits the hosts that viewers may connect to",
    help: "leave it out, or pass --allow-host",
};

impl Threshold {
    /// Why a run with the first snapshot `initial` will never measure the metric; `None` = it may.
    #[must_use]
    pub fn absent(&self, initial: &Snapshot) -> Option<Absent> {
        let metric = self.metric();
        let sources = &initial.sources;
        let from_log = sources.requests == Source::Log;
        match sources.playback {
            PlaybackSource::Unbuffered if NEED_BUFFER.contains(&metric) => return Some(NO_BUFFER),
            PlaybackSource::Downloads
                if NEED_BUFFER.contains(&metric) || NEED_PLAYLISTS.contains(&metric) =>
            {
                return Some(NOTHING_PLAYED);
            }
            PlaybackSource::Inferred if NEED_BUFFER.contains(&metric) || NEED_PLAYLISTS.contains(&metric) => {
                return Some(NOT_IN_LOG);
            }
            _ => {}
        }
        let has_players = sources.playback == PlaybackSource::Players;
        match self.read() {
            Read::Timing(
                Timing::Connect | Timing::Dns | Timing::TlsHandshake | Timing::Rtt | Timing::MinRtt,
            ) => from_log.then_some(NOT_IN_LOG),
            Read::Timing(
                Timing::FirstMediaByte
                | Timing::LatencyByEdge
                | Timing::LatencyByDate
                | Timing::TargetLatency
                | Timing::Buffer,
            ) => (!has_players).then_some(NO_PLAYERS),
            Read::Timing(Timing::DnsFailed) => (sources.requests != Source::Native).then_some(NO_CLIENT),
            Read::Counter(counter) => match counter.info().seen_in {
                SeenIn::Bodies | SeenIn::Probe => from_log.then_some(NOT_IN_LOG),
                SeenIn::FfmpegLog => initial.counters[counter].is_none().then_some(NO_LOG),
                SeenIn::HostLimits => initial.counters[counter].is_none().then_some(NO_LIMITS),
                SeenIn::Segments => initial.counters[counter].is_none().then_some(NOT_READ),
                SeenIn::Players => (!has_players).then_some(NO_PLAYERS),
                SeenIn::Arrivals => has_players.then_some(NO_ARRIVALS),
                SeenIn::Requests | SeenIn::Machine | SeenIn::Playback => None,
            },
            _ if NEED_SEGMENTS.contains(&metric) => (sources.requests != Source::Native).then_some(NOT_READ),
            _ if metric == "bitrate_played" => (!has_players).then_some(NO_PLAYERS),
            _ => (from_log && metric == "cache_hits").then_some(NOT_IN_LOG),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Sources;
    use crate::stats::{Expectation, Stats};

    fn initial(requests: Source, playback: PlaybackSource) -> Stats {
        Stats::new(Expectation {
            began_ns: 0,
            planned_seconds: None,
            target_clients: 1,
            start_up_seconds: 5.0,
            timeout_ns: 1,
            sources: Sources { requests, bytes: requests, playback },
        })
    }

    /// The metrics of all thresholds that cannot be evaluated.
    fn absent(stats: &Stats) -> Vec<&'static str> {
        let initial = stats.snapshot(0);
        let typed = crate::metric::askable().map(|(metric, asked)| format!("{}{}", metric.id, asked.example));
        let thresholds: Vec<Threshold> = typed.map(|text| text.parse().unwrap()).collect();
        thresholds.iter().filter(|one| one.absent(&initial).is_some()).map(Threshold::metric).collect()
    }

    #[test]
    fn what_the_sources_of_a_run_do_not_show_is_known_before_it() {
        let players = [
            "bitrate_played",
            "switches_up",
            "switches_down",
            "pathway_switches",
            "stalls_excluded",
            "parts_loaded",
            "parts_late",
            "hints_wrong",
            "reloads_unblocked",
            "reloads_blocked",
            "reloads_unchanged",
            "first_media_byte",
            "latency_by_edge",
            "latency_by_date",
            "target_latency",
            "buffer",
        ];
        let native_only = [
            "segments_read",
            "segments_unread",
            "variants_over_bandwidth",
            "segment_durations_wrong",
            "timestamp_gaps",
            "bodies_differing",
            "dns_failed",
            "alternatives_failed",
        ];
        let without = |absent: Vec<&'static str>, known: &[&str]| -> Vec<&'static str> {
            absent.into_iter().filter(|metric| !known.contains(metric)).collect()
        };
        let probe = initial(Source::Probe, PlaybackSource::Arrivals);
        let missing = absent(&probe);
        assert!(players.iter().chain(&native_only).all(|metric| missing.contains(metric)), "{missing:?}");
        assert_eq!(without(without(missing, &players), &native_only), ["forbidden_connections"]);
        let missing = absent(&probe.with_host_limits());
        assert_eq!(without(without(missing, &players), &native_only), Vec::<&str>::new());
        let vod = absent(&initial(Source::Probe, PlaybackSource::Unbuffered).with_host_limits());
        assert_eq!(without(without(without(vod, &players), &native_only), &NEED_BUFFER), Vec::<&str>::new());
        let native = absent(&initial(Source::Native, PlaybackSource::Players).without_ffmpeg_log());
        assert!(native.contains(&"segments_unavailable"), "{native:?}");
        for metric in ["reconnections", "segments_missed"] {
            assert!(native.contains(&metric), "{metric}");
        }
        for metric in players.iter().chain(&NEED_BUFFER).chain(&native_only) {
            assert!(!native.contains(metric), "{metric}");
        }
        let downloads = absent(&initial(Source::Native, PlaybackSource::Downloads));
        for metric in players.iter().chain(&NEED_BUFFER).chain(&NEED_PLAYLISTS) {
            assert!(downloads.contains(metric), "{metric}");
        }
        let log = absent(&initial(Source::Log, PlaybackSource::Inferred));
        for metric in ["rebuffering", "missing_media", "segments_skipped", "rtt", "retransmits", "cache_hits"]
        {
            assert!(log.contains(&metric), "{metric}");
        }
        for metric in ["error_rate", "startup", "active_ratio", "segment_ttfb", "tls_errors"] {
            assert!(!log.contains(&metric), "{metric}");
        }
    }

    #[test]
    fn what_is_not_measured_is_not_zero() {
        let log = initial(Source::Log, PlaybackSource::Inferred).snapshot(0);
        for metric in ["missing_media", "segments_skipped", "segments_unavailable", "stalls"] {
            assert_eq!(crate::metric::find(metric).unwrap().scalar(&log), None, "{metric}");
        }
    }
}
