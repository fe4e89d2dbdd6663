//! Quality of experience, for people.

use hls_swarm_model::metric::counters::Counter;
use hls_swarm_model::snapshot::{Quantiles, Snapshot, Timing};

use super::figures::{bit_rate, count, percent};

/// The figures with their labels; what was not measured is absent.
#[must_use]
pub fn rows(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let Some(stalls) = snapshot.stalls() else { return rows };
    let time = &snapshot.playback_time;
    rows.extend(snapshot.share_without_stall().map(|share| ("viewers without a stall", percent(share))));
    rows.push(("stalls", stalled(snapshot, stalls)));
    rows.extend(time.rebuffering.map(|share| ("rebuffering, of the viewing time", percent(share))));
    rows.push(("longest stall", seconds(time.longest_stall_seconds)));
    rows.push(("media skipped", seconds(time.missing_seconds)));
    let Some(quality) = &snapshot.quality else { return rows };
    if quality.excluded_seconds > 0.0 {
        let share = snapshot.excluded_share().unwrap_or(0.0);
        let excluded = snapshot.counters[Counter::StallsExcluded].unwrap_or(0);
        let text = format!(
            "{}, {} ({} of the viewing time)",
            count(excluded),
            seconds(quality.excluded_seconds),
            percent(share)
        );
        rows.push(("excluded stalls: this program was late", text));
    }
    rows.extend(quality.bitrate_played.map(|bits| ("bitrate played", bit_rate(bits))));
    let [up, down] =
        [Counter::SwitchesUp, Counter::SwitchesDown].map(|counter| snapshot.counters[counter].unwrap_or(0));
    rows.push(("switches", format!("{} up, {} down", count(up), count(down))));
    let typical =
        |q: Quantiles| format!("p50 {}, p95 {}, max {}", seconds(q.p50), seconds(q.p95), seconds(q.max));
    rows.extend(snapshot.latency[Timing::Buffer].map(|q| ("buffer length", typical(q))));
    rows.extend(
        snapshot.latency[Timing::TargetLatency].map(|q| ("live latency that is asked for", typical(q))),
    );
    rows.extend(snapshot.latency[Timing::LatencyByEdge].map(|q| ("live latency by edge", typical(q))));
    if quality.dates_ahead > 0 {
        let text = "not shown: dates of the stream are ahead of the clock of this machine";
        rows.push(("live latency by date", text.to_owned()));
    } else {
        rows.extend(snapshot.latency[Timing::LatencyByDate].map(|q| ("live latency by date", typical(q))));
    }
    let held = snapshot.counters[Counter::ReloadsBlocked].filter(|held| *held > 0);
    rows.extend(held.map(|held| {
        let each = quality.blocked_seconds / held as f64;
        let text = format!("{}, {} each; viewers play on meanwhile", count(held), seconds(each));
        ("playlists held by the server as asked", text)
    }));
    rows
}

/// The number of stalls, with their reasons where players report them. Stalls that do not count are not among them.
fn stalled(snapshot: &Snapshot, stalls: u64) -> String {
    let own = hls_swarm_player::interface::StallReason::OwnLateness.name();
    let reasons = snapshot.quality.iter().flat_map(|quality| &quality.stalls);
    let reasons: Vec<String> = reasons
        .filter(|(reason, _)| *reason != own)
        .map(|(reason, times)| format!("{times} x {reason}"))
        .collect();
    if reasons.is_empty() { count(stalls) } else { format!("{} ({})", count(stalls), reasons.join(", ")) }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}
