//! Reading and merging of the reports of a load: of eight shards, and of a hundred thousand viewers.

use divan::Bencher;

use hls_swarm::output::formats;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Kind, Source};
use hls_swarm_model::report::{Format, Report, merge, read};
use hls_swarm_model::verdict::criteria::judge;
use hls_swarm_test_support::recorded::{self, SECOND, exchange, stats_of};

const SHARDS: u64 = 8;
/// Viewers and seconds of each shard.
const VIEWERS: u32 = 500;
const SECONDS: u64 = 600;

/// Ten minutes of 500 viewers, of which one in ten sends a request per second.
fn shard(place: u64) -> Report {
    let mut stats = stats_of(Source::Probe, VIEWERS);
    for viewer in 1..=VIEWERS {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    for second in 1..=SECONDS {
        for viewer in (1..=VIEWERS).filter(|viewer| u64::from(*viewer) % 10 == second % 10) {
            stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Playlist, second))));
            stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Segment, second))));
        }
        stats.tick(second * SECOND);
    }
    let snapshot = stats.snapshot(SECONDS * SECOND);
    let mut run = recorded::run();
    run.began_unix += place;
    Report {
        run,
        verdict: judge(&snapshot, &(), &[], None),
        snapshot,
        recording: stats.recording(),
        end_reason: "it reached its planned length".into(),
    }
}

fn texts() -> Vec<String> {
    (0..SHARDS).map(|place| formats::render(Format::Json, &shard(place)).unwrap()).collect()
}

#[divan::bench(max_time = 3)]
fn read_8_shards(bencher: Bencher<'_, '_>) {
    let texts = texts();
    bencher.bench(|| texts.iter().map(|text| read::read("shard", text).unwrap()).collect::<Vec<_>>());
}

#[divan::bench(max_time = 3)]
fn merge_8_shards(bencher: Bencher<'_, '_>) {
    let read = |text: &String| ("shard".to_owned(), read::read("shard", text).unwrap());
    let parts: Vec<_> = texts().iter().map(read).collect();
    bencher.bench(|| merge::merge(divan::black_box(&parts)).unwrap());
}

const LARGE_SHARDS: u64 = 10;
const LARGE_VIEWERS: u32 = 10_000;

/// Ten thousand viewers with a request each.
fn large(place: u64) -> Report {
    let mut stats = stats_of(Source::Native, LARGE_VIEWERS);
    for viewer in 1..=LARGE_VIEWERS {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Segment, 1))));
    }
    stats.tick(10 * SECOND);
    let snapshot = stats.snapshot(10 * SECOND);
    let mut run = recorded::run();
    run.began_unix += place;
    Report {
        run,
        verdict: judge(&snapshot, &(), &[], None),
        snapshot,
        recording: stats.recording(),
        end_reason: "it reached its planned length".into(),
    }
    .bounded()
}

/// From the texts of the shards to the merged text.
#[divan::bench(max_time = 5)]
fn merge_100_000_viewers(bencher: Bencher<'_, '_>) {
    let texts: Vec<String> =
        (0..LARGE_SHARDS).map(|place| formats::render(Format::Json, &large(place)).unwrap()).collect();
    bencher.bench(|| {
        let read = |text: &String| ("shard".to_owned(), read::read("shard", text).unwrap());
        let parts: Vec<_> = texts.iter().map(read).collect();
        formats::render(Format::Json, &merge::merge(&parts).unwrap()).unwrap()
    });
}
