//! Runs the real program and reads the report and the exchange log, without checking them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_os::clock::now_ns;

use super::program::Companion;

/// The user agent of viewer k is `USER_AGENT/client-k`.
pub(crate) const USER_AGENT: &str = "ground-truth";
/// Maximum time that a run needs in addition to its duration, for preflight and for viewers that do not stop.
const SURPLUS: Duration = Duration::from_secs(40);

/// One line of the exchange log, as docs/report.md describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) viewer: u32,
    pub(crate) generation: u32,
    pub(crate) pid: u64,
    pub(crate) http: String,
    pub(crate) connection: u32,
    pub(crate) streams: u32,
    pub(crate) local_port: Option<u16>,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) url_hash: String,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Value,
    pub(crate) started: f64,
    pub(crate) connect: Option<f64>,
    pub(crate) tls_handshake: Option<f64>,
    pub(crate) quic_handshake: Option<f64>,
    pub(crate) ttfb: Option<f64>,
    pub(crate) download: Option<f64>,
    pub(crate) head_bytes: u64,
    pub(crate) body_bytes: u64,
    pub(crate) received_bytes: Option<u64>,
    pub(crate) tls: bool,
}

impl Exchange {
    pub(crate) fn is_complete(&self) -> bool {
        self.outcome == "complete"
    }

    /// The viewer ended it, not the server and not the network.
    pub(crate) fn is_ended_by_viewer(&self) -> bool {
        self.outcome == "closed_by_viewer" || self.outcome == "process_exit"
    }

    /// The server or the network ended it.
    pub(crate) fn is_ended_by_server(&self) -> bool {
        self.outcome == "closed_by_peer" || self.outcome.get("socket_error").is_some()
    }

    /// Whether other requests may be under way on its connection.
    pub(crate) fn shares_connection(&self) -> bool {
        self.http != "1.1"
    }

    pub(crate) fn read(&self) -> u64 {
        self.head_bytes + self.body_bytes
    }
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { viewer, generation, connection, kind, name, outcome, started, .. } = self;
        let port = self.local_port.unwrap_or(0);
        let status = self.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
        let received = self.received_bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        write!(
            f,
            "viewer {viewer}.{generation} connection {connection} port {port} at {started:.3}: {kind} {name}: \
             {status}, {outcome}, head {} B, body {} B, received {received} B",
            self.head_bytes, self.body_bytes
        )
    }
}

/// One row of the report's `per_viewer`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) viewer: u32,
    pub(crate) state: String,
    pub(crate) starts: u32,
    pub(crate) startup_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) media_seconds: f64,
    #[serde(default)]
    pub(crate) stalled_seconds: f64,
    #[serde(default)]
    pub(crate) missing_seconds: f64,
    pub(crate) requests: BTreeMap<String, u64>,
    pub(crate) bytes: BTreeMap<String, u64>,
    pub(crate) http_status: BTreeMap<u16, u64>,
    pub(crate) received: u64,
    pub(crate) head_bytes: u64,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) report: Value,
    pub(crate) rows: Vec<Row>,
    pub(crate) exchanges: Vec<Exchange>,
    /// The report and the exchange log as text.
    pub(crate) text: String,
    pub(crate) exit_code: Option<i32>,
    /// The earliest time at which it stopped its viewers: `CLOCK_MONOTONIC` in seconds.
    pub(crate) stop: f64,
    /// Standard output and standard error.
    pub(crate) output: String,
}

/// `CLOCK_MONOTONIC` in seconds, the clock of the exchange log.
pub(crate) fn seconds() -> f64 {
    now_ns() as f64 / 1e9
}

/// A run in progress.
pub(crate) struct Swarm {
    process: Companion,
    folder: TempDir,
    /// `CLOCK_MONOTONIC` in seconds.
    began: f64,
    length: Duration,
}

impl Swarm {
    /// `clients` viewers of `url` for `length` seconds, with additional arguments.
    pub(crate) fn start(url: &str, clients: u32, length: u32, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
        command.args(["--clients", &clients.to_string(), "--duration", &format!("{length}s")]);
        command.args(["--ramp-rate", "10", "--seed", "1", "--metrics", "off", "--user-agent", USER_AGENT]);
        command.args(["--log-level", "warn"]);
        if !arguments.contains(&"native") {
            command.args(["--probe", "require"]);
        }
        command.arg("--report").arg(folder.path().join("report.json"));
        command.arg("--exchange-log").arg(folder.path().join("exchanges"));
        command.args(arguments).arg(url);
        for variable in ["http_proxy", "https_proxy", "STREAM_URL", "CLIENTS", "VARIANT", "LOG_LEVEL"] {
            command.env_remove(variable);
        }
        let output = File::create(folder.path().join("output")).unwrap();
        command.stdin(std::process::Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Self {
            began: seconds(),
            process: Companion::start(&mut command),
            folder,
            length: Duration::from_secs(u64::from(length)),
        }
    }

    /// Waits until it ends.
    pub(crate) fn finish(mut self) -> Run {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let status = self.process.wait(self.length + SURPLUS);
        let output = read("output");
        let status = status.unwrap_or_else(|| panic!("the run does not end: {output}"));
        let (report, log) = (read("report.json"), read("exchanges"));
        let parsed: Value = serde_json::from_str(&report)
            .unwrap_or_else(|error| panic!("{status}, no report ({error}): {output}"));
        let exchange = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Run {
            rows: serde_json::from_value(parsed["per_viewer"].clone()).unwrap(),
            report: parsed,
            exchanges: log.lines().map(exchange).collect(),
            text: report + &log,
            exit_code: status.code(),
            stop: self.began + self.length.as_secs_f64(),
            output,
        }
    }
}

impl Run {
    /// A number of the report, by its JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        let value = self.report.pointer(pointer);
        value.and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {:#}", self.report))
    }
}
