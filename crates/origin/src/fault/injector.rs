//! The fault injector: the active faults together with randomness, past playlists, and processes to kill.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;

use super::playlist_history::{PlaylistHistory, normalized};
use crate::exporter::origin::FaultSnapshot;
use crate::fault::active::{ActiveFaults, Decision};
use crate::fault::{Fault, FaultKind, KillTarget};

/// Kills one process on request of a fault.
#[derive(Debug, Default)]
pub(crate) struct KillSwitch {
    request: Notify,
    down: Mutex<Option<Duration>>,
}

impl KillSwitch {
    fn trigger(&self, down: Duration) {
        // A process that is not running now is not killed later.
        self.request.notify_waiters();
        *lock(&self.down) = Some(down);
    }

    /// Waits until the process is to be killed.
    pub(crate) async fn triggered(&self) {
        *lock(&self.down) = None;
        self.request.notified().await;
    }

    /// The time for which the process must stay down, if a fault has killed it.
    pub(crate) fn take_down_time(&self) -> Option<Duration> {
        lock(&self.down).take()
    }
}

/// The maximum number of active faults; each request is compared with all of them.
const MAX_FAULTS: usize = 1000;

/// Decides about requests and kills processes.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    active: Mutex<ActiveFaults>,
    random: Mutex<fastrand::Rng>,
    /// Earlier versions of the playlists.
    pub(crate) playlists: PlaylistHistory,
    kill_switches: Mutex<Vec<(KillTarget, Arc<KillSwitch>)>>,
    kills: Mutex<HashMap<u64, CancellationToken>>,
    /// Whether there are processes that can be killed.
    has_processes: bool,
    /// Cancelled when the origin is ready; no faults are injected before.
    ready: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultInjector {
    pub(crate) fn new(seed: u64, has_processes: bool, ready: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            active: Mutex::new(ActiveFaults::new(seed)),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            playlists: PlaylistHistory::default(),
            kill_switches: Mutex::default(),
            kills: Mutex::default(),
            has_processes,
            ready,
        })
    }

    /// Registers a process that faults may kill.
    pub(crate) fn add_target(&self, target: KillTarget, kill_switch: Arc<KillSwitch>) {
        lock(&self.kill_switches).push((target, kill_switch));
    }

    /// Decides what happens to a request for `path`.
    pub(crate) fn decide(&self, path: &str) -> Decision {
        if !self.ready.is_cancelled() {
            return Decision::NONE;
        }
        let mut random = lock(&self.random);
        // nginx serves one file under many spellings of its path.
        lock(&self.active).decide(&normalized(path), &mut || random.f64())
    }

    /// Activates a fault and returns its number.
    ///
    /// # Errors
    /// The fault kills a process, and the embedded origin has none; or there are too many faults.
    pub(crate) fn add(self: &Arc<Self>, fault: Fault) -> Result<u64, Failure> {
        if lock(&self.active).faults().len() >= MAX_FAULTS {
            return Err(Failure::usage(format!("fault \"{fault}\": there are {MAX_FAULTS} faults already"))
                .help("remove some: hls-origin fault clear"));
        }
        let FaultKind::Kill { target, every, down } = fault.kind else {
            return Ok(lock(&self.active).add(fault));
        };
        if !self.has_processes {
            return Err(Failure::usage(format!(
                "fault \"{fault}\": the embedded origin has no process to kill"
            ))
            .help("omit --embedded, or choose another fault"));
        }
        let id = lock(&self.active).add(fault);
        let removed = CancellationToken::new();
        lock(&self.kills).insert(id, removed.clone());
        let injector = Arc::clone(self);
        tokio::spawn(async move {
            let work = async {
                injector.ready.cancelled().await;
                loop {
                    injector.kill(target, down);
                    lock(&injector.active).count_injection(id);
                    let Some(every) = every else { break };
                    tokio::time::sleep(every).await;
                }
            };
            tokio::select! {
                () = removed.cancelled() => {}
                () = work => drop(injector.remove(id)),
            }
        });
        Ok(id)
    }

    fn kill(&self, target: KillTarget, down: Duration) {
        for (_, kill_switch) in lock(&self.kill_switches).iter().filter(|(other, _)| *other == target) {
            kill_switch.trigger(down);
        }
    }

    /// Removes a fault; returns whether it was active.
    pub(crate) fn remove(&self, id: u64) -> bool {
        if let Some(removed) = lock(&self.kills).remove(&id) {
            removed.cancel();
        }
        let removed = lock(&self.active).remove(id).is_some();
        self.playlists.thaw(|frozen| frozen != id);
        removed
    }

    /// Removes all faults.
    pub(crate) fn clear(&self) {
        lock(&self.kills).drain().for_each(|(_, removed)| removed.cancel());
        lock(&self.active).clear();
        self.playlists.thaw(|_| false);
    }

    /// The seed of the random decisions.
    pub(crate) fn seed(&self) -> u64 {
        lock(&self.active).seed()
    }

    /// The active faults, for the control API and the metrics.
    pub(crate) fn list(&self) -> Vec<FaultSnapshot> {
        let active = lock(&self.active);
        let faults = active.faults().iter().map(|active| FaultSnapshot {
            id: active.id,
            spec: active.fault.to_string(),
            injected: active.injected,
        });
        faults.collect()
    }
}
