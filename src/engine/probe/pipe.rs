//! The pipe through which the probes of all viewers report, and the task that reads it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_model::event::Event;
use hls_swarm_os::clock::now_ns;
use hls_swarm_probe::record::{Frame, Record, kind};

use super::decode::Decoder;
use super::playlists::SharedPlaylists;

/// Size of the pipe, bytes: the most that an unprivileged process may ask for, and room for about 2000
/// records.
const CAPACITY: i32 = 1 << 20;

/// How often failed connections are released that no record of their process follows.
const OVERDUE_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum size of one read, bytes.
const READ_BYTES: usize = 32 << 10;

/// How long the reader lets records accumulate. Frames have their own times, so nothing is lost by reading them later,
/// and many viewers do not wake the program for each of their frames.
const PAUSE: Duration = Duration::from_millis(20);
/// The same if more than `BUSY_BYTES` had accumulated: the pipe must never be full.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
const BUSY_BYTES: usize = CAPACITY as usize / 16;

/// The write end, which viewers inherit.
#[derive(Debug)]
pub struct ProbePipe {
    write: OwnedFd,
}

impl ProbePipe {
    /// Creates the pipe.
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
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        let reader = ProbeReader {
            pipe: read,
            buffer,
            order: Order::default(),
            unread: Vec::new(),
            playlists: SharedPlaylists::default(),
            since_pause: 0,
        };
        Ok((Self { write }, reader))
    }

    /// The file descriptor number of the write end in a child.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }
}

/// The result of one read.
#[derive(Debug, Default)]
pub struct Batch {
    /// Whole frames.
    bytes: Vec<u8>,
    /// Whether no process can write into the pipe any more.
    pub ended: bool,
    /// Number of records that were found to be lost in this read.
    pub lost: u64,
}

impl Batch {
    /// The frames, in the order in which they were written.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (frame, size) = Frame::first(rest).ok()??;
            rest = rest.get(size..)?;
            Some(frame)
        })
    }

    /// Whether it has no frames.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The read end.
#[derive(Debug)]
pub struct ProbeReader {
    pipe: OwnedFd,
    buffer: Box<[u8]>,
    order: Order,
    /// The beginning of a frame whose rest is still in the pipe.
    unread: Vec<u8>,
    /// The playlists that viewers read.
    playlists: SharedPlaylists,
    /// Bytes that were read since the last pause.
    since_pause: usize,
}

impl ProbeReader {
    /// The playlists that viewers read, for others to add to.
    #[must_use]
    pub fn playlists(&self) -> SharedPlaylists {
        self.playlists.clone()
    }

    /// Waits for frames, or for the end of the pipe. It looks at the pipe at intervals, because the event loop would be
    /// woken by each single write.
    ///
    /// # Errors
    /// The pipe failed, or contains data that the probe did not write.
    pub async fn next(&mut self) -> io::Result<Batch> {
        loop {
            let batch = self.pending()?;
            if !batch.is_empty() || batch.ended {
                return Ok(batch);
            }
            let busy = std::mem::take(&mut self.since_pause) > BUSY_BYTES;
            sleep(if busy { BUSY_PAUSE } else { PAUSE }).await;
        }
    }

    /// Number of records that are still missing at the end, and therefore lost.
    pub fn end(&mut self) -> u64 {
        self.order.end()
    }

    /// Takes what is in the pipe now, without waiting.
    ///
    /// # Errors
    /// The pipe failed, or contains data that the probe did not write.
    pub fn pending(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        match read(&self.pipe, &mut self.buffer) {
            Ok(0) => batch.ended = true,
            Ok(bytes) => self.take(bytes, &mut batch)?,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(batch)
    }

    /// Takes the bytes that were read. A frame is written as a whole, but a read may end inside it.
    fn take(&mut self, bytes: usize, batch: &mut Batch) -> io::Result<()> {
        self.since_pause += bytes;
        self.unread.extend_from_slice(self.buffer.get(..bytes).unwrap_or_default());
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

/// Decodes frames and sends their events until `stop`, then those of the frames that are still in the pipe.
pub async fn forward(mut pipe: ProbeReader, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut decoder = Decoder::sharing(pipe.playlists());
    let mut overdue = interval(OVERDUE_INTERVAL);
    overdue.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            biased;
            batch = pipe.next() => batch,
            () = stop.cancelled() => break,
            _ = overdue.tick() => {
                let mut found = Vec::new();
                decoder.release(now_ns(), &mut |event| found.push(event));
                send(found, &events).await;
                continue;
            }
        };
        match batch {
            Ok(batch) => {
                let ended = batch.ended;
                send_batch(batch, &mut decoder, &events).await;
                if ended {
                    // A pipe at its end is always readable: another read would never wait.
                    stop.cancelled().await;
                    break;
                }
            }
            Err(error) => {
                // Without the pipe every figure from here on would be wrong.
                tracing::error!(%error, "the probe's pipe failed");
                drop(events.send(Event::FactsLost { records: 1 }).await);
                return;
            }
        }
    }
    while let Ok(batch) = pipe.pending()
        && !batch.is_empty()
    {
        send_batch(batch, &mut decoder, &events).await;
    }
    let mut rest = Vec::new();
    match pipe.end() {
        0 => {}
        records => rest.push(Event::FactsLost { records }),
    }
    decoder.finish(&mut |event| rest.push(event));
    send(rest, &events).await;
}

async fn send_batch(batch: Batch, decoder: &mut Decoder, events: &mpsc::Sender<Event>) {
    let mut found = Vec::new();
    if batch.lost > 0 {
        found.push(Event::FactsLost { records: batch.lost });
    }
    batch.frames().for_each(|frame| decoder.decode(&frame, &mut |event| found.push(event)));
    send(found, events).await;
}

async fn send(found: Vec<Event>, events: &mpsc::Sender<Event>) {
    for event in found {
        // The aggregator outlives this task; a closed channel means that the program is ending.
        drop(events.send(event).await);
    }
}

/// How many later records of a process may overtake one. Its threads take a number and write in two separate
/// steps, so neighboring numbers may arrive in the wrong order.
const OVERTAKEN: u32 = 64;

/// Finds the records of each process that are missing.
#[derive(Debug, Default)]
struct Order {
    /// By viewer: its generation, and its processes.
    viewers: HashMap<u32, (u32, HashMap<u32, Seen>)>,
}

/// The records of one process so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The sequence number that comes next.
    next: u32,
    /// Lower numbers that have not arrived.
    awaited: BTreeSet<u32>,
    /// Records that did not arrive in time.
    overdue: u64,
    /// Facts that the process reported it could not record.
    lost: u64,
    /// The part of both that has been reported already.
    reported: u64,
}

impl Seen {
    fn take(&mut self, record: &Record) -> u64 {
        self.awaited.remove(&record.sequence);
        // Of a wide gap only the end can still arrive. A record that was forged could open one of four billion.
        let recent = record.sequence.saturating_sub(OVERTAKEN);
        self.overdue += u64::from(recent.saturating_sub(self.next));
        self.awaited.extend(self.next.max(recent)..record.sequence);
        self.next = self.next.max(record.sequence.saturating_add(1));
        let in_time = self.awaited.split_off(&self.next.saturating_sub(OVERTAKEN));
        self.overdue += std::mem::replace(&mut self.awaited, in_time).len() as u64;
        self.lost = self.lost.max(u64::from(record.lost));
        self.new_losses()
    }

    /// Records that the process has ended: awaited records will not arrive any more.
    fn end(&mut self) -> u64 {
        self.overdue += std::mem::take(&mut self.awaited).len() as u64;
        self.new_losses()
    }

    /// Number of new losses. A record that did not fit into the pipe leaves a gap and is counted by the
    /// process; a fact for which there was no record is only counted.
    fn new_losses(&mut self) -> u64 {
        let all = self.overdue.max(self.lost);
        let new = all - self.reported;
        self.reported = all;
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
        // A late record of an earlier generation, whose count was cleared, is not evidence of a loss.
        if record.generation < *generation {
            return missing;
        }
        let seen = processes.entry(record.pid).or_default();
        // A wrapper that calls exec sends another hello with the same pid and counts from 0.
        if record.kind == kind::HELLO && record.sequence == 0 {
            missing += std::mem::take(seen).end();
        }
        missing + seen.take(record)
    }

    /// How many records are still awaited when nothing arrives any more.
    fn end(&mut self) -> u64 {
        let processes = self.viewers.values_mut().flat_map(|(_, processes)| processes.values_mut());
        processes.map(Seen::end).sum()
    }
}

#[cfg(test)]
mod tests {
    use hls_swarm_probe::record::{BODY_BYTES, BodyChunk, MAGIC, VERSION, end};

    use super::*;

    fn in_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn write(pipe: &ProbePipe, bytes: &[u8]) {
        assert_eq!(nix::unistd::write(&pipe.write, bytes), Ok(bytes.len()));
    }

    #[test]
    fn frames_are_complete_wherever_a_read_ends() {
        in_runtime(async {
            let (pipe, mut reader) = ProbePipe::new().unwrap();
            let record = record(1, 1, 10, 0);
            let mut piece =
                BodyChunk { magic: MAGIC, version: VERSION, kind: kind::BODY, ..BodyChunk::EMPTY };
            for length in (1..=100).map(|number| number * BODY_BYTES as u32 / 100) {
                piece.length = length;
                write(&pipe, piece.as_bytes());
                write(&pipe, record.as_bytes());
            }
            let (mut records, mut bytes) = (0, Vec::new());
            while records < 100 {
                let batch = reader.next().await.unwrap();
                for frame in batch.frames() {
                    match frame {
                        Frame::Record(found) => {
                            assert_eq!(found, record);
                            records += 1;
                        }
                        Frame::Body(piece) => bytes.push(piece.bytes.len()),
                    }
                }
            }
            let lengths: Vec<_> = (1..=100).map(|number| number * BODY_BYTES / 100).collect();
            assert_eq!(bytes, lengths);
            write(&pipe, b"something else");
            assert!(reader.next().await.is_err());
        });
    }

    #[test]
    fn a_pipe_that_fills_up_is_read_more_often() {
        in_runtime(async {
            let (pipe, mut reader) = ProbePipe::new().unwrap();
            let record = record(1, 1, 10, 0);
            write(&pipe, record.as_bytes());
            reader.next().await.unwrap();
            let few = reader.since_pause;
            assert!(few > 0 && few < BUSY_BYTES);
            let many = BUSY_BYTES / record.as_bytes().len() + 1;
            (0..many).for_each(|_| write(&pipe, record.as_bytes()));
            let mut left = many;
            while left > 0 {
                left -= reader.next().await.unwrap().frames().count();
            }
            assert!(reader.since_pause > BUSY_BYTES);
            // The pipe is empty, so the reader pauses, and counts from 0 again.
            assert!(tokio::time::timeout(PAUSE, reader.next()).await.is_err());
            assert_eq!(reader.since_pause, 0);
        });
    }

    #[test]
    fn a_pipe_without_writers_does_not_cause_a_busy_loop() {
        in_runtime(async {
            let (pipe, reader) = ProbePipe::new().unwrap();
            write(&pipe, Record { end: end::COMPLETE, ..record(1, 1, 10, 1) }.as_bytes());
            drop(pipe);
            let (sender, mut events) = mpsc::channel(16);
            let stop = CancellationToken::new();
            let task = tokio::spawn(forward(reader, sender, stop.clone()));
            assert!(matches!(events.recv().await, Some(Event::Exchange(_))));
            // In a loop that never waits, this timer would never fire.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!task.is_finished());
            stop.cancel();
            tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        });
    }

    fn record(viewer: u32, generation: u32, pid: u32, sequence: u32) -> Record {
        let kind = if sequence == 0 { kind::HELLO } else { kind::EXCHANGE };
        Record { viewer, generation, pid, sequence, kind, ..Record::EMPTY }
    }

    fn missing(order: &mut Order, records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| order.missing(record)).collect()
    }

    #[test]
    fn gaps_are_counted_for_each_process_when_it_ends() {
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
        // Two records did not fit (a gap of two more), and for one fact there was no record.
        assert_eq!(order.missing(&Record { lost: 4, ..record(1, 2, 12, 5) }), 4);
        assert_eq!(order.missing(&Record { lost: 4, ..record(1, 2, 12, 6) }), 0);
        assert_eq!((order.end(), order.end()), (0, 0));
    }

    #[test]
    fn records_in_the_wrong_order_are_not_lost() {
        let mut order = Order::default();
        let records = [0, 2, 1, 3, 6, 5, 4, 7].map(|sequence| record(1, 1, 10, sequence));
        assert_eq!(missing(&mut order, &records), [0; 8]);
        assert_eq!(order.end(), 0);
    }

    #[test]
    fn a_forged_sequence_number_is_a_loss_and_takes_no_memory() {
        let mut order = Order::default();
        let forged = record(1, 1, 10, u32::MAX);
        let lost = missing(&mut order, &[record(1, 1, 10, 0), forged]);
        let (_, processes) = &order.viewers[&1];
        assert!(processes[&10].awaited.len() <= OVERTAKEN as usize + 1);
        assert!(lost[1] > u64::from(u32::MAX - 2 * OVERTAKEN), "{lost:?}");
    }

    #[test]
    fn a_record_that_is_missing_for_long_counts_as_lost() {
        let mut order = Order::default();
        let records: Vec<Record> =
            (0..100).filter(|sequence| *sequence != 7).map(|sequence| record(1, 1, 10, sequence)).collect();
        assert_eq!(missing(&mut order, &records).iter().sum::<u64>(), 1);
        assert_eq!(order.end(), 0);
    }
}
