//! Statistics by version of HTTP.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::retransmits::Totals;
use crate::exchange::{Exchange, HttpVersion};
use crate::snapshot::ProtocolRow;

/// The figures of all versions that were spoken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protocols {
    figures: BTreeMap<HttpVersion, Figures>,
    lost_packets: Totals,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    requests: u64,
    bytes: u64,
    connections: u64,
    most_streams: u64,
    handshake: Distribution,
    retransmits: Option<u64>,
    lost_packets: Option<u64>,
}

impl Protocols {
    /// Adds an exchange, before which its connection had `retransmits` since the exchange before, if that is known.
    pub(crate) fn add(&mut self, exchange: &Exchange, retransmits: Option<u64>) {
        let lost_packets = self.lost_packets.add(exchange, exchange.lost_packets);
        let figures = self.figures.entry(exchange.http).or_default();
        figures.requests += 1;
        figures.bytes += exchange.body_bytes;
        figures.most_streams = figures.most_streams.max(exchange.streams.into());
        if let Some(handshake_ns) = handshake_ns(exchange) {
            figures.connections += 1;
            figures.handshake.add_ns(handshake_ns);
        }
        for (sum, more) in
            [(&mut figures.retransmits, retransmits), (&mut figures.lost_packets, lost_packets)]
        {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// A row for each version.
    pub(crate) fn rows(&self) -> Vec<ProtocolRow> {
        let row = |(http, figures): (&HttpVersion, &Figures)| ProtocolRow {
            http: *http,
            requests: figures.requests,
            bytes: figures.bytes,
            connections: figures.connections,
            most_streams: figures.most_streams,
            handshake: figures.handshake.quantiles(),
            retransmits: figures.retransmits,
            lost_packets: figures.lost_packets,
        };
        self.figures.iter().map(row).collect()
    }

    /// Whole distributions by name, for the report.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (String, &Distribution)> {
        self.figures
            .iter()
            .map(|(http, figures)| (ProtocolRow::handshake_histogram(*http), &figures.handshake))
    }
}

/// How long it took until the first request of a connection could be sent, without the name lookup: the TCP connection
/// and the TLS handshake, or the QUIC handshake.
fn handshake_ns(exchange: &Exchange) -> Option<u64> {
    let tcp = exchange.connect_ns.map(|connect| connect.saturating_add(exchange.tls_ns.unwrap_or(0)));
    exchange.quic_ns.or(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::segment;

    #[test]
    fn figures_belong_to_the_version_that_was_spoken() {
        let mut protocols = Protocols::default();
        let http2 = |connection, streams, connect_ns: Option<u64>| Exchange {
            http: HttpVersion::Http2,
            connection,
            streams,
            connect_ns,
            tls_ns: connect_ns.map(|connect| connect * 3),
            ..segment(1)
        };
        protocols.add(&http2(1, 1, Some(1_000_000)), Some(2));
        protocols.add(&http2(1, 3, None), Some(0));
        let http3 = |lost_packets, quic_ns| Exchange {
            http: HttpVersion::Http3,
            connection: 2,
            connect_ns: None,
            quic_ns,
            lost_packets: Some(lost_packets),
            ..segment(1)
        };
        protocols.add(&http3(1, Some(5_000_000)), None);
        protocols.add(&http3(4, None), None);
        let rows = protocols.rows();
        let facts: Vec<_> = rows
            .iter()
            .map(|row| {
                let handshake = row.handshake.map(|times| (times.count, times.max));
                (row.http, row.requests, row.connections, row.most_streams, handshake)
            })
            .collect();
        assert_eq!(
            facts,
            [
                (HttpVersion::Http2, 2, 1, 3, Some((1, 0.004))),
                (HttpVersion::Http3, 2, 1, 1, Some((1, 0.005))),
            ]
        );
        assert_eq!((rows[0].bytes, rows[0].retransmits, rows[0].lost_packets), (2000, Some(2), None));
        assert_eq!((rows[1].retransmits, rows[1].lost_packets), (None, Some(4)), "totals of a connection");
    }
}
