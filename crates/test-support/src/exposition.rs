//! A strict parser of Prometheus' text format (version 0.0.4): an unknown line fails the test.

use std::collections::BTreeMap;

/// A metric family as its HELP and TYPE lines declare it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// Values by the sample's name and labels as the text has them.
    pub samples: BTreeMap<String, f64>,
}

/// All families by name.
pub type Exposition = BTreeMap<String, Family>;

pub fn read(text: &str) -> Exposition {
    assert!(text.ends_with('\n'), "the last line ends with a newline");
    let mut families = Exposition::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = Family { help: help.to_owned(), ..Family::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} occurs twice");
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            kind.clone_into(&mut families.get_mut(name).unwrap().kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(!name.is_empty() && name.chars().all(valid), "{line}");
            assert!(!sample.contains('{') || sample.ends_with("\"}"), "{line}");
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("no HELP before {line}"));
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} below {current}"));
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(!sample.contains("quantile=\""), "only summaries have that label: {line}");
            assert_eq!(family.kind == "counter", name.ends_with("_total"), "counters, and only they: {line}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number in {line}"));
            assert!(value.is_finite(), "{line}");
            assert!(family.samples.insert(sample.to_owned(), value).is_none(), "{sample} occurs twice");
        }
    }
    for (name, family) in &families {
        assert!(!family.samples.is_empty() && !family.help.is_empty(), "{name} is empty");
    }
    families
}
