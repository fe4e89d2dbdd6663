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

use hls_swarm_test_support::nginx::Nginx;

use crate::download::Way;

/// Rounds of each comparison.
const ROUNDS: usize = 5;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    site::fill(folder.path());
    let nginx: Nginx = site::serve(folder.path());
    downloads(&nginx);
    viewers(&nginx, folder.path());
}

fn downloads(nginx: &Nginx) {
    println!(
        "{} rounds, interleaved; GB per second of one processor, and the ratio to the first in the same round",
        ROUNDS
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
            println!(
                "  {:<44} {:6.2}   {:5.2}",
                way.name(),
                median(figures.clone()),
                median(ratios.collect())
            );
        }
    }
}

fn viewers(nginx: &Nginx, folder: &std::path::Path) {
    let publisher = site::Publisher::start(folder);
    let plain = format!("http://127.0.0.1:{}/live.m3u8", nginx.plain);
    let tls = format!("https://127.0.0.1:{}/live.m3u8", nginx.tls);
    println!("viewers of a live stream, segments of 2 s and {} KB", site::SEGMENT_BYTES / 1000);
    for (name, url) in [("plain", &plain), ("TLS", &tls)] {
        let one = viewers::native(url, 1);
        let many = viewers::native(url, viewers::MANY);
        let seconds = f64::from(viewers::MANY);
        println!(
            "  native, {name}: {:.1} us of processor time per viewer-second, {:.1} us per request, {:.1} KiB of memory per viewer",
            (many.cpu_per_second - one.cpu_per_second) * 1e6 / (seconds - 1.0),
            many.cpu_per_second * 1e6 / many.requests_per_second,
            (many.pss_kib - one.pss_kib) / (seconds - 1.0),
        );
    }
    let (cpu, kib) = viewers::ffmpeg(&plain);
    println!("  one FFmpeg: {:.0} us per viewer-second, {kib:.0} KiB", cpu * 1e6);
    drop(publisher);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
