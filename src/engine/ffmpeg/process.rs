//! One life of an FFmpeg viewer: start it, attend to it, stop it, say how it ended.

use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_model::event::Event;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::process::{Child, Group, Program, StopTimeouts};
use hls_swarm_player::playback::Change;
use hls_swarm_probe::record;

use super::pipes::{keep, last, some};
use crate::engine::ffmpeg::argv::arguments;
use crate::engine::ffmpeg::inferred::Author;
use crate::engine::ffmpeg::monitor::ViewerMonitor;
use crate::engine::probe::conceal::{Concealed, conceal};
use crate::engine::viewer::{Channel, Life, RunContext};
use crate::network::Certificates;

/// Starts viewer `viewer` for the `generation`th time and returns when it has ended; `stop` ends it in
/// good order.
pub(crate) async fn play(
    context: &RunContext,
    viewer: u32,
    generation: u32,
    stop: &CancellationToken,
) -> Life {
    let started_ns = now_ns();
    context.tell(Event::Started { viewer, generation, at_ns: started_ns }).await;
    let program = program(context, viewer, generation);
    let (ending, listening, killed) = match program.start(&context.guard) {
        Ok(child) => {
            let author = Author { viewer, generation, pid: child.pid() };
            let mut listening = ViewerMonitor::new(context, author, started_ns);
            let (ending, killed) = attend(context, child, &mut listening, stop).await;
            (ending, listening, killed)
        }
        Err(error) => {
            let author = Author { viewer, generation, pid: 0 };
            let mut listening = ViewerMonitor::new(context, author, started_ns);
            listening.cannot_start = Some(error);
            (ProcessExit::Exited(127), listening, false)
        }
    };
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    let class = listening.class(stop, ending).await;
    let reason = listening.reason(class, ending, killed);
    tracing::debug!(viewer, generation, ?class, %ending, reason, "viewer ended");
    let uptime_seconds = uptime.as_secs_f64();
    context.tell(Event::Ended { viewer, class, ending, killed, reason, uptime_seconds }).await;
    Life { class, uptime }
}

/// The process to start, with the probe if there is one.
fn program(context: &RunContext, viewer: u32, generation: u32) -> Program {
    let plan = &context.plan;
    let Channel { stream, play, .. } = context.channels.of(viewer);
    let words = arguments(stream, &plan.viewers, play, context.source, &context.can, viewer);
    let Concealed { words, variables } = match context.probe {
        Some(_) => conceal(&plan.secrets, words),
        None => Concealed { words, ..Concealed::default() },
    };
    let mut program = Program::new(&plan.viewers.ffmpeg, words);
    program.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
    // One arena: FFmpeg's threads are few, and each arena costs every viewer half a megabyte.
    program.environment.push(("MALLOC_ARENA_MAX".into(), "1".into()));
    // A static C library takes its character sets from this machine's, and with them the machine's own C
    // library: FFmpeg dies of it as soon as MPEG-TS names its service. It goes without where there are none.
    if context.is_static && std::env::var_os("GCONV_PATH").is_none() {
        program.environment.push(("GCONV_PATH".into(), "/nonexistent".into()));
    }
    if let Some((object, pipe)) = &context.probe {
        let report = format!("{}:{viewer}:{generation}", pipe.fd());
        program.environment.push((record::ENVIRONMENT.into(), report.into()));
        let object_fd = object.fd().as_raw_fd();
        let already = std::env::var_os("LD_PRELOAD");
        program.environment.push(("LD_PRELOAD".into(), object.preload(object_fd, already.as_deref())));
        program.inherit.extend([pipe.fd(), object_fd]);
        let certificates = Certificates::needed(stream, &context.can);
        if let Some(told) = plan.network.told(&stream.resolve, certificates, viewer) {
            program.environment.push((record::NETWORK_ENVIRONMENT.into(), told.into()));
        }
    }
    program
}

/// Attends to a child until it has ended. Returns how, and whether it had to be killed.
async fn attend(
    context: &RunContext,
    mut child: Child,
    listening: &mut ViewerMonitor<'_>,
    stop: &CancellationToken,
) -> (ProcessExit, bool) {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping: Option<Stopping> = None;
    let group = child.group();
    let ending = loop {
        tokio::select! {
            ending = child.wait() => break ending,
            bytes = some(&stderr) => keep(&mut stderr, bytes, |bytes| listening.stderr(bytes)),
            bytes = some(&stdout) => {
                keep(&mut stdout, bytes, |bytes| listening.stdout(bytes));
                if listening.begins_to_play() {
                    // Until the next tick it would count as not playing.
                    listening.judge();
                }
            }
            _ = tick.tick() => {
                let change = listening.judge();
                if change == Some(Change::Stalled) && context.plan.viewers.restart_on_stall && stopping.is_none() {
                    listening.stopped_for_stall = true;
                    stopping = Some(Stopping::begin(group, listening));
                }
            }
            () = stop.cancelled(), if stopping.is_none() => {
                listening.stopped_by_plan = true;
                stopping = Some(Stopping::begin(group, listening));
            }
            () = context.at_once.cancelled(), if !stopping.as_ref().is_some_and(|stopping| stopping.killed) => {
                listening.stopped_by_plan = true;
                group.signal(Signal::SIGKILL);
                stopping.get_or_insert_with(|| Stopping::begin(group, listening)).killed = true;
            }
            () = Stopping::insist(&mut stopping, group) => {}
        }
        listening.hand_over(context).await;
    };
    // What the child said last is still in the pipes.
    listening.stderr(&last(&stderr));
    listening.stdout(&last(&stdout));
    listening.finish();
    listening.hand_over(context).await;
    (ending, stopping.is_some_and(|stopping| stopping.killed))
}

/// The way out: TERM, TERM again, KILL.
#[derive(Debug)]
struct Stopping {
    began: Instant,
    insisted: bool,
    killed: bool,
}

impl Stopping {
    fn begin(group: Group, listening: &mut ViewerMonitor<'_>) -> Self {
        group.signal(Signal::SIGTERM);
        listening.log.stopping();
        Self { began: Instant::now(), insisted: false, killed: false }
    }

    /// Waits for the moment to insist, and does. Never returns while nothing is to be done.
    async fn insist(stopping: &mut Option<Self>, group: Group) {
        let patience = StopTimeouts::default();
        match stopping {
            Some(stopping) if !stopping.insisted => {
                sleep_until(stopping.began + patience.again).await;
                group.signal(Signal::SIGTERM);
                stopping.insisted = true;
            }
            Some(stopping) if !stopping.killed => {
                sleep_until(stopping.began + patience.kill).await;
                group.signal(Signal::SIGKILL);
                stopping.killed = true;
            }
            _ => std::future::pending().await,
        }
    }
}
