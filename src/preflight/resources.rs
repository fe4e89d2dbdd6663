//! Compares what a number of viewers needs with what the machine has.

use hls_swarm_base::error::Failure;
use hls_swarm_base::sizing::{OWN_FILES, OWN_MEMORY, OWN_PROCESSES, Requirements, ViewerSize, Viewers};
use hls_swarm_os::machine::Headroom;

use super::checklist::Finding;

/// Fails if `open_files` are too few even for this program itself.
///
/// # Errors
/// A preflight failure that names the limit, and what `viewers` viewers need.
pub fn own_files(viewers: u32, need: u64, open_files: Option<u64>, service: bool) -> Result<(), Failure> {
    match open_files {
        Some(have) if have < OWN_FILES => {
            let what = format!("open files: {have} available, {need} needed for {viewers} viewers");
            Err(Failure::preflight(what).help(Limit::OpenFiles.raised_to(need, service)))
        }
        _ => Ok(()),
    }
}

/// A limit of this process that a user can raise.
#[derive(Clone, Copy)]
enum Limit {
    OpenFiles,
    Processes,
}

impl Limit {
    /// How to raise it: in a shell, or in the unit of a service.
    fn raised_to(self, value: u64, service: bool) -> String {
        match (self, service) {
            (Self::OpenFiles, false) => format!("ulimit -n {value}"),
            (Self::Processes, false) => format!("ulimit -u {value}"),
            (Self::OpenFiles, true) => format!("set LimitNOFILE={value} in the unit"),
            (Self::Processes, true) => format!("set LimitNPROC={value} and TasksMax=infinity in the unit"),
        }
    }
}

/// Compares what `viewers` need with what `machine` has.
#[must_use]
pub fn resources(viewers: &Viewers, machine: &Headroom) -> Vec<Finding> {
    let Requirements { open_files: files, processes, memory_bytes: memory, local_ports: ports, .. } =
        Requirements::with(viewers);
    let mut all = format!("{} viewers", viewers.count);
    if viewers.canaries > 0 {
        all += &format!(", of which {} are FFmpeg (--canaries)", viewers.canaries);
    }
    let mut findings = Vec::new();
    let mut check = |name, have: Option<u64>, need: u64, unit: fn(u64) -> String, help: String| {
        let Some(have) = have else { return };
        let text = format!("{} available, {} needed for {all}", unit(have), unit(need));
        findings.push(if have >= need { Finding::good(name, text) } else { Finding::bad(name, text, help) });
    };
    let fits = |have: Option<u64>, own: u64, each: fn(&ViewerSize) -> u64| {
        let fits = viewers.fitting(have.unwrap_or(0), own, each).filter(|fits| *fits > 0);
        fits.map_or_else(String::new, |fits| format!("; or --clients {fits}, which fits"))
    };
    let help = Limit::OpenFiles.raised_to(files, machine.service)
        + &fits(machine.open_files, OWN_FILES, |size| size.open_files);
    check("open files", machine.open_files, files, |files| files.to_string(), help.clone());
    check(
        "processes",
        machine.processes,
        processes,
        |processes| processes.to_string(),
        Limit::Processes.raised_to(processes, machine.service)
            + &fits(machine.processes, OWN_PROCESSES, |size| size.processes),
    );
    check(
        "memory",
        machine.memory,
        memory,
        mebibytes,
        format!(
            "free memory or use a larger machine{}",
            fits(machine.memory, OWN_MEMORY, |size| size.memory_bytes)
        ),
    );
    check(
        "local ports",
        machine.ports,
        ports,
        |ports| ports.to_string(),
        format!(
            "sysctl -w net.ipv4.ip_local_port_range='1026 65535' net.ipv4.tcp_tw_reuse=1{}",
            fits(machine.ports, 0, |size| size.local_ports)
        ),
    );
    check(
        "connection tracking",
        machine.conntrack,
        ports,
        |entries| entries.to_string(),
        format!("sysctl -w net.netfilter.nf_conntrack_max={}", ports.saturating_mul(2)),
    );
    if let Some(first) = findings.first_mut()
        && machine.open_files.is_some_and(|have| have < files && have >= least_open_files(viewers))
    {
        let text =
            format!("{}, of which they can share some by closing connections that are idle", first.text);
        *first = Finding::warning("open files", text, help);
    }
    findings
}

/// The open files with which viewers can play that close what is idle: a quarter of them may need all of their files at
/// the same time.
fn least_open_files(viewers: &Viewers) -> u64 {
    let quarter = Viewers { count: viewers.count / 4, canaries: 0, ..*viewers };
    let more = quarter.sum(|size| size.open_files.saturating_sub(size.least_open_files));
    viewers.sum(|size| size.least_open_files) + more + OWN_FILES
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::checklist::Mark;

    const SIZE: ViewerSize = ViewerSize::FFMPEG;

    const fn of(count: u32, size: ViewerSize) -> Viewers {
        Viewers { count, size, canaries: 0 }
    }

    const MACHINE: Headroom = Headroom {
        open_files: Some(20_000),
        processes: Some(10_000),
        memory: Some(4 << 30),
        ports: Some(28_000),
        conntrack: None,
        service: false,
    };

    #[test]
    fn enough_resources_pass_and_unknown_ones_are_left_out() {
        let findings = resources(&of(100, SIZE), &MACHINE);
        assert_eq!(findings.len(), 4);
        assert!(findings.iter().all(|finding| finding.mark == Mark::Good), "{findings:?}");
        assert!(resources(&of(100, SIZE), &Headroom::default()).is_empty());
    }

    #[test]
    fn a_lack_is_reported_with_the_need_and_help() {
        let findings = resources(&of(1_000_000, SIZE), &MACHINE);
        assert!(findings.iter().all(|finding| finding.mark == Mark::Bad), "{findings:?}");
        assert_eq!(
            findings[0].to_string(),
            "✗ open files: 20000 available, 20000100 needed for 1000000 viewers\n    \
             help: ulimit -n 20000100; or --clients 995, which fits"
        );
    }

    #[test]
    fn viewers_that_can_share_open_files_may_have_fewer() {
        let size = ViewerSize { open_files: 2, least_open_files: 1, processes: 0, ..SIZE };
        for (viewers, mark) in
            [(9_950, Mark::Good), (9_951, Mark::Warning), (15_920, Mark::Warning), (15_921, Mark::Bad)]
        {
            let findings = resources(&of(viewers, size), &MACHINE);
            assert_eq!(
                (findings[0].name, findings[0].mark),
                ("open files", mark),
                "{viewers}: {}",
                findings[0]
            );
        }
    }

    #[test]
    fn the_help_in_a_service_names_the_unit() {
        let findings = resources(&of(1_000_000, SIZE), &Headroom { service: true, ..MACHINE });
        assert!(
            findings[0].to_string().contains("set LimitNOFILE=20000100 in the unit; or"),
            "{}",
            findings[0]
        );
        let failure = own_files(5, 200, Some(3), true).unwrap_err();
        assert_eq!(failure.help_text(), Some("set LimitNOFILE=200 in the unit"));
    }

    #[test]
    fn the_number_of_viewers_in_the_help_fits() {
        assert!(
            resources(&of(995, SIZE), &MACHINE)
                .iter()
                .all(|finding| finding.name != "open files" || finding.mark == Mark::Good)
        );
    }

    #[test]
    fn canaries_need_processes_memory_and_open_files_of_their_own() {
        let size = crate::engine::native::viewer_size(hls_swarm_client::Http::Http1);
        let canaries = 300;
        let viewers = Viewers { count: 1000, size, canaries };
        let few = Headroom { processes: Some(200), memory: Some(4 << 30), ..MACHINE };
        let findings = resources(&viewers, &few);
        let of = |name: &str| findings.iter().find(|finding| finding.name == name).unwrap().clone();
        let processes = of("processes");
        assert_eq!(processes.mark, Mark::Bad);
        let needed = u64::from(canaries) * SIZE.processes + OWN_PROCESSES;
        assert!(
            processes.text.contains(&format!("{needed} needed for 1000 viewers, of which 300")),
            "{processes}"
        );
        assert_eq!(of("memory").mark, Mark::Bad, "300 FFmpeg viewers need more than 4 GiB: {}", of("memory"));
        assert!(
            resources(&Viewers { canaries: 0, ..viewers }, &few).iter().all(|one| one.mark == Mark::Good)
        );
    }
}
