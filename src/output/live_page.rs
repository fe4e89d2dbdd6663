//! The live page on the port of the metrics: who may open it, and its stream of events.
//!
//! It is read only. The page is rendered once for all readers, on a thread of its own, and only while there are
//! readers. A reader that does not keep up misses states of the page; one that does not read at all is disconnected.
//! When the run is over, readers get its verdict before the server ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::channel::Channel;
use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::Client;
use hls_swarm_model::report::Report;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::threshold::Threshold;

use super::html::{content_security_policy, live};

/// Readers at the same time; the other connections of the port are for scrapers.
const READERS: u32 = 8;
/// Shortest time between two states of the page.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time after which a stream of events ends, shorter than that of a connection. Browsers connect again.
const STREAM: Duration = Duration::from_secs(90);

/// How long readers may take.
#[derive(Clone, Copy)]
struct Timeouts {
    /// A reader that has not taken a state after this time is disconnected.
    read: Duration,
    /// When the run is over, all readers may take this long to receive the verdict.
    parting: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { read: Duration::from_secs(10), parting: Duration::from_secs(3) }
    }
}

/// Who may open the page: this host, and these networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    off: bool,
    networks: Vec<(IpAddr, u8)>,
}

impl Audience {
    /// Reads the values of `--live-page`.
    ///
    /// # Errors
    /// A usage failure that names the value.
    pub fn of(typed: &[String]) -> Result<Self, Failure> {
        let mut audience = Self::default();
        for text in typed {
            match text.trim() {
                "off" => audience.off = true,
                "any" => audience.networks.extend([([0, 0, 0, 0].into(), 0), ([0_u16; 8].into(), 0)]),
                text => audience.networks.push(network(text).ok_or_else(|| {
                    Failure::usage(format!("invalid value {text:?} for --live-page"))
                        .help("pass an address, a network such as 10.0.0.0/8, any, or off")
                })?),
            }
        }
        if audience.off && !audience.networks.is_empty() {
            return Err(
                Failure::usage("--live-page off together with an address").help("leave out one of them")
            );
        }
        Ok(audience)
    }

    /// Whether no one may open it.
    const fn is_off(&self) -> bool {
        self.off
    }

    fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let inside = |(network, bits): &(IpAddr, u8)| match (network, peer) {
            (IpAddr::V4(network), IpAddr::V4(peer)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                network.to_bits() & mask == peer.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(peer)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                network.to_bits() & mask == peer.to_bits() & mask
            }
            _ => false,
        };
        !self.off && (peer.is_loopback() || self.networks.iter().any(inside))
    }
}

/// Reads an address, or a network with the length of its prefix.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(all);
    (bits <= all).then_some((address, bits))
}

/// Whether a request names this server by an address. A name could be one whose owner points it here, so that a page of
/// theirs may read this one (DNS rebinding).
fn is_named_by_address(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Why a page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is turned off.
    Off,
    /// The peer may not see it.
    Peer,
    /// It was asked for by a name.
    Name,
    /// There are too many readers.
    Full,
}

/// The live page of a run.
#[derive(Clone)]
pub struct LivePage {
    audience: Audience,
    run: Arc<Run>,
    thresholds: Arc<[Threshold]>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The newest event, as it is sent.
    events: watch::Sender<Bytes>,
    readers: Arc<Semaphore>,
    timeouts: Timeouts,
    /// What the page shows when the run is over.
    conclusion: Arc<OnceLock<Conclusion>>,
    concluded: CancellationToken,
}

/// The end of a run.
struct Conclusion {
    /// The content of the page.
    content: String,
    /// The verdict in one word.
    word: &'static str,
}

impl LivePage {
    /// The page of `run`.
    #[must_use]
    pub fn new(
        audience: Audience,
        run: Run,
        thresholds: &[Threshold],
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self {
            audience,
            run: Arc::new(run),
            thresholds: thresholds.into(),
            snapshots,
            events: watch::Sender::new(Bytes::new()),
            readers: Arc::new(Semaphore::new(READERS as usize)),
            timeouts: Timeouts::default(),
            conclusion: Arc::default(),
            concluded: CancellationToken::new(),
        }
    }

    /// Checks whether a client may see the page.
    pub(crate) fn check(&self, client: Option<&Client>, host: Option<&str>) -> Result<(), Refusal> {
        match client {
            _ if self.audience.is_off() => Err(Refusal::Off),
            Some(client) if self.audience.admits(client.address.ip()) => {
                if is_named_by_address(host) {
                    Ok(())
                } else {
                    Err(Refusal::Name)
                }
            }
            _ => Err(Refusal::Peer),
        }
    }

    /// The policy that goes into the head of responses, too, because only there it can forbid frames.
    pub(crate) fn policy() -> String {
        content_security_policy(live::POLICY) + "; frame-ancestors 'none'"
    }

    /// The page with the newest figures.
    pub(crate) fn page(&self) -> String {
        if let Some(conclusion) = self.conclusion.get() {
            return live::page(&self.run, &conclusion.content);
        }
        let snapshot = Arc::clone(&self.snapshots.borrow());
        live::page(&self.run, &live::content(&self.run, &self.thresholds, &snapshot))
    }

    /// Sends the verdict of the run to all readers, as the last event.
    pub(crate) fn conclude(&self, report: &Report) {
        // Readers that come later ask for the page first.
        let content = live::conclusion(report);
        self.events.send_replace(event(&content));
        let _ = self.conclusion.set(Conclusion { content, word: report.verdict.kind.as_str() });
        self.concluded.cancel();
    }

    /// Waits until all readers have received the last event, for three seconds at most.
    pub(crate) async fn part(&self) {
        drop(timeout(self.timeouts.parting, self.readers.acquire_many(READERS)).await);
    }

    /// A stream of events for a client.
    pub(crate) fn stream(&self, client: &Client) -> Result<Channel<Bytes, Infallible>, Refusal> {
        let permit = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| Refusal::Full)?;
        let (sender, body) = Channel::new(1);
        tokio::spawn(send(self.events.subscribe(), sender, client.hang_up.clone(), self.clone(), permit));
        Ok(body)
    }

    /// Renders the page while there are readers, until the run is over.
    pub(crate) async fn render(self) {
        let mut snapshots = self.snapshots.clone();
        loop {
            tokio::select! {
                () = self.concluded.cancelled() => return,
                changed = snapshots.changed() => if changed.is_err() { return },
            }
            if self.events.receiver_count() == 0 {
                continue;
            }
            let began = Instant::now();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let (run, thresholds) = (Arc::clone(&self.run), Arc::clone(&self.thresholds));
            // The thread of the event loop starts and stops viewers, and must not be late.
            let rendered =
                tokio::task::spawn_blocking(move || event(&live::content(&run, &thresholds, &snapshot)));
            let Ok(event) = rendered.await else { return };
            if self.concluded.is_cancelled() {
                return;
            }
            self.events.send_replace(event);
            tokio::select! {
                () = self.concluded.cancelled() => return,
                () = tokio::time::sleep_until(began + INTERVAL) => {}
            }
        }
    }
}

/// An event with the content of the page (server-sent events, HTML Living Standard 9.2).
fn event(content: &str) -> Bytes {
    let mut text = String::with_capacity(content.len() + 256);
    text.push_str("event: page\n");
    for line in content.split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

/// Sends events to one reader.
async fn send(
    mut events: watch::Receiver<Bytes>,
    mut sender: http_body_util::channel::Sender<Bytes, Infallible>,
    hang_up: CancellationToken,
    page: LivePage,
    permit: OwnedSemaphorePermit,
) {
    let until = Instant::now() + STREAM;
    let mut next = Bytes::from_static(b"retry: 1000\n\n");
    // The reader gets the newest page at once, if there is one.
    events.mark_changed();
    loop {
        if !next.is_empty() {
            match timeout(page.timeouts.read, sender.send_data(std::mem::take(&mut next))).await {
                Ok(Ok(())) => {}
                // The reader is gone.
                Ok(Err(_)) => break,
                Err(_) => {
                    hang_up.cancel();
                    break;
                }
            }
        }
        tokio::select! {
            () = page.concluded.cancelled() => {
                let word = page.conclusion.get().map_or("", |conclusion| conclusion.word);
                let end = Bytes::from(format!("event: end\ndata: {word}\n\n"));
                let verdict = events.has_changed().unwrap_or(false).then(|| events.borrow().clone());
                for last in verdict.into_iter().chain([end]) {
                    if !matches!(timeout(page.timeouts.read, sender.send_data(last)).await, Ok(Ok(()))) {
                        break;
                    }
                }
                break;
            }
            () = tokio::time::sleep_until(until) => break,
            changed = events.changed() => match changed {
                Ok(()) => next = events.borrow_and_update().clone(),
                Err(_) => break,
            },
        }
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Incoming;
    use hyper::{Request, Response};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use hls_swarm_http::server::{self, Limits};
    use hls_swarm_test_support::recorded::report;

    use super::*;

    const READ: Duration = Duration::from_millis(400);

    /// A page whose readers have less time than usual.
    fn live_page() -> LivePage {
        let snapshots = watch::channel(Arc::new(report().snapshot)).1;
        let page = LivePage::new(Audience::default(), report().run, &[], snapshots);
        LivePage { timeouts: Timeouts { read: READ, parting: 2 * READ }, ..page }
    }

    fn client() -> Client {
        Client { address: ([127, 0, 0, 1], 9).into(), hang_up: CancellationToken::new() }
    }

    /// The rest of a stream, as text.
    async fn rest(stream: Channel<Bytes, Infallible>) -> String {
        String::from_utf8(stream.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_disconnected() {
        let (page, stuck, reading) = (live_page(), client(), client());
        let _unread = page.stream(&stuck).unwrap();
        let mut read = page.stream(&reading).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) && !stuck.hang_up.is_cancelled() {
            page.events.send_replace(Bytes::from_static(b"event: page\ndata: a\n\n"));
            while timeout(READ / 20, read.frame()).await.is_ok() {}
        }
        assert!(stuck.hang_up.is_cancelled() && began.elapsed() >= READ, "{:?}", began.elapsed());
        assert!(!reading.hang_up.is_cancelled());
        let another = timeout(READ, page.readers.acquire_many(READERS - 1)).await;
        assert!(another.is_ok(), "another one may read instead");
        assert_eq!(Timeouts::default().read, Duration::from_secs(10), "see docs/live-page.md");
    }

    /// Twenty pages of 32 KiB: what lies between the page and a reader keeps only a part of them.
    #[tokio::test]
    async fn buffers_do_not_hide_that_a_reader_does_not_read() {
        let page = live_page();
        let listener = server::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let handler = {
            let page = page.clone();
            move |request: Request<Incoming>| {
                let stream = page.stream(request.extensions().get().unwrap()).unwrap();
                async move { Response::new(stream) }
            }
        };
        let serving = stop.clone();
        let serving =
            tokio::spawn(async move { server::serve(listener, Limits::default(), &serving, handler).await });
        let mut stuck = TcpStream::connect(address).await.unwrap();
        stuck.write_all(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
        let content = Bytes::from(vec![b'a'; 32 * 1024]);
        for _ in 0..20 {
            tokio::time::sleep(READ / 20).await;
            page.events.send_replace(content.clone());
        }
        let free = timeout(20 * READ, page.readers.acquire_many(READERS)).await;
        assert!(free.is_ok(), "it still has its place");
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn readers_receive_the_verdict_before_the_end() {
        let page = live_page();
        let reading = page.stream(&client()).unwrap();
        let _unread = page.stream(&client()).unwrap();
        page.events.send_replace(Bytes::from_static(b"event: page\ndata: 1\n\n"));
        let reader = tokio::spawn(rest(reading));
        tokio::time::sleep(READ / 4).await;
        page.conclude(&report());
        let began = Instant::now();
        page.part().await;
        let took = began.elapsed();
        assert!(took >= READ / 2, "the reader that does not read takes its time: {took:?}");
        let text = reader.await.unwrap();
        assert!(text.ends_with("event: end\ndata: FAIL\n\n"), "{text:.100}");
        let (_, last) = text.rsplit_once("event: page\n").unwrap();
        assert!(last.contains("<strong>FAIL</strong>") && last.contains("It fails with "), "{last:.500}");
        assert!(page.page().contains("<strong>FAIL</strong>"), "who comes later sees it, too");
    }

    #[tokio::test]
    async fn nothing_is_waited_for_without_readers() {
        let page = live_page();
        page.conclude(&report());
        let began = Instant::now();
        page.part().await;
        assert!(began.elapsed() < READ, "{:?}", began.elapsed());
    }

    #[test]
    fn only_this_host_and_those_that_are_named_may_open_the_page() {
        let audience = |typed: &[&str]| {
            Audience::of(&typed.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|f| f.to_string())
        };
        let admits = |typed: &[&str], peer: &str| audience(typed).unwrap().admits(peer.parse().unwrap());
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(admits(&[], peer) && admits(&["192.0.2.1"], peer) && !admits(&["off"], peer), "{peer}");
        }
        for peer in ["192.0.2.1", "10.1.2.3", "2001:db8::1"] {
            assert!(!admits(&[], peer) && admits(&["any"], peer), "{peer}");
        }
        assert!(admits(&["10.0.0.0/8"], "10.255.0.1") && !admits(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(
            admits(&["192.0.2.7", "2001:db8::/32"], "2001:db8:9::1") && !admits(&["192.0.2.7"], "192.0.2.8")
        );
        for wrong in ["10.0.0.0/33", "host", "", "::/129", "10.0.0.0/x"] {
            assert!(audience(&[wrong]).unwrap_err().contains("--live-page"), "{wrong}");
        }
        assert!(audience(&["off", "any"]).is_err());
    }

    #[test]
    fn the_page_is_asked_for_by_an_address() {
        for host in ["127.0.0.1:17091", "localhost", "LocalHost:1", "[::1]:17091", "192.0.2.1"] {
            assert!(is_named_by_address(Some(host)), "{host}");
        }
        for host in [Some("evil.example:17091"), Some("127.0.0.1.evil.example"), Some(""), None] {
            assert!(!is_named_by_address(host), "{host:?}");
        }
    }

    #[test]
    fn an_event_has_each_line_of_the_page() {
        assert_eq!(event("<a>\n1"), "event: page\ndata: <a>\ndata: 1\n\n");
    }
}
