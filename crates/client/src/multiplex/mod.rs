//! Connections that requests share: those of HTTP/2 and HTTP/3. A viewer has one per origin; viewers share none.

pub(crate) mod alt_svc;
mod carrier;
mod counted;
mod dial;
mod flight;
mod frames;
mod http2;
mod http3;
mod secure;
pub(crate) mod udp;

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use self::carrier::Carrier;
use crate::client::FetchError;
use crate::transfer::Observer;

/// An origin: its host and port.
type Origin = (Box<str>, u16);
/// A connection that is being made; those who need it wait for it together.
type Opening = Rc<OnceCell<Result<(), FetchError>>>;

/// Where an origin can be reached by HTTP/3, too.
#[derive(Debug)]
struct Known {
    origin: Origin,
    /// Its address, by which a connection is made.
    url: Url,
    /// When it must not be used any more.
    until: Instant,
    state: Attempt,
}

/// How far the use of an alternative is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// A connection can be made.
    Possible,
    /// A connection is being made.
    UnderWay,
    /// A connection could not be made; not before this time again.
    Failed(Instant),
}

/// The shared connections of one viewer.
#[derive(Debug)]
pub(crate) struct Multiplexed<O: Observer> {
    open: RefCell<Vec<Rc<Carrier<O>>>>,
    opening: RefCell<Vec<(Origin, Opening)>>,
    /// Origins that have chosen HTTP/1.1.
    http1: RefCell<Vec<Origin>>,
    alternatives: RefCell<Vec<Known>>,
}

impl<O: Observer> Default for Multiplexed<O> {
    fn default() -> Self {
        Self {
            open: RefCell::default(),
            opening: RefCell::default(),
            http1: RefCell::default(),
            alternatives: RefCell::default(),
        }
    }
}

/// The origin of `url`.
fn origin(url: &Url) -> Origin {
    (url.host_str().unwrap_or_default().into(), url.port_or_known_default().unwrap_or(443))
}

impl<O: Observer> Multiplexed<O> {
    /// The connection to the origin of `url`: that of HTTP/3, if there are two. Those that take no further request are
    /// dropped.
    fn usable(&self, url: &Url) -> Option<Rc<Carrier<O>>> {
        let mut open = self.open.borrow_mut();
        open.retain(|carrier| carrier.is_open());
        let candidates = open.iter().filter(|carrier| carrier.leads_to(url));
        candidates.max_by_key(|carrier| carrier.is_http3()).map(Rc::clone)
    }

    /// Uses a connection for no further request.
    fn retire(&self, carrier: &Rc<Carrier<O>>) {
        self.open.borrow_mut().retain(|known| !Rc::ptr_eq(known, carrier));
    }

    fn add(&self, carrier: Carrier<O>) {
        self.open.borrow_mut().push(Rc::new(carrier));
    }

    /// The connection to `origin` that is being made, or is to be made now.
    fn opening(&self, origin: &Origin) -> Opening {
        let mut opening = self.opening.borrow_mut();
        if let Some((_, known)) = opening.iter().find(|(known, _)| known == origin) {
            return Rc::clone(known);
        }
        let new = Opening::default();
        opening.push((origin.clone(), Rc::clone(&new)));
        new
    }

    /// The next one who needs a connection makes another one.
    fn opened(&self, cell: &Opening) {
        self.opening.borrow_mut().retain(|(_, known)| !Rc::ptr_eq(known, cell));
    }

    /// Whether an origin has chosen HTTP/1.1.
    fn speaks_http1(&self, origin: &Origin) -> bool {
        self.http1.borrow().contains(origin)
    }

    /// Replaces what is known of an origin's alternative.
    fn learn(&self, origin: &Origin, found: Option<(Url, Instant)>) {
        let mut alternatives = self.alternatives.borrow_mut();
        let before = alternatives.iter().position(|known| known.origin == *origin);
        let before = before.map(|place| alternatives.swap_remove(place));
        let Some((url, until)) = found else { return };
        // That an alternative does not work is remembered.
        let state = before.filter(|known| known.url == url).map_or(Attempt::Possible, |known| known.state);
        alternatives.push(Known { origin: origin.clone(), url, until, state });
    }

    /// The address of an alternative to which a connection is to be made now.
    fn alternative(&self, origin: &Origin) -> Option<Url> {
        let mut alternatives = self.alternatives.borrow_mut();
        let now = Instant::now();
        alternatives.retain(|known| known.until > now);
        let known = alternatives.iter_mut().find(|known| known.origin == *origin)?;
        let is_possible = match known.state {
            Attempt::Possible => true,
            Attempt::UnderWay => false,
            Attempt::Failed(until) => until <= now,
        };
        is_possible.then(|| {
            known.state = Attempt::UnderWay;
            known.url.clone()
        })
    }

    /// Notes how the attempt to use an alternative has ended.
    fn attempted(&self, origin: &Origin, url: &Url, state: Attempt) {
        let mut alternatives = self.alternatives.borrow_mut();
        let known = alternatives.iter_mut().find(|known| known.origin == *origin && known.url == *url);
        if let Some(known) = known {
            known.state = state;
        }
    }
}
