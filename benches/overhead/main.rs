//! Costs of the orchestrator, and costs of a viewer compared with the same FFmpeg writing its debug
//! log into `cat`: all measured in one run on one machine, from /proc.
//!
//! `make bench-overhead`. Prints figures and ratios; judges nothing, because machines differ. `make bench-overhead
//! BASE=FILE` compares the orchestrator with another build of it.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark is not part of the program and starts its own processes"
)]

mod compare;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VIEWERS: u32 = 100;
const SECONDS: u64 = 30;
/// Processes of each comparison: enough for a median, few enough not to disturb.
const COMPARED: usize = 8;
/// Age at which viewers and comparisons are measured.
const AGE: Duration = Duration::from_secs(24);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    if let Some(base) = setting::<PathBuf>("BASE")? {
        let changed =
            setting::<PathBuf>("CHANGED")?.unwrap_or_else(|| env!("CARGO_BIN_EXE_hls-swarm").into());
        let load = compare::Load {
            viewers: setting("VIEWERS")?.unwrap_or(60),
            seconds: setting("SECONDS")?.unwrap_or(14),
            pairs: setting("PAIRS")?.unwrap_or(5),
        };
        let (origin, url) = start_origin(&["--embedded"])?;
        let result = compare::compare(&base, &changed, &url, load);
        stop(origin);
        return result;
    }
    let (origin, url) = start_origin(&[])?;
    let result = measure(&url);
    stop(origin);
    result
}

/// The value of an environment variable; `None` if it is not set or empty.
fn setting<T: std::str::FromStr>(name: &str) -> Result<Option<T>, Failure> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("cannot parse {name}={text}").into())
}

fn start_origin(arguments: &[&str]) -> Result<(Child, String), Failure> {
    let mut origin = Command::new(env!("CARGO_BIN_EXE_hls-origin"))
        .args([
            "--port",
            "0",
            "--log-level",
            "error",
            "--node-metrics-port",
            "off",
            "--nginx-metrics-port",
            "off",
        ])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let out = origin.stdout.take().ok_or("no standard output")?;
    let ready = BufReader::new(out).lines().next().ok_or("the origin ended before it was ready")??;
    let url = ready.strip_prefix("READY ").ok_or("the origin did not print READY")?.to_owned();
    Ok((origin, url))
}

fn measure(url: &str) -> Result<(), Failure> {
    let load = ["--clients", &VIEWERS.to_string(), "--ramp-rate", "25", "--ramp-jitter", "20ms"];
    let flags = ["--metrics", "off", "--log-level", "error"];
    let ours = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
        .args(load)
        .args(flags)
        .arg("--print-cmd")
        .arg(url)
        .stderr(Stdio::null())
        .output()?;
    let ours: Vec<String> = String::from_utf8(ours.stdout)?.split_whitespace().map(str::to_owned).collect();
    let same: Vec<String> = ours.iter().map(|word| word.replace("+warning", "+debug")).collect();
    let plain = format!("ffmpeg -hide_banner -nostdin -loglevel debug -i {url} -map 0 -c copy -f null -");
    let plain: Vec<String> = plain.split_whitespace().map(str::to_owned).collect();

    let mut swarm = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
        .args(load)
        .args(flags)
        .args(["--duration", &format!("{SECONDS}s")])
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    let mut compared = Vec::new();
    for _ in 0..COMPARED {
        for (name, words) in
            [("same command, debug log | cat", &same), ("plain command, debug log | cat", &plain)]
        {
            compared.push(Compared::start(name, words)?);
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    let mut orchestrator = Orchestrator::default();
    let mut viewers: BTreeMap<u32, (Instant, Duration)> = BTreeMap::new();
    let (mut pss, mut pss_taken) = (Vec::new(), false);
    let began = Instant::now();
    while swarm.try_wait()?.is_none() && began.elapsed() < Duration::from_secs(SECONDS + 20) {
        orchestrator.look(swarm.id());
        for pid in children(swarm.id()) {
            let seen = viewers.entry(pid).or_insert_with(|| (Instant::now(), Duration::ZERO));
            if let Some(cpu) = cpu(pid).filter(|_| seen.0.elapsed() <= AGE) {
                seen.1 = cpu;
            }
        }
        compared.iter_mut().for_each(Compared::look);
        if began.elapsed() > Duration::from_secs(20) && !pss_taken {
            pss_taken = true;
            pss = viewers.keys().take(20).filter_map(|pid| kib(*pid, "smaps_rollup", "Pss:")).collect();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    compared.iter_mut().for_each(Compared::stop);

    println!("{VIEWERS} viewers, {SECONDS} s, default origin profile, all in one run");
    println!("orchestrator   {:.2} CPU seconds   (to reach: 0.50)", orchestrator.cpu.as_secs_f64());
    println!("               {:.1} MiB peak RSS  (to reach: 20)", orchestrator.peak_kib as f64 / 1024.0);
    println!(
        "               {} threads at most (to reach: {} = processors + 2)",
        orchestrator.threads,
        std::thread::available_parallelism()?.get() + 2
    );
    // The youngest viewers have not reached the age; the guard is not a viewer.
    let old =
        viewers.values().filter(|(seen, cpu)| seen.elapsed() >= AGE && *cpu > Duration::from_millis(10));
    let viewer = median(old.map(|(_, cpu)| cpu.as_secs_f64() * 1000.0).collect());
    println!("viewer         {viewer:.0} ms CPU at the age of {} s (median)", AGE.as_secs());
    println!("               {:.1} MiB PSS (median of {})", median(pss.clone()) / 1024.0, pss.len());
    for name in ["same command, debug log | cat", "plain command, debug log | cat"] {
        let of = compared.iter().filter(|compared| compared.name == name);
        let cpu = median(of.map(|compared| compared.cpu.as_secs_f64() * 1000.0).collect());
        println!("{name}: {cpu:.0} ms CPU, cat included; a viewer costs {:.2} x that", viewer / cpu);
    }
    println!("(to reach: a viewer at no more than 0.80 x the plain command with its debug log read by cat)");
    Ok(())
}

#[derive(Default)]
struct Orchestrator {
    cpu: Duration,
    peak_kib: u64,
    threads: u64,
}

impl Orchestrator {
    fn look(&mut self, pid: u32) {
        let Some(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok() else { return };
        let Some((_, rest)) = stat.rsplit_once(") ") else { return };
        let field = |index: usize| rest.split(' ').nth(index).and_then(|text| text.parse::<u64>().ok());
        // utime and stime, in ticks of a hundredth of a second; ended threads are in them.
        if let (Some(user), Some(system)) = (field(11), field(12)) {
            self.cpu = self.cpu.max(Duration::from_millis((user + system) * 10));
        }
        self.threads = self.threads.max(field(17).unwrap_or(0));
        self.peak_kib = self.peak_kib.max(kib(pid, "status", "VmHWM:").unwrap_or(0.0) as u64);
    }
}

/// An FFmpeg that writes its debug log into `cat`.
struct Compared {
    name: &'static str,
    ffmpeg: Child,
    cat: Child,
    started: Instant,
    cpu: Duration,
}

impl Compared {
    fn start(name: &'static str, words: &[String]) -> Result<Self, Failure> {
        let (program, arguments) = words.split_first().ok_or("no command")?;
        let mut ffmpeg = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = ffmpeg.stderr.take().ok_or("no standard error")?;
        let cat = Command::new("cat").stdin(log).stdout(Stdio::null()).spawn()?;
        Ok(Self { name, ffmpeg, cat, started: Instant::now(), cpu: Duration::ZERO })
    }

    fn look(&mut self) {
        if self.started.elapsed() <= AGE
            && let (Some(ffmpeg), Some(cat)) = (cpu(self.ffmpeg.id()), cpu(self.cat.id()))
        {
            self.cpu = ffmpeg + cat;
        }
    }

    fn stop(&mut self) {
        // Both are ours and have not been waited for, so their numbers cannot have been reused.
        drop(self.ffmpeg.kill());
        drop(self.ffmpeg.wait());
        drop(self.cat.wait());
    }
}

/// Processor time of all threads of a process, to the nanosecond.
fn cpu(pid: u32) -> Option<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanos.sum()))
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn kib(pid: u32, file: &str, field: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn stop(mut origin: Child) {
    // SIGTERM, so that the origin cleans up; `kill` of the standard library is KILL.
    drop(Command::new("kill").arg(origin.id().to_string()).status());
    drop(origin.wait());
}
