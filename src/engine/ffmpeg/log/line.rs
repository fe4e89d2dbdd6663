//! Splits bytes into lines: `2026-11-21 03:03:30.608 [context @ 0xPTR] [level] text`, in any portions.
//!
//! It parses FFmpeg's prefixes and line ends, and not the texts.

/// Longest line that is kept; the rest of a longer one is skipped. FFmpeg's URLs end at 4096.
pub const MAX_LINE_BYTES: usize = 8192;

/// FFmpeg's log levels, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// FFmpeg is about to crash.
    Panic,
    /// FFmpeg cannot go on.
    Fatal,
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warning,
    /// Standard information.
    Info,
    /// More information.
    Verbose,
    /// For developers.
    Debug,
    /// For developers, even more.
    Trace,
}

impl Level {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "panic" => Self::Panic,
            "fatal" => Self::Fatal,
            "error" => Self::Error,
            "warning" => Self::Warning,
            "info" => Self::Info,
            "verbose" => Self::Verbose,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }
}

/// The part of FFmpeg that logged a line: `[hls @ 0x55f4c9433dc0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// `hls`, `in#0/hls`, `http`, `tcp`, `mpegts`…
    pub name: &'a str,
    /// Address of the object inside FFmpeg. It is reused once the object is gone.
    pub address: u64,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first (nearly always only) line of a log record.
    Record,
    /// A further line of a `request:` record: a header of the request.
    RequestHeader,
    /// The status line (`frame= … speed=`).
    Status,
    /// A line without any prefix: the dynamic linker, a banner, a record of several lines.
    Bare,
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the first byte of the line was received, in the unit given to [`Splitter::feed`].
    pub at_ns: u64,
    /// What the line is.
    pub kind: Kind,
    /// The part of FFmpeg that logged the line; the innermost one if FFmpeg names two.
    pub context: Option<Context<'a>>,
    /// The level, if FFmpeg runs with the log flag `level`.
    pub level: Option<Level>,
    /// The text behind the prefix.
    pub text: &'a str,
    /// The whole line, prefix included, without its end; invalid UTF-8 is replaced.
    pub whole: &'a str,
}

/// Splits standard error into lines; keeps at most one unfinished line.
#[derive(Debug, Default)]
pub struct Splitter {
    partial: Vec<u8>,
    // The rest of an overlong line is skipped up to its end.
    skipping: bool,
    partial_since_ns: u64,
    in_request: bool,
}

impl Splitter {
    /// A splitter at the start of a log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, received at `at_ns`; passes every finished line to `out`.
    /// Empty lines are left out. A carriage return ends a line like a line feed does.
    pub fn feed(&mut self, at_ns: u64, bytes: &[u8], out: &mut impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                self.emit(at_ns, head, out);
            } else {
                self.keep(at_ns, head);
                let line = std::mem::take(&mut self.partial);
                self.emit(self.partial_since_ns, &line, out);
                self.partial = line;
                self.partial.clear();
            }
            self.skipping = false;
        }
        self.keep(at_ns, rest);
    }

    /// Ends the log: passes on a last line without a line end.
    pub fn finish(&mut self, out: &mut impl FnMut(Line<'_>)) {
        let line = std::mem::take(&mut self.partial);
        self.emit(self.partial_since_ns, &line, out);
        self.skipping = false;
    }

    fn keep(&mut self, at_ns: u64, bytes: &[u8]) {
        if self.skipping || bytes.is_empty() {
            return;
        }
        if self.partial.is_empty() {
            self.partial_since_ns = at_ns;
        }
        let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.skipping = bytes.len() > room;
    }

    fn emit(&mut self, at_ns: u64, line: &[u8], out: &mut impl FnMut(Line<'_>)) {
        let line = line.get(..MAX_LINE_BYTES).unwrap_or(line);
        // Empty lines have no meaning: they occur between and after request headers.
        if line.is_empty() {
            return;
        }
        let whole = String::from_utf8_lossy(line);
        let whole = whole.trim_end();
        let (context, level, text) = prefix(whole);
        let kind = if is_status(text) {
            Kind::Status
        } else if context.is_some() || level.is_some() {
            Kind::Record
        } else if self.in_request {
            Kind::RequestHeader
        } else {
            Kind::Bare
        };
        if kind == Kind::Record {
            self.in_request = text.starts_with("request: ");
        }
        if !text.is_empty() {
            out(Line { at_ns, kind, context, level, text, whole });
        }
    }
}

fn prefix(line: &str) -> (Option<Context<'_>>, Option<Level>, &str) {
    let mut text = skip_time(line);
    let (mut context, mut level) = (None, None);
    while let Some((found, rest)) = bracket_context(text) {
        context = Some(found);
        text = rest;
    }
    if let Some((word, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        && let Some(found) = Level::from_word(word)
    {
        level = Some(found);
        text = rest.strip_prefix(' ').unwrap_or(rest);
    }
    (context, level, text)
}

/// Parses `[name @ 0xPTR] rest`; names contain commas, slashes and `#`, never `]`.
fn bracket_context(text: &str) -> Option<(Context<'_>, &str)> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (name, address) = inside.rsplit_once(" @ 0x")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((Context { name, address }, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// Skips `2026-11-21 03:03:30.608 ` (log flag `datetime`) or `03:03:30.608 ` (log flag `time`),
/// but only in front of a bracket.
fn skip_time(line: &str) -> &str {
    let Some(bracket) = line.find('[').filter(|&at| (13..=24).contains(&at)) else { return line };
    let Some((time, rest)) = line.split_at_checked(bracket) else { return line };
    let is_time = time.ends_with(' ')
        && time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b' '));
    if is_time { rest } else { line }
}

fn is_status(text: &str) -> bool {
    (text.starts_with("frame=") || text.starts_with("size=") || text.starts_with("Lsize="))
        && text.contains("time=")
        && text.contains("bitrate=")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (Kind, Option<(String, u64)>, Option<Level>, String);

    fn lines(bytes: &[u8]) -> Vec<Owned> {
        let (mut splitter, mut lines) = (Splitter::new(), Vec::new());
        let mut out = |line: Line<'_>| {
            let context = line.context.map(|context| (context.name.to_owned(), context.address));
            lines.push((line.kind, context, line.level, line.text.to_owned()));
        };
        splitter.feed(1, bytes, &mut out);
        splitter.finish(&mut out);
        lines
    }

    #[test]
    fn prefixes_of_all_versions_are_parsed() {
        for prefix in ["", "2026-11-21 03:03:30.608 ", "03:03:30.608 "] {
            let text = format!("{prefix}[in#0/hls @ 0x1f] [warning] Failed to reload playlist 0\n");
            assert_eq!(
                lines(text.as_bytes()),
                [(
                    Kind::Record,
                    Some(("in#0/hls".to_owned(), 0x1f)),
                    Some(Level::Warning),
                    "Failed to reload playlist 0".to_owned()
                )]
            );
        }
        let two = lines(b"[out#0/null @ 0x1] [mov,mp4 @ 0x2] [error] [x] y");
        assert_eq!(two[0].1, Some(("mov,mp4".to_owned(), 2)));
        assert_eq!(two[0].3, "[x] y");
        assert_eq!(lines(b"[hls @ 0xa] no level flag")[0].2, None);
    }

    #[test]
    fn a_record_after_a_status_line_is_a_line_of_its_own() {
        let found = lines(
            b"frame=  1 fps=0 q=-1.0 size=N/A time=00:00:01.00 bitrate=N/A speed=1x    \r[http @ 0x1] [debug] x\n",
        );
        assert_eq!(found.iter().map(|line| line.0).collect::<Vec<_>>(), [Kind::Status, Kind::Record]);
    }

    #[test]
    fn request_headers_and_linker_errors_are_lines() {
        let found = lines(
            b"ffmpeg: error while loading\n[http @ 0x1] [debug] request: GET /a HTTP/1.1\r\nHost: b\r\n\r\n\n[info] c\nd\n",
        );
        let kinds = found.iter().map(|line| line.0).collect::<Vec<_>>();
        assert_eq!(kinds, [Kind::Bare, Kind::Record, Kind::RequestHeader, Kind::Record, Kind::Bare]);
    }

    #[test]
    fn an_overlong_line_is_cut_and_the_next_one_is_complete() {
        let (mut splitter, mut seen) = (Splitter::new(), Vec::new());
        let mut out = |line: Line<'_>| seen.push((line.at_ns, line.whole.len()));
        splitter.feed(1, b"[error] ", &mut out);
        for at in 2..500 {
            splitter.feed(at, &[b'x'; 4096], &mut out);
        }
        assert!(splitter.partial.capacity() <= 2 * MAX_LINE_BYTES);
        splitter.feed(500, b"\n[info] y\n", &mut out);
        assert_eq!(seen, [(1, MAX_LINE_BYTES), (500, 8)]);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(lines(b"[error] \xff\xfe!\n")[0].3, "\u{fffd}\u{fffd}!");
    }
}
