//! The cost of two builds of `hls-swarm` under the same load, in pairs of runs that alternate: a machine that becomes
//! slower or faster meanwhile changes both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::{Failure, kib, median, stop};

/// The load of each run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Viewers, which all start in the first second.
    pub viewers: u32,
    /// Age at which a run is measured, seconds.
    pub seconds: u64,
    /// Number of pairs.
    pub pairs: usize,
}

/// The cost of an orchestrator, without its viewers.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Processor time of all its threads, ended ones included, ms.
    cpu_ms: f64,
    /// Memory that belongs to no file, MiB.
    anonymous_mib: f64,
    /// Its share of the memory that it uses, MiB.
    pss_mib: f64,
}

type Figure = (&'static str, fn(&Cost) -> f64);

const FIGURES: [Figure; 3] = [
    ("CPU, ms", |cost| cost.cpu_ms),
    ("anonymous memory, MiB", |cost| cost.anonymous_mib),
    ("PSS, MiB", |cost| cost.pss_mib),
];

/// Measures `base` and `changed`, and prints the medians and their ratios.
pub fn compare(base: &Path, changed: &Path, url: &str, load: Load) -> Result<(), Failure> {
    println!("{} viewers, {} s, {} pairs", load.viewers, load.seconds, load.pairs);
    println!("pair  build     {}", FIGURES.map(|(name, _)| format!("{name:>24}")).concat());
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..load.pairs {
        let builds = [("base", base), ("changed", changed)];
        // Each is first in every other pair.
        for build in [pair % 2, 1 - pair % 2] {
            let (name, program) = builds[build];
            let cost = measure(program, url, load)?;
            let figures = FIGURES.map(|(_, of)| format!("{:>24.2}", of(&cost))).concat();
            println!("{:>4}  {name:<10}{figures}", pair + 1);
            costs[build].push(cost);
        }
    }
    println!("{:<24}{:>10}{:>10}{:>18}", "median", "base", "changed", "changed / base");
    for (name, of) in FIGURES {
        let [base, changed] = costs.each_ref().map(|costs| median(costs.iter().map(of).collect()));
        println!("{name:<24}{base:>10.2}{changed:>10.2}{:>18.3}", changed / base);
    }
    Ok(())
}

/// Measures one run of a new copy of the program: pages of a file that another process has read already, or that the
/// system has read ahead, would count as a smaller share.
fn measure(program: &Path, url: &str, load: Load) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("hls-swarm");
    std::fs::copy(program, &copy)?;
    let viewers = load.viewers.to_string();
    let mut run = Command::new(&copy)
        .args(["--clients", &viewers, "--ramp-rate", &viewers])
        .args(["--duration", &format!("{}s", load.seconds + 2), "--metrics", "off", "--tui=false", url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(load.seconds));
    let cost = cost(run.id());
    if let Some(code) = run.try_wait()? {
        return Err(format!("{} ended too early: {code}", program.display()).into());
    }
    stop(run);
    cost.ok_or_else(|| format!("cannot read the cost of {} from /proc", program.display()).into())
}

fn cost(pid: u32) -> Option<Cost> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let cpu = Duration::from(clock_gettime(clock).ok()?);
    Some(Cost {
        cpu_ms: cpu.as_secs_f64() * 1000.0,
        anonymous_mib: kib(pid, "status", "RssAnon:")? / 1024.0,
        pss_mib: kib(pid, "smaps_rollup", "Pss:")? / 1024.0,
    })
}
