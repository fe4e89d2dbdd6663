//! The host's metrics under the names of node_exporter: CPUs, memory, network, files, load.
//!
//! `tests/corpus/exporters/node.txt` lists what node_exporter publishes; a test checks that ours are a subset.

use super::Type::{self, Counter, Gauge, Untyped};
use super::kernel::{Filesystem, Kernel, memory, named_pairs, number, paired, row};
use super::{Family, Sample};

/// Modes of CPU time in the order of /proc/stat.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// Columns of /proc/net/dev.
const COLUMNS: [(&str, &str); 16] = [
    ("receive", "bytes"),
    ("receive", "packets"),
    ("receive", "errs"),
    ("receive", "drop"),
    ("receive", "fifo"),
    ("receive", "frame"),
    ("receive", "compressed"),
    ("receive", "multicast"),
    ("transmit", "bytes"),
    ("transmit", "packets"),
    ("transmit", "errs"),
    ("transmit", "drop"),
    ("transmit", "fifo"),
    ("transmit", "colls"),
    ("transmit", "carrier"),
    ("transmit", "compressed"),
];
/// The values that dashboards use from /proc/net/snmp and /proc/net/netstat, which have hundreds.
const NETSTAT: [(&str, &[&str]); 5] = [
    ("Ip", &["Forwarding"]),
    ("IpExt", &["InOctets", "OutOctets"]),
    (
        "Tcp",
        &[
            "ActiveOpens",
            "PassiveOpens",
            "CurrEstab",
            "InSegs",
            "OutSegs",
            "InErrs",
            "OutRsts",
            "RetransSegs",
        ],
    ),
    (
        "TcpExt",
        &[
            "ListenDrops",
            "ListenOverflows",
            "SyncookiesFailed",
            "SyncookiesRecv",
            "SyncookiesSent",
            "TCPSynRetrans",
            "TCPTimeouts",
        ],
    ),
    ("Udp", &["InDatagrams", "InErrors", "NoPorts", "OutDatagrams", "RcvbufErrors", "SndbufErrors"]),
];
/// The values that they use from /proc/vmstat.
const VMSTAT: [&str; 7] = ["oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout"];

/// All metric families.
#[must_use]
pub(crate) fn families(kernel: &Kernel) -> Vec<Family> {
    let mut families = processors(kernel);
    families.extend(activity(kernel));
    families.extend(memory(&kernel.meminfo).into_iter().map(|(name, value)| {
        Family::one(format!("node_memory_{name}"), Gauge, format!("Memory: {name} of /proc/meminfo."), value)
    }));
    families.extend(network(kernel));
    families.extend(sockets(kernel));
    families.extend(files(kernel));
    families.extend(filesystems(&kernel.filesystems));
    families.extend(identity(kernel));
    families
}

fn one(name: &str, kind: Type, help: &str, value: Option<f64>) -> Option<Family> {
    Some(Family::one(format!("node_{name}"), kind, help, value?))
}

fn processors(kernel: &Kernel) -> Vec<Family> {
    let ticks = kernel.ticks_per_second.max(1) as f64;
    let (mut spent, mut guests) = (Vec::new(), Vec::new());
    for line in kernel.stat.lines() {
        let mut words = line.split_whitespace();
        let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
        // The first line is the total of all CPUs.
        if cpu.is_empty() {
            continue;
        }
        let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        let sample = |mode: &str, value: &f64| -> Sample {
            (vec![("cpu", cpu.to_owned()), ("mode", mode.to_owned())], value / ticks)
        };
        spent.extend(MODES.iter().zip(&numbers).map(|(mode, value)| sample(mode, value)));
        let guest = numbers.get(MODES.len()..).unwrap_or_default();
        guests.extend(["user", "nice"].iter().zip(guest).map(|(mode, value)| sample(mode, value)));
    }
    vec![
        Family::many("node_cpu_seconds_total", Counter, "Seconds the CPUs spent in each mode.", spent),
        Family::many(
            "node_cpu_guest_seconds_total",
            Counter,
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            guests,
        ),
    ]
}

fn activity(kernel: &Kernel) -> Vec<Family> {
    let stat = |name: &str| row(&kernel.stat, name)?.first().copied();
    let load: Vec<f64> =
        kernel.loadavg.split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
    let load = |index: usize| load.get(index).copied();
    [
        one("load1", Gauge, "Load average over 1 minute.", load(0)),
        one("load5", Gauge, "Load average over 5 minutes.", load(1)),
        one("load15", Gauge, "Load average over 15 minutes.", load(2)),
        one("boot_time_seconds", Gauge, "Boot time of the host, in seconds since the epoch.", stat("btime")),
        one("context_switches_total", Counter, "Context switches.", stat("ctxt")),
        one("forks_total", Counter, "Forks.", stat("processes")),
        one("intr_total", Counter, "Interrupts served.", stat("intr")),
        one("procs_running", Gauge, "Processes in runnable state.", stat("procs_running")),
        one("procs_blocked", Gauge, "Processes blocked waiting for I/O.", stat("procs_blocked")),
    ]
    .into_iter()
    .flatten()
    .chain(VMSTAT.iter().filter_map(|name| {
        let value = row(&kernel.vmstat, name)?.first().copied();
        one(&format!("vmstat_{name}"), Untyped, &format!("{name} of /proc/vmstat."), value)
    }))
    .collect()
}

fn network(kernel: &Kernel) -> Vec<Family> {
    let devices: Vec<(&str, Vec<f64>)> = kernel
        .net_dev
        .lines()
        .skip(2)
        .filter_map(|line| {
            let (device, numbers) = line.split_once(':')?;
            let numbers: Option<Vec<f64>> =
                numbers.split_whitespace().map(|word| word.parse().ok()).collect();
            Some((device.trim(), numbers?))
        })
        .collect();
    let mut families = Vec::new();
    for (index, (direction, column)) in COLUMNS.iter().enumerate() {
        let sample = |(device, numbers): &(&str, Vec<f64>)| -> Option<Sample> {
            Some((vec![("device", (*device).to_owned())], *numbers.get(index)?))
        };
        families.push(Family::many(
            format!("node_network_{direction}_{column}_total"),
            Counter,
            format!("Network devices: {column}, {direction}."),
            devices.iter().filter_map(sample).collect(),
        ));
    }
    let packets = |index: usize| {
        let sample = |(cpu, line): (usize, &str)| -> Option<Sample> {
            let value = u32::from_str_radix(line.split_whitespace().nth(index)?, 16).ok()?;
            Some((vec![("cpu", cpu.to_string())], f64::from(value)))
        };
        kernel.softnet.lines().enumerate().filter_map(sample).collect()
    };
    let softnet = [
        ("processed", "Packets processed by each CPU."),
        ("dropped", "Packets dropped because the queue of the CPU was full."),
        ("times_squeezed", "Times a CPU ran out of its budget for packets."),
    ];
    families.extend(softnet.iter().enumerate().map(|(index, (name, help))| {
        Family::many(format!("node_softnet_{name}_total"), Counter, *help, packets(index))
    }));
    families
}

fn sockets(kernel: &Kernel) -> Vec<Family> {
    let mut families = Vec::new();
    for (table, name, value) in named_pairs(&kernel.sockstat) {
        let help = format!("Sockets: {table} {name} of /proc/net/sockstat.");
        families.push(Family::one(format!("node_sockstat_{table}_{name}"), Gauge, help, value));
        if name == "mem" && kernel.page_bytes > 0 {
            let help = format!("Sockets: memory of {table} in bytes.");
            let bytes = value * kernel.page_bytes as f64;
            families.push(Family::one(format!("node_sockstat_{table}_mem_bytes"), Gauge, help, bytes));
        }
    }
    for (table, name, value) in paired(&kernel.snmp).into_iter().chain(paired(&kernel.netstat)) {
        if NETSTAT.iter().any(|(kept, names)| *kept == table && names.contains(&name)) {
            let help = format!("Protocols: {name} of {table}.");
            families.push(Family::one(format!("node_netstat_{table}_{name}"), Untyped, help, value));
        }
    }
    families
}

fn files(kernel: &Kernel) -> impl Iterator<Item = Family> {
    let mut numbers = kernel.file_nr.split_whitespace().map(|word| word.parse().ok());
    let (allocated, maximum) = (numbers.next().flatten(), numbers.nth(1).flatten());
    [
        one("filefd_allocated", Gauge, "Open files on the host.", allocated),
        one("filefd_maximum", Gauge, "Maximum of open files on the host.", maximum),
        one(
            "nf_conntrack_entries",
            Gauge,
            "Connections in the connection tracking table.",
            number(&kernel.conntrack_count),
        ),
        one(
            "nf_conntrack_entries_limit",
            Gauge,
            "Size of the connection tracking table.",
            number(&kernel.conntrack_max),
        ),
    ]
    .into_iter()
    .flatten()
}

fn filesystems(mounted: &[Filesystem]) -> Vec<Family> {
    type Read = fn(&Filesystem) -> u64;
    let table: [(&str, &str, Read); 6] = [
        ("size_bytes", "Size in bytes.", |one| one.size_bytes),
        ("free_bytes", "Free bytes.", |one| one.free_bytes),
        ("avail_bytes", "Bytes available to users other than root.", |one| one.available_bytes),
        ("files", "Inodes.", |one| one.files),
        ("files_free", "Free inodes.", |one| one.files_free),
        ("readonly", "1 if mounted read-only.", |one| one.read_only.into()),
    ];
    let labels = |one: &Filesystem| {
        let Filesystem { device, kind, mount_point, .. } = one;
        vec![("device", device.clone()), ("fstype", kind.clone()), ("mountpoint", mount_point.clone())]
    };
    table
        .iter()
        .map(|(name, help, read)| {
            let samples = mounted.iter().map(|one| (labels(one), read(one) as f64)).collect();
            Family::many(format!("node_filesystem_{name}"), Gauge, format!("File systems: {help}"), samples)
        })
        .collect()
}

fn identity(kernel: &Kernel) -> Vec<Family> {
    let mut families = vec![Family::one(
        "node_time_seconds",
        Gauge,
        "Time of the host, in seconds since the epoch.",
        kernel.now,
    )];
    if let Some(uname) = &kernel.uname {
        let names = ["sysname", "release", "version", "machine", "nodename", "domainname"];
        let labels = names.into_iter().zip(uname.iter().cloned()).collect();
        let samples = vec![(labels, 1.0)];
        families.push(Family::many("node_uname_info", Gauge, "Information from uname.", samples));
    }
    families
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Name, type and labels as node_exporter publishes them.
    fn real() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
        let read = |line: &'static str| {
            let mut words = line.split(' ');
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            (name, (kind, words.next().map(|labels| labels.split(',').collect()).unwrap_or_default()))
        };
        include_str!("../../tests/corpus/exporters/node.txt").lines().map(read).collect()
    }

    fn kernel() -> Kernel {
        let pairs = |table: &str| {
            let names = NETSTAT.iter().find(|(name, _)| *name == table).unwrap().1;
            let values = vec!["3"; names.len()].join(" ");
            format!("{table}: Other {}\n{table}: 0 {values}\n", names.join(" "))
        };
        Kernel {
            stat: "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 400 500 600 700 800 900 1000\nintr 7 1 2\nctxt 5\n\
                   btime 1700000000\nprocesses 11\nprocs_running 2\nprocs_blocked 1\nsoftirq 5 1\n"
                .into(),
            meminfo: include_str!("../../tests/corpus/exporters/meminfo.txt").into(),
            loadavg: "0.25 0.50 0.75 1/200 4711\n".into(),
            vmstat: VMSTAT.map(|name| format!("{name} 4\n")).concat(),
            net_dev: "Inter-| Receive\n face |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n".into(),
            snmp: ["Ip", "Tcp", "Udp"].map(pairs).concat(),
            netstat: ["TcpExt", "IpExt"].map(pairs).concat(),
            sockstat: "sockets: used 37\nTCP: inuse 1 orphan 0 tw 8 alloc 1 mem 11\nUDP: inuse 0 mem 0\n\
                       RAW: inuse 0\nTCP6: inuse 0\n"
                .into(),
            softnet: "0000000a 00000001 00000002 0 0\n0000000b 00000000 00000000 0 0\n".into(),
            file_nr: "734\t0\t2466170\n".into(),
            conntrack_count: "5\n".into(),
            conntrack_max: "262144\n".into(),
            ticks_per_second: 100,
            page_bytes: 4096,
            now: 1.5,
            uname: Some(["Linux", "6.1", "#1", "x86_64", "here", "(none)"].map(str::to_owned)),
            filesystems: vec![Filesystem {
                device: "tmpfs".into(),
                kind: "tmpfs".into(),
                mount_point: "/dev/shm".into(),
                read_only: false,
                size_bytes: 10,
                free_bytes: 8,
                available_bytes: 7,
                files: 6,
                files_free: 5,
            }],
        }
    }

    fn value(families: &[Family], name: &str, label: &str) -> f64 {
        let family = families.iter().find(|family| family.name == name).unwrap();
        let labelled =
            |sample: &&Sample| label.is_empty() || sample.0.iter().any(|(_, value)| value == label);
        family.samples.iter().find(labelled).unwrap().1
    }

    #[test]
    fn names_types_and_labels_equal_those_of_node_exporter() {
        let real = real();
        let ours = families(&kernel());
        for family in &ours {
            let (kind, labels) = real.get(family.name.as_str()).unwrap_or_else(|| panic!("{}", family.name));
            assert_eq!(format!("{:?}", family.kind).to_lowercase(), *kind, "{}", family.name);
            assert!(!family.samples.is_empty(), "{} is empty", family.name);
            for (own, _) in &family.samples {
                assert_eq!(
                    own.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(),
                    *labels,
                    "{}",
                    family.name
                );
            }
        }
        // All memory metrics are there, and each name is used once.
        let memory = |name: &&str| name.starts_with("node_memory_");
        let published: BTreeSet<&str> = ours.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(published.len(), ours.len());
        assert_eq!(
            real.keys().copied().filter(memory).collect::<BTreeSet<_>>(),
            published.iter().copied().filter(memory).collect()
        );
    }

    #[test]
    fn values_are_converted_to_base_units() {
        let families = families(&kernel());
        for (name, label, expected) in [
            ("node_cpu_seconds_total", "iowait", 5.0),
            ("node_cpu_guest_seconds_total", "nice", 10.0),
            ("node_load15", "", 0.75),
            ("node_boot_time_seconds", "", 1.7e9),
            ("node_intr_total", "", 7.0),
            ("node_network_receive_drop_total", "eth0", 4.0),
            ("node_network_transmit_bytes_total", "eth0", 9.0),
            ("node_sockstat_TCP_mem_bytes", "", 45_056.0),
            ("node_netstat_Tcp_RetransSegs", "", 3.0),
            ("node_softnet_processed_total", "1", 11.0),
            ("node_filefd_allocated", "", 734.0),
            ("node_filefd_maximum", "", 2_466_170.0),
            ("node_filesystem_avail_bytes", "/dev/shm", 7.0),
            ("node_vmstat_pgfault", "", 4.0),
        ] {
            assert_eq!(value(&families, name, label), expected, "{name}");
        }
    }

    #[test]
    fn values_that_the_kernel_does_not_provide_are_absent() {
        let families = families(&Kernel::default());
        let text = crate::exporter::exposition(&families);
        assert_eq!(text.lines().count(), 3, "only the time is left: {text}");
    }
}
