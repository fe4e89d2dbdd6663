//! The values that Nix reads from the profiles and derives from them equal those of the programs, for every
//! profile and key. The Nix side is `nix/profiles.nix`, evaluated without nixpkgs.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_test_support::program;

/// One attribute of `nix/profiles.nix`.
fn nix(attribute: &str) -> Map<String, Value> {
    let output = program::program("nix-instantiate")
        // Evaluation needs no store, and must not create one.
        .args(["--store", "dummy://", "--eval", "--strict", "--json", "-A", attribute])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("nix/profiles.nix"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The output of a program's `config show` for a profile.
fn shown(program: &str, flag: &str, profile: &str) -> Value {
    let mut command = Command::new(program);
    let output = command.args(["config", "show", "--json", flag, profile]).env_clear().output().unwrap();
    assert!(output.status.success(), "{profile}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks that every leaf of `nix` is in `program` with the same value; returns how many there are.
fn compare(place: &str, nix: &Value, program: &Value) -> usize {
    match (nix, program) {
        (Value::Object(nix), Value::Object(program)) => nix
            .iter()
            .map(|(key, value)| {
                let place = format!("{place}.{key}");
                let said =
                    program.get(key).unwrap_or_else(|| panic!("{place}: the program does not show it"));
                compare(&place, value, said)
            })
            .sum(),
        (Value::Array(nix), Value::Array(program)) => {
            assert_eq!(nix.len(), program.len(), "{place}: how many");
            let pairs = nix.iter().zip(program).enumerate();
            pairs.map(|(index, (nix, program))| compare(&format!("{place}[{index}]"), nix, program)).sum()
        }
        // 24h and 24h0m0s are the same.
        (Value::String(a), Value::String(b)) if a != b => {
            let (a, b) = (a.parse::<GoDuration>(), b.parse::<GoDuration>());
            assert!(a.is_ok() && a == b, "{place}: Nix {nix}, program {program}");
            1
        }
        // TOML distinguishes integers and floats; rates of 5 and 5.0 are the same.
        (Value::Number(a), Value::Number(b)) => {
            assert!(
                (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9,
                "{place}: Nix {a}, program {b}"
            );
            1
        }
        _ => {
            assert_eq!(nix, program, "{place}: Nix, program");
            1
        }
    }
}

/// The names of the profiles in a folder.
fn names(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(folder);
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn every_profile(program: &str, flag: &str, kind: &str) {
    let nix = nix(&format!("shown.{kind}"));
    let known: Vec<&String> = nix.keys().collect();
    assert_eq!(known, names(kind).iter().collect::<Vec<_>>(), "Nix reads every profile of the folder");
    for (name, value) in &nix {
        let compared = compare(name, value, &shown(program, flag, name));
        assert!(compared > 7, "{name}: only {compared} values were compared");
    }
}

#[test]
fn swarm_profiles() {
    every_profile(env!("CARGO_BIN_EXE_hls-swarm"), "--profile", "swarm");
}

#[test]
fn origin_profiles() {
    every_profile(env!("CARGO_BIN_EXE_hls-origin"), "--profile", "origin");
}

#[test]
fn scenarios() {
    every_profile(env!("CARGO_BIN_EXE_hls-swarm"), "--scenario", "scenario");
}
