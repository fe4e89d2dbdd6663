//! Open files and connections of nginx's workers: what they may have and what viewers take of it.

use super::context::Context;
use super::nginx::Location;
use super::nginx_conf::Directive;

/// Connections that a viewer keeps: FFmpeg holds one for playlists and one for segments.
pub const CONNECTIONS_PER_VIEWER: u64 = 2;
/// Descriptors of a worker besides: listeners, logs, epoll, channels.
pub(crate) const OTHER_FILES: u64 = 32;
/// nginx's default of `worker_connections`.
const DEFAULT_CONNECTIONS: u64 = 512;
/// Connections per worker at least.
pub(crate) const CONNECTIONS_WANTED: u64 = 10_000;
/// What systemd and shells give where nobody asks for more.
pub(crate) const USUAL_LIMIT: u64 = 1024;

fn cache<'a>(location: &Location<'a>) -> Option<&'a Directive> {
    location.in_effect("open_file_cache").filter(|cache| cache.value() != "off")
}

/// What descriptors of a worker go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Worker processes of nginx.
    pub workers: u64,
    /// Per viewer: its connections, a file that it is sent, a connection to an upstream.
    pub per_viewer: u64,
    /// Files in `open_file_cache`.
    pub cached: u64,
}

impl Descriptors {
    /// As configured.
    #[must_use]
    pub fn of(context: &Context<'_>) -> Self {
        let without = context.nginx.segments().any(|location| cache(location).is_none());
        let cached = context.nginx.segments().filter_map(cache).filter_map(|cache| {
            cache.arguments.iter().find_map(|argument| argument.strip_prefix("max=")?.parse::<u64>().ok())
        });
        let proxied = context.nginx.proxied().next().is_some();
        Self {
            workers: context.nginx.workers(context.facts.processors),
            per_viewer: CONNECTIONS_PER_VIEWER + u64::from(without) + u64::from(proxied),
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
}

/// The limit of open files that holds for a worker, where it is known, and how that is known.
pub(crate) fn limit(context: &Context<'_>) -> (Option<u64>, Vec<String>) {
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
            let wanted = directive.value().parse().ok();
            // What runs is what counts: it may have been started before the file was changed.
            (least.or(wanted), evidence)
        }
        None => {
            evidence
                .push("no worker_rlimit_nofile: workers keep the limit that nginx was started with".into());
            (least, evidence)
        }
    }
}

/// Connections per worker as configured, and where.
pub(crate) fn connections(context: &Context<'_>) -> (u64, String) {
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
