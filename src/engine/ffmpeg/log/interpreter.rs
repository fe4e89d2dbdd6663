//! Turns lines into facts: follows each HTTP object through request, response head and chunks.
//!
//! FFmpeg's HLS demuxer opens one resource after the other in one thread, and an open returns when
//! the response head was read. So when the demuxer logs anything else, a request that has
//! no status yet was given up; without this, a request written into a connection that the server
//! had closed would wait for an answer until the end of the log.

use super::event::{Chunks, Event, Exchange, ExchangeEnd, STALE_WITHIN_NS};
use super::line::{Kind, Level, Line};

/// Maximum number of objects that are followed; FFmpeg needs a handful per playlist. Beyond that, the oldest one is
/// reported and no longer followed.
const MAX_OPEN: usize = 64;
/// Maximum number of responses that are remembered in case their bodies turn out to be cut short.
const MAX_ANSWERED: usize = 16;
/// Longest value of a header or an error that is kept.
const MAX_VALUE_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Awaiting,
    Head,
    Chunks,
}

/// Turns the lines of one FFmpeg process into events.
#[derive(Debug)]
pub struct Interpreter {
    trace: bool,
    stopping: bool,
    new_connection: bool,
    segment_retries: bool,
    reload_failed: bool,
    open: Vec<(Stage, Exchange)>,
    /// The last responses with a body of announced length, one for each connection.
    answered: Vec<Exchange>,
}

impl Interpreter {
    /// An interpreter at the start of a log. `trace`: the log level is `trace`, so a response that
    /// is not in the log did not arrive.
    #[must_use]
    pub const fn new(trace: bool) -> Self {
        Self {
            trace,
            stopping: false,
            new_connection: false,
            segment_retries: true,
            reload_failed: false,
            open: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Sets that this FFmpeg has no option for retries of segments.
    pub const fn without_segment_retries(&mut self) {
        self.segment_retries = false;
    }

    /// Records that the viewer was asked to stop: from now on, requests without a response are in flight.
    pub const fn stopping(&mut self) {
        self.stopping = true;
    }

    /// Takes the next line.
    pub fn line(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        self.stopping = self.stopping || says_stop(line);
        let name = line.context.map_or("", |context| context.name);
        match (line.kind, name) {
            (Kind::RequestHeader, _) => self.request_header(line.text),
            (Kind::Status, _) => {}
            (_, "http" | "https") => self.http(line, out),
            (_, "tcp") => self.tcp(line, out),
            // Lower levels are logged while a response is awaited, too, such as when OpenSSL receives session tickets.
            (_, "tls") if line.level.is_some_and(|level| level <= Level::Error) => {
                self.moved_on(out);
                out(Event::TlsFailed);
            }
            (_, "hls" | "NULL" | "AVFormatContext") => self.demuxer(line, out),
            (_, name) if name.starts_with("in#") => self.demuxer(line, out),
            (_, "") => self.tool(line, out),
            _ => {}
        }
    }

    /// Ends the log: reports the exchanges that are still open.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        self.stopping = true;
        for index in (0..self.open.len()).rev() {
            self.close(index, out);
        }
    }

    fn http(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        let address = line.context.map_or(0, |context| context.address);
        let found = self.open.iter().rposition(|(_, exchange)| exchange.context == address);
        let text = line.text;
        if let Some(request) = text.strip_prefix("request: ") {
            self.moved_on(out);
            if let Some(index) = self.open.iter().position(|(_, exchange)| exchange.context == address) {
                self.close(index, out);
            }
            let secure = line.context.is_some_and(|context| context.name == "https");
            self.request(address, secure, request, line.at_ns, out);
        } else if let Some(code) = text.strip_prefix("http_code=") {
            if let Ok(status) = code.trim().parse() {
                self.status(found, address, status, line.at_ns, out);
            }
        } else if let Some(header) = text.strip_prefix("header='") {
            if let Some(index) = found {
                self.header(index, header.strip_suffix('\'').unwrap_or(header), out);
            }
        } else if let Some(size) = text.strip_prefix("Chunked encoding data size: ") {
            if let (Some(index), Ok(size)) = (found, size.trim().parse()) {
                self.chunk(index, size, line.at_ns, out);
            }
        } else if text.starts_with("Will reconnect at ") {
            self.moved_on(out);
            out(Event::WillReconnect);
        } else if text.starts_with("Error reading HTTP response: ") || text.starts_with("Opening '") {
            self.moved_on(out);
        } else if let Some(rest) = text.strip_prefix("Stream ends prematurely at ")
            && let Some((arrived, _)) = rest.split_once(',')
        {
            self.cut_short(address, arrived.trim().parse().ok(), out);
        }
    }

    /// The demuxer opens what it has just requested again: the request went into a connection that had ended.
    fn sent_again(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        let Some(index) = self.open.iter().position(|(stage, _)| *stage == Stage::Awaiting) else { return };
        let Some((_, exchange)) = self.open.get_mut(index) else { return };
        if !exchange.kept_connection || self.stopping || exchange.path.is_empty() {
            return;
        }
        let ended = if let Some(rest) = line.text.strip_prefix("keepalive request failed for ") {
            // After a timeout, a server that was there has not responded.
            let error = rest.rsplit_once("with error: '").map_or("", |(_, error)| error);
            ["Broken pipe", "Connection reset"].iter().any(|reset| error.starts_with(reset)).then_some(true)
        } else if let Some(rest) = line.text.strip_prefix("Opening '") {
            let same = rest.split_once('\'').is_some_and(|(url, _)| url.ends_with(&exchange.path));
            let soon = line.at_ns.saturating_sub(exchange.started_ns) < STALE_WITHIN_NS;
            (same && soon).then_some(false)
        } else {
            None
        };
        let Some(reset) = ended else { return };
        exchange.ending = ExchangeEnd::Stale;
        let context = exchange.context;
        self.close(index, out);
        if reset {
            // The connection was reset, perhaps in the middle of the body before.
            self.cut_short(context, None, out);
        }
    }

    /// The last body on a connection did not arrive whole.
    fn cut_short(&mut self, context: u64, arrived: Option<u64>, out: &mut impl FnMut(Event)) {
        if let Some(index) = self.answered.iter().rposition(|exchange| exchange.context == context) {
            out(Event::CutShort { exchange: self.answered.remove(index), arrived });
        }
    }

    fn tcp(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        self.moved_on(out);
        if line.text.starts_with("Successfully connected to ") {
            self.new_connection = true;
        } else if let Some(rest) = line.text.strip_prefix("Starting connection attempt to ") {
            if let Some(address) = rest.split(' ').next().and_then(|address| address.parse().ok()) {
                out(Event::Connecting { address });
            }
        } else if let Some(rest) = line.text.strip_prefix("Connection to ") {
            if let Some((_, error)) = rest.rsplit_once(" failed: ") {
                out(Event::ConnectFailed { error: clip(error) });
            }
        } else if let Some(rest) = line.text.strip_prefix("Failed to resolve hostname ")
            && let Some((_, error)) = rest.split_once(": ")
        {
            out(Event::NameNotResolved { error: clip(error) });
        }
    }

    fn demuxer(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        let text = line.text;
        self.sent_again(line, out);
        self.moved_on(out);
        if text.starts_with("Failed to reload playlist ") {
            // FFmpeg logs each failure twice.
            if !std::mem::replace(&mut self.reload_failed, true) {
                out(Event::ReloadFailed);
            }
        } else if text.starts_with("Failed to open segment ") {
            // Without an option for retries, FFmpeg continues with the next segment and does not log that.
            if !self.segment_retries {
                out(Event::SegmentSkipped);
            }
        } else if text.ends_with("failed too many times, skipping") {
            out(Event::SegmentSkipped);
        } else if let Some(segments) = number_between(text, "skipping ", " segments ahead") {
            out(Event::FellBehind { segments });
        }
    }

    /// Lines of the `ffmpeg` tool have no context.
    fn tool(&mut self, line: &Line<'_>, out: &mut impl FnMut(Event)) {
        if line.level == Some(Level::Error) && error_of_url(line.text).is_some() {
            self.moved_on(out);
        }
    }

    fn request(&mut self, context: u64, secure: bool, text: &str, at_ns: u64, out: &mut impl FnMut(Event)) {
        let (method, rest) = text.split_once(' ').unwrap_or((text, ""));
        let path = rest.rsplit_once(" HTTP/").map_or(rest, |(path, _)| path);
        let exchange = Exchange {
            context,
            secure,
            kept_connection: !std::mem::take(&mut self.new_connection),
            method: clip(method),
            path: clip(path),
            started_ns: at_ns,
            ..Exchange::default()
        };
        self.push(Stage::Awaiting, exchange, out);
    }

    fn request_header(&mut self, text: &str) {
        if let Some((Stage::Awaiting, exchange)) = self.open.last_mut()
            && let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            exchange.host = Some(clip(value.trim()));
        }
    }

    fn status(
        &mut self,
        found: Option<usize>,
        context: u64,
        status: u16,
        at_ns: u64,
        out: &mut impl FnMut(Event),
    ) {
        if let Some(index) = found
            && let Some((stage, exchange)) = self.open.get_mut(index)
            && (*stage == Stage::Awaiting || exchange.status.is_some_and(|status| status < 200))
        {
            *stage = Stage::Head;
            // An interim response (1xx) is a first byte, too.
            exchange.first_byte_ns.get_or_insert(at_ns.saturating_sub(exchange.started_ns));
            exchange.status = Some(status);
            return;
        }
        // The request line is missing (lines were lost): the response still counts.
        if let Some(index) = found {
            self.close(index, out);
        }
        let exchange = Exchange { context, status: Some(status), started_ns: at_ns, ..Exchange::default() };
        self.push(Stage::Head, exchange, out);
    }

    fn header(&mut self, index: usize, header: &str, out: &mut impl FnMut(Event)) {
        let Some((stage, exchange)) = self.open.get_mut(index) else { return };
        if *stage != Stage::Head {
            return;
        }
        if header.is_empty() {
            if exchange.status.is_some_and(|status| status < 200) {
                return;
            }
            if exchange.chunks.is_some() {
                *stage = Stage::Chunks;
            } else {
                self.close(index, out);
            }
            return;
        }
        let Some((name, value)) = header.split_once(':') else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            exchange.content_length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("location") {
            exchange.location = Some(clip(value));
        } else if name.eq_ignore_ascii_case("content-type") {
            exchange.content_type = Some(clip(value));
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            exchange.chunks = Some(Chunks::default());
        }
    }

    fn chunk(&mut self, index: usize, size: u64, at_ns: u64, out: &mut impl FnMut(Event)) {
        let Some((_, exchange)) = self.open.get_mut(index) else { return };
        let Some(chunks) = &mut exchange.chunks else { return };
        chunks.bytes = chunks.bytes.saturating_add(size);
        chunks.last_ns = at_ns.saturating_sub(exchange.started_ns);
        if size == 0 {
            chunks.whole = true;
            self.close(index, out);
        }
    }

    /// The demuxer does something else: response heads are complete or will never come.
    fn moved_on(&mut self, out: &mut impl FnMut(Event)) {
        while let Some(index) = self.open.iter().position(|(stage, _)| *stage != Stage::Chunks) {
            self.close(index, out);
        }
    }

    fn push(&mut self, stage: Stage, exchange: Exchange, out: &mut impl FnMut(Event)) {
        if self.open.len() >= MAX_OPEN {
            self.close(0, out);
        }
        self.open.push((stage, exchange));
    }

    fn close(&mut self, index: usize, out: &mut impl FnMut(Event)) {
        if index >= self.open.len() {
            return;
        }
        let (_, mut exchange) = self.open.remove(index);
        exchange.ending = match (exchange.status, self.trace, self.stopping) {
            (Some(_), _, _) => ExchangeEnd::Answered,
            _ if exchange.ending == ExchangeEnd::Stale => ExchangeEnd::Stale,
            (None, false, _) => ExchangeEnd::Untraced,
            (None, true, true) => ExchangeEnd::InFlight,
            (None, true, false) => ExchangeEnd::Unanswered,
        };
        if exchange.ending == ExchangeEnd::Answered {
            self.answered.retain(|other| other.context != exchange.context);
            if exchange.content_length.is_some() && exchange.chunks.is_none() {
                self.answered.push(exchange.clone());
            }
            if self.answered.len() > MAX_ANSWERED {
                self.answered.remove(0);
            }
        }
        out(Event::Exchange(exchange));
    }
}

/// Lines that only appear when FFmpeg is about to end.
fn says_stop(line: &Line<'_>) -> bool {
    match line.kind {
        Kind::Status => line.text.contains("Lsize="),
        Kind::Record => {
            line.text.contains("Immediate exit requested")
                || line.text.starts_with("Terminating thread with return code")
                || line.text.starts_with("All streams finished")
                || line.text.contains("received signal ")
        }
        Kind::RequestHeader | Kind::Bare => false,
    }
}

/// `http://host/path: error`, as FFmpeg up to 6.0 reports an input that cannot be opened.
pub(crate) fn error_of_url(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+') {
        return None;
    }
    let (url, error) = text.split_once(": ")?;
    (!url.contains(' ') && !error.starts_with("corrupt input packet")).then_some(error)
}

fn number_between(text: &str, before: &str, after: &str) -> Option<u64> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after)?.0.trim().parse().ok()
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(MAX_VALUE_BYTES);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}
