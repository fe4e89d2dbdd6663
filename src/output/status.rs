//! The state of the run in one line, for logs.

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, Timing};

/// Renders the line.
#[must_use]
pub fn line(snapshot: &Snapshot) -> String {
    let errors = match snapshot.errors.rate {
        Some(rate) => format!("{:.2} %", rate * 100.0),
        None => "none counted".into(),
    };
    let ttfb = match snapshot.latency[Timing::Ttfb(Kind::Segment)] {
        Some(ttfb) => format!("{:.1}/{:.1} ms", ttfb.p50 * 1000.0, ttfb.p95 * 1000.0),
        None => "-".into(),
    };
    let stalled = snapshot
        .measured_playback()
        .map_or_else(String::new, |playback| format!("stalled {}  ", playback.stalled_now));
    format!(
        "{:>4.0} s  playing {}/{}  {stalled}{:.1} seg/s  {:.1} Mbit/s  segment ttfb p50/p95 {ttfb}  errors {errors}  restarts {}",
        snapshot.elapsed_seconds,
        snapshot.playing_clients,
        snapshot.target_now,
        snapshot.rates.segment_per_second,
        snapshot.rates.bytes_per_second * 8.0 / 1e6,
        snapshot.lifetimes.restarts,
    )
}
