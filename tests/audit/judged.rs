//! Facts in, findings out: nothing runs here.

use std::collections::BTreeMap;

use tempfile::TempDir;

use hls_swarm_host::audit::audit;
use hls_swarm_host::audit::facts::{Facts, Process, Redis};
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
        redis: vec![Redis { place: "127.0.0.1:6379".into(), maxmemory: Ok(0) }],
        ..bad_server::facts(&folder.path().join("nginx.conf"), &folder.path().join("www"))
    };
    (folder, facts)
}

fn found(audit: &Audit) -> Vec<(Severity, &str)> {
    audit.findings.iter().map(|finding| (finding.severity, finding.check.as_str())).collect()
}

#[test]
fn the_server_of_the_field_gets_exactly_the_expected_findings() {
    let (_folder, facts) = bad();
    let audit = audit(&facts, 600).unwrap();
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
    assert!(evidence("upstream-keepalive").contains("sites-enabled/default:11"));
    assert!(
        evidence("tcp-buffers")
            .contains("net.ipv4.tcp_wmem = 4096 16384 4194304, recommended 4096 1000000 16000000")
    );
    // Every finding says what to do, and all but those of the encoder say it as a command or a patch.
    for finding in &audit.findings {
        assert!(!finding.effect.is_empty() && !finding.fix.is_empty() && !finding.evidence.is_empty());
        let done_by_hand = ["segment-length", "list-size"].contains(&finding.check.as_str());
        assert_eq!(finding.commands.is_empty() && finding.patch.is_none(), done_by_hand, "{finding:?}");
    }
}

#[test]
fn the_capacity_shows_its_arithmetic() {
    let (_folder, facts) = bad();
    let Capacity { before, after } = audit(&facts, 600).unwrap().capacity;
    let wall = |walls: &[hls_swarm_host::audit::findings::CapacityLimit], name: &str| {
        walls.iter().find(|wall| wall.name == name).map(|wall| (wall.viewers.unwrap(), wall.formula.clone()))
    };
    assert_eq!(
        wall(&before, "open files"),
        Some((496, "workers 2 x (limit 1024 - others 32 - cached 0) / 4 per viewer".into()))
    );
    assert_eq!(wall(&before, "connections").unwrap().0, 682);
    // 28232 ports / (60 s x 0.5 requests a second)
    assert_eq!(wall(&before, "ports to the upstream").unwrap().0, 941);
    // 2000 bytes each 4 s
    assert_eq!(wall(&before, "network").unwrap().0, 250_000);
    assert_eq!(Capacity::lowest(&before).unwrap().1, 496);
    assert_eq!(wall(&after, "open files").unwrap().0, 2 * (100_000 - 32 - 1000) / 3);
    assert_eq!(wall(&after, "ports to the upstream"), None);
    assert_eq!(Capacity::lowest(&after).unwrap().1, 2 * 10_000 / 3);
}

#[test]
fn what_cannot_be_known_is_said_and_not_guessed() {
    let (_folder, facts) = bad();
    let bare = Facts {
        processes: Vec::new(),
        kernel: BTreeMap::new(),
        disks: None,
        link_mbit: None,
        folders: Vec::new(),
        redis: vec![Redis { place: "r:1".into(), maxmemory: Err("it answers: NOAUTH".into()) }],
        ..facts
    };
    let audit = audit(&bare, 600).unwrap();
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
