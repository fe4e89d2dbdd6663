//! The catalogue of metrics as Prometheus' text exposition.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use hls_swarm_model::metric::{Metric, PREFIX, Type, Value, catalogue};
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{Buckets, Snapshot};

/// Renders a snapshot in Prometheus' text format.
#[must_use]
pub fn render(snapshot: &Snapshot, run: &Run) -> String {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families(snapshot, run), &mut text) {
        tracing::error!(%error, "cannot encode the metrics");
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The values of all metrics that were measured: what every format of metrics is made from.
pub(crate) fn families(snapshot: &Snapshot, run: &Run) -> Vec<MetricFamily> {
    let mut families = vec![info(run)];
    for metric in catalogue() {
        let Some(series) = &metric.series else { continue };
        let samples = samples(metric, metric.value(snapshot, run));
        if samples.is_empty() {
            continue;
        }
        let name = format!("{PREFIX}{series}");
        match families.last_mut() {
            // Metrics of one series differ in a label.
            Some(family) if family.name() == name => family.mut_metric().extend(samples),
            _ => families.push(family(name, metric.kind, &metric.help, samples)),
        }
    }
    families
}

fn info(run: &Run) -> MetricFamily {
    let variant = run.variant_name();
    let labels = [("version", run.version.as_str()), ("stream_url", &run.url), ("variant", &variant)];
    let mut sample = number(Type::Gauge, 1.0);
    sample.set_label(labels.map(|(name, value)| label(name, value)).to_vec());
    family(format!("{PREFIX}info"), Type::Gauge, "What is tested, and with what.", vec![sample])
}

fn samples(metric: &Metric, value: Value) -> Vec<Sample> {
    let fixed = || metric.label.map(|(name, value)| label(name, value));
    match value {
        Value::Samples(rows) => {
            let sample = |(values, value): (Vec<String>, f64)| {
                let mut sample = number(metric.kind, value);
                let labels = metric.labels.iter().zip(&values).map(|(name, value)| label(name, value));
                sample.set_label(fixed().into_iter().chain(labels).collect());
                sample
            };
            rows.into_iter().map(sample).collect()
        }
        Value::Histogram(buckets) => {
            let sample = |buckets: Buckets| {
                let mut sample = Sample::default();
                sample.set_histogram(histogram(&buckets));
                sample.set_label(fixed().into_iter().collect());
                sample
            };
            buckets.map(sample).into_iter().collect()
        }
    }
}

fn histogram(buckets: &Buckets) -> Histogram {
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
    histogram
}

fn family(name: String, kind: Type, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name);
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
