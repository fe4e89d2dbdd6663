//! Statistics of the origin's exporters: rates from counters, order statistics of gauges, and their
//! agreement with the viewers' counts.

use std::collections::{BTreeMap, VecDeque};

use super::lookup::Lookup;
use crate::exchange::Exchange;
use crate::origin_sample::{NginxSample, NodeSample, Scraped, Target};
use crate::snapshot::{Gauge, Origin};

/// The values of a gauge in a sliding window.
#[derive(Clone, Debug, Default)]
struct Window {
    /// `(time, value)`, oldest first.
    values: VecDeque<(u64, f64)>,
    max: f64,
}

impl Window {
    fn add(&mut self, at_ns: u64, value: f64, length_ns: u64) {
        self.values.push_back((at_ns, value));
        self.max = self.max.max(value);
        while self.values.front().is_some_and(|(at, _)| at + length_ns < at_ns) {
            self.values.pop_front();
        }
    }

    fn gauge(&self) -> Option<Gauge> {
        let (_, now) = *self.values.back()?;
        let mut sorted: Vec<f64> = self.values.iter().map(|(_, value)| *value).collect();
        sorted.sort_by(f64::total_cmp);
        // The nearest-rank percentile, because a few samples do not justify interpolation.
        let rank =
            |share: f64| sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1];
        Some(Gauge { now, p50: rank(0.5), p95: rank(0.95), max: self.max })
    }
}

/// A counter that may restart at 0.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    before: Option<f64>,
    sum: f64,
}

impl Counted {
    /// Its increase since the last scrape; counts before a restart are lost.
    fn increase(&mut self, now: f64) -> Option<f64> {
        let before = self.before.replace(now)?;
        let step = if now >= before { now - before } else { now };
        self.sum += step;
        Some(step)
    }
}

/// The figures of the origin.
#[derive(Clone, Debug)]
pub struct OriginStats {
    window_ns: u64,
    node: Option<(u64, NodeSample)>,
    nginx_ns: u64,
    nginx_samples: u64,
    cpu: Window,
    memory: Window,
    transmit: Window,
    receive: Window,
    connections: Window,
    request_rate: Window,
    requests: Counted,
    accepted: Counted,
    handled: Counted,
    /// Requests of the viewers at the first and at the last sample of nginx.
    viewer_requests: Option<(u64, u64)>,
    /// Requests that the scrapes themselves made since the first sample of nginx.
    own_requests: u64,
    /// Whether nginx counts the requests for sizes.
    sizes_counted: bool,
    sizes: Lookup,
    scrapes: u64,
    failures: BTreeMap<Target, u64>,
    last_failure: Option<(Target, String)>,
}

impl OriginStats {
    /// Creates empty statistics. `window_ns`: the time that percentiles cover; `sizes_kept`: see [`Lookup`];
    /// `sizes_counted`: whether nginx counts the requests for sizes among its requests.
    pub(crate) fn new(window_ns: u64, sizes_kept: usize, sizes_counted: bool) -> Self {
        Self {
            window_ns,
            node: None,
            nginx_ns: 0,
            nginx_samples: 0,
            cpu: Window::default(),
            memory: Window::default(),
            transmit: Window::default(),
            receive: Window::default(),
            connections: Window::default(),
            request_rate: Window::default(),
            requests: Counted::default(),
            accepted: Counted::default(),
            handled: Counted::default(),
            viewer_requests: None,
            own_requests: 0,
            sizes_counted,
            sizes: Lookup::new(sizes_kept),
            scrapes: 0,
            failures: BTreeMap::new(),
            last_failure: None,
        }
    }

    /// Adds an exchange of a viewer.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) {
        self.sizes.exchange(exchange);
    }

    /// Adds the result of a scrape. `asked`: number of requests of the viewers so far; `over`: the run
    /// has ended, and this sample only completes the counts.
    pub(crate) fn scraped(&mut self, at_ns: u64, scraped: Scraped, asked: u64, over: bool) {
        let target = match &scraped {
            Scraped::Node(_) => Target::Node,
            Scraped::Nginx(_) => Target::Nginx,
            Scraped::Sizes(_) => Target::Sizes,
            Scraped::Failed(target, reason) => {
                *self.failures.entry(*target).or_default() += 1;
                self.last_failure = Some((*target, reason.clone()));
                return;
            }
        };
        self.scrapes += 1;
        self.last_failure.take_if(|(failed, _)| *failed == target);
        match scraped {
            Scraped::Node(sample) => self.node(at_ns, sample, over),
            Scraped::Nginx(sample) => self.nginx(at_ns, sample, asked, over),
            Scraped::Sizes(list) => {
                self.own_requests += u64::from(self.sizes_counted && self.viewer_requests.is_some());
                self.sizes.published(at_ns, list);
            }
            Scraped::Failed(..) => {}
        }
    }

    fn node(&mut self, at_ns: u64, sample: NodeSample, over: bool) {
        let Some((before_ns, before)) = self.node.replace((at_ns, sample)).filter(|_| !over) else { return };
        let seconds = at_ns.saturating_sub(before_ns) as f64 / 1e9;
        let all = sample.all_seconds - before.all_seconds;
        // After a reboot the machine counts from 0; the next scrape has a valid difference again.
        if all <= 0.0 || seconds <= 0.0 {
            return;
        }
        let length = self.window_ns;
        let busy = (sample.busy_seconds - before.busy_seconds) / all;
        self.cpu.add(at_ns, (busy * 100.0).clamp(0.0, 100.0), length);
        if let Some(used) = sample.memory_used {
            self.memory.add(at_ns, used * 100.0, length);
        }
        let rates = [
            (&mut self.transmit, sample.transmitted_bytes, before.transmitted_bytes),
            (&mut self.receive, sample.received_bytes, before.received_bytes),
        ];
        for (window, now, before) in rates {
            if let Some(step) = now.zip(before).map(|(now, before)| now - before).filter(|step| *step >= 0.0)
            {
                window.add(at_ns, step / seconds, length);
            }
        }
    }

    fn nginx(&mut self, at_ns: u64, sample: NginxSample, asked: u64, over: bool) {
        let seconds = at_ns.saturating_sub(self.nginx_ns) as f64 / 1e9;
        self.nginx_ns = at_ns;
        self.nginx_samples += 1;
        let grew = self.requests.increase(sample.requests);
        self.accepted.increase(sample.accepted);
        self.handled.increase(sample.handled);
        // The exporter itself made a request to read nginx's status. The first sample is the baseline.
        self.own_requests += u64::from(self.viewer_requests.is_some());
        let (first, _) = self.viewer_requests.unwrap_or((asked, asked));
        self.viewer_requests = Some((first, asked));
        if over {
            return;
        }
        self.connections.add(at_ns, sample.active, self.window_ns);
        if let Some(rate) = grew.filter(|_| seconds > 0.0).map(|grew| grew / seconds) {
            self.request_rate.add(at_ns, rate, self.window_ns);
        }
    }

    /// The newest processor load, percent, and bytes per second sent.
    pub(crate) fn load(&self) -> (Option<f64>, Option<f64>) {
        let newest = |window: &Window| window.values.back().map(|(_, value)| *value);
        (newest(&self.cpu), newest(&self.transmit))
    }

    /// All figures, or `None` if nothing was scraped. `asked`: as in [`Self::scraped`]; `over`: all
    /// requests of viewers are known, so the last sample of nginx is compared with all of them.
    pub(crate) fn origin(&self, asked: u64, over: bool) -> Option<Origin> {
        if self.scrapes == 0 && self.failures.is_empty() {
            return None;
        }
        let counted =
            self.viewer_requests.map(|(first, last)| if over { asked - first } else { last - first });
        let sampled_twice = self.nginx_samples > 1;
        Some(Origin {
            cpu_percent: self.cpu.gauge(),
            memory_percent: self.memory.gauge(),
            transmit_bytes_per_second: self.transmit.gauge(),
            receive_bytes_per_second: self.receive.gauge(),
            connections: self.connections.gauge(),
            requests_per_second: self.request_rate.gauge(),
            requests: sampled_twice.then(|| (self.requests.sum as u64).saturating_sub(self.own_requests)),
            viewer_requests: counted.filter(|_| sampled_twice),
            connections_dropped: sampled_twice
                .then(|| (self.accepted.sum - self.handled.sum).max(0.0) as u64),
            segment_sizes: self.sizes.counts(),
            scrapes: self.scrapes,
            failures: self.failures.iter().map(|(target, times)| (target.name().into(), *times)).collect(),
            last_failure: self.last_failure.as_ref().map(|(target, why)| format!("{}: {why}", target.name())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn node(busy: f64, all: f64, sent: f64) -> Scraped {
        Scraped::Node(NodeSample {
            busy_seconds: busy,
            all_seconds: all,
            transmitted_bytes: Some(sent),
            ..NodeSample::default()
        })
    }

    fn nginx(requests: f64) -> Scraped {
        Scraped::Nginx(NginxSample { active: 5.0, accepted: 9.0, handled: 9.0, requests })
    }

    #[test]
    fn rates_come_from_two_samples_and_percentiles_from_the_window() {
        let mut origin_stats = OriginStats::new(10 * SECOND, 300, true);
        assert_eq!(origin_stats.origin(0, false), None);
        for (second, busy, sent) in [(0, 0.0, 0.0), (2, 1.0, 2e6), (4, 4.0, 3e6), (16, 4.0, 3e6)] {
            origin_stats.scraped(second * SECOND, node(busy, second as f64 * 2.0, sent), 0, false);
            if second == 0 {
                assert_eq!(origin_stats.origin(0, false).unwrap().cpu_percent, None);
            }
        }
        let origin = origin_stats.origin(0, false).unwrap();
        // The samples at 2 s and 4 s have left the window, but not the maximum.
        let gauge = |now: f64, max: f64| Some(Gauge { now, p50: now, p95: now, max });
        assert_eq!(origin.cpu_percent, gauge(0.0, 75.0));
        assert_eq!(origin.transmit_bytes_per_second, gauge(0.0, 1e6));
        assert_eq!((origin.memory_percent, origin.requests, origin.scrapes), (None, None, 4));
    }

    #[test]
    fn requests_of_this_program_are_not_counted_as_the_viewers() {
        let mut origin_stats = OriginStats::new(10 * SECOND, 300, true);
        origin_stats.scraped(SECOND, nginx(100.0), 7, false);
        assert_eq!(origin_stats.origin(7, false).unwrap().requests, None);
        origin_stats.scraped(SECOND, Scraped::Sizes(Vec::new()), 7, false);
        // 50 requests of the viewers, one for the sizes, one for the status.
        origin_stats.scraped(2 * SECOND, nginx(152.0), 57, false);
        let origin = origin_stats.origin(57, false).unwrap();
        assert_eq!((origin.requests, origin.viewer_requests), (Some(50), Some(50)));
        assert_eq!(origin.requests_agreement(), Some(1.0));
        assert_eq!(origin.requests_per_second.unwrap().now, 52.0);
        // nginx was restarted and has answered 10 requests and the scrape; requests in between are lost.
        origin_stats.scraped(3 * SECOND, nginx(11.0), 67, true);
        let origin = origin_stats.origin(67, true).unwrap();
        assert_eq!((origin.requests, origin.viewer_requests), (Some(60), Some(60)));
    }

    #[test]
    fn sizes_that_another_server_publishes_are_not_in_nginx_s_count() {
        let mut origin_stats = OriginStats::new(10 * SECOND, 300, false);
        origin_stats.scraped(SECOND, nginx(100.0), 7, false);
        origin_stats.scraped(SECOND, Scraped::Sizes(Vec::new()), 7, false);
        origin_stats.scraped(2 * SECOND, nginx(151.0), 57, true);
        assert_eq!(origin_stats.origin(57, true).unwrap().requests, Some(50));
    }

    #[test]
    fn a_failure_is_reported_until_its_target_answers() {
        let mut origin_stats = OriginStats::new(SECOND, 300, true);
        origin_stats.scraped(0, Scraped::Failed(Target::Node, "refused".into()), 0, false);
        origin_stats.scraped(0, nginx(1.0), 0, false);
        let origin = origin_stats.origin(0, false).unwrap();
        assert_eq!(origin.failures, [("node".to_owned(), 1)]);
        assert_eq!(origin.last_failure.as_deref(), Some("node: refused"));
        origin_stats.scraped(0, node(1.0, 2.0, 0.0), 0, false);
        assert_eq!(origin_stats.origin(0, false).unwrap().last_failure, None);
    }
}
