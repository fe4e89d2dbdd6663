//! Costs of the statistics per event and per second, by the size of the load.

use divan::Bencher;
use divan::counter::ItemsCount;

use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Exchange, Kind, Source};
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::stats::Stats;
use hls_swarm_test_support::recorded::{SECOND, exchange, stats_of};

/// Sizes of a load, viewers.
const VIEWERS: [u32; 4] = [100, 1_000, 10_000, 50_000];
/// Streams and viewers of a second.
const LOADS: [(usize, u32); 7] =
    [(1, 100), (1, 1_000), (1, 10_000), (1, 50_000), (100, 1_000), (100, 10_000), (100, 50_000)];
/// Events of one measurement, because a single one is too short to be timed.
const EVENTS: usize = 500;
/// Segments that each viewer has had when a measurement begins.
const SEGMENTS: u64 = 4;

/// A segment that took between 1 ms and 0.6 s.
fn segment(viewer: u32, at: u64) -> Exchange {
    let spread = u64::from(viewer).wrapping_mul(7919).wrapping_add(at.wrapping_mul(104_729)) % 600;
    Exchange {
        first_byte_ns: Some(1_000_000 + spread * 100_000),
        download_ns: Some(spread * 900_000),
        ..exchange(viewer, Kind::Segment, at)
    }
}

/// Viewers that play, each with a few segments.
pub(crate) fn playing(streams: usize, viewers: u32) -> Stats {
    let names = (1..=streams).map(|stream| (format!("http://host/{stream}.m3u8"), 1)).collect();
    let names = WeightedSet::weighted(names).unwrap();
    let mut stats = stats_of(Source::Probe, viewers).with_stages(Vec::new(), names, Vec::new());
    for viewer in 1..=viewers {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        for at in 1..=SEGMENTS {
            stats.apply(Event::Exchange(Box::new(segment(viewer, at))));
        }
    }
    stats.tick(SEGMENTS * SECOND);
    stats
}

/// Feeds events of one viewer after the other.
fn apply(bencher: Bencher<'_, '_>, mut stats: Stats, viewers: u32, event: impl Fn(u32) -> Event) {
    let mut last = 0_u32;
    let mut next = || {
        // A step that is coprime to the numbers of viewers, because real traffic has no order.
        last = (last + 7919) % viewers;
        event(last + 1)
    };
    bencher
        .counter(ItemsCount::new(EVENTS))
        .with_inputs(|| (0..EVENTS).map(|_| next()).collect::<Vec<_>>())
        .bench_local_values(|events| events.into_iter().for_each(|event| stats.apply(event)));
}

#[divan::bench(args = VIEWERS)]
fn apply_exchange(bencher: Bencher<'_, '_>, viewers: u32) {
    let event = |viewer| Event::Exchange(Box::new(segment(viewer, 9)));
    apply(bencher, playing(1, viewers), viewers, event);
}

#[divan::bench(args = VIEWERS)]
fn apply_exchange_on_100_streams(bencher: Bencher<'_, '_>, viewers: u32) {
    let event = |viewer| Event::Exchange(Box::new(segment(viewer, 9)));
    apply(bencher, playing(100, viewers), viewers, event);
}

/// The work of the aggregator each second: advances the time, and publishes a snapshot.
#[divan::bench(args = LOADS, max_time = 2)]
fn second(bencher: Bencher<'_, '_>, load: (usize, u32)) {
    each_second(bencher, load, Stats::overview);
}

/// The same with a row for each viewer, as the dashboard and metrics per viewer need them.
#[divan::bench(args = LOADS, max_time = 2)]
fn second_with_viewers(bencher: Bencher<'_, '_>, load: (usize, u32)) {
    each_second(bencher, load, Stats::snapshot);
}

fn each_second(
    bencher: Bencher<'_, '_>,
    (streams, viewers): (usize, u32),
    publish: fn(&Stats, u64) -> Snapshot,
) {
    let mut stats = playing(streams, viewers);
    let mut now = SEGMENTS * SECOND;
    bencher.bench_local(|| {
        now += SECOND;
        stats.tick(now);
        publish(&stats, now)
    });
}

/// The same while thresholds on latencies are evaluated over a window of 30 s.
#[divan::bench(max_time = 2)]
fn second_with_abort_after(bencher: Bencher<'_, '_>) {
    let viewers = 10_000;
    let thresholds = ["segment_ttfb:p95<2s".parse().unwrap(), "error_rate<1%".parse().unwrap()];
    let after = std::time::Duration::from_secs(30);
    let mut stats = playing(1, viewers).with_abort_thresholds(&thresholds, Some(after));
    let mut now = SEGMENTS * SECOND;
    let mut second = |stats: &mut Stats| {
        now += SECOND;
        for viewer in (1..=viewers).step_by(4) {
            stats.apply(Event::Exchange(Box::new(segment(viewer, now / SECOND))));
            stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Playlist, now / SECOND))));
        }
        now
    };
    for _ in 0..40 {
        let now = second(&mut stats);
        stats.tick(now);
    }
    let stats = std::cell::RefCell::new(stats);
    bencher.with_inputs(|| second(&mut stats.borrow_mut())).bench_local_values(|now| {
        stats.borrow_mut().tick(now);
        stats.borrow().overview(now)
    });
}
