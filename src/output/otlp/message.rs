//! The catalogue of metrics as an OTLP message.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;

use crate::output::prometheus::families;

/// The times of a message, nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    now_ns: u64,
}

impl Clock {
    pub(super) fn now() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { now_ns: nanos(now) }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The message with all values of a snapshot. Sums count from the beginning of the run.
pub(super) fn message(snapshot: &Snapshot, run: &Run, clock: Clock) -> ExportMetricsServiceRequest {
    let began_ns = nanos(Duration::from_secs(run.began_unix));
    let metrics = families(snapshot, run).iter().map(|family| metric(family, began_ns, clock)).collect();
    let scope = InstrumentationScope {
        name: "hls-swarm".to_owned(),
        version: run.version.clone(),
        ..InstrumentationScope::default()
    };
    // Two runs at once, on one machine or on several, must not write the same series.
    let instance = format!("{}-{}", run.began_unix, std::process::id());
    let attributes = [
        ("service.name", "hls-swarm".to_owned()),
        ("service.version", run.version.clone()),
        ("service.instance.id", instance),
    ];
    let resource = Resource {
        attributes: attributes.map(|(name, value)| attribute(name, &value)).to_vec(),
        ..Resource::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

fn metric(family: &MetricFamily, began_ns: u64, clock: Clock) -> Metric {
    let number = |sample: &proto::Metric, value: f64| NumberDataPoint {
        attributes: attributes(sample.get_label()),
        start_time_unix_nano: began_ns,
        time_unix_nano: clock.now_ns,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let samples = family.get_metric().iter();
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: samples.map(|sample| number(sample, sample.get_counter().get_value())).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: samples.map(|sample| histogram(sample, began_ns, clock)).collect(),
            aggregation_temporality: cumulative,
        }),
        _ => Data::Gauge(Gauge {
            data_points: samples.map(|sample| number(sample, sample.get_gauge().get_value())).collect(),
        }),
    };
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn histogram(sample: &proto::Metric, began_ns: u64, clock: Clock) -> HistogramDataPoint {
    let histogram = sample.get_histogram();
    let (explicit_bounds, bucket_counts) = counts(histogram);
    HistogramDataPoint {
        attributes: attributes(sample.get_label()),
        start_time_unix_nano: began_ns,
        time_unix_nano: clock.now_ns,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

/// The bounds of the buckets of a histogram, and how many values each bucket has by itself; the last one has no bound.
pub(crate) fn counts(histogram: &proto::Histogram) -> (Vec<f64>, Vec<u64>) {
    let mut below = 0;
    let mut own = |cumulative: u64| {
        let count = cumulative.saturating_sub(below);
        below = cumulative;
        count
    };
    let bounded = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (bounds, mut counts): (Vec<f64>, Vec<u64>) =
        bounded.map(|bucket| (bucket.upper_bound(), own(bucket.cumulative_count()))).unzip();
    counts.push(own(histogram.get_sample_count()));
    (bounds, counts)
}

fn attributes(labels: &[LabelPair]) -> Vec<KeyValue> {
    labels.iter().map(|label| attribute(label.name(), label.value())).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}
