//! The origin's metrics as Prometheus' text: the host's as node_exporter names them, nginx's as
//! nginx-prometheus-exporter does, and the origin's own.
//!
//! Facts come in as the kernel and nginx word them. What they do not tell is absent, never 0.

pub mod kernel;
pub mod nginx;
pub mod node;
pub mod origin;
pub mod serve;

use std::fmt::Write;

/// Prometheus' type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Of either kind; node_exporter says so of what it copies from the kernel's tables.
    Untyped,
}

/// One sample: names and values of its labels, and the number.
pub type Sample = (Vec<(&'static str, String)>, f64);

/// A metric with its samples.
///
/// The prometheus crate cannot write `untyped`, hence a writer of our own.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its whole name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// What it tells, with its unit.
    pub help: String,
    /// Its samples.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A metric without labels.
    #[must_use]
    pub fn one(name: impl Into<String>, kind: Type, help: impl Into<String>, value: f64) -> Self {
        Self::many(name, kind, help, vec![(Vec::new(), value)])
    }

    /// A metric with labels.
    #[must_use]
    pub fn many(name: impl Into<String>, kind: Type, help: impl Into<String>, samples: Vec<Sample>) -> Self {
        Self { name: name.into(), kind, help: help.into(), samples }
    }
}

/// The exposition (text format 0.0.4); families without samples are left out.
#[must_use]
pub fn exposition(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let Family { name, kind, help, samples } = family;
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Untyped => "untyped",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{} {value}", braces(labels));
        }
    }
    text
}

fn braces(labels: &[(&str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_empty_families_left_out() {
        let label = vec![("path", "a\"b\\c\nd".to_owned())];
        let families = [
            Family::many("files", Type::Gauge, "Files.", vec![(label, 2.0)]),
            Family::many("nothing", Type::Counter, "Nothing.", Vec::new()),
            Family::one("load", Type::Untyped, "Load.", 0.25),
        ];
        assert_eq!(
            exposition(&families),
            "# HELP files Files.\n# TYPE files gauge\nfiles{path=\"a\\\"b\\\\c\\nd\"} 2\n\
             # HELP load Load.\n# TYPE load untyped\nload 0.25\n"
        );
    }
}
