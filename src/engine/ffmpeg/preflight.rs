//! The preflight checks of FFmpeg: the binary, the streams, the probe, certificates, secrets.

use hls_swarm_base::error::Failure;
use hls_swarm_os::process;

use super::capability::Capabilities;
use super::detect::{self, OTHER_BINARY};
use super::{Config, Ffmpeg, argv};
use crate::cli::run::ProbeMode;
use crate::engine::probe::pipe::ProbeReader;
use crate::engine::probe::selftest::{self, SelfTest, Subject};
use crate::engine::probe::{Probe, conceal};
use crate::network::Certificates;
use crate::preflight::checklist::{Check, Finding, Preflight};
use crate::preflight::inspect_streams;

/// Help if the probe cannot be loaded.
const DYNAMIC_BINARY: &str =
    "use an FFmpeg with shared libraries, or pass --probe off to accept inferred figures";

/// The checks, in this order.
const CHECKS: &[Check<Preparation>] = &[
    Check { name: "ffmpeg", run: |preflight, ffmpeg| Box::pin(ffmpeg.detect(preflight)) },
    Check { name: "stream", run: |preflight, _| Box::pin(inspect_streams(preflight)) },
    Check { name: "probe", run: |preflight, ffmpeg| Box::pin(ffmpeg.test_probe(preflight)) },
    Check { name: "certificates", run: |preflight, ffmpeg| Box::pin(ffmpeg.check_certificates(preflight)) },
    Check { name: "secrets", run: |preflight, ffmpeg| Box::pin(ffmpeg.check_secrets(preflight)) },
];

const CHECKS_OF_CANARIES: &[Check<Preparation>] = &[
    Check { name: "ffmpeg", run: |preflight, ffmpeg| Box::pin(ffmpeg.detect(preflight)) },
    Check { name: "probe", run: |preflight, ffmpeg| Box::pin(ffmpeg.test_probe(preflight)) },
    Check { name: "certificates", run: |preflight, ffmpeg| Box::pin(ffmpeg.check_certificates(preflight)) },
    Check { name: "secrets", run: |preflight, ffmpeg| Box::pin(ffmpeg.check_secrets(preflight)) },
];

/// The results of the checks.
struct Preparation {
    config: Config,
    capabilities: Result<Capabilities, Option<Failure>>,
    probe: Option<(Probe, ProbeReader)>,
}

/// Runs the checks.
///
/// # Errors
/// There is no FFmpeg that works, or the operating system denies resources that the self-test needs.
pub(crate) async fn prepare(
    config: &Config,
    preflight: &mut Preflight<'_>,
) -> Result<(Ffmpeg, Option<ProbeReader>), Failure> {
    run(CHECKS, config, preflight).await
}

/// Runs the checks of FFmpeg viewers among native ones, whose streams have been inspected.
///
/// # Errors
/// As [`prepare`].
pub(crate) async fn prepare_canaries(
    config: &Config,
    preflight: &mut Preflight<'_>,
) -> Result<(Ffmpeg, Option<ProbeReader>), Failure> {
    run(CHECKS_OF_CANARIES, config, preflight).await
}

async fn run(
    checks: &[Check<Preparation>],
    config: &Config,
    preflight: &mut Preflight<'_>,
) -> Result<(Ffmpeg, Option<ProbeReader>), Failure> {
    let mut preparation = Preparation { config: config.clone(), capabilities: Err(None), probe: None };
    preflight.run(checks, &mut preparation).await?;
    let Preparation { config, capabilities, probe } = preparation;
    let capabilities = capabilities
        .map_err(|failure| failure.unwrap_or_else(|| Failure::internal("FFmpeg was not checked")))?;
    let is_static = process::is_static(&config.program) == Some(true);
    let (probe, reader) = probe.unzip();
    Ok((Ffmpeg { config, capabilities, is_static, probe }, reader))
}

impl Preparation {
    /// Detects what the binary supports.
    async fn detect(&mut self, preflight: &mut Preflight<'_>) -> Result<(), Failure> {
        let program = &self.config.program;
        let is_secure = preflight.plan.streams.iter().any(|stream| stream.url.scheme() == "https");
        let detected = detect::capabilities(program, preflight.guard).await.and_then(|capabilities| {
            capabilities.check(&program.display().to_string(), is_secure)?;
            Ok(capabilities)
        });
        preflight.note(match &detected {
            Ok(capabilities) => {
                Finding::good("ffmpeg", format!("{} {}", program.display(), capabilities.version))
            }
            Err(failure) => Finding::failed("ffmpeg", failure),
        });
        self.capabilities = detected.map_err(Some);
        Ok(())
    }

    /// Tests whether the probe sees what the binary does.
    async fn test_probe(&mut self, preflight: &mut Preflight<'_>) -> Result<(), Failure> {
        let plan = preflight.plan;
        let rules = &plan.streams.first().resolve;
        let needed = plan.network.needs_probe(rules);
        if let (Ok(capabilities), mode @ (ProbeMode::Auto | ProbeMode::Require)) =
            (&self.capabilities, self.config.probe)
        {
            let short_play = preflight.encrypted().map(|(stream, selection)| {
                let mut playing =
                    conceal(&plan.secrets, argv::short_play(stream, &self.config, selection, capabilities));
                let proxies = plan.proxies.for_ffmpeg(&stream.url).into_iter();
                playing.variables.extend(proxies.map(|(name, value)| (name.to_owned(), value)));
                playing
            });
            let certificates = Certificates::needed(plan.streams.first(), capabilities);
            let subject = Subject {
                program: &self.config.program,
                arguments: &|url| {
                    ["-hide_banner", "-nostdin", "-loglevel", "error", "-i", url, "-f", "null", "-"]
                        .map(str::to_owned)
                        .to_vec()
                },
                tls: short_play,
                confinement: &plan.viewers.confinement,
                network: plan.network.probe_settings(
                    plan.streams.first(),
                    &plan.target_policy,
                    certificates,
                    1,
                ),
                resolves: !rules.is_empty(),
                is_unknown: false,
                other_program: OTHER_BINARY,
                loadable_program: DYNAMIC_BINARY,
            };
            match selftest::run(subject, preflight.guard).await? {
                SelfTest::Passed(probe, reader) => {
                    let text = "requests and bytes are measured inside each viewer";
                    preflight.note(Finding::good("probe", text));
                    self.probe = Some((probe, reader));
                }
                SelfTest::Unavailable(failure) => preflight.note(match needed {
                    Some(flag) => impossible(flag, &failure),
                    None => inferred(mode, &failure),
                }),
                SelfTest::PlayerFailed(failure) => preflight.note(Finding::failed("ffmpeg", &failure)),
            }
        }
        if needed.is_some() && self.probe.is_none() {
            // Without the probe, viewers would connect to addresses other than those that the user requested.
            preflight.make_binding();
        }
        Ok(())
    }

    /// Checks that each viewer trusts the certificates that the user trusts.
    async fn check_certificates(&mut self, preflight: &mut Preflight<'_>) -> Result<(), Failure> {
        let Ok(capabilities) = &self.capabilities else { return Ok(()) };
        let certificates = Certificates::needed(preflight.plan.streams.first(), capabilities);
        if let (Some(certificates), Some(_), None) = (certificates, preflight.encrypted(), &self.probe) {
            preflight.note(untrusted(certificates));
        }
        Ok(())
    }

    /// Checks that secrets do not appear in the list of processes.
    async fn check_secrets(&mut self, preflight: &mut Preflight<'_>) -> Result<(), Failure> {
        if self.probe.is_none() && preflight.plan.secrets.were_read() {
            preflight.note(Finding::bad(
                "secrets",
                "without the probe FFmpeg's command line would show them to every user of this machine",
                "use an FFmpeg that the probe can be loaded into; --skip-preflight accepts it",
            ));
        }
        Ok(())
    }
}

/// The finding if `flag` needs the probe and it is not available.
fn impossible(flag: &str, failure: &Failure) -> Finding {
    let finding = Finding::failed("probe", failure);
    let text = format!("{}; and {flag} is done by the probe", finding.text);
    Finding { text, help: format!("use an FFmpeg with shared libraries, or leave out {flag}"), ..finding }
}

/// The finding if the probe is not available: the run continues with inferred figures, unless measured ones are required.
fn inferred(mode: ProbeMode, failure: &Failure) -> Finding {
    let finding = Finding::failed("probe", failure);
    if mode == ProbeMode::Require {
        return finding;
    }
    let text = format!("{}; requests are read from FFmpeg's log and figures are inferred", finding.text);
    Finding::warning("probe", text, finding.help)
}

/// The finding if the probe is not available and FFmpeg verifies every certificate: the user's settings have no effect.
fn untrusted(certificates: Certificates) -> Finding {
    let asked = certificates.asked();
    let text = format!(
        "this FFmpeg verifies each segment's certificate, and only the probe passes {asked} on to it"
    );
    let help = match certificates {
        Certificates::All => "use an FFmpeg that the probe can be loaded into, or leave out --insecure",
        Certificates::OfFile => {
            "add the authority to this system's certificates (update-ca-certificates), or use an FFmpeg that the probe can be loaded into"
        }
    };
    Finding::bad("certificates", text, help)
}
