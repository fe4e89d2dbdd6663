//! Asks the FFmpeg at hand what it can do, and tries the probe on it.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::pure::ffmpeg::capability::{Capabilities, Interview};
use crate::system::elf;
use crate::system::guard::Guard;
use crate::system::probe_object::ProbeObject;
use crate::system::probe_pipe::{ProbePipe, ProbeReader};
use crate::system::process::{Answer, Program, ask, cannot_run};
use crate::words::failure::Failure;
use crate::words::wire;

/// The full list of options is 1.3 MB.
const LONGEST_ANSWER: usize = 8 << 20;
/// A loaded machine may need seconds for what takes a tenth of one.
const PATIENCE: Duration = Duration::from_secs(10);
const DYNAMIC_BINARY: &str =
    "use an FFmpeg with shared libraries, or pass --probe off to accept inferred figures";
const OTHER_BINARY: &str = "install FFmpeg (Debian and Ubuntu: apt install ffmpeg), or pass --ffmpeg PATH";

/// What `ffmpeg` supports.
///
/// # Errors
/// It cannot be started, dies, hangs, or is no FFmpeg.
pub async fn capabilities(ffmpeg: &Path, guard: &Arc<Guard>) -> Result<Capabilities, Failure> {
    let mut interview = Interview::new();
    while let Some(question) = interview.next_question() {
        let program = Program::new(ffmpeg, question.iter().copied());
        let answer = ask(&program, guard, LONGEST_ANSWER, PATIENCE)
            .await
            .map_err(|error| cannot_run(ffmpeg, error, OTHER_BINARY))?;
        if let crate::words::ending::Ending::Signaled(_) = answer.ending {
            return Err(Failure::preflight(format!(
                "{} died of {} when asked what it supports",
                ffmpeg.display(),
                answer.ending
            ))
            .cure(OTHER_BINARY));
        }
        interview.answer(answer.ending.is_success(), &answer.stdout, &answer.stderr);
    }
    interview.finish(&ffmpeg.display().to_string())
}

/// The probe with its pipe, once it has been seen to work inside `ffmpeg`. `look` are the arguments
/// of a short look at an https stream: only that tells whether the probe sees into FFmpeg's TLS.
///
/// # Errors
/// Why it does not work: a static program, a set-uid program, a TLS library that is linked in…
pub async fn try_probe(
    ffmpeg: &Path,
    guard: &Arc<Guard>,
    look: Option<Vec<String>>,
) -> Result<(ProbeObject, ProbePipe, ProbeReader), Failure> {
    let object = ProbeObject::new()?;
    let (pipe, mut reader) = ProbePipe::new()?;
    let mut program = Program::new(ffmpeg, ["-hide_banner", "-loglevel", "error", "-version"]);
    let object_fd = object.fd().as_raw_fd();
    let already = std::env::var_os("LD_PRELOAD");
    program.environment = vec![
        ("LD_PRELOAD".into(), object.preload(object_fd, already.as_deref())),
        (wire::ENVIRONMENT.into(), format!("{}:0:1", pipe.fd()).into()),
    ];
    program.inherit = vec![pipe.fd(), object_fd];
    let answer = ask(&program, guard, 1 << 20, PATIENCE)
        .await
        .map_err(|error| cannot_run(ffmpeg, error, OTHER_BINARY))?;
    // The greeting may need a moment to be seen: readiness comes through the event loop.
    let greeted = tokio::time::timeout(Duration::from_millis(500), reader.next()).await;
    let greeted = matches!(greeted, Ok(Ok(batch)) if batch.records.iter().any(|record| record.what == wire::what::HELLO));
    let cannot = |why: String| Failure::preflight(why).cure(DYNAMIC_BINARY);
    if !greeted || !answer.ending.is_success() {
        return Err(cannot(why_not(ffmpeg, &answer)));
    }
    if let Some(look) = look {
        program.arguments = look.into_iter().map(Into::into).collect();
        // Whether the look itself succeeds is not the question; viewers will tell.
        drop(ask(&program, guard, 1 << 20, PATIENCE).await);
        if hidden(&mut reader).await {
            let program = ffmpeg.display();
            return Err(cannot(format!(
                "the socket probe cannot see into the TLS library linked into {program}"
            )));
        }
    }
    Ok((object, pipe, reader))
}

/// Whether a record in the pipe tells of TLS that the probe does not see into.
async fn hidden(reader: &mut ProbeReader) -> bool {
    let mut found = false;
    while let Ok(Ok(batch)) = tokio::time::timeout(Duration::from_millis(200), reader.next()).await {
        found |= batch.records.iter().any(|record| record.has(wire::flag::HIDDEN));
    }
    found
}

fn why_not(ffmpeg: &Path, answer: &Answer) -> String {
    let program = ffmpeg.display();
    if elf::is_static(ffmpeg) == Some(true) {
        return format!("the socket probe cannot be loaded: {program} is statically linked");
    }
    if !answer.ending.is_success() {
        return format!("the socket probe breaks {program}: {}", answer.ending);
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    match said.lines().find(|line| line.contains("ld.so") || line.contains("preload")) {
        Some(line) => format!("the socket probe cannot be loaded into {program}: {}", line.trim()),
        None => format!("the socket probe was not loaded into {program}"),
    }
}
