//! Bodies of responses that come late, end too early, or say when they are over.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

use crate::fault_proxy::metered_stream::State;

/// Any body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body whose first byte comes late; the head is sent meanwhile.
pub(crate) struct Late {
    pub(crate) inner: Body,
    pub(crate) sleep: Option<Pin<Box<Sleep>>>,
}

impl Late {
    pub(crate) fn new(inner: Body, time: Duration) -> Self {
        Self { inner, sleep: Some(Box::pin(tokio::time::sleep(time))) }
    }
}

impl HttpBody for Late {
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

/// A body that breaks off as soon as its bytes, fewer than were announced, are with the kernel.
pub(crate) struct Cut {
    bytes: Option<Bytes>,
    length: u64,
    state: Arc<State>,
}

impl Cut {
    pub(crate) const fn new(bytes: Bytes, state: Arc<State>) -> Self {
        Self { length: bytes.len() as u64, bytes: Some(bytes), state }
    }
}

impl HttpBody for Cut {
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
        Poll::Ready(Some(Err(io::Error::other("cut on purpose"))))
    }
}

/// A body that says when it is over, and whether it came to its end.
pub(crate) struct Told {
    inner: Body,
    state: Arc<State>,
    complete: bool,
}

impl Told {
    pub(crate) fn new(inner: Body, state: Arc<State>) -> Self {
        let complete = inner.is_end_stream();
        Self { inner, state, complete }
    }
}

impl HttpBody for Told {
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

impl Drop for Told {
    fn drop(&mut self) {
        self.state.over(self.complete);
    }
}
