//! Supervision of one process: logs its output, restarts it with a backoff when it exits, and gives up when it
//! keeps failing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::backoff::{Backoff, BackoffPolicy};
use hls_swarm_base::error::Failure;
use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Child, Program, StopTimeouts, drain, spawn_failed};

use crate::fault::injector::KillSwitch;
use crate::run::status::ProcessState;

/// Eight runs of less than 3 s in a row show that starting again is pointless.
const BACKOFF: BackoffPolicy = BackoffPolicy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
    healthy: Duration::from_secs(3),
    jitter: false,
    max_restarts: None,
    max_in_a_row: Some(7),
};
const MAX_KEPT_LINES: usize = 8;
const MAX_LINE_BYTES: usize = 500;
/// A start that was delayed by at least this long was waiting for something else, such as free space. Earlier
/// failures no longer count then.
const DELAYED_START: Duration = Duration::from_millis(400);

/// Messages that are normal: nginx inherits its socket, FFmpeg's MPEG-TS muxer copies audio that was encoded
/// before, and its NUT muxer gets several video frames with the same time.
const EXPECTED_MESSAGES: [&str; 3] =
    ["using inherited sockets from", "frame size not set", "Multiple keyframes with same PTS"];
/// A process that was killed by a fault is restarted as quickly as after its first failure.
const MIN_DOWN_TIME: Duration = Duration::from_millis(100);

/// One process that is restarted when it exits.
#[derive(Debug)]
pub(crate) struct SupervisedProcess {
    /// Name in messages.
    pub(crate) name: &'static str,
    pub(crate) guard: Arc<Guard>,
    /// Set once the origin is ready, which proves that the process works. An exit before that is fatal,
    /// because its cause is in the settings; after that, the process is restarted.
    pub(crate) was_ready: Arc<AtomicBool>,
    pub(crate) state: Arc<ProcessState>,
    /// Lets faults kill the process, which does not count as a failure.
    pub(crate) kill_switch: Arc<KillSwitch>,
    /// Notified when the process is running but stuck, and must be replaced.
    pub(crate) replace: Notify,
}

impl SupervisedProcess {
    pub(crate) fn new(name: &'static str, guard: &Arc<Guard>) -> Self {
        let (was_ready, state, kill_switch) = Default::default();
        Self { name, guard: Arc::clone(guard), was_ready, state, kill_switch, replace: Notify::new() }
    }

    /// Runs the process until `stop`, and restarts it when it exits. `program` is called before each start and
    /// may delay it.
    pub(crate) async fn run(
        &self,
        stop: &CancellationToken,
        mut program: impl AsyncFnMut() -> Program,
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(BACKOFF);
        loop {
            let requested = Instant::now();
            let program = program().await;
            if stop.is_cancelled() {
                return Ok(());
            }
            let started = Instant::now();
            if started - requested > DELAYED_START {
                backoff = Backoff::new(BACKOFF);
            }
            self.state.starts.fetch_add(1, Ordering::Relaxed);
            let exited = self.run_once(stop, &program).await;
            self.state.up.store(false, Ordering::Relaxed);
            let (exit, last_lines) = exited?;
            if stop.is_cancelled() {
                return Ok(());
            }
            if let Some(down) = self.kill_switch.take_down_time() {
                tracing::warn!(process = self.name, ?down, "killed by a fault; restarting after a pause");
                tokio::select! {
                    () = tokio::time::sleep(down.max(MIN_DOWN_TIME)) => continue,
                    () = stop.cancelled() => return Ok(()),
                }
            }
            if !self.was_ready.load(Ordering::Relaxed) {
                let what = format!("{} exited with {exit} before the stream was ready", self.name);
                return Err(with_output(Failure::preflight(what), last_lines));
            }
            let Some(pause) = backoff.after_failure(started.elapsed(), 1.0) else {
                let what = format!("{} keeps failing, most recently with {exit}", self.name);
                return Err(with_output(Failure::internal(what), last_lines));
            };
            tracing::warn!(process = self.name, %exit, ?pause, "exited; restarting after a pause");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Runs the process once, and returns its exit status and the last lines of its output.
    pub(crate) async fn run_once(
        &self,
        stop: &CancellationToken,
        program: &Program,
    ) -> Result<(ProcessExit, Option<String>), Failure> {
        tracing::debug!(process = self.name, ?program.path, ?program.arguments, "starting");
        let mut child = program.start(&self.guard).map_err(|error| {
            spawn_failed(
                &program.path,
                error,
                "check that the program still exists, and the limit of processes",
            )
        })?;
        tracing::debug!(process = self.name, pid = child.pid(), "started");
        self.state.up.store(true, Ordering::Relaxed);
        let last_lines = tokio::spawn(log_output(self.name, child.stderr.take(), stop.clone()));
        let exit = tokio::select! {
            exit = child.wait() => exit,
            () = stop.cancelled() => child.stop(StopTimeouts::default()).await,
            () = self.replace.notified() => self.kill_stuck(&mut child).await,
            () = self.kill_switch.triggered() => {
                child.signal(Signal::SIGKILL);
                child.wait().await
            }
        };
        // The whole process group is dead, so the pipe is closed.
        let last_lines = tokio::time::timeout(Duration::from_secs(1), last_lines).await;
        Ok((exit, last_lines.ok().and_then(Result::ok).flatten()))
    }

    async fn kill_stuck(&self, child: &mut Child) -> ProcessExit {
        tracing::warn!(process = self.name, pid = child.pid(), "the process is stuck; replacing it");
        child.signal(Signal::SIGKILL);
        child.wait().await
    }
}

/// Adds the last output of a process to the failure that reports its exit.
pub(crate) fn with_output(failure: Failure, last_lines: Option<String>) -> Failure {
    failure
        .caused_by(last_lines.unwrap_or_else(|| "it printed nothing".to_owned()))
        .help("see its output above; --log-level debug shows the command line")
}

/// Logs the output of a process line by line, and returns the last lines when it ends.
async fn log_output(
    name: &'static str,
    pipe: Option<pipe::Receiver>,
    stop: CancellationToken,
) -> Option<String> {
    let pipe = pipe?;
    let (mut line, mut kept) = (Vec::new(), VecDeque::new());
    drain(&pipe, |bytes| {
        // FFmpeg 7.0 prints about 100000 lines per second when it is stopped while it replays.
        let bytes = if stop.is_cancelled() { &[] } else { bytes };
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => log_line(name, &mut line, &mut kept),
                _ if line.len() < MAX_LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    })
    .await;
    log_line(name, &mut line, &mut kept);
    (!kept.is_empty()).then(|| Vec::from(kept).join(" | "))
}

fn log_line(name: &str, line: &mut Vec<u8>, kept: &mut VecDeque<String>) {
    let text = String::from_utf8_lossy(line).trim().to_owned();
    line.clear();
    if text.is_empty() {
        return;
    }
    if EXPECTED_MESSAGES.iter().any(|expected| text.contains(expected)) {
        tracing::debug!(process = name, "{text}");
        return;
    }
    tracing::warn!(process = name, "{text}");
    if kept.len() == MAX_KEPT_LINES {
        kept.pop_front();
    }
    kept.push_back(text);
}
