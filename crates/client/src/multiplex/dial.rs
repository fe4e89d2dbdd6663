//! Making shared connections: by TLS, whose handshake chooses the version of HTTP; by QUIC; and by QUIC in the
//! background, where an origin announces that it speaks HTTP/3 (`Alt-Svc`).

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use url::Url;

use hls_swarm_os::clock::now_ns;

use super::alt_svc;
use super::carrier::Carrier;
use super::http2::Http2;
use super::http3::{self, Http3};
use super::{Attempt, Multiplexed, Origin, origin};
use crate::client::{Client, FetchError};
use crate::connect;
use crate::connection::Times;
use crate::head::Head;
use crate::names::Names;
use crate::shard::{Http, Shard};
use crate::socket;
use crate::tls::Alpn;
use crate::transfer::{ConnectFailure, Observer};

/// How long an alternative is not tried again after it did not work (as in Chromium at first).
const BROKEN: Duration = Duration::from_secs(5 * 60);

impl<O: Observer> Client<O> {
    /// The shared connection to the origin of `url`; `None` = the origin speaks HTTP/1.1, and one to it may be among the
    /// kept connections.
    ///
    /// # Errors
    /// No connection could be made.
    pub(super) async fn shared(
        &self,
        multiplexed: &Rc<Multiplexed<O>>,
        url: &Url,
    ) -> Result<Option<Rc<Carrier<O>>>, FetchError> {
        let origin = origin(url);
        loop {
            self.try_alternative(multiplexed, &origin, url);
            if let Some(carrier) = multiplexed.usable(url) {
                return Ok(Some(carrier));
            }
            if multiplexed.speaks_http1(&origin) {
                return Ok(None);
            }
            let cell = multiplexed.opening(&origin);
            let opened = cell.get_or_init(|| self.open_shared(multiplexed, &origin, url)).await.clone();
            multiplexed.opened(&cell);
            opened?;
        }
    }

    async fn open_shared(
        &self,
        multiplexed: &Multiplexed<O>,
        origin: &Origin,
        url: &Url,
    ) -> Result<(), FetchError> {
        let broken = |why: String| FetchError::Broken(format!("the connection failed: {why}"));
        let alpn = match self.shard.settings.http {
            Http::Http3 => {
                let carrier = self.dialer().dial(url, url).await;
                let http3 = carrier.map_err(|failure| self.not_connected(failure))?;
                multiplexed.add(Carrier::Http3(Box::new(http3)));
                return Ok(());
            }
            Http::Http2 => Alpn::Http2,
            Http::Http1 | Http::Auto => Alpn::Either,
        };
        let connection = self.open(url, alpn).await.map_err(|failure| self.not_connected(failure))?;
        if !connection.speaks_http2() {
            multiplexed.http1.borrow_mut().push(origin.clone());
            self.keep(connection);
            return Ok(());
        }
        let http2 = Http2::begin(connection, &self.shard, &self.pace).await.map_err(broken)?;
        multiplexed.add(Carrier::Http2(http2));
        Ok(())
    }

    fn dialer(&self) -> Dialer {
        Dialer {
            shard: Rc::clone(&self.shard),
            source: self.source,
            window: self.pace.receive_buffer(),
            turn: self.turn.get(),
            number: self.next_number(),
        }
    }

    /// Takes from a response of the origin of `url` where it can be reached by HTTP/3, if viewers follow that.
    pub(crate) fn take_alternative(&self, url: &Url, head: &Head) {
        let Some(multiplexed) = self.multiplexed.as_ref().filter(|_| self.shard.settings.http == Http::Auto)
        else {
            return;
        };
        let Some(value) = head.alt_svc.as_deref().filter(|_| url.scheme() == "https") else { return };
        // A proxy does not pass on QUIC.
        if self.shard.settings.proxies.of(url).is_some() {
            return;
        }
        let found = alt_svc::parse(value).and_then(|found| {
            let mut target = url.clone();
            target.set_path("");
            target.set_query(None);
            target.set_fragment(None);
            if !found.host.is_empty() {
                target.set_host(Some(&found.host)).ok()?;
            }
            target.set_port(Some(found.port)).ok()?;
            // The hosts that may be loaded hold for alternatives, too.
            (self.shard.settings.policy)(&target).ok()?;
            Some((target, Instant::now().checked_add(found.age)?))
        });
        multiplexed.learn(&origin(url), found);
    }

    /// Makes a connection to an origin's alternative in the background, if there is one that is not in use. Requests
    /// take the old way until the new one works, as in browsers.
    fn try_alternative(&self, multiplexed: &Rc<Multiplexed<O>>, origin: &Origin, url: &Url) {
        if multiplexed.usable(url).is_some_and(|carrier| carrier.is_http3()) {
            return;
        }
        let Some(target) = multiplexed.alternative(origin) else { return };
        let (dialer, observer) = (self.dialer(), Rc::clone(&self.observer));
        // The viewer may have left when it is done.
        let (viewer, origin, url) = (Rc::downgrade(multiplexed), origin.clone(), url.clone());
        spawn_local(async move {
            let dialed = dialer.dial(&target, &url).await;
            let Some(multiplexed) = viewer.upgrade() else { return };
            match dialed {
                Ok(carrier) => {
                    multiplexed.add(Carrier::Http3(Box::new(carrier)));
                    multiplexed.attempted(&origin, &target, Attempt::Possible);
                }
                Err(failure) => {
                    let until = Instant::now() + BROKEN;
                    multiplexed.attempted(&origin, &target, Attempt::Failed(until));
                    observer.alternative_failed(&failure.reason);
                }
            }
        });
    }
}

/// What is needed to make a QUIC connection.
struct Dialer {
    shard: Rc<Shard>,
    source: Option<IpAddr>,
    /// The bytes that may be under way, where reading is limited.
    window: Option<u32>,
    turn: usize,
    number: u32,
}

impl Dialer {
    /// Makes a connection to `target`, which serves the origin of `url`.
    async fn dial(self, target: &Url, url: &Url) -> Result<Http3, ConnectFailure> {
        let began_ns = now_ns();
        let limit = self.shard.settings.timeout;
        timeout(limit, self.dial_in_time(target, url)).await.unwrap_or_else(|_| {
            Err(ConnectFailure {
                given_up_after_ns: Some(now_ns().saturating_sub(began_ns)),
                ..ConnectFailure::new("QUIC handshake: given up without an answer".into())
            })
        })
    }

    async fn dial_in_time(self, target: &Url, url: &Url) -> Result<Http3, ConnectFailure> {
        let settings = &self.shard.settings;
        if settings.proxies.of(url).is_some() {
            return Err(ConnectFailure::new("HTTP/3 does not pass through an HTTP proxy".into()));
        }
        let own = settings.names_per_viewer.then(Names::default);
        let names = own.as_ref().unwrap_or(&self.shard.names);
        let answer = names.of(target, &settings.resolve, self.turn).await;
        let answer = answer.map_err(|failure| ConnectFailure {
            lookup_ns: failure.took_ns,
            ..ConnectFailure::new(format!("name lookup: {}", failure.reason))
        })?;
        let port = target.port_or_known_default().unwrap_or(443);
        let host = url.host_str().unwrap_or_default();
        let way = socket::Origin { source: self.source, receive_buffer: self.window };
        let began_ns = now_ns();
        let attempt = async |peer| http3::connect(peer, way, host, &self.shard).await;
        let established = connect::race(&answer.addresses, port, self.source, attempt).await?;
        let times = Times {
            dns_ns: answer.took_ns,
            quic_ns: Some(now_ns().saturating_sub(began_ns)),
            ..Times::default()
        };
        let begun = Http3::begin(established, url, self.number, times).await;
        begun.map_err(|why| ConnectFailure::new(format!("HTTP/3: {why}")))
    }
}
