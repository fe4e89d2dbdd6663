//! The connections to nginx: one for each client connection. The PROXY protocol passes the client's address
//! to nginx.

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

use crate::fault::playlist_history::FullResponse;

/// User agent of requests that the origin makes itself.
const USER_AGENT_NAME: &str = concat!("hls-origin/", env!("CARGO_PKG_VERSION"));
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of nginx.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
}

/// The connection to nginx that belongs to one client connection.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    sender: SendRequest<Incoming>,
}

impl UpstreamConnection {
    /// Whether nginx has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Forwards a request unchanged.
    pub(crate) async fn forward(&mut self, request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        self.sender.send_request(request).await.map_err(io::Error::other)
    }
}

impl Upstream {
    /// Connects on behalf of a client; cancels `closed` when nginx closes the connection.
    pub(crate) async fn connect_for(
        &self,
        client: SocketAddr,
        local: SocketAddr,
        closed: CancellationToken,
    ) -> io::Result<UpstreamConnection> {
        let sender = self.connect(&proxy_header(client, local), closed).await?;
        Ok(UpstreamConnection { sender })
    }

    /// Fetches what `original` requests, for a response that a fault will change.
    pub(crate) async fn fetch<B>(&self, original: &Request<B>) -> io::Result<FullResponse> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = original.uri().clone();
        for name in [HOST, RANGE] {
            if let Some(value) = original.headers().get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_NAME));
        let fetched = async {
            let mut sender = self.connect("PROXY UNKNOWN\r\n", CancellationToken::new()).await?;
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            collect(response).await
        };
        tokio::time::timeout(FETCH_TIMEOUT, fetched).await?
    }

    async fn connect<B>(&self, proxy_header: &str, closed: CancellationToken) -> io::Result<SendRequest<B>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(proxy_header.as_bytes()).await?;
        let mut client = http1::Builder::new();
        client.preserve_header_case(true);
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // An error shows in the response in progress, if there is one.
            drop(connection.await);
            closed.cancel();
        });
        Ok(sender)
    }
}

/// Reads the whole body of a response.
pub(crate) async fn collect(response: Response<Incoming>) -> io::Result<FullResponse> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// The header line of the PROXY protocol, version 1.
fn proxy_header(client: SocketAddr, local: SocketAddr) -> String {
    let (from, to) = (client.ip().to_canonical(), local.ip().to_canonical());
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), local.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_header_holds_the_address_of_the_client() {
        let line = |client: &str, local: &str| proxy_header(client.parse().unwrap(), local.parse().unwrap());
        assert_eq!(line("10.0.0.9:51000", "10.0.0.1:80"), "PROXY TCP4 10.0.0.9 10.0.0.1 51000 80\r\n");
        let mapped = line("[::ffff:10.0.0.9]:51000", "[::ffff:10.0.0.1]:80");
        assert_eq!(mapped, "PROXY TCP4 10.0.0.9 10.0.0.1 51000 80\r\n");
        assert_eq!(line("[fd00::9]:51000", "[fd00::1]:80"), "PROXY TCP6 fd00::9 fd00::1 51000 80\r\n");
    }
}
