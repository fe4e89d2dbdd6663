//! Counts that are reported as totals of each connection: TCP retransmits by the kernel, lost packets by QUIC.

use std::collections::{HashMap, VecDeque};

use crate::exchange::Exchange;

/// Connections of a viewer that are remembered; players keep a few open at a time.
const CONNECTIONS: usize = 16;

/// The last total of each connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// By viewer: generation, connection and total.
    known: HashMap<u32, VecDeque<(u32, u32, u32)>>,
}

impl Totals {
    /// The number of events since the previous exchange on the same connection, of which `total` is the number so far;
    /// `None` if that is not known.
    pub(crate) fn add(&mut self, exchange: &Exchange, total: Option<u32>) -> Option<u64> {
        let total = total?;
        let connections = self.known.entry(exchange.viewer).or_default();
        let same = |(generation, connection, _): &&mut (u32, u32, u32)| {
            (*generation, *connection) == (exchange.generation, exchange.connection)
        };
        if let Some((_, _, before)) = connections.iter_mut().find(same) {
            let more = total.saturating_sub(*before);
            *before = total;
            return Some(more.into());
        }
        if connections.len() == CONNECTIONS {
            connections.pop_front();
        }
        connections.push_back((exchange.generation, exchange.connection, total));
        Some(total.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::segment;

    #[test]
    fn totals_of_connections_are_counted_once() {
        let mut retransmits = Totals::default();
        let mut add = |viewer, generation, connection, total| {
            retransmits.add(&Exchange { generation, connection, ..segment(viewer) }, Some(total)).unwrap()
        };
        assert_eq!([add(1, 1, 1, 2), add(1, 1, 2, 1), add(1, 1, 1, 2), add(1, 1, 1, 5)], [2, 1, 0, 3]);
        assert_eq!([add(1, 2, 1, 1), add(2, 1, 1, 4)], [1, 4], "another process, another viewer");
        assert_eq!(retransmits.add(&segment(1), None), None);
    }
}
