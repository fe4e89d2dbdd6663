//! The access log's format: one JSON object per line, so that a test can compare what the origin
//! served with what viewers counted, request by request.

use serde::{Deserialize, Serialize};

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
