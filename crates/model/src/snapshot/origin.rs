//! Figures of the origin's own exporters, compared with those of the viewers.

use serde::{Deserialize, Serialize};

use crate::merge::{self, Merge, either, larger, merge_fields};

/// Order statistics of a gauge over the last scrapes (`--origin-metrics-window`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// The newest value.
    pub now: f64,
    /// Median over the window.
    pub p50: f64,
    /// 95th percentile over the window.
    pub p95: f64,
    /// Largest since the run began.
    pub max: f64,
}

/// The segment sizes that the origin publishes, compared with the bytes that viewers read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSizes {
    /// Segments whose size is known now.
    pub known: u64,
    /// Whole segments that were looked up.
    pub lookups: u64,
    /// Of these, segments whose size the origin had published.
    pub found: u64,
    /// Of these, segments that had exactly that size.
    pub equal: u64,
}

merge_fields! { SegmentSizes { known = larger, lookups, found, equal } }

/// The origin, as its exporters describe it. What was not scraped is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Busy share of all its processors, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<Gauge>,
    /// Share of its memory in use, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<Gauge>,
    /// Bytes per second that its network devices transmitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_bytes_per_second: Option<Gauge>,
    /// Bytes per second that they received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_bytes_per_second: Option<Gauge>,
    /// Connections open at nginx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Gauge>,
    /// Requests per second at nginx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<Gauge>,
    /// Requests that nginx counted from the first scrape to the last, this program's own scrapes and
    /// lookups left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Requests of the viewers in the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_requests: Option<u64>,
    /// Connections that nginx accepted and could not handle, from the first scrape to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_dropped: Option<u64>,
    /// Segment sizes, if they are looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes: Option<SegmentSizes>,
    /// Scrapes that succeeded.
    pub scrapes: u64,
    /// Scrapes that failed, by target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<(String, u64)>,
    /// Reason of the last failure, if the newest scrape of its target failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

/// Joins what two runs know of one origin. Gauges are those of the run that scraped more often. The counters
/// of nginx hold the requests of all runs, so the largest is compared with the sum of theirs; it contains the
/// scrapes of the other runs, which is why the agreement may stay a little below 1.
impl Merge for Origin {
    fn merge(&mut self, other: &Self) {
        if other.scrapes > self.scrapes {
            let before = std::mem::replace(self, other.clone());
            return self.merge(&before);
        }
        let Self {
            cpu_percent,
            memory_percent,
            transmit_bytes_per_second,
            receive_bytes_per_second,
            connections,
            requests_per_second,
            requests,
            viewer_requests,
            connections_dropped,
            segment_sizes,
            scrapes,
            failures,
            last_failure,
        } = other;
        either(&mut self.cpu_percent, cpu_percent);
        either(&mut self.memory_percent, memory_percent);
        either(&mut self.transmit_bytes_per_second, transmit_bytes_per_second);
        either(&mut self.receive_bytes_per_second, receive_bytes_per_second);
        either(&mut self.connections, connections);
        either(&mut self.requests_per_second, requests_per_second);
        larger(&mut self.requests, requests);
        self.viewer_requests.merge(viewer_requests);
        larger(&mut self.connections_dropped, connections_dropped);
        self.segment_sizes.merge(segment_sizes);
        self.scrapes.merge(scrapes);
        merge::counted(&mut self.failures, failures);
        self.failures.sort();
        either(&mut self.last_failure, last_failure);
    }
}

impl Origin {
    /// Viewers' requests over the origin's count of them.
    #[must_use]
    pub fn requests_agreement(&self) -> Option<f64> {
        let (ours, theirs) = self.viewer_requests.zip(self.requests)?;
        (theirs > 0).then(|| ours as f64 / theirs as f64)
    }

    /// Segments of the published size over those whose size was published.
    #[must_use]
    pub fn sizes_agreement(&self) -> Option<f64> {
        let sizes = self.segment_sizes?;
        (sizes.found > 0).then(|| sizes.equal as f64 / sizes.found as f64)
    }

    /// Each gauge that was measured: its name in tables, the factor to its unit there, and the values.
    #[must_use]
    pub fn gauges(&self) -> Vec<(&'static str, f64, Gauge)> {
        let gauges = [
            ("cpu %", 1.0, self.cpu_percent),
            ("memory %", 1.0, self.memory_percent),
            ("sends Mbit/s", 8e-6, self.transmit_bytes_per_second),
            ("receives Mbit/s", 8e-6, self.receive_bytes_per_second),
            ("connections", 1.0, self.connections),
            ("requests/s", 1.0, self.requests_per_second),
        ];
        gauges.into_iter().filter_map(|(name, factor, gauge)| Some((name, factor, gauge?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_viewers_are_added_and_the_origin_is_one() {
        let sizes = |lookups| Some(SegmentSizes { known: 9, lookups, found: lookups, equal: lookups });
        let gauge = |now| Some(Gauge { now, ..Gauge::default() });
        let one = Origin {
            cpu_percent: gauge(1.0),
            requests: Some(90),
            viewer_requests: Some(40),
            segment_sizes: sizes(3),
            scrapes: 2,
            failures: vec![("node".into(), 1)],
            ..Origin::default()
        };
        let other = Origin {
            cpu_percent: gauge(2.0),
            requests: Some(100),
            viewer_requests: Some(58),
            segment_sizes: sizes(4),
            scrapes: 5,
            failures: vec![("node".into(), 2)],
            ..Origin::default()
        };
        let merged = |mut this: Origin, other: &Origin| {
            this.merge(other);
            this
        };
        let both = merged(one.clone(), &other);
        assert_eq!(both, merged(other, &one), "the order does not matter");
        assert_eq!((both.requests, both.viewer_requests, both.scrapes), (Some(100), Some(98), 7));
        assert_eq!((both.segment_sizes, both.failures), (sizes(7), vec![("node".into(), 3)]));
        assert_eq!(both.cpu_percent, gauge(2.0), "of the run that scraped more often");
    }
}
