//! From facts to findings, without a running server.

use std::collections::BTreeMap;

use tempfile::TempDir;

use hls_swarm_host::audit::audit;
use hls_swarm_host::audit::facts::{Facts, Process, Redis, RedisSettings};
use hls_swarm_host::audit::findings::{Audit, Capacity, Severity};

use crate::audit::bad_server;

fn bad() -> (TempDir, Facts) {
    let folder = TempDir::new().unwrap();
    bad_server::write(folder.path(), 8080, 9000);
    let worker = |pid| Process { pid, worker: true, open_files: Some((1024, 524_288)), open_now: Some(40) };
    let facts = Facts {
        processes: vec![Process { worker: false, ..worker(10) }, worker(11), worker(12)],
        kernel: bad_server::kernel(),
        disks: Some(vec![bad_server::disk()]),
        link_mbit: Some(1000),
        redis: vec![Redis { place: "127.0.0.1:6379".into(), settings: Ok(RedisSettings::default()) }],
        ..bad_server::facts(&folder.path().join("nginx.conf"), &folder.path().join("www"))
    };
    let mut facts = facts;
    // Whatever holds the temporary files of tests.
    facts.folders[0].in_memory = false;
    (folder, facts)
}

fn found(audit: &Audit) -> Vec<(Severity, &str)> {
    audit.findings.iter().map(|finding| (finding.severity, finding.check.as_str())).collect()
}

#[test]
fn the_audited_server_of_the_field_gets_exactly_its_findings() {
    let (_folder, facts) = bad();
    let audit = audit(&facts, 800).unwrap();
    assert_eq!(
        found(&audit),
        [
            (Severity::Critical, "open-files"),
            (Severity::Critical, "stale-segments"),
            (Severity::Moderate, "redis-memory"),
            (Severity::Moderate, "upstream-keepalive"),
            (Severity::Moderate, "open-file-cache"),
            (Severity::Moderate, "segment-length"),
            (Severity::Moderate, "rate-limits"),
            (Severity::Moderate, "tcp-buffers"),
            (Severity::Moderate, "port-range"),
            (Severity::Low, "list-size"),
            (Severity::Low, "segments-on-disk"),
            (Severity::Low, "accept-queue"),
            (Severity::Low, "fin-timeout"),
            (Severity::Low, "congestion-control"),
            (Severity::Low, "swappiness"),
            (Severity::Low, "cache-pressure"),
            (Severity::Low, "io-scheduler"),
            (Severity::Low, "read-ahead"),
            (Severity::Low, "monitoring"),
        ]
    );
    assert!(audit.unknown.is_empty(), "{:?}", audit.unknown);
    let finding = |check: &str| audit.findings.iter().find(|finding| finding.check == check).unwrap();
    let evidence = |check: &str| finding(check).evidence.join("\n");
    assert!(
        evidence("open-files")
            .contains("/proc/11/limits: soft limit of open files 1024, hard limit 524288, 40 open now")
    );
    assert!(evidence("stale-segments").contains(&format!(": {} of 769 segments", bad_server::STALE)));
    assert!(evidence("stale-segments").contains("764000 bytes, the oldest is 180 min old"));
    assert!(evidence("segment-length").contains("EXT-X-TARGETDURATION 4"));
    assert!(evidence("upstream-keepalive").contains("sites-enabled/default:13"));
    assert!(
        evidence("tcp-buffers")
            .contains("net.ipv4.tcp_wmem = 4096 16384 4194304, recommended 4096 16384 16000000")
    );
    // Every finding has a fix, and all but those of the encoder have commands, a patch, or an example.
    for finding in &audit.findings {
        assert!(!finding.effect.is_empty() && !finding.fix.is_empty() && !finding.evidence.is_empty());
        let of_the_encoder = ["segment-length", "list-size"].contains(&finding.check.as_str());
        let applicable = !finding.commands.is_empty() || finding.patch.is_some() || finding.example.is_some();
        assert_ne!(applicable, of_the_encoder, "{finding:?}");
    }
    assert_eq!(audit.verdict, "NOT READY for 800 viewers: open files are exhausted at about 661 (calculated)");
    let phases: Vec<usize> = audit.order().map(|(_, findings)| findings.len()).collect();
    assert_eq!(phases.iter().sum::<usize>(), audit.findings.len());
    assert_eq!(phases.len(), 4, "{phases:?}");
}

#[test]
fn the_capacity_shows_its_formulas() {
    let (_folder, facts) = bad();
    let Capacity { before, after } = audit(&facts, 800).unwrap().capacity;
    let limit_of = |limits: &[hls_swarm_host::audit::findings::CapacityLimit], name: &str| {
        let found = limits.iter().find(|limit| limit.name == name);
        found.map(|limit| (limit.viewers.unwrap(), limit.formula.clone()))
    };
    assert_eq!(
        limit_of(&before, "open files"),
        // Viewers fetch no media through the upstream.
        Some((661, "workers 2 x (limit 1024 - others 32 - cached 0) / 3 per viewer".into()))
    );
    assert_eq!(limit_of(&before, "connections").unwrap().0, 1024);
    assert_eq!(limit_of(&before, "ports to the upstream"), None);
    // 2000 bytes each 4 s
    assert_eq!(limit_of(&before, "network").unwrap().0, 250_000);
    assert_eq!(Capacity::lowest(&before).unwrap().1, 661);
    assert_eq!(limit_of(&after, "open files").unwrap().0, 2 * (100_000 - 32 - 1000) / 2);
    assert_eq!(Capacity::lowest(&after).unwrap().1, 10_000);
}

#[test]
fn facts_that_are_unknown_are_reported_as_unknown() {
    let (_folder, facts) = bad();
    let bare = Facts {
        processes: Vec::new(),
        kernel: BTreeMap::new(),
        disks: None,
        link_mbit: None,
        folders: Vec::new(),
        redis: vec![Redis { place: "r:1".into(), settings: Err("Redis answers: NOAUTH".into()) }],
        ..facts
    };
    let audit = audit(&bare, 800).unwrap();
    let unknown: Vec<&str> = audit.unknown.iter().map(|unknown| unknown.check.as_str()).collect();
    for check in
        ["stale-segments", "segment-length", "list-size", "tcp-buffers", "io-scheduler", "redis-memory"]
    {
        assert!(unknown.contains(&check), "{check}: {unknown:?}");
        assert!(audit.findings.iter().all(|finding| finding.check != check), "{check}");
    }
    let walls: Vec<&str> = audit.capacity.before.iter().map(|wall| wall.name.as_str()).collect();
    assert_eq!(walls, ["open files", "connections"]);
}
