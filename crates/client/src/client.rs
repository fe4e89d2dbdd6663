//! The client of one viewer: its connections, its cookies, and requests over them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use hls_swarm_os::clock::now_ns;

use crate::connect::credentials;
use crate::connection::{Broken, Connection, Pumped};
use crate::cookies::Cookies;
use crate::head::Head;
use crate::multiplex::Multiplexed;
use crate::names::Names;
use crate::pace::Pace;
use crate::request::{self, Fields, Request};
use crate::response::Response;
use crate::shard::{Http, Shard};
use crate::tls::Alpn;
use crate::transfer::{ConnectFailure, End, Observer, Transfer, Version};

/// The maximum number of redirects (as browsers, RFC 9110, 15.4).
const MAX_REDIRECTS: usize = 20;
/// How often bytes below the low-water mark are looked for.
const POLL: Duration = Duration::from_millis(100);

/// The client of one viewer.
#[derive(Debug)]
pub struct Client<O: Observer> {
    pub(crate) shard: Rc<Shard>,
    pub(crate) observer: Rc<O>,
    user_agent: Box<str>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) pace: Pace,
    /// The viewer's own names, where it looks them up itself.
    pub(crate) names: Option<Names>,
    /// The address of a rule that comes first.
    pub(crate) turn: Cell<usize>,
    idle: RefCell<Vec<Connection<O>>>,
    cookies: Cookies,
    connections: Cell<u32>,
    /// Connections that requests share; `None` where the viewer speaks HTTP/1.1 alone.
    pub(crate) multiplexed: Option<Rc<Multiplexed<O>>>,
}

/// A response that arrived whole.
#[derive(Debug)]
pub struct Fetched<S> {
    /// Its URL, after redirects.
    pub url: Url,
    /// Its head.
    pub head: Box<Head>,
    /// Where its body went.
    pub sink: S,
    /// When the request was sent, `CLOCK_MONOTONIC` nanoseconds.
    pub started_ns: u64,
    /// When the first byte of the final response arrived.
    pub first_byte_ns: u64,
    /// When the last byte arrived.
    pub ended_ns: u64,
    /// Bytes of the body, with the framing of chunks.
    pub body_bytes: u64,
}

/// A request without a whole response. What happened was reported to the observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The target policy forbids the host.
    Forbidden(String),
    /// No connection could be made.
    NotConnected(String),
    /// Nothing arrived for as long as the viewer waits.
    TimedOut,
    /// The connection ended or failed before the head of the response.
    Broken(String),
    /// The connection ended or failed before the end of the body.
    Cut(String),
    /// What arrived is not a response.
    Malformed(String),
    /// There are too many redirects, or one leads nowhere.
    Redirect(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(why)
            | Self::NotConnected(why)
            | Self::Broken(why)
            | Self::Cut(why)
            | Self::Malformed(why)
            | Self::Redirect(why) => f.write_str(why),
            Self::TimedOut => f.write_str("no data for as long as --timeout allows"),
        }
    }
}

impl std::error::Error for FetchError {}

impl<O: Observer> Client<O> {
    /// A viewer without connections. `source` is the address that it connects from, `bits` the most that it reads
    /// per second, and `turn` which address of a `--resolve` rule it uses first.
    #[must_use]
    pub fn new(
        shard: Rc<Shard>,
        observer: Rc<O>,
        user_agent: String,
        source: Option<IpAddr>,
        bits: Option<u64>,
        turn: usize,
    ) -> Self {
        Self {
            names: shard.settings.names_per_viewer.then(Names::default),
            multiplexed: (shard.settings.http != Http::Http1).then(Rc::default),
            shard,
            observer,
            user_agent: user_agent.into(),
            source,
            pace: Pace::new(bits),
            turn: Cell::new(turn),
            idle: RefCell::new(Vec::new()),
            cookies: Cookies::default(),
            connections: Cell::new(0),
        }
    }

    /// Counts another connection, and returns its number, from 1.
    pub(crate) fn next_number(&self) -> u32 {
        self.connections.update(|number| number.wrapping_add(1));
        self.connections.get()
    }

    /// Requests what `request` describes, and follows redirects. Each exchange is reported to the observer when it
    /// ends, also if this future is dropped: then the viewer closed the connection.
    ///
    /// # Errors
    /// There is no whole response.
    pub async fn fetch(
        &self,
        request: Request,
        tag: O::Tag,
        mut sink: O::Sink,
    ) -> Result<Fetched<O::Sink>, FetchError> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            (self.shard.settings.policy)(&url).map_err(FetchError::Forbidden)?;
            let arrived = self.exchange(&request, &url, &tag, &mut sink).await?;
            self.cookies.take(&url, &arrived.head.cookies);
            self.take_alternative(&url, &arrived.head);
            let location = arrived.head.location.as_deref();
            match location.filter(|_| matches!(arrived.head.status, 301 | 302 | 303 | 307 | 308)) {
                Some(location) => {
                    let next =
                        url.join(location).ok().filter(|next| matches!(next.scheme(), "http" | "https"));
                    url = next.ok_or_else(|| {
                        FetchError::Redirect(format!("a redirect to {location:?}, which is not a valid URL"))
                    })?;
                }
                None => {
                    let Arrived { head, started_ns, first_byte_ns, ended_ns, body_bytes } = arrived;
                    return Ok(Fetched { url, head, sink, started_ns, first_byte_ns, ended_ns, body_bytes });
                }
            }
        }
        Err(FetchError::Redirect("too many redirects".into()))
    }

    /// One exchange, repeated on another connection while the kept ones turn out to be closed.
    async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        tag: &O::Tag,
        sink: &mut O::Sink,
    ) -> Result<Arrived, FetchError> {
        if let Some(multiplexed) = &self.multiplexed {
            let only = match self.shard.settings.http {
                Http::Http2 => Some("HTTP/2"),
                Http::Http3 => Some("HTTP/3"),
                Http::Http1 | Http::Auto => None,
            };
            let is_secure = url.scheme() == "https";
            if let Some(only) = only.filter(|_| !is_secure) {
                return Err(self.not_connected(ConnectFailure::new(format!("{only} needs https"))));
            }
            if is_secure {
                // Boxed for the same reason as below.
                let exchange = Box::pin(self.exchange_on_stream(multiplexed, request, url, tag, sink));
                if let Some(arrived) = exchange.await? {
                    return Ok(arrived);
                }
            }
        }
        loop {
            let kept = self.take_idle(url);
            // The first exchange of a connection reports how it was made.
            let is_kept = kept.as_ref().is_some_and(|kept| kept.times.connect_ns.is_none());
            let connection = match kept {
                Some(connection) => connection,
                // Boxed, because an exchange on a kept connection, the usual case, must not be as large.
                None => Box::pin(self.open(url, Alpn::Http1))
                    .await
                    .map_err(|failure| self.not_connected(failure))?,
            };
            let mut flight = Flight::new(self, request, url, tag, sink, connection, is_kept);
            if let Some(arrived) = flight.fly().await? {
                return Ok(arrived);
            }
        }
    }

    pub(crate) fn not_connected(&self, failure: ConnectFailure) -> FetchError {
        let error = FetchError::NotConnected(failure.reason.clone());
        self.observer.connect_failed(failure);
        error
    }

    /// A kept connection to the origin of `url`: the one that was used last, as in browsers, so that the others
    /// become old enough for their peers to close them. Those that their peers have closed are dropped.
    fn take_idle(&self, url: &Url) -> Option<Connection<O>> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| connection.socket.is_quiet());
        let place = idle.iter().rposition(|connection| connection.leads_to(url))?;
        Some(idle.remove(place))
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, connection: Connection<O>) {
        let mut idle = self.idle.borrow_mut();
        // Vectors grow to four at first, and most viewers have one.
        idle.reserve_exact(1);
        idle.push(connection);
    }

    fn head_of(&self, request: &Request, url: &Url, through_proxy: bool) -> String {
        let proxy = through_proxy.then(|| self.shard.settings.proxies.of(url).and_then(credentials));
        request::write(request, url, &Fields { proxy, ..self.fields_of(request, url) })
    }

    /// The head of a request on a stream.
    pub(crate) fn stream_head_of(&self, request: &Request, url: &Url) -> Result<http::Request<()>, String> {
        request::of_stream(request, url, &self.fields_of(request, url))
    }

    fn fields_of(&self, request: &Request, url: &Url) -> Fields<'_> {
        Fields {
            user_agent: &self.user_agent,
            headers: &self.shard.settings.headers,
            cookie: self.cookies.of(url),
            without_credentials: url.host() != request.url.host(),
            proxy: None,
        }
    }
}

/// A whole response on its connection.
pub(crate) struct Arrived {
    pub(crate) head: Box<Head>,
    pub(crate) started_ns: u64,
    pub(crate) first_byte_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) body_bytes: u64,
}

/// An exchange under way. Dropped before its end, it reports that the viewer closed the connection.
struct Flight<'a, O: Observer> {
    client: &'a Client<O>,
    request: &'a Request,
    url: &'a Url,
    tag: &'a O::Tag,
    sink: &'a mut O::Sink,
    response: Response,
    /// `None` once the exchange has ended.
    connection: Option<Connection<O>>,
    is_kept: bool,
    is_sent: bool,
    started_ns: u64,
    first_byte_ns: Option<u64>,
    /// When the last byte arrived, or the request was sent.
    last_ns: u64,
    excess_bytes: u64,
}

impl<'a, O: Observer> Flight<'a, O> {
    fn new(
        client: &'a Client<O>,
        request: &'a Request,
        url: &'a Url,
        tag: &'a O::Tag,
        sink: &'a mut O::Sink,
        connection: Connection<O>,
        is_kept: bool,
    ) -> Self {
        Self {
            client,
            request,
            url,
            tag,
            sink,
            response: Response::default(),
            connection: Some(connection),
            is_kept,
            is_sent: false,
            started_ns: 0,
            first_byte_ns: None,
            last_ns: 0,
            excess_bytes: 0,
        }
    }

    /// Sends the request and reads the response; `None` = the connection had been closed before.
    async fn fly(&mut self) -> Result<Option<Arrived>, FetchError> {
        if let Err(error) = self.send().await {
            return self.broken(&error);
        }
        let timeout = self.client.shard.settings.timeout;
        // The response cannot be there yet; to look for it would only cost a system call.
        let mut pumped = Ok(Pumped::Blocked);
        loop {
            match pumped {
                Ok(Pumped::Blocked) => {
                    let idle = Duration::from_nanos(now_ns().saturating_sub(self.last_ns));
                    let Some(left) = timeout.checked_sub(idle).filter(|left| !left.is_zero()) else {
                        self.end(End::TimedOut);
                        return Err(FetchError::TimedOut);
                    };
                    if let Some(Err(error)) = self.wait(left).await {
                        return self.broken(&error);
                    }
                }
                Ok(Pumped::Again) => tokio::task::yield_now().await,
                Ok(Pumped::Whole(excess)) => return self.whole(excess),
                Ok(Pumped::Ended) if self.response.end_of_stream() => return self.whole(0),
                Ok(Pumped::Ended) => {
                    let cut = self.cut("the connection was closed before the response was whole".into());
                    self.end(End::ClosedByPeer);
                    return Err(cut);
                }
                Err(Broken::Socket(error)) => return self.broken(&error),
                Err(Broken::Tls(error)) => {
                    self.end(End::Malformed);
                    return Err(FetchError::Malformed(error.to_string()));
                }
                Err(Broken::Malformed(error)) => {
                    self.end(End::Malformed);
                    return Err(FetchError::Malformed(error.to_string()));
                }
            }
            let debt = self.client.pace.debt_ns();
            if debt > 0 {
                sleep(Duration::from_nanos(debt)).await;
            }
            pumped = self.pump();
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.socket.set_mark(1, 1, 1);
        let text = self.client.head_of(self.request, self.url, connection.through_proxy);
        self.started_ns = now_ns();
        (self.last_ns, self.is_sent) = (self.started_ns, true);
        if let Some(progress) = &self.request.progress {
            progress.started_ns.set(self.started_ns);
        }
        let deadline = Instant::now() + self.client.shard.settings.timeout;
        timeout_at(deadline, connection.send(text.as_bytes()))
            .await
            .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads what has arrived, and notes when.
    fn pump(&mut self) -> Result<Pumped, Broken> {
        let Some(connection) = &mut self.connection else { return Ok(Pumped::Ended) };
        let before = self.response.head_bytes() + self.response.body_bytes();
        let mut buffer = self.client.shard.buffer.borrow_mut();
        let most = self.client.pace.most();
        let pumped = connection.pump(&mut buffer, &mut self.response, self.sink, most);
        let bytes = self.response.head_bytes() + self.response.body_bytes() - before;
        if bytes > 0 {
            self.last_ns = now_ns();
            self.first_byte_ns.get_or_insert(self.last_ns);
            self.client.pace.pay(bytes);
            self.show_progress();
        }
        pumped
    }

    fn show_progress(&self) {
        if let Some(progress) = &self.request.progress {
            progress.body_bytes.set(self.response.body_bytes());
            progress.length.set(self.response.head().and_then(|head| head.announced).unwrap_or(0));
            progress.first_byte_ns.set(self.first_byte_ns.unwrap_or(0));
        }
    }

    /// Waits for more bytes, for `left` at most. Below the low-water mark nothing wakes the viewer, so it looks.
    async fn wait(&mut self, left: Duration) -> Option<io::Result<()>> {
        let connection = self.connection.as_mut()?;
        let is_capped = self.client.pace.most().is_some();
        let most = if is_capped { 1 } else { self.client.shard.settings.mark };
        connection.set_mark(&self.response, self.sink, most);
        let left = if connection.socket.has_mark() { left.min(POLL) } else { left };
        timeout_at(Instant::now() + left, connection.socket.readable()).await.ok()
    }

    fn whole(&mut self, excess: u64) -> Result<Option<Arrived>, FetchError> {
        self.excess_bytes = excess;
        let (started_ns, ended_ns) = (self.started_ns, self.last_ns);
        let first_byte_ns = self.first_byte_ns.unwrap_or(ended_ns);
        let body_bytes = self.response.body_bytes();
        let Some((connection, Some(head))) = self.end(End::Complete) else {
            return Err(FetchError::Malformed("a response without a head".into()));
        };
        let shard = &self.client.shard;
        let is_few = shard.connections.get() <= shard.settings.most_connections;
        let has_room = is_few || self.client.idle.borrow().is_empty();
        if head.keep_alive && self.excess_bytes == 0 && has_room {
            self.client.keep(connection);
        }
        Ok(Some(Arrived { head, started_ns, first_byte_ns, ended_ns, body_bytes }))
    }

    /// The socket failed: on a kept connection without a response, because the peer had closed it.
    fn broken(&mut self, error: &io::Error) -> Result<Option<Arrived>, FetchError> {
        let gone = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        if self.is_kept && gone && !self.response.has_begun() {
            self.end(End::Stale);
            return Ok(None);
        }
        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
            self.end(End::TimedOut);
            return Err(FetchError::TimedOut);
        }
        let errno = error.raw_os_error().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let cut = self.cut(format!("the connection failed: {error}"));
        self.end(End::SocketError(errno));
        Err(cut)
    }

    /// The error of a connection that ended, by how much of the response had arrived.
    fn cut(&self, why: String) -> FetchError {
        if self.response.head().is_some() { FetchError::Cut(why) } else { FetchError::Broken(why) }
    }

    /// Reports the end of the exchange, once; returns the connection, and the head of the response.
    fn end(&mut self, end: End) -> Option<(Connection<O>, Option<Box<Head>>)> {
        let mut connection = self.connection.take()?;
        if !self.is_sent {
            return None;
        }
        let now = now_ns();
        let read = self.response.head_bytes() + self.response.body_bytes();
        let info = connection.account(read);
        if let (End::Complete, None, Some((_, received))) = (end, &connection.tls, info) {
            // A body with a length is read exactly: what follows it is still in the kernel.
            self.excess_bytes = self.excess_bytes.max(received.saturating_sub(read));
        }
        let times = std::mem::take(&mut connection.times);
        let kernel = info.map(|(info, _)| info);
        let since = |at: u64| at.saturating_sub(self.started_ns);
        let mut transfer = Transfer {
            url: self.url.clone(),
            through_proxy: connection.through_proxy,
            version: Version::Http1,
            connection: connection.number,
            streams: 1,
            peer: connection.peer,
            local_port: connection.local_port,
            tls: connection.tls.is_some(),
            started_ns: self.started_ns,
            dns_ns: times.dns_ns,
            connect_ns: times.connect_ns,
            tls_ns: times.tls_ns,
            quic_ns: None,
            first_byte_ns: self.first_byte_ns.map(since),
            last_byte_ns: self.first_byte_ns.map(|_| since(self.last_ns)),
            idle_ns: now.saturating_sub(self.last_ns),
            end,
            head_bytes: self.response.head_bytes(),
            body_bytes: self.response.body_bytes(),
            head: self.response.take_head(),
            excess_bytes: self.excess_bytes,
            received_bytes: info.map(|(_, received)| received),
            retransmits: kernel.map(|info| info.retransmits),
            lost_packets: None,
            rtt_us: kernel.map(|info| info.rtt_us),
            min_rtt_us: kernel.map(|info| info.min_rtt_us),
        };
        self.client.observer.transfer(self.tag, self.sink, &transfer);
        Some((connection, transfer.head.take()))
    }
}

impl<O: Observer> Drop for Flight<'_, O> {
    fn drop(&mut self) {
        self.end(End::ClosedByViewer);
    }
}
