//! What native viewers cost: bytes per second of one processor beside a bare loop of `recv` on the same nginx, and
//! the processor time and the memory of a viewer. All is measured in one run, the comparisons interleaved.
//!
//! `make bench-native`. Prints medians and ratios; judges nothing, because machines differ.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark is not part of the program, starts its own processes, and stops at the first surprise"
)]

mod download;
mod site;
mod viewers;

use std::path::Path;
use std::time::Duration;

use hls_swarm_test_support::nginx::Nginx;
use hls_swarm_test_support::publisher::Publisher;

use crate::download::Way;
use crate::viewers::{Cost, MANY};

/// Rounds of the comparison of downloads.
const ROUNDS: usize = 5;
/// Rounds of whole runs.
const RUNS: usize = 3;
/// The segments of the live stream.
const SEGMENT: Duration = Duration::from_secs(2);
const SEGMENT_BYTES: usize = 500_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let nginx: Nginx = site::serve(folder.path());
    machine();
    downloads(&nginx);
    many_viewers(&nginx, folder.path());
    ffmpeg(&nginx, folder.path());
    machine();
}

/// Figures of a machine that has other work mean little; ratios of one run mean more.
fn machine() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{processors} processors, load average {}", load.trim());
}

fn downloads(nginx: &Nginx) {
    println!(
        "{ROUNDS} rounds, interleaved; GB per second of one processor, and the ratio to the first in the same round"
    );
    for ways in [&Way::PLAIN[..], &Way::TLS[..]] {
        let mut rounds = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for (way, figures) in ways.iter().zip(&mut rounds) {
                figures.push(download::measure(*way, nginx));
            }
        }
        let base = rounds.first().cloned().unwrap_or_default();
        for (way, figures) in ways.iter().zip(&rounds) {
            let ratios = figures.iter().zip(&base).map(|(own, base)| own / base);
            println!("  {:<44} {:6.2}   {:5.2}", way.name(), median(figures.iter().copied()), median(ratios));
        }
    }
}

/// The cost of many viewers: plain, over TLS, and by each version of HTTP.
fn many_viewers(nginx: &Nginx, folder: &Path) {
    let publisher = Publisher::start(&folder.join("www"), SEGMENT, SEGMENT_BYTES);
    let secure = format!("https://127.0.0.1:{}/live.m3u8", nginx.tls);
    let mut ways = vec![
        ("plain", format!("http://127.0.0.1:{}/live.m3u8", nginx.plain), "1.1"),
        ("TLS", secure.clone(), "1.1"),
        ("HTTP/2", secure.clone(), "2"),
    ];
    if site::speaks_http3() {
        ways.push(("HTTP/3", secure, "3"));
    } else {
        println!("NOT RUN: viewers over HTTP/3 (the nginx in PATH has no http_v3_module)");
    }
    let few: Vec<Cost> = ways.iter().map(|(_, url, http)| viewers::native(url, http, viewers::FEW)).collect();
    let mut many: Vec<Vec<Cost>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..RUNS {
        for ((_, url, http), costs) in ways.iter().zip(&mut many) {
            costs.push(viewers::native(url, http, MANY));
        }
    }
    drop(publisher);
    println!(
        "{MANY} viewers of a live stream, segments of {} s and {} KB; medians of {RUNS} runs, interleaved",
        SEGMENT.as_secs(),
        SEGMENT_BYTES / 1000
    );
    for (((name, ..), few), costs) in ways.iter().zip(&few).zip(&many) {
        let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure));
        let more = f64::from(MANY - viewers::FEW);
        println!("  native, {name}");
        println!(
            "    processor time         {:6.1} us per viewer-second, {:.1} us per request",
            of(|cost| cost.cpu_per_second) * 1e6 / f64::from(MANY),
            of(|cost| cost.cpu_per_second / cost.requests_per_second) * 1e6
        );
        println!(
            "    memory                 {:6.1} KiB per viewer, from {} to {MANY} viewers",
            (of(|cost| cost.pss_kib) - few.pss_kib) / more,
            viewers::FEW
        );
        println!(
            "    memory of sockets      {:6.1} KiB per viewer at most, both ends ({:.0} MiB; the kernel is under \
             memory pressure from {:.0} MiB on)",
            of(|cost| cost.sockets_kib) / f64::from(MANY),
            of(|cost| cost.sockets_kib) / 1024.0,
            viewers::pressure_kib() / 1024.0
        );
        println!("    timers late, p99       {:6.1} ms", of(|cost| cost.late_ms));
    }
}

/// The cost of an FFmpeg viewer of a stream of the same bitrate.
fn ffmpeg(nginx: &Nginx, folder: &Path) {
    let encoder = viewers::Encoder::start(&folder.join("www"));
    let cost = viewers::ffmpeg(&format!("http://127.0.0.1:{}/ffmpeg.m3u8", nginx.plain));
    drop(encoder);
    println!(
        "  one FFmpeg viewer, plain: {:.0} us of processor time per viewer-second, {:.0} KiB of memory",
        cost.cpu_per_second * 1e6,
        cost.pss_kib
    );
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
