//! A viewer that remembers what its client measured.

#![allow(dead_code, unreachable_pub, reason = "no test file uses all of it")]

pub mod script;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hls_swarm_client::{
    Client, ConnectFailure, End, FetchError, Fetched, Http, KeepBody, Observer, Proxies, Request, Settings,
    Shard, Sink, Transfer, Trust,
};
use tokio::task::LocalSet;

/// Remembers everything.
#[derive(Debug)]
pub(crate) struct Notes<S> {
    pub(crate) transfers: RefCell<Vec<Transfer>>,
    pub(crate) failures: RefCell<Vec<ConnectFailure>>,
    pub(crate) alternatives: RefCell<Vec<String>>,
    pub(crate) received: Cell<u64>,
    pub(crate) sinks: std::marker::PhantomData<S>,
}

impl<S: Sink + 'static> Observer for Notes<S> {
    type Tag = ();
    type Sink = S;

    fn transfer(&self, (): &(), _sink: &S, transfer: &Transfer) {
        self.transfers.borrow_mut().push(transfer.clone());
    }

    fn connect_failed(&self, failure: ConnectFailure) {
        self.failures.borrow_mut().push(failure);
    }

    fn alternative_failed(&self, reason: &str) {
        self.alternatives.borrow_mut().push(reason.to_owned());
    }

    fn received(&self, bytes: u64, _tls: bool) {
        self.received.update(|sum| sum + bytes);
    }
}

pub(crate) struct Viewer<S: Sink + 'static> {
    pub(crate) client: Client<Notes<S>>,
    pub(crate) notes: Rc<Notes<S>>,
}

pub(crate) fn settings(timeout_ms: u64) -> Settings {
    Settings {
        http: Http::Http1,
        trust: Trust::Verified,
        proxies: Proxies::default(),
        timeout: Duration::from_millis(timeout_ms),
        resolve: Vec::new(),
        names_per_viewer: false,
        mark: 64 << 10,
        most_connections: usize::MAX,
        headers: Vec::new(),
        policy: Box::new(|url| {
            if url.host_str() == Some("forbidden.test") {
                Err("forbidden.test is not allowed".into())
            } else {
                Ok(())
            }
        }),
    }
}

pub(crate) fn viewer<S: Sink + 'static>(settings: Settings, bits: Option<u64>) -> Viewer<S> {
    let notes = Rc::new(Notes {
        transfers: RefCell::default(),
        failures: RefCell::default(),
        alternatives: RefCell::default(),
        received: Cell::default(),
        sinks: std::marker::PhantomData,
    });
    let shard = Shard::new(settings);
    Viewer { client: Client::new(shard, Rc::clone(&notes), "test".into(), None, bits, 0), notes }
}

impl<S: Sink + 'static> Viewer<S> {
    pub(crate) fn ends(&self) -> Vec<End> {
        self.notes.transfers.borrow().iter().map(|transfer| transfer.end).collect()
    }
}

impl Viewer<KeepBody> {
    pub(crate) async fn get(&self, url: &str) -> Result<Fetched<KeepBody>, FetchError> {
        let request = Request { compressed: true, ..Request::get(url.parse().unwrap()) };
        self.client.fetch(request, (), KeepBody::new(1 << 20)).await
    }
}

pub(crate) fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs")
    })
}
