//! The preflight checks of a player: the streams, settings that it does not support, and the probe.

use hls_swarm_base::error::Failure;

use super::{Config, PlayerCommand};
use crate::engine::probe::pipe::ProbeReader;
use crate::engine::probe::selftest::{self, SelfTest, Subject};
use crate::engine::probe::{Probe, conceal};
use crate::preflight::checklist::{Check, Finding, Preflight};
use crate::preflight::inspect_streams;

const OTHER_PROGRAM: &str = "install the player, or name another one with --player";
const LOADABLE_PROGRAM: &str =
    "use a player with shared libraries that the probe can see into (docs/players.md lists what was tried)";

/// The checks, in this order.
const CHECKS: &[Check<Preparation>] = &[
    Check { name: "stream", run: |preflight, _| Box::pin(inspect_streams(preflight)) },
    Check { name: "audio", run: |preflight, _| Box::pin(check_audio(preflight)) },
    Check { name: "player", run: |preflight, player| Box::pin(player.test_probe(preflight)) },
];

/// The results of the checks.
struct Preparation {
    config: Config,
    probe: Option<(Probe, ProbeReader)>,
    failure: Option<Failure>,
}

/// Runs the checks.
///
/// # Errors
/// The player does not work, or the probe does not see what it does: nothing would be measured.
pub(crate) async fn prepare(
    config: &Config,
    preflight: &mut Preflight<'_>,
) -> Result<(PlayerCommand, ProbeReader), Failure> {
    let mut preparation = Preparation { config: config.clone(), probe: None, failure: None };
    preflight.run(CHECKS, &mut preparation).await?;
    match (preparation.probe, preparation.failure) {
        (Some((probe, reader)), _) => Ok((PlayerCommand { config: preparation.config, probe }, reader)),
        (None, failure) => {
            Err(failure.unwrap_or_else(|| Failure::internal("the probe was not tested with the player")))
        }
    }
}

/// A player is given one URL, so separate audio needs the multivariant playlist.
async fn check_audio(preflight: &mut Preflight<'_>) -> Result<(), Failure> {
    if preflight.selections.iter().any(|(_, selection)| selection.audio.is_some()) {
        preflight.note(Finding::warning(
            "audio",
            "the audio of the selected variant has a playlist of its own, which --player cannot be given: it is \
             not played",
            "pass --variant all, which gives the player the multivariant playlist",
        ));
    }
    Ok(())
}

impl Preparation {
    /// Tests whether the probe sees what the player does.
    async fn test_probe(&mut self, preflight: &mut Preflight<'_>) -> Result<(), Failure> {
        let plan = preflight.plan;
        let rules = &plan.streams.first().resolve;
        let subject = Subject {
            program: &self.config.program,
            arguments: &|url| self.config.arguments(url),
            tls: preflight
                .encrypted()
                .map(|(_, selection)| conceal(&plan.secrets, self.config.arguments(&selection.address))),
            confinement: &plan.viewers.confinement,
            network: plan.network.probe_settings(plan.streams.first(), &plan.target_policy, None, 1),
            resolves: !rules.is_empty(),
            is_unknown: true,
            other_program: OTHER_PROGRAM,
            loadable_program: LOADABLE_PROGRAM,
        };
        match selftest::run(subject, preflight.guard).await? {
            SelfTest::Passed(probe, reader) => {
                let program = self.config.program.display();
                let text = format!("{program}; requests and bytes are measured inside each viewer");
                preflight.note(Finding::good("player", text));
                self.probe = Some((probe, reader));
            }
            SelfTest::Unavailable(failure) | SelfTest::PlayerFailed(failure) => {
                preflight.note(Finding::failed("player", &failure));
                self.failure = Some(failure);
            }
        }
        Ok(())
    }
}
