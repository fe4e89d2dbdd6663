//! Objects that viewers could not get, or that had defects, by name.

use std::collections::BTreeMap;

use crate::exchange::{Exchange, Kind};
use crate::snapshot::{FailedObject, MAX_FAILED_OBJECTS};
use crate::stats::exchanges::Fault;

/// The number of names that are counted separately; a stream that fails entirely would fill the memory.
const NAMES: usize = 1000;

/// Failures by name and by the content that arrived instead of the object.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    failed: BTreeMap<(String, String), u64>,
}

impl Objects {
    /// Counts a failure. Playlists that could not be loaded have counts of their own.
    pub fn failed(&mut self, exchange: &Exchange, fault: Fault) {
        if exchange.kind == Kind::Playlist && !matches!(fault, Fault::Content(_)) {
            return;
        }
        let what = match (fault, exchange.status) {
            (Fault::Http, Some(status)) => status.to_string(),
            (Fault::Http | Fault::Broken, _) => "interrupted".to_owned(),
            (Fault::TimedOut, _) => "timed out".to_owned(),
            (Fault::Content(defect), _) => defect.to_string(),
        };
        self.count(exchange, what);
    }

    fn count(&mut self, exchange: &Exchange, what: String) {
        let key = (exchange.name.to_string(), what);
        if self.failed.len() < NAMES || self.failed.contains_key(&key) {
            *self.failed.entry(key).or_default() += 1;
        }
    }

    /// The most frequent ones.
    #[must_use]
    pub fn rows(&self) -> Vec<FailedObject> {
        let row = |((name, what), count): (&(String, String), &u64)| FailedObject {
            name: name.clone(),
            what: what.clone(),
            count: *count,
        };
        let mut rows: Vec<FailedObject> = self.failed.iter().map(row).collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        rows.truncate(MAX_FAILED_OBJECTS);
        rows
    }
}
