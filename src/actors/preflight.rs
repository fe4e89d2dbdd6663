//! Everything that is looked at before the first viewer starts, and what it yields.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use url::Url;

use super::{interview, metrics_server};
use crate::pure::ffmpeg::argv::{self, Play};
use crate::pure::ffmpeg::capability::Capabilities;
use crate::pure::plan::Plan;
use crate::pure::playlist::{self, Media, Playlist, choice};
use crate::pure::preflight::{Check, Mark, files_needed, resources};
use crate::system::fetch::{self, without_secrets};
use crate::system::guard::Guard;
use crate::system::limits;
use crate::system::probe_object::ProbeObject;
use crate::system::probe_pipe::{ProbePipe, ProbeReader};
use crate::words::cli::swarm::ProbeMode;
use crate::words::exchange::Source;
use crate::words::failure::Failure;

/// Bad input has to show within seconds, however patient viewers are.
const LONGEST_FETCH: Duration = Duration::from_secs(10);

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
    let play = match scout(plan).await {
        Ok((play, finding)) => {
            note(Check::good("stream", finding));
            play
        }
        Err(failure) => {
            note(from_failure("stream", &failure));
            fallback
        }
    };

    let trial = match (plan.viewers.probe, &can) {
        (ProbeMode::Off, _) | (_, Err(_)) => None,
        (_, Ok(can)) => {
            let look = (play.url.scheme() == "https").then(|| argv::look(&plan.stream, &play, can));
            Some(interview::try_probe(ffmpeg, guard, look).await)
        }
    };
    let (probe, reader) = match trial {
        Some(Ok((object, pipe, reader))) => {
            note(Check::good("probe", "requests and bytes are measured inside each viewer"));
            (Some((object, pipe)), Some(reader))
        }
        Some(Err(failure)) => {
            let check = from_failure("probe", &failure);
            let mark = if plan.viewers.probe == ProbeMode::Require { Mark::Bad } else { Mark::Warning };
            let finding = format!("{}; FFmpeg's log is the source, figures are inferred", check.finding);
            note(Check { mark, finding, ..check });
            (None, None)
        }
        None => (None, None),
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

fn from_failure(name: &'static str, failure: &Failure) -> Check {
    Check::bad(name, failure.chain(), failure.cure_text().unwrap_or_default())
}

/// Looks at the stream as a player would, and says what will be played.
async fn scout(plan: &Plan) -> Result<(Play, String), Failure> {
    let stream = &plan.stream;
    let (at, found) = fetch_playlist(plan, &stream.url).await?;
    let (url, media, chosen) = match found {
        Playlist::Media(media) => (stream.url.clone(), media, "one rendition".to_owned()),
        Playlist::Master(master) => {
            let choice = choice::choose(&master, stream.variant);
            let of = format!("{} variants of {}", master.variants.len(), at.path());
            let look_at = choice.or(master.variants.first()).ok_or_else(|| nothing_listed(&stream.url))?;
            let (_, media) = fetch_playlist(plan, &look_at.url).await?;
            let Playlist::Media(media) = media else { return Err(nothing_listed(&look_at.url)) };
            let url = choice.map_or_else(|| stream.url.clone(), |variant| variant.url.clone());
            let chosen = match choice {
                Some(variant) => format!("{} bit/s of {of}", variant.bandwidth),
                None => format!("all {of}"),
            };
            (url, media, chosen)
        }
    };
    Ok((play(url, &media, plan), describe(&media, &chosen)))
}

fn play(url: Url, media: &Media, plan: &Plan) -> Play {
    let promised = Some(media.target_duration).filter(|seconds| *seconds > 0.0);
    let target_duration = promised.unwrap_or(plan.stream.target_duration.as_secs_f64());
    Play { url, live: media.live, target_duration }
}

fn describe(media: &Media, chosen: &str) -> String {
    if media.live {
        format!("live, segments of up to {} s, {chosen}", media.target_duration)
    } else {
        format!("VOD of {:.0} s, {} segments, {chosen}", media.duration(), media.segments.len())
    }
}

fn nothing_listed(url: &Url) -> Failure {
    Failure::preflight(format!("{} leads to no media playlist", without_secrets(url)))
        .cure("check the master playlist")
}

async fn fetch_playlist(plan: &Plan, url: &Url) -> Result<(Url, Playlist), Failure> {
    let stream = &plan.stream;
    let response = fetch::get(fetch::Request {
        url: url.clone(),
        headers: stream.headers.clone(),
        user_agent: stream.preflight_user_agent(),
        timeout: stream.timeout.min(LONGEST_FETCH),
        verify_tls: stream.verify_tls,
    })
    .await?;
    let text = String::from_utf8_lossy(&response.body);
    let found = playlist::parse(&text, &response.url).map_err(|error| {
        Failure::preflight(format!("{} is no playlist that can be played", without_secrets(url)))
            .because(error)
            .cure("pass the URL of an HLS playlist (.m3u8) that lists segments or variants")
    })?;
    Ok((response.url, found))
}
