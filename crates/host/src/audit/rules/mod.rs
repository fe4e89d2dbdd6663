//! The checks of an audit, one function each.

pub(crate) mod cache;
pub(crate) mod descriptors;
pub(crate) mod disk;
pub(crate) mod kernel;
pub(crate) mod limits;
pub(crate) mod monitoring;
pub(crate) mod redis;
pub(crate) mod segments;
pub(crate) mod upstream;

use super::context::Context;
use super::patch::Edit;
use crate::audit::findings::Severity;

/// How a check came out.
#[derive(Debug)]
pub enum Outcome {
    /// Something is wrong.
    Finding(Box<Draft>),
    /// Nothing is, with what was seen.
    Good(String),
    /// It could not be checked; why.
    Unknown(String),
    /// There is no such thing here.
    NotHere,
}

impl Outcome {
    fn found(found: Draft) -> Self {
        Self::Finding(Box::new(found))
    }
}

/// What is wrong.
#[derive(Debug)]
pub struct Draft {
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in a line.
    pub title: String,
    /// What was seen, and where.
    pub evidence: Vec<String>,
    /// What it does to the viewers asked about.
    pub effect: String,
    /// What to do.
    pub fix: String,
    /// Commands that do it.
    pub commands: Vec<String>,
    /// Changes of nginx's files that do it.
    pub edits: Vec<Edit>,
}

impl Draft {
    fn new(severity: Severity, title: impl Into<String>) -> Self {
        let (evidence, commands, edits) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            severity,
            title: title.into(),
            evidence,
            effect: String::new(),
            fix: String::new(),
            commands,
            edits,
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

    fn edits(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.edits.extend(edits);
        self
    }
}

/// A check.
pub type Rule = fn(&Context<'_>) -> Outcome;

/// Every check with its name, in the order in which equally grave findings are listed.
pub const RULES: [(&str, Rule); 18] = [
    ("open-files", descriptors::open_files),
    ("worker-connections", descriptors::worker_connections),
    ("stale-segments", segments::stale),
    ("redis-memory", redis::memory),
    ("upstream-keepalive", upstream::keepalive),
    ("open-file-cache", cache::open_file_cache),
    ("segment-length", segments::length),
    ("list-size", segments::list_size),
    ("rate-limits", limits::rate),
    ("tcp-buffers", kernel::tcp_buffers),
    ("port-range", kernel::port_range),
    ("fin-timeout", kernel::fin_timeout),
    ("congestion-control", kernel::congestion_control),
    ("swappiness", kernel::swappiness),
    ("cache-pressure", kernel::cache_pressure),
    ("io-scheduler", disk::scheduler),
    ("read-ahead", disk::read_ahead),
    ("monitoring", monitoring::monitoring),
];

/// `what` with an `s` unless there is one of it.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
