//! nginx behind the front: one connection to it for each viewer's connection, on which the PROXY
//! protocol tells it the viewer's address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue, RANGE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::fault::playlist_history::Whole;

/// What the origin asks for itself is told apart by this name.
const NAME: &str = concat!("hls-origin/", env!("CARGO_PKG_VERSION"));
const FETCH_TIME: Duration = Duration::from_secs(10);

/// Where nginx listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
}

/// A viewer's own connection to nginx.
#[derive(Debug)]
pub(crate) struct Link {
    sender: SendRequest<Incoming>,
}

impl Link {
    /// Whether nginx has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Passes a request on as it is.
    pub(crate) async fn pass(&mut self, request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        self.sender.send_request(request).await.map_err(io::Error::other)
    }
}

impl Upstream {
    /// Connects on behalf of a viewer; cancels `closed` when nginx closes the connection.
    pub(crate) async fn link(
        &self,
        viewer: SocketAddr,
        local: SocketAddr,
        closed: CancellationToken,
    ) -> io::Result<Link> {
        let sender = self.connect(&announcement(viewer, local), closed).await?;
        Ok(Link { sender })
    }

    /// Asks as the origin itself, for a response that will be served changed.
    pub(crate) async fn fetch<B>(&self, like: &Request<B>) -> io::Result<Whole> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = like.uri().clone();
        for name in [HOST, RANGE] {
            if let Some(value) = like.headers().get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        let fetched = async {
            let mut sender = self.connect("PROXY UNKNOWN\r\n", CancellationToken::new()).await?;
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            collected(response).await
        };
        tokio::time::timeout(FETCH_TIME, fetched).await?
    }

    async fn connect<B>(&self, announcement: &str, closed: CancellationToken) -> io::Result<SendRequest<B>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(announcement.as_bytes()).await?;
        let mut client = http1::Builder::new();
        client.preserve_header_case(true);
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // How it ended shows in the response that was under way, if one was.
            drop(connection.await);
            closed.cancel();
        });
        Ok(sender)
    }
}

/// A response with its whole body.
pub(crate) async fn collected(response: Response<Incoming>) -> io::Result<Whole> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// The PROXY protocol's first line (version 1).
fn announcement(viewer: SocketAddr, local: SocketAddr) -> String {
    let (from, to) = (viewer.ip().to_canonical(), local.ip().to_canonical());
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {from} {to} {} {}\r\n", viewer.port(), local.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_told_who_the_viewer_is() {
        let line = |viewer: &str, local: &str| announcement(viewer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(line("10.0.0.9:51000", "10.0.0.1:80"), "PROXY TCP4 10.0.0.9 10.0.0.1 51000 80\r\n");
        let mapped = line("[::ffff:10.0.0.9]:51000", "[::ffff:10.0.0.1]:80");
        assert_eq!(mapped, "PROXY TCP4 10.0.0.9 10.0.0.1 51000 80\r\n");
        assert_eq!(line("[fd00::9]:51000", "[fd00::1]:80"), "PROXY TCP6 fd00::9 fd00::1 51000 80\r\n");
    }
}
