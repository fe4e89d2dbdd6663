//! Response bodies that start late, end too early, or record whether they were sent completely.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

use crate::fault_proxy::metered_stream::ResponseState;

/// The body of any response of the proxy.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body whose bytes are all in memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body whose first byte is delayed; the head of the response is sent without delay.
pub(crate) struct DelayedBody {
    inner: Body,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl DelayedBody {
    pub(crate) fn new(inner: Body, delay: Duration) -> Self {
        Self { inner, sleep: Some(Box::pin(tokio::time::sleep(delay))) }
    }
}

impl HttpBody for DelayedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that is shorter than the announced Content-Length; it fails, and so closes the connection, once
/// its bytes were passed to the kernel.
pub(crate) struct TruncatedBody {
    bytes: Option<Bytes>,
    length: u64,
    state: Arc<ResponseState>,
}

impl TruncatedBody {
    pub(crate) const fn new(bytes: Bytes, state: Arc<ResponseState>) -> Self {
        Self { length: bytes.len() as u64, bytes: Some(bytes), state }
    }
}

impl HttpBody for TruncatedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        ready!(self.state.poll_sent(self.length, cx));
        Poll::Ready(Some(Err(io::Error::other("truncated by a fault"))))
    }
}

/// A body that records when it ends, and whether it ended completely, for the access log.
pub(crate) struct LoggedBody {
    inner: Body,
    state: Arc<ResponseState>,
    complete: bool,
}

impl LoggedBody {
    pub(crate) fn new(inner: Body, state: Arc<ResponseState>) -> Self {
        let complete = inner.is_end_stream();
        Self { inner, state, complete }
    }
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.complete = frame.is_none() || self.inner.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        self.state.finish_body(self.complete);
    }
}
