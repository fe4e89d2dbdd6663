//! Calculated number of viewers that a server can serve, before and after the fixes. The calculation
//! assumes the worst case, in which every viewer has all its connections and a file open. A load test
//! measures what the server can really serve.

use std::collections::BTreeSet;

use super::context::Context;
use super::findings::{Capacity, CapacityLimit};
use super::nginx::Location;
use super::nginx_conf::Directive;

/// Connections of a viewer: FFmpeg opens one for playlists and one for segments.
pub(crate) const CONNECTIONS_PER_VIEWER: u64 = 2;
/// Other descriptors of a worker: listeners, logs, epoll, channels.
pub(crate) const OTHER_FILES: u64 = 32;
/// nginx's default of `worker_connections`.
const DEFAULT_CONNECTIONS: u64 = 512;
/// Recommended connections per worker.
pub(crate) const RECOMMENDED_CONNECTIONS: u64 = 10_000;
/// Usual soft limit of open files of services and shells.
pub(crate) const USUAL_LIMIT: u64 = 1024;
/// Time for which a closed connection occupies its local port (TIME_WAIT), seconds.
const TIME_WAIT_SECONDS: f64 = 60.0;

/// Use of a worker's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Worker processes.
    pub(crate) workers: u64,
    /// Descriptors per viewer: connections, a file, a connection to an upstream.
    pub(crate) per_viewer: u64,
    /// Files in `open_file_cache`.
    pub(crate) cached: u64,
}

impl Descriptors {
    /// Returns the use with the current configuration.
    pub(crate) fn of(context: &Context<'_>) -> Self {
        let without_cache = context.nginx.media_files().any(|location| file_cache(location).is_none());
        // Locations that inherit a cache share it.
        let caches: BTreeSet<(String, u64)> = context
            .nginx
            .media_files()
            .filter_map(file_cache)
            .filter_map(|cache| {
                let max = cache.arguments.iter().find_map(|argument| argument.strip_prefix("max="))?;
                Some((cache.place(), max.parse().ok()?))
            })
            .collect();
        Self {
            workers: context.workers().0,
            per_viewer: connections_per_viewer(context) + u64::from(without_cache),
            cached: caches.iter().map(|(_, max)| max).sum(),
        }
    }

    /// Returns the descriptors per worker for `viewers` viewers.
    pub(crate) fn needed(self, viewers: u32) -> u64 {
        (u64::from(viewers) * self.per_viewer).div_ceil(self.workers.max(1)) + self.cached + OTHER_FILES
    }

    /// Returns the number of viewers for a limit of `limit` descriptors per worker.
    pub(crate) fn viewers(self, limit: u64) -> u64 {
        limit.saturating_sub(self.cached + OTHER_FILES) * self.workers / self.per_viewer.max(1)
    }
}

fn file_cache<'a>(location: &Location<'a>) -> Option<&'a Directive> {
    location.in_effect("open_file_cache").filter(|cache| cache.value() != "off")
}

/// Returns the connections of a worker per viewer; one more where playlists or segments are proxied.
pub(crate) fn connections_per_viewer(context: &Context<'_>) -> u64 {
    CONNECTIONS_PER_VIEWER + u64::from(context.nginx.media_proxied().next().is_some())
}

/// Returns the limit of open files of a worker, where it is known, with the evidence.
pub(crate) fn open_file_limit(context: &Context<'_>) -> (Option<u64>, Vec<String>) {
    let configured = context.nginx.at_top("worker_rlimit_nofile");
    let mut evidence = Vec::new();
    let mut least: Option<u64> = None;
    for process in context.facts.processes.iter().filter(|process| process.worker) {
        let Some((soft, hard)) = process.open_files else { continue };
        if least.is_none_or(|least| soft < least) {
            least = Some(soft);
            let now = process.open_now.map_or_else(String::new, |now| format!(", {now} open now"));
            evidence = vec![format!(
                "/proc/{}/limits: soft limit of open files {soft}, hard limit {hard}{now}",
                process.pid
            )];
        }
    }
    match configured {
        Some(directive) => {
            evidence.push(format!("{}: {directive}", directive.place()));
            let configured = directive.value().parse().ok();
            // The running workers may be older than the file.
            (least.or(configured), evidence)
        }
        None => {
            evidence
                .push("no worker_rlimit_nofile: workers keep the limit that nginx was started with".into());
            (least, evidence)
        }
    }
}

/// Returns the connections per worker, with the evidence.
pub(crate) fn worker_connections(context: &Context<'_>) -> (u64, String) {
    match context.nginx.event("worker_connections") {
        Some(directive) => {
            let number = directive.value().parse().unwrap_or(DEFAULT_CONNECTIONS);
            (number, format!("{}: {directive}", directive.place()))
        }
        None => {
            (DEFAULT_CONNECTIONS, format!("no worker_connections: nginx's default is {DEFAULT_CONNECTIONS}"))
        }
    }
}

/// Calculates the limits before and after the fixes.
pub(crate) fn estimate(context: &Context<'_>) -> Capacity {
    if context.nginx.http.is_none() || context.facts.configuration.fragment {
        return Capacity::default();
    }
    let now = Descriptors::of(context);
    let limit_now = open_file_limit(context).0.unwrap_or(USUAL_LIMIT);
    let recommended = context.profile.limits.as_ref().map_or(limit_now, |limits| limits.nofile);
    let limit_then = recommended.max(limit_now);
    let serves = context.nginx.media_files().next().is_some();
    let cached = u64::try_from(context.cached_files()).unwrap_or(u64::MAX);
    let then = Descriptors {
        per_viewer: connections_per_viewer(context),
        cached: if serves { now.cached.max(cached) } else { 0 },
        ..now
    };
    let (slots, _) = worker_connections(context);
    Capacity {
        before: limits(context, open_files(now, limit_now), slots, upstream_ports(context)),
        after: limits(context, open_files(then, limit_then), slots.max(RECOMMENDED_CONNECTIONS), None),
    }
}

fn limits(
    context: &Context<'_>,
    files: CapacityLimit,
    slots: u64,
    upstream: Option<CapacityLimit>,
) -> Vec<CapacityLimit> {
    let workers = context.workers().0;
    let each = connections_per_viewer(context);
    let connections = CapacityLimit {
        name: "connections".into(),
        viewers: Some(slots * workers / each),
        formula: format!("workers {workers} x worker_connections {slots} / {each} per viewer"),
    };
    [Some(files), Some(connections), upstream, network(context)].into_iter().flatten().collect()
}

fn open_files(descriptors: Descriptors, limit: u64) -> CapacityLimit {
    let Descriptors { workers, per_viewer, cached } = descriptors;
    CapacityLimit {
        name: "open files".into(),
        viewers: Some(descriptors.viewers(limit)),
        formula: format!(
            "workers {workers} x (limit {limit} - others {OTHER_FILES} - cached {cached}) / {per_viewer} per viewer"
        ),
    }
}

/// Calculates the limit of local ports for connections to upstreams that are not kept alive.
fn upstream_ports(context: &Context<'_>) -> Option<CapacityLimit> {
    context.nginx.media_proxied().next()?;
    let kept = |(_, pass): (_, &Directive)| {
        context.nginx.upstream(pass).is_some_and(|block| block.child("keepalive").is_some())
    };
    if context.nginx_since((1, 29, 7)) == Some(true) || context.nginx.media_proxied().all(kept) {
        return None;
    }
    let seconds = context.segment_seconds()?;
    let ports = context.ports()?;
    let requests = 2.0 / seconds;
    Some(CapacityLimit {
        name: "ports to the upstream".into(),
        viewers: Some((ports as f64 / (TIME_WAIT_SECONDS * requests)) as u64),
        formula: format!(
            "ports {ports} / ({TIME_WAIT_SECONDS} s in TIME_WAIT x {requests:.2} requests per second and viewer), if all requests are proxied"
        ),
    })
}

fn network(context: &Context<'_>) -> Option<CapacityLimit> {
    let link = context.facts.link_mbit?;
    let rate = context.live().filter_map(|stream| stream.bits_per_second).max_by(f64::total_cmp)?;
    Some(CapacityLimit {
        name: "network".into(),
        viewers: Some((link as f64 * 1e6 / rate) as u64),
        formula: format!("link {link} Mbit/s / stream {:.2} Mbit/s", rate / 1e6),
    })
}
