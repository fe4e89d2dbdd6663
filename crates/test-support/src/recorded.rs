//! One recorded run, for the tests of all outputs.

use std::sync::Arc;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_model::content::Content;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::exchange::{Cache, Exchange, HttpVersion, Kind, MediaPlaylist, Outcome, Source};
use hls_swarm_model::listed::{Rendition, SegmentId, VariantLabel};
use hls_swarm_model::origin_sample::{NginxSample, NodeSample, Scraped};
use hls_swarm_model::report::Report;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{PlaybackSource, Sources};
use hls_swarm_model::stats::{Expectation, StagePlan, Stats};
use hls_swarm_model::verdict::criteria::judge;
use hls_swarm_model::verdict::threshold::Threshold;

pub const SECOND: u64 = 1_000_000_000;

pub fn run() -> Run {
    Run {
        url: "http://127.0.0.1:17080/stream.m3u8".into(),
        variant: VariantSelection::All,
        version: "0.0.0".into(),
        ffmpeg: Some("5.1.9".into()),
        player: None,
        seed: Some(7),
        began_unix: 1_795_244_947,
        setup: None,
        per_viewer_metrics: true,
    }
}

pub fn stats(source: Source) -> Stats {
    stats_of(source, 2)
}

pub fn stats_of(source: Source, target_clients: u32) -> Stats {
    Stats::new(Expectation {
        began_ns: 0,
        planned_seconds: Some(60.0),
        target_clients,
        start_up_seconds: 5.0,
        timeout_ns: 15 * SECOND,
        sources: Sources { requests: source, bytes: source, playback: PlaybackSource::Arrivals },
    })
}

/// A segment of 1.1 s, with the second at which it was requested as its number.
pub const fn listed(sequence: u64) -> SegmentId {
    SegmentId {
        playlist: 1,
        sequence,
        duration_us: 1_100_000,
        rendition: Rendition::Main,
        encrypted: false,
        from_start: true,
    }
}

pub fn exchange(viewer: u32, kind: Kind, at: u64) -> Exchange {
    Exchange {
        viewer,
        generation: 1,
        pid: viewer,
        http: HttpVersion::Http1,
        connection: 1,
        streams: 1,
        kind,
        name: "a".into(),
        url_hash: 1,
        status: Some(200),
        outcome: Outcome::Complete,
        started_ns: at * SECOND,
        dns_ns: None,
        connect_ns: (at == 1).then_some(200_000),
        tls_ns: None,
        quic_ns: None,
        first_byte_ns: Some(at * 1_000_000),
        download_ns: Some(at * 10_000_000),
        idle_ns: None,
        head_bytes: 300,
        body_bytes: if kind == Kind::Segment { 500_000 } else { 400 },
        content: Some(if kind == Kind::Segment { Content::MpegTs } else { Content::Playlist }),
        cut_short: false,
        announced_bytes: Some(if kind == Kind::Segment { 500_000 } else { 400 }),
        unknown_body: false,
        excess_bytes: 0,
        segment: (kind == Kind::Segment).then_some(listed(at)),
        gap: false,
        variant: None,
        blocking_reload: false,
        received_bytes: Some(if kind == Kind::Segment { 500_300 } else { 700 }),
        tls: false,
        retransmits: Some(0),
        lost_packets: None,
        rtt_us: Some(40),
        min_rtt_us: Some(30),
        cache: (kind == Kind::Segment).then_some(Cache::Hit),
        age_s: (kind == Kind::Segment).then_some(3),
        edge: Some("cache-fra1".into()),
        playlist: (kind == Kind::Playlist).then_some(MediaPlaylist {
            // The playlist does not change from second 8 on.
            sequence: at.min(8),
            segments: 5,
            last_segment: at.min(8),
            discontinuity_sequence: 0,
            target_seconds: 2,
            ended: false,
        }),
        peer: Some(([192, 0, 2, 7].into(), 443)),
        local_port: None,
    }
}

/// The same as a part of a variant; segments have 2 s.
pub fn of_variant(exchange: Exchange, name: &str, bandwidth: u64) -> Exchange {
    let label = VariantLabel {
        name: name.to_owned(),
        rendition: Rendition::Main,
        bandwidth: Some(bandwidth),
        average_bandwidth: None,
        audio: None,
        codecs: Some("avc1.64001f,mp4a.40.2".to_owned()),
    };
    let segment = exchange.segment.map(|segment| SegmentId { playlist: bandwidth, ..segment });
    Exchange { variant: Some(Arc::new(label)), segment, ..exchange }
}

/// The origin is idle for half of the time and sends a megabyte per second; nginx counts the requests of viewers
/// and the scrapes.
pub fn origin(stats: &mut Stats, second: u64) {
    let node = NodeSample {
        busy_seconds: second as f64,
        all_seconds: second as f64 * 2.0,
        memory_used: Some(0.25),
        received_bytes: Some(second as f64 * 1e4),
        transmitted_bytes: Some(second as f64 * 1e6),
    };
    let list = vec![("a".into(), 500_000)];
    for scraped in [Scraped::Node(node), nginx(second * 6), Scraped::Sizes(list)] {
        stats.apply(Event::Origin { at_ns: second * SECOND, scraped });
    }
}

fn nginx(requests: u64) -> Scraped {
    let requests = requests as f64;
    Scraped::Nginx(NginxSample { active: 3.0, accepted: 3.0, handled: 3.0, requests })
}

/// Two viewers for twelve seconds; one receives a 404, fails, and is restarted.
pub fn recorded() -> Stats {
    let mut stats = stats(Source::Probe);
    for viewer in [1, 2] {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
    }
    for viewer in [1, 2] {
        stats.apply(Event::Started { viewer, generation: 1, at_ns: SECOND });
    }
    for second in 1..=12 {
        for viewer in [1, 2] {
            stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Playlist, second))));
            stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Segment, second))));
        }
        stats.apply(Event::Machine { cpu_percent: 40.0, own_cpu_percent: 1.5 });
        stats.apply(Event::Lag { nanos: 1_500_000 });
        origin(&mut stats, second);
        stats.tick(second * SECOND);
    }
    let missing = Exchange {
        status: Some(404),
        body_bytes: 153,
        received_bytes: Some(453),
        ..exchange(2, Kind::Segment, 12)
    };
    stats.apply(Event::Exchange(Box::new(missing)));
    stats.apply(Event::Origin { at_ns: 12 * SECOND, scraped: nginx(12 * 6 + 3) });
    stats.apply(Event::Lines { viewer: 1, parsed: 3, dropped: 0 });
    stats.apply(Event::Ended {
        viewer: 2,
        class: EndClass::Failed,
        ending: ProcessExit::Exited(0),
        killed: false,
        reason: "Failed to reload playlist; ended a live stream (exit code 0)".into(),
        uptime_seconds: 11.0,
    });
    stats.apply(Event::Started { viewer: 2, generation: 2, at_ns: 12 * SECOND });
    stats
}

/// Three viewers of two streams for 24 seconds: a ramp up, a level that passes, a ramp down by one viewer, and a level
/// that fails because the second stream fails.
pub fn recorded_in_parts() -> (Stats, Vec<Threshold>) {
    let thresholds = vec!["error_rate<5%".parse().unwrap()];
    let stage = |name: Option<&str>, seconds, from, clients| StagePlan {
        name: name.map(str::to_owned),
        seconds,
        from,
        clients,
    };
    let stages = vec![
        stage(None, 2.0, 0, 3),
        stage(Some("evening"), 10.0, 3, 3),
        stage(None, 2.0, 3, 2),
        stage(None, 10.0, 2, 2),
    ];
    let streams = [("http://a.example/live.m3u8", 2), ("http://b.example/live.m3u8 (lowest)", 1)];
    let streams = streams.map(|(name, weight)| (name.to_owned(), weight)).to_vec();
    let mut stats = stats_of(Source::Probe, 3).with_stages(
        stages,
        WeightedSet::weighted(streams).unwrap(),
        thresholds.clone(),
    );
    for second in 0..24 {
        if let Some(stage) = [0, 2, 12, 14].iter().position(|begin| *begin == second) {
            stats.apply(Event::Stage { stage, at_ns: second * SECOND });
        }
        for viewer in (1..=3).filter(|_| second == 0) {
            stats.apply(Event::Arrived { viewer, at_ns: 0 });
            stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        }
        if second == 12 {
            stats.apply(Event::RampedDown { viewer: 3, at_ns: second * SECOND });
        }
        for viewer in (1..=3).filter(|viewer| *viewer < 3 || second < 12) {
            // Viewer 2 is the one on the second stream.
            let broken = viewer == 2 && second >= 18;
            let answer = |kind| {
                let answer = Exchange {
                    status: Some(if broken { 503 } else { 200 }),
                    peer: Some(([192, 0, 2, u8::try_from(viewer).unwrap()].into(), 443)),
                    ..exchange(viewer, kind, second)
                };
                // Segments have 2 Mbit/s, which is more than the lower variant promises.
                match viewer {
                    1 => of_variant(answer, "1280x720@2500k", 2_500_000),
                    _ => of_variant(answer, "640x360@800k", 800_000),
                }
            };
            stats.apply(Event::Exchange(Box::new(answer(Kind::Playlist))));
            stats.apply(Event::Exchange(Box::new(answer(Kind::Segment))));
        }
        stats.apply(Event::Machine { cpu_percent: 40.0, own_cpu_percent: 1.5 });
        stats.apply(Event::Lag { nanos: 1_500_000 });
        stats.tick((second + 1) * SECOND);
    }
    stats.apply(Event::Closing { at_ns: 24 * SECOND });
    (stats, thresholds)
}

/// The report of the run with stages and streams.
pub fn report_in_parts() -> Report {
    let (stats, thresholds) = recorded_in_parts();
    let snapshot = stats.snapshot(24 * SECOND);
    Report {
        run: Run { url: "http://a.example/live.m3u8 http://b.example/live.m3u8".into(), ..run() },
        verdict: judge(&snapshot, &stats.recording(), &thresholds, None),
        snapshot,
        recording: stats.recording(),
        end_reason: "it reached its planned length".into(),
    }
}

/// The report of the recorded run.
pub fn report() -> Report {
    let stats = recorded();
    let snapshot = stats.snapshot(12 * SECOND);
    Report {
        run: run(),
        verdict: judge(&snapshot, &stats.recording(), &[], None),
        snapshot,
        recording: stats.recording(),
        end_reason: "it reached its planned length".into(),
    }
}
