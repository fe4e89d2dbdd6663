//! Outputs: reports, the summary and the metrics endpoint. Each is made from a snapshot or a report alone.

pub mod canaries;
pub mod comparison;
pub mod content;
pub mod csv;
pub mod drawings;
pub mod escape;
pub mod exchange_log;
pub mod figures;
pub mod formats;
pub mod generator;
pub mod html;
pub mod insight;
pub mod junit;
pub mod live_page;
pub mod load;
pub mod markdown;
pub mod metrics_server;
pub mod openmetrics;
pub mod otlp;
pub mod prometheus;
pub mod protocols;
pub mod quality;
pub mod status;
pub mod summary;

use hls_swarm_model::snapshot::Snapshot;

/// The events that were counted, each with its display name; events that did not happen are left out.
pub(crate) fn events(snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, u64)> {
    let counted = snapshot.counters.iter().filter(|(_, count)| *count > 0);
    counted.map(|(counter, count)| (counter.info().title, count))
}
