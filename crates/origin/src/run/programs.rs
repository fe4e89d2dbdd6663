//! Detection of FFmpeg and nginx.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Captured, Program, capture, spawn_failed};

use crate::cli::OriginArgs;
use crate::nginx::Build;

const MAX_OUTPUT_BYTES: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The versions of FFmpeg and nginx.
#[derive(Debug)]
pub(crate) struct Programs {
    /// First line of `ffmpeg -version`.
    pub(crate) ffmpeg_version: String,
    /// The version and build options of nginx.
    pub(crate) nginx: Build,
}

impl Programs {
    pub(crate) async fn detect(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Self, Failure> {
        let (ffmpeg, nginx) = tokio::join!(
            query(&args.ffmpeg, "-version", "install FFmpeg, or pass --ffmpeg PATH", guard),
            Self::detect_nginx(args, guard),
        );
        let (ffmpeg, nginx) = (ffmpeg?, nginx?);
        let version = String::from_utf8_lossy(&ffmpeg.stdout);
        let version = version.lines().next().filter(|line| line.starts_with("ffmpeg version"));
        Ok(Self {
            ffmpeg_version: version
                .ok_or_else(|| not_the_program(&args.ffmpeg, "-version", "FFmpeg", &ffmpeg))?
                .to_owned(),
            nginx,
        })
    }

    /// The version and build options of nginx.
    pub(crate) async fn detect_nginx(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Build, Failure> {
        let answer = query(&args.nginx, "-V", "install nginx, or pass --nginx PATH", guard).await?;
        Build::parse(&String::from_utf8_lossy(&answer.stderr))
            .ok_or_else(|| not_the_program(&args.nginx, "-V", "nginx", &answer))
    }
}

async fn query(path: &Path, flag: &str, help: &str, guard: &Arc<Guard>) -> Result<Captured, Failure> {
    let program = Program::new(path, [flag]);
    capture(&program, guard, MAX_OUTPUT_BYTES, TIMEOUT).await.map_err(|error| spawn_failed(path, error, help))
}

fn not_the_program(path: &Path, flag: &str, expected: &str, answer: &Captured) -> Failure {
    let output = String::from_utf8_lossy(&answer.stderr);
    let output = output.lines().next().unwrap_or("nothing");
    Failure::preflight(format!(
        "{} is not {expected}: `{flag}` exited with {} and printed: {output}",
        path.display(),
        answer.exit
    ))
    .help(format!("pass --{} PATH", expected.to_lowercase()))
}
