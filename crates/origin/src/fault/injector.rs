//! The faults that are on: chance, memory and processes that the pure book of them does not have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;

use super::playlist_history::Playlists;
use crate::exporter::origin;
use crate::fault::active::{Book, Decision};
use crate::fault::{Fault, KillTarget, Kind};

/// By this a process is killed on purpose.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    now: Notify,
    down: Mutex<Option<Duration>>,
}

impl Strike {
    fn deal(&self, down: Duration) {
        // Who is not alive now is not struck later.
        self.now.notify_waiters();
        *lock(&self.down) = Some(down);
    }

    /// Comes back when the process is to be killed.
    pub(crate) async fn dealt(&self) {
        *lock(&self.down) = None;
        self.now.notified().await;
    }

    /// How long the process is to stay away, if it was struck.
    pub(crate) fn taken(&self) -> Option<Duration> {
        lock(&self.down).take()
    }
}

/// All faults of an origin.
#[derive(Debug)]
pub(crate) struct Faults {
    book: Mutex<Book>,
    chance: Mutex<fastrand::Rng>,
    /// Playlists that were served.
    pub(crate) playlists: Playlists,
    victims: Mutex<Vec<(KillTarget, Arc<Strike>)>>,
    deaths: Mutex<HashMap<u64, CancellationToken>>,
    /// Whether there are processes that can be killed.
    processes: bool,
    /// Cancelled at READY: before that nothing goes wrong on purpose.
    ready: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    pub(crate) fn new(seed: u64, processes: bool, ready: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::new(Book::new(seed)),
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            playlists: Playlists::default(),
            victims: Mutex::default(),
            deaths: Mutex::default(),
            processes,
            ready,
        })
    }

    /// A process that faults may kill.
    pub(crate) fn victim(&self, victim: KillTarget, strike: Arc<Strike>) {
        lock(&self.victims).push((victim, strike));
    }

    /// Decides about a request.
    pub(crate) fn decide(&self, path: &str) -> Decision {
        if !self.ready.is_cancelled() {
            return Decision::NONE;
        }
        let mut chance = lock(&self.chance);
        lock(&self.book).decide(path, &mut || chance.f64())
    }

    /// Turns a fault on and returns its number.
    ///
    /// # Errors
    /// It is about a process, and the embedded origin has none.
    pub(crate) fn add(self: &Arc<Self>, fault: Fault) -> Result<u64, Failure> {
        let Kind::Death { victim, every, down } = fault.kind else {
            return Ok(lock(&self.book).add(fault));
        };
        if !self.processes {
            return Err(Failure::usage(format!(
                "fault \"{fault}\": the embedded origin runs no other program"
            ))
            .help("leave --embedded out, or choose another fault"));
        }
        let id = lock(&self.book).add(fault);
        let off = CancellationToken::new();
        lock(&self.deaths).insert(id, off.clone());
        let faults = Arc::clone(self);
        tokio::spawn(async move {
            let work = async {
                faults.ready.cancelled().await;
                loop {
                    faults.kill(victim, down);
                    lock(&faults.book).strike(id);
                    let Some(every) = every else { break };
                    tokio::time::sleep(every).await;
                }
            };
            tokio::select! {
                () = off.cancelled() => {}
                () = work => drop(faults.remove(id)),
            }
        });
        Ok(id)
    }

    fn kill(&self, victim: KillTarget, down: Duration) {
        for (_, strike) in lock(&self.victims).iter().filter(|(other, _)| *other == victim) {
            strike.deal(down);
        }
    }

    /// Turns a fault off; false if it was not on.
    pub(crate) fn remove(&self, id: u64) -> bool {
        if let Some(off) = lock(&self.deaths).remove(&id) {
            off.cancel();
        }
        lock(&self.book).remove(id).is_some()
    }

    /// Turns all faults off.
    pub(crate) fn clear(&self) {
        lock(&self.deaths).drain().for_each(|(_, off)| off.cancel());
        lock(&self.book).clear();
    }

    /// What decides about chance.
    pub(crate) fn seed(&self) -> u64 {
        lock(&self.book).seed()
    }

    /// What is on.
    pub(crate) fn list(&self) -> Vec<origin::Fault> {
        let book = lock(&self.book);
        let shown = book.entries().iter().map(|entry| origin::Fault {
            id: entry.id,
            spec: entry.fault.to_string(),
            strikes: entry.strikes,
        });
        shown.collect()
    }
}
