//! The versions of HTTP that viewers spoke, for people.

use hls_swarm_model::exchange::HttpVersion;
use hls_swarm_model::snapshot::{ProtocolRow, Snapshot};

use super::figures::{bytes, count, milliseconds};

/// The heads of the columns.
pub const HEAD: [&str; 7] =
    ["HTTP", "Requests", "Received", "Connections", "Streams at once", "Handshake p95", "Sent again or lost"];
/// A figure that was not measured.
const ABSENT: &str = "-";

/// A row for each version; none if viewers spoke HTTP/1.1 alone, of which the other figures say the same.
#[must_use]
pub fn rows(snapshot: &Snapshot) -> Vec<[String; 7]> {
    let is_other = |row: &ProtocolRow| row.http != HttpVersion::Http1;
    if !snapshot.protocols.iter().any(is_other) {
        return Vec::new();
    }
    snapshot.protocols.iter().map(row).collect()
}

fn row(row: &ProtocolRow) -> [String; 7] {
    let absent = || ABSENT.to_owned();
    [
        row.http.name().to_owned(),
        count(row.requests),
        bytes(row.bytes),
        count(row.connections),
        count(row.most_streams),
        row.handshake.map_or_else(absent, |times| milliseconds(times.p95)),
        row.retransmits.or(row.lost_packets).map_or_else(absent, count),
    ]
}
