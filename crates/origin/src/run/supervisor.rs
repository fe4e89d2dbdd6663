//! Keeps one process alive: passes on what it says, starts it again after a pause when it ends, and
//! gives up when that is pointless.

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

use crate::fault::injector::Strike;
use crate::run::status::Life;

/// Eight runs of less than 3 s in a row show that starting again is pointless.
const BACKOFF: BackoffPolicy = BackoffPolicy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
    healthy: Duration::from_secs(3),
    jitter: false,
    max_restarts: None,
    max_in_a_row: Some(7),
};
const KEPT_LINES: usize = 8;
const LINE_BYTES: usize = 500;
/// A start that had to wait this long waited for something else than the process: what ended before
/// does not count any more.
const WAITED: Duration = Duration::from_millis(400);

/// Said at each start, and as it should be: nginx was handed its socket; FFmpeg's MPEG-TS muxer got sound
/// that was encoded before, and its NUT muxer several pictures of one time.
const EXPECTED: [&str; 3] =
    ["using inherited sockets from", "frame size not set", "Multiple keyframes with same PTS"];
/// A process that was killed on purpose comes back as quickly as after one failure.
const STRUCK_PAUSE: Duration = Duration::from_millis(100);

/// One process that is to be kept alive.
#[derive(Debug)]
pub(crate) struct SupervisedProcess {
    /// What the process is called in messages.
    pub(crate) name: &'static str,
    pub(crate) guard: Arc<Guard>,
    /// Set once the process has proved that it works: from then on an end is worth a new start,
    /// before it the cause lies in what was asked.
    pub(crate) settled: Arc<AtomicBool>,
    pub(crate) life: Arc<Life>,
    /// By this it is killed on purpose, which does not count as a failure.
    pub(crate) strike: Arc<Strike>,
    /// Notified when the process lives but does nothing, and should be replaced.
    pub(crate) stuck: Notify,
}

impl SupervisedProcess {
    pub(crate) fn new(name: &'static str, guard: &Arc<Guard>) -> Self {
        let (settled, life, strike) = Default::default();
        Self { name, guard: Arc::clone(guard), settled, life, strike, stuck: Notify::new() }
    }

    /// Keeps the process that `program` describes alive until `stop`. `program` may wait until a start
    /// makes sense.
    pub(crate) async fn keep(
        &self,
        stop: &CancellationToken,
        mut program: impl AsyncFnMut() -> Program,
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(BACKOFF);
        loop {
            let asked = Instant::now();
            let program = program().await;
            if stop.is_cancelled() {
                return Ok(());
            }
            let started = Instant::now();
            if started - asked > WAITED {
                backoff = Backoff::new(BACKOFF);
            }
            self.life.starts.fetch_add(1, Ordering::Relaxed);
            let lived = self.live(stop, &program).await;
            self.life.up.store(false, Ordering::Relaxed);
            let (ending, words) = lived?;
            if stop.is_cancelled() {
                return Ok(());
            }
            if let Some(down) = self.strike.taken() {
                tracing::warn!(process = self.name, ?down, "killed by a fault; starts again after a pause");
                tokio::select! {
                    () = tokio::time::sleep(down.max(STRUCK_PAUSE)) => continue,
                    () = stop.cancelled() => return Ok(()),
                }
            }
            if !self.settled.load(Ordering::Relaxed) {
                let what = format!("{} ended with {ending} before it had done anything", self.name);
                return Err(given_up(Failure::preflight(what), words));
            }
            let Some(pause) = backoff.after_failure(started.elapsed(), 1.0) else {
                let what = format!("{} ended again and again, now with {ending}", self.name);
                return Err(given_up(Failure::internal(what), words));
            };
            tracing::warn!(process = self.name, %ending, ?pause, "ended; starts again after a pause");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One life of the process; tells how it ended and its last words.
    pub(crate) async fn live(
        &self,
        stop: &CancellationToken,
        program: &Program,
    ) -> Result<(ProcessExit, Option<String>), Failure> {
        tracing::debug!(process = self.name, ?program.path, ?program.arguments, "starts");
        let mut child = program.start(&self.guard).map_err(|error| {
            spawn_failed(&program.path, error, "check that it is still there, and the limit of processes")
        })?;
        tracing::debug!(process = self.name, pid = child.pid(), "started");
        self.life.up.store(true, Ordering::Relaxed);
        let words = tokio::spawn(listen(self.name, child.stderr.take(), stop.clone()));
        let ending = tokio::select! {
            ending = child.wait() => ending,
            () = stop.cancelled() => child.stop(StopTimeouts::default()).await,
            () = self.stuck.notified() => self.kill(&mut child).await,
            () = self.strike.dealt() => {
                child.signal(Signal::SIGKILL);
                child.wait().await
            }
        };
        // The whole group is dead by now, so the pipe has ended.
        let words = tokio::time::timeout(Duration::from_secs(1), words).await;
        Ok((ending, words.ok().and_then(Result::ok).flatten()))
    }

    async fn kill(&self, child: &mut Child) -> ProcessExit {
        tracing::warn!(process = self.name, pid = child.pid(), "does not go on as it should; is replaced");
        child.signal(Signal::SIGKILL);
        child.wait().await
    }
}

/// Adds what a process that was given up has said last.
pub(crate) fn given_up(failure: Failure, words: Option<String>) -> Failure {
    failure
        .caused_by(words.unwrap_or_else(|| "it said nothing".to_owned()))
        .help("read its words; --log-level debug shows the command")
}

/// Passes on what a process says, line by line, and returns the last lines when it falls silent.
async fn listen(name: &'static str, pipe: Option<pipe::Receiver>, stop: CancellationToken) -> Option<String> {
    let pipe = pipe?;
    let (mut line, mut kept) = (Vec::new(), VecDeque::new());
    drain(&pipe, |bytes| {
        // FFmpeg 7.0 that is asked to end while it replays says some 100000 lines a second about it.
        let bytes = if stop.is_cancelled() { &[] } else { bytes };
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => take(name, &mut line, &mut kept),
                _ if line.len() < LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    })
    .await;
    take(name, &mut line, &mut kept);
    (!kept.is_empty()).then(|| Vec::from(kept).join(" | "))
}

fn take(name: &str, line: &mut Vec<u8>, kept: &mut VecDeque<String>) {
    let text = String::from_utf8_lossy(line).trim().to_owned();
    line.clear();
    if text.is_empty() {
        return;
    }
    if EXPECTED.iter().any(|words| text.contains(words)) {
        tracing::debug!(process = name, "{text}");
        return;
    }
    tracing::warn!(process = name, "{text}");
    if kept.len() == KEPT_LINES {
        kept.pop_front();
    }
    kept.push_back(text);
}
