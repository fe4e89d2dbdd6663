//! The records of the events on a connection.

use core::ffi::c_int;

use super::{Socket, State};
use crate::{network, pipe};
use crate::sys::TcpInfo;
use crate::wire::{Record, end, flag, kind};

impl Socket {
    pub(super) fn not_connected(&mut self, error: c_int, how: u8, now: u64) {
        let mut record = self.identified(kind::CONNECT_FAILED, how);
        record.error = errno_field(error);
        record.started_ns = self.connect_started;
        record.idle_ns = now.saturating_sub(self.connect_started);
        self.state = State::Free;
        network::connect_failed();
        pipe::write(record);
    }

    pub(super) fn report_exchange(&mut self, info: Option<TcpInfo>, how: u8, error: c_int, now: u64) {
        /// Later than this after the last arrival, the viewer's reading does not measure the network.
        const READ_LATE_NS: u64 = 8_000_000;
        if how == end::COMPLETE {
            self.pass_piece(true);
        }
        let mut record = self.identified(kind::EXCHANGE, how);
        record.error = errno_field(error);
        record.started_ns = self.started;
        self.add_connection(&mut record);
        let last_arrival = self.add_tcp_info(&mut record, info, now);
        record.excess = core::mem::take(&mut self.excess);
        if how == end::COMPLETE && !self.tls && !self.superseded && record.has(flag::TCP_INFO) {
            let read = record.head_bytes.wrapping_add(record.body_bytes);
            let more = u32::try_from(record.received.saturating_sub(read)).unwrap_or(u32::MAX);
            record.excess = record.excess.max(more);
        }
        if self.first_byte != 0 {
            record.flags |= flag::FIRST_BYTE;
            record.first_byte_ns = self.first_byte.saturating_sub(self.started);
            record.download_ns = self.last_byte.saturating_sub(self.first_byte);
            // The kernel dates the arrival to within a tick. Under a cap it arrives when it is read.
            if let Some(arrival) = last_arrival
                && !network::is_capped()
                && self.last_byte.saturating_sub(arrival) >= READ_LATE_NS.saturating_add(pipe::tick())
            {
                record.flags |= flag::ARRIVED_EARLIER;
                record.download_ns = arrival.saturating_sub(self.first_byte);
            }
        }
        if self.stale && self.first_byte == 0 {
            record.flags |= flag::STALE;
        }
        if how != end::COMPLETE {
            let since = if self.last_byte != 0 { self.last_byte } else { self.started };
            record.idle_ns = now.saturating_sub(since);
        }
        pipe::write(record);
    }

    pub(super) fn closed(&mut self, info: Option<TcpInfo>, how: u8, now: u64) {
        let mut record = self.identified(kind::CLOSED, how);
        record.error = errno_field(self.error);
        record.started_ns = self.connect_started;
        self.add_connection(&mut record);
        self.add_tcp_info(&mut record, info, now);
        self.state = State::Free;
        pipe::write(record);
    }

    /// A record that identifies its connection and request, with the facts of HTTP for an exchange.
    pub(super) fn identified(&self, kind: u8, how: u8) -> Record {
        let mut record = if kind == self::kind::EXCHANGE { self.follower.facts() } else { Record::EMPTY };
        record.kind = kind;
        record.end = how;
        record.connection = self.connection;
        record.request = self.requests;
        record.peer_family = self.peer.family;
        record.peer_port = self.peer.port;
        record.peer = self.peer.address;
        record.local_port = self.local_port;
        if self.tls {
            record.flags |= flag::TLS;
            if self.hidden {
                record.flags |= flag::HIDDEN;
            }
        }
        record
    }

    /// Adds measurements of the connection that no record has reported yet.
    fn add_connection(&mut self, record: &mut Record) {
        record.flags |= self.unreported;
        if record.has(flag::DNS) {
            record.dns_ns = self.dns_ns;
        }
        if record.has(flag::CONNECT) {
            record.connect_ns = self.connect_ns;
        }
        if record.has(flag::TLS_HANDSHAKE) {
            record.tls_ns = self.tls_ns;
        }
        self.unreported = 0;
    }

    /// Adds the kernel's information; returns when the last data packet arrived.
    fn add_tcp_info(&mut self, record: &mut Record, info: Option<TcpInfo>, now: u64) -> Option<u64> {
        let info = info?;
        // (A RST after the viewer's own FIN leaves the same state; then this is 1 byte short.)
        let both_ended = self.writing_ended && self.error == 0 && info.state == TcpInfo::CLOSE;
        self.fin |= info.has_fin() || both_ended;
        let received = info.bytes_received.saturating_sub(u64::from(self.fin));
        record.flags |= flag::TCP_INFO;
        record.received = received.saturating_sub(self.reported_received);
        record.rtt_us = info.rtt_us;
        record.min_rtt_us = info.min_rtt_us;
        record.retransmits = info.retransmits;
        self.reported_received = received.max(self.reported_received);
        Some(now.saturating_sub(u64::from(info.last_data_received_ms).wrapping_mul(1_000_000)))
    }
}

fn errno_field(error: c_int) -> u16 {
    u16::try_from(error).unwrap_or(u16::MAX)
}
