//! The checks of an audit, one function each.
//!
//! A check proposes an edit only where the edit changes no response: same status, headers, and body for
//! every request. Everything else is advice in words, with an example.

mod access;
mod caching;
mod disk;
mod headers;
mod kernel;
mod listening;
mod proxy;
mod redis;
mod segments;
mod serving;
mod workers;

use super::context::{Context, Scope};
use super::findings::{Phase, Severity};
use super::patch::Edit;

/// Result of a check.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Something is wrong.
    Finding(Box<Draft>),
    /// Nothing is wrong; what was seen.
    Good(String),
    /// It could not be checked; the reason.
    Unknown(String),
    /// The server has nothing of the kind.
    NotApplicable,
}

/// A finding before its edits are rendered.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Severity.
    pub(crate) severity: Severity,
    /// Description in one line.
    pub(crate) title: String,
    /// Evidence, with its place.
    pub(crate) evidence: Vec<String>,
    /// Effect on the viewers.
    pub(crate) effect: String,
    /// Fix in words.
    pub(crate) fix: String,
    /// Commands that apply the fix.
    pub(crate) commands: Vec<String>,
    /// Configuration to adapt manually.
    pub(crate) example: Option<String>,
    /// Edits that apply the fix and change no response.
    pub(crate) edits: Vec<Edit>,
    /// Files that were counted.
    pub(crate) files: Vec<String>,
    /// For a finding that something is absent: the scope in which a file that was not read might contain it.
    pub(crate) absent: Option<Scope>,
    /// Phase of the work, where it does not follow from the fix.
    phase: Option<Phase>,
}

impl Draft {
    fn new(severity: Severity, title: impl Into<String>) -> Self {
        Self {
            severity,
            title: title.into(),
            evidence: Vec::new(),
            effect: String::new(),
            fix: String::new(),
            commands: Vec::new(),
            example: None,
            edits: Vec::new(),
            files: Vec::new(),
            absent: None,
            phase: None,
        }
    }

    fn evidence(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = effect.into();
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    fn commands(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands.extend(commands);
        self
    }

    fn example(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }

    fn edits(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.edits.extend(edits);
        self
    }

    const fn absent(mut self, scope: Scope) -> Self {
        self.absent = Some(scope);
        self
    }

    const fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Returns the phase of the work that the fix belongs to.
    pub(crate) fn phase_of_fix(&self) -> Phase {
        self.phase.unwrap_or(match (self.edits.is_empty(), self.commands.is_empty()) {
            (false, _) => Phase::Patch,
            (true, false) => Phase::Commands,
            (true, true) => Phase::Configuration,
        })
    }

    fn found(self) -> Outcome {
        Outcome::Finding(Box::new(self))
    }
}

/// A check.
pub(crate) type Rule = fn(&Context<'_>) -> Outcome;

/// Every check with its name, in the order in which findings of equal severity are listed.
pub(crate) const RULES: &[(&str, Rule)] = &[
    ("open-files", workers::open_files),
    ("worker-connections", workers::worker_connections),
    ("stale-segments", segments::stale),
    ("proxy-cache-lock", caching::lock),
    ("proxy-cache-stale", caching::stale),
    ("proxy-cache-key", caching::key),
    ("proxy-cache-times", caching::times),
    ("proxy-cache-size", caching::size),
    ("redis-memory", redis::memory),
    ("redis-policy", redis::policy),
    ("redis-snapshots", redis::snapshots),
    ("upstream-keepalive", proxy::keepalive),
    ("upstream-server", proxy::development_server),
    ("upstream-limits", proxy::limits),
    ("open-file-cache", serving::open_file_cache),
    ("segment-length", segments::length),
    ("list-size", segments::list_size),
    ("rate-limits", access::rate),
    ("rtmp-publish", access::rtmp_publish),
    ("rtmp-control", access::rtmp_control),
    ("rtmp-cleanup", segments::rtmp_cleanup),
    ("encoder-limits", segments::encoder_limits),
    ("secure-link", access::secure_link),
    ("playlist-cache-control", headers::playlist_cache_control),
    ("segment-cache-control", headers::segment_cache_control),
    ("cors", headers::cors),
    ("gzip-playlists", headers::gzip_playlists),
    ("gzip-media", headers::gzip_media),
    ("worker-processes", workers::worker_processes),
    ("worker-user", workers::user),
    ("connections-limit", workers::connections_limit),
    ("error-log", workers::error_log),
    ("access-log", serving::access_log),
    ("sendfile", serving::sendfile),
    ("tcp-nopush", serving::tcp_nopush),
    ("directio", serving::directio),
    ("segments-on-disk", serving::on_disk),
    ("listen-backlog", listening::backlog),
    ("keepalive", listening::keepalive),
    ("tls-protocols", listening::protocols),
    ("tls-sessions", listening::sessions),
    ("http2", listening::http2),
    ("tcp-buffers", kernel::tcp_buffers),
    ("port-range", kernel::port_range),
    ("accept-queue", kernel::accept_queue),
    ("connection-tracking", kernel::connection_tracking),
    ("fin-timeout", kernel::fin_timeout),
    ("congestion-control", kernel::congestion_control),
    ("swappiness", kernel::swappiness),
    ("cache-pressure", kernel::cache_pressure),
    ("io-scheduler", disk::scheduler),
    ("read-ahead", disk::read_ahead),
    ("monitoring", access::monitoring),
];

/// Returns `number what`, with an `s` unless the number is 1.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Returns `, N a second` for requests that every viewer makes, where the streams are known.
fn rate_of_requests(context: &Context<'_>) -> String {
    context.requests_per_second().map_or_else(String::new, |rate| format!(", {rate:.0} a second"))
}
