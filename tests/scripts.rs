//! Scripts that act as root: what they leave behind, and what they run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn script(name: &str, arguments: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    Command::new(path).args(arguments).output().unwrap()
}

#[test]
fn services_may_start_again_once_an_installation_was_killed() {
    let mut installation = Command::new("sleep").arg("60").spawn().unwrap();
    let written = script("install-tools", &["--policy", &installation.id().to_string()]);
    assert!(written.status.success());
    let folder = TempDir::new().unwrap();
    let policy = folder.path().join("policy-rc.d");
    fs::write(&policy, &written.stdout).unwrap();
    // As invoke-rc.d calls it; 101 forbids, 0 allows.
    let answer = || Command::new("sh").arg(&policy).args(["nginx", "start"]).status().unwrap().code();
    let while_it_runs = answer();
    installation.kill().unwrap();
    installation.wait().unwrap();
    assert_eq!((while_it_runs, answer()), (Some(101), Some(0)));
}

/// Installs a tool that is missing, where apt-get runs `script` and sudo writes no files.
fn installing_with(script: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let programs = [("apt-get", script), ("id", "echo 1000"), ("sudo", r#"[ "$1" != sh ] || exec "$@""#)];
    for (name, text) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(path).status().unwrap().success());
    }
    let old = std::env::var("PATH").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-tools");
    Command::new(path)
        .arg("a-tool-that-is-missing")
        .env("PATH", format!("{}:{old}", folder.path().display()))
        .env("SIGN_OF_LIFE", "1")
        .output()
        .unwrap()
}

#[test]
fn an_installation_shows_that_it_goes_on_and_why_it_failed() {
    let slow = installing_with("echo Unpacking something; sleep 2.5");
    let said = String::from_utf8(slow.stdout).unwrap();
    assert!(slow.status.success(), "{said}");
    assert!(said.contains("1 s: Unpacking something") && said.contains("2 s: "), "{said}");
    let failed = installing_with("echo E: no space left; exit 100");
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(3), "{said}");
    assert!(said.contains("E: no space left") && said.contains("error: cannot install"), "{said}");
}

#[test]
fn installing_copies_and_runs_no_program() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for program in ["hls-swarm", "hls-origin"] {
        let text = format!("#!/bin/sh\ntouch {}\necho \"$1\"\n", at("was-run"));
        fs::create_dir_all(at("built")).unwrap();
        fs::write(at(&format!("built/{program}")), text).unwrap();
        assert!(
            Command::new("chmod").args(["+x", &at(&format!("built/{program}"))]).status().unwrap().success()
        );
    }
    let early = script("install", &[&at("built"), &at("prefix")]);
    let said = String::from_utf8(early.stderr).unwrap();
    assert!(early.status.code() == Some(3) && said.contains("run make build first, without sudo"), "{said}");
    assert!(script("install", &["--pages", &at("built")]).status.success());
    fs::remove_file(at("was-run")).unwrap();
    assert!(script("install", &[&at("built"), &at("prefix")]).status.success());
    assert!(!Path::new(&at("was-run")).exists(), "a program was run");
    assert_eq!(fs::read_to_string(at("prefix/share/man/man1/hls-swarm.1")).unwrap(), "man\n");
    assert!(Path::new(&at("prefix/share/bash-completion/completions/hls-origin")).exists());
    assert!(script("install", &["--remove", &at("prefix")]).status.success());
    assert!(!Path::new(&at("prefix/bin/hls-swarm")).exists());
}
