//! The parts of the load (stages, streams, variants and manual changes) as tables of text, which every report shows.

use hls_swarm_model::snapshot::{
    Lifetimes, ManualChanges, Quantiles, Snapshot, StageRow, StreamRow, VariantRow,
};

use super::figures::{bit_rate, bytes, clock, count, milliseconds, percent};

/// Column heads of the table of stages; the first and the last column are text.
pub const STAGE: [&str; 10] = [
    "Stage",
    "Began",
    "Lasted",
    "Viewers",
    "Active",
    "Stalls",
    "Errors",
    "Segment p95",
    "Throughput",
    "Verdict",
];
/// Column heads of the table of streams; the first column is text.
pub const STREAM: [&str; 7] =
    ["Stream", "Viewers", "Playing", "Requests", "Body bytes", "Errors", "Segment p95"];

/// Column heads of the table of variants; the first column is text. Viewers are those that play it now, of those that
/// have played it.
pub const VARIANT: [&str; 9] = [
    "Variant",
    "Viewers",
    "Requests",
    "Body bytes",
    "Errors",
    "TTFB p95",
    "Total p95",
    "Measured",
    "Announced",
];

/// Placeholder for a figure that was not measured.
const ABSENT: &str = "-";

fn p95(times: Option<Quantiles>) -> String {
    times.map_or_else(|| ABSENT.to_owned(), |times| milliseconds(times.p95))
}

fn share(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| ABSENT.to_owned(), percent)
}

/// One row of [`STAGE`] per stage.
#[must_use]
pub fn stages(snapshot: &Snapshot) -> Vec<[String; 10]> {
    let row = |row: &StageRow| {
        let viewers = if row.from == row.clients {
            count(row.clients)
        } else {
            format!("{} to {}", row.from, row.clients)
        };
        [
            row.title(),
            clock(row.began_seconds),
            clock(row.seconds),
            viewers,
            share(row.active_ratio),
            if snapshot.has_playback() { count(row.stalled) } else { "-".to_owned() },
            share(row.errors.rate),
            p95(row.segment_total),
            bit_rate(row.bytes_per_second() * 8.0),
            row.word().to_owned(),
        ]
    };
    snapshot.stages.iter().map(row).collect()
}

/// One row of [`STREAM`] per stream.
#[must_use]
pub fn streams(snapshot: &Snapshot) -> Vec<[String; 7]> {
    let row = |row: &StreamRow| {
        [
            row.stream.clone(),
            count(row.clients),
            count(row.playing),
            count(row.requests.total()),
            bytes(row.bytes.total()),
            share(row.errors.rate),
            p95(row.segment_total),
        ]
    };
    snapshot.streams.iter().map(row).collect()
}

/// One row of [`VARIANT`] per variant and rendition.
#[must_use]
pub fn variants(snapshot: &Snapshot) -> Vec<[String; 9]> {
    snapshot.variants.iter().map(variant).collect()
}

fn variant(row: &VariantRow) -> [String; 9] {
    let rate = |bits: Option<f64>| bits.map_or_else(|| ABSENT.to_owned(), bit_rate);
    // A segment with more than BANDWIDTH breaks the promise that players select variants by.
    let mark = if row.exceeds_bandwidth() { "!" } else { "" };
    [
        row.name.clone(),
        format!("{} of {}", count(row.playing), count(row.viewers)),
        count(row.requests.total()),
        bytes(row.bytes.total()),
        share(row.errors.rate),
        p95(row.segment_ttfb),
        p95(row.segment_total),
        rate(row.measured_bits_per_second),
        rate(row.announced_bits_per_second.map(|bits| bits as f64)) + mark,
    ]
}

/// The variants with segments of a larger bit rate than announced, one sentence each. Where segments were read, their bit
/// rates say it more exactly.
#[must_use]
pub fn exceeded_bandwidths(snapshot: &Snapshot) -> Vec<String> {
    let read: Vec<&str> = snapshot
        .content
        .iter()
        .flat_map(|content| content.bit_rates.iter().map(|row| row.name.as_str()))
        .collect();
    let exceeded =
        snapshot.variants.iter().filter(|row| row.exceeds_bandwidth() && !read.contains(&row.name.as_str()));
    let sentence = |row: &VariantRow| {
        let (peak, announced) = (row.peak_bits_per_second?, row.announced_bits_per_second?);
        let (peak, announced) = (bit_rate(peak), bit_rate(announced as f64));
        Some(format!("{}: a segment had {peak}, more than its BANDWIDTH of {announced}", row.name))
    };
    exceeded.filter_map(sentence).collect()
}

/// Arrivals and departures, if a viewer left before the end.
#[must_use]
pub fn sessions(lifetimes: &Lifetimes) -> Option<String> {
    (lifetimes.ramped_down + lifetimes.rejected > 0).then(|| {
        format!(
            "{} arrived, {} left, {} were rejected",
            lifetimes.arrived, lifetimes.ramped_down, lifetimes.rejected
        )
    })
}

/// Manual changes, if there were any; a run with manual changes cannot be repeated exactly.
#[must_use]
pub fn manual_changes(manual: &ManualChanges) -> Option<String> {
    let listed: Vec<String> =
        manual.first.iter().map(|change| format!("{} at {}", change.change, clock(change.second))).collect();
    let more = match manual.changes.saturating_sub(listed.len() as u64) {
        0 => String::new(),
        more => format!(", and {more} more changes"),
    };
    (manual.changes > 0).then(|| format!("the load was changed manually: {}{more}", listed.join(", ")))
}
