//! The metrics at the end of a run as OpenMetrics 1.0, with the time of the end: what Prometheus imports from jobs that were
//! over before it could scrape them.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use prometheus::proto::{MetricFamily, MetricType as Kind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use hls_swarm_base::error::Failure;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_os::output;

use super::otlp::counts;
use super::prometheus::families;

/// What the names of counters end with, which their families lack.
const TOTAL: &str = "_total";

/// Writes the metrics to a file.
///
/// # Errors
/// An internal failure: the file cannot be written.
pub fn write(path: &Path, snapshot: &Snapshot, run: &Run) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = render(snapshot, run, now.as_secs_f64())
        .map_err(|error| Failure::internal("cannot write the metrics as OpenMetrics").caused_by(error))?;
    output::write_file(path, &text)
}

/// Renders a snapshot; `now` is the time of every sample, in seconds since 1970.
///
/// # Errors
/// None that is known: a text takes everything.
pub fn render(snapshot: &Snapshot, run: &Run, now: f64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families(snapshot, run))));
    let mut encoded = String::new();
    text::encode(&mut encoded, &registry)?;
    let mut dated = String::new();
    for line in encoded.lines() {
        match line.starts_with('#') {
            true => writeln!(dated, "{line}")?,
            false => writeln!(dated, "{line} {now:.3}")?,
        }
    }
    Ok(dated)
}

/// The values of all metrics, as they are collected by the encoder.
#[derive(Debug)]
struct Families(Vec<MetricFamily>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let name = family.name();
            let (name, kind) = match (family.get_field_type(), name.strip_suffix(TOTAL)) {
                (Kind::COUNTER, Some(name)) => (name, MetricType::Counter),
                (Kind::HISTOGRAM, _) => (name, MetricType::Histogram),
                // The name of a counter has to end with _total; one that does not is exported under its own name.
                (Kind::COUNTER, None) => (name, MetricType::Unknown),
                _ => (name, MetricType::Gauge),
            };
            let mut descriptor = encoder.encode_descriptor(name, family.help(), None, kind)?;
            for sample in family.get_metric() {
                let labels: Vec<(&str, &str)> =
                    sample.get_label().iter().map(|label| (label.name(), label.value())).collect();
                let mut metric = descriptor.encode_family(&labels)?;
                match (kind, family.get_field_type()) {
                    (MetricType::Counter, _) => {
                        metric.encode_counter::<NoLabelSet, f64, f64>(
                            &sample.get_counter().get_value(),
                            None,
                        )?;
                    }
                    (MetricType::Histogram, _) => {
                        let histogram = sample.get_histogram();
                        let (bounds, counts) = counts(histogram);
                        let bounds = bounds.into_iter().chain([f64::INFINITY]);
                        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
                        metric.encode_histogram(
                            histogram.get_sample_sum(),
                            histogram.get_sample_count(),
                            &buckets,
                            None::<&HashMap<usize, Exemplar<NoLabelSet, f64>>>,
                        )?;
                    }
                    (_, Kind::COUNTER) => metric.encode_gauge(&sample.get_counter().get_value())?,
                    _ => metric.encode_gauge(&sample.get_gauge().get_value())?,
                }
            }
        }
        Ok(())
    }
}
