//! The viewer engine and its configuration.

use std::path::PathBuf;

use hls_swarm_base::error::Failure;

use super::{Environment, safety};
use crate::cli::run::{EngineKind, ProbeMode, RunArgs};
use crate::engine::{EngineConfig, command, ffmpeg};

/// The engine and its configuration.
pub(crate) fn resolve(args: &RunArgs, environment: &Environment) -> Result<EngineConfig, Failure> {
    let viewers = &args.viewers;
    match (viewers.engine, &viewers.player) {
        (Some(EngineKind::Ffmpeg), Some(_)) => {
            Err(Failure::usage("--player has no effect with --engine ffmpeg")
                .help("leave out one of them; --player implies --engine command"))
        }
        (Some(EngineKind::Command), None) => Err(Failure::usage("--engine command needs a player")
            .help("pass its command line, for example --player 'mpv --no-terminal {url}'")),
        (_, Some(text)) => player(args, text),
        (Some(EngineKind::Ffmpeg) | None, None) => Ok(EngineConfig::Ffmpeg(ffmpeg::Config {
            program: [&viewers.ffmpeg, &environment.viewer_ffmpeg]
                .into_iter()
                .find_map(Clone::clone)
                .unwrap_or_else(|| PathBuf::from("ffmpeg")),
            probe: safety::source(args)?,
            extra_arguments: viewers.ffmpeg_args.clone(),
            log_level: viewers.ffmpeg_debug.then_some(viewers.stats_loglevel),
            reasons_kept: viewers.stats_buffer as usize,
        })),
    }
}

fn player(args: &RunArgs, text: &str) -> Result<EngineConfig, Failure> {
    if args.viewers.probe == ProbeMode::Off {
        let what = "--player with --probe off: nothing would be measured, because only the probe can measure such a player";
        return Err(Failure::usage(what).help("leave out --probe off"));
    }
    command::Config::parse(text).map(EngineConfig::Command)
}
