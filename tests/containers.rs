//! The images, the compose stack, and loads of four and eight containers, on a real engine. Grafana is not among
//! them: its image comes from a registry only, and Prometheus evaluates the queries of its dashboard instead.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_test_support::docker::{self, Container, Network, Stack, image};
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::swarm::was_starved;
use hls_swarm_test_support::waiting::eventually;

const MINUTE: Duration = Duration::from_secs(60);
/// A stream that 2 processors can serve together with its viewers, and a log to compare counts with.
const SMALL: [&str; 6] =
    ["--video-size", "320x180", "--video-bitrate", "200", "--access-log", "/run/hls-origin/access.log"];

/// A folder that the images' user may write to.
fn reports() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

fn read(report: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap()
}

fn requests(report: &Value) -> u64 {
    report["requests"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Requests of viewers by number, as nginx logged them.
fn requests_by_viewer(origin: &Container) -> BTreeMap<u64, u64> {
    let log = origin.exec(&["cat", "/run/hls-origin/access.log"]).stdout;
    let mut requests_by_viewer = BTreeMap::new();
    for line in String::from_utf8(log).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some((_, viewer)) = line["http_user_agent"].as_str().unwrap().split_once("/client-") {
            *requests_by_viewer.entry(viewer.parse().unwrap()).or_default() += 1;
        }
    }
    requests_by_viewer
}

/// The expected exit code, or that of INVALID if the machine was too busy.
fn expected_or_invalid(report: &Value, code: i64) -> i64 {
    if was_starved(report) { 5 } else { code }
}

fn healthy(container: &Container, what: &str) {
    eventually(what, MINUTE, || {
        assert_eq!(container.fact("/State/Running"), true, "{what}: {}", container.log());
        (container.fact("/State/Health/Status") == "healthy").then_some(())
    });
}

/// Checks the restrictions of the first process against the documented ones.
fn assert_confined(container: &Container) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(field("Uid:").split_whitespace().next(), Some("65532"));
    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!(field("CapBnd:"), "0000000000000000");
    let touched = container.exec(&["touch", "/usr/bin/x"]);
    assert!(String::from_utf8_lossy(&touched.stderr).contains("Read-only file system"), "{touched:?}");
}

/// The states of the children of the container's first process.
fn children(container: &Container) -> Vec<char> {
    let parent = container.pid().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of = stats.filter_map(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        let (state, rest) = rest.split_once(' ')?;
        (rest.split(' ').next()? == parent).then(|| state.chars().next())?
    });
    of.collect()
}

#[test]
#[ignore = "needs a container engine: make container-test"]
fn missing_requirements_are_named() {
    let swarm = Container::start(&[], &image("swarm"), &[]);
    assert_eq!(swarm.wait(MINUTE), 2);
    assert!(swarm.log().contains("no stream is given"), "{}", swarm.log());
    let few = ["--ulimit=nofile=64:64", "--env=STREAM_URL=http://127.0.0.1:1/x.m3u8", "--env=CLIENTS=50"];
    let swarm = Container::start(&few, &image("swarm"), &[]);
    assert_eq!(swarm.wait(MINUTE), 3);
    assert!(swarm.log().contains("open files: 64 available, 1100 needed for 50 viewers"), "{}", swarm.log());
    let odd = ["--env=EXTRA_ARGS=--header 'X"];
    let swarm = Container::start(&odd, &image("swarm"), &[]);
    assert_eq!(swarm.wait(MINUTE), 2);
    assert!(swarm.log().contains("a quote is not closed"), "{}", swarm.log());
}

#[test]
#[ignore = "needs a container engine: make container-test"]
fn the_compose_stack_counts_the_requests_of_nginx_and_is_scraped() {
    let folder = reports();
    let stack = Stack::up(vec![
        ("CLIENTS", "20".to_owned()),
        ("EXTRA_ARGS", "--ramp-rate 20 --report run.json".to_owned()),
        ("ORIGIN_ARGS", SMALL.join(" ")),
        ("REPORTS", folder.path().to_str().unwrap().to_owned()),
        ("ORIGIN_PORT", "0".to_owned()),
        ("SWARM_PORT", "0".to_owned()),
        ("PROMETHEUS_PORT", "0".to_owned()),
    ]);
    let (origin, swarm) = (stack.service("origin"), stack.service("swarm"));
    for container in [&origin, &swarm] {
        healthy(container, &container.log());
        assert_confined(container);
    }
    // A process that outlives its parent becomes a child of the first process, which has to reap it.
    let program = children(&swarm).len();
    let orphan = swarm.exec(&["sh", "-c", "sleep 1 >/dev/null 2>&1 &"]);
    assert!(orphan.status.success(), "{orphan:?}");
    assert_eq!(children(&swarm).len(), program + 1, "the orphan is a child of the first process");
    eventually("the orphan has been reaped", MINUTE, || (children(&swarm).len() == program).then_some(()));

    let port = stack.service("prometheus").published(9090);
    let query = |expression: &str| -> Option<Vec<Value>> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = ask(port, "GET", &format!("/api/v1/query?query={encoded}")).ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(answer["data"]["result"].as_array()?.clone())
    };
    let up = eventually("all jobs are up", MINUTE, || {
        let all = query("up == 1")?;
        (all.len() == 3).then_some(all)
    });
    let jobs: std::collections::BTreeSet<_> = up.iter().map(|one| one["metric"]["job"].as_str()).collect();
    assert_eq!(jobs.len(), 3, "{up:?}");
    eventually("Prometheus has heard of 20 viewers", MINUTE, || {
        let viewers = query("sum(hls_swarm_active_clients)")?;
        (viewers.first()?["value"][1] == "20").then_some(())
    });
    let dashboard = include_str!("../observability/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let target = panels.filter_map(|panel| panel["targets"][0]["expr"].as_str()).next().unwrap();
    let expression = target.replace("$instance", ".*").replace("$job", ".*");
    eventually(&expression, MINUTE, || query(&expression).filter(|found| !found.is_empty()));

    let asked_to_end = Instant::now();
    docker::docker(&["stop", "--time", "20", &swarm.id]);
    assert!(asked_to_end.elapsed() < Duration::from_secs(10), "{:?}", asked_to_end.elapsed());
    let report = read(&folder.path().join("run.json"));
    let code = swarm.wait(MINUTE);
    assert_eq!(code, expected_or_invalid(&report, 0), "stopped on request: {}", swarm.log());
    let by_viewer = requests_by_viewer(&origin);
    assert_eq!(by_viewer.len(), 20, "{by_viewer:?}");
    assert_eq!(requests(&report), by_viewer.values().sum::<u64>());
}

/// A load on several containers.
struct Load {
    shards: usize,
    viewers: u32,
    /// Started each second.
    rate: u32,
    seconds: u32,
}

/// Shards against one origin, as the indexed Job starts them.
struct ShardPlan {
    collector: Container,
    shards: Vec<Container>,
    folder: TempDir,
}

impl ShardPlan {
    fn start(network: &Network, load: &Load, more: impl Fn(usize) -> &'static str) -> Self {
        let Load { shards, viewers, rate, seconds } = load;
        let folder = reports();
        let join = format!("--network={}", network.name);
        let mount = format!("--volume={}:/reports", folder.path().display());
        // Readable for the user of the containers.
        std::fs::write(folder.path().join("token"), "a-token-of-this-test\n").unwrap();
        let collect = [
            "collect",
            &format!("--shards={shards}"),
            "--report=merged.json",
            "--ready-timeout=60s",
            "--token-file=/reports/token",
        ];
        let options = [&join, "--network-alias=collector", &mount, "--no-healthcheck"];
        let collector = Container::start(&options, &image("swarm"), &collect);
        let shard = |index| {
            let extra = format!(
                "--env=EXTRA_ARGS=--shard {index}/{shards} --collector http://collector:17092 \
                 --collector-token-file /reports/token --duration {seconds}s \
                 --ramp-rate {rate} --ramp-jitter 0s {}",
                more(index)
            );
            let stream = "--env=STREAM_URL=http://origin:17080/stream.m3u8";
            let clients = format!("--env=CLIENTS={viewers}");
            Container::start(&[&join, &mount, stream, &clients, &extra], &image("swarm"), &[])
        };
        let shards = (0..*shards).map(shard).collect();
        Self { collector, shards, folder }
    }

    /// The collector's exit code, its output, and the merged report.
    fn end(&self) -> (i64, String, Value) {
        let code = self.collector.wait(3 * MINUTE / 2);
        for shard in &self.shards {
            assert_eq!(shard.wait(MINUTE), 0, "the shard has sent its report: {}", shard.log());
        }
        (code, self.collector.log(), read(&self.folder.path().join("merged.json")))
    }
}

/// The start time that a shard printed, in seconds of the day.
fn started(shard: &Container) -> f64 {
    let log = shard.log();
    let line = log.lines().find(|line| line.contains("all shards are ready: starting"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    let line: Value = serde_json::from_str(line).unwrap();
    let time = line["timestamp"].as_str().unwrap().split('T').nth(1).unwrap().trim_end_matches('Z');
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// The origin of a load on several containers.
fn origin_of(network: &Network) -> Container {
    let join = format!("--network={}", network.name);
    let memory = "--tmpfs=/run/hls-origin:uid=65532,gid=65532,mode=0700";
    let options = [&join, "--network-alias=origin", memory, "--tmpfs=/tmp"];
    let origin = Container::start(&options, &image("origin"), &SMALL);
    healthy(&origin, "the origin");
    origin
}

#[test]
#[ignore = "needs a container engine: make container-test"]
fn four_containers_equal_one_load() {
    let network = Network::new("shards");
    let origin = origin_of(&network);
    let load = Load { shards: 4, viewers: 8, rate: 40, seconds: 10 };
    let shards_run = ShardPlan::start(&network, &load, |_| "");
    let (code, said, report) = shards_run.end();
    assert_eq!(code, expected_or_invalid(&report, 0), "{said}");
    let starts: Vec<f64> = shards_run.shards.iter().map(started).collect();
    let spread = starts.iter().copied().fold(0.0, f64::max) - starts.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread < 0.2, "{starts:?}");
    let by_viewer = requests_by_viewer(&origin);
    assert_eq!(by_viewer.keys().copied().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(requests(&report), by_viewer.values().sum::<u64>());
    assert_eq!(report["target_clients"], 8);

    let impossible = |index| if index == 2 { "--threshold 'segment_ttfb:p50<1us'" } else { "" };
    let (code, said, report) = ShardPlan::start(&network, &Load { seconds: 5, ..load }, impossible).end();
    assert_eq!(code, expected_or_invalid(&report, 4), "{said}");
    assert!(said.contains("shard 2"), "{said}");
}

/// Eight pods of native viewers: the collector knows each of them, and their sum is that of nginx.
#[test]
#[ignore = "needs a container engine: make container-test"]
fn eight_containers_of_native_viewers_equal_one_load() {
    const VIEWERS: u32 = 400;
    let network = Network::new("native-shards");
    let origin = origin_of(&network);
    let load = Load { shards: 8, viewers: VIEWERS, rate: 100, seconds: 15 };
    let (code, said, report) = ShardPlan::start(&network, &load, |_| "--engine native").end();
    assert_eq!(code, expected_or_invalid(&report, 0), "{said}");
    let by_viewer = requests_by_viewer(&origin);
    assert_eq!(by_viewer.len(), VIEWERS as usize, "{said}");
    assert_eq!(requests(&report), by_viewer.values().sum::<u64>(), "{said}");
    let rows = report["per_viewer"].as_array().unwrap();
    assert_eq!(rows.len(), VIEWERS as usize);
    let counted: BTreeMap<u64, u64> =
        rows.iter().map(|row| (row["viewer"].as_u64().unwrap(), requests(row))).collect();
    let different: Vec<_> = counted
        .iter()
        .filter(|(viewer, requests)| by_viewer.get(viewer) != Some(requests))
        .map(|(viewer, requests)| (viewer, requests, by_viewer.get(viewer)))
        .collect();
    assert_eq!(different, [], "viewer, its requests in the report, those in the log");
    assert_eq!(report["target_clients"], VIEWERS);
}
