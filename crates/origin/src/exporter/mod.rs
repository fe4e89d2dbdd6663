//! The origin's metrics in the Prometheus text format: those of the host under the names of node_exporter,
//! those of nginx under the names of nginx-prometheus-exporter, and the origin's own.
//!
//! A value that the kernel or nginx does not provide is absent, never 0.

pub(crate) mod kernel;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod serve;

use std::fmt::Write;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// Unknown; node_exporter uses it for values that it copies from tables of the kernel.
    Untyped,
}

/// One sample: label names and values, and the number.
pub(crate) type Sample = (Vec<(&'static str, String)>, f64);

/// A metric with its samples.
///
/// The prometheus crate cannot write `untyped` metrics, so this module has its own writer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// Full name.
    pub(crate) name: String,
    /// Type.
    pub(crate) kind: Type,
    /// Help text, with the unit.
    pub(crate) help: String,
    /// Samples.
    pub(crate) samples: Vec<Sample>,
}

impl Family {
    /// A metric without labels.
    #[must_use]
    pub(crate) fn one(name: impl Into<String>, kind: Type, help: impl Into<String>, value: f64) -> Self {
        Self::many(name, kind, help, vec![(Vec::new(), value)])
    }

    /// A metric with labels.
    #[must_use]
    pub(crate) fn many(
        name: impl Into<String>,
        kind: Type,
        help: impl Into<String>,
        samples: Vec<Sample>,
    ) -> Self {
        Self { name: name.into(), kind, help: help.into(), samples }
    }
}

/// Writes the families in the text format 0.0.4; families without samples are omitted.
#[must_use]
pub(crate) fn exposition(families: &[Family]) -> String {
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
            let _ = writeln!(text, "{name}{} {value}", label_set(labels));
        }
    }
    text
}

fn label_set(labels: &[(&str, String)]) -> String {
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
    fn labels_are_escaped_and_empty_families_are_omitted() {
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
