//! Everything that is looked at before the first viewer starts, and what it yields.

pub mod resources;
pub mod stream_check;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_model::exchange::Source;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::machine;

use crate::cli::run::ProbeMode;
use crate::config::plan::{Plan, Stream};
use crate::engine::ffmpeg::argv::{self, Play};
use crate::engine::ffmpeg::capability::Capabilities;
use crate::engine::ffmpeg::detect;
use crate::engine::probe::conceal::conceal;
use crate::engine::probe::object::ProbeObject;
use crate::engine::probe::pipe::{ProbePipe, ProbeReader};
use crate::engine::probe::selftest::{self, SelfTest};
use crate::network::Certificates;
use crate::output::metrics_server;
use crate::preflight::resources::{Check, Mark, files_needed, resources};
use crate::preflight::stream_check::Found;

/// The help where no variant is as it was wished for.
const WISH: &str = "pass a --variant that there is, or --probe-failure-policy fail to be stopped here";

/// What a run starts with.
#[derive(Debug)]
pub struct Ready {
    /// What FFmpeg can do.
    pub can: Capabilities,
    /// The streams, and what is played of each.
    pub plays: WeightedSet<(Stream, Play)>,
    /// Where requests and bytes come from.
    pub source: Source,
    /// The probe, where it is the source.
    pub probe: Option<(ProbeObject, ProbePipe)>,
    /// The read end of its pipe.
    pub reader: Option<ProbeReader>,
    /// The Prometheus endpoint.
    pub listener: Option<TcpListener>,
}

/// Looks at machine, FFmpeg, stream and ports. `report` gets one line per check.
///
/// # Errors
/// The first check that came out bad, unless the plan skips preflight; what a run cannot do
/// without (an FFmpeg) is an error in any case.
pub async fn prepare(
    plan: &Plan,
    guard: &Arc<Guard>,
    report: &mut dyn FnMut(&Check),
) -> Result<Ready, Failure> {
    let mut bad = Vec::new();
    let mut note = |check: Check| {
        report(&check);
        if check.mark == Mark::Bad {
            bad.push(check);
        }
    };
    let clients = plan.load.own_most();
    let open_files = machine::raise_open_files(files_needed(clients));
    let mut sources = plan.network.sources.clone();
    sources.sort_unstable();
    sources.dedup();
    let machine = machine::headroom(open_files, sources.len() as u64);
    resources(clients, &machine).into_iter().for_each(&mut note);
    leaving_from(&sources).into_iter().for_each(&mut note);

    let listener = match plan.results.metrics.map(metrics_server::bind) {
        Some(Ok(listener)) => {
            let address = listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
            note(Check::good("metrics", format!("http://{address}/metrics")));
            Some(listener)
        }
        Some(Err(failure)) => {
            note(from_failure("metrics", &failure));
            None
        }
        None => None,
    };

    let ffmpeg = &plan.viewers.ffmpeg;
    let can = detect::capabilities(ffmpeg, guard).await.and_then(|can| {
        can.check(
            &ffmpeg.display().to_string(),
            plan.streams.iter().any(|stream| stream.url.scheme() == "https"),
        )?;
        Ok(can)
    });
    match &can {
        Ok(can) => note(Check::good("ffmpeg", format!("{} {}", ffmpeg.display(), can.version))),
        Err(failure) => note(from_failure("ffmpeg", failure)),
    }

    let mut found = Vec::new();
    let mut outside = false;
    for stream in plan.streams.iter() {
        let looked = stream_check::look(stream, &plan.target_policy).await;
        outside |= looked.is_err() && plan.target_policy.is_closed();
        for mut check in checks(&looked) {
            if plan.streams.count() > 1 {
                check.finding = format!("{}: {}", without_secrets(&stream.url), check.finding);
            }
            note(check);
        }
        found.push(looked.map_or_else(|_| (unseen(stream), Vec::new()), |found| (found.first, found.others)));
    }
    let mut found = found.into_iter();
    let plays = plan.streams.spread(|stream| {
        let (first, others) = found.next().unwrap_or_else(|| (unseen(stream), Vec::new()));
        let of = |play| (stream.clone(), play);
        (of(first), others.into_iter().map(of).collect())
    });

    let encrypted = plays.iter().find(|(_, play)| play.url.scheme() == "https");
    let certificates = can.as_ref().ok().and_then(|can| Certificates::needed(plan.streams.first(), can));
    let (probe, reader) = match (plan.viewers.probe, &can) {
        (ProbeMode::Off, _) | (_, Err(_)) => (None, None),
        (mode, Ok(can)) => {
            let look = encrypted.map(|(stream, play)| conceal(&plan.secrets, argv::look(stream, play, can)));
            let rules = &plan.streams.first().resolve;
            let told = plan.network.told(rules, certificates, 1);
            let network = selftest::Network { told, resolve: !rules.is_empty() };
            match selftest::hold(ffmpeg, guard, look, &network).await? {
                SelfTest::Seen(object, pipe, reader) => {
                    note(Check::good("probe", "requests and bytes are measured inside each viewer"));
                    (Some((object, pipe)), Some(reader))
                }
                SelfTest::Unseen(failure) => {
                    note(match plan.network.needs_probe(rules) {
                        Some(flag) => impossible(flag, &failure),
                        None => unmeasured(mode, &failure),
                    });
                    (None, None)
                }
                SelfTest::Broken(failure) => {
                    note(from_failure("ffmpeg", &failure));
                    (None, None)
                }
            }
        }
    };

    if let (Some(certificates), Some(_), None) = (certificates, encrypted, &probe) {
        note(unbelieved(certificates));
    }

    let source = if probe.is_some() { Source::Probe } else { Source::Log };
    if source == Source::Log && plan.secrets.were_read() {
        note(Check::bad(
            "secrets",
            "without the probe FFmpeg's command line would show them to every user of this machine",
            "use an FFmpeg that the probe can be loaded into; --skip-preflight accepts it",
        ));
    }
    let can = can?;
    // Without the probe these viewers would go elsewhere than they were told.
    let lost = plan.network.needs_probe(&plan.streams.first().resolve).is_some() && probe.is_none();
    match bad.first() {
        Some(first) if !plan.skip_preflight || lost || outside => Err(refusal(first, bad.len())),
        _ => Ok(Ready { can, plays, source, probe, reader, listener }),
    }
}

fn checks(looked: &Result<Found, Failure>) -> Vec<Check> {
    match looked {
        Ok(Found { finding, instead: None, .. }) => vec![Check::good("stream", finding)],
        Ok(Found { finding, instead: Some(why), .. }) => {
            let warning = Check {
                mark: Mark::Warning,
                ..Check::bad("variant", format!("{why}; the URL is played as it was given"), WISH)
            };
            vec![warning, Check::good("stream", finding)]
        }
        Err(failure) => vec![from_failure("stream", failure)],
    }
}

/// What is played where preflight is skipped and the stream could not be looked at.
fn unseen(stream: &Stream) -> Play {
    Play {
        url: stream.url.clone(),
        audio: None,
        live: true,
        target_duration: stream.target_duration.as_secs_f64(),
    }
}

fn refusal(first: &Check, bad: usize) -> Failure {
    let more = match bad {
        1 => String::new(),
        more => format!(" (and {} more, see above)", more - 1),
    };
    Failure::preflight(format!("preflight failed: {}: {}{more}", first.name, first.finding))
        .help(first.help.clone())
}

/// Whether viewers can leave from these addresses.
fn leaving_from(sources: &[IpAddr]) -> Option<Check> {
    let missing = machine::not_local(sources);
    let Some((first, error)) = missing.first() else {
        let finding = format!("viewers leave from {} addresses of this machine", sources.len());
        return (!sources.is_empty()).then(|| Check::good("source addresses", finding));
    };
    let more = match missing.len() {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    let finding = format!("{first}{more} is no address of this machine: {error}");
    let help = format!("ip address add {first} dev INTERFACE, or leave it out of --source-ip");
    Some(Check::bad("source addresses", finding, help))
}

/// Without the probe nobody does what `flag` asks for.
fn impossible(flag: &str, failure: &Failure) -> Check {
    let check = from_failure("probe", failure);
    let finding = format!("{}; and {flag} is done by the probe", check.finding);
    Check { finding, help: format!("use an FFmpeg with shared libraries, or leave out {flag}"), ..check }
}

/// Without the probe nobody tells an FFmpeg that verifies every certificate what it may believe.
fn unbelieved(certificates: Certificates) -> Check {
    let asked = certificates.asked();
    let finding = format!(
        "this FFmpeg verifies each segment's certificate, and only the probe passes {asked} on to it"
    );
    let help = match certificates {
        Certificates::All => "use an FFmpeg that the probe can be loaded into, or leave out --insecure",
        Certificates::OfFile => {
            "add the authority to this system's certificates (update-ca-certificates), or use an FFmpeg that the probe can be loaded into"
        }
    };
    Check::bad("certificates", finding, help)
}

/// Without the probe a run goes on with inferred figures, unless measured ones are required.
fn unmeasured(mode: ProbeMode, failure: &Failure) -> Check {
    let check = from_failure("probe", failure);
    if mode == ProbeMode::Require {
        return check;
    }
    let finding = format!("{}; FFmpeg's log is the source, figures are inferred", check.finding);
    Check { mark: Mark::Warning, finding, ..check }
}

fn from_failure(name: &'static str, failure: &Failure) -> Check {
    Check::bad(name, failure.chain(), failure.help_text().unwrap_or_default())
}
