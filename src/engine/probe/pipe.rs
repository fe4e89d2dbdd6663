//! The one pipe through which the probes of all viewers report.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::net::unix::pipe;

use hls_swarm_base::error::Failure;
use hls_swarm_probe::record::{Frame, Record, what};

/// Asked of the kernel; it is the most that an unprivileged process may have, and holds some two
/// thousand records.
const CAPACITY: i32 = 1 << 20;

/// Read at once.
const READ_BYTES: usize = 32 << 10;

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
            Failure::internal("cannot make the probe's pipe").caused_by(error).help("raise ulimit -n")
        };
        // Non-blocking on both ends: a full pipe must never hold up a viewer.
        let (read, write) =
            pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|error| refused(error.into()))?;
        if let Err(error) = fcntl(&write, FcntlArg::F_SETPIPE_SZ(CAPACITY)) {
            tracing::debug!(%error, "the probe's pipe stays at its default size");
        }
        let pipe = pipe::Receiver::from_owned_fd(read).map_err(refused)?;
        Ok((Self { write }, ProbeReader { pipe, order: Order::default(), unread: Vec::new() }))
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
    /// Whole frames.
    bytes: Vec<u8>,
    /// Whether nobody can write into the pipe any more.
    pub ended: bool,
    /// Records that never arrived, noticed by this read.
    pub lost: u64,
}

impl Batch {
    /// The frames, in the order of the pipe.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (frame, size) = Frame::first(rest).ok()??;
            rest = rest.get(size..)?;
            Some(frame)
        })
    }

    /// Whether it brought no frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The read end.
#[derive(Debug)]
pub struct ProbeReader {
    pipe: pipe::Receiver,
    order: Order,
    /// The beginning of a frame whose rest is still in the pipe.
    unread: Vec<u8>,
}

impl ProbeReader {
    /// Waits for frames, or for the end of the pipe.
    ///
    /// # Errors
    /// The pipe failed, or something is in it that the probe did not write.
    pub async fn next(&mut self) -> io::Result<Batch> {
        loop {
            self.pipe.readable().await?;
            let batch = self.pending()?;
            if !batch.is_empty() || batch.ended {
                return Ok(batch);
            }
        }
    }

    /// Records that are still awaited, when nothing comes any more: they are lost.
    pub fn end(&mut self) -> u64 {
        self.order.end()
    }

    /// Takes what is in the pipe now, without waiting.
    ///
    /// # Errors
    /// The pipe failed, or something is in it that the probe did not write.
    pub fn pending(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut buffer = [0_u8; READ_BYTES];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => batch.ended = true,
            Ok(read) => self.take(buffer.get(..read).unwrap_or_default(), &mut batch)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(batch)
    }

    /// Takes what was read. A write is whole in the pipe, but a read may end inside it.
    fn take(&mut self, bytes: &[u8], batch: &mut Batch) -> io::Result<()> {
        self.unread.extend_from_slice(bytes);
        let mut rest = self.unread.as_slice();
        while let Some((frame, size)) = Frame::first(rest).map_err(io::Error::other)? {
            rest = rest.get(size..).unwrap_or_default();
            if let Frame::Record(record) = &frame {
                batch.lost += self.order.missing(record);
            }
        }
        let rest = self.unread.split_off(self.unread.len() - rest.len());
        batch.bytes = std::mem::replace(&mut self.unread, rest);
        Ok(())
    }
}

/// How many later records of a process may overtake one. Its threads take a number and write in two
/// steps, so that numbers next to each other may change places.
const OVERTAKEN: u32 = 64;

/// Sees what is missing from the records of each process.
#[derive(Debug, Default)]
struct Order {
    /// By viewer: its generation, and its processes.
    viewers: HashMap<u32, (u32, HashMap<u32, Seen>)>,
}

/// What has been seen of one process.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The sequence number that comes next.
    next: u32,
    /// Numbers below it that have not come.
    awaited: BTreeSet<u32>,
    /// Records that did not come in time.
    overdue: u64,
    /// Facts that the process said it could not record.
    lost: u64,
    /// What of both has been told already.
    told: u64,
}

impl Seen {
    fn take(&mut self, record: &Record) -> u64 {
        self.awaited.remove(&record.sequence);
        self.awaited.extend(self.next..record.sequence);
        self.next = self.next.max(record.sequence.saturating_add(1));
        let in_time = self.awaited.split_off(&self.next.saturating_sub(OVERTAKEN));
        self.overdue += std::mem::replace(&mut self.awaited, in_time).len() as u64;
        self.lost = self.lost.max(u64::from(record.lost));
        self.tell()
    }

    /// The process has ended: what is awaited will not come any more.
    fn end(&mut self) -> u64 {
        self.overdue += std::mem::take(&mut self.awaited).len() as u64;
        self.tell()
    }

    /// A record that did not fit into the pipe leaves a gap and is counted; a fact that came to no record
    /// is only counted.
    fn tell(&mut self) -> u64 {
        let all = self.overdue.max(self.lost);
        let new = all - self.told;
        self.told = all;
        new
    }
}

impl Order {
    fn missing(&mut self, record: &Record) -> u64 {
        let (generation, processes) =
            self.viewers.entry(record.viewer).or_insert_with(|| (record.generation, HashMap::new()));
        let mut missing = 0;
        if *generation < record.generation {
            *generation = record.generation;
            missing += processes.drain().map(|(_, mut seen)| seen.end()).sum::<u64>();
        }
        // A straggler of an earlier generation, whose count was cleared, proves no loss.
        if record.generation < *generation {
            return missing;
        }
        let seen = processes.entry(record.pid).or_default();
        // A wrapper that calls exec greets again under the same pid, counting from 0.
        if record.what == what::HELLO && record.sequence == 0 {
            missing += std::mem::take(seen).end();
        }
        missing + seen.take(record)
    }

    /// What is still awaited when nothing comes any more.
    fn end(&mut self) -> u64 {
        let processes = self.viewers.values_mut().flat_map(|(_, processes)| processes.values_mut());
        processes.map(Seen::end).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(viewer: u32, generation: u32, pid: u32, sequence: u32) -> Record {
        let kind = if sequence == 0 { what::HELLO } else { what::EXCHANGE };
        Record { viewer, generation, pid, sequence, what: kind, ..Record::EMPTY }
    }

    fn missing(order: &mut Order, records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| order.missing(record)).collect()
    }

    #[test]
    fn gaps_are_counted_per_process_when_it_ends() {
        let mut order = Order::default();
        let records = [
            record(1, 1, 10, 0),
            record(2, 1, 11, 0),
            record(1, 1, 10, 1),
            record(1, 1, 10, 4),
            record(1, 1, 10, 0),
            record(1, 1, 10, 2),
            record(1, 2, 12, 0),
            record(1, 2, 12, 2),
            record(1, 1, 10, 9),
        ];
        assert_eq!(missing(&mut order, &records), [0, 0, 0, 0, 2, 0, 1, 0, 0]);
        // Two records did not fit (a gap of two more), and one fact came to no record.
        assert_eq!(order.missing(&Record { lost: 4, ..record(1, 2, 12, 5) }), 4);
        assert_eq!(order.missing(&Record { lost: 4, ..record(1, 2, 12, 6) }), 0);
        assert_eq!((order.end(), order.end()), (0, 0));
    }

    #[test]
    fn threads_that_overtake_each_other_lose_nothing() {
        let mut order = Order::default();
        let records = [0, 2, 1, 3, 6, 5, 4, 7].map(|sequence| record(1, 1, 10, sequence));
        assert_eq!(missing(&mut order, &records), [0; 8]);
        assert_eq!(order.end(), 0);
    }

    #[test]
    fn what_does_not_come_for_long_is_lost_before_the_end() {
        let mut order = Order::default();
        let records: Vec<Record> =
            (0..100).filter(|sequence| *sequence != 7).map(|sequence| record(1, 1, 10, sequence)).collect();
        assert_eq!(missing(&mut order, &records).iter().sum::<u64>(), 1);
        assert_eq!(order.end(), 0);
    }
}
