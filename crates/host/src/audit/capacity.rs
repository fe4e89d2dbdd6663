//! How many viewers a server holds by arithmetic: the walls that can be computed, before and after the
//! fixes, in the worst moment, when every viewer has all its connections and a file open. What a server
//! really holds is measured by `hls-swarm`.

use super::context::Context;
use super::descriptors::{
    CONNECTIONS_PER_VIEWER, CONNECTIONS_WANTED, Descriptors, OTHER_FILES, USUAL_LIMIT, connections, limit,
};
use super::nginx_conf::Directive;
use crate::audit::findings::{Capacity, CapacityLimit};

/// How long a closed connection keeps its local port (TIME_WAIT), seconds.
const TIME_WAIT_SECONDS: f64 = 60.0;

/// The walls before and after the fixes.
#[must_use]
pub fn estimate(context: &Context<'_>) -> Capacity {
    if context.nginx.http.is_none() {
        return Capacity::default();
    }
    let now = Descriptors::of(context);
    let limit_now = limit(context).0.unwrap_or(USUAL_LIMIT);
    let limit_then = context.profile.limits.as_ref().map_or(limit_now, |limits| limits.nofile).max(limit_now);
    let serves = context.nginx.segments().next().is_some();
    let proxied = context.nginx.proxied().next().is_some();
    let cached = u64::try_from(context.cached_files()).unwrap_or(u64::MAX);
    let then = Descriptors {
        per_viewer: CONNECTIONS_PER_VIEWER + u64::from(proxied),
        cached: if serves { now.cached.max(cached) } else { 0 },
        ..now
    };
    let (slots, _) = connections(context);
    Capacity {
        before: limits_of(context, open_files(now, limit_now), slots, upstream(context)),
        after: limits_of(context, open_files(then, limit_then), slots.max(CONNECTIONS_WANTED), None),
    }
}

fn limits_of(
    context: &Context<'_>,
    files: CapacityLimit,
    slots: u64,
    upstream: Option<CapacityLimit>,
) -> Vec<CapacityLimit> {
    let workers = context.nginx.workers(context.facts.processors);
    let each = CONNECTIONS_PER_VIEWER + u64::from(context.nginx.proxied().next().is_some());
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

/// Ports of connections to upstreams that are not kept.
fn upstream(context: &Context<'_>) -> Option<CapacityLimit> {
    context.nginx.proxied().next()?;
    if context.nginx.proxied().all(|(_, pass)| context.nginx.upstream(pass).is_some_and(keeps)) {
        return None;
    }
    let seconds = context.segment_seconds()?;
    let ports = context.ports()?;
    let requests = 2.0 / seconds;
    Some(CapacityLimit {
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

fn network(context: &Context<'_>) -> Option<CapacityLimit> {
    let link = context.facts.link_mbit?;
    let rate = context.live().filter_map(|stream| stream.bits_per_second).max_by(f64::total_cmp)?;
    Some(CapacityLimit {
        name: "network".into(),
        viewers: Some((link as f64 * 1e6 / rate) as u64),
        formula: format!("link {link} Mbit/s / stream {:.2} Mbit/s", rate / 1e6),
    })
}
