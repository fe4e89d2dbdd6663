//! Our names, types and labels against those that the real node_exporter publishes.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Name, type and labels as the real exporter has them.
fn real() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let read = |line: &'static str| {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        (name, (kind, words.next().map(|labels| labels.split(',').collect()).unwrap_or_default()))
    };
    include_str!("../../../tests/corpus/exporters/node.txt").lines().map(read).collect()
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
        meminfo: include_str!("../../../tests/corpus/exporters/meminfo.txt").into(),
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
    let labelled = |sample: &&Sample| label.is_empty() || sample.0.iter().any(|(_, value)| value == label);
    family.samples.iter().find(labelled).unwrap().1
}

#[test]
fn names_types_and_labels_are_those_of_the_real_exporter() {
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
    // All of memory, and each name once.
    let memory = |name: &&str| name.starts_with("node_memory_");
    let published: BTreeSet<&str> = ours.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(published.len(), ours.len());
    assert_eq!(
        real.keys().copied().filter(memory).collect::<BTreeSet<_>>(),
        published.iter().copied().filter(memory).collect()
    );
}

#[test]
fn values_are_the_kernels_in_base_units() {
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
fn what_the_kernel_hides_is_absent() {
    let families = families(&Kernel::default());
    let text = crate::exporter::exposition(&families);
    assert_eq!(text.lines().count(), 3, "only the clock is left: {text}");
}
