//! How many viewers a server holds by arithmetic: the walls that can be computed, before and after the
//! fixes, in the worst moment, when every viewer has all its connections and a file open. What a server
//! really holds is measured by `hls-swarm`.

use super::case::Case;
use super::descriptors::{
    CONNECTIONS_PER_VIEWER, CONNECTIONS_WANTED, Descriptors, OTHER_FILES, USUAL_LIMIT, connections, limit,
};
use super::nginx_conf::Directive;
use crate::audit::findings::{Capacity, Wall};

/// How long a closed connection keeps its local port (TIME_WAIT), seconds.
const TIME_WAIT_SECONDS: f64 = 60.0;

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
        before: walls(case, open_files(now, limit_now), slots, upstream(case)),
        after: walls(case, open_files(then, limit_then), slots.max(CONNECTIONS_WANTED), None),
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

fn open_files(descriptors: Descriptors, limit: u64) -> Wall {
    let Descriptors { workers, per_viewer, cached } = descriptors;
    Wall {
        name: "open files".into(),
        viewers: Some(descriptors.viewers(limit)),
        formula: format!(
            "workers {workers} x (limit {limit} - others {OTHER_FILES} - cached {cached}) / {per_viewer} per viewer"
        ),
    }
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
