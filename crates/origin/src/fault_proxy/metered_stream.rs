//! A viewer's connection that knows what it has sent, and can be slowed down.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::access_log::{AccessLog, Line};

/// A slowed connection sends in portions of this time.
const PORTION: Duration = Duration::from_millis(20);

/// The connection itself.
#[derive(Debug)]
pub(crate) struct MeteredStream {
    stream: TcpStream,
    state: Arc<State>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What is known of it, shared with those who answer on it.
#[derive(Debug)]
pub(crate) struct State(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    journal: AccessLog,
    /// Of the response under way.
    sent: Sent,
    line: Option<Line>,
    pace: Option<Pace>,
    waiting: Option<Waker>,
}

/// A limit in bytes per second.
#[derive(Clone, Copy, Debug)]
struct Pace {
    bytes_per_second: f64,
    credit: f64,
    counted: Instant,
}

impl Pace {
    /// Bytes that may be sent now, or how long to wait for some.
    fn allowed(&mut self) -> Result<usize, Duration> {
        let now = Instant::now();
        let portion = (self.bytes_per_second * PORTION.as_secs_f64()).max(1.0);
        let earned = self.bytes_per_second * (now - self.counted).as_secs_f64();
        self.credit = (self.credit + earned).min(portion);
        self.counted = now;
        // Whole portions only: many tiny packets would be another fault than the one asked for.
        if self.credit >= portion * 0.999 {
            return Ok(self.credit as usize);
        }
        Err(Duration::from_secs_f64((portion - self.credit) / self.bytes_per_second))
    }
}

impl State {
    pub(crate) fn new(journal: AccessLog) -> Arc<Self> {
        let (sent, line, pace, waiting) = (Sent::default(), None, None, None);
        Arc::new(Self(Mutex::new(Inner { journal, sent, line, pace, waiting })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A response begins, at most at `bits_per_second`; `line` is to be told when it is over.
    pub(crate) fn begin(&self, bits_per_second: Option<u64>, line: Option<Line>) {
        let mut inner = self.lock();
        inner.finish();
        inner.sent = Sent::default();
        inner.line = line;
        inner.pace = bits_per_second.map(|bits| Pace {
            bytes_per_second: bits as f64 / 8.0,
            credit: 0.0,
            counted: Instant::now(),
        });
    }

    /// The status of the response under way.
    pub(crate) fn status(&self, code: u16) {
        if let Some(line) = &mut self.lock().line {
            line.entry.status = code;
        }
    }

    /// All of the response is handed over, or no more will come.
    pub(crate) fn over(&self, complete: bool) {
        if let Some(line) = &mut self.lock().line {
            line.over = Some(complete);
        }
    }

    /// Ready once `bytes` of the body were handed to the kernel.
    pub(crate) fn poll_sent(&self, bytes: u64, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.sent.past_head() && inner.sent.body >= bytes {
            return Poll::Ready(());
        }
        inner.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Inner {
    fn finish(&mut self) {
        if self.line.as_ref().is_some_and(|line| line.over.is_some())
            && let Some(line) = self.line.take()
        {
            self.journal.tell(line, self.sent);
        }
    }
}

impl MeteredStream {
    pub(crate) const fn new(stream: TcpStream, state: Arc<State>) -> Self {
        Self { stream, state, sleep: None }
    }

    /// Bytes that may be sent now.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.state.lock().pace.as_mut().map(Pace::allowed) {
                None => return Poll::Ready(usize::MAX),
                Some(Ok(bytes)) => return Poll::Ready(bytes.max(1)),
                Some(Err(wait)) => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
    }
}

impl Drop for MeteredStream {
    /// Whatever ended the connection, what was sent on it is told.
    fn drop(&mut self) {
        let mut inner = self.state.lock();
        if let Some(line) = &mut inner.line {
            line.over.get_or_insert(false);
        }
        inner.finish();
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let allowed = ready!(self.poll_allowed(cx));
        let whole: usize = pieces.iter().map(|piece| piece.len()).sum();
        let count = if whole <= allowed {
            ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?
        } else {
            let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            let some = first.get(..allowed).unwrap_or(first);
            ready!(Pin::new(&mut self.stream).poll_write(cx, some))?
        };
        let mut inner = self.state.lock();
        let mut left = count;
        for piece in pieces {
            let taken = piece.len().min(left);
            inner.sent.take(piece.get(..taken).unwrap_or_default());
            left -= taken;
        }
        if let Some(pace) = &mut inner.pace {
            pace.credit -= count as f64;
        }
        if let Some(waker) = inner.waiting.take() {
            waker.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper asks for this when it has nothing left in its buffers.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.state.lock().finish();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Bytes of a response that were handed to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) head: u64,
    pub(crate) body: u64,
    /// Letters of the empty line that ends the head, as far as they were seen.
    end: usize,
}

impl Sent {
    /// Notes that these bytes were sent.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        const END: &[u8; 4] = b"\r\n\r\n";
        while self.end < END.len() {
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.end = match END.get(self.end) {
                Some(expected) if expected == byte => self.end + 1,
                _ => usize::from(*byte == b'\r'),
            };
            self.head += 1;
            bytes = rest;
        }
        self.body += bytes.len() as u64;
    }

    /// Whether the head is out.
    pub(crate) const fn past_head(&self) -> bool {
        self.end == 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_told_apart_wherever_they_are_cut() {
        let response = b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n\r\nbody\r\n\r\n!";
        for cut in 0..response.len() {
            let mut sent = Sent::default();
            sent.take(&response[..cut]);
            sent.take(&response[cut..]);
            assert_eq!((sent.head, sent.body), (26, 11), "{cut}");
        }
    }
}
