//! The monitor of the load generator: whether its own processes were able to measure.
//!
//! Four times a second, it measures how late a timer of this program fires. Once a second, it samples how busy the
//! machine is, how long this program and its viewers waited for a processor, whether a control group throttled them,
//! and which viewers were stopped. A sample reads a few files per viewer, so it takes a bounded number of viewers
//! and continues with the next ones a second later: with 500 viewers, each is sampled every 8 s, and once more at
//! the stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_model::event::{Event, Waited};
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::machine::CpuTimes;
use hls_swarm_os::waiting::{Change, Waiting, changes_of_children, pressure_ns, throttled_ns};

/// Interval between tests of a timer.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two samples.
const TICKS_PER_SAMPLE: u32 = 4;
/// The time that a viewer needs to start: it loads its libraries and opens the stream, and many start together.
const STARTING_NS: u64 = 5_000_000_000;
/// The largest number of viewers in one sample.
const VIEWERS_PER_SAMPLE: usize = 64;

/// Reports until `stop`.
pub async fn monitor(viewers: Arc<ViewerProcesses>, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut cpu = CpuTimes::read();
    let mut generator = Sample::now();
    for tick in 1_u32.. {
        let due = Instant::now() + TICK;
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = sleep_until(due) => false,
        };
        if !stopping {
            let late = Instant::now().saturating_duration_since(due);
            let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            drop(events.send(Event::Lag { nanos }).await);
        }
        if stopping || tick % TICKS_PER_SAMPLE == 0 {
            let now = CpuTimes::read();
            if let Some((cpu_percent, own_cpu_percent)) =
                now.as_ref().zip(cpu.as_ref()).and_then(|(now, before)| now.since(before))
            {
                drop(events.send(Event::Machine { cpu_percent, own_cpu_percent }).await);
            }
            cpu = now;
            let now = Sample::now();
            let own = now.since(&generator);
            generator = now;
            // The last sample is of all viewers: the seconds before the stop count as much as those before.
            let most = if stopping { usize::MAX } else { VIEWERS_PER_SAMPLE };
            let waited = viewers.sample(own, now_ns(), most, Waiting::of, &changes_of_children());
            drop(events.send(Event::Waited(waited)).await);
        }
        if stopping {
            return;
        }
    }
}

/// The kernel's counters for this program, its control group, and the machine.
struct Sample {
    at_ns: u64,
    own: Option<Waiting>,
    throttled_ns: Option<u64>,
    pressure_ns: Option<u64>,
}

impl Sample {
    fn now() -> Self {
        Self {
            at_ns: now_ns(),
            own: Waiting::own(),
            throttled_ns: throttled_ns(),
            pressure_ns: pressure_ns(),
        }
    }

    fn since(&self, before: &Self) -> Waited {
        let grown = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Waited {
            elapsed_ns: self.at_ns.saturating_sub(before.at_ns),
            own_ns: self.own.zip(before.own).map(|(now, before)| now.since(before).waited_ns),
            throttled_ns: grown(self.throttled_ns, before.throttled_ns),
            pressure_ns: grown(self.pressure_ns, before.pressure_ns),
            ..Waited::default()
        }
    }
}

/// The processes of the viewers that are up, for the monitor. Of a viewer that starts other processes, it is the first
/// one only.
#[derive(Debug, Default)]
pub struct ViewerProcesses(Mutex<Processes>);

#[derive(Debug, Default)]
struct Processes {
    by_pid: BTreeMap<u32, Process>,
    /// The process that was sampled last.
    cursor: u32,
}

/// A process at its last sample.
#[derive(Debug)]
struct Process {
    began_ns: u64,
    at_ns: u64,
    waiting: Waiting,
    /// The time that it waited between the previous two samples, nanoseconds.
    interval_ns: u64,
    /// The time at which it was stopped.
    stopped_ns: Option<u64>,
}

/// Keeps a process registered until it is dropped.
#[derive(Debug)]
pub struct Registration<'a> {
    processes: &'a ViewerProcesses,
    pid: u32,
}

impl ViewerProcesses {
    /// Registers a process that was started at `at_ns`.
    pub fn register(&self, pid: u32, at_ns: u64) -> Registration<'_> {
        let waiting = Waiting::default();
        let process = Process { began_ns: at_ns, at_ns, waiting, interval_ns: 0, stopped_ns: None };
        self.processes().by_pid.insert(pid, process);
        Registration { processes: self, pid }
    }

    fn processes(&self) -> std::sync::MutexGuard<'_, Processes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to `waited` how long the next viewers, at most `most`, waited since their last sample, as `read` reads it,
    /// and how long viewers were stopped.
    fn sample(
        &self,
        mut waited: Waited,
        now_ns: u64,
        most: usize,
        read: impl Fn(u32) -> Option<Waiting>,
        changes: &[Change],
    ) -> Waited {
        let mut processes = self.processes();
        let Processes { by_pid, cursor } = &mut *processes;
        for change in changes {
            let (Change::Stopped(pid) | Change::Continued(pid)) = change;
            let Some(process) = by_pid.get_mut(pid) else { continue };
            // A stop that ended before it was seen is reported by its continuation alone.
            waited.stops += u64::from(process.stopped_ns.is_none());
            process.stopped_ns = matches!(change, Change::Stopped(_)).then_some(now_ns);
        }
        for process in by_pid.values_mut() {
            if let Some(since) = &mut process.stopped_ns {
                waited.stopped_ns += now_ns.saturating_sub(std::mem::replace(since, now_ns));
            }
        }
        let behind = by_pid.range(*cursor + 1..).map(|(pid, _)| *pid);
        let before = by_pid.range(..=*cursor).map(|(pid, _)| *pid);
        let next: Vec<u32> = behind.chain(before).take(most).collect();
        for pid in next {
            *cursor = pid;
            let Some((process, now)) = by_pid.get_mut(&pid).zip(read(pid)) else { continue };
            let since = now.since(process.waiting);
            let elapsed_ns = now_ns.saturating_sub(process.at_ns);
            waited.viewers_elapsed_ns += elapsed_ns;
            waited.viewers_ns += since.waited_ns;
            if process.at_ns >= process.began_ns.saturating_add(STARTING_NS) {
                waited.started_elapsed_ns += elapsed_ns;
                waited.started_ns += since.waited_ns;
            }
            waited.viewers_turns += since.turns;
            // A duration that is shorter than the time between two samples may reach into both.
            waited.longest_ns = waited.longest_ns.max(since.waited_ns + process.interval_ns);
            *process = Process { at_ns: now_ns, waiting: now, interval_ns: since.waited_ns, ..*process };
        }
        waited
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.processes.processes().by_pid.remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn viewers_take_turns_and_each_is_sampled_in_full() {
        let processes = ViewerProcesses::default();
        let registered: Vec<_> = (1..=100).map(|pid| processes.register(pid, 0)).collect();
        let waiting = |nanos| move |_| Some(Waiting { waited_ns: nanos, turns: nanos / 10 });
        let sample = |seconds: u64, most, nanos| {
            processes.sample(Waited::default(), seconds * SECOND, most, waiting(nanos), &[])
        };
        let first = sample(1, VIEWERS_PER_SAMPLE, 100);
        assert_eq!(
            (first.viewers_elapsed_ns, first.viewers_ns, first.viewers_turns),
            (64 * SECOND, 6400, 640)
        );
        // The other 36, and then the first ones again.
        let second = sample(2, VIEWERS_PER_SAMPLE, 300);
        assert_eq!(second.viewers_elapsed_ns, 36 * 2 * SECOND + 28 * SECOND);
        assert_eq!((second.viewers_ns, second.longest_ns), (36 * 300 + 28 * 200, 300));
        // At the end all of them: 64 were sampled a second ago, and 36 two seconds ago.
        let last = sample(3, usize::MAX, 300);
        assert_eq!((last.viewers_elapsed_ns, last.viewers_ns), ((64 + 36 * 2) * SECOND, 36 * 200));
        drop(registered);
        assert_eq!(sample(4, usize::MAX, 900), Waited::default());
    }

    #[test]
    fn the_start_of_a_viewer_is_separate_from_the_rest_of_its_life() {
        let processes = ViewerProcesses::default();
        let _registered = processes.register(7, 0);
        let mut sum = (0, 0);
        for (second, waited_ns) in [(1, 900), (5, 950), (6, 1000), (8, 1007)] {
            let read = |_| Some(Waiting { waited_ns, turns: 1 });
            let sample = processes.sample(Waited::default(), second * SECOND, VIEWERS_PER_SAMPLE, read, &[]);
            sum = (sum.0 + sample.started_elapsed_ns / SECOND, sum.1 + sample.started_ns);
        }
        assert_eq!(sum, (3, 57));
    }

    #[test]
    fn the_bound_covers_two_samples() {
        let processes = ViewerProcesses::default();
        let _registered = processes.register(7, 0);
        for (second, waited_ns, longest) in [(1, 5, 5), (2, 45, 45), (3, 45, 40), (4, 46, 1)] {
            let read = |_| Some(Waiting { waited_ns, turns: 1 });
            let sample = processes.sample(Waited::default(), second * SECOND, VIEWERS_PER_SAMPLE, read, &[]);
            assert_eq!(sample.longest_ns, longest, "second {second}");
        }
    }

    #[test]
    fn stops_are_counted_and_timed() {
        let processes = ViewerProcesses::default();
        let _registered = [7, 8].map(|pid| processes.register(pid, 0));
        let sample = |second: u64, changes: &[Change]| {
            let waited =
                processes.sample(Waited::default(), second * SECOND, VIEWERS_PER_SAMPLE, |_| None, changes);
            (waited.stops, waited.stopped_ns / SECOND)
        };
        assert_eq!(
            sample(1, &[Change::Stopped(7), Change::Stopped(99)]),
            (1, 0),
            "99 belongs to another program"
        );
        assert_eq!(sample(2, &[]), (0, 1));
        assert_eq!(sample(4, &[Change::Continued(7)]), (0, 0));
        assert_eq!(sample(5, &[Change::Continued(8)]), (1, 0), "its stop was too short to be seen");
        assert_eq!(sample(6, &[]), (0, 0));
    }
}
