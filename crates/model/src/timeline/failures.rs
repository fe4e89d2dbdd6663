//! Failures in groups: how many of a kind there were, on how many objects, and when.

use serde::{Deserialize, Serialize};

use hls_swarm_base::figures::count;

use crate::merge::Merge;

/// The largest number of groups.
pub const MAX_GROUPS: usize = 50;

/// The class of a failure, by which errors are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureClass {
    /// A status code from 500 on.
    #[serde(rename = "5xx")]
    Server,
    /// A status code from 400 to 499.
    #[serde(rename = "4xx")]
    Client,
    /// The peer or the network interrupted a response.
    #[serde(rename = "interrupted")]
    Interrupted,
    /// A viewer gave up after its timeout.
    #[serde(rename = "timeout")]
    Timeout,
    /// A connection could not be made.
    #[serde(rename = "connection")]
    Connection,
    /// A response was not what had been requested.
    #[serde(rename = "content")]
    Content,
}

impl FailureClass {
    /// All classes, in the order of every drawing.
    pub const ALL: [Self; 6] =
        [Self::Server, Self::Client, Self::Interrupted, Self::Timeout, Self::Connection, Self::Content];

    /// The name in drawings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "5xx",
            Self::Client => "4xx",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timed out",
            Self::Connection => "connection failed",
            Self::Content => "wrong content",
        }
    }
}

/// Failures of the same kind on the same kind of object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// What failed, such as `503`, `timed out`, or the message of the operating system.
    pub what: String,
    /// The kind of the requested objects (`segment`); absent for connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The class.
    pub class: FailureClass,
    /// Failures.
    pub count: u64,
    /// Different objects, by URL; at least as many, if runs were merged or there are thousands.
    pub objects: u64,
    /// Different viewers.
    pub viewers: u64,
    /// The name of the first object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    /// The first and the last one, seconds of the run.
    pub first_second: f64,
    /// The last one, seconds of the run.
    pub last_second: f64,
}

impl FailureGroup {
    /// The group in words, such as "435 × 503 on 92 segments".
    #[must_use]
    pub fn title(&self) -> String {
        let what = format!("{} × {}", count(self.count), self.what);
        match (self.kind.as_deref(), self.objects) {
            (None, _) => what,
            (Some(kind), 1) => format!("{what} on one {}", noun(kind)),
            (Some(kind), objects) => format!("{what} on {} {}s", count(objects), noun(kind)),
        }
    }
}

/// The noun for objects of a kind.
fn noun(kind: &str) -> &str {
    match kind {
        "manifest" => "playlist",
        "init" => "initialization section",
        "steering" => "steering manifest",
        "other" => "object",
        kind => kind,
    }
}

/// Adds the groups of another run.
pub(super) fn merge(groups: &mut Vec<FailureGroup>, others: &[FailureGroup]) {
    for other in others {
        let same = |group: &&mut FailureGroup| (&group.what, &group.kind) == (&other.what, &other.kind);
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count.merge(&other.count);
                group.viewers.merge(&other.viewers);
                // The same objects are likely to have failed.
                group.objects = group.objects.max(other.objects);
                group.first_second = group.first_second.min(other.first_second);
                group.last_second = group.last_second.max(other.last_second);
            }
            None => groups.push(other.clone()),
        }
    }
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.what.cmp(&b.what)));
    groups.truncate(MAX_GROUPS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_line() {
        let group = |count, objects, kind: Option<&str>| FailureGroup {
            what: "503".into(),
            kind: kind.map(str::to_owned),
            class: FailureClass::Server,
            count,
            objects,
            viewers: 3,
            first_name: "a.ts".into(),
            first_second: 32.0,
            last_second: 180.0,
        };
        assert_eq!(group(435, 92, Some("segment")).title(), "435 × 503 on 92 segments");
        assert_eq!(group(2, 1, Some("manifest")).title(), "2 × 503 on one playlist");
        let many = group(43_500, 1_092, Some("segment")).title();
        assert_eq!(many, "43\u{202f}500 × 503 on 1\u{202f}092 segments");
        let mut all = vec![group(2, 5, Some("segment")), group(1, 1, None)];
        merge(&mut all, &[FailureGroup { first_second: 1.0, ..group(4, 3, Some("segment")) }]);
        assert_eq!((all.len(), all[0].count, all[0].objects, all[0].viewers), (2, 6, 5, 6));
        assert_eq!(all[0].first_second, 1.0);
    }
}
