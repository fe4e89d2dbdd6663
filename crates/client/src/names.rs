//! The addresses of hosts. A thread looks a name up once for all of its viewers, and again when the answer is old:
//! the C library does not tell how long an answer is valid.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::lookup_host;
use tokio::sync::OnceCell;
use url::{Host, Url};

use hls_swarm_http::resolve::Rule;
use hls_swarm_os::clock::now_ns;

/// How long an answer is used, nanoseconds.
const FRESH_NS: u64 = 30_000_000_000;
/// How long a failure is used, nanoseconds: viewers that ask at the same time fail together.
const FRESH_FAILURE_NS: u64 = 1_000_000_000;

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The addresses, in the system's order (RFC 6724); never empty.
    pub(crate) addresses: Rc<[IpAddr]>,
    /// The time that the lookup took, where this call made one.
    pub(crate) took_ns: Option<u64>,
}

/// A lookup that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LookupFailure {
    /// The C library's message.
    pub(crate) reason: Rc<str>,
    /// The time that the lookup took, where this call made one.
    pub(crate) took_ns: Option<u64>,
}

#[derive(Debug)]
struct Known {
    cell: OnceCell<Result<Rc<[IpAddr]>, Rc<str>>>,
    /// When the lookup began.
    since_ns: u64,
}

impl Known {
    fn is_fresh(&self) -> bool {
        let limit = match self.cell.get() {
            Some(Err(_)) => FRESH_FAILURE_NS,
            Some(Ok(_)) => FRESH_NS,
            None => u64::MAX,
        };
        now_ns().saturating_sub(self.since_ns) < limit
    }
}

/// The names that a thread, or one viewer, knows.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: RefCell<HashMap<String, Rc<Known>>>,
}

impl Names {
    /// The addresses of the host of `url`; `rules` take precedence, and begin with the address of `turn`.
    ///
    /// # Errors
    /// [`LookupFailure`].
    pub(crate) async fn of(&self, url: &Url, rules: &[Rule], turn: usize) -> Result<Answer, LookupFailure> {
        let port = url.port_or_known_default().unwrap_or(80);
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let Some(rule) = rules.iter().find(|rule| rule.matches(host, port)) {
            let mut addresses = rule.addresses.clone();
            let first = turn.checked_rem(addresses.len()).unwrap_or(0);
            addresses.rotate_left(first);
            return Ok(Answer { addresses: addresses.into(), took_ns: None });
        }
        match url.host() {
            Some(Host::Ipv4(address)) => Ok(Answer { addresses: Rc::new([address.into()]), took_ns: None }),
            Some(Host::Ipv6(address)) => Ok(Answer { addresses: Rc::new([address.into()]), took_ns: None }),
            _ => self.look_up(host).await,
        }
    }

    async fn look_up(&self, host: &str) -> Result<Answer, LookupFailure> {
        let known = self.known.borrow().get(host).filter(|known| known.is_fresh()).cloned();
        let known = known.unwrap_or_else(|| {
            let known = Rc::new(Known { cell: OnceCell::new(), since_ns: now_ns() });
            self.known.borrow_mut().insert(host.to_owned(), Rc::clone(&known));
            known
        });
        let mut took_ns = None;
        let result = known
            .cell
            .get_or_init(|| async {
                let began_ns = now_ns();
                let found = lookup_host((host, 0)).await;
                took_ns = Some(now_ns().saturating_sub(began_ns));
                addresses(found)
            })
            .await;
        match result {
            Ok(addresses) => Ok(Answer { addresses: Rc::clone(addresses), took_ns }),
            Err(reason) => Err(LookupFailure { reason: Rc::clone(reason), took_ns }),
        }
    }
}

fn addresses(found: io::Result<impl Iterator<Item = SocketAddr>>) -> Result<Rc<[IpAddr]>, Rc<str>> {
    let mut addresses = Vec::new();
    for address in found.map_err(|error| reason(&error))?.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        Err("No address associated with hostname".into())
    } else {
        Ok(addresses.into())
    }
}

/// The C library's message, without the standard library's words before it.
fn reason(error: &io::Error) -> Rc<str> {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_name_is_looked_up_once() {
        in_runtime(async {
            let names = Names::default();
            let url = "http://localhost:1/".parse().unwrap();
            let first = names.of(&url, &[], 0).await.unwrap();
            let second = names.of(&url, &[], 0).await.unwrap();
            assert!(first.took_ns.is_some() && second.took_ns.is_none());
            assert_eq!(first.addresses, second.addresses);
        });
    }

    #[test]
    fn a_name_that_does_not_exist_is_a_failure_of_the_call_that_asked() {
        in_runtime(async {
            let names = Names::default();
            let url = "http://no-such-host.invalid/".parse().unwrap();
            let (one, other) = tokio::join!(names.of(&url, &[], 0), names.of(&url, &[], 0));
            let (one, other) = (one.unwrap_err(), other.unwrap_err());
            assert_eq!(u8::from(one.took_ns.is_some()) + u8::from(other.took_ns.is_some()), 1);
            assert!(!one.reason.is_empty() && one.reason == other.reason);
        });
    }

    #[test]
    fn rules_take_precedence_and_viewers_use_their_addresses_in_turn() {
        in_runtime(async {
            let addresses = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()).to_vec();
            let rules = [Rule { host: "cdn.test".into(), port: None, addresses }];
            let url = "http://CDN.test/".parse().unwrap();
            let names = Names::default();
            let of = |turn| names.of(&url, &rules, turn);
            assert_eq!(of(0).await.unwrap().addresses[0].to_string(), "192.0.2.1");
            assert_eq!(of(1).await.unwrap().addresses[0].to_string(), "192.0.2.2");
        });
    }
}
