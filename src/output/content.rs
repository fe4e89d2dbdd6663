//! Checks of the media itself, as text for the summary and the reports.

use hls_swarm_model::snapshot::{BitRates, ContentChecks, Deviation, DifferingBodies};

use super::figures::{bit_rate, count};

/// Column heads of the table of bit rates; the first column is text.
pub const BIT_RATES: [&str; 5] = ["Bit rate of", "Peak", "BANDWIDTH", "Average", "AVERAGE-BANDWIDTH"];

/// One row of [`BIT_RATES`] per variant.
#[must_use]
pub fn bit_rates(checks: &ContentChecks) -> Vec<[String; 5]> {
    let rate = |bits: Option<f64>| bits.map_or_else(|| "-".to_owned(), bit_rate);
    let announced = |bits: Option<u64>| rate(bits.map(|bits| bits as f64));
    let mark = |exceeds: bool| if exceeds { "!" } else { "" };
    let row = |row: &BitRates| {
        let name = match &row.audio {
            Some(audio) => format!("{} with {audio}", row.name),
            None => row.name.clone(),
        };
        [
            name,
            rate(row.peak),
            announced(row.bandwidth) + mark(row.exceeds_bandwidth()),
            rate(row.average),
            announced(row.average_bandwidth) + mark(row.exceeds_average()),
        ]
    };
    checks.bit_rates.iter().map(row).collect()
}

/// What was checked.
#[must_use]
pub fn extent(checks: &ContentChecks) -> String {
    let unread: Vec<String> =
        checks.unread.iter().map(|(reason, times)| format!("{} {reason}", count(*times))).collect();
    let unread = if unread.is_empty() { String::new() } else { format!(" (others: {})", unread.join(", ")) };
    format!(
        "{} segments read, timestamps of {} compared with playlists{unread}, {} bodies with others of the same URL",
        count(checks.segments),
        count(checks.segments.saturating_sub(checks.unread_segments())),
        count(checks.compared)
    )
}

/// What was found, one sentence each: the largest deviations of times, and segments with several bodies.
#[must_use]
pub fn findings(checks: &ContentChecks) -> Vec<String> {
    let deviations = checks.deviations.iter().map(Deviation::sentence);
    deviations.chain(checks.differing.iter().map(DifferingBodies::sentence)).collect()
}
