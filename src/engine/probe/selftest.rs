//! The trial: does the probe see what this FFmpeg does on the network, and does FFmpeg survive it?
//!
//! That the probe was loaded proves little: a wrapper script may carry it and start a static binary.
//! So FFmpeg is sent to a port where nobody listens, and the probe has to report the refusal.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_os::elf;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::listener::UnusedPort;
use hls_swarm_os::process::{Answer, Program, ask, spawn_failed};
use hls_swarm_probe::record::{Frame, NETWORK_ENVIRONMENT, Record, flag, what};

use crate::engine::ffmpeg::detect::OTHER_BINARY;
use crate::engine::probe::conceal::Concealed;
use crate::engine::probe::object::ProbeObject;
use crate::engine::probe::pipe::{ProbePipe, ProbeReader};
use crate::network::Rule;

/// A refused connection takes a tenth of a second, on a loaded machine one or two.
const PATIENCE: Duration = Duration::from_secs(4);
/// A short look at a stream takes a few round trips.
const LOOK_PATIENCE: Duration = Duration::from_secs(6);
/// Records that were written before FFmpeg ended are there at once; readiness takes a moment.
const SETTLE: Duration = Duration::from_millis(100);
/// A name that no resolver knows (RFC 6761, 6.4).
const NOBODY: &str = "trial.invalid";
const DYNAMIC_BINARY: &str =
    "use an FFmpeg with shared libraries, or pass --probe off to accept inferred figures";

/// How the trial came out.
#[derive(Debug)]
pub enum SelfTest {
    /// The probe sees everything.
    Seen(ProbeObject, ProbePipe, ProbeReader),
    /// FFmpeg works, but the probe does not see what it does; says why.
    Unseen(Failure),
    /// FFmpeg does not survive a connection, with or without the probe.
    Broken(Failure),
}

/// What the probe will have to change.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// What viewer 1 will be told.
    pub told: Option<String>,
    /// Whether names are to lead elsewhere: then the trial goes by a name that nobody has.
    pub resolve: bool,
}

/// Tries the probe on `ffmpeg`. `look` are the arguments of a short look at an https stream, and the
/// variables in which its secrets travel: only that tells whether the probe sees into FFmpeg's TLS.
///
/// # Errors
/// The operating system refuses a pipe, a memory file or a process.
pub async fn hold(
    ffmpeg: &Path,
    guard: &Arc<Guard>,
    look: Option<Concealed>,
    network: &Network,
) -> Result<SelfTest, Failure> {
    // Bound and not listening: connections are refused, and nobody else gets the port meanwhile.
    let socket = UnusedPort::new()?;
    let nowhere = format!("http://{}/trial.m3u8", socket.address());
    let arguments = ["-hide_banner", "-nostdin", "-loglevel", "error", "-i", &nowhere, "-f", "null", "-"];
    let plain = Program::new(ffmpeg, arguments);
    if elf::is_static(ffmpeg) == Some(true) {
        let why = format!("the socket probe cannot be loaded: {} is statically linked", ffmpeg.display());
        return Ok(broken(ffmpeg, &plain, guard).await.unwrap_or_else(|| unseen(why)));
    }

    let object = ProbeObject::new()?;
    if let Some(path) = object.path() {
        guard.watch_directory(path);
    }
    let (pipe, mut reader) = ProbePipe::new()?;
    let mut probed = plain.clone();
    let object_fd = object.fd().as_raw_fd();
    let already = std::env::var_os("LD_PRELOAD");
    probed.environment = vec![
        ("LD_PRELOAD".into(), object.preload(object_fd, already.as_deref())),
        (hls_swarm_probe::record::ENVIRONMENT.into(), format!("{}:0:1", pipe.fd()).into()),
    ];
    probed.inherit = vec![pipe.fd(), object_fd];
    let by_name = network.resolve.then(|| {
        let (address, port) = (socket.address().ip(), socket.address().port());
        let rule = Rule { host: NOBODY.to_owned(), port: None, addresses: vec![address] };
        probed.environment.push((NETWORK_ENVIRONMENT.into(), rule.told().into()));
        arguments.map(|word| {
            if word == nowhere { format!("http://{NOBODY}:{port}/trial.m3u8") } else { word.to_owned() }
        })
    });
    if let Some(by_name) = by_name {
        probed.arguments = by_name.into_iter().map(Into::into).collect();
    }
    let answer = attempt(&probed, guard, PATIENCE).await;
    let records = records(&mut reader).await;
    let refused =
        |record: &Record| record.what == what::CONNECT_FAILED && record.peer_port == socket.address().port();
    if !records.iter().any(refused) {
        let why = why_unseen(ffmpeg, answer.as_ref().ok(), &records);
        return Ok(broken(ffmpeg, &plain, guard).await.unwrap_or_else(|| unseen(why)));
    }
    if let Some(Concealed { words, variables }) = look {
        probed.arguments = words.into_iter().map(Into::into).collect();
        probed.environment.retain(|(name, _)| name.as_os_str() != NETWORK_ENVIRONMENT);
        probed.environment.extend(network.told.iter().map(|told| (NETWORK_ENVIRONMENT.into(), told.into())));
        probed.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        // Whether the look itself succeeds is not the question; viewers will tell.
        drop(attempt(&probed, guard, LOOK_PATIENCE).await);
        if self::records(&mut reader).await.iter().any(|record| record.has(flag::HIDDEN)) {
            let program = ffmpeg.display();
            return Ok(unseen(format!(
                "the socket probe cannot see into the TLS library linked into {program}"
            )));
        }
    }
    Ok(SelfTest::Seen(object, pipe, reader))
}

fn unseen(why: String) -> SelfTest {
    SelfTest::Unseen(Failure::preflight(why).help(DYNAMIC_BINARY))
}

async fn attempt(program: &Program, guard: &Arc<Guard>, patience: Duration) -> std::io::Result<Answer> {
    ask(program, guard, 1 << 16, patience).await
}

/// What is wrong with an FFmpeg that does not survive a refused connection even without the probe.
async fn broken(ffmpeg: &Path, plain: &Program, guard: &Arc<Guard>) -> Option<SelfTest> {
    let failure = match attempt(plain, guard, PATIENCE).await {
        Ok(Answer { ending: ending @ ProcessExit::Signaled(_), .. }) => {
            let program = ffmpeg.display();
            Failure::preflight(format!("{program} died of {ending} when it opened a connection"))
                .help(OTHER_BINARY)
        }
        Ok(_) => return None,
        Err(error) => spawn_failed(ffmpeg, error, OTHER_BINARY),
    };
    Some(SelfTest::Broken(failure))
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

fn why_unseen(ffmpeg: &Path, answer: Option<&Answer>, records: &[Record]) -> String {
    let program = ffmpeg.display();
    if records.iter().any(|record| record.what == what::HELLO) {
        return format!(
            "the socket probe does not see what {program} does: does a wrapper start a statically linked binary?"
        );
    }
    let said = answer.map(|answer| String::from_utf8_lossy(&answer.stderr)).unwrap_or_default();
    match said.lines().find(|line| line.contains("ld.so") || line.contains("preload")) {
        Some(line) => format!("the socket probe cannot be loaded into {program}: {}", line.trim()),
        None => format!("the socket probe was not loaded into {program}"),
    }
}
