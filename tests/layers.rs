//! The layers of `src/lib.rs` hold: each uses only what stands below it, and `pure` stays pure.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
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

/// The file of a module, by its path below `src`; none if that names no module.
fn file_of(module: &[&str]) -> Option<PathBuf> {
    let base = module.iter().fold(root(), |path, name| path.join(name));
    [base.with_extension("rs"), base.join("mod.rs")].into_iter().find(|file| file.is_file())
}

/// The files that the imports of a file lead to. What it takes from the module it is a part of, and what
/// that takes from its parts, is the same room.
fn imports(file: &Path) -> BTreeSet<PathBuf> {
    let own = file.strip_prefix(root()).unwrap().with_extension("");
    let mut module: Vec<&str> = own.iter().map(|part| part.to_str().unwrap()).collect();
    module.pop_if(|last| *last == "mod");
    let mut found = BTreeSet::new();
    for statement in code(file).split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        let (path, names) = statement.split_once("::{").unwrap_or((statement, ""));
        let mut words: Vec<&str> = path.trim().split("::").collect();
        let mut base = match words.first() {
            Some(&"crate") => Vec::new(),
            Some(&"super") => module.clone(),
            _ => continue,
        };
        while words.first().is_some_and(|word| matches!(*word, "super" | "crate")) {
            if words.remove(0) == "super" {
                base.pop();
            }
        }
        base.extend(words);
        let names = names.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty());
        let paths = names.map(|name| [&base[..], &[name]].concat()).chain([base.clone()]);
        for path in paths {
            // The longest beginning that is a module: what follows is a name in it.
            let module_of = (1..=path.len()).rev().find_map(|length| file_of(&path[..length]));
            found.extend(module_of.filter(|other| other != file));
        }
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let all: BTreeMap<PathBuf, BTreeSet<PathBuf>> = sources(&root())
        .into_iter()
        .filter(|file| !file.ends_with("mod.rs") && !file.ends_with("lib.rs"))
        .map(|file| (file.clone(), imports(&file)))
        .collect();
    assert!(all.values().map(BTreeSet::len).sum::<usize>() > 500, "imports are not read any more");
    // A file that imports nothing that is left can be in no circle; so is then who imports only such files.
    let mut left = all;
    loop {
        let files: BTreeSet<PathBuf> = left.keys().cloned().collect();
        left.retain(|_, imports| imports.iter().any(|other| files.contains(other)));
        if left.len() == files.len() {
            break;
        }
    }
    // Nor can a file that nothing that is left imports.
    loop {
        let imported: BTreeSet<PathBuf> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|file, _| imported.contains(file));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a circle runs through {:#?}", left.keys());
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
