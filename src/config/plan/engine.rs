//! What plays, from what was typed.

use std::path::PathBuf;

use hls_swarm_base::error::Failure;

use super::{Environment, safety, yes};
use crate::cli::run::{EngineKind, ProbeMode, SwarmArgs};
use crate::engine::{EngineConfig, command, ffmpeg};

/// Different reasons that are kept of one viewer by default.
const REASONS_KEPT: usize = 1000;

/// The engine and its configuration.
pub(crate) fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<EngineConfig, Failure> {
    match (args.engine, &args.player) {
        (Some(EngineKind::Ffmpeg), Some(_)) => {
            Err(Failure::usage("--player has no effect with --engine ffmpeg")
                .help("leave out one of them; --player implies --engine command"))
        }
        (Some(EngineKind::Command), None) => Err(Failure::usage("--engine command needs a player")
            .help("pass its command line, for example --player 'mpv --no-terminal {url}'")),
        (_, Some(text)) => player(args, text),
        (Some(EngineKind::Ffmpeg) | None, None) => Ok(EngineConfig::Ffmpeg(ffmpeg::Config {
            program: [&args.ffmpeg, &environment.viewer_ffmpeg]
                .into_iter()
                .find_map(Clone::clone)
                .unwrap_or_else(|| PathBuf::from("ffmpeg")),
            probe: safety::source(args)?,
            extra_arguments: args.ffmpeg_args.clone(),
            log_level: yes(args.ffmpeg_debug).then(|| args.stats_loglevel.unwrap_or_default()),
            reasons_kept: args.stats_buffer.map_or(REASONS_KEPT, |kept| kept as usize),
        })),
    }
}

fn player(args: &SwarmArgs, text: &str) -> Result<EngineConfig, Failure> {
    if args.probe == Some(ProbeMode::Off) {
        let what =
            "--player with --probe off: nothing would be measured, for only the probe knows such a player";
        return Err(Failure::usage(what).help("leave out --probe off"));
    }
    command::Config::parse(text).map(EngineConfig::Command)
}
