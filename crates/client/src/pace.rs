//! The limit on a viewer's reading: each piece delays the next one by its size divided by the rate.

use std::cell::Cell;

use hls_swarm_os::clock::now_ns;

/// Time that may be made up after a late read, nanoseconds.
const SLACK_NS: u64 = 20_000_000;
/// Pieces per second.
const PIECES: u64 = 50;

/// The pace of one viewer, over all of its connections.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes per second; 0 = no limit.
    rate: u64,
    /// The time at which what was read so far fits the rate.
    paid_ns: Cell<u64>,
}

impl Pace {
    /// `bits` per second; `None` = no limit.
    pub(crate) fn new(bits: Option<u64>) -> Self {
        Self { rate: bits.map_or(0, |bits| (bits / 8).max(1)), paid_ns: Cell::new(0) }
    }

    /// The most bytes of one read; `None` = any number.
    pub(crate) fn most(&self) -> Option<u64> {
        (self.rate > 0).then(|| (self.rate / PIECES).max(64))
    }

    /// The size of the receive buffer, bytes: what is in it has arrived too early.
    pub(crate) fn receive_buffer(&self) -> Option<u32> {
        /// A few packets; with less, the sender would wait for probes of the window.
        const SMALLEST: u64 = 16 << 10;
        (self.rate > 0)
            .then(|| u32::try_from(self.rate / 10).unwrap_or(u32::MAX).clamp(SMALLEST as u32, 256 << 10))
    }

    /// How long to wait before the next read, nanoseconds.
    pub(crate) fn debt_ns(&self) -> u64 {
        if self.rate == 0 { 0 } else { self.paid_ns.get().saturating_sub(now_ns()) }
    }

    /// Accounts for bytes that were read.
    pub(crate) fn pay(&self, bytes: u64) {
        if let Some(cost) = bytes.saturating_mul(1_000_000_000).checked_div(self.rate) {
            let earliest = now_ns().saturating_sub(SLACK_NS);
            self.paid_ns.set(self.paid_ns.get().max(earliest).saturating_add(cost));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_delays_the_next_read() {
        let pace = Pace::new(Some(8_000_000));
        assert_eq!((pace.most(), pace.debt_ns()), (Some(20_000), 0));
        pace.pay(100_000);
        // 0.1 s at 1 MB/s, less what may be made up.
        assert!((70_000_000..=100_000_000).contains(&pace.debt_ns()), "{}", pace.debt_ns());
        assert_eq!(Pace::new(None).most(), None);
    }
}
