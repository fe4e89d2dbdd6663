//! Everything that the checks of an audit read.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::folder::{Contents, Stream, read};
use super::nginx::Nginx;
use super::nginx_conf::Directive;
use crate::tuning::comparison;
use crate::tuning::profile::Profile;

/// Possible place of a directive that a check did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At the top of the configuration, or in `events`.
    Main,
    /// In `http`, or in a block inside of it.
    Http,
}

/// Input of the checks.
pub(crate) struct Context<'a> {
    /// The server.
    pub(crate) facts: &'a Facts,
    /// Viewers that it is to serve.
    pub(crate) viewers: u32,
    /// Recommended settings of an origin's kernel.
    pub(crate) profile: &'a Profile,
    /// nginx's configuration.
    pub(crate) nginx: Nginx<'a>,
    /// Contents of the folders, by path.
    pub(crate) folders: Vec<(&'a str, Contents)>,
}

impl<'a> Context<'a> {
    /// Reads the facts once for all checks.
    pub(crate) fn new(facts: &'a Facts, viewers: u32, profile: &'a Profile) -> Self {
        let folders: Vec<(&str, Contents)> =
            facts.folders.iter().map(|folder| (folder.path.as_str(), read(folder))).collect();
        let with_playlists: Vec<&str> = folders.iter().map(|(path, _)| *path).collect();
        let nginx = Nginx::new(&facts.configuration, &facts.prefix, &with_playlists);
        Self { facts, viewers, profile, nginx, folders }
    }

    /// Returns nginx's files.
    pub(crate) const fn files(&self) -> &'a BTreeMap<String, String> {
        &self.facts.configuration.files
    }

    /// Returns the reason why a directive that was not found may exist nevertheless.
    pub(crate) fn may_exist_elsewhere(&self, scope: Scope) -> Option<String> {
        if self.facts.configuration.fragment {
            return Some("this file is only a part of a configuration; audit the main nginx.conf".into());
        }
        let missing = self.facts.configuration.missing.iter();
        let mut missing =
            missing.filter(|missing| missing.matters() && (scope == Scope::Main) != missing.in_http);
        missing.next().map(|missing| format!("{} could not be read ({})", missing.pattern, missing.place))
    }

    /// Returns the live streams.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Stream> {
        self.folders.iter().flat_map(|(_, contents)| &contents.streams).filter(|stream| stream.live)
    }

    /// Returns the duration of the shortest segments in seconds, which viewers request most often.
    pub(crate) fn segment_seconds(&self) -> Option<f64> {
        let streams = self.folders.iter().flat_map(|(_, contents)| &contents.streams);
        let durations =
            streams.filter(|stream| stream.listed > 0).map(|stream| stream.seconds / stream.listed as f64);
        let found = durations.filter(|seconds| *seconds > 0.0).min_by(f64::total_cmp);
        found.or_else(|| {
            self.nginx.rtmp_applications().filter_map(|app| app.fragment_seconds).min_by(f64::total_cmp)
        })
    }

    /// Returns the number of requests per second for playlists and segments; `None` without a stream.
    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        self.segment_seconds().map(|seconds| f64::from(self.viewers) * 2.0 / seconds)
    }

    /// Returns the number of files that a worker may keep in `open_file_cache` for the live streams: three
    /// times the number of listed files.
    pub(crate) fn cached_files(&self) -> usize {
        let listed: usize = self.live().map(|stream| stream.listed + 1).sum();
        (listed * 3).max(1000)
    }

    /// Returns the value of a sysctl key.
    pub(crate) fn sysctl(&self, key: &str) -> Option<&str> {
        match self.facts.kernel.get(key)? {
            comparison::KeyState::Value(value, _) => Some(value),
            _ => None,
        }
    }

    /// Returns the number of local ports.
    pub(crate) fn ports(&self) -> Option<u64> {
        let mut ends = self.sysctl("net.ipv4.ip_local_port_range")?.split_whitespace().map(str::parse::<u64>);
        let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
        Some((high + 1).saturating_sub(low))
    }

    /// Returns the number of workers, and how it is known. Where it is unknown, it is one.
    pub(crate) fn workers(&self) -> (u64, Option<String>) {
        let running = self.facts.processes.iter().filter(|process| process.worker).count();
        if running > 0 {
            return (running as u64, None);
        }
        match self.nginx.at_top("worker_processes").map(Directive::value) {
            Some("auto") => match self.facts.processors {
                Some(processors) => (u64::from(processors.max(1)), None),
                None => (1, Some("worker_processes auto on an unknown number of processors: 1 is assumed; pass --processors N".into())),
            },
            Some(number) => (number.parse().unwrap_or(1).max(1), None),
            None => (1, None),
        }
    }

    /// Reports whether nginx is at least of this version; `None` where the version is unknown.
    pub(crate) fn nginx_since(&self, version: (u32, u32, u32)) -> Option<bool> {
        self.facts.build.as_ref().map(|build| build.version >= version)
    }

    /// Returns the places of directives, each once.
    pub(crate) fn places<'d>(directives: impl IntoIterator<Item = &'d Directive>) -> Vec<String> {
        let places: BTreeSet<(String, String)> =
            directives.into_iter().map(|directive| (directive.place(), directive.to_string())).collect();
        places.into_iter().map(|(place, directive)| format!("{place}: {directive}")).collect()
    }
}
