//! Whole runs: the processor time and the memory of viewers, from the kernel.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// Viewers of the large and of the small run.
pub(crate) const MANY: u32 = 1000;
pub(crate) const FEW: u32 = 10;
/// The span in which viewers are measured: all have begun, and have filled their buffers.
const FROM: Duration = Duration::from_secs(8);
const UNTIL: Duration = Duration::from_secs(16);
/// The length of a run, seconds.
const LENGTH: u64 = 17;
/// How often the memory of sockets is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a run cost while all of its viewers played.
pub(crate) struct Cost {
    /// Seconds of processor time per second.
    pub(crate) cpu_per_second: f64,
    pub(crate) requests_per_second: f64,
    /// Proportional set size, KiB.
    pub(crate) pss_kib: f64,
    /// The growth of the memory of all TCP sockets of the machine, at most, KiB.
    pub(crate) sockets_kib: f64,
    /// How late timers were, 99th percentile, ms.
    pub(crate) late_ms: f64,
}

/// A run that is killed if it is dropped before its end.
struct Run {
    process: Child,
    began: Instant,
    report: NamedTempFile,
}

impl Run {
    fn start(url: &str, viewers: u32, arguments: &[&str]) -> Self {
        let report = NamedTempFile::with_suffix(".json").unwrap();
        let (viewers, length) = (viewers.to_string(), format!("{LENGTH}s"));
        let process = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
            .args(["--clients", &viewers, "--ramp-rate", "1000", "--duration", &length])
            .args(["--metrics", "off", "--log-level", "error", "--dangerous", "--insecure", "--tui=false"])
            .args(arguments)
            .arg("--report")
            .args([report.path().as_os_str(), url.as_ref()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, began: Instant::now(), report }
    }

    /// Waits until the run is this old; returns the most memory that TCP sockets had meanwhile, KiB.
    fn wait(&self, age: Duration) -> f64 {
        let mut most = 0.0_f64;
        while self.began.elapsed() < age {
            most = most.max(sockets_kib());
            thread::sleep(LOOK);
        }
        most
    }

    fn finish(mut self) -> serde_json::Value {
        self.process.wait().unwrap();
        serde_json::from_slice(&fs::read(self.report.path()).unwrap()).unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs native viewers of `url`, which speak this version of HTTP.
pub(crate) fn native(url: &str, http: &str, viewers: u32) -> Cost {
    let sockets_before = sockets_kib();
    let run = Run::start(url, viewers, &["--engine", "native", "--http", http]);
    let pid = run.process.id();
    let during_start = run.wait(FROM);
    let before = (cpu_seconds(pid), run.began.elapsed());
    let sockets = run.wait(UNTIL).max(during_start);
    let after = (cpu_seconds(pid), run.began.elapsed());
    let pss_kib = pss_kib(pid);
    let report = run.finish();
    let windows = report["timeline"]["windows"].as_array().unwrap();
    let steady = |window: &&serde_json::Value| {
        let second = window["second"].as_u64().unwrap_or(0);
        (FROM.as_secs()..FROM.as_secs() + 8).contains(&second)
    };
    let sum = |names: &[&str]| {
        let of =
            |window: &serde_json::Value| names.iter().filter_map(|name| window[name].as_f64()).sum::<f64>();
        windows.iter().filter(steady).map(of).sum::<f64>()
    };
    Cost {
        cpu_per_second: (after.0 - before.0) / (after.1 - before.1).as_secs_f64(),
        requests_per_second: sum(&["playlists", "segments"]) / sum(&["seconds"]),
        pss_kib,
        sockets_kib: (sockets - sockets_before).max(0.0),
        late_ms: report["generator"]["p99_lag_ms"].as_f64().unwrap_or(f64::NAN),
    }
}

/// Encodes a live stream of 2 Mb/s, in segments of 2 s, until it is dropped.
pub(crate) struct Encoder(Child);

impl Encoder {
    pub(crate) fn start(www: &Path) -> Self {
        let playlist = www.join("ffmpeg.m3u8");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"]);
        ffmpeg.args(["-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "2M", "-minrate", "2M"]);
        ffmpeg.args(["-maxrate", "2M", "-bufsize", "1M", "-x264-params", "nal-hrd=cbr", "-g", "50"]);
        ffmpeg.args(["-f", "hls", "-hls_time", "2", "-hls_flags", "delete_segments"]);
        let process = ffmpeg.arg(&playlist).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !playlist.exists() && began.elapsed() < Duration::from_secs(20) {
            thread::sleep(LOOK);
        }
        Self(process)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Runs one FFmpeg viewer of `url`. Its cost is that of FFmpeg's process alone.
pub(crate) fn ffmpeg(url: &str) -> Cost {
    let run = Run::start(url, 1, &[]);
    run.wait(FROM);
    let viewer = viewer_of(run.process.id()).unwrap();
    let before = (cpu_seconds(viewer), run.began.elapsed());
    run.wait(UNTIL);
    let after = (cpu_seconds(viewer), run.began.elapsed());
    Cost {
        cpu_per_second: (after.0 - before.0) / (after.1 - before.1).as_secs_f64(),
        requests_per_second: f64::NAN,
        pss_kib: pss_kib(viewer),
        sockets_kib: f64::NAN,
        late_ms: f64::NAN,
    }
}

/// The FFmpeg among the children of a process.
fn viewer_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("ffmpeg"))
    })
}

/// Processor time of all threads of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).unwrap();
    let time = clock_gettime(clock).unwrap();
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

fn pss_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0.0)
}

const PAGE_KIB: f64 = 4.0;

/// The memory of all TCP sockets of this machine.
fn sockets_kib() -> f64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = text.lines().find(|line| line.starts_with("TCP:")).and_then(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "mem").skip(1);
        words.next()?.parse::<f64>().ok()
    });
    pages.unwrap_or(f64::NAN) * PAGE_KIB
}

/// The memory of TCP sockets from which on the kernel is under memory pressure.
pub(crate) fn pressure_kib() -> f64 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) * PAGE_KIB
}
