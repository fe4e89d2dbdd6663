//! Fetches playlists as viewers do: with their headers, names, proxies and trust, and with what FFmpeg reads of a
//! response. Preflight uses it, and so does each viewer that selects a variant before its player starts.
//!
//! The HTTP client belongs to one thread, so each [`Fetcher`] has one, which starts with its first request.

pub(crate) mod cookies;
mod failure;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use flate2::read::{GzDecoder, ZlibDecoder};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_client::head::{Coding, Head};
use hls_swarm_client::{
    Client, ConnectFailure, FetchError, Http, KeepBody, Observer, Proxies, Request, Settings, Shard,
    Transfer, Trust,
};
use hls_swarm_http::site_rules;
use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_os::runtime;

use crate::config::plan::Stream;

use self::cookies::Cookies;
pub(crate) use self::failure::quoted;

/// Largest body, bytes: half a million segments with long addresses fit, so a larger one is not a playlist.
const LARGEST: usize = 64 << 20;

/// Fetches the playlists of one stream. Its thread ends with it.
#[derive(Debug)]
pub struct Fetcher {
    stream: Stream,
    target_policy: TargetPolicy,
    proxies: Proxies,
    http: Http,
    jobs: OnceLock<mpsc::UnboundedSender<Job>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The address.
    pub url: Url,
    /// The same as text, which is requested without normalization.
    pub address: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// The address to connect from; `None` = the system's choice.
    pub source: Option<IpAddr>,
    /// Which address of a `--resolve` rule is used first.
    pub turn: usize,
    /// Cookies of earlier responses.
    pub cookies: Cookies,
    /// Limit for the whole request; the client's timeout limits each wait for data.
    pub limit: Duration,
    /// Ends the request.
    pub stop: CancellationToken,
}

/// A response that may be a playlist.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its URL, after redirects.
    pub url: Url,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// Its content type; empty if it has none.
    pub content_type: String,
}

/// The result of a request, and what was measured.
#[derive(Debug)]
pub struct Answer {
    /// The response, or why there is none.
    pub page: Result<Page, Failure>,
    /// The cookies that were sent and received.
    pub cookies: Cookies,
    /// The exchanges, redirects included, in their order.
    pub transfers: Vec<Transfer>,
    /// The connections that could not be made.
    pub connect_failures: Vec<ConnectFailure>,
    /// Bytes that the kernel received and no exchange accounts for, outside and inside TLS.
    pub received: [u64; 2],
}

#[derive(Debug)]
struct Job {
    ask: Ask,
    reply: oneshot::Sender<Answer>,
}

impl Fetcher {
    /// A fetcher that has requested nothing, and speaks `http`.
    #[must_use]
    pub fn new(stream: &Stream, target_policy: &TargetPolicy, proxies: &Proxies, http: Http) -> Self {
        Self {
            http,
            stream: stream.clone(),
            target_policy: target_policy.clone(),
            proxies: proxies.clone(),
            jobs: OnceLock::new(),
        }
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The hosts that may be loaded.
    #[must_use]
    pub const fn target_policy(&self) -> &TargetPolicy {
        &self.target_policy
    }

    /// The proxy of the stream.
    #[must_use]
    pub fn proxy(&self) -> Option<&Url> {
        self.proxies.of(&self.stream.url)
    }

    /// Requests `ask`, and follows redirects.
    ///
    /// # Errors
    /// The thread could not be started, or has failed. That the request failed is part of the answer.
    pub async fn fetch(&self, ask: Ask) -> Result<Answer, Failure> {
        let broken = |why: String| Failure::internal(format!("the thread that fetches playlists {why}"));
        let (reply, answer) = oneshot::channel();
        let jobs = match self.jobs.get() {
            Some(jobs) => jobs,
            None => {
                let started = self.start().map_err(|error| broken("cannot start".into()).caused_by(error))?;
                self.jobs.get_or_init(|| started)
            }
        };
        let sent = jobs.send(Job { ask, reply }).is_ok();
        let answer = if sent { answer.await.ok() } else { None };
        answer.ok_or_else(|| broken("has ended".into()))
    }

    fn start(&self) -> std::io::Result<mpsc::UnboundedSender<Job>> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (stream, policy, proxies, http) =
            (self.stream.clone(), self.target_policy.clone(), self.proxies.clone(), self.http);
        let work = move || {
            let Ok(runtime) = runtime::single_threaded() else { return };
            LocalSet::new().block_on(&runtime, serve(settings(&stream, policy, proxies, http), inbox));
            // A lookup that hangs in the resolver must not delay the end.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("fetch".into()).spawn(work)?;
        Ok(jobs)
    }
}

fn settings(stream: &Stream, target_policy: TargetPolicy, proxies: Proxies, http: Http) -> Settings {
    let resolve = stream.resolve.clone();
    let allowed =
        move |url: &Url| site_rules::check(&target_policy, url, &resolve).map_err(|failure| failure.chain());
    Settings {
        http,
        trust: if stream.verify_tls { Trust::Verified } else { Trust::Anyone },
        proxies,
        timeout: stream.timeout,
        resolve: stream.resolve.clone(),
        names_per_viewer: false,
        mark: 1,
        most_connections: usize::MAX,
        headers: stream.headers.clone(),
        policy: Box::new(allowed),
    }
}

/// Answers requests until the last sender is gone.
async fn serve(settings: Settings, mut inbox: mpsc::UnboundedReceiver<Job>) {
    let proxies = settings.proxies.clone();
    let shard = Shard::new(settings);
    while let Some(Job { ask, reply }) = inbox.recv().await {
        let (shard, proxy) = (Rc::clone(&shard), proxies.of(&ask.url).map(Url::to_string));
        tokio::task::spawn_local(async move {
            // The one who asked may be gone.
            drop(reply.send(answer(shard, ask, proxy).await));
        });
    }
}

/// What the client measures of one request.
#[derive(Debug, Default)]
struct Seen {
    transfers: RefCell<Vec<Transfer>>,
    failures: RefCell<Vec<ConnectFailure>>,
    received: Cell<[u64; 2]>,
}

impl Observer for Seen {
    type Tag = ();
    type Sink = KeepBody;

    fn transfer(&self, _: &(), _: &KeepBody, transfer: &Transfer) {
        self.transfers.borrow_mut().push(transfer.clone());
    }

    fn connect_failed(&self, failure: ConnectFailure) {
        self.failures.borrow_mut().push(failure);
    }

    fn alternative_failed(&self, _reason: &str) {}

    fn received(&self, bytes: u64, tls: bool) {
        let [plain, encrypted] = self.received.get();
        self.received.set(if tls { [plain, encrypted + bytes] } else { [plain + bytes, encrypted] });
    }
}

async fn answer(shard: Rc<Shard>, ask: Ask, proxy: Option<String>) -> Answer {
    let Ask { url, address, user_agent, source, turn, mut cookies, limit, stop } = ask;
    let seen = Rc::new(Seen::default());
    let client = Client::new(shard, Rc::clone(&seen), user_agent, source, None, turn);
    let mut request = Request { address: Some(address), ..Request::get(url.clone()) };
    request.fields.extend(cookies.of(&url).map(|cookie| ("Cookie", cookie)));
    let fetched = tokio::select! {
        fetched = tokio::time::timeout(limit, client.fetch(request, (), KeepBody::new(LARGEST))) => {
            fetched.unwrap_or(Err(FetchError::TimedOut))
        }
        () = stop.cancelled() => Err(FetchError::Broken("stopped".into())),
    };
    drop(client);
    let transfers = seen.transfers.take();
    for transfer in &transfers {
        let fields = transfer.head.iter().flat_map(|head| &head.cookies);
        fields.for_each(|field| cookies.take(field, &transfer.url));
    }
    let page = match fetched {
        Ok(fetched) => page(&url, fetched.url, &fetched.head, fetched.sink),
        Err(error) => Err(failure::unfetched(&url, &error, proxy.as_deref())),
    };
    let (connect_failures, received) = (seen.failures.take(), seen.received.get());
    Answer { page, cookies, transfers, connect_failures, received }
}

fn page(asked: &Url, url: Url, head: &Head, sink: KeepBody) -> Result<Page, Failure> {
    if sink.is_cut {
        // A truncated VOD playlist looks like a live stream, because its end tag is missing.
        return Err(failure::too_large(&url, LARGEST));
    }
    if head.status >= 400 {
        return Err(failure::refused(asked, head, &sink.body));
    }
    let decoded = |reader: &mut dyn Read| {
        let mut decoded = Vec::new();
        reader.take(LARGEST as u64).read_to_end(&mut decoded).map(|_| decoded)
    };
    let body = match head.coding {
        Coding::Identity => Ok(sink.body),
        Coding::Gzip => decoded(&mut GzDecoder::new(sink.body.as_slice())),
        // Unlike browsers, FFmpeg needs the frame that RFC 9110 requires (8.4.1.2).
        Coding::Deflate => decoded(&mut ZlibDecoder::new(sink.body.as_slice())),
        Coding::Other => return Err(failure::encoded(asked, &head.encoding)),
    };
    let body = body.map_err(|error| failure::undecodable(asked, &head.encoding, error))?;
    Ok(Page { url, body, content_type: head.content_type.to_string() })
}
