//! The threads of native viewers. Each has a runtime of its own, a buffer, names, and playlists; the main thread only
//! passes sessions on and waits for their ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::sizing::OWN_FILES;
use hls_swarm_client as client;
use hls_swarm_http::header_policy::HeaderPolicy;
use hls_swarm_http::site_rules;
use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_model::event::Event;
use hls_swarm_os::machine;
use hls_swarm_player as player;
use hls_swarm_player::interface::Output;

use super::contents::Contents;
use super::outbox::Outbox;
use super::playlists::Playlists;
use super::{Cmcd, Config, session};
use crate::engine::viewer::RunContext;
use crate::engine::{Session, SessionEnd};
use crate::network::Rule;

/// The smallest and the largest low-water mark, bytes. Above the largest, waking up costs nothing any more.
const MARKS: (u64, u64) = (8 << 10, 256 << 10);
/// How often a timer of the thread is tested.
const TICK: Duration = Duration::from_millis(250);

/// How long the last packets of connections may take.
const CLOSING: Duration = Duration::from_millis(50);

/// The number of threads: one processor is left to the main thread.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1))
}

/// How many bytes a socket collects before its viewer is woken: together the sockets of `viewers` hold a quarter of
/// the memory from which on the kernel is under TCP memory pressure, if that is known.
pub(super) fn mark(viewers: u32, pressure: Option<u64>) -> u32 {
    let (smallest, largest) = MARKS;
    let share = pressure.map_or(64 << 10, |pressure| pressure / 4 / u64::from(viewers.max(1)));
    u32::try_from(share.clamp(smallest, largest)).unwrap_or(u32::MAX)
}

/// Connections of one of `threads` threads from which on viewers keep only one each that is idle: three quarters of the
/// files that this process may open. The rest is for viewers that need two at the same time.
fn most_connections(open_files: Option<u64>, threads: usize) -> usize {
    let Some(open_files) = open_files else { return usize::MAX };
    let room = open_files.saturating_sub(OWN_FILES) / 4 * 3;
    usize::try_from(room).unwrap_or(usize::MAX) / threads.max(1)
}

/// A session to be played.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) session: Session,
    pub(super) config: Arc<player::Config>,
    pub(super) user_agent: String,
    pub(super) source: Option<IpAddr>,
    pub(super) cmcd: Cmcd,
    /// Bits per second that the viewer may read.
    pub(super) bits: Option<u64>,
    pub(super) started_ns: u64,
    pub(super) stop: CancellationToken,
}

/// What the sessions of one thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Rc<client::Shard>,
    pub(super) playlists: RefCell<Playlists>,
    /// The segments whose bodies are read.
    pub(super) contents: RefCell<Contents>,
    pub(super) outbox: Rc<Outbox>,
    /// Where the players write what is to be done, one step after the other.
    pub(super) outputs: RefCell<Vec<Output>>,
    /// The seed of the run.
    pub(super) seed: u64,
    /// The number of this process, since viewers have none of their own.
    pub(super) pid: u32,
}

type Jobs = mpsc::UnboundedSender<(Job, oneshot::Sender<SessionEnd>)>;

/// The threads. They end when this is dropped and their sessions have ended.
#[derive(Debug)]
pub(super) struct Shards {
    jobs: Vec<Jobs>,
}

/// What a thread is started with.
struct Settings {
    http: client::Http,
    verify_tls: bool,
    proxies: client::Proxies,
    timeout: Duration,
    resolve: Vec<Rule>,
    names_per_viewer: bool,
    mark: u32,
    most_connections: usize,
    headers: Vec<(String, String)>,
    policy: TargetPolicy,
    header_policy: HeaderPolicy,
    seed: u64,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
}

impl Shards {
    /// Starts the threads.
    pub(super) fn start(config: &Config, context: &RunContext) -> Self {
        let viewers = context.plan.load.own_max_viewers();
        let stream = context.plan.streams.first();
        let mark = mark(viewers, machine::tcp_memory_pressure());
        let most_connections = most_connections(machine::raise_open_files(0), threads());
        let jobs = (0..threads()).filter_map(|number| {
            let settings = Settings {
                http: config.http,
                verify_tls: stream.verify_tls,
                proxies: config.proxies.clone(),
                timeout: stream.timeout,
                resolve: stream.resolve.clone(),
                names_per_viewer: config.resolve_per_viewer,
                mark,
                most_connections,
                headers: stream.headers.clone(),
                policy: context.plan.target_policy.clone(),
                header_policy: stream.header_policy.clone(),
                seed: context.plan.seed.unwrap_or(0),
                events: context.events.clone(),
                stop: context.stop.clone(),
            };
            let (sender, jobs) = mpsc::unbounded_channel();
            let started =
                thread::Builder::new().name(format!("viewers-{number}")).spawn(move || run(settings, jobs));
            started.inspect_err(|error| tracing::error!(%error, "cannot start a thread for viewers")).ok()?;
            Some(sender)
        });
        Self { jobs: jobs.collect() }
    }

    /// Plays a session; `None` if its thread has ended.
    pub(super) async fn play(&self, job: Job) -> Option<SessionEnd> {
        let place = (job.session.viewer as usize).checked_rem(self.jobs.len())?;
        let (reply, end) = oneshot::channel();
        self.jobs.get(place)?.send((job, reply)).ok()?;
        end.await.ok()
    }
}

/// The thread: plays sessions until the main thread passes no more.
fn run(settings: Settings, mut jobs: mpsc::UnboundedReceiver<(Job, oneshot::Sender<SessionEnd>)>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "cannot start the runtime of a thread"),
    };
    let (events, stop, seed) = (settings.events.clone(), settings.stop.clone(), settings.seed);
    let closes_by_message = matches!(settings.http, client::Http::Http3 | client::Http::Auto);
    let outbox = Rc::new(Outbox::default());
    let shared = Rc::new(Shared {
        client: client::Shard::new(settings.into()),
        playlists: RefCell::default(),
        contents: RefCell::new(Contents::new(seed)),
        outbox: Rc::clone(&outbox),
        outputs: RefCell::default(),
        seed,
        pid: std::process::id(),
    });
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let (forwarded, sent) = (Rc::clone(&outbox), events.clone());
        let forwarding = tokio::task::spawn_local(async move { forwarded.forward(&sent).await });
        tokio::task::spawn_local(watch_timers(Rc::clone(&outbox), stop));
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                job = jobs.recv() => {
                    let Some((job, reply)) = job else { break };
                    let shared = Rc::clone(&shared);
                    sessions.spawn_local(async move {
                        let end = session::run(job, &shared).await;
                        shared.outbox.ended(reply, end);
                    });
                }
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a viewer panicked");
                    }
                }
            }
        }
        sessions.shutdown().await;
        if closes_by_message {
            // A QUIC connection ends with a packet, which the tasks of its connection send.
            tokio::time::sleep(CLOSING).await;
        }
        forwarding.abort();
        outbox.flush(&events).await;
    });
    drop(shared);
    // A lookup that hangs in the resolver must not delay the end.
    runtime.shutdown_background();
}

/// Measures how late the timers of this thread fire, until `stop`.
async fn watch_timers(outbox: Rc<Outbox>, stop: CancellationToken) {
    loop {
        let due = Instant::now() + TICK;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
        }
        let late = Instant::now().saturating_duration_since(due);
        outbox.push(Event::Lag { nanos: u64::try_from(late.as_nanos()).unwrap_or(u64::MAX) });
    }
}

impl From<Settings> for client::Settings {
    fn from(settings: Settings) -> Self {
        let Settings {
            http,
            verify_tls,
            proxies,
            timeout,
            resolve,
            names_per_viewer,
            mark,
            most_connections,
            headers,
            policy,
            header_policy,
            ..
        } = settings;
        Self {
            http,
            trust: if verify_tls { client::Trust::Verified } else { client::Trust::Anyone },
            proxies,
            timeout,
            policy: policy_of(policy, header_policy, resolve.clone()),
            resolve,
            names_per_viewer,
            mark,
            most_connections,
            headers,
        }
    }
}

/// The target policy, asked once per host, and the policy of secret headers.
fn policy_of(policy: TargetPolicy, header_policy: HeaderPolicy, rules: Vec<Rule>) -> client::Policy {
    let known = RefCell::new(HashMap::<String, Result<(), String>>::new());
    Box::new(move |url| {
        header_policy.check_url(url).map_err(|failure| failure.chain())?;
        let host = url.host_str().unwrap_or_default();
        if let Some(answer) = known.borrow().get(host) {
            return answer.clone();
        }
        let answer = site_rules::check(&policy, url, &rules).map_err(|failure| failure.chain());
        known.borrow_mut().insert(host.to_owned(), answer.clone());
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_shrinks_with_the_number_of_viewers() {
        assert_eq!(mark(10, Some(1 << 30)), 256 << 10);
        assert_eq!(mark(10_000, Some(1 << 30)), (1 << 30) / 4 / 10_000);
        assert_eq!(mark(1_000_000, Some(1 << 30)), 8 << 10);
        assert_eq!(mark(10, None), 64 << 10);
    }
}
