//! Failures in groups, with the objects and viewers of each.

use std::collections::{BTreeMap, HashSet};

use crate::exchange::Exchange;
use crate::stats::exchanges::Fault;
use crate::timeline::failures::{FailureClass, FailureGroup, MAX_GROUPS};

/// The largest number of objects, and of viewers, that are distinguished within a group.
const DIFFERENT: usize = 20_000;
/// Characters of a description that are kept.
const WHAT_LENGTH: usize = 120;
/// The description of failures for which there is no group.
const OTHERS: &str = "other failures";

#[derive(Clone, Debug)]
struct Counted {
    group: FailureGroup,
    objects: HashSet<u64>,
    viewers: HashSet<u32>,
}

/// All groups, by description and kind of object.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(BTreeMap<(String, &'static str), Counted>);

/// The description of a failure.
pub(super) fn what(exchange: &Exchange, fault: Fault) -> String {
    match (fault, exchange.status) {
        (Fault::Http, Some(status)) => status.to_string(),
        (Fault::Http, None) => "no status".to_owned(),
        (Fault::Broken, _) => "interrupted".to_owned(),
        (Fault::TimedOut, _) => "timed out".to_owned(),
        (Fault::Content(defect), _) => defect.to_string(),
    }
}

fn room(set: usize) -> bool {
    set < DIFFERENT
}

impl Groups {
    /// Adds a failure, `of` a request or of a connection. Returns whether it is the first of its group.
    pub(super) fn add(
        &mut self,
        what: &str,
        class: FailureClass,
        of: Option<&Exchange>,
        viewer: u32,
        elapsed: f64,
    ) -> bool {
        let what: String = what.chars().take(WHAT_LENGTH).collect();
        let kind = of.map_or("", |exchange| exchange.kind.name());
        let mut key = (what, kind);
        if self.0.len() >= MAX_GROUPS - 1 && !self.0.contains_key(&key) {
            key = (OTHERS.to_owned(), "");
        }
        let kind = Some(key.1).filter(|kind| !kind.is_empty()).map(str::to_owned);
        let counted = self.0.entry(key.clone()).or_insert_with(|| Counted {
            group: FailureGroup {
                what: key.0,
                kind,
                class,
                count: 0,
                objects: 0,
                viewers: 0,
                first_name: of.map_or_else(String::new, |exchange| exchange.name.to_string()),
                first_second: elapsed,
                last_second: elapsed,
            },
            objects: HashSet::new(),
            viewers: HashSet::new(),
        });
        let group = &mut counted.group;
        group.count += 1;
        group.first_second = group.first_second.min(elapsed);
        group.last_second = group.last_second.max(elapsed);
        if let Some(exchange) = of.filter(|_| room(counted.objects.len())) {
            counted.objects.insert(exchange.url_hash);
        }
        if room(counted.viewers.len()) {
            counted.viewers.insert(viewer);
        }
        group.count == 1
    }

    /// The groups, the largest first.
    pub(super) fn groups(&self) -> Vec<FailureGroup> {
        let mut groups: Vec<FailureGroup> = self
            .0
            .values()
            .map(|counted| FailureGroup {
                objects: counted.objects.len() as u64,
                viewers: counted.viewers.len() as u64,
                ..counted.group.clone()
            })
            .collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.what.cmp(&b.what)));
        groups
    }
}
