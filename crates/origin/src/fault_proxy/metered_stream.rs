//! A client connection that counts the bytes it sends, and can limit its rate.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::access_log::{AccessLog, PendingEntry};

/// A rate-limited connection sends bursts of this length.
const BURST: Duration = Duration::from_millis(20);

/// The TCP stream of the connection.
#[derive(Debug)]
pub(crate) struct MeteredStream {
    stream: TcpStream,
    state: Arc<ResponseState>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The state of the current response, shared with the code that creates the response.
#[derive(Debug)]
pub(crate) struct ResponseState(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    access_log: AccessLog,
    /// Bytes of the current response.
    sent: BytesSent,
    log_entry: Option<PendingEntry>,
    rate_limit: Option<RateLimit>,
    waker: Option<Waker>,
}

/// A limit in bytes per second.
#[derive(Clone, Copy, Debug)]
struct RateLimit {
    bytes_per_second: f64,
    credit_bytes: f64,
    updated: Instant,
}

impl RateLimit {
    /// The number of bytes that may be sent now, or how long to wait.
    fn allowed(&mut self) -> Result<usize, Duration> {
        let now = Instant::now();
        let burst = (self.bytes_per_second * BURST.as_secs_f64()).max(1.0);
        let earned = self.bytes_per_second * (now - self.updated).as_secs_f64();
        self.credit_bytes = (self.credit_bytes + earned).min(burst);
        self.updated = now;
        // Whole bursts only: many tiny packets would be a different fault.
        if self.credit_bytes >= burst * 0.999 {
            return Ok(self.credit_bytes as usize);
        }
        Err(Duration::from_secs_f64((burst - self.credit_bytes) / self.bytes_per_second))
    }
}

impl ResponseState {
    pub(crate) fn new(access_log: AccessLog) -> Arc<Self> {
        let (sent, log_entry, rate_limit, waker) = (BytesSent::default(), None, None, None);
        Arc::new(Self(Mutex::new(Inner { access_log, sent, log_entry, rate_limit, waker })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a response, limited to `bits_per_second`; `log_entry` is written when it ends.
    pub(crate) fn begin(&self, bits_per_second: Option<u64>, log_entry: Option<PendingEntry>) {
        let mut inner = self.lock();
        inner.finish();
        inner.sent = BytesSent::default();
        inner.log_entry = log_entry;
        inner.rate_limit = bits_per_second.map(|bits| RateLimit {
            bytes_per_second: bits as f64 / 8.0,
            credit_bytes: 0.0,
            updated: Instant::now(),
        });
    }

    /// Records the status code of the current response.
    pub(crate) fn set_status(&self, code: u16) {
        if let Some(pending) = &mut self.lock().log_entry {
            pending.entry.status = code;
        }
    }

    /// Records that the response has no more bytes, and whether all of it was produced.
    pub(crate) fn finish_body(&self, complete: bool) {
        if let Some(pending) = &mut self.lock().log_entry {
            pending.completed = Some(complete);
        }
    }

    /// Ready once `bytes` of the body were passed to the kernel.
    pub(crate) fn poll_sent(&self, bytes: u64, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.sent.is_past_head() && inner.sent.body >= bytes {
            return Poll::Ready(());
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Inner {
    /// Writes the log entry of a response that has ended.
    fn finish(&mut self) {
        if self.log_entry.as_ref().is_some_and(|pending| pending.completed.is_some())
            && let Some(pending) = self.log_entry.take()
        {
            self.access_log.write(pending, self.sent);
        }
    }
}

impl MeteredStream {
    pub(crate) const fn new(stream: TcpStream, state: Arc<ResponseState>) -> Self {
        Self { stream, state, sleep: None }
    }

    /// The number of bytes that may be sent now.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.state.lock().rate_limit.as_mut().map(RateLimit::allowed) {
                None => return Poll::Ready(usize::MAX),
                Some(Ok(bytes)) => return Poll::Ready(bytes.max(1)),
                Some(Err(wait)) => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
    }
}

impl Drop for MeteredStream {
    /// Logs what was sent, however the connection ended.
    fn drop(&mut self) {
        let mut inner = self.state.lock();
        if let Some(pending) = &mut inner.log_entry {
            pending.completed.get_or_insert(false);
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
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let count = if total <= allowed {
            ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?
        } else {
            let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            let part = first.get(..allowed).unwrap_or(first);
            ready!(Pin::new(&mut self.stream).poll_write(cx, part))?
        };
        let mut inner = self.state.lock();
        let mut left = count;
        for piece in pieces {
            let taken = piece.len().min(left);
            inner.sent.add(piece.get(..taken).unwrap_or_default());
            left -= taken;
        }
        if let Some(rate_limit) = &mut inner.rate_limit {
            rate_limit.credit_bytes -= count as f64;
        }
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when its buffers are empty, so this is where a response ends.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.state.lock().finish();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Bytes of a response that were passed to the kernel, head and body counted separately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BytesSent {
    pub(crate) head: u64,
    pub(crate) body: u64,
    /// Number of bytes matched so far of the empty line that ends the head.
    matched: usize,
}

impl BytesSent {
    /// Counts bytes that were sent.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        const END: &[u8; 4] = b"\r\n\r\n";
        while self.matched < END.len() {
            let Some((byte, rest)) = bytes.split_first() else { return };
            self.matched = match END.get(self.matched) {
                Some(expected) if expected == byte => self.matched + 1,
                _ => usize::from(*byte == b'\r'),
            };
            self.head += 1;
            bytes = rest;
        }
        self.body += bytes.len() as u64;
    }

    /// Whether the whole head was sent.
    pub(crate) const fn is_past_head(&self) -> bool {
        self.matched == 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_counted_separately_for_every_split_of_the_writes() {
        let response = b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n\r\nbody\r\n\r\n!";
        for cut in 0..response.len() {
            let mut sent = BytesSent::default();
            sent.add(&response[..cut]);
            sent.add(&response[cut..]);
            assert_eq!((sent.head, sent.body), (26, 11), "{cut}");
        }
    }
}
