//! Where the access log is written.

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

use crate::fault_proxy::metered_stream::Sent;
use crate::profile::{Access, Log};

/// The log's path as it can stand between quotes in nginx.conf; none if nothing is logged. Without a
/// path of its own it lies where systemd wants logs, else among temporary files, named by the port.
pub(crate) fn place(log: &Log, port: u16) -> Result<Option<String>, Failure> {
    if log.access == Access::Off {
        return Ok(None);
    }
    let file = if log.file.is_empty() {
        let ending = if log.gzip_level > 0 { "ndjson.gz" } else { "ndjson" };
        match std::env::var_os("LOGS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(directory) => directory.join(format!("access.{ending}")),
            None => std::env::temp_dir().join(format!("hls-origin-{port}-access.{ending}")),
        }
    } else {
        PathBuf::from(&log.file)
    };
    quotable(&file).map(Some)
}

fn quotable(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(Path::to_str);
    let fits = |text: &&str| !text.contains(|letter: char| letter.is_control() || "\"$\\".contains(letter));
    text.filter(fits).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("the access log's path {path:?} cannot be written into nginx.conf")).help(
            "choose a path that is UTF-8 and holds no quotes, dollars, backslashes or control characters",
        )
    })
}

/// Name of the format within nginx.conf.
pub const FORMAT_NAME: &str = "origin_json";

/// The fields: JSON name, nginx variable, and whether the value is text (else a bare number).
const FIELDS: [(&str, &str, bool); 15] = [
    ("msec", "msec", false),
    ("remote_addr", "remote_addr", true),
    ("remote_port", "remote_port", false),
    ("connection", "connection", false),
    ("connection_requests", "connection_requests", false),
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
];

/// The `log_format` directive; goes into the `http` block.
#[must_use]
pub fn log_format() -> String {
    let field = |(name, variable, text): &(&str, &str, bool)| {
        let quote = if *text { "\"" } else { "" };
        format!("\"{name}\":{quote}${variable}{quote}")
    };
    let fields: Vec<String> = FIELDS.iter().map(field).collect();
    format!("log_format {FORMAT_NAME} escape=json\n        '{{{}}}';", fields.join(",'\n        '"))
}

/// One line of the access log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// When the response was over, in seconds since the epoch.
    pub msec: f64,
    /// The viewer's address.
    pub remote_addr: String,
    /// The viewer's port; with the address it names the connection's other end.
    pub remote_port: u16,
    /// nginx's number of the connection.
    pub connection: u64,
    /// The how-manieth request on its connection this is.
    pub connection_requests: u64,
    /// Method; empty when the request could not be read.
    pub request_method: String,
    /// Normalised path without arguments; empty when the request could not be read.
    pub uri: String,
    /// Arguments behind the question mark.
    pub args: String,
    /// Status of the response.
    pub status: u16,
    /// Bytes of body handed to the kernel.
    pub body_bytes_sent: u64,
    /// Bytes of header and body handed to the kernel.
    pub bytes_sent: u64,
    /// Seconds from the request's first byte to the response's last one.
    pub request_time: f64,
    /// The viewer's name.
    pub http_user_agent: String,
    /// `OK` when the response was sent whole, else empty.
    pub request_completion: String,
    /// The Range asked for.
    pub http_range: String,
}

/// The log; or nothing, if none was asked for.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog(Option<Arc<File>>);

/// A request that will be told when its response is over.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) entry: Entry,
    pub(crate) began: Instant,
    /// Whether it was sent whole, as soon as it is over.
    pub(crate) over: Option<bool>,
}

impl Line {
    /// The line of a request on the connection `number`, its `place`-th one.
    pub(crate) fn new<B>(request: &Request<B>, peer: SocketAddr, number: u64, place: u64) -> Self {
        let header = |name: HeaderName| {
            let value = request.headers().get(name).map(|value| value.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let entry = Entry {
            msec: 0.0,
            remote_addr: peer.ip().to_canonical().to_string(),
            remote_port: peer.port(),
            connection: number,
            connection_requests: place,
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
        };
        Self { entry, began: Instant::now(), over: None }
    }
}

impl AccessLog {
    /// Opens the log; lines are added at its end.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                Failure::preflight(format!("cannot write the access log {}", path.display()))
                    .caused_by(error)
                    .help("pass --access-log with a path that you may write to")
            })
        };
        Ok(Self(path.map(open).transpose()?.map(Arc::new)))
    }

    /// Adds a line.
    pub(crate) fn tell(&self, line: Line, sent: Sent) {
        let Some(mut file) = self.0.as_deref() else { return };
        let Line { mut entry, began, over } = line;
        let thousandths = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        entry.msec = thousandths(now.as_secs_f64());
        entry.request_time = thousandths(began.elapsed().as_secs_f64());
        entry.body_bytes_sent = sent.body;
        entry.bytes_sent = sent.head + sent.body;
        if over == Some(true) {
            entry.request_completion = "OK".to_owned();
        }
        // One write per line: nginx adds to the same file.
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
    fn an_entry_has_exactly_the_fields_of_the_format() {
        let object: String = FIELDS
            .iter()
            .map(|(name, _, text)| format!("\"{name}\":{}", if *text { "\"\"" } else { "1" }))
            .collect::<Vec<_>>()
            .join(",");
        serde_json::from_str::<Entry>(&format!("{{{object}}}")).unwrap();
    }
}
