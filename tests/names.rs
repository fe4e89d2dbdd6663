//! Name lookups of native viewers, against a resolver of the test: once per thread or once per viewer, how long they
//! take, and what a resolver that fails does. In a network namespace of the test, where `/etc/resolv.conf` names that
//! resolver.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hls_swarm_test_support::program::program;
use hls_swarm_test_support::publisher::packets;
use hls_swarm_test_support::server::{Answer, Server};
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

const VIEWERS: u64 = 12;
/// How long the slow resolver takes.
const DELAY: Duration = Duration::from_millis(150);
/// How long the failing resolver fails.
const FAILS_FOR: Duration = Duration::from_secs(6);
/// How long the failing resolver takes to refuse.
const FAILS_AFTER: Duration = Duration::from_millis(80);
/// How long a response may be used: not at all. The viewers do not learn it.
const TTL: [u8; 4] = [0; 4];

const A: u16 = 1;

/// What a resolver does, and has done.
#[derive(Debug, Default)]
struct State {
    fails: AtomicBool,
    stops: AtomicBool,
    /// Queries for IPv4 addresses that it has answered, and those that it has refused.
    answered: AtomicU64,
    refused: AtomicU64,
}

/// A resolver at 127.0.0.1 that knows one address for every name, and takes `delay` to tell it.
struct Resolver {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

impl Resolver {
    fn start(delay: Duration) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let mut query = [0; 512];
            while !shared.stops.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut query) else { continue };
                let fails = shared.fails.load(Ordering::Relaxed);
                let (response, is_ipv4) = response(&query[..length], fails);
                let counter = if fails { &shared.refused } else { &shared.answered };
                counter.fetch_add(u64::from(is_ipv4), Ordering::Relaxed);
                let socket = socket.try_clone().unwrap();
                let delay = if fails { FAILS_AFTER } else { delay };
                thread::spawn(move || {
                    thread::sleep(delay);
                    let _ = socket.send_to(&response, peer);
                });
            }
        });
        Self { state, thread }
    }

    fn fail(&self, fails: bool) {
        self.state.fails.store(fails, Ordering::Relaxed);
    }

    /// Stops it; the queries that it has answered, and those that it has refused.
    fn queries(self) -> (u64, u64) {
        self.state.stops.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        (self.state.answered.load(Ordering::Relaxed), self.state.refused.load(Ordering::Relaxed))
    }
}

/// The response to a query (RFC 1035, 4.1), and whether it asks for IPv4 addresses.
fn response(query: &[u8], fails: bool) -> (Vec<u8>, bool) {
    const HEADER: usize = 12;
    let name = query[HEADER..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[HEADER..HEADER + name + 4];
    let is_ipv4 = question[name..name + 2] == A.to_be_bytes();
    let answers = u8::from(is_ipv4 && !fails);
    // Response, recursion desired and available; SERVFAIL or NOERROR.
    let flags = [0x81, if fails { 0x82 } else { 0x80 }];
    let mut response = [&query[..2], &flags, &[0, 1, 0, answers, 0, 0, 0, 0], question].concat();
    if answers > 0 {
        // The name of the question, type A, class IN.
        response.extend([0xC0, HEADER as u8, 0, 1, 0, 1]);
        response.extend([&TTL[..], &[0, 4], &Ipv4Addr::LOCALHOST.octets()].concat());
    }
    (response, is_ipv4)
}

/// Serves a VOD of a minute, and counts the requests for segments.
fn server(segments: &Arc<AtomicU64>) -> Server {
    let segments = Arc::clone(segments);
    let segment = packets(4_000);
    let entries: String = (0..30).map(|number| format!("#EXTINF:2.000,\ns{number}.ts\n")).collect();
    let list =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n{entries}#EXT-X-ENDLIST\n");
    Server::start(move |target, _| match target.ends_with(".m3u8") {
        true => Answer::ok("application/vnd.apple.mpegurl", list.as_bytes()),
        false => {
            segments.fetch_add(1, Ordering::Relaxed);
            Answer::ok("video/mp2t", &segment)
        }
    })
}

/// Viewers of a stream that has a name.
fn swarm(server: &Server, arguments: &[&str]) -> Swarm {
    let url = format!("http://stream.test:{}/vod.m3u8", server.port);
    let viewers = VIEWERS.to_string();
    let common = ["--engine", "native", "--clients", &viewers, "--error-storm", "off"];
    Swarm::new(&[&common[..], arguments, &[url.as_str()]].concat())
}

/// Runs viewers against the slow resolver; returns the outcome, and the queries that were answered.
fn slow(arguments: &[&str]) -> (Outcome, u64) {
    let (server, resolver) = (server(&Arc::default()), Resolver::start(DELAY));
    let common = ["--duration", "8s", "--ramp-rate", "100"];
    let outcome = swarm(&server, &[&common[..], arguments].concat()).run();
    (outcome, resolver.queries().0)
}

/// The lookups of viewers that are in the report.
fn lookups(outcome: &Outcome) -> u64 {
    outcome.number("/latency_seconds/dns/count") as u64
}

fn failed_lookups(outcome: &Outcome) -> u64 {
    let failures = outcome.report["connect_failures"].as_array().unwrap();
    let lookups = failures.iter().filter(|row| row["reason"].as_str().unwrap().starts_with("name lookup: "));
    lookups.map(|row| row["count"].as_u64().unwrap()).sum()
}

#[test]
fn lookups_against_a_slow_and_a_failing_resolver() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let resolver = file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n");
    let switch = file("nsswitch.conf", "hosts: files dns\n");
    assert!(Path::new("/etc/resolv.conf").exists(), "a file to mount the test's over");
    let mut unshare = program("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "ip link set lo up; mount --bind {resolver} /etc/resolv.conf; \
         test ! -e /etc/nsswitch.conf || mount --bind {switch} /etc/nsswitch.conf; exec \"$@\""
    );
    unshare.args(["--net", "--mount", "sh", "-ec", &script, "sh"]).arg(std::env::current_exe().unwrap());
    unshare.args(["--ignored", "--exact", "names::in_a_namespace", "--test-threads=1", "--nocapture"]);
    let output = unshare.env("NAMES_NAMESPACE", "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    assert!(said.concat().contains("1 passed"), "{}", said.concat());
}

/// Not a test by itself: what [`lookups_against_a_slow_and_a_failing_resolver`] starts.
#[test]
#[ignore = "needs the namespace that another test makes"]
fn in_a_namespace() {
    if std::env::var_os("NAMES_NAMESPACE").is_none() {
        return;
    }
    let threads = thread::available_parallelism().map_or(1, |count| count.get().saturating_sub(1).max(1));

    // Preflight and the viewers of each thread ask once.
    let (outcome, answered) = slow(&[]);
    outcome.assert_judged(0, "pass");
    assert!((1..=threads as u64).contains(&lookups(&outcome)), "{} lookups", lookups(&outcome));
    assert!(answered < VIEWERS, "{answered} queries");

    // Each viewer asks, once: it uses the answer for its other connections.
    let (outcome, answered) = slow(&["--resolve-per-viewer"]);
    outcome.assert_judged(0, "pass");
    assert_eq!(lookups(&outcome), VIEWERS);
    assert!((VIEWERS..VIEWERS * 2).contains(&answered), "{answered} queries");
    let delay = DELAY.as_secs_f64();
    let measured = |figure: &str| outcome.number(&format!("/latency_seconds/{figure}"));
    // The median of viewers that ask at the same time; a busy machine adds to it.
    assert!((delay..delay + 1.0).contains(&measured("dns/p50")), "{} s", measured("dns/p50"));
    assert!(measured("startup/p50") >= delay, "startup includes the lookup: {} s", measured("startup/p50"));

    // A resolver that fails while most viewers begin: every failed lookup is counted, and viewers play once it is over.
    // One plays before, because a run in which no viewer ever plays ends early.
    let segments = Arc::default();
    let (server, resolver) = (server(&segments), Resolver::start(Duration::ZERO));
    let arguments = ["--duration", "24s", "--ramp-rate", "2", "--resolve-per-viewer"];
    let running = swarm(&server, &arguments).start();
    eventually("a viewer plays", Duration::from_secs(30), || {
        (segments.load(Ordering::Relaxed) > 0).then_some(())
    });
    resolver.fail(true);
    thread::sleep(FAILS_FOR);
    resolver.fail(false);
    let outcome = running.end();
    let (_, refused) = resolver.queries();
    let failed = failed_lookups(&outcome);
    assert!(failed >= VIEWERS / 2 && failed <= refused, "{failed} failures of {refused} refused queries");
    assert_eq!(outcome.number("/errors/connect"), failed as f64, "{}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/played"), VIEWERS as f64, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("name lookup: "), "{}", outcome.stdout);
    // Each viewer makes its lookups itself, and the resolver takes its time to refuse one.
    let measured = |figure: &str| outcome.number(&format!("/latency_seconds/dns_failed/{figure}"));
    assert_eq!(measured("count"), failed as f64, "{}", outcome.stdout);
    let least = FAILS_AFTER.as_secs_f64();
    assert!((least..least + 1.0).contains(&measured("p50")), "{} s", measured("p50"));
}
