//! The two programs the origin is made of: whether they are there, and which ones they are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Captured, Program, capture, spawn_failed};

use crate::cli::OriginArgs;
use crate::nginx::Build;

const ANSWER_BYTES: usize = 64 << 10;
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What FFmpeg and nginx say of themselves.
#[derive(Debug)]
pub(crate) struct Tools {
    /// First line of `ffmpeg -version`.
    pub(crate) ffmpeg_version: String,
    /// How nginx was built.
    pub(crate) nginx: Build,
}

impl Tools {
    pub(crate) async fn ask(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Self, Failure> {
        let (ffmpeg, nginx) = tokio::join!(
            question(&args.ffmpeg, "-version", "install FFmpeg, or pass --ffmpeg PATH", guard),
            Self::ask_nginx(args, guard),
        );
        let (ffmpeg, nginx) = (ffmpeg?, nginx?);
        let version = String::from_utf8_lossy(&ffmpeg.stdout);
        let version = version.lines().next().filter(|line| line.starts_with("ffmpeg version"));
        Ok(Self {
            ffmpeg_version: version
                .ok_or_else(|| stranger(&args.ffmpeg, "-version", "FFmpeg", &ffmpeg))?
                .to_owned(),
            nginx,
        })
    }

    /// How nginx was built.
    pub(crate) async fn ask_nginx(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Build, Failure> {
        let answer = question(&args.nginx, "-V", "install nginx, or pass --nginx PATH", guard).await?;
        Build::read(&String::from_utf8_lossy(&answer.stderr))
            .ok_or_else(|| stranger(&args.nginx, "-V", "nginx", &answer))
    }
}

async fn question(path: &Path, flag: &str, help: &str, guard: &Arc<Guard>) -> Result<Captured, Failure> {
    let program = Program::new(path, [flag]);
    capture(&program, guard, ANSWER_BYTES, ANSWER_TIME).await.map_err(|error| spawn_failed(path, error, help))
}

fn stranger(path: &Path, flag: &str, expected: &str, answer: &Captured) -> Failure {
    let said = String::from_utf8_lossy(&answer.stderr);
    let said = said.lines().next().unwrap_or("nothing");
    Failure::preflight(format!(
        "{} is not {expected}: `{flag}` ended with {} and said: {said}",
        path.display(),
        answer.exit
    ))
    .help(format!("pass --{} PATH", expected.to_lowercase()))
}
