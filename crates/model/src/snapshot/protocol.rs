//! The versions of HTTP that viewers spoke, with their figures.

use serde::{Deserialize, Serialize};

use super::latency::Quantiles;
use crate::exchange::HttpVersion;
use crate::merge::{self, first, larger, merge_fields};

/// A version of HTTP, with its figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProtocolRow {
    /// The version.
    pub http: HttpVersion,
    /// Requests.
    pub requests: u64,
    /// Body bytes.
    pub bytes: u64,
    /// Connections that carried a request.
    pub connections: u64,
    /// The most requests under way at the same time on one connection.
    pub most_streams: u64,
    /// From the beginning of a connection until its first request could be sent, without the name lookup, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Quantiles>,
    /// TCP segments that viewers had to send again; absent where the kernel was not asked, and with QUIC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Packets that viewers sent by QUIC and that were lost; absent with TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_packets: Option<u64>,
}

/// Percentiles follow from the whole distributions.
fn derived(_: &mut Option<Quantiles>, _: &Option<Quantiles>) {}

merge_fields! { ProtocolRow {
    http = first, requests, bytes, connections, most_streams = larger, handshake = derived, retransmits, lost_packets,
} }

impl ProtocolRow {
    /// The name of the whole distribution of `handshake` in reports.
    #[must_use]
    pub fn handshake_histogram(http: HttpVersion) -> String {
        format!("http.{}.handshake", http.name())
    }
}

/// Adds the rows of another part of the load.
pub(crate) fn merge_rows(rows: &mut Vec<ProtocolRow>, others: &[ProtocolRow]) {
    merge::rows(rows, others, |a, b| a.http == b.http);
    rows.sort_by_key(|row| row.http);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_same_version_add_up() {
        let row =
            |http, most_streams| ProtocolRow { http, requests: 2, most_streams, ..ProtocolRow::default() };
        let mut rows = vec![row(HttpVersion::Http3, 1)];
        merge_rows(&mut rows, &[row(HttpVersion::Http1, 1), row(HttpVersion::Http3, 4)]);
        let facts: Vec<_> =
            rows.iter().map(|row| (row.http.name(), row.requests, row.most_streams)).collect();
        assert_eq!(facts, [("1.1", 2, 1), ("3", 4, 4)]);
    }
}
