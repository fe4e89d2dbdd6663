//! The metrics of a running origin, and the list of segment sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;

use hls_swarm_test_support::http::{Connection, ask};
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::processes::send;
use hls_swarm_test_support::waiting::eventually;

/// Type and samples of each family of an exposition.
type Families = BTreeMap<String, (String, BTreeMap<String, f64>)>;

fn port(origin: &Origin, name: &str) -> u16 {
    let address = origin.facts[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", origin.facts));
    address.split(':').nth(2).unwrap().trim_end_matches("/metrics").parse().unwrap()
}

fn metrics(port: u16) -> Families {
    let answer = ask(port, "GET", "/metrics").unwrap();
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut families = Families::new();
    let text = String::from_utf8(answer.body).unwrap();
    for line in text.lines().filter(|line| !line.starts_with("# HELP ")) {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(families.insert(name.into(), (kind.into(), BTreeMap::new())).is_none(), "{name} twice");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let samples = &mut families.get_mut(name).unwrap_or_else(|| panic!("no TYPE before {line}")).1;
        assert!(samples.insert(sample.into(), value.parse().unwrap()).is_none(), "{sample} twice");
    }
    families
}

fn one(families: &Families, sample: &str) -> f64 {
    let name = sample.split('{').next().unwrap();
    *families
        .get(name)
        .and_then(|(_, samples)| samples.get(sample))
        .unwrap_or_else(|| panic!("{families:#?}"))
}

#[test]
fn the_metrics_of_the_host_are_a_subset_of_node_exporter() {
    let origin = Origin::start(&[]);
    let families = metrics(port(&origin, "node_metrics"));
    let real: BTreeMap<&str, &str> = include_str!("../../crates/origin/tests/corpus/exporters/node.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
        .collect();
    for (name, (kind, samples)) in &families {
        // The names of memory metrics depend on the kernel; all others are fixed.
        if !name.starts_with("node_memory_") {
            assert_eq!(real.get(name.as_str()), Some(&kind.as_str()), "{name}");
        }
        assert!(!samples.is_empty(), "{name}");
    }
    // The metrics that dashboards use.
    for name in [
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_network_transmit_bytes_total",
        "node_load1",
        "node_filefd_allocated",
        "node_filesystem_avail_bytes",
        "node_sockstat_TCP_inuse",
        "node_netstat_Tcp_CurrEstab",
        "node_uname_info",
    ] {
        assert!(families.contains_key(name), "{name}");
    }
    let boot: f64 = std::fs::read_to_string("/proc/stat")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(one(&families, "node_boot_time_seconds"), boot);
    let later = metrics(port(&origin, "node_metrics"));
    assert!(one(&later, "node_time_seconds") > one(&families, "node_time_seconds"));
}

#[test]
fn nginx_and_the_origin_have_metrics() {
    let origin = Origin::start(&[]);
    let exporter = port(&origin, "nginx_metrics");
    let before = metrics(exporter);
    let mut viewer = Connection::open(origin.port()).unwrap();
    for _ in 0..5 {
        assert_eq!(viewer.ask("GET", "/stream.m3u8").unwrap().status, 200);
    }
    let after = metrics(exporter);
    let real: BTreeSet<String> = include_str!("../../crates/origin/tests/corpus/exporters/nginx.txt")
        .lines()
        .map(str::to_owned)
        .collect();
    let ours = |(name, (kind, _)): (&String, &(String, _))| format!("{name} {kind}");
    let ours: BTreeSet<String> =
        after.iter().filter(|(name, _)| name.starts_with("nginx_")).map(ours).collect();
    assert_eq!(ours, real);
    let rise = |sample: &str| one(&after, sample) - one(&before, sample);
    // Five requests of the viewer, one of the exporter itself.
    assert_eq!((rise("nginx_http_requests_total"), rise("nginx_connections_accepted")), (6.0, 2.0));
    assert_eq!((one(&after, "nginx_up"), one(&after, "nginx_connections_waiting")), (1.0, 1.0));

    let full = eventually("a full playlist", Duration::from_secs(15), || {
        let families = metrics(exporter);
        (one(&families, "hls_origin_playlist_segments{playlist=\"stream.m3u8\"}") == 4.0).then_some(families)
    });
    let speed = one(&full, "hls_origin_encoder_speed_ratio{playlist=\"stream.m3u8\"}");
    assert!((0.5..2.0).contains(&speed), "replayed in real time: {speed}");
    assert!(one(&full, "hls_origin_playlist_age_seconds{playlist=\"stream.m3u8\"}") < 5.0);
    let sequence = one(&full, "hls_origin_playlist_media_sequence{playlist=\"stream.m3u8\"}");
    let (listed, _) = origin.playlist().unwrap();
    assert!((sequence..=sequence + 1.0).contains(&(listed.media_sequence as f64)));
    assert!(one(&full, "hls_origin_segment_files") >= 4.0 && one(&full, "hls_origin_segment_bytes") > 4000.0);

    let restarts = "hls_origin_process_restarts_total{process=\"ffmpeg\"}";
    let up = |process: &str| one(&full, &format!("hls_origin_process_up{{process=\"{process}\"}}"));
    assert_eq!((up("ffmpeg"), up("nginx"), one(&full, restarts)), (1.0, 1.0, 0.0));
    send(origin.child_named("ffmpeg").unwrap(), Signal::SIGKILL);
    eventually("the restart is counted", Duration::from_secs(5), || {
        (one(&metrics(exporter), restarts) == 1.0).then_some(())
    });
}

#[test]
fn listed_segment_sizes_equal_the_sizes_of_the_segments() {
    let origin = Origin::start(&[]);
    let answer = origin.get("/files/json/");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let listed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let segments: Vec<_> = listed.as_array().unwrap().iter().collect();
    let sized = segments.iter().filter(|one| one["name"].as_str().unwrap().ends_with(".ts"));
    let mut seen = 0;
    for one in sized {
        assert_eq!(one["type"], "file");
        assert!(one["mtime"].as_str().unwrap().ends_with(" GMT"));
        let body = origin.get(&format!("/{}", one["name"].as_str().unwrap())).body;
        assert_eq!(one["size"].as_u64(), Some(body.len() as u64));
        seen += 1;
    }
    assert!(seen >= 1, "{listed}");
    assert_eq!(origin.get("/files/json/nowhere/").status, 404);
    assert_eq!(origin.get("/files/json/stream.m3u8").status, 404, "only directories are listed");
}

#[test]
fn ports_can_be_chosen_and_turned_off_and_must_be_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    for flag in ["--node-metrics-port", "--nginx-metrics-port"] {
        let (code, said) = refusal(&[flag, &number]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("cannot listen on 127.0.0.1:{number} for metrics")), "{said}");
        assert!(said.contains(&format!("help: pass {flag} with a free port")), "{said}");
        let (code, said) = refusal(&[flag, "http"]);
        assert_eq!(code, Some(2));
        assert!(said.contains("invalid value \"http\" for"), "{said}");
    }
    let origin = Origin::start(&["--node-metrics-port", "off", "--nginx-metrics-port", "off"]);
    assert!(origin.facts.get("node_metrics").is_none() && origin.facts.get("nginx_metrics").is_none());
}
