//! The requests that a server served, from nginx's access log, from the origin's, or from the records of a scripted
//! server.

use std::fmt;

use hls_swarm_origin::access_log::LogEntry;

use super::server;
use super::swarm::USER_AGENT;

/// One request as its server served it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The viewer, by its user agent.
    pub(crate) viewer: u32,
    /// Path, and arguments after a question mark.
    pub(crate) target: String,
    pub(crate) status: u16,
    /// Bytes of the head that were passed to the kernel.
    pub(crate) head_bytes: u64,
    /// Bytes of the body that were passed to the kernel: nginx's `$body_bytes_sent`.
    pub(crate) body_bytes: u64,
    /// Whether the whole response was passed to the kernel.
    pub(crate) whole: bool,
    /// The version of HTTP.
    pub(crate) http: &'static str,
    /// The viewer's port.
    pub(crate) port: u16,
    /// Number of the connection, if the server counts connections.
    pub(crate) connection: Option<u64>,
    /// Order of the requests on one port.
    order: (f64, u64, u64),
    /// From the first byte of the request to the last one of the response, if the server measures it.
    pub(crate) seconds: Option<f64>,
}

impl Served {
    pub(crate) fn name(&self) -> &str {
        let path = self.target.split('?').next().unwrap();
        path.rsplit('/').next().unwrap()
    }

    /// The kind of the object, which the tests' file names identify.
    pub(crate) fn kind(&self) -> &'static str {
        kind(self.name())
    }

    /// The order in which requests of one port were received. nginx logs them when their responses end.
    pub(crate) fn received_as(&self) -> (u64, u64) {
        (self.order.1, self.order.2)
    }

    /// When nginx had passed the response to the kernel, seconds since 1970.
    pub(crate) fn at(&self) -> f64 {
        self.order.0
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.head_bytes + self.body_bytes
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { viewer, target, status, head_bytes, body_bytes, port, .. } = self;
        let whole = if self.whole { "whole" } else { "not whole" };
        write!(
            f,
            "viewer {viewer} port {port} {target}: {status}, {whole}, head {head_bytes} B, body {body_bytes} B"
        )
    }
}

/// The version of HTTP that nginx calls so.
fn version(protocol: &str) -> &'static str {
    match protocol {
        "HTTP/1.1" => "1.1",
        "HTTP/2.0" => "2",
        "HTTP/3.0" => "3",
        other => panic!("protocol {other:?}"),
    }
}

/// The kind of object with this file name.
pub(crate) fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "m3u8")) => "manifest",
        Some((_, "key")) => "key",
        Some((_, "json")) => "steering",
        Some(("init", "mp4")) => "init",
        Some((_, "ts" | "m4s")) => "segment",
        _ => "other",
    }
}

/// The viewer with this user agent; `None` for known clients that are not viewers.
fn viewer(user_agent: &str) -> Option<u32> {
    if user_agent == format!("{USER_AGENT}/preflight") || user_agent.starts_with("hls-origin/") {
        return None;
    }
    let number = user_agent.strip_prefix(USER_AGENT).and_then(|rest| rest.strip_prefix("/client-"));
    let viewer = number.and_then(|number| number.parse().ok());
    Some(viewer.unwrap_or_else(|| panic!("a request from an unknown client: user agent {user_agent:?}")))
}

/// The requests of viewers in an access log of the origin's format.
pub(crate) fn logged(log: &str) -> Vec<Served> {
    let entries = log.lines().map(|line| {
        serde_json::from_str::<LogEntry>(line).unwrap_or_else(|error| panic!("access log: {error}: {line}"))
    });
    let served = |entry: LogEntry| {
        let query = if entry.args.is_empty() { String::new() } else { format!("?{}", entry.args) };
        Some(Served {
            viewer: viewer(&entry.http_user_agent)?,
            target: entry.uri + &query,
            status: entry.status,
            head_bytes: entry.bytes_sent - entry.body_bytes_sent,
            body_bytes: entry.body_bytes_sent,
            whole: entry.request_completion == "OK",
            http: version(&entry.server_protocol),
            port: entry.remote_port,
            connection: Some(if version(&entry.server_protocol) == "3" {
                // nginx numbers the streams of QUIC as connections.
                entry.remote_port.into()
            } else {
                entry.connection
            }),
            order: (entry.msec, entry.connection, entry.connection_requests),
            seconds: Some(entry.request_time),
        })
    };
    in_order(entries.filter_map(served).collect())
}

/// The requests of viewers in the records of a scripted server.
pub(crate) fn noted(notes: &[server::Served]) -> Vec<Served> {
    let served = |(number, note): (usize, &server::Served)| {
        let agent = note.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("user-agent").then_some(value)
        });
        let text = String::from_utf8_lossy(&note.sent);
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        Some(Served {
            viewer: viewer(agent.unwrap_or_default())?,
            target: note.target.clone(),
            status,
            head_bytes: note.head_bytes(),
            body_bytes: note.body_bytes(),
            whole: !note.unsent && note.body_bytes() == length.parse::<u64>().unwrap(),
            http: "1.1",
            port: note.port,
            connection: None,
            order: (0.0, 0, number as u64),
            seconds: None,
        })
    };
    in_order(notes.iter().enumerate().filter_map(served).collect())
}

fn in_order(mut served: Vec<Served>) -> Vec<Served> {
    served.sort_by(|a, b| a.order.partial_cmp(&b.order).unwrap());
    served
}
