//! One response, without I/O: takes bytes as they arrive, and knows when it is whole. It never takes bytes beyond
//! its own end.

use crate::head::{self, Framing, Head, Malformed, Parsed};

/// The longest line of a trailer or of a chunk's extension, bytes.
const LONGEST_LINE: u32 = 16 << 10;

/// Where the body of a response goes.
pub trait Sink {
    /// A body begins.
    fn begin(&mut self, head: &Head);

    /// The number of bytes from here on whose content does not matter.
    fn discardable(&self) -> u64;

    /// Takes bytes of the entity (without the framing of chunks).
    fn take(&mut self, bytes: &[u8]);

    /// Bytes were counted and discarded, at most [`Self::discardable`].
    fn discarded(&mut self, bytes: u64);
}

/// A sink that keeps the whole body, up to a limit.
#[derive(Debug)]
pub struct KeepBody {
    /// The entity as it was received.
    pub body: Vec<u8>,
    /// Whether it is longer than the limit; then its end is missing.
    pub is_cut: bool,
    most: usize,
}

impl KeepBody {
    /// A sink that keeps up to `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { body: Vec::new(), is_cut: false, most }
    }
}

impl Sink for KeepBody {
    fn begin(&mut self, head: &Head) {
        self.body.clear();
        self.is_cut = false;
        let announced = head.announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        // A server may announce anything.
        self.body.reserve_exact(announced.min(self.most).min(1 << 20));
    }

    fn discardable(&self) -> u64 {
        if self.is_cut { u64::MAX } else { 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.body.len()).min(bytes.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.is_cut |= room < bytes.len();
    }

    fn discarded(&mut self, _bytes: u64) {}
}

/// What a response needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Its bytes.
    Bytes,
    /// That many bytes at most may be discarded unseen.
    Discard(u64),
    /// Nothing: it is whole.
    Nothing,
}

/// The state of a response.
#[derive(Debug)]
pub struct Response {
    state: State,
    /// The beginning of a head whose end has not arrived.
    partial: Vec<u8>,
    head: Option<Box<Head>>,
    head_bytes: u64,
    body_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    /// A chunk's size so far, and the number of its digits.
    Size(u64, u8),
    /// The rest of the line with a chunk's size: the size, and the line's length.
    Extension(u64, u32),
    /// The rest of a chunk.
    Data(u64),
    /// The end of line after a chunk.
    DataEnd,
    /// A trailer: the length of the current line, and of the whole trailer.
    Trailer(u32, u32),
    Whole,
}

impl Default for Response {
    fn default() -> Self {
        Self { state: State::Head, partial: Vec::new(), head: None, head_bytes: 0, body_bytes: 0 }
    }
}

impl Response {
    /// Its head, once that has arrived.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    /// Takes the head out.
    pub fn take_head(&mut self) -> Option<Box<Head>> {
        self.head.take()
    }

    /// Bytes of the head so far, with those of interim responses.
    #[must_use]
    pub const fn head_bytes(&self) -> u64 {
        self.head_bytes
    }

    /// Bytes of the body so far, with the framing of chunks: what nginx calls `$body_bytes_sent`.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether any byte has arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.head_bytes > 0
    }

    /// Whether it is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// The number of bytes that are known to come; `None` if that is not known.
    #[must_use]
    pub const fn rest(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// What it needs next.
    #[must_use]
    pub fn want(&self, sink: &dyn Sink) -> Want {
        let left = match self.state {
            State::Whole => return Want::Nothing,
            State::Length(left) => left,
            State::UntilClose => u64::MAX,
            _ => return Want::Bytes,
        };
        match left.min(sink.discardable()) {
            0 => Want::Bytes,
            most => Want::Discard(most),
        }
    }

    /// Takes bytes; returns how many. Fewer than all = the response ended before them.
    ///
    /// # Errors
    /// [`Malformed`]: what arrived is not a response.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<usize, Malformed> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            if self.state == State::Whole {
                break;
            }
            used += self.step(rest, sink)?;
        }
        Ok(used)
    }

    /// Bytes of the body were discarded, at most what [`Want::Discard`] allowed.
    pub fn discarded(&mut self, bytes: u64, sink: &mut dyn Sink) {
        sink.discarded(bytes);
        self.body_bytes = self.body_bytes.saturating_add(bytes);
        if let State::Length(left) = self.state {
            self.state = length(left.saturating_sub(bytes));
        }
    }

    /// The connection has ended. Returns whether that is the end of the body.
    pub fn end_of_stream(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Whole;
        }
        self.is_whole()
    }

    /// Takes a part of `rest`, which is not empty; returns its length, which is not 0.
    fn step(&mut self, rest: &[u8], sink: &mut dyn Sink) -> Result<usize, Malformed> {
        match self.state {
            State::Head => self.head_part(rest, sink),
            State::Length(left) => {
                let part = part(rest, left);
                self.entity(part, sink);
                self.state = length(left - part.len() as u64);
                Ok(part.len())
            }
            State::UntilClose => {
                self.entity(rest, sink);
                Ok(rest.len())
            }
            State::Data(left) => {
                let part = part(rest, left);
                self.entity(part, sink);
                let left = left - part.len() as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(part.len())
            }
            State::Whole => Ok(rest.len()),
            _ => {
                self.body_bytes += 1;
                self.state = framing_byte(self.state, rest.first().copied().unwrap_or_default())?;
                Ok(1)
            }
        }
    }

    fn entity(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.body_bytes = self.body_bytes.saturating_add(bytes.len() as u64);
        sink.take(bytes);
    }

    fn head_part(&mut self, rest: &[u8], sink: &mut dyn Sink) -> Result<usize, Malformed> {
        let before = self.partial.len();
        // A head in many pieces is parsed again only when a line has ended, so that a slow one costs little.
        let parsed = if before == 0 {
            head::parse(rest)?
        } else {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let line = rest.get(..end).unwrap_or(rest);
            self.partial.extend_from_slice(line);
            if line.ends_with(b"\n") || self.partial.len() > head::LONGEST_HEAD {
                head::parse(&self.partial)?
            } else {
                Parsed::Partial
            }
        };
        let taken = match &parsed {
            Parsed::Partial if before == 0 => {
                self.partial.extend_from_slice(rest);
                rest.len()
            }
            Parsed::Partial => self.partial.len() - before,
            Parsed::Interim(length) | Parsed::Head(_, length) => length.saturating_sub(before),
        };
        self.head_bytes += taken as u64;
        match parsed {
            Parsed::Partial => {}
            Parsed::Interim(_) => self.partial = Vec::new(),
            Parsed::Head(head, _) => {
                self.partial = Vec::new();
                sink.begin(&head);
                self.state = match head.framing {
                    Framing::None => State::Whole,
                    Framing::Length(left) => length(left),
                    Framing::Chunked => State::Size(0, 0),
                    Framing::UntilClose => State::UntilClose,
                };
                self.head = Some(head);
            }
        }
        Ok(taken)
    }
}

const fn length(left: u64) -> State {
    if left == 0 { State::Whole } else { State::Length(left) }
}

/// The beginning of `rest`, at most `left` bytes.
fn part(rest: &[u8], left: u64) -> &[u8] {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    rest.get(..most).unwrap_or(rest)
}

/// One byte of the framing of chunks (RFC 9112, 7.1).
fn framing_byte(state: State, byte: u8) -> Result<State, Malformed> {
    const BAD: Malformed = Malformed("the size of a chunk cannot be parsed");
    let sized = |size: u64| if size == 0 { State::Trailer(0, 0) } else { State::Data(size) };
    Ok(match (state, byte) {
        (State::Size(_, 0), b'\n') => return Err(BAD),
        (State::Size(size, _), b'\n') => sized(size),
        (State::Size(size, digits @ 1..), b'\r' | b';' | b' ' | b'\t') => {
            let _ = digits;
            State::Extension(size, 0)
        }
        (State::Size(size, digits), _) => {
            let digit = char::from(byte).to_digit(16).filter(|_| digits < 15).ok_or(BAD)?;
            State::Size(size << 4 | u64::from(digit), digits + 1)
        }
        (State::Extension(size, _), b'\n') => sized(size),
        (State::Extension(size, line), _) if line < LONGEST_LINE => State::Extension(size, line + 1),
        (State::DataEnd, b'\r') => State::DataEnd,
        (State::DataEnd, b'\n') => State::Size(0, 0),
        (State::Trailer(0, _), b'\n') => State::Whole,
        (State::Trailer(_, all), b'\n') => State::Trailer(0, all),
        (State::Trailer(line, all), b'\r') => State::Trailer(line, all),
        (State::Trailer(line, all), _) if all < LONGEST_LINE => State::Trailer(line + 1, all + 1),
        (State::Extension(..) | State::Trailer(..), _) => {
            return Err(Malformed("a line of its chunks is too long"));
        }
        _ => return Err(Malformed("a chunk is longer than its size")),
    })
}

#[cfg(test)]
mod tests;
