//! FFmpeg's standard error: split into lines, read for facts, condensed to reasons.
//!
//! With the socket probe, FFmpeg runs at level `warning`, at which it reports errors of playlists, segments and TLS;
//! then only these facts and [`Reasons`] are used. Without the probe, FFmpeg runs at `repeat+level+trace`, and the
//! [`Interpreter`] infers the HTTP exchanges as well. The log never shows how many bytes of a response arrived: all
//! that is known about bodies is the length that the origin announced (see [`Exchange::body_bytes`]).

pub(crate) mod event;
pub(crate) mod interpreter;
pub(crate) mod line;
pub(crate) mod reason;
pub(crate) mod reasons;

pub use event::{Chunks, Event, Exchange, ExchangeEnd};
pub use interpreter::Interpreter;
pub use line::{Context, Kind, Level, Line, MAX_LINE_BYTES, Splitter};
pub use reason::reason;
pub use reasons::{Reason, Reasons};

/// One viewer's standard error, from bytes to events and reasons, in bounded memory.
#[derive(Debug)]
pub struct Log {
    splitter: Splitter,
    interpreter: Interpreter,
    reasons: Reasons,
}

impl Log {
    /// A log at its beginning. `trace`: FFmpeg was started with `-loglevel repeat+level+trace`, so
    /// that the absence of an `http_code=` line is a fact. `kept`: how many different reasons are kept, half
    /// of them from the beginning.
    #[must_use]
    pub fn new(trace: bool, kept: usize) -> Self {
        Self {
            splitter: Splitter::new(),
            interpreter: Interpreter::new(trace),
            reasons: Reasons::new(kept / 2, kept - kept / 2),
        }
    }

    /// Sets that this FFmpeg has no option for retries of segments (before 6.0): it skips a segment that it
    /// could not open.
    #[must_use]
    pub fn without_segment_retries(mut self) -> Self {
        self.interpreter.without_segment_retries();
        self
    }

    /// Takes the next bytes as they were received at `at_ns` (monotonic nanoseconds).
    pub fn feed(&mut self, at_ns: u64, bytes: &[u8], out: &mut impl FnMut(Event)) {
        let Self { splitter, interpreter, reasons } = self;
        splitter.feed(at_ns, bytes, &mut |line| {
            interpreter.line(&line, out);
            reasons.line(&line);
        });
    }

    /// Records that the viewer was asked to stop: from now on, a request without a response is in flight.
    pub fn stopping(&mut self) {
        self.interpreter.stopping();
    }

    /// Ends the log: reports the exchanges that were still open.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        let Self { splitter, interpreter, reasons } = self;
        splitter.finish(&mut |line| {
            interpreter.line(&line, out);
            reasons.line(&line);
        });
        interpreter.finish(out);
    }

    /// Why this viewer failed, according to FFmpeg's log.
    #[must_use]
    pub const fn reasons(&self) -> &Reasons {
        &self.reasons
    }
}
