//! Builds the socket probe (a `no_std` shared object, see `object/lib.rs`) with the same rustc and
//! hands its path to the crate, which embeds it.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("the socket probe (object/lib.rs) could not be built: {why}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=object");
    println!("cargo::rerun-if-changed=src/record.rs");
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let target = variable("TARGET")?;
    let object = PathBuf::from(variable("OUT_DIR")?).join("hls_swarm_probe.so");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args(["--crate-name", "hls_swarm_probe", "--crate-type", "cdylib", "--edition", "2024"])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "lto=fat", "-C", "codegen-units=1"])
        .args(["-C", "strip=symbols", "-C", "overflow-checks=off", "-C", "debug-assertions=off"])
        // The C library's start files and the C library itself come with the host process.
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        .arg("--target")
        .arg(&target)
        .arg("-o")
        .arg(&object)
        .arg("object/lib.rs");
    if target.to_string_lossy().contains("musl") {
        // A static program can still hand out a shared object.
        rustc.args(["-C", "target-feature=-crt-static"]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = std::ffi::OsString::from("linker=");
        argument.push(linker);
        rustc.arg("-C").arg(argument);
    }
    let status = rustc.status().map_err(|error| format!("{rustc:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{rustc:?}: {status}"));
    }
    println!("cargo::rustc-env=HLS_SWARM_PROBE_SO={}", object.display());
    Ok(())
}
