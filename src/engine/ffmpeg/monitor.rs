//! The monitor of one FFmpeg process: reads its progress and its log.

use std::time::Duration;

use hls_swarm_model::event::Event;
use hls_swarm_os::clock::now_ns;

use super::Ffmpeg;
use super::inferred::{self, Author, HostLimits};
use super::log::Log;
use super::progress::Parser;
use super::watchdog::Watchdog;
use crate::engine::ffmpeg::capability::Scope;
use crate::engine::process::Monitor;

/// Longest line that is copied to our log in one piece, bytes.
const LONGEST_LINE: usize = 64 << 10;

/// The monitor of one FFmpeg process.
pub(crate) struct FfmpegMonitor {
    author: Author,
    /// Whether requests are inferred from the log.
    infers: bool,
    /// Without a probe: the hosts that the viewer may connect to.
    limits: Option<HostLimits>,
    progress: Parser,
    log: Log,
    watchdog: Watchdog,
    media_us: u64,
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
            watchdog: Watchdog::new(started_ns, segment_ns),
            media_us: 0,
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
        let Self { watchdog, media_us, events, author, .. } = self;
        self.progress.feed(bytes, &mut |progress| {
            let read_us = progress.media_time_us.and_then(|time| u64::try_from(time).ok()).unwrap_or(0);
            if read_us > *media_us {
                if *media_us == 0 {
                    events.push(Event::ReadsMedia { viewer: author.viewer });
                }
                *media_us = read_us;
                watchdog.advanced(now_ns());
            }
        });
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

    fn tick(&mut self) -> bool {
        self.count_lines();
        self.watchdog.stands_still(now_ns())
    }

    fn stopping(&mut self) {
        self.log.stopping();
    }

    fn finish(&mut self) {
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
        self.media_us > 0
    }

    fn media(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.media_us))
    }

    fn last_error(&self) -> Option<&str> {
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
