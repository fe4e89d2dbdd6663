//! The checks of an audit, one function each, and what they look at.

mod cache;
pub(super) mod descriptors;
mod disk;
mod kernel;
mod limits;
mod monitoring;
mod redis;
mod segments;
mod upstream;

use std::collections::BTreeMap;

use super::facts::Facts;
use super::folder::{Contents, Stream, read};
use super::patch::Edit;
use super::site::Site;
use crate::pure::tuning::judge;
use crate::pure::tuning::profile::Profile;
use crate::words::audit::Severity;

/// How a check came out.
#[derive(Debug)]
pub enum Outcome {
    /// Something is wrong.
    Found(Box<Found>),
    /// Nothing is, with what was seen.
    Good(String),
    /// It could not be checked; why.
    Unknown(String),
    /// There is no such thing here.
    NotHere,
}

impl Outcome {
    fn found(found: Found) -> Self {
        Self::Found(Box::new(found))
    }
}

/// What is wrong.
#[derive(Debug)]
pub struct Found {
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

impl Found {
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
pub type Rule = fn(&Case<'_>) -> Outcome;

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

/// What checks look at.
pub struct Case<'a> {
    /// The server.
    pub facts: &'a Facts,
    /// Viewers that it is to hold.
    pub viewers: u32,
    /// What the kernel of an origin should be set to.
    pub profile: &'a Profile,
    /// nginx's configuration by what it does.
    pub site: Site<'a>,
    /// The folders by what they hold.
    pub folders: Vec<(&'a str, Contents)>,
}

impl<'a> Case<'a> {
    /// Looks at the facts once for all checks.
    #[must_use]
    pub fn new(facts: &'a Facts, viewers: u32, profile: &'a Profile) -> Self {
        let site = Site::of(&facts.configuration);
        let folders = facts.folders.iter().map(|folder| (folder.path.as_str(), read(folder))).collect();
        Self { facts, viewers, profile, site, folders }
    }

    /// nginx's files.
    #[must_use]
    pub fn files(&self) -> &'a BTreeMap<String, String> {
        &self.facts.configuration.files
    }

    /// Streams that live now.
    pub fn live(&self) -> impl Iterator<Item = &Stream> {
        self.folders.iter().flat_map(|(_, contents)| &contents.streams).filter(|stream| stream.live)
    }

    /// Seconds between two segments of a viewer: the shortest segments asked for most often.
    #[must_use]
    pub fn segment_seconds(&self) -> Option<f64> {
        let streams = self.folders.iter().flat_map(|(_, contents)| &contents.streams);
        let lengths =
            streams.filter(|stream| stream.listed > 0).map(|stream| stream.seconds / stream.listed as f64);
        lengths.filter(|seconds| *seconds > 0.0).min_by(f64::total_cmp)
    }

    /// Files that a worker may keep in `open_file_cache` for what is live: three times what is listed.
    #[must_use]
    pub fn cached_files(&self) -> usize {
        let listed: usize = self.live().map(|stream| stream.listed + 1).sum();
        (listed * 3).max(1000)
    }
}

impl Case<'_> {
    /// Local ports of the kernel.
    #[must_use]
    pub fn ports(&self) -> Option<u64> {
        let judge::Found::Value(range, _) = self.facts.kernel.get("net.ipv4.ip_local_port_range")? else {
            return None;
        };
        let mut ends = range.split_whitespace().map(str::parse::<u64>);
        let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
        Some((high + 1).saturating_sub(low))
    }
}

/// `what` with an `s` unless there is one of it.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
