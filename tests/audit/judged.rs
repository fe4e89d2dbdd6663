//! From facts to findings, without a running server.

use std::collections::BTreeMap;

use tempfile::TempDir;

use hls_swarm_host::audit::audit;
use hls_swarm_host::audit::facts::{Build, Facts, Process, Redis, RedisSettings, Service};
use hls_swarm_host::audit::findings::{Audit, Capacity, Finding, Severity};
use hls_swarm_host::audit::nginx_conf::{Files, assemble};
use hls_swarm_host::tuning::comparison::KeyState;

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
    // The file system of the tests' temporary files.
    facts.folders[0].in_memory = false;
    (folder, facts)
}

fn found(audit: &Audit) -> Vec<(Severity, &str)> {
    audit.findings.iter().map(|finding| (finding.severity, finding.check.as_str())).collect()
}

#[test]
fn a_real_server_gets_exactly_its_findings() {
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
    assert_eq!(
        audit.verdict,
        "NOT READY for 800 viewers: open files are exhausted at about 661 (calculated)"
    );
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

/// Audits a configuration in one file for 2000 viewers, with the facts that `change` adds.
fn audited(configuration: &str, change: impl FnOnce(&mut Facts)) -> Audit {
    let texts = [("/etc/nginx/nginx.conf".to_owned(), configuration.to_owned())].into();
    let files = Files { main: "/etc/nginx/nginx.conf".into(), texts, ..Files::default() };
    let mut facts = Facts {
        subject: "a server".into(),
        configuration: assemble(files).unwrap(),
        prefix: "/etc/nginx".into(),
        processors: Some(2),
        ..Facts::default()
    };
    change(&mut facts);
    audit(&facts, 2000).unwrap()
}

fn finding<'a>(audit: &'a Audit, check: &str) -> Option<&'a Finding> {
    audit.findings.iter().find(|finding| finding.check == check)
}

const PROXY: &str = "events { worker_connections 9000; }
http {
    upstream app { server 127.0.0.1:5000; }
    server {
        listen 80;
        proxy_set_header Host $host;
        location /live/ { proxy_pass http://app; }
        location /start { proxy_pass http://127.0.0.1:5000/channel/start; }
    }
}
";

#[test]
fn advice_on_keepalive_repeats_inherited_headers() {
    let audit = audited(PROXY, |_| ());
    let found = finding(&audit, "upstream-keepalive").unwrap();
    assert_eq!((found.severity, &found.patch), (Severity::Moderate, &None));
    let example = found.example.as_deref().unwrap();
    assert!(
        example.contains("proxy_set_header Host $host;") && example.contains("Connection \"\";"),
        "{example}"
    );
    // nginx keeps connections by itself since 1.29.7.
    for (version, expected) in [((1, 29, 6), true), ((1, 29, 7), false), ((1, 30, 0), false)] {
        let build = Build { version, options: "--with-http_stub_status_module".into() };
        let audit = audited(PROXY, |facts| facts.build = Some(build));
        assert_eq!(finding(&audit, "upstream-keepalive").is_some(), expected, "{version:?}");
    }
}

#[test]
fn a_development_server_and_low_limits_behind_the_proxy_are_found() {
    let service = |command: &str, open_files| Service {
        pid: 77,
        ports: vec![5000],
        command: command.into(),
        open_files: Some(open_files),
        open_now: Some(20),
    };
    let audit = audited(PROXY, |facts| facts.services = vec![service("python3 /srv/app.py", 1024)]);
    let found = finding(&audit, "upstream-server").unwrap();
    assert!(
        found.evidence[0].contains("process 77") && found.example.as_deref().unwrap().contains("gunicorn")
    );
    assert!(
        finding(&audit, "upstream-limits").unwrap().evidence[0].contains("soft limit of open files 1024")
    );
    let audit =
        audited(PROXY, |facts| facts.services = vec![service("/srv/venv/bin/gunicorn app:app", 65_536)]);
    assert!(finding(&audit, "upstream-server").is_none() && finding(&audit, "upstream-limits").is_none());
}

#[test]
fn an_encoder_that_runs_out_of_files_is_found() {
    for (open_now, expected) in [(1000, true), (40, false)] {
        let encoder = Service {
            pid: 9,
            command: "ffmpeg -i x live.m3u8".into(),
            open_files: Some(1024),
            open_now: Some(open_now),
            ..Service::default()
        };
        let audit = audited(PROXY, |facts| facts.encoders = vec![encoder]);
        assert_eq!(finding(&audit, "encoder-limits").is_some(), expected, "{open_now}");
    }
}

#[test]
fn each_setting_of_redis_has_its_finding() {
    let settings = |maxmemory, policy: &str, save: &str, appendonly: &str| RedisSettings {
        maxmemory,
        policy: Some(policy.into()),
        save: Some(save.into()),
        appendonly: Some(appendonly.into()),
        backlog: Some(511),
        timeout: Some(0),
    };
    for (settings, expected) in [
        (settings(0, "noeviction", "", "no"), &["redis-memory"][..]),
        (settings(1 << 28, "noeviction", "", "no"), &["redis-policy"]),
        (settings(1 << 28, "allkeys-lru", "3600 1", "no"), &["redis-snapshots"]),
        (settings(1 << 28, "allkeys-lru", "", "yes"), &["redis-snapshots"]),
        (settings(1 << 28, "volatile-ttl", "", "no"), &[]),
    ] {
        let redis = Redis { place: "127.0.0.1:6379".into(), settings: Ok(settings) };
        let audit = audited(PROXY, |facts| facts.redis = vec![redis.clone()]);
        let found: Vec<&str> = audit
            .findings
            .iter()
            .map(|finding| finding.check.as_str())
            .filter(|check| check.starts_with("redis"))
            .collect();
        assert_eq!(found, expected, "{redis:?}");
    }
}

#[test]
fn the_firewall_and_larger_kernel_buffers_are_judged_correctly() {
    let value = |text: &str| KeyState::Value(text.to_owned(), true);
    let audit = audited(PROXY, |facts| {
        facts.kernel = bad_server::kernel();
        facts.kernel.insert("net.netfilter.nf_conntrack_max".into(), value("65536"));
        facts.kernel.insert("net.ipv4.tcp_rmem".into(), value("4096 131072 67108864"));
        facts.kernel.insert("net.ipv4.tcp_congestion_control".into(), value("bbr"));
    });
    assert!(finding(&audit, "connection-tracking").unwrap().evidence[0].contains("recommended 262144"));
    assert!(finding(&audit, "congestion-control").is_none());
    // The larger maximum is neither wrong nor reduced by a command.
    let buffers = finding(&audit, "tcp-buffers").unwrap();
    assert!(buffers.evidence.iter().all(|line| !line.contains("tcp_rmem")), "{buffers:?}");
    let audit = audited(PROXY, |facts| facts.kernel = bad_server::kernel());
    assert!(finding(&audit, "connection-tracking").is_none(), "its module is not loaded");
}

#[test]
fn limits_by_address_consider_a_cdn() {
    let direct = audited(PROXY, |_| ());
    let behind = PROXY.replace("upstream app", "set_real_ip_from 192.0.2.0/24; upstream app");
    let behind = audited(&behind, |_| ());
    for (audit, word) in [
        (direct, "behind a CDN or proxy $binary_remote_addr is the address of its edge"),
        (behind, "192.0.2.0/24"),
    ] {
        let found = finding(&audit, "rate-limits").unwrap();
        assert!(found.patch.is_none());
        assert!(format!("{}{}", found.fix, found.evidence.join("")).contains(word), "{found:?}");
    }
}

#[test]
fn the_limit_of_open_files_is_raised_beyond_the_one_that_the_directive_gave_to_running_workers() {
    let process = |worker, hard| Process { pid: 9, worker, open_files: Some((hard, hard)), open_now: None };
    let text = format!("worker_rlimit_nofile 4321;\n{PROXY}");
    let audit = audited(&text, |facts| facts.processes = vec![process(false, 524_288), process(true, 4321)]);
    let patch = finding(&audit, "open-files").unwrap().patch.clone().unwrap();
    assert!(patch.contains("\n+worker_rlimit_nofile 100000;\n"), "{patch}");
    // It is never lowered, even if the master process itself has less.
    let text = text.replace("4321", "9000");
    let audit = audited(&text, |facts| facts.processes = vec![process(false, 1024), process(true, 1024)]);
    let found = finding(&audit, "open-files").unwrap();
    assert!(found.patch.is_none() && found.fix.contains("worker_rlimit_nofile 9000"), "{found:?}");
}

#[test]
fn commands_for_a_container_leave_this_machines_files_and_settings_alone() {
    let (_folder, mut facts) = bad();
    facts.mount_namespace = Some(77);
    facts.network_namespace = Some(77);
    facts.container = true;
    facts.folders[0].root = "/proc/77/root".into();
    let audit = audit(&facts, 800).unwrap();
    let script = audit.script.clone().unwrap();
    assert_eq!(script.matches(" -d /proc/77/root ").count(), 3, "{script}");
    assert!(script.contains("if ! nsenter -t 77 -a \"${NGINX:-nginx}\" -t"), "{script}");
    let stale = finding(&audit, "stale-segments").unwrap();
    assert!(stale.files.iter().all(|file| file.starts_with("/proc/77/root/")), "{stale:?}");
    assert!(stale.commands[0].contains("--folder '/proc/77/root/") && stale.example.is_none(), "{stale:?}");
    for finding in &audit.findings {
        for command in &finding.commands {
            assert!(!command.contains("fstab") && !command.contains("systemctl"), "{command}");
            let inside =
                !command.contains("sysctl -w net.") || command.starts_with("nsenter -t 77 -n sysctl");
            assert!(inside, "{command}");
        }
    }
}

#[test]
fn an_nginx_that_shows_no_media_gets_a_note_and_only_hints() {
    let shop = "worker_processes auto; worker_rlimit_nofile 30000; events { worker_connections 12000; }
http { server { listen 80; server_name shop.example; root /srv/shop; location / { try_files $uri /index.php; } } }
";
    let judged = audited(shop, |_| ());
    assert!(judged.notes.iter().any(|note| note.contains("judged as if they were")), "{:?}", judged.notes);
    assert_eq!(judged.worst(), Some(Severity::Low), "{:?}", found(&judged));
    let live = audited(&shop.replace("location /", "location /live/"), |_| ());
    assert!(live.notes.is_empty() && live.worst() == Some(Severity::Moderate), "{:?}", found(&live));
}
