//! Segments and playlists: stale files, lengths, and their encoders.

use super::{Draft, Outcome, count};
use crate::audit::context::Context;
use crate::audit::findings::{Phase, Severity};
use crate::audit::folder::{STALE_SECONDS, Stream};
use crate::audit::nginx::RtmpApplication;
use crate::audit::patch::shell_quote;

/// Longest recommended segment of a live stream, seconds.
const RECOMMENDED_SECONDS: f64 = 2.5;
/// Least number of listed segments, and the recommended one.
const MIN_LISTED: usize = 3;
const RECOMMENDED_LISTED: usize = 6;
/// Number of stale segments that is critical.
const MANY: usize = 100;
/// Number of files that a command names.
const MAX_NAMED: usize = 12;

pub(super) fn stale(context: &Context<'_>) -> Outcome {
    if context.folders.is_empty() {
        return Outcome::Unknown("no folder with playlists was found; pass --folder DIR".into());
    }
    let (mut segments, mut bytes) = (0, 0_u64);
    let (mut evidence, mut files, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let (mut in_memory, mut transient) = (false, false);
    for ((path, contents), folder) in context.folders.iter().zip(&context.facts.folders) {
        if let Some(why) = &contents.unknown {
            return Outcome::Unknown(format!("{why}; pass a folder inside of it with --folder DIR"));
        }
        if contents.stale.is_empty() {
            continue;
        }
        segments += contents.stale_segments;
        bytes += contents.stale_bytes;
        in_memory |= folder.in_memory;
        evidence.push(format!(
            "{path}: {} of {} are in no live or complete playlist; with playlists of stopped streams ({}) they have {} bytes, the oldest is {} min old",
            contents.stale_segments,
            count(contents.segments, "segment"),
            contents.stale.len() - contents.stale_segments,
            contents.stale_bytes,
            contents.oldest_stale_seconds / 60
        ));
        // Commands run on this machine.
        let path = format!("{}{}", folder.root, path.trim_end_matches('/'));
        transient |= !folder.root.is_empty();
        files.extend(contents.stale.iter().map(|name| format!("{path}/{name}")));
        places.push(path);
    }
    if files.is_empty() {
        return Outcome::Good(format!("none older than {} min", STALE_SECONDS / 60));
    }
    let severity = match segments {
        MANY.. => Severity::Critical,
        _ if in_memory => Severity::Moderate,
        _ => Severity::Low,
    };
    let where_to =
        if in_memory { "memory that the page cache and nginx need" } else { "disk and page cache" };
    let folders: Vec<String> =
        places.iter().map(|place| format!(" --folder {}", shell_quote(place))).collect();
    let list = format!("hls-swarm audit{} --format stale --no-host | xargs -0 -r rm -f --", folders.concat());
    let mut commands = Vec::new();
    if files.len() <= MAX_NAMED {
        let names: Vec<String> = files.iter().map(|name| shell_quote(name)).collect();
        commands.push(format!("rm -f -- {}", names.join(" ")));
    } else {
        commands.push(format!(
            "{list}   # exactly the {} counted files; list them with: | tr '\\0' '\\n'",
            files.len()
        ));
    }
    let repeat = if transient {
        "repeat that every 5 min inside of the container or on the volume (the paths below end with the process)"
    } else {
        "repeat that every 5 min with the timer below"
    };
    let mut draft = Draft::new(severity, format!("{} that no viewer can play", count(segments, "stale segment")))
        .evidence(evidence)
        .effect(format!(
            "{bytes} bytes of {where_to}; they grow until the folder is full, and then no viewer of {} gets a new segment",
            context.viewers
        ))
        .fix(format!("let the encoder delete (FFmpeg: -hls_flags delete_segments -hls_delete_threshold 5), remove what stopped streams left behind, and {repeat}; files that a live or complete playlist lists stay"))
        .commands(commands);
    if !transient {
        draft = draft.example(timer(&list));
    }
    draft.files = files;
    draft.found()
}

/// Returns the units of a timer that removes stale files every 5 minutes.
fn timer(list: &str) -> String {
    let escaped = list.replace('%', "%%");
    format!(
        "# /etc/systemd/system/hls-stale.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c {}\n\n\
         # /etc/systemd/system/hls-stale.timer   (systemctl enable --now hls-stale.timer)\n[Timer]\nOnBootSec=5min\nOnUnitActiveSec=5min\n[Install]\nWantedBy=timers.target\n",
        unit_quote(&escaped)
    )
}

/// Quotes a word for ExecStart.
fn unit_quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$"))
}

pub(super) fn length(context: &Context<'_>) -> Outcome {
    let each = |stream: &Stream| stream.seconds / stream.listed.max(1) as f64;
    let slowest = context.live().max_by(|left, right| each(left).total_cmp(&each(right)));
    let configured =
        context.nginx.rtmp_applications().filter(|application| application.hls).max_by(|left, right| {
            left.fragment_seconds.unwrap_or(0.0).total_cmp(&right.fragment_seconds.unwrap_or(0.0))
        });
    let (seconds, evidence, fix) = match (slowest, configured) {
        (Some(stream), _) => (
            each(stream),
            format!(
                "{}: {} segments, {:.1} s, EXT-X-TARGETDURATION {}",
                stream.path, stream.listed, stream.seconds, stream.target_seconds
            ),
            "segments of 2 s that begin with key frames (FFmpeg: -hls_time 2 -g FPS*2 -sc_threshold 0 -hls_flags independent_segments); 4 s where delay matters less than the number of requests; partial segments (LL-HLS) for less than 3 s",
        ),
        (None, Some(application)) => (
            application.fragment_seconds.unwrap_or_default(),
            application.in_effect("hls_fragment").map_or_else(
                || {
                    format!(
                        "{}: {} has no hls_fragment, which is 5 s by default",
                        application.head.place(),
                        application.head
                    )
                },
                |fragment| format!("{}: {fragment}", fragment.place()),
            ),
            "hls_fragment 2s, and an encoder that sends a key frame every 2 s",
        ),
        (None, None) => return Outcome::Unknown("no live playlist was found".into()),
    };
    if seconds <= RECOMMENDED_SECONDS {
        return Outcome::Good(format!("{seconds:.1} s"));
    }
    Draft::new(Severity::Moderate, format!("segments of {seconds:.1} s"))
        .evidence([evidence])
        .effect(format!(
            "players start three segments behind: {:.0} s behind the event; each fetch of {} viewers is a burst {:.1} times that of segments of 2 s",
            seconds * 3.0,
            context.viewers,
            seconds / 2.0
        ))
        .fix(fix)
        .phase(Phase::Application)
        .found()
}

/// Returns the evidence of a list that is configured for the RTMP module, with its number of segments.
fn configured_list(application: &RtmpApplication<'_>) -> Option<(usize, f64, String)> {
    let fragment = application.fragment_seconds.filter(|seconds| *seconds > 0.0)?;
    let length = application.playlist_seconds;
    let seen = application.in_effect("hls_playlist_length").map_or_else(
        || format!("{}: no hls_playlist_length, which is 30 s by default", application.head.place()),
        |directive| format!("{}: {directive}", directive.place()),
    );
    Some(((length / fragment) as usize, length, format!("{seen}, segments of {fragment} s")))
}

pub(super) fn list_size(context: &Context<'_>) -> Outcome {
    let shortest = context.live().filter(|stream| stream.full).min_by_key(|stream| stream.listed);
    let configured =
        context.nginx.rtmp_applications().filter_map(|app| configured_list(&app)).min_by_key(|list| list.0);
    let (listed, seconds, target, evidence) = match (shortest, configured) {
        (Some(stream), _) => (
            stream.listed,
            stream.seconds,
            stream.target_seconds,
            format!("{}: {} segments, {:.1} s", stream.path, stream.listed, stream.seconds),
        ),
        (None, Some((listed, seconds, evidence))) => {
            (listed, seconds, seconds / listed.max(1) as f64, evidence)
        }
        (None, None) => {
            return Outcome::Unknown("no live playlist was found that has its full length".into());
        }
    };
    if listed >= RECOMMENDED_LISTED {
        return Outcome::Good(format!("{listed} segments, {seconds:.0} s"));
    }
    let severity = if listed < MIN_LISTED { Severity::Moderate } else { Severity::Low };
    Draft::new(severity, format!("the playlist lists {}", count(listed, "segment")))
        .evidence([evidence])
        .effect(format!(
            "a viewer that falls {seconds:.0} s behind requests segments that are gone (404); RFC 8216 section 6.2.2 requires three target durations ({:.0} s) at least",
            target * 3.0
        ))
        .fix("list 10 segments, or 6 where the delay matters (FFmpeg: -hls_list_size 10; RTMP module: hls_playlist_length 20s)")
        .phase(Phase::Application)
        .found()
}

pub(super) fn rtmp_cleanup(context: &Context<'_>) -> Outcome {
    let mut any = false;
    let mut off = Vec::new();
    for application in context.nginx.rtmp_applications().filter(|application| application.hls) {
        any = true;
        off.extend(application.in_effect("hls_cleanup").filter(|cleanup| cleanup.value() == "off"));
    }
    if !any {
        return Outcome::NotApplicable;
    }
    if off.is_empty() {
        return Outcome::Good("hls_cleanup on".into());
    }
    Draft::new(Severity::Low, "the RTMP module leaves all segments in its folder")
        .evidence(Context::places(off))
        .effect("the folder grows until it is full, and then all streams stop")
        .fix("hls_cleanup on, except for streams that are kept as recordings (give those a folder of their own)")
        .example("hls_cleanup on;\n")
        .found()
}

pub(super) fn encoder_limits(context: &Context<'_>) -> Outcome {
    if context.facts.encoders.is_empty() {
        return Outcome::NotApplicable;
    }
    let near: Vec<String> = context
        .facts
        .encoders
        .iter()
        .filter_map(|encoder| {
            let (limit, now) = encoder.open_files.zip(encoder.open_now)?;
            (now * 5 > limit * 4).then(|| {
                format!("/proc/{}/limits: {now} of {limit} files are open: {}", encoder.pid, encoder.command)
            })
        })
        .collect();
    if near.is_empty() {
        return Outcome::Good(format!(
            "{} within the limits",
            count(context.facts.encoders.len(), "encoder")
        ));
    }
    Draft::new(Severity::Moderate, "an encoder is about to reach its limit of open files")
        .evidence(near)
        .effect(format!(
            "the stream ends with \"Too many open files\" for all of {} viewers",
            context.viewers
        ))
        .fix("LimitNOFILE=65536 in the unit of the encoder, and an encoder that closes its files")
        .phase(Phase::Commands)
        .found()
}
