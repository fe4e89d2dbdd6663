//! What N viewers need of the machine, held against what it has.

use std::fmt;

use hls_swarm_base::error::Failure;
use hls_swarm_base::sizing::{
    FILES_PER_VIEWER, MEMORY_PER_VIEWER, OWN_FILES, OWN_MEMORY, OWN_PROCESSES, PORTS_PER_VIEWER, Requirements,
};
use hls_swarm_os::machine::Headroom;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Good.
    Good,
    /// The run will probably work, but look at it.
    Warning,
    /// The run cannot work.
    Bad,
}

/// One line of the preflight report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it came out.
    pub mark: Mark,
    /// What was checked.
    pub name: &'static str,
    /// What there is, and what is needed.
    pub finding: String,
    /// The command or change that fixes it; empty if nothing is wrong.
    pub help: String,
}

impl Check {
    /// A check that came out well.
    #[must_use]
    pub fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self { mark: Mark::Good, name, finding: finding.into(), help: String::new() }
    }

    /// A check that stops the run.
    #[must_use]
    pub fn bad(name: &'static str, finding: impl Into<String>, help: impl Into<String>) -> Self {
        Self { mark: Mark::Bad, name, finding: finding.into(), help: help.into() }
    }

    /// A check that asks for a look.
    #[must_use]
    pub fn warning(name: &'static str, finding: impl Into<String>, help: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, name, finding: finding.into(), help: help.into() }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => '✓',
            Mark::Warning => '!',
            Mark::Bad => '✗',
        };
        write!(f, "{mark} {}: {}", self.name, self.finding)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "\n    help: {}", self.help) }
    }
}

/// Open files that `viewers` viewers need.
#[must_use]
pub fn files_needed(viewers: u32) -> u64 {
    Requirements::of(viewers).open_files
}

/// Fails if this program itself cannot live on `open_files`, let alone its viewers.
///
/// # Errors
/// A preflight failure that names the limit, and what `viewers` viewers need.
pub fn own_files(viewers: u32, open_files: Option<u64>) -> Result<(), Failure> {
    match open_files {
        Some(have) if have < OWN_FILES => {
            let need = files_needed(viewers);
            let what = format!("open files: {have} available, {need} needed for {viewers} viewers");
            Err(Failure::preflight(what).help(format!("ulimit -n {need}")))
        }
        _ => Ok(()),
    }
}

/// Holds the needs of `viewers` viewers against `machine`.
#[must_use]
pub fn resources(viewers: u32, machine: &Headroom) -> Vec<Check> {
    let Requirements { open_files: files, processes, memory_bytes: memory, local_ports: ports, .. } =
        Requirements::of(viewers);
    let fewer = |fits: u64| match fits {
        0 => String::new(),
        fits => format!("; or --clients {fits}, which fits"),
    };
    let mut checks = Vec::new();
    let mut check = |name, have: Option<u64>, need: u64, unit: fn(u64) -> String, help: String| {
        let Some(have) = have else { return };
        let finding = format!("{} available, {} needed for {viewers} viewers", unit(have), unit(need));
        checks.push(if have >= need { Check::good(name, finding) } else { Check::bad(name, finding, help) });
    };
    let fits = |have: Option<u64>, own: u64, each: u64| fewer(have.unwrap_or(0).saturating_sub(own) / each);
    check(
        "open files",
        machine.open_files,
        files,
        |files| files.to_string(),
        format!("ulimit -n {files}{}", fits(machine.open_files, OWN_FILES, FILES_PER_VIEWER)),
    );
    check(
        "processes",
        machine.processes,
        processes,
        |processes| processes.to_string(),
        format!("ulimit -u {processes}{}", fits(machine.processes, OWN_PROCESSES, 1)),
    );
    check(
        "memory",
        machine.memory,
        memory,
        mebibytes,
        format!("free memory or use a larger machine{}", fits(machine.memory, OWN_MEMORY, MEMORY_PER_VIEWER)),
    );
    check(
        "local ports",
        machine.ports,
        ports,
        |ports| ports.to_string(),
        format!(
            "sysctl -w net.ipv4.ip_local_port_range='1026 65535' net.ipv4.tcp_tw_reuse=1{}",
            fits(machine.ports, 0, PORTS_PER_VIEWER)
        ),
    );
    check(
        "connection tracking",
        machine.conntrack,
        ports,
        |entries| entries.to_string(),
        format!("sysctl -w net.netfilter.nf_conntrack_max={}", ports.saturating_mul(2)),
    );
    checks
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Headroom = Headroom {
        open_files: Some(20_000),
        processes: Some(10_000),
        memory: Some(4 << 30),
        ports: Some(28_000),
        conntrack: None,
    };

    #[test]
    fn what_fits_passes_and_what_cannot_be_told_is_left_out() {
        let checks = resources(100, &MACHINE);
        assert_eq!(checks.len(), 4);
        assert!(checks.iter().all(|check| check.mark == Mark::Good), "{checks:?}");
        assert!(resources(100, &Headroom::default()).is_empty());
    }

    #[test]
    fn what_does_not_fit_names_need_and_help() {
        let checks = resources(1_000_000, &MACHINE);
        assert!(checks.iter().all(|check| check.mark == Mark::Bad), "{checks:?}");
        assert_eq!(
            checks[0].to_string(),
            "✗ open files: 20000 available, 20000100 needed for 1000000 viewers\n    \
             help: ulimit -n 20000100; or --clients 995, which fits"
        );
    }

    #[test]
    fn the_number_that_is_said_to_fit_does() {
        assert!(
            resources(995, &MACHINE)
                .iter()
                .all(|check| check.name != "open files" || check.mark == Mark::Good)
        );
    }
}
