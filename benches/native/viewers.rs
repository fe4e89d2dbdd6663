//! Whole runs: the processor time and the memory of viewers, from /proc.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Viewers of the large run.
pub(crate) const MANY: u32 = 1000;
/// The span in which viewers are measured, after they have all begun.
const FROM: Duration = Duration::from_secs(12);
const UNTIL: Duration = Duration::from_secs(28);

/// What a run cost while all of its viewers played.
pub(crate) struct Cost {
    /// Seconds of processor time per second.
    pub(crate) cpu_per_second: f64,
    pub(crate) requests_per_second: f64,
    /// Proportional set size, KiB.
    pub(crate) pss_kib: f64,
}

/// Runs native viewers of `url`.
pub(crate) fn native(url: &str, viewers: u32) -> Cost {
    let report = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let length = format!("{}s", UNTIL.as_secs() + 2);
    let mut run = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
        .args([
            "--engine",
            "native",
            "--clients",
            &viewers.to_string(),
            "--ramp-rate",
            "200",
            "--duration",
            &length,
        ])
        .args([
            "--metrics",
            "off",
            "--log-level",
            "error",
            "--dangerous",
            "--insecure",
            "--tui=false",
            "--report",
        ])
        .args([report.path().as_os_str(), url.as_ref()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    thread::sleep(FROM);
    let before = (cpu_seconds(run.id()), began.elapsed());
    thread::sleep(UNTIL.saturating_sub(began.elapsed()));
    let after = (cpu_seconds(run.id()), began.elapsed());
    let pss_kib = pss_kib(run.id());
    run.wait().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report.path()).unwrap()).unwrap();
    let requests: f64 = report["requests"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(kind, _)| *kind != "total")
        .filter_map(|(_, count)| count.as_f64())
        .sum();
    let elapsed = report["elapsed_seconds"].as_f64().unwrap_or(UNTIL.as_secs_f64());
    Cost {
        cpu_per_second: (after.0 - before.0) / (after.1 - before.1).as_secs_f64(),
        requests_per_second: requests / elapsed,
        pss_kib,
    }
}

/// One FFmpeg that reads the stream: seconds of processor time per second, and KiB.
pub(crate) fn ffmpeg(url: &str) -> (f64, f64) {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-i", url])
        .args(["-map", "0", "-ignore_unknown", "-c", "copy", "-f", "null", "-t", "60", "-"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(4));
    let (before, began) = (cpu_seconds(ffmpeg.id()), Instant::now());
    thread::sleep(Duration::from_secs(8));
    let cost = ((cpu_seconds(ffmpeg.id()) - before) / began.elapsed().as_secs_f64(), pss_kib(ffmpeg.id()));
    ffmpeg.kill().unwrap();
    ffmpeg.wait().unwrap();
    cost
}

/// Processor time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn pss_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0.0)
}
