//! Metrics of one number: progress of the run, requests, errors, playback, life cycles, the load generator.

use super::{Metric, Scope, Unit, count, counter, criteria, gauge, histogram};
use crate::exchange::{Kind, Source};

pub(super) fn metrics() -> Vec<Metric> {
    [progress(), requests(), errors(), playback(), content(), lifetimes(), trust()].concat()
}

fn progress() -> Vec<Metric> {
    vec![
        gauge("target_clients", "Viewers that the plan or a manual change asks for.", |s| {
            count(s.target_clients)
        }),
        gauge("active_clients", "Viewers whose process is up.", |s| count(s.active_clients)),
        gauge("playing_clients", "Viewers that play and are not stalled.", |s| count(s.playing_clients)),
        gauge("peak_clients", "Largest number of viewers that were up at the same time.", |s| {
            count(s.peak_clients)
        })
        .asked("peak_clients", Unit::Count, ">=500", Scope::WholeRun),
        gauge("ramp_progress", "Share of the viewers that have been started, 0 to 1.", |s| {
            Some(s.target_now as f64 / s.target_clients.max(1) as f64)
        }),
        gauge("test_duration_seconds", "Planned length of the run, 0 = until stopped.", |s| {
            Some(s.planned_seconds.unwrap_or(0.0))
        }),
        gauge("test_elapsed_seconds", "Seconds since the run began.", |s| Some(s.elapsed_seconds)),
        gauge("test_remaining_seconds", "Seconds until the planned end, -1 = until stopped.", |s| {
            Some(s.planned_seconds.map_or(-1.0, |planned| (planned - s.elapsed_seconds).max(0.0)))
        }),
    ]
}

fn requests() -> Vec<Metric> {
    vec![
        counter("manifest_requests_total", "Playlist requests.", |s| count(s.requests[Kind::Playlist])),
        counter("segment_requests_total", "Media segment requests.", |s| count(s.requests[Kind::Segment])),
        counter("init_requests_total", "Initialization section requests.", |s| count(s.requests[Kind::Init])),
        counter("key_requests_total", "Decryption key requests.", |s| count(s.requests[Kind::Key])),
        counter("steering_requests_total", "Steering manifest requests.", |s| {
            count(s.requests[Kind::Steering])
        }),
        counter("unknown_requests_total", "Requests for anything else.", |s| count(s.requests[Kind::Other])),
        counter("bytes_downloaded_total", "Body bytes that reached viewers, all kinds.", |s| {
            count(s.bytes.total())
        }),
        counter("segment_bytes_downloaded_total", "Body bytes of segments that reached viewers.", |s| {
            count(s.bytes[Kind::Segment])
        }),
        counter(
            "kernel_received_bytes_total",
            "Bytes that the kernel received for the viewers (tcp_info).",
            |s| s.received_bytes.map(|bytes| bytes as f64),
        ),
        gauge("manifest_requests_per_second", "Playlist requests per second, over 10 s.", |s| {
            Some(s.rates.manifest_per_second)
        }),
        gauge("segment_requests_per_second", "Segment requests per second, over 10 s.", |s| {
            Some(s.rates.segment_per_second)
        }),
        gauge("throughput_bytes_per_second", "Body bytes per second, all kinds, over 10 s.", |s| {
            Some(s.rates.bytes_per_second)
        }),
        gauge("throughput", "Body bits per second, averaged over the run.", |s| {
            (s.elapsed_seconds > 0.0).then(|| s.bytes.total() as f64 * 8.0 / s.elapsed_seconds)
        })
        .unexported()
        .asked("throughput", Unit::Rate, ">50Mbit", Scope::Window),
        gauge("throughput_ratio", "Media that arrived in time, as a share of the media that was due.", |s| {
            s.playback_time.throughput_ratio.filter(|_| s.has_playback())
        })
        .asked("throughput_ratio", Unit::Share, ">=98%", Scope::Window),
        gauge("cache_hit_ratio", "Cache hits, as a share of the hits and misses that edges reported.", |s| {
            s.cache.hit_ratio()
        })
        .asked("cache_hits", Unit::Share, ">95%", Scope::Window),
    ]
}

fn errors() -> Vec<Metric> {
    vec![
        counter("broken_exchanges_total", "Exchanges that the peer or the network interrupted.", |s| {
            count(s.errors.broken)
        }),
        counter("connect_errors_total", "Connections that could not be made.", |s| count(s.errors.connect)),
        counter("timeouts_total", "Connection attempts and exchanges that ran into the timeout.", |s| {
            count(s.errors.timeouts)
        })
        .asked("timeouts", Unit::Count, "==0", Scope::Window),
        counter(
            "content_errors_total",
            "Complete responses with a successful status whose body was not what was requested.",
            |s| count(s.errors.content),
        ),
        gauge("error_rate", "Requests and connection attempts that failed, as a share of all.", |s| s.errors.rate)
            .asked(criteria::ERROR_RATE, Unit::Share, "<0.1%", Scope::Window),
        gauge(
            "object_error_rate",
            "Objects whose request failed, as a share of all that viewers requested; retries of an object count once.",
            |s| s.errors.object_rate,
        )
        .asked("object_error_rate", Unit::Share, "<1%", Scope::Window),
    ]
}

fn playback() -> Vec<Metric> {
    vec![
        gauge("clients_above_realtime", "Viewers at 0.9 x real time or faster.", |s| {
            s.measured_playback().and_then(|playback| count(playback.above_realtime))
        }),
        gauge("clients_below_realtime", "Viewers below 0.9 x real time.", |s| {
            s.measured_playback().and_then(|playback| count(playback.below_realtime))
        }),
        gauge("stalled_clients", "Viewers whose buffer is empty.", |s| {
            s.measured_playback().and_then(|playback| count(playback.stalled_now))
        }),
        counter(
            "stalls_total",
            "Times that the playback of a viewer stalled for at least 250 ms, because its buffer was empty.",
            |s| s.stalls().and_then(count),
        )
        .asked("stalls", Unit::Count, "==0", Scope::Window),
        gauge("average_speed", "Average playback speed now, 1 = real time.", |s| {
            s.measured_playback()?.average_speed
        })
        .asked("speed", Unit::Count, ">=0.95", Scope::Moment),
        gauge("high_drift_clients", "Viewers more than 5 s behind the wall clock.", |s| {
            s.measured_playback().and_then(|playback| count(playback.high_drift))
        }),
        gauge("average_drift_seconds", "Average lag behind the wall clock.", |s| {
            s.measured_playback()?.average_drift_seconds
        }),
        gauge("max_drift_seconds", "Largest lag behind the wall clock.", |s| {
            s.measured_playback()?.max_drift_seconds
        }),
        gauge(
            "active_ratio",
            "Playing viewers, as a share of the viewers that should play, averaged over time after the ramp.",
            |s| s.active_ratio,
        )
        .asked(criteria::ACTIVE_RATIO, Unit::Share, ">=99%", Scope::Window),
        gauge(
            "rebuffering_ratio",
            "Time in which playback stalled after the first frame, as a share of stalled and viewing time.",
            |s| s.playback_time.rebuffering.filter(|_| s.has_playback()),
        )
        .asked("rebuffering", Unit::Share, "<1%", Scope::Window),
        gauge("longest_stall_seconds", "The longest stall of a viewer so far.", |s| {
            Some(s.playback_time.longest_stall_seconds).filter(|_| s.has_playback())
        })
        .asked("longest_stall", Unit::Time, "<2s", Scope::WholeRun),
        gauge(
            "viewers_without_stall_ratio",
            "Viewers that never stalled, as a share of the viewers that played.",
            |s| s.share_without_stall(),
        )
        .asked("viewers_without_stall", Unit::Share, ">=95%", Scope::WholeRun),
        gauge(
            "bitrate_played_bits_per_second",
            "Average BANDWIDTH of the media that was shown, weighted by time, whole run.",
            |s| s.quality.as_ref()?.bitrate_played,
        )
        .asked("bitrate_played", Unit::Rate, ">2Mbit", Scope::WholeRun),
        gauge(
            "excluded_stall_ratio",
            "Time stalled because this program was late, as a share of all viewing time; it counts as no stall.",
            |s| s.excluded_share(),
        ),
        counter(
            "blocked_reload_seconds_total",
            "Time for which servers held playlists that players had asked to wait for (blocking reloads); viewers play on meanwhile.",
            |s| s.quality.as_ref().map(|quality| quality.blocked_seconds),
        ),
        counter(
            "missing_media_seconds_total",
            "Media that playback jumped over after the first frame, because it did not arrive whole.",
            |s| s.knows_missing_media().then_some(s.playback_time.missing_seconds),
        )
        .asked("missing_media", Unit::Time, "<1s", Scope::Window),
    ]
}

fn content() -> Vec<Metric> {
    vec![
        counter("segments_read_total", "Segments that native viewers read to check their media.", |s| {
            s.content.as_ref().and_then(|content| count(content.segments))
        })
        .asked("segments_read", Unit::Count, ">0", Scope::WholeRun),
        counter("segments_unread_total", "Of these, segments whose times could not be read.", |s| {
            s.content.as_ref().and_then(|content| count(content.unread_segments()))
        })
        .asked("segments_unread", Unit::Count, "==0", Scope::WholeRun),
        counter(
            "bodies_compared_total",
            "Bodies of segments that were compared with the first one from the same URL.",
            |s| s.content.as_ref().and_then(|content| count(content.compared)),
        ),
        gauge(
            "variants_over_bandwidth",
            "Variants whose segments have a higher peak bit rate than BANDWIDTH (RFC 8216bis, 4.4.6.2).",
            |s| s.content.as_ref()?.over_bandwidth().and_then(count),
        )
        .asked("variants_over_bandwidth", Unit::Count, "==0", Scope::WholeRun),
    ]
}

fn lifetimes() -> Vec<Metric> {
    vec![
        counter("client_starts_total", "Processes started.", |s| count(s.lifetimes.starts)),
        counter("client_restarts_total", "Processes of viewers that were started again.", |s| {
            count(s.lifetimes.restarts)
        })
        .asked("restarts", Unit::Count, "<10", Scope::Window),
        gauge("clients_given_up", "Viewers that will not be started again.", |s| count(s.lifetimes.given_up))
            .asked(criteria::GIVEN_UP, Unit::Count, "==0", Scope::Stage),
        gauge(
            "viewers_played_ratio",
            "Viewers that played, as a share of those that had enough time to begin.",
            |s| Some(s.lifetimes.played as f64 / s.lifetimes.expected.max(1) as f64),
        )
        .asked(criteria::VIEWERS_PLAYED, Unit::Share, ">=100%", Scope::WholeRun),
        histogram("client_uptime_seconds", "Lifetimes of ended processes.", |s| &s.uptime_buckets),
    ]
}

fn trust() -> Vec<Metric> {
    vec![
        gauge(
            "kernel_bytes_agreement",
            "Bytes that viewers read divided by bytes that the kernel received for them, 1 = equal.",
            |s| s.agreement.kernel_bytes,
        ),
        counter("probe_records_lost_total", "Records of the probe that never arrived.", |s| {
            (s.sources.requests != Source::Log).then_some(s.generator.events_lost as f64)
        }),
        gauge("generator_cpu_ratio", "Average busy share of this machine's processors, 0 to 1.", |s| {
            s.generator.cpu_percent.map(|percent| percent / 100.0)
        }),
        gauge(
            "generator_lag_max_seconds",
            "The longest delay with which a timer of this program fired.",
            |s| Some(s.generator.max_lag_ms / 1000.0),
        ),
        gauge(
            "generator_wait_ratio",
            "Time that viewers waited for a processor, as a share of their lives, 0 to 1.",
            |s| s.generator.waits.of_viewers(),
        ),
        counter(
            "generator_throttled_seconds_total",
            "Time for which the CPU quota of the control group throttled this program and its viewers.",
            |s| s.generator.waits.throttled_seconds,
        ),
        counter("viewer_stops_total", "Times that a viewer was stopped by a signal such as SIGSTOP.", |s| {
            count(s.generator.waits.viewer_stops)
        }),
    ]
}
