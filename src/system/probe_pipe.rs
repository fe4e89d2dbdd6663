//! The one pipe through which the probes of all viewers report.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::net::unix::pipe;

use crate::words::failure::Failure;
use crate::words::wire::{RECORD_BYTES, Record, what};

/// Asked of the kernel; it is the most that an unprivileged process may have, and holds some two
/// thousand records.
const CAPACITY: i32 = 1 << 20;

/// The write end, which viewers inherit.
#[derive(Debug)]
pub struct ProbePipe {
    write: OwnedFd,
}

impl ProbePipe {
    /// Makes the pipe.
    ///
    /// # Errors
    /// The operating system refuses it.
    pub fn new() -> Result<(Self, ProbeReader), Failure> {
        let refused = |error: io::Error| {
            Failure::internal("cannot make the probe's pipe").because(error).cure("raise ulimit -n")
        };
        // Non-blocking on both ends: a full pipe must never hold up a viewer.
        let (read, write) =
            pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|error| refused(error.into()))?;
        if let Err(error) = fcntl(&write, FcntlArg::F_SETPIPE_SZ(CAPACITY)) {
            tracing::debug!(%error, "the probe's pipe stays at its default size");
        }
        let pipe = pipe::Receiver::from_owned_fd(read).map_err(refused)?;
        Ok((Self { write }, ProbeReader { pipe, order: Order::default() }))
    }

    /// The number under which a child inherits the write end.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }
}

/// What a read brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records, in the order of the pipe.
    pub records: Vec<Record>,
    /// Records that never arrived, noticed by this read.
    pub lost: u64,
}

/// The read end.
#[derive(Debug)]
pub struct ProbeReader {
    pipe: pipe::Receiver,
    order: Order,
}

impl ProbeReader {
    /// Waits for records.
    ///
    /// # Errors
    /// The pipe failed, or a record is not one of ours.
    pub async fn next(&mut self) -> io::Result<Batch> {
        loop {
            self.pipe.readable().await?;
            let batch = self.pending()?;
            if !batch.records.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// Takes what is in the pipe now, without waiting.
    ///
    /// # Errors
    /// The pipe failed, or a record is not one of ours.
    pub fn pending(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        // A whole number of records; writes are atomic, so a read never cuts one.
        let mut buffer = [0_u8; RECORD_BYTES * 64];
        match self.pipe.try_read(&mut buffer) {
            Ok(read) => {
                for bytes in buffer.get(..read).unwrap_or_default().chunks(RECORD_BYTES) {
                    let record = Record::from_bytes(bytes)
                        .ok_or_else(|| io::Error::other("the probe's pipe holds something else"))?;
                    batch.lost += self.order.missing(&record);
                    batch.records.push(record);
                }
                Ok(batch)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(batch),
            Err(error) => Err(error),
        }
    }
}

/// Sees gaps in the sequence of each process's records.
#[derive(Debug, Default)]
struct Order {
    /// By viewer: its generation, and the next sequence number of each of its processes.
    viewers: HashMap<u32, (u32, HashMap<u32, u32>)>,
}

impl Order {
    fn missing(&mut self, record: &Record) -> u64 {
        let (generation, processes) =
            self.viewers.entry(record.viewer).or_insert_with(|| (record.generation, HashMap::new()));
        if *generation < record.generation {
            *generation = record.generation;
            processes.clear();
        }
        // A wrapper that calls exec greets again under the same pid, counting from 0.
        let fresh = record.what == what::HELLO && record.sequence == 0;
        let next = if fresh { 0 } else { processes.get(&record.pid).copied().unwrap_or(0) };
        processes.insert(record.pid, record.sequence.wrapping_add(1));
        // A straggler of an earlier generation, or a pid that was cleared, proves no loss.
        u64::from(record.sequence.saturating_sub(next)) * u64::from(record.generation == *generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(viewer: u32, generation: u32, pid: u32, sequence: u32) -> Record {
        let kind = if sequence == 0 { what::HELLO } else { what::EXCHANGE };
        Record { viewer, generation, pid, sequence, what: kind, ..Record::EMPTY }
    }

    #[test]
    fn gaps_are_counted_per_process() {
        let mut order = Order::default();
        let lost: Vec<u64> = [
            record(1, 1, 10, 0),
            record(2, 1, 11, 0),
            record(1, 1, 10, 1),
            record(1, 1, 10, 4),
            record(1, 1, 10, 0),
            record(1, 1, 10, 1),
            record(1, 2, 12, 0),
            record(1, 2, 12, 2),
        ]
        .iter()
        .map(|record| order.missing(record))
        .collect();
        assert_eq!(lost, [0, 0, 0, 2, 0, 0, 0, 1]);
    }
}
