//! A session whose player is a process: starts it, reads its output, stops it, and reports how it ended.

use std::io;
use std::time::Duration;

use nix::libc;
use tokio::net::unix::pipe;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::metric::counters::Counter;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::process::{Child, Program, StopTimeouts, Stopping};
use hls_swarm_os::secrets;

use super::viewer::{RunContext, StreamTarget};
use super::{Session, SessionEnd};

/// How much is read from one pipe before the others get their turn, bytes.
const TURN_BYTES: usize = 256 << 10;

/// A viewer that has played nothing after this time has not just been started.
const LONGEST_START: Duration = Duration::from_secs(5);
/// How often playback is judged.
const TICK: Duration = Duration::from_secs(1);
/// Viewers tick at multiples of this, so that many of them wake the program once, and not all of them at once.
const COMMON_TICK: Duration = Duration::from_millis(50);

/// An engine's interpretation of the output of its process.
pub(crate) trait Monitor {
    /// The player's name in messages.
    const PLAYER: &'static str;

    /// Takes output of the process.
    fn stdout(&mut self, bytes: &[u8]);

    /// Takes error output of the process.
    fn stderr(&mut self, bytes: &[u8]);

    /// Called once a second. Returns whether the process makes no progress: it has read no media for too long.
    fn tick(&mut self) -> bool;

    /// The process is being stopped.
    fn stopping(&mut self);

    /// The process has ended; no output will follow.
    fn finish(&mut self);

    /// The events since the last call, to be drained.
    fn events(&mut self) -> &mut Vec<Event>;

    /// Whether the process played anything; if the engine cannot see that, the exit status decides.
    fn has_played(&self) -> bool;

    /// Media that the process has read, if it reports that.
    fn media(&self) -> Option<Duration>;

    /// The message of the process that explains best why it ended.
    fn last_error(&self) -> Option<&str>;
}

/// Why a process ended, as far as this program caused it.
#[derive(Debug, Default)]
struct Cause {
    /// Whether the session was over.
    stopped: bool,
    /// Whether the viewer had stalled and was to be restarted.
    stalled: bool,
    /// Whether it had to be killed, because it did not stop when it was asked to.
    killed: bool,
}

/// Starts `program` and returns when it has ended; `stop` ends it gracefully. `monitor` makes the monitor of a
/// process, given its id.
pub(crate) async fn play<M: Monitor>(
    context: &RunContext,
    session: Session,
    stop: &CancellationToken,
    program: Program,
    started_ns: u64,
    monitor: impl FnOnce(u32) -> M,
) -> SessionEnd {
    let Session { viewer, generation } = session;
    let started = program.start(&context.guard).map_err(|error| {
        (is_exhaustion(&error), format!("cannot start {}: {error}", program.path.display()))
    });
    // A viewer may play for hours, and its command line and environment have become the process's own.
    drop(program);
    let (ending, class, killed, reason, media) = match started {
        Ok(child) => {
            let _sampled = context.processes.register(child.pid(), started_ns);
            let mut monitor = monitor(child.pid());
            let (ending, cause) = attend(context, child, &mut monitor, stop).await;
            let target = context.target_of(viewer);
            let class = class(target, &monitor, &cause, stop, ending).await;
            let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
            (
                ending,
                class,
                cause.killed,
                reason(target, &monitor, &cause, class, ending, uptime),
                monitor.media(),
            )
        }
        Err((exhausted, reason)) => {
            if exhausted {
                context.record(Event::Counted { viewer, counter: Counter::Exhausted, events: 1 }).await;
            }
            (ProcessExit::Exited(127), EndClass::Failed, false, reason, None)
        }
    };
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    tracing::debug!(viewer, generation, ?class, %ending, reason, "viewer ended");
    let uptime_seconds = uptime.as_secs_f64();
    context.record(Event::Ended { viewer, class, ending, killed, reason, uptime_seconds }).await;
    let ahead = media.map_or(Duration::ZERO, |media| media.saturating_sub(uptime));
    SessionEnd { class, uptime, ahead }
}

/// Whether a process could not be started because this machine is at a limit, which is not the fault of the stream.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

/// Reads the output of a child until it has ended. Returns its exit status, and what this program did to it.
async fn attend<M: Monitor>(
    context: &RunContext,
    mut child: Child,
    monitor: &mut M,
    stop: &CancellationToken,
) -> (ProcessExit, Cause) {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut tick = interval_at(Instant::now() + until_common_tick(now_ns()), TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stopping: Option<Stopping> = None;
    let mut cause = Cause::default();
    let group = child.group();
    let begin = |stopping: &mut Option<Stopping>, monitor: &mut M| {
        *stopping = Some(Stopping::begin(group, StopTimeouts::default()));
        monitor.stopping();
    };
    let ending = loop {
        tokio::select! {
            ending = child.wait() => break ending,
            bytes = read(&stderr) => take(&mut stderr, bytes, |bytes| monitor.stderr(bytes)),
            bytes = read(&stdout) => take(&mut stdout, bytes, |bytes| monitor.stdout(bytes)),
            _ = tick.tick() => {
                let restart = monitor.tick() && context.plan.viewers.restart_on_stall;
                if restart && stopping.is_none() {
                    cause.stalled = true;
                    begin(&mut stopping, monitor);
                }
            }
            () = stop.cancelled(), if stopping.is_none() => {
                cause.stopped = true;
                begin(&mut stopping, monitor);
            }
            () = context.immediate.cancelled(), if !stopping.as_ref().is_some_and(Stopping::is_killed) => {
                cause.stopped = true;
                if stopping.is_none() {
                    begin(&mut stopping, monitor);
                }
                stopping.as_mut().into_iter().for_each(Stopping::kill);
            }
            () = escalate(&mut stopping) => {}
        }
        record(context, monitor).await;
    };
    // The last output of the child is still in the pipes.
    monitor.stderr(&rest(&stderr));
    monitor.stdout(&rest(&stdout));
    monitor.finish();
    record(context, monitor).await;
    cause.killed = stopping.is_some_and(|stopping| stopping.is_killed());
    (ending, cause)
}

/// Ends a session whose player was never started, for `reason`.
pub(crate) async fn fail(
    context: &RunContext,
    session: Session,
    class: EndClass,
    started_ns: u64,
    reason: String,
) -> SessionEnd {
    let Session { viewer, generation } = session;
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    let reason = secrets::redact(&reason).into_owned();
    tracing::debug!(viewer, generation, ?class, reason, "viewer ended before its player was started");
    // As a player that could not open the stream.
    let ending = ProcessExit::Exited(u8::from(class == EndClass::Failed).into());
    let uptime_seconds = uptime.as_secs_f64();
    context.record(Event::Ended { viewer, class, ending, killed: false, reason, uptime_seconds }).await;
    SessionEnd { class, uptime, ahead: Duration::ZERO }
}

/// Time from `now_ns` to the next common tick.
fn until_common_tick(now_ns: u64) -> Duration {
    let common = u64::try_from(COMMON_TICK.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(common - now_ns % common)
}

async fn escalate(stopping: &mut Option<Stopping>) {
    match stopping {
        Some(stopping) => stopping.escalate().await,
        None => std::future::pending().await,
    }
}

async fn record(context: &RunContext, monitor: &mut impl Monitor) {
    for event in monitor.events().drain(..) {
        context.record(event).await;
    }
}

/// Classifies the end of a session.
async fn class(
    target: &StreamTarget,
    monitor: &impl Monitor,
    cause: &Cause,
    stop: &CancellationToken,
    ending: ProcessExit,
) -> EndClass {
    if cause.stopped {
        return EndClass::Stopped;
    }
    let StreamTarget { selection, end, fetcher, .. } = target;
    let played_well = ending.is_success() && monitor.has_played() && !cause.stalled;
    let at_its_end = async { !selection.live || end.reached(fetcher).await };
    let finished = played_well
        && tokio::select! {
            () = stop.cancelled() => false,
            ended = at_its_end => ended,
        };
    if finished { EndClass::Finished } else { EndClass::Failed }
}

/// Returns why the process ended, in a text that is the same for equal causes. Empty if there is nothing to say: it
/// was stopped while it played.
fn reason<M: Monitor>(
    target: &StreamTarget,
    monitor: &M,
    cause: &Cause,
    class: EndClass,
    ending: ProcessExit,
    uptime: Duration,
) -> String {
    let how = match class {
        _ if cause.stalled => "stopped because it stalled".to_owned(),
        EndClass::Stopped if cause.killed => "killed, because it did not stop when asked to".to_owned(),
        // This program sends SIGKILL only to what it stops; the kernel's memory killer sends nothing else.
        EndClass::Failed if ending == ProcessExit::Signaled(libc::SIGKILL) && !cause.killed => {
            "killed, probably for lack of memory (SIGKILL)".to_owned()
        }
        EndClass::Stopped if monitor.has_played() => "stopped".to_owned(),
        EndClass::Stopped => "it had played nothing when it was stopped".to_owned(),
        EndClass::Failed if ending.is_success() && target.selection.live => {
            "ended a live stream (exit code 0)".to_owned()
        }
        EndClass::Failed if ending.is_success() => "ended without playing anything (exit code 0)".to_owned(),
        _ => ending.to_string(),
    };
    match monitor.last_error().map(secrets::redact) {
        Some(last_error) => format!("{last_error}; {how}"),
        None if class == EndClass::Failed => format!("{} printed no error; {how}", M::PLAYER),
        None if cause.killed => how,
        None if class == EndClass::Stopped && !monitor.has_played() && uptime >= LONGEST_START => {
            format!("{} printed no error; {how}", M::PLAYER)
        }
        None => String::new(),
    }
}

/// Waits until a pipe has something, and reads it. `None` = its end.
async fn read(pipe: &Option<pipe::Receiver>) -> Option<Vec<u8>> {
    let Some(pipe) = pipe else { return std::future::pending().await };
    loop {
        pipe.readable().await.ok()?;
        match read_turn(pipe) {
            Ok(bytes) if bytes.is_empty() => return None,
            Ok(bytes) => return Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Reads what is there, up to one turn; empty = the end.
fn read_turn(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    let mut buffer = [0_u8; 4096];
    while taken.len() < TURN_BYTES {
        match pipe.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                taken.extend_from_slice(buffer.get(..read).unwrap_or_default());
                // A short read has emptied the pipe; another one would only cost a system call.
                if read < buffer.len() {
                    break;
                }
            }
            Err(_) if !taken.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Passes on what was read; a pipe at its end is closed.
fn take(pipe: &mut Option<pipe::Receiver>, bytes: Option<Vec<u8>>, pass: impl FnOnce(&[u8])) {
    match bytes {
        Some(bytes) => pass(&bytes),
        None => *pipe = None,
    }
}

/// Returns the rest of a pipe after its writer has ended, without waiting for a grandchild that keeps writing.
fn rest(pipe: &Option<pipe::Receiver>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(pipe) = pipe
        && all.len() < TURN_BYTES
    {
        match read_turn(pipe) {
            Ok(bytes) if !bytes.is_empty() => all.extend(bytes),
            _ => break,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_that_start_at_different_times_tick_together() {
        let next = |now_ns: u64| now_ns + until_common_tick(now_ns).as_nanos() as u64;
        assert_eq!([1, 20_000_000, 49_999_999].map(next), [50_000_000; 3]);
        assert_eq!(next(50_000_000), 100_000_000);
    }
}
