//! The origin of the demo: a process of its own, so that serving does not delay the viewers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, timeout};

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Child, Program, StopTimeouts};

use super::{path_with, say};
use crate::engine::ffmpeg::detect::is_program;

/// Longest time until an origin must be ready; a slow machine encodes the loop slowly.
const READY: Duration = Duration::from_secs(120);
/// How often a line shows that the origin still starts.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// The flags that both kinds of origin get.
const FLAGS: [&str; 4] = ["--port", "0", "--log-level", "warn"];

/// An origin that is ready.
#[derive(Debug)]
pub(super) struct Origin {
    child: Child,
    url: String,
}

/// What to start.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    program: PathBuf,
    arguments: Vec<&'static str>,
    /// A description for the user.
    what: String,
    is_embedded: bool,
}

impl Origin {
    /// Starts an origin: `hls-origin` with FFmpeg and nginx, or, where one of them is missing or does not work, the
    /// embedded stream.
    ///
    /// # Errors
    /// No origin starts.
    pub(super) async fn start(guard: &Arc<Guard>, folders: &[PathBuf]) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(|error| {
            Failure::preflight("cannot find the file of this program").caused_by(error).help("mount /proc")
        })?;
        let first = choose(&own, folders);
        say(&first.what);
        match start(&first, guard, folders).await {
            Err(failure) if !first.is_embedded => {
                say(&format!("the origin did not start: {}", failure.chain()));
                let second = embedded(&own, "the one with FFmpeg and nginx does not start here");
                say(&second.what);
                start(&second, guard, folders).await
            }
            started => started,
        }
    }

    /// The address of its stream.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the origin.
    pub(super) async fn stop(mut self) {
        self.child.stop(StopTimeouts::default()).await;
    }
}

/// The origin to start first.
fn choose(own: &Path, folders: &[PathBuf]) -> Choice {
    let beside: Vec<PathBuf> =
        own.parent().map(Path::to_owned).into_iter().chain(folders.iter().cloned()).collect();
    let missing: Vec<&str> =
        ["ffmpeg", "nginx"].into_iter().filter(|name| find(name, folders).is_none()).collect();
    match (find("hls-origin", &beside), missing.is_empty()) {
        (None, _) => embedded(own, "hls-origin is not installed"),
        (Some(_), false) => embedded(own, &format!("{} is not installed", missing.join(" and "))),
        (Some(program), true) => Choice {
            what: format!(
                "starting the test origin, {}, with FFmpeg and nginx (its first start encodes a loop of 8 s)",
                program.display()
            ),
            program,
            arguments: FLAGS.to_vec(),
            is_embedded: false,
        },
    }
}

/// This program once more, which contains the embedded origin.
fn embedded(own: &Path, because: &str) -> Choice {
    Choice {
        program: own.to_owned(),
        arguments: vec!["demo", "--serve"],
        what: format!("starting the embedded test origin, because {because}"),
        is_embedded: true,
    }
}

async fn start(choice: &Choice, guard: &Arc<Guard>, folders: &[PathBuf]) -> Result<Origin, Failure> {
    let mut program = Program::new(&choice.program, choice.arguments.iter().copied());
    program.environment.push(("PATH".into(), path_with(folders)));
    let mut child = program.start(guard).map_err(|error| {
        Failure::preflight(format!("cannot start {}", choice.program.display()))
            .caused_by(error)
            .help("check that the file can be executed")
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // The origin's own messages are printed until it is ready, and logged from then on.
    tokio::spawn(pass_on(stderr));
    let mut lines = stdout.map(|stdout| BufReader::new(stdout).lines());
    let began = Instant::now();
    let ready = async {
        loop {
            tokio::select! {
                url = ready(&mut lines) => return url,
                () = sleep(SIGN_OF_LIFE) => say(&format!("still starting ({} s)", began.elapsed().as_secs())),
            }
        }
    };
    let url = match timeout(READY, ready).await {
        Ok(Some(url)) => url,
        Ok(None) => {
            let exit = child.stop(StopTimeouts::default()).await;
            return Err(not_ready(&format!("ended with {exit} before it was ready")));
        }
        Err(_) => {
            child.stop(StopTimeouts::default()).await;
            return Err(not_ready(&format!("is not ready after {} s", READY.as_secs())));
        }
    };
    say(&format!("origin ready: {url}"));
    tokio::spawn(discard(lines));
    Ok(Origin { child, url })
}

fn not_ready(why: &str) -> Failure {
    Failure::preflight(format!("the test origin {why}"))
        .help("see its messages above; `hls-origin --port 0` starts it alone")
}

/// Reads up to the READY line; returns its URL, or nothing if the output ends before.
async fn ready(lines: &mut Option<Lines<BufReader<Receiver>>>) -> Option<String> {
    while let Ok(Some(line)) = lines.as_mut()?.next_line().await {
        if let Some(url) = line.strip_prefix("READY ") {
            return Some(url.trim().to_owned());
        }
    }
    None
}

/// Reads what is left of an output, so that its writer never waits.
async fn discard(lines: Option<Lines<BufReader<Receiver>>>) {
    let Some(mut lines) = lines else { return };
    while let Ok(Some(_)) = lines.next_line().await {}
}

/// Logs the messages of the origin; before there is a log, they go to standard error.
async fn pass_on(output: Option<impl AsyncRead + Unpin>) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if tracing::enabled!(tracing::Level::WARN) {
            tracing::warn!("origin: {line}");
        } else {
            say(&format!("origin: {line}"));
        }
    }
}

/// The program `name` in the first of `folders` that has it.
pub(super) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| is_program(file))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_embedded_origin_serves_where_a_program_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("hls-swarm");
        let folders = [folder.path().to_owned()];
        let add = |name: &str| {
            let file = folder.path().join(name);
            write(&file, "").unwrap();
            set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        };
        let says = |what: &str| {
            let choice = choose(&own, &folders);
            assert!(choice.is_embedded && choice.what.contains(what), "{choice:?}");
            assert_eq!(choice.program, own);
        };
        says("hls-origin is not installed");
        add("hls-origin");
        says("ffmpeg and nginx is not installed");
        add("ffmpeg");
        says("because nginx is not installed");
        add("nginx");
        let choice = choose(&own, &folders);
        assert!(!choice.is_embedded && choice.program.ends_with("hls-origin"), "{choice:?}");
    }
}
