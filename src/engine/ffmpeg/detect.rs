//! Asks the FFmpeg at hand what it can do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Program, capture, spawn_failed};

use crate::engine::ffmpeg::capability::{Capabilities, Detection};

/// The full list of options is 1.3 MB.
const LONGEST_ANSWER: usize = 8 << 20;
/// A loaded machine may need seconds for what takes a tenth of one.
const PATIENCE: Duration = Duration::from_secs(10);
/// The help for a binary that is of no use.
pub(crate) const OTHER_BINARY: &str =
    "install FFmpeg (Debian and Ubuntu: apt install ffmpeg), or pass --ffmpeg PATH";

/// What `ffmpeg` supports.
///
/// # Errors
/// It cannot be started, dies, hangs, or is no FFmpeg.
pub async fn capabilities(ffmpeg: &Path, guard: &Arc<Guard>) -> Result<Capabilities, Failure> {
    let mut interview = Detection::new();
    while let Some(question) = interview.next_question() {
        let program = Program::new(ffmpeg, question.iter().copied());
        let answer = capture(&program, guard, LONGEST_ANSWER, PATIENCE)
            .await
            .map_err(|error| spawn_failed(ffmpeg, error, OTHER_BINARY))?;
        if let hls_swarm_base::exit_status::ProcessExit::Signaled(_) = answer.exit {
            return Err(Failure::preflight(format!(
                "{} died of {} when asked what it supports",
                ffmpeg.display(),
                answer.exit
            ))
            .help(OTHER_BINARY));
        }
        interview.answer(answer.exit.is_success(), &answer.stdout, &answer.stderr);
    }
    interview.finish(&ffmpeg.display().to_string())
}
