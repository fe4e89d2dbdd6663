//! The access log of what this program answers itself, in nginx's format and in nginx's file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Request;
use hyper::header::{HeaderName, RANGE, USER_AGENT};
use tokio::time::Instant;

use hls_swarm_base::error::Failure;

use crate::access_log::format::Entry;
use crate::fault_proxy::sent::Sent;

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
