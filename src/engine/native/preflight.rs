//! The preflight checks of native viewers: the streams, the threads, and the memory of sockets.

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_hls::selection::Selection;
use hls_swarm_os::machine;

use super::shard::{mark, threads};
use super::{Config, Native};
use crate::config::plan::Stream;
use crate::engine::ffmpeg;
use crate::engine::probe::pipe::ProbeReader;
use crate::preflight::checklist::{Check, Finding, Preflight};
use crate::preflight::inspect_streams;

/// The checks, in this order.
const CHECKS: &[Check<()>] = &[
    Check { name: "stream", run: |preflight, ()| Box::pin(inspect_streams(preflight)) },
    Check { name: "viewers", run: |preflight, ()| Box::pin(describe(preflight)) },
];

/// Runs the checks.
///
/// # Errors
/// A check itself failed.
pub(crate) async fn prepare(
    config: &Config,
    preflight: &mut Preflight<'_>,
) -> Result<(Native, Option<ProbeReader>), Failure> {
    preflight.run(CHECKS, &mut ()).await?;
    let Some(canaries) = &config.canaries else { return Ok((Native::new(config.clone(), None), None)) };
    let (ffmpeg, reader) = ffmpeg::preflight::prepare_canaries(&canaries.ffmpeg, preflight).await?;
    preflight.inspect_canaries(|stream| config.stream_of_canaries(stream)).await;
    let unbuffered =
        |(stream, selection): &(Stream, Selection)| !ffmpeg.playback_source(stream, selection).has_buffer();
    if preflight.canary_selections.iter().flat_map(WeightedSet::iter).any(unbuffered) {
        let text =
            format!("FFmpeg {} does not read a VOD ahead, so canaries would seem to stall", ffmpeg.version());
        preflight.note(Finding::bad(
            "canaries",
            text,
            "use FFmpeg 6.1 or later (--ffmpeg), or leave out --canaries",
        ));
    }
    Ok((Native::new(config.clone(), Some(Box::new(ffmpeg))), reader))
}

async fn describe(preflight: &mut Preflight<'_>) -> Result<(), Failure> {
    let viewers = preflight.plan.load.own_max_viewers();
    let threads = threads();
    let more = if threads == 1 { "" } else { "s" };
    let text = format!(
        "native, on {threads} thread{more}; requests and bytes are measured by the viewers themselves"
    );
    preflight.note(Finding::good("viewers", text));
    let pressure = machine::tcp_memory_pressure();
    let most = u64::from(mark(viewers, pressure)) * u64::from(viewers);
    if let Some(pressure) = pressure {
        let text = format!(
            "sockets hold at most {} MiB; the kernel is under TCP memory pressure from {} MiB on (net.ipv4.tcp_mem)",
            most >> 20,
            pressure >> 20
        );
        preflight.note(if most <= pressure / 4 {
            Finding::good("socket memory", text)
        } else {
            let help = "raise net.ipv4.tcp_mem, or run fewer viewers on this machine";
            Finding::warning("socket memory", text, help)
        });
    }
    Ok(())
}
