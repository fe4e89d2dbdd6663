//! The monitor of one FFmpeg process: derives the state of playback from its progress and its log.

use hls_swarm_model::event::Event;
use hls_swarm_os::clock::now_ns;
use hls_swarm_player::buffer::Buffer;
use hls_swarm_player::playback::{Change, Playback};

use super::Ffmpeg;
use super::inferred::{self, Author, HostLimits};
use super::log::Log;
use super::progress::Parser;
use crate::engine::ffmpeg::capability::Scope;
use crate::engine::process::Monitor;

/// Longest line that is copied to our log in one piece, bytes.
const LONGEST_LINE: usize = 64 << 10;

/// The monitor of one FFmpeg process.
pub(crate) struct FfmpegMonitor {
    author: Author,
    /// The log is the source of requests.
    infers: bool,
    /// Without a probe: the hosts that the viewer may connect to.
    limits: Option<HostLimits>,
    progress: Parser,
    log: Log,
    playback: Playback,
    buffer: Buffer,
    media_us: u64,
    reported_media_us: u64,
    lines: u64,
    reported_forgotten: u64,
    copy: Option<LineCopy>,
    events: Vec<Event>,
}

impl FfmpegMonitor {
    /// A process that has just been started.
    pub(crate) fn new(
        ffmpeg: &Ffmpeg,
        author: Author,
        started_ns: u64,
        target_duration: f64,
        limits: HostLimits,
    ) -> Self {
        let segment_ns = (target_duration * 1e9) as u64;
        // Without a probe, its log is the source of requests.
        let infers = ffmpeg.probe.is_none();
        let log = Log::new(infers, ffmpeg.config.reasons_kept);
        let retries = ffmpeg.capabilities.has(Scope::Hls, "seg_max_retry");
        Self {
            author,
            infers,
            limits: infers.then_some(limits),
            progress: Parser::new(),
            log: if retries { log } else { log.without_segment_retries() },
            playback: Playback::new(started_ns, segment_ns),
            buffer: Buffer::new(segment_ns),
            media_us: 0,
            reported_media_us: 0,
            lines: 0,
            reported_forgotten: 0,
            copy: ffmpeg.config.log_level.map(|_| LineCopy::new(author.viewer)),
            events: Vec::new(),
        }
    }

    /// Counts the lines that were read since the last time.
    fn count_lines(&mut self) {
        if self.lines > 0 {
            let parsed = std::mem::take(&mut self.lines);
            let forgotten = self.log.reasons().forgotten();
            let dropped = forgotten - std::mem::replace(&mut self.reported_forgotten, forgotten);
            let viewer = self.author.viewer;
            self.events.push(Event::Lines { viewer, parsed, dropped });
        }
    }
}

impl Monitor for FfmpegMonitor {
    const PLAYER: &'static str = "FFmpeg";

    /// Takes `-progress` output.
    fn stdout(&mut self, bytes: &[u8]) {
        let Self { playback, buffer, media_us, .. } = self;
        self.progress.feed(bytes, &mut |progress| {
            if let Some(played) = progress.media_time_us.and_then(|time| u64::try_from(time).ok()) {
                *media_us = (*media_us).max(played);
                playback.report(now_ns(), played);
                buffer.report(now_ns(), played);
            }
        });
        if self.media_us > 0 && self.reported_media_us == 0 {
            // Until the next tick the viewer would count as not playing.
            self.tick();
        }
    }

    /// Takes log output.
    fn stderr(&mut self, bytes: &[u8]) {
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if let Some(copy) = &mut self.copy {
            copy.feed(bytes);
        }
        let Self { log, events, author, infers, limits, .. } = self;
        log.feed(now_ns(), bytes, &mut |fact| {
            events.extend(limits.as_ref().and_then(|limits| limits.violated_by(author.viewer, &fact)));
            events.extend(inferred::event(*author, fact, *infers));
        });
    }

    fn tick(&mut self) -> Option<Change> {
        let viewer = self.author.viewer;
        self.reported_media_us = self.media_us;
        let assessment = self.playback.assess(now_ns());
        self.events.push(Event::Progress {
            viewer,
            media_us: self.media_us,
            speed: assessment.speed,
            drift_seconds: assessment.drift_seconds,
        });
        self.buffer.advance(now_ns());
        let (shown_us, stalled_us) = self.buffer.take_elapsed();
        if shown_us + stalled_us > 0 {
            self.events.push(Event::PlaybackTime { viewer, shown_us, stalled_us });
        }
        match assessment.change {
            Some(Change::Stalled) => self.events.push(Event::Stalled { viewer }),
            Some(Change::Recovered) => self.events.push(Event::Recovered { viewer }),
            None => {}
        }
        self.count_lines();
        assessment.change
    }

    fn stopping(&mut self) {
        self.log.stopping();
    }

    fn finish(&mut self) {
        if self.media_us > self.reported_media_us {
            // Playback since the last tick counts.
            self.tick();
        }
        let Self { log, events, author, infers, limits, .. } = self;
        log.finish(&mut |fact| {
            events.extend(limits.as_ref().and_then(|limits| limits.violated_by(author.viewer, &fact)));
            events.extend(inferred::event(*author, fact, *infers));
        });
        self.count_lines();
    }

    fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    fn has_played(&self) -> bool {
        self.playback.has_played()
    }

    fn complaint(&self) -> Option<&str> {
        self.log.reasons().cause().map(|cause| cause.text.as_str())
    }
}

/// Copies FFmpeg's lines to our log.
struct LineCopy {
    viewer: u32,
    /// The unfinished line.
    unfinished: Vec<u8>,
}

impl LineCopy {
    const fn new(viewer: u32) -> Self {
        Self { viewer, unfinished: Vec::new() }
    }

    /// Takes output and logs the lines that are complete.
    fn feed(&mut self, bytes: &[u8]) {
        let viewer = self.viewer;
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            tracing::info!(viewer, ffmpeg = String::from_utf8_lossy(&line).trim_end());
        }
        if self.unfinished.len() > LONGEST_LINE {
            let piece = std::mem::take(&mut self.unfinished);
            tracing::info!(viewer, ffmpeg = %String::from_utf8_lossy(&piece));
        }
    }
}
