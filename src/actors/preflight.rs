//! Everything that is looked at before the first viewer starts, and what it yields.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::trial::{self, Trial};
use super::{interview, metrics_server, scout};
use crate::pure::ffmpeg::argv::{self, Play};
use crate::pure::ffmpeg::capability::Capabilities;
use crate::pure::plan::Plan;
use crate::pure::preflight::{Check, Mark, files_needed, resources};
use crate::system::guard::Guard;
use crate::system::limits;
use crate::system::probe_object::ProbeObject;
use crate::system::probe_pipe::{ProbePipe, ProbeReader};
use crate::words::cli::swarm::ProbeMode;
use crate::words::exchange::Source;
use crate::words::failure::Failure;

/// What a run starts with.
#[derive(Debug)]
pub struct Ready {
    /// What FFmpeg can do.
    pub can: Capabilities,
    /// What is played.
    pub play: Play,
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
    let clients = plan.ramp.clients;
    let open_files = limits::raise_open_files(files_needed(clients));
    resources(clients, &limits::machine(open_files)).into_iter().for_each(&mut note);

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
    let can = interview::capabilities(ffmpeg, guard).await.and_then(|can| {
        can.check(&ffmpeg.display().to_string(), plan.stream.url.scheme() == "https")?;
        Ok(can)
    });
    match &can {
        Ok(can) => note(Check::good("ffmpeg", format!("{} {}", ffmpeg.display(), can.version))),
        Err(failure) => note(from_failure("ffmpeg", failure)),
    }

    let fallback = Play {
        url: plan.stream.url.clone(),
        live: true,
        target_duration: plan.stream.target_duration.as_secs_f64(),
    };
    let play = match scout::look(&plan.stream).await {
        Ok((play, finding)) => {
            note(Check::good("stream", finding));
            play
        }
        Err(failure) => {
            note(from_failure("stream", &failure));
            fallback
        }
    };

    let (probe, reader) = match (plan.viewers.probe, &can) {
        (ProbeMode::Off, _) | (_, Err(_)) => (None, None),
        (mode, Ok(can)) => {
            let look = (play.url.scheme() == "https").then(|| argv::look(&plan.stream, &play, can));
            match trial::hold(ffmpeg, guard, look).await? {
                Trial::Seen(object, pipe, reader) => {
                    note(Check::good("probe", "requests and bytes are measured inside each viewer"));
                    (Some((object, pipe)), Some(reader))
                }
                Trial::Unseen(failure) => {
                    note(unmeasured(mode, &failure));
                    (None, None)
                }
                Trial::Broken(failure) => {
                    note(from_failure("ffmpeg", &failure));
                    (None, None)
                }
            }
        }
    };

    let source = if probe.is_some() { Source::Probe } else { Source::Log };
    let can = can?;
    match bad.first() {
        Some(first) if !plan.skip_preflight => Err(refusal(first, bad.len())),
        _ => Ok(Ready { can, play, source, probe, reader, listener }),
    }
}

fn refusal(first: &Check, bad: usize) -> Failure {
    let more = match bad {
        1 => String::new(),
        more => format!(" (and {} more, see above)", more - 1),
    };
    Failure::preflight(format!("preflight failed: {}: {}{more}", first.name, first.finding))
        .cure(first.cure.clone())
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
    Check::bad(name, failure.chain(), failure.cure_text().unwrap_or_default())
}
