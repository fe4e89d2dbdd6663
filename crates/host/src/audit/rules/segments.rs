//! Segments and playlists in the folders.

use super::{Draft, Outcome, count};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::audit::folder::{STALE_SECONDS, Stream};

/// Longest segment that is good for a live stream, seconds.
const GOOD_SECONDS: f64 = 2.5;
/// Least number of segments to list, and to be at ease with.
const LEAST_LISTED: usize = 3;
const GOOD_LISTED: usize = 6;
/// Stale segments from which they outweigh a stream.
const MANY: usize = 100;

pub(crate) fn stale(context: &Context<'_>) -> Outcome {
    if context.folders.is_empty() {
        return Outcome::Unknown("no folder with playlists was found; name it with --folder DIR".into());
    }
    let (mut stale, mut bytes) = (0, 0_u64);
    let (mut evidence, mut commands) = (Vec::new(), Vec::new());
    let mut in_memory = false;
    for ((path, contents), folder) in context.folders.iter().zip(&context.facts.folders) {
        if contents.stale == 0 {
            continue;
        }
        stale += contents.stale;
        bytes += contents.stale_bytes;
        in_memory |= folder.in_memory;
        evidence.push(format!(
            "{path}: {} of {} are in no playlist that lives or is complete; {} bytes, the oldest is {} min old",
            contents.stale,
            count(contents.segments, "segment"),
            contents.stale_bytes,
            contents.oldest_stale_seconds / 60
        ));
        let minutes = STALE_SECONDS / 60;
        commands.push(format!(
            "find '{}' -type f \\( -name '*.ts' -o -name '*.m4s' \\) -mmin +{minutes} -print   # look first, then -delete",
            path.replace('\'', r"'\''")
        ));
    }
    if stale == 0 {
        return Outcome::Good(format!("none older than {} min", STALE_SECONDS / 60));
    }
    let severity = match stale {
        MANY.. => Severity::Critical,
        _ if in_memory => Severity::Moderate,
        _ => Severity::Low,
    };
    let where_to =
        if in_memory { "memory that the page cache and nginx need" } else { "disk and page cache" };
    Outcome::found(
        Draft::new(severity, format!("{} that nobody can play", count(stale, "stale segment")))
            .evidence(evidence)
            .effect(format!(
                "{bytes} bytes of {where_to}; they grow until the folder is full, and then no viewer of {} gets a new segment",
                context.viewers
            ))
            .fix("let the encoder delete (FFmpeg: -hls_flags delete_segments -hls_delete_threshold 5), and remove what stopped streams left behind; keep what a living playlist lists")
            .commands(commands),
    )
}

pub(crate) fn length(context: &Context<'_>) -> Outcome {
    let Some(slowest) = longest(context) else {
        return Outcome::Unknown("no live playlist was found".into());
    };
    let seconds = slowest.seconds / slowest.listed.max(1) as f64;
    if seconds <= GOOD_SECONDS {
        return Outcome::Good(format!("{seconds:.1} s"));
    }
    Outcome::found(
        Draft::new(Severity::Moderate, format!("segments of {seconds:.1} s"))
            .evidence([format!(
                "{}: {} segments, {:.1} s, EXT-X-TARGETDURATION {}",
                slowest.path, slowest.listed, slowest.seconds, slowest.target_seconds
            )])
            .effect(format!(
                "players start three segments behind: {:.0} s behind the event; each fetch of {} viewers is a burst {:.1} times that of segments of 2 s",
                seconds * 3.0,
                context.viewers,
                seconds / 2.0
            ))
            .fix("segments of 2 s, with key frames in step (FFmpeg: -hls_time 2 -g FPS*2 -sc_threshold 0)"),
    )
}

fn longest<'c>(context: &'c Context<'_>) -> Option<&'c Stream> {
    let each = |stream: &Stream| stream.seconds / stream.listed.max(1) as f64;
    context.live().max_by(|left, right| each(left).total_cmp(&each(right)))
}

pub(crate) fn list_size(context: &Context<'_>) -> Outcome {
    let Some(shortest) = context.live().filter(|stream| stream.full).min_by_key(|stream| stream.listed)
    else {
        return Outcome::Unknown("no live playlist was found that has its full length".into());
    };
    let Stream { path, listed, seconds, target_seconds, .. } = shortest;
    if *listed >= GOOD_LISTED {
        return Outcome::Good(format!("{listed} segments, {seconds:.0} s"));
    }
    let severity = if *listed < LEAST_LISTED { Severity::Moderate } else { Severity::Low };
    Outcome::found(
        Draft::new(severity, format!("the playlist lists {}", count(*listed, "segment")))
            .evidence([format!("{path}: {listed} segments, {seconds:.1} s")])
            .effect(format!(
                "a viewer that falls {:.0} s behind asks for segments that are gone (404); RFC 8216 section 6.2.2 asks for three target durations ({:.0} s) at least",
                seconds, target_seconds * 3.0
            ))
            .fix("list 10 segments, 6 where the delay matters (FFmpeg: -hls_list_size 10)"),
    )
}
