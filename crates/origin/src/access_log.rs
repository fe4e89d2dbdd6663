//! The access log: one JSON object per line, so that a test can compare, request by request, what the
//! origin served with what viewers counted.
//!
//! nginx writes it; requests that hls-origin answers itself are appended to the same file in the same format.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Request;
use hyper::header::{HeaderName, RANGE, USER_AGENT};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use hls_swarm_base::error::Failure;

use crate::fault_proxy::metered_stream::BytesSent;
use crate::profile::{Access, Log};

/// Name of the log format within nginx.conf.
pub const FORMAT_NAME: &str = "origin_json";

/// The fields: JSON name, nginx variable, and whether the value is text (otherwise a bare number).
const FIELDS: [(&str, &str, bool); 20] = [
    ("msec", "msec", false),
    ("remote_addr", "remote_addr", true),
    ("remote_port", "remote_port", false),
    ("connection", "connection", false),
    ("connection_requests", "connection_requests", false),
    ("server_protocol", "server_protocol", true),
    ("request_method", "request_method", true),
    ("uri", "uri", true),
    ("args", "args", true),
    ("status", "status", false),
    ("body_bytes_sent", "body_bytes_sent", false),
    ("bytes_sent", "bytes_sent", false),
    ("request_time", "request_time", false),
    ("http_user_agent", "http_user_agent", true),
    ("request_completion", "request_completion", true),
    ("http_range", "http_range", true),
    ("cmcd_object", "http_cmcd_object", true),
    ("cmcd_request", "http_cmcd_request", true),
    ("cmcd_session", "http_cmcd_session", true),
    ("cmcd_status", "http_cmcd_status", true),
];

/// nginx's status code for a client that closed the connection while its request waited.
const CLIENT_GONE: u16 = 499;

/// One line of the access log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LogEntry {
    /// End of the response, in seconds since the epoch.
    pub msec: f64,
    /// Address of the client.
    pub remote_addr: String,
    /// Port of the client; together with the address it identifies the connection.
    pub remote_port: u16,
    /// nginx's serial number of the connection.
    pub connection: u64,
    /// Position of the request on its connection, counted from 1.
    pub connection_requests: u64,
    /// Protocol of the request: `HTTP/1.1`, `HTTP/2.0`, `HTTP/3.0`; empty if the request could not be parsed, and in logs of
    /// earlier versions.
    #[serde(default)]
    pub server_protocol: String,
    /// Method; empty if the request could not be parsed.
    pub request_method: String,
    /// Normalized path without arguments; empty if the request could not be parsed.
    pub uri: String,
    /// Query string without the question mark.
    pub args: String,
    /// Status code of the response.
    pub status: u16,
    /// Bytes of the body that were passed to the kernel.
    pub body_bytes_sent: u64,
    /// Bytes of head and body that were passed to the kernel.
    pub bytes_sent: u64,
    /// Seconds from the first byte of the request to the last byte of the response.
    pub request_time: f64,
    /// User-Agent header.
    pub http_user_agent: String,
    /// `OK` if the response was sent completely, otherwise empty.
    pub request_completion: String,
    /// Range header.
    pub http_range: String,
    /// CMCD-Object header (CTA-5004). Logs of earlier versions lack it and the next ones.
    #[serde(default)]
    pub cmcd_object: String,
    /// CMCD-Request header.
    #[serde(default)]
    pub cmcd_request: String,
    /// CMCD-Session header.
    #[serde(default)]
    pub cmcd_session: String,
    /// CMCD-Status header.
    #[serde(default)]
    pub cmcd_status: String,
}

/// The `log_format` directive for the `http` block of nginx.conf.
#[must_use]
pub fn log_format() -> String {
    let field = |(name, variable, text): &(&str, &str, bool)| {
        let quote = if *text { "\"" } else { "" };
        format!("\"{name}\":{quote}${variable}{quote}")
    };
    let fields: Vec<String> = FIELDS.iter().map(field).collect();
    format!("log_format {FORMAT_NAME} escape=json\n        '{{{}}}';", fields.join(",'\n        '"))
}

/// The path of the log as it can be quoted in nginx.conf, or `None` if nothing is logged. Without a path in
/// the profile, the log goes to systemd's log directory, or to a temporary file named after the port.
pub(crate) fn path(log: &Log, port: u16) -> Result<Option<String>, Failure> {
    if log.access == Access::Off {
        return Ok(None);
    }
    let file = if log.file.is_empty() {
        let extension = if log.gzip_level > 0 { "ndjson.gz" } else { "ndjson" };
        match std::env::var_os("LOGS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => directory.join(format!("access.{extension}")),
            None => std::env::temp_dir().join(format!("hls-origin-{port}-access.{extension}")),
        }
    } else {
        PathBuf::from(&log.file)
    };
    quotable(&file).map(Some)
}

fn quotable(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(Path::to_str);
    let is_quotable = |text: &&str| !text.contains(|c: char| c.is_control() || "\"$\\".contains(c));
    text.filter(is_quotable).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("the access log path {path:?} cannot be written into nginx.conf"))
            .help("pass a UTF-8 path without quotes, dollar signs, backslashes and control characters")
    })
}

/// The access log of hls-origin's own server; does nothing if no log was requested.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog(Option<Arc<File>>);

/// A request that is logged when its response ends.
#[derive(Debug)]
pub(crate) struct PendingEntry {
    pub(crate) entry: LogEntry,
    pub(crate) started: Instant,
    /// Whether the response was sent completely; `None` while it is being sent.
    pub(crate) completed: Option<bool>,
}

impl PendingEntry {
    /// The entry for `request`, which is request number `index` on connection number `connection`.
    pub(crate) fn new<B>(request: &Request<B>, peer: SocketAddr, connection: u64, index: u64) -> Self {
        let header = |name: HeaderName| {
            let value = request.headers().get(name).map(|value| value.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let entry = LogEntry {
            msec: 0.0,
            remote_addr: peer.ip().to_canonical().to_string(),
            remote_port: peer.port(),
            connection,
            connection_requests: index,
            server_protocol: format!("{:?}", request.version()),
            request_method: request.method().to_string(),
            uri: request.uri().path().to_owned(),
            args: request.uri().query().unwrap_or_default().to_owned(),
            status: 0,
            body_bytes_sent: 0,
            bytes_sent: 0,
            request_time: 0.0,
            http_user_agent: header(USER_AGENT),
            request_completion: String::new(),
            http_range: header(RANGE),
            cmcd_object: header(HeaderName::from_static("cmcd-object")),
            cmcd_request: header(HeaderName::from_static("cmcd-request")),
            cmcd_session: header(HeaderName::from_static("cmcd-session")),
            cmcd_status: header(HeaderName::from_static("cmcd-status")),
        };
        Self { entry, started: Instant::now(), completed: None }
    }
}

impl AccessLog {
    /// Opens the log for appending.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                Failure::preflight(format!("cannot write the access log {}", path.display()))
                    .caused_by(error)
                    .help("pass --access-log with a writable path")
            })
        };
        Ok(Self(path.map(open).transpose()?.map(Arc::new)))
    }

    /// Appends the line for a response that has ended.
    pub(crate) fn write(&self, pending: PendingEntry, sent: BytesSent) {
        let Some(mut file) = self.0.as_deref() else { return };
        let PendingEntry { mut entry, started, completed } = pending;
        let round_to_ms = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        entry.msec = round_to_ms(now.as_secs_f64());
        entry.request_time = round_to_ms(started.elapsed().as_secs_f64());
        entry.body_bytes_sent = sent.body;
        entry.bytes_sent = sent.head + sent.body;
        if entry.status == 0 {
            entry.status = CLIENT_GONE;
        }
        if completed == Some(true) {
            entry.request_completion = "OK".to_owned();
        }
        // One write per line, because nginx appends to the same file.
        let text = serde_json::to_string(&entry).unwrap_or_default() + "\n";
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::warn!(%error, "cannot write the access log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_entry_has_exactly_the_fields_of_the_log_format() {
        let object: String = FIELDS
            .iter()
            .map(|(name, _, text)| format!("\"{name}\":{}", if *text { "\"\"" } else { "1" }))
            .collect::<Vec<_>>()
            .join(",");
        serde_json::from_str::<LogEntry>(&format!("{{{object}}}")).unwrap();
    }
}
