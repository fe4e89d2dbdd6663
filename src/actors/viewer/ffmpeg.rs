//! One life of an FFmpeg viewer: start it, listen to it, judge it, stop it, say how it ended.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::unix::pipe;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Channel, Crew, Life};
use crate::pure::buffer::Buffer;
use crate::pure::ffmpeg::argv::arguments;
use crate::pure::ffmpeg::inferred::{self, Author};
use crate::pure::ffmpeg::log::Log;
use crate::pure::ffmpeg::progress::Parser;
use crate::pure::playback::{Change, Playback};
use crate::pure::secrets::Concealed;
use crate::system::clock::now_ns;
use crate::system::process::{Child, Group, Patience, Program};
use crate::system::secrets;
use crate::words::ending::Ending;
use crate::words::event::{EndClass, Event};
use crate::words::exchange::Source;
use crate::words::wire;

/// How much is read from one pipe before others get their turn.
const TURN_BYTES: usize = 256 << 10;

/// Starts viewer `viewer` for the `generation`th time and returns when it has ended; `stop` ends it in
/// good order.
pub(super) async fn play(crew: &Crew, viewer: u32, generation: u32, stop: &CancellationToken) -> Life {
    let started_ns = now_ns();
    crew.tell(Event::Started { viewer, generation, at_ns: started_ns }).await;
    let program = program(crew, viewer, generation);
    let (ending, listening, killed) = match program.start(&crew.guard) {
        Ok(child) => {
            let author = Author { viewer, generation, pid: child.pid() };
            let mut listening = Listening::new(crew, author, started_ns);
            let (ending, killed) = attend(crew, child, &mut listening, stop).await;
            (ending, listening, killed)
        }
        Err(error) => {
            let author = Author { viewer, generation, pid: 0 };
            let mut listening = Listening::new(crew, author, started_ns);
            listening.cannot_start = Some(error);
            (Ending::Exited(127), listening, false)
        }
    };
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    let class = listening.class(stop, ending).await;
    let reason = listening.reason(class, ending, killed);
    tracing::debug!(viewer, generation, ?class, %ending, reason, "viewer ended");
    let uptime_seconds = uptime.as_secs_f64();
    crew.tell(Event::Ended { viewer, class, ending, killed, reason, uptime_seconds }).await;
    Life { class, uptime }
}

/// What FFmpeg is told for viewer `viewer`, secrets and all.
#[must_use]
pub fn command(crew: &Crew, viewer: u32) -> Vec<String> {
    let Channel { stream, play, .. } = crew.channels.of(viewer);
    arguments(stream, &crew.plan.viewers, play, crew.source, &crew.can, viewer)
}

/// The process to start, with the probe if there is one.
#[must_use]
pub fn program(crew: &Crew, viewer: u32, generation: u32) -> Program {
    let plan = &crew.plan;
    let words = command(crew, viewer);
    let Concealed { words, variables } = match crew.probe {
        Some(_) => plan.secrets.conceal(words),
        None => Concealed { words, ..Concealed::default() },
    };
    let mut program = Program::new(&plan.viewers.ffmpeg, words);
    program.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
    // One arena: FFmpeg's threads are few, and each arena costs every viewer half a megabyte.
    program.environment.push(("MALLOC_ARENA_MAX".into(), "1".into()));
    if let Some((object, pipe)) = &crew.probe {
        let report = format!("{}:{viewer}:{generation}", pipe.fd());
        program.environment.push((wire::ENVIRONMENT.into(), report.into()));
        let object_fd = object.fd().as_raw_fd();
        let already = std::env::var_os("LD_PRELOAD");
        program.environment.push(("LD_PRELOAD".into(), object.preload(object_fd, already.as_deref())));
        program.inherit.extend([pipe.fd(), object_fd]);
        let rules = &crew.channels.of(viewer).stream.resolve;
        if let Some(told) = plan.network.told(rules, viewer) {
            program.environment.push((wire::NETWORK_ENVIRONMENT.into(), told.into()));
        }
    }
    program
}

/// Attends to a child until it has ended. Returns how, and whether it had to be killed.
async fn attend(
    crew: &Crew,
    mut child: Child,
    listening: &mut Listening<'_>,
    stop: &CancellationToken,
) -> (Ending, bool) {
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
                if change == Some(Change::Stalled) && crew.plan.viewers.restart_on_stall && stopping.is_none() {
                    listening.stopped_for_stall = true;
                    stopping = Some(Stopping::begin(group, listening));
                }
            }
            () = stop.cancelled(), if stopping.is_none() => {
                listening.stopped_by_plan = true;
                stopping = Some(Stopping::begin(group, listening));
            }
            () = crew.at_once.cancelled(), if !stopping.as_ref().is_some_and(|stopping| stopping.killed) => {
                listening.stopped_by_plan = true;
                group.signal(Signal::SIGKILL);
                stopping.get_or_insert_with(|| Stopping::begin(group, listening)).killed = true;
            }
            () = Stopping::insist(&mut stopping, group) => {}
        }
        listening.hand_over(crew).await;
    };
    // What the child said last is still in the pipes.
    listening.stderr(&last(&stderr));
    listening.stdout(&last(&stdout));
    listening.finish();
    listening.hand_over(crew).await;
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
    fn begin(group: Group, listening: &mut Listening<'_>) -> Self {
        group.signal(Signal::SIGTERM);
        listening.log.stopping();
        Self { began: Instant::now(), insisted: false, killed: false }
    }

    /// Waits for the moment to insist, and does. Never returns while nothing is to be done.
    async fn insist(stopping: &mut Option<Self>, group: Group) {
        let patience = Patience::default();
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

/// Everything that is heard of one process.
struct Listening<'a> {
    author: Author,
    crew: &'a Crew,
    channel: &'a Channel,
    started_ns: u64,
    progress: Parser,
    log: Log,
    playback: Playback,
    buffer: Buffer,
    media_us: u64,
    told_media_us: u64,
    lines: u64,
    told_forgotten: u64,
    /// The line that FFmpeg has begun, where its lines are carried to our log.
    unfinished: Vec<u8>,
    facts: Vec<Event>,
    cannot_start: Option<io::Error>,
    stopped_by_plan: bool,
    stopped_for_stall: bool,
}

impl<'a> Listening<'a> {
    fn new(crew: &'a Crew, author: Author, started_ns: u64) -> Self {
        let channel = crew.channels.of(author.viewer);
        let segment_ns = (channel.play.target_duration * 1e9) as u64;
        Self {
            author,
            crew,
            channel,
            started_ns,
            progress: Parser::new(),
            log: Log::new(crew.source == Source::Log, crew.plan.viewers.reasons_kept),
            playback: Playback::new(started_ns, segment_ns),
            buffer: Buffer::new(segment_ns),
            media_us: 0,
            told_media_us: 0,
            lines: 0,
            told_forgotten: 0,
            unfinished: Vec::new(),
            facts: Vec::new(),
            cannot_start: None,
            stopped_by_plan: false,
            stopped_for_stall: false,
        }
    }

    fn stdout(&mut self, bytes: &[u8]) {
        let Self { playback, buffer, media_us, .. } = self;
        self.progress.feed(bytes, &mut |progress| {
            if let Some(played) = progress.media_time_us.and_then(|time| u64::try_from(time).ok()) {
                *media_us = (*media_us).max(played);
                playback.report(now_ns(), played);
                buffer.report(now_ns(), played);
            }
        });
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.carry(bytes);
        let Self { log, facts, author, crew, .. } = self;
        let exchanges = crew.source == Source::Log;
        log.feed(now_ns(), bytes, &mut |fact| facts.extend(inferred::event(*author, fact, exchanges)));
    }

    /// Carries whole lines to our own log, where that is asked for.
    fn carry(&mut self, bytes: &[u8]) {
        if self.crew.plan.viewers.words.is_none() {
            return;
        }
        self.unfinished.extend_from_slice(bytes);
        let viewer = self.author.viewer;
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            tracing::info!(viewer, ffmpeg = String::from_utf8_lossy(&line).trim_end());
        }
    }

    /// It plays, and nobody was told so yet.
    const fn begins_to_play(&self) -> bool {
        self.media_us > 0 && self.told_media_us == 0
    }

    fn finish(&mut self) {
        if self.media_us > self.told_media_us {
            // What it played since the last tick, it played.
            self.judge();
        }
        let Self { log, facts, author, crew, .. } = self;
        let exchanges = crew.source == Source::Log;
        log.finish(&mut |fact| facts.extend(inferred::event(*author, fact, exchanges)));
        self.count_lines();
    }

    /// Notes how many lines were read since the last time.
    fn count_lines(&mut self) {
        if self.lines > 0 {
            let parsed = std::mem::take(&mut self.lines);
            let forgotten = self.log.reasons().forgotten();
            let dropped = forgotten - std::mem::replace(&mut self.told_forgotten, forgotten);
            let viewer = self.author.viewer;
            self.facts.push(Event::Lines { viewer, parsed, dropped });
        }
    }

    /// Judges playback now and notes what there is to tell.
    fn judge(&mut self) -> Option<Change> {
        let viewer = self.author.viewer;
        self.told_media_us = self.media_us;
        let assessment = self.playback.assess(now_ns());
        self.facts.push(Event::Progress {
            viewer,
            media_us: self.media_us,
            speed: assessment.speed,
            drift_seconds: assessment.drift_seconds,
        });
        self.buffer.advance(now_ns());
        let (shown_us, stalled_us) = self.buffer.news();
        if shown_us + stalled_us > 0 {
            self.facts.push(Event::Watched { viewer, shown_us, stalled_us });
        }
        match assessment.change {
            Some(Change::Stalled) => self.facts.push(Event::Stalled { viewer }),
            Some(Change::Recovered) => self.facts.push(Event::Recovered { viewer }),
            None => {}
        }
        self.count_lines();
        assessment.change
    }

    async fn hand_over(&mut self, crew: &Crew) {
        for fact in self.facts.drain(..) {
            crew.tell(fact).await;
        }
    }

    async fn class(&self, stop: &CancellationToken, ending: Ending) -> EndClass {
        let played_well = ending.is_success() && self.playback.has_played() && !self.stopped_for_stall;
        if self.stopped_by_plan {
            return EndClass::Stopped;
        }
        let Channel { stream, play, end } = self.channel;
        let at_its_end = async { !play.live || end.reached(stream, &self.crew.plan.fence).await };
        let finished = played_well
            && tokio::select! {
                () = stop.cancelled() => false,
                ended = at_its_end => ended,
            };
        if finished { EndClass::Finished } else { EndClass::Failed }
    }

    /// Why the process ended, in words that are the same for equal causes.
    fn reason(&self, class: EndClass, ending: Ending, killed: bool) -> String {
        if let Some(error) = &self.cannot_start {
            return format!("cannot start {}: {error}", self.crew.plan.viewers.ffmpeg.display());
        }
        let said = self.log.reasons().cause().map(|cause| secrets::shown(&cause.text));
        let how = match class {
            _ if self.stopped_for_stall => "stopped because it stalled".to_owned(),
            EndClass::Stopped if killed => "killed, because it did not stop when asked to".to_owned(),
            EndClass::Failed if ending.is_success() && self.channel.play.live => {
                "ended a live stream (exit code 0)".to_owned()
            }
            EndClass::Failed if ending.is_success() => {
                "ended without playing anything (exit code 0)".to_owned()
            }
            _ => ending.to_string(),
        };
        match said {
            Some(said) => format!("{said}; {how}"),
            None if class == EndClass::Failed && self.started_ns > 0 => format!("FFmpeg said nothing; {how}"),
            None => how,
        }
    }
}

/// Waits until a pipe has something, and takes it. `None` = its end.
async fn some(pipe: &Option<pipe::Receiver>) -> Option<Vec<u8>> {
    let Some(pipe) = pipe else { return std::future::pending().await };
    loop {
        pipe.readable().await.ok()?;
        match take(pipe) {
            Ok(bytes) if bytes.is_empty() => return None,
            Ok(bytes) => return Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Reads what is there, one turn at most; empty = the end.
fn take(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    let mut buffer = [0_u8; 4096];
    while taken.len() < TURN_BYTES {
        match pipe.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                taken.extend_from_slice(buffer.get(..read).unwrap_or_default());
                // A short read has emptied the pipe; asking again would only cost a system call.
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

fn keep(pipe: &mut Option<pipe::Receiver>, bytes: Option<Vec<u8>>, hear: impl FnOnce(&[u8])) {
    match bytes {
        Some(bytes) => hear(&bytes),
        None => *pipe = None,
    }
}

/// What a pipe still holds after its writer has ended; a grandchild that keeps writing is not
/// waited for.
fn last(pipe: &Option<pipe::Receiver>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(pipe) = pipe
        && all.len() < TURN_BYTES
    {
        match take(pipe) {
            Ok(bytes) if !bytes.is_empty() => all.extend(bytes),
            _ => break,
        }
    }
    all
}
