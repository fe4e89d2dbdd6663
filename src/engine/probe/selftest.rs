//! The probe's self-test: whether the probe sees what a player does on the network, and whether the player works with it.
//!
//! That the probe was loaded proves little, because a wrapper script may load it and then start a static binary. So the
//! player gets the URL of a port that refuses connections, and the probe has to report the refusal.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::listener::UnusedPort;
use hls_swarm_os::process::{self, Captured, Confinement, Program, capture, spawn_failed};
use hls_swarm_probe::record::{Frame, Record, flag, kind};

use super::object::ProbeObject;
use super::pipe::{ProbePipe, ProbeReader};
use super::{Concealed, Probe};
use crate::network::Rule;

/// Time for a refused connection: a tenth of a second, or one or two seconds on a loaded machine.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for a short play of the stream, which takes a few round trips.
const TLS_TIMEOUT: Duration = Duration::from_secs(6);
/// How long to wait for records. Those written before the player ended are in the pipe already, but readiness takes a
/// moment.
const SETTLE: Duration = Duration::from_millis(100);
/// A name that no resolver knows (RFC 6761, 6.4).
const UNKNOWN_NAME: &str = "self-test.invalid";

/// The result of the self-test.
#[derive(Debug)]
pub enum SelfTest {
    /// The probe sees everything.
    Passed(Probe, ProbeReader),
    /// The player works, but the probe does not see what it does; the failure has the reason.
    Unavailable(Failure),
    /// The player crashes when it opens a connection, with or without the probe.
    PlayerFailed(Failure),
}

/// The player under test.
pub struct Subject<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments for a URL that is played.
    pub arguments: &'a dyn Fn(&str) -> Vec<String>,
    /// Arguments for a short play of the https stream, where there is one: only that shows whether the probe
    /// sees into the player's TLS library.
    pub tls: Option<Concealed>,
    /// What viewers may do.
    pub confinement: &'a Confinement,
    /// The probe's settings for the first viewer.
    pub network: Option<String>,
    /// Whether rules for names are in effect; then the test uses a name, too.
    pub resolves: bool,
    /// Whether the player is not FFmpeg; then it may wait for the user when it cannot play, and use any TLS library.
    pub is_unknown: bool,
    /// Help if the program does not work.
    pub other_program: &'static str,
    /// Help if the probe cannot be used with it.
    pub loadable_program: &'static str,
}

/// Tests the probe with a player.
///
/// # Errors
/// The operating system refuses a pipe, a memory file or a process.
pub async fn run(subject: Subject<'_>, guard: &Arc<Guard>) -> Result<SelfTest, Failure> {
    // Bound and not listening: connections are refused, and no other program gets the port meanwhile.
    let socket = UnusedPort::new()?;
    let mut plain = Program::new(subject.program, (subject.arguments)(&url(&socket.address())));
    plain.confinement = Some(subject.confinement.clone());
    // The port is on this machine: a proxy would answer in its place.
    plain.environment.push(("no_proxy".into(), "*".into()));
    let shown = subject.program.display();
    if process::is_static(subject.program) == Some(true) {
        let why = format!("the socket probe cannot be loaded: {shown} is statically linked");
        return Ok(subject.without_probe(&plain, guard, why).await);
    }

    let object = ProbeObject::new()?;
    if let Some(path) = object.path() {
        guard.watch_directory(path);
    }
    let (pipe, mut reader) = ProbePipe::new()?;
    let probe = Probe { object, pipe, playlists: reader.playlists() };
    let mut probed = plain.clone();
    let mut rule = None;
    if subject.resolves {
        let (address, port) = (socket.address().ip(), socket.address().port());
        rule = Some(
            Rule { host: UNKNOWN_NAME.to_owned(), port: None, addresses: vec![address] }.probe_setting(),
        );
        let by_name = (subject.arguments)(&url(&format_args!("{UNKNOWN_NAME}:{port}")));
        probed.arguments = by_name.into_iter().map(Into::into).collect();
    }
    probe.attach(&mut probed, 0, 1, rule);
    let answer = ask_briefly(&probed, guard, REFUSAL_TIMEOUT).await;
    let records = records(&mut reader).await;
    let refused =
        |record: &Record| record.kind == kind::CONNECT_FAILED && record.peer_port == socket.address().port();
    if !records.iter().any(refused) {
        let why = why_unseen(subject.program, answer.as_ref().ok(), &records);
        return Ok(subject.without_probe(&plain, guard, why).await);
    }
    if let Some(Concealed { arguments, variables }) = &subject.tls {
        let mut playing = Program::new(subject.program, arguments);
        playing.confinement = Some(subject.confinement.clone());
        playing.environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
        probe.attach(&mut playing, 0, 1, subject.network.clone());
        // Whether the stream can be played is not the question here.
        drop(ask_briefly(&playing, guard, TLS_TIMEOUT).await);
        let records = self::records(&mut reader).await;
        if records.iter().any(|record| record.has(flag::HIDDEN)) {
            let why = format!("the socket probe cannot see into the TLS library linked into {shown}");
            return Ok(subject.unavailable(why));
        }
        let seen = |record: &Record| record.kind == kind::EXCHANGE && record.has(flag::TLS);
        if subject.is_unknown && !records.iter().any(seen) {
            let why = format!(
                "the socket probe saw no request of {shown} over https: the player cannot open the stream (does it \
                 trust the certificate?), or the probe cannot see into its TLS library"
            );
            return Ok(subject.unavailable(why));
        }
    }
    Ok(SelfTest::Passed(probe, reader))
}

fn url(authority: &dyn std::fmt::Display) -> String {
    format!("http://{authority}/self-test.m3u8")
}

impl Subject<'_> {
    fn unavailable(&self, why: String) -> SelfTest {
        SelfTest::Unavailable(Failure::preflight(why).help(self.loadable_program))
    }

    /// The result if the probe does not see the player: tests whether the player itself handles a refused connection.
    async fn without_probe(&self, plain: &Program, guard: &Arc<Guard>, why: String) -> SelfTest {
        let failure = match ask_briefly(plain, guard, REFUSAL_TIMEOUT).await {
            Ok(Captured { exit: ending @ ProcessExit::Signaled(_), .. }) => {
                let program = self.program.display();
                Failure::preflight(format!("{program} died of {ending} when it opened a connection"))
                    .help(self.other_program)
            }
            Err(error) if !self.is_unknown || error.kind() != ErrorKind::TimedOut => {
                spawn_failed(self.program, error, self.other_program)
            }
            Ok(_) | Err(_) => return self.unavailable(why),
        };
        SelfTest::PlayerFailed(failure)
    }
}

async fn ask_briefly(program: &Program, guard: &Arc<Guard>, timeout: Duration) -> std::io::Result<Captured> {
    capture(program, guard, 1 << 16, timeout).await
}

async fn records(reader: &mut ProbeReader) -> Vec<Record> {
    let mut all = Vec::new();
    while let Ok(Ok(batch)) = tokio::time::timeout(SETTLE, reader.next()).await {
        all.extend(batch.frames().filter_map(|frame| match frame {
            Frame::Record(record) => Some(record),
            Frame::Body(_) => None,
        }));
        if batch.ended {
            break;
        }
    }
    all
}

fn why_unseen(program: &Path, answer: Option<&Captured>, records: &[Record]) -> String {
    let program = program.display();
    if records.iter().any(|record| record.kind == kind::HELLO) {
        return format!(
            "the socket probe does not see what {program} does: does a wrapper start a statically linked binary?"
        );
    }
    let stderr = answer.map(|answer| String::from_utf8_lossy(&answer.stderr)).unwrap_or_default();
    match stderr.lines().find(|line| line.contains("ld.so") || line.contains("preload")) {
        Some(line) => format!("the socket probe cannot be loaded into {program}: {}", line.trim()),
        None => format!("the socket probe was not loaded into {program}"),
    }
}
