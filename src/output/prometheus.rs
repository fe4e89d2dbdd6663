//! The metric table as Prometheus' text exposition.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;

use super::metrics::{self, Metric, PREFIX, Type, Value};

/// The exposition of a snapshot.
#[must_use]
pub fn render(snapshot: &Snapshot, run: &Run) -> String {
    let mut families = vec![info(run)];
    families.extend(metrics::all().filter_map(|metric| family(metric, (metric.read)(snapshot, run))));
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "cannot encode the metrics");
    }
    String::from_utf8(text).unwrap_or_default()
}

fn info(run: &Run) -> MetricFamily {
    let variant = run.variant_name();
    let labels = [("version", run.version.as_str()), ("stream_url", &run.url), ("variant", &variant)];
    let mut sample = number(Type::Gauge, 1.0);
    sample.set_label(labels.map(|(name, value)| label(name, value)).to_vec());
    named("info", Type::Gauge, "What is tested, and with what.", vec![sample])
}

fn family(metric: &Metric, value: Value) -> Option<MetricFamily> {
    let samples = match value {
        Value::Absent => return None,
        Value::One(value) => vec![number(metric.kind, value)],
        Value::Labelled(rows) if rows.is_empty() => return None,
        Value::Labelled(rows) => rows
            .into_iter()
            .map(|(name, value)| {
                let mut sample = number(metric.kind, value);
                sample.set_label(vec![label(metric.label, &name)]);
                sample
            })
            .collect(),
        Value::Grid(rows) if rows.is_empty() => return None,
        Value::Grid(rows) => rows
            .into_iter()
            .map(|(values, value)| {
                let mut sample = number(metric.kind, value);
                let names = metric.label.split(' ');
                sample.set_label(names.zip(&values).map(|(name, value)| label(name, value)).collect());
                sample
            })
            .collect(),
        Value::Histogram(buckets) => {
            let mut histogram = Histogram::default();
            histogram.set_sample_count(buckets.count);
            histogram.set_sample_sum(buckets.sum);
            let cells = buckets.cumulative.iter().map(|(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(*count);
                bucket
            });
            histogram.set_bucket(cells.collect());
            let mut sample = Sample::default();
            sample.set_histogram(histogram);
            vec![sample]
        }
    };
    Some(named(metric.name, metric.kind, metric.help, samples))
}

fn named(name: &str, kind: Type, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        Type::Counter => MetricType::COUNTER,
        Type::Gauge => MetricType::GAUGE,
        Type::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(samples);
    family
}

fn number(kind: Type, value: f64) -> Sample {
    let mut sample = Sample::default();
    if kind == Type::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        sample.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
    }
    sample
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
