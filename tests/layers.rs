//! The layers of `src/lib.rs` hold: each uses only what stands below it, and `pure` stays pure.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each layer and what it may use.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("words", &[]),
    ("pure", &["words"]),
    ("system", &["words", "pure"]),
    ("actors", &["words", "pure", "system"]),
    ("views", &["words"]),
];

/// What would bring a clock, a runtime or the outside world into the pure layer.
const IMPURE: [&str; 12] = [
    "tokio::",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime",
    "println!",
    "eprintln!",
    "fastrand::",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file: without comments, and without its unit tests, which stand at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a piece of code names by `crate::`.
fn used(code: &str) -> BTreeSet<&str> {
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap())
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn a_layer_uses_only_those_below_it() {
    let mut wrong = Vec::new();
    for (layer, may_use) in MAY_USE {
        let files = sources(&root().join(layer));
        assert!(!files.is_empty(), "{layer} is empty: has it been renamed?");
        for file in files {
            let code = code(&file);
            for other in used(&code).into_iter().filter(|other| *other != layer && !may_use.contains(other)) {
                wrong.push(format!("{} (layer {layer}) uses crate::{other}", file.display()));
            }
            assert!(!code.contains("crate::{"), "{}: name modules one by one", file.display());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_layer_has_no_clock_no_io_and_no_runtime() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("pure")).into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let code = code(&file);
        for word in IMPURE.iter().filter(|word| code.contains(*word)) {
            wrong.push(format!("{} uses {word}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn processes_are_started_in_one_place() {
    let starters: Vec<_> = sources(&root())
        .into_iter()
        .filter(|file| {
            let code = code(file);
            code.contains(".spawn()") || code.contains("Command::new")
        })
        .collect();
    assert_eq!(starters, [root().join("system/process.rs")]);
}

#[test]
fn programs_are_thin() {
    for name in ["main.rs", "bin/hls-origin.rs"] {
        let lines = std::fs::read_to_string(root().join(name)).unwrap().lines().count();
        assert!(lines < 45, "{name} has {lines} lines; its work belongs into the library");
    }
}

#[test]
fn files_stay_small_and_say_what_they_hold() {
    let mut lines = Vec::new();
    for file in sources(&root()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it is responsible for", file.display());
        lines.push(text.lines().count());
        assert!(lines.last() <= Some(&450), "{} is too long, split it", file.display());
    }
    lines.sort_unstable();
    assert!(lines[lines.len() / 2] <= 180, "the median file has {} lines", lines[lines.len() / 2]);
}
