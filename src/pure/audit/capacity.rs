//! How many viewers a server holds by arithmetic: the walls that can be computed, before and after the
//! fixes, in the worst moment, when every viewer has all its connections and a file open. What a server
//! really holds is measured by `hls-swarm`.

use super::nginx_conf::Directive;
use super::rules::Case;
use super::rules::descriptors::{CONNECTIONS_WANTED, USUAL_LIMIT, connections, limit};
use super::site::Leaf;
use crate::words::audit::{Capacity, Wall};

/// Connections that a viewer keeps: FFmpeg holds one for playlists and one for segments.
pub const CONNECTIONS_PER_VIEWER: u64 = 2;
/// Descriptors of a worker besides: listeners, logs, epoll, channels.
const OTHER_FILES: u64 = 32;
/// How long a closed connection keeps its local port (TIME_WAIT), seconds.
const TIME_WAIT_SECONDS: f64 = 60.0;

fn cache<'a>(leaf: &Leaf<'a>) -> Option<&'a Directive> {
    leaf.effective("open_file_cache").filter(|cache| cache.value() != "off")
}

/// What descriptors of a worker go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    workers: u64,
    /// Per viewer: its connections, a file that it is sent, a connection to an upstream.
    per_viewer: u64,
    /// Files in `open_file_cache`.
    cached: u64,
}

impl Descriptors {
    /// As configured.
    #[must_use]
    pub fn of(case: &Case<'_>) -> Self {
        let without = case.site.segments().any(|leaf| cache(leaf).is_none());
        let cached = case.site.segments().filter_map(cache).filter_map(|cache| {
            cache.arguments.iter().find_map(|argument| argument.strip_prefix("max=")?.parse::<u64>().ok())
        });
        let passes = case.site.passes().next().is_some();
        Self {
            workers: case.site.workers(case.facts.processors),
            per_viewer: CONNECTIONS_PER_VIEWER + u64::from(without) + u64::from(passes),
            cached: cached.sum(),
        }
    }

    /// Descriptors per worker for `viewers` viewers.
    #[must_use]
    pub fn needed(self, viewers: u32) -> u64 {
        (u64::from(viewers) * self.per_viewer).div_ceil(self.workers.max(1)) + self.cached + OTHER_FILES
    }

    /// Viewers that fit into `limit` descriptors per worker.
    #[must_use]
    pub fn viewers(self, limit: u64) -> u64 {
        limit.saturating_sub(self.cached + OTHER_FILES) * self.workers / self.per_viewer.max(1)
    }

    fn wall(self, limit: u64) -> Wall {
        let Self { workers, per_viewer, cached } = self;
        Wall {
            name: "open files".into(),
            viewers: Some(self.viewers(limit)),
            formula: format!(
                "workers {workers} x (limit {limit} - others {OTHER_FILES} - cached {cached}) / {per_viewer} per viewer"
            ),
        }
    }
}

/// The walls before and after the fixes.
#[must_use]
pub fn estimate(case: &Case<'_>) -> Capacity {
    if case.site.http.is_none() {
        return Capacity::default();
    }
    let now = Descriptors::of(case);
    let limit_now = limit(case).0.unwrap_or(USUAL_LIMIT);
    let limit_then = case.profile.limits.as_ref().map_or(limit_now, |limits| limits.nofile).max(limit_now);
    let serves = case.site.segments().next().is_some();
    let passes = case.site.passes().next().is_some();
    let cached = u64::try_from(case.cached_files()).unwrap_or(u64::MAX);
    let then = Descriptors {
        per_viewer: CONNECTIONS_PER_VIEWER + u64::from(passes),
        cached: if serves { now.cached.max(cached) } else { 0 },
        ..now
    };
    let (slots, _) = connections(case);
    Capacity {
        before: walls(case, now.wall(limit_now), slots, upstream(case)),
        after: walls(case, then.wall(limit_then), slots.max(CONNECTIONS_WANTED), None),
    }
}

fn walls(case: &Case<'_>, files: Wall, slots: u64, upstream: Option<Wall>) -> Vec<Wall> {
    let workers = case.site.workers(case.facts.processors);
    let each = CONNECTIONS_PER_VIEWER + u64::from(case.site.passes().next().is_some());
    let connections = Wall {
        name: "connections".into(),
        viewers: Some(slots * workers / each),
        formula: format!("workers {workers} x worker_connections {slots} / {each} per viewer"),
    };
    [Some(files), Some(connections), upstream, network(case)].into_iter().flatten().collect()
}

/// Ports of connections to upstreams that are not kept.
fn upstream(case: &Case<'_>) -> Option<Wall> {
    case.site.passes().next()?;
    if case.site.passes().all(|(_, pass)| case.site.upstream(pass).is_some_and(keeps)) {
        return None;
    }
    let seconds = case.segment_seconds()?;
    let ports = case.ports()?;
    let requests = 2.0 / seconds;
    Some(Wall {
        name: "ports to the upstream".into(),
        viewers: Some((ports as f64 / (TIME_WAIT_SECONDS * requests)) as u64),
        formula: format!(
            "ports {ports} / ({TIME_WAIT_SECONDS} s in TIME_WAIT x {requests:.2} requests per second and viewer), if all requests go there"
        ),
    })
}

fn keeps(block: &Directive) -> bool {
    block.children().iter().any(|directive| directive.name == "keepalive")
}

fn network(case: &Case<'_>) -> Option<Wall> {
    let link = case.facts.link_mbit?;
    let rate = case.live().filter_map(|stream| stream.bits_per_second).max_by(f64::total_cmp)?;
    Some(Wall {
        name: "network".into(),
        viewers: Some((link as f64 * 1e6 / rate) as u64),
        formula: format!("link {link} Mbit/s / stream {:.2} Mbit/s", rate / 1e6),
    })
}
