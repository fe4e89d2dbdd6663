//! The consistency of the manifests: the objects that kubectl builds refer only to objects that exist, and start the
//! programs with valid flags. The tests need no cluster, and do not test the behavior of one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use hls_swarm::cli::commands::{CollectArgs, SwarmCommand};
use hls_swarm::cli::run::RunArgs;
use hls_swarm::cli::{self, Cli};
use hls_swarm_cli::program::parse;
use hls_swarm_test_support::program::program;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");

/// The objects that kubectl builds from an overlay.
fn objects(folder: &Path) -> Vec<Value> {
    let output = program("kubectl")
        .args(["kustomize", "--load-restrictor=LoadRestrictionsNone"])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap()).collect()
}

/// The objects of `hls-swarm plan` with `words`.
fn planned(words: &[&str]) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    // kustomize takes relative paths only.
    let up = "../".repeat(folder.path().canonicalize().unwrap().components().count() - 1);
    let base = format!("--base={up}{}/base", FOLDER.trim_start_matches('/'));
    let output = program("env")
        .arg(env!("CARGO_BIN_EXE_hls-swarm"))
        .args(["plan", &base])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(folder.path().join("kustomization.yaml"), &output.stdout).unwrap();
    objects(folder.path())
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {value}"))
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|one| one["kind"] == kind && text(one, "/metadata/name") == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The objects that run pods.
fn workloads(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|one| one.pointer("/spec/template/spec/containers").is_some())
}

fn container(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["containers"][0]
}

fn ports(workload: &Value) -> BTreeSet<&str> {
    list(container(workload), "/ports").iter().map(|port| text(port, "/name")).collect()
}

/// The workloads whose pods a selector matches.
fn selected<'a>(objects: &'a [Value], labels: &Value) -> Vec<&'a Value> {
    let labels = labels.as_object().unwrap();
    assert!(!labels.is_empty(), "a selector that takes everything");
    let takes = |one: &&Value| {
        labels.iter().all(|(name, value)| one["spec"]["template"]["metadata"]["labels"][name] == *value)
    };
    workloads(objects).filter(takes).collect()
}

fn assert_consistent(objects: &[Value]) {
    for workload in workloads(objects) {
        let name = text(workload, "/metadata/name");
        let pod = &workload["spec"]["template"]["spec"];
        // A Service named hls-origin would set HLS_ORIGIN_PORT to tcp://….
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(list(pod, "/containers").len(), 1, "{name}");
        let container = container(workload);
        let images = ["hls-swarm:local", "hls-origin:local"];
        assert!(images.contains(&text(container, "/image")), "{container}");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
        for path in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
            text(container, path);
        }
        let volumes: BTreeSet<&str> = list(pod, "/volumes").iter().map(|one| text(one, "/name")).collect();
        let containers = list(pod, "/containers").iter().chain(list(pod, "/initContainers"));
        let mounts = containers.flat_map(|one| list(one, "/volumeMounts")).map(|one| text(one, "/name"));
        assert_eq!(mounts.collect::<BTreeSet<_>>(), volumes, "{name}");
        for probe in ["/startupProbe", "/readinessProbe"] {
            let Some(probe) = container.pointer(probe) else { continue };
            assert!(ports(workload).contains(text(probe, "/httpGet/port")), "{name}");
        }
        if let Some(selector) = workload.pointer("/spec/selector/matchLabels") {
            assert_eq!(selected(objects, selector), [workload], "{name}");
        }
        // What changes settings of nodes has privileges, and ends: what stays has none.
        let unprivileged =
            [&pod["securityContext"]["runAsNonRoot"], &container["securityContext"]["runAsNonRoot"]];
        assert!(unprivileged.contains(&&true.into()), "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL", "{name}");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{name}");
        assert!(container["securityContext"].get("privileged").is_none(), "{name}");
        if workload["kind"] == "Job" {
            assert!(workload["spec"]["activeDeadlineSeconds"].as_u64().is_some(), "{name}");
        }
    }
    for one in objects {
        let (selector, used) = match one["kind"].as_str().unwrap() {
            "Service" => (&one["spec"]["selector"], list(one, "/spec/ports")),
            "PodMonitor" => (&one["spec"]["selector"]["matchLabels"], list(one, "/spec/podMetricsEndpoints")),
            "NetworkPolicy" => (&one["spec"]["podSelector"]["matchLabels"], &[][..]),
            _ => continue,
        };
        let found = selected(objects, selector);
        assert_eq!(found.len(), 1, "{one}");
        let port = |port: &'_ Value| {
            let name = port.get("targetPort").unwrap_or(&port["port"]);
            name.as_str().unwrap().to_owned()
        };
        let opened = list(one, "/spec/ingress").iter().flat_map(|rule| list(rule, "/ports"));
        for name in used.iter().chain(opened).map(port) {
            assert!(ports(found[0]).contains(name.as_str()), "{name} of {one}");
        }
    }
}

/// The flags of the pods of the load, with the index that Kubernetes substitutes.
fn shard(objects: &[Value], index: u32) -> RunArgs {
    let container = container(named(objects, "Job", "hls-swarm"));
    let index = index.to_string();
    let words = list(container, "/args").iter().map(|word| word.as_str().unwrap());
    let words = words.map(|word| word.replace("$(JOB_COMPLETION_INDEX)", &index));
    let extra = variable(objects, "EXTRA_ARGS");
    let extra = shlex::split(extra).unwrap();
    let stream = variable(objects, "STREAM_URL").to_owned();
    let clients = format!("--clients={}", variable(objects, "CLIENTS"));
    let ramp = format!("--ramp-rate={}", variable(objects, "RAMP_RATE"));
    let words: Vec<String> = words.chain(extra).chain([clients, ramp, stream]).collect();
    *command_line(&words.iter().map(String::as_str).collect::<Vec<_>>()).run
}

fn command_line(words: &[&str]) -> Cli {
    let words = std::iter::once(&"hls-swarm").chain(words).map(OsString::from).collect();
    parse::<Cli>(&cli::program(), words, &|_| None).unwrap_or_else(|stop| panic!("{stop:?}")).0
}

fn collect(words: &[&str]) -> CollectArgs {
    match command_line(words).command {
        Some(SwarmCommand::Collect(args)) => args,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn variable<'a>(objects: &'a [Value], name: &str) -> &'a str {
    let variables = list(container(named(objects, "Job", "hls-swarm")), "/env");
    let found = variables.iter().find(|one| one["name"] == name);
    text(found.unwrap_or_else(|| panic!("no {name}")), "/value")
}

/// Checks that all shards exist, and that the collector expects the same number.
fn adds_up(objects: &[Value], pods: u32) {
    let job = named(objects, "Job", "hls-swarm");
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    assert_eq!((&job["spec"]["completions"], &job["spec"]["parallelism"]), (&pods.into(), &pods.into()));
    let last = shard(objects, pods - 1);
    assert_eq!(last.load.shard.unwrap(), format!("{}/{pods}", pods - 1));
    let collector = named(objects, "Job", "hls-swarm-collector");
    let words = list(container(collector), "/args").iter().map(|word| word.as_str().unwrap());
    let words: Vec<&str> = words.collect();
    let collect = collect(&words);
    assert_eq!(collect.shards, pods);
    let service = named(objects, "Service", "hls-swarm-collector");
    // The default port.
    assert_eq!((collect.listen, &service["spec"]["ports"][0]["port"]), (None, &17092.into()));
    assert_eq!(container(collector)["ports"][0]["containerPort"], 17092);
    let address = "http://hls-swarm-collector:17092";
    for job in ["hls-swarm", "hls-swarm-collector"] {
        let pod = &named(objects, "Job", job)["spec"]["template"]["spec"];
        let volumes = list(pod, "/volumes");
        assert!(
            volumes.iter().any(|volume| volume["secret"]["secretName"] == "hls-swarm-collector"),
            "{job}"
        );
    }
    let token = Path::new("/run/secrets/collector/token");
    assert_eq!(collect.token_file.as_deref(), Some(token));
    assert_eq!(last.results.collector_token_file.as_deref(), Some(token));
    assert_eq!(last.results.collector.unwrap(), address);
    let mounted = text(container(collector), "/volumeMounts/0/mountPath");
    assert!(collect.reports.iter().all(|report| report.starts_with(mounted)), "{collect:?}");
}

#[test]
fn the_base_and_its_overlays_are_consistent() {
    for (folder, more) in [("base", 0), ("overlays/monitoring", 2), ("overlays/tuning", 1)] {
        let objects = objects(&Path::new(FOLDER).join(folder));
        assert_eq!(objects.len(), 8 + more, "{folder}");
        assert_consistent(&objects);
        adds_up(&objects, 4);
    }
}

#[test]
fn the_base_has_the_resources_of_the_sizing_formula() {
    let base = objects(&Path::new(FOLDER).join("base"));
    let resources = |objects: &[Value]| container(named(objects, "Job", "hls-swarm"))["resources"].clone();
    let clients = variable(&base, "CLIENTS");
    let same = planned(&["--clients", clients, "--per-pod=20", "--ramp-rate=20", "--duration=5m"]);
    assert_eq!(resources(&base), resources(&same));
}

#[test]
fn a_planned_load_is_consistent() {
    let stream = "https://cdn.example/a.m3u8?x=\"1\"&y={2}#'";
    let words =
        ["--clients=10000", "--per-pod=500", "--ramp-rate=100", "--duration=10m", "--stream-url", stream];
    let objects = planned(&words);
    assert_consistent(&objects);
    adds_up(&objects, 20);
    let shard = shard(&objects, 7);
    assert_eq!((shard.load.clients, shard.load.ramp_rate), (10_000, 100.0));
    assert_eq!(variable(&objects, "STREAM_URL"), stream);
    assert_eq!(shard.load.duration.0.as_secs(), 600);
    let memory = &container(named(&objects, "Job", "hls-swarm"))["resources"]["limits"]["memory"];
    assert_eq!(memory, "9564Mi", "19 MiB per viewer and 64 MiB");
}

#[test]
fn the_tuning_overlay_calls_commands_that_exist() {
    let overlay = objects(&Path::new(FOLDER).join("overlays/tuning"));
    let undo = std::fs::read_to_string(Path::new(FOLDER).join("overlays/tuning/undo.yaml")).unwrap();
    let undo: Value = serde_yaml_ng::from_str(&undo).unwrap();
    assert_consistent(std::slice::from_ref(&undo));
    for (object, word) in [(named(&overlay, "DaemonSet", "hls-swarm-tune"), "apply"), (&undo, "undo")] {
        let privileged = &list(object, "/spec/template/spec/initContainers")[0];
        assert_eq!(privileged["securityContext"]["privileged"], true);
        let words: Vec<&str> = list(privileged, "/args").iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words[1], word);
        assert!(matches!(command_line(&words).command, Some(SwarmCommand::Tune(_))), "{words:?}");
    }
}
