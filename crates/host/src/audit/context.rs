//! What the checks of an audit look at.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::folder::{Contents, Stream, read};
use super::nginx::Nginx;
use crate::tuning::comparison;
use crate::tuning::profile::Profile;

/// What checks look at.
pub struct Context<'a> {
    /// The server.
    pub facts: &'a Facts,
    /// Viewers that it is to hold.
    pub viewers: u32,
    /// What the kernel of an origin should be set to.
    pub profile: &'a Profile,
    /// nginx's configuration by what it does.
    pub nginx: Nginx<'a>,
    /// The folders by what they hold.
    pub folders: Vec<(&'a str, Contents)>,
}

impl<'a> Context<'a> {
    /// Looks at the facts once for all checks.
    #[must_use]
    pub fn new(facts: &'a Facts, viewers: u32, profile: &'a Profile) -> Self {
        let nginx = Nginx::of(&facts.configuration);
        let folders = facts.folders.iter().map(|folder| (folder.path.as_str(), read(folder))).collect();
        Self { facts, viewers, profile, nginx, folders }
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

    /// Local ports of the kernel.
    #[must_use]
    pub fn ports(&self) -> Option<u64> {
        let comparison::KeyState::Value(range, _) = self.facts.kernel.get("net.ipv4.ip_local_port_range")?
        else {
            return None;
        };
        let mut ends = range.split_whitespace().map(str::parse::<u64>);
        let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
        Some((high + 1).saturating_sub(low))
    }
}
