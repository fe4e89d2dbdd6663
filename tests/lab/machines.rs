//! Access to the machines through the lab's own scripts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A script of the repository.
pub(crate) fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts").join(name));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// The directory of the images.
pub(crate) fn image() -> PathBuf {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/microvm");
    assert!(image.join("root.erofs").exists(), "no image in {}; run: make microvm-image", image.display());
    image
}

/// Runs a command in a machine of the pair that `scripts/lab shell` has started around this test.
pub(crate) fn ssh(machine: &str, command: &str) -> Output {
    let inside = std::env::var("HLS_LAB").is_ok_and(|lab| lab == "inside");
    assert!(inside, "this test runs in the lab; run: make lab-test");
    script("microvm").args(["ssh", machine, command]).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn ask(machine: &str, command: &str) -> String {
    let output = ssh(machine, command);
    assert!(output.status.success(), "{machine}: {command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A run of `hls-swarm` in the client.
pub(crate) struct Played {
    pub(crate) code: Option<i32>,
    pub(crate) summary: String,
    pub(crate) report: Value,
}

/// Plays the lab's scenario with more flags.
pub(crate) fn play(flags: &str) -> Played {
    run("play", flags)
}

/// Plays the stream at another port of the origin machine.
pub(crate) fn play_port(port: u16, flags: &str) -> Played {
    run(&format!("PORT={port} play"), flags)
}

fn run(play: &str, flags: &str) -> Played {
    let output = ssh("client", &format!("rm -f /run/hls/report.json; {play} lab {flags}"));
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = ssh("client", "cat /run/hls/report.json");
    let report = serde_json::from_slice(&report.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}) of the run: {output:?}"));
    println!("{summary}");
    Played { code: output.status.code(), summary, report }
}

impl Played {
    /// A figure of the report, by JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let value = self.report.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("the report has no number {pointer}; {}", self.summary))
    }
}
