//! What is heard of one process: FFmpeg's progress and its log, and what is judged from both.

use std::io;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::exchange::Source;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::secrets;
use hls_swarm_player::buffer::Buffer;
use hls_swarm_player::playback::{Change, Playback};

use crate::engine::ffmpeg::capability::Scope;
use crate::engine::ffmpeg::inferred::{self, Author};
use crate::engine::ffmpeg::log::Log;
use crate::engine::ffmpeg::progress::Parser;
use crate::engine::viewer::{Channel, RunContext};

/// A line that goes on for longer is carried in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// Everything that is heard of one process.
pub(crate) struct ViewerMonitor<'a> {
    author: Author,
    context: &'a RunContext,
    channel: &'a Channel,
    started_ns: u64,
    progress: Parser,
    pub(crate) log: Log,
    playback: Playback,
    buffer: Buffer,
    media_us: u64,
    told_media_us: u64,
    lines: u64,
    told_forgotten: u64,
    /// The line that FFmpeg has begun, where its lines are carried to our log.
    unfinished: Vec<u8>,
    facts: Vec<Event>,
    pub(crate) cannot_start: Option<io::Error>,
    pub(crate) stopped_by_plan: bool,
    pub(crate) stopped_for_stall: bool,
}

impl<'a> ViewerMonitor<'a> {
    /// Nothing was heard yet.
    pub(crate) fn new(context: &'a RunContext, author: Author, started_ns: u64) -> Self {
        let channel = context.channels.of(author.viewer);
        let segment_ns = (channel.play.target_duration * 1e9) as u64;
        let log = Log::new(context.source == Source::Log, context.plan.viewers.reasons_kept);
        let retries = context.can.has(Scope::Hls, "seg_max_retry");
        Self {
            author,
            context,
            channel,
            started_ns,
            progress: Parser::new(),
            log: if retries { log } else { log.without_segment_retries() },
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

    /// Takes what FFmpeg said of its progress.
    pub(crate) fn stdout(&mut self, bytes: &[u8]) {
        let Self { playback, buffer, media_us, .. } = self;
        self.progress.feed(bytes, &mut |progress| {
            if let Some(played) = progress.media_time_us.and_then(|time| u64::try_from(time).ok()) {
                *media_us = (*media_us).max(played);
                playback.report(now_ns(), played);
                buffer.report(now_ns(), played);
            }
        });
    }

    /// Takes what FFmpeg logged.
    pub(crate) fn stderr(&mut self, bytes: &[u8]) {
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.carry(bytes);
        let Self { log, facts, author, context, .. } = self;
        let exchanges = context.source == Source::Log;
        log.feed(now_ns(), bytes, &mut |fact| facts.extend(inferred::event(*author, fact, exchanges)));
    }

    /// Carries whole lines to our own log, where that is asked for.
    fn carry(&mut self, bytes: &[u8]) {
        if self.context.plan.viewers.words.is_none() {
            return;
        }
        self.unfinished.extend_from_slice(bytes);
        let viewer = self.author.viewer;
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            tracing::info!(viewer, ffmpeg = String::from_utf8_lossy(&line).trim_end());
        }
        if self.unfinished.len() > LONGEST_LINE {
            let piece = std::mem::take(&mut self.unfinished);
            tracing::info!(viewer, ffmpeg = %String::from_utf8_lossy(&piece));
        }
    }

    /// It plays, and nobody was told so yet.
    pub(crate) const fn begins_to_play(&self) -> bool {
        self.media_us > 0 && self.told_media_us == 0
    }

    /// FFmpeg has ended: no more will be heard.
    pub(crate) fn finish(&mut self) {
        if self.media_us > self.told_media_us {
            // What it played since the last tick, it played.
            self.judge();
        }
        let Self { log, facts, author, context, .. } = self;
        let exchanges = context.source == Source::Log;
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
    pub(crate) fn judge(&mut self) -> Option<Change> {
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
            self.facts.push(Event::PlaybackTime { viewer, shown_us, stalled_us });
        }
        match assessment.change {
            Some(Change::Stalled) => self.facts.push(Event::Stalled { viewer }),
            Some(Change::Recovered) => self.facts.push(Event::Recovered { viewer }),
            None => {}
        }
        self.count_lines();
        assessment.change
    }

    /// Tells what was noted.
    pub(crate) async fn hand_over(&mut self, context: &RunContext) {
        for fact in self.facts.drain(..) {
            context.tell(fact).await;
        }
    }

    /// What kind of end it was.
    pub(crate) async fn class(&self, stop: &CancellationToken, ending: ProcessExit) -> EndClass {
        let played_well = ending.is_success() && self.playback.has_played() && !self.stopped_for_stall;
        if self.stopped_by_plan {
            return EndClass::Stopped;
        }
        let Channel { stream, play, end } = self.channel;
        let at_its_end = async { !play.live || end.reached(stream, &self.context.plan.target_policy).await };
        let finished = played_well
            && tokio::select! {
                () = stop.cancelled() => false,
                ended = at_its_end => ended,
            };
        if finished { EndClass::Finished } else { EndClass::Failed }
    }

    /// Why the process ended, in words that are the same for equal causes.
    pub(crate) fn reason(&self, class: EndClass, ending: ProcessExit, killed: bool) -> String {
        if let Some(error) = &self.cannot_start {
            return format!("cannot start {}: {error}", self.context.plan.viewers.ffmpeg.display());
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
