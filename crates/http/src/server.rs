//! Small HTTP/1.1 servers: metrics, the collector, the control of faults; and the accept loop that they
//! share with the fault proxy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A response whose body is in memory.
pub type Page = Response<Full<Bytes>>;

/// What interrupts the body of a response.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A client whose request body has not arrived after this time is disconnected.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for responses that are in progress when the server stops.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of a response that the kernel keeps for a client that does not read, and again as many that hyper keeps, about.
/// By default these are megabytes, so that a client would not be seen to be stuck for minutes.
const SEND_BUFFER: u32 = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits for the clients of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at the same time; additional clients wait in the listen queue. Every descriptor they
    /// use is one fewer for the viewers.
    pub connections: usize,
    /// A client that has not sent a whole request head after this time is disconnected.
    pub head: Duration,
    /// A connection is closed after this time, whatever happens on it; a client that reads slowly or not at all must
    /// not keep it. It is longer than any response takes.
    pub connection: Duration,
}

impl Default for Limits {
    /// The limits of a server with few clients.
    fn default() -> Self {
        Self { connections: 32, head: Duration::from_secs(10), connection: Duration::from_secs(120) }
    }
}

/// Listens on `address`. Needs a running event loop.
///
/// # Errors
/// Any error of the operating system, for example if the port is already in use.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A response with a `Content-Type`.
#[must_use]
pub fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Page {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reads the body of a request, of `limit` bytes at most.
///
/// # Errors
/// The status and the text of the response to send instead: the body is too long, too slow, or incomplete.
pub async fn body(request: Request<Incoming>, limit: usize) -> Result<Bytes, (StatusCode, String)> {
    body_within(request, limit, BODY_TIMEOUT).await
}

async fn body_within(
    request: Request<Incoming>,
    limit: usize,
    time: Duration,
) -> Result<Bytes, (StatusCode, String)> {
    let refused = |status, why: String| Err((status, why));
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {limit} bytes\n"));
    }
    let whole = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(time, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            refused(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {limit} bytes\n"))
        }
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, format!("the body is not complete: {error}\n")),
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n".to_owned()),
    }
}

/// The client of a request; each request has it among its extensions.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// Cancelling this closes the connection at once, even in the middle of a response that the client does not read.
    pub hang_up: CancellationToken,
}

/// Answers requests with `handler` until `stop`. Responses that are under way then are still sent, for a
/// second at most.
pub async fn serve<F, B>(
    listener: TcpListener,
    limits: Limits,
    stop: &CancellationToken,
    handler: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let connections = accept(listener, limits.connections, stop, |stream, address| {
        connection(stream, address, limits, handler.clone(), stop.clone())
    });
    connections.await.join_all().await;
}

/// Serves one connection; a failure of the client is not an error of the server.
async fn connection<F, B>(
    stream: TcpStream,
    address: SocketAddr,
    limits: Limits,
    handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    stop: CancellationToken,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let client = Client { address, hang_up: CancellationToken::new() };
    let hang_up = client.hang_up.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        let page = handler(request);
        async move { Ok::<_, Infallible>(page.await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(SEND_BUFFER as usize);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = tokio::time::timeout(limits.connection, connection.as_mut()) => {}
        () = hang_up.cancelled() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(GRACE, connection).await);
        }
    }
}

/// Accepts connections until `stop` and returns those that are still open then; dropping them closes them.
/// `connection` returns the future that serves one connection. At most `limit` are open at the same time.
pub async fn accept<F>(
    listener: TcpListener,
    limit: usize,
    stop: &CancellationToken,
    mut connection: impl FnMut(TcpStream, SocketAddr) -> F,
) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return connections,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limit => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(connection(stream, peer))),
                // Out of descriptors: an immediate retry would spin until one is free.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    async fn read_all(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_response_under_way_is_sent_after_the_stop_and_idle_connections_are_closed() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, asked, answer) =
            (CancellationToken::new(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let server = tokio::spawn({
            let (stop, asked, answer) = (stop.clone(), Arc::clone(&asked), Arc::clone(&answer));
            async move {
                let handler = move |_: Request<Incoming>| {
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    async move {
                        asked.notify_one();
                        answer.notified().await;
                        page(StatusCode::OK, "text/plain", "late")
                    }
                };
                serve(listener, Limits::default(), &stop, handler).await;
            }
        });
        let idle = TcpStream::connect(address).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        asked.notified().await;
        stop.cancel();
        answer.notify_one();
        let text = read_all(client).await;
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("late"), "{text}");
        assert_eq!(read_all(idle).await, "");
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
    }

    #[tokio::test]
    async fn clients_that_stop_halfway_are_disconnected() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = {
            let stop = stop.clone();
            async move {
                let handler = |request: Request<Incoming>| async {
                    match body_within(request, 10, Duration::from_millis(300)).await {
                        Ok(_) => page(StatusCode::OK, "text/plain", "whole"),
                        Err((status, why)) => page(status, "text/plain", why),
                    }
                };
                let limits = Limits {
                    connections: 2,
                    head: Duration::from_millis(200),
                    connection: Duration::from_millis(900),
                };
                serve(listener, limits, &stop, handler).await;
            }
        };
        let server = tokio::spawn(server);
        let send = |text: &'static [u8]| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(text).await.unwrap();
            read_all(stream).await
        };
        // Both connections are taken, and free again when their time is up.
        let half = tokio::join!(send(b"GET /a HTTP/1.1\r\nHo"), send(b"GET /a HTT"));
        assert_eq!(half, (String::new(), String::new()));
        let slow =
            send(b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab").await;
        assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
        for long in [
            &b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 11\r\n\r\n"[..],
            b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
        ] {
            let refused = send(long).await;
            assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
        }
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn no_more_connections_than_the_limit_are_open() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, open) = (CancellationToken::new(), Arc::new(std::sync::Mutex::new((0, 0))));
        let server = {
            let (stop, open) = (stop.clone(), Arc::clone(&open));
            async move {
                let connection = move |mut stream: TcpStream, _| {
                    let open = Arc::clone(&open);
                    async move {
                        {
                            let mut open = open.lock().unwrap();
                            *open = (open.0 + 1, open.1.max(open.0 + 1));
                        }
                        drop(stream.write_all(b"x").await);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        open.lock().unwrap().0 -= 1;
                    }
                };
                drop(accept(listener, 2, &stop, connection).await);
            }
        };
        let server = tokio::spawn(server);
        let clients: Vec<_> = (0..8)
            .map(|_| tokio::spawn(async move { read_all(TcpStream::connect(address).await.unwrap()).await }))
            .collect();
        for client in clients {
            assert_eq!(client.await.unwrap(), "x", "a client that waited is served");
        }
        assert_eq!(open.lock().unwrap().1, 2);
        stop.cancel();
        server.await.unwrap();
    }
}
