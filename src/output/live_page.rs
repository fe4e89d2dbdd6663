//! The live page on the port of the metrics: who may open it, and its stream of events.
//!
//! It is read only. The page is rendered once for all readers, on a thread of its own, and only while there are
//! readers. A reader that does not keep up misses states of the page; one that does not read at all is disconnected.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::Channel;
use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::Client;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::threshold::Threshold;

use super::html::{content_security_policy, live};

/// Readers at the same time; the other connections of the port are for scrapers.
const READERS: usize = 8;
/// Shortest time between two states of the page.
const INTERVAL: Duration = Duration::from_secs(2);
/// A reader that has not taken a state after this time is disconnected.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which a stream of events ends, shorter than that of a connection. Browsers connect again.
const STREAM: Duration = Duration::from_secs(90);

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
    stop: CancellationToken,
}

impl LivePage {
    /// The page of `run`. Its events end with `stop`.
    #[must_use]
    pub fn new(
        audience: Audience,
        run: Run,
        thresholds: &[Threshold],
        snapshots: watch::Receiver<Arc<Snapshot>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            audience,
            run: Arc::new(run),
            thresholds: thresholds.into(),
            snapshots,
            events: watch::Sender::new(Bytes::new()),
            readers: Arc::new(Semaphore::new(READERS)),
            stop,
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
        let snapshot = Arc::clone(&self.snapshots.borrow());
        live::page(&self.run, &self.thresholds, &snapshot)
    }

    /// A stream of events for a client.
    pub(crate) fn stream(&self, client: &Client) -> Result<Channel<Bytes, Infallible>, Refusal> {
        let permit = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| Refusal::Full)?;
        let (sender, body) = Channel::new(1);
        tokio::spawn(send(
            self.events.subscribe(),
            sender,
            client.hang_up.clone(),
            self.stop.clone(),
            permit,
        ));
        Ok(body)
    }

    /// Renders the page while there are readers, until the run is over.
    pub(crate) async fn render(self) {
        let mut snapshots = self.snapshots.clone();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
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
            self.events.send_replace(event);
            tokio::select! {
                () = self.stop.cancelled() => return,
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
    stop: CancellationToken,
    permit: OwnedSemaphorePermit,
) {
    let until = Instant::now() + STREAM;
    let mut next = Bytes::from_static(b"retry: 1000\n\n");
    // The reader gets the newest page at once, if there is one.
    events.mark_changed();
    loop {
        if !next.is_empty() {
            match timeout(READ_TIMEOUT, sender.send_data(std::mem::take(&mut next))).await {
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
            () = stop.cancelled() => {
                let last = Bytes::from_static(b"event: end\ndata: over\n\n");
                drop(timeout(READ_TIMEOUT, sender.send_data(last)).await);
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
    use super::*;

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
