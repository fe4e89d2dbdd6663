//! Opening, reading, sending, and logging of files.

use super::{Draft, Outcome, rate_of_requests};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx::Location;
use crate::audit::nginx_conf::{Directive, quote};
use crate::audit::patch::{Edit, into_block, replace};

/// Returns the directive in effect for each location, where it has the value that is looked for or none.
fn lacking<'a, 'c>(
    locations: impl Iterator<Item = &'c Location<'a>>,
    name: &'c str,
    good: impl Fn(&Directive) -> bool,
) -> Vec<(&'c Location<'a>, Option<&'a Directive>)>
where
    'a: 'c,
{
    locations
        .map(|location| (location, location.in_effect(name)))
        .filter(|(_, directive)| !directive.is_some_and(&good))
        .collect()
}

/// Describes locations without a directive.
fn seen(lacking: &[(&Location<'_>, Option<&Directive>)], name: &str) -> Vec<String> {
    let line = |(location, directive): &(&Location<'_>, Option<&Directive>)| match directive {
        Some(directive) => format!("{}: {directive}", directive.place()),
        None => format!("{}: {} has no {name}", location.head.place(), location.head),
    };
    let mut lines: Vec<String> = lacking.iter().map(line).collect();
    lines.dedup();
    lines
}

pub(super) fn open_file_cache(context: &Context<'_>) -> Outcome {
    let segments = || context.nginx.media_files().filter(|location| location.serves_segments());
    if segments().next().is_none() {
        return Outcome::NotApplicable;
    }
    let lacking = lacking(segments(), "open_file_cache", |cache| cache.value() != "off");
    if lacking.is_empty() {
        return Outcome::Good("on where segments are served".into());
    }
    let cached = context.cached_files();
    let cache = format!("open_file_cache max={cached} inactive=10s;");
    let lines = [
        "# Viewers that fetch the same segment share one open file.",
        &cache,
        "open_file_cache_valid 1s;",
        "open_file_cache_min_uses 2;",
    ];
    // A playlist is replaced all the time, and a cached one would be sent for up to a second more. So the
    // patch touches only locations that name nothing but segments.
    let only_segments = lacking.iter().filter(|(location, directive)| {
        directive.is_none()
            && location.head.name == "location"
            && !location.serves_playlists()
            && location.own_or_conditional("open_file_cache_valid").is_none()
            && location.own_or_conditional("open_file_cache_min_uses").is_none()
            && names_segments(location)
    });
    let edits: Vec<Edit> = only_segments
        .filter_map(|(location, _)| into_block(location.head, &lines, context.files()))
        .collect();
    // It is only a hint where the files may not be segments.
    let severity = if context.nginx.assumed { Severity::Low } else { Severity::Moderate };
    Draft::new(severity, "nginx opens a segment for each request")
        .evidence(seen(&lacking, "open_file_cache"))
        .effect(format!(
            "each of {} viewers has an open file of its own for the segment that it receives, and nginx looks up, opens, and closes a file for each request{}",
            context.viewers,
            rate_of_requests(context)
        ))
        .fix(format!(
            "{cache} With open_file_cache_valid 1s a playlist may be up to 1 s late, which low latency does not allow: there, \
             keep it off for playlists. open_file_cache_errors stays off, because a missing segment may appear at any moment"
        ))
        .example(format!("http {{\n    {cache}\n    open_file_cache_valid 1s;\n    open_file_cache_min_uses 2;\n}}\n"))
        .edits(edits)
        .absent(Scope::Http)
        .found()
}

/// Reports whether the pattern of a location itself asks for segments.
fn names_segments(location: &Location<'_>) -> bool {
    let pattern = location.head.arguments.last().map_or("", String::as_str);
    ["ts", "m4s", "aac", "m4v"]
        .iter()
        .any(|ending| pattern.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *ending))
}

pub(super) fn sendfile(context: &Context<'_>) -> Outcome {
    if context.nginx.media_files().next().is_none() {
        return Outcome::NotApplicable;
    }
    let lacking = lacking(context.nginx.media_files(), "sendfile", |sendfile| sendfile.value() == "on");
    if lacking.is_empty() {
        return Outcome::Good("sendfile on".into());
    }
    let switched_off = lacking.iter().any(|(_, directive)| directive.is_some());
    let edit = (!switched_off).then(|| at_http(context, &["sendfile on;"])).flatten();
    let draft = Draft::new(Severity::Low, "nginx copies each segment through its own memory")
        .evidence(seen(&lacking, "sendfile"))
        .effect(format!(
            "every byte for {} viewers is read into a buffer and written again, and disk reads block the worker longer",
            context.viewers
        ))
        .fix("sendfile on; leave it off only for file systems that cannot do it, such as shared folders of virtual machines")
        .example("http {\n    sendfile on;\n}\n")
        .edits(edit);
    if switched_off { draft.found() } else { draft.absent(Scope::Http).found() }
}

fn at_http(context: &Context<'_>, lines: &[&str]) -> Option<Edit> {
    into_block(context.nginx.http?, lines, context.files())
}

pub(super) fn tcp_nopush(context: &Context<'_>) -> Outcome {
    if context.nginx.media_files().next().is_none() {
        return Outcome::NotApplicable;
    }
    let lacking = lacking(context.nginx.media_files(), "tcp_nopush", |nopush| nopush.value() == "on");
    if lacking.is_empty() {
        return Outcome::Good("tcp_nopush on".into());
    }
    let switched_off = lacking.iter().any(|(_, directive)| directive.is_some());
    let draft = Draft::new(Severity::Low, "headers and data leave in separate packets")
        .evidence(seen(&lacking, "tcp_nopush"))
        .effect(format!(
            "one small packet more for each response to {} viewers{}",
            context.viewers,
            rate_of_requests(context)
        ))
        .fix("tcp_nopush on, which works together with sendfile on")
        .example("http {\n    tcp_nopush on;\n}\n");
    if switched_off { draft.found() } else { draft.absent(Scope::Http).found() }
}

pub(super) fn directio(context: &Context<'_>) -> Outcome {
    let on = |location: &&Location<'_>| {
        location.in_effect("directio").is_some_and(|directio| directio.value() != "off")
    };
    let wrong: Vec<&Location<'_>> =
        context.nginx.media_files().filter(|location| location.serves_segments()).filter(on).collect();
    let Some(first) = wrong.first() else {
        return Outcome::NotApplicable;
    };
    let size = first.in_effect("directio").and_then(|directio| bytes(directio.value())).unwrap_or(0);
    let segment = context
        .live()
        .filter(|stream| stream.listed > 0)
        .filter_map(|stream| Some(stream.bits_per_second? / 8.0 * stream.seconds / stream.listed as f64))
        .max_by(f64::total_cmp);
    // Larger than any segment: it concerns downloads only.
    const LARGEST_SEGMENT: f64 = 16e6;
    if size as f64 > segment.unwrap_or(LARGEST_SEGMENT) {
        return Outcome::Good("for files larger than segments".into());
    }
    let directives = wrong
        .iter()
        .flat_map(|location| ["directio", "aio"].into_iter().filter_map(|name| location.in_effect(name)));
    Draft::new(Severity::Moderate, "segments bypass the page cache")
        .evidence(Context::places(directives))
        .effect(format!(
            "each of {} viewers reads each segment from the disk again, and sendfile is off for these files",
            context.viewers
        ))
        .fix("directio off for segments, which many viewers read at the same time; aio threads keeps slow reads away from the worker. directio suits single downloads of large files (16m and more)")
        .example("directio off;\naio threads;   # nginx must be built with --with-threads\n")
        .found()
}

/// Parses a size of nginx: `512`, `4m`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.strip_prefix(digits)?.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

pub(super) fn access_log(context: &Context<'_>) -> Outcome {
    let is_buffered = |log: &Directive| {
        log.value() == "off"
            || log.value().starts_with("syslog:")
            || log
                .arguments
                .iter()
                .any(|argument| argument.starts_with("buffer=") || argument.starts_with("gzip"))
    };
    if context.nginx.media().next().is_none() {
        return Outcome::NotApplicable;
    }
    let lacking = lacking(context.nginx.media(), "access_log", is_buffered);
    if lacking.is_empty() {
        return Outcome::Good("off, or written in blocks".into());
    }
    let by_default = lacking.iter().any(|(_, directive)| directive.is_none());
    let edits: Vec<Edit> = match buffered_logs(context, lacking.iter().filter_map(|(_, log)| *log).collect())
    {
        Some(edits) if !by_default => edits,
        _ => Vec::new(),
    };
    let draft = Draft::new(Severity::Low, "each request writes a line to the access log by itself")
        .evidence(seen(&lacking, "access_log (nginx writes logs/access.log by default)"))
        .effect(format!("a system call for each request of {} viewers{}", context.viewers, rate_of_requests(context)))
        .fix("access_log … buffer=64k flush=5s, so that lines reach the disk in blocks at most 5 s later; or access_log off for segments")
        .example("access_log /var/log/nginx/access.log combined buffer=64k flush=5s;\n")
        .edits(edits);
    if by_default { draft.absent(Scope::Http).found() } else { draft.found() }
}

/// Returns the edits that buffer the given logs. nginx wants the same buffer in each place that names a
/// file, so all of them are changed, or none.
fn buffered_logs(context: &Context<'_>, logs: Vec<&Directive>) -> Option<Vec<Edit>> {
    let everywhere = context.nginx.everywhere("access_log");
    let mut edits = Vec::new();
    for log in logs {
        let path = log.value();
        let same: Vec<&&Directive> = everywhere.iter().filter(|other| other.value() == path).collect();
        let mentions: usize = context.files().values().map(|text| text.matches(path).count()).sum();
        if path.contains('$') || mentions != same.len() {
            return None;
        }
        for log in same {
            let mut words: Vec<String> = vec![quote(path)];
            let rest = log.arguments.get(1..).unwrap_or_default();
            match rest.first() {
                Some(format) if !format.contains('=') => words.extend(rest.iter().map(|word| quote(word))),
                _ => {
                    words.push("combined".into());
                    words.extend(rest.iter().map(|word| quote(word)));
                }
            }
            if rest.iter().any(|word| word.starts_with("buffer=") || word.starts_with("flush=")) {
                return None;
            }
            let line = format!("access_log {} buffer=64k flush=5s;", words.join(" "));
            edits.push(replace(log, &[line], context.files())?);
        }
    }
    Some(edits)
}

/// Directories of live streams on a disk.
struct LiveDirectory {
    path: String,
    streams: usize,
    /// Size of the listed segments, bytes.
    bytes: f64,
    /// Whether it holds only files of live streams, so that a tmpfs may cover it.
    only_live: bool,
}

/// Returns the directories with live playlists that are not in memory.
fn live_directories(context: &Context<'_>) -> Vec<LiveDirectory> {
    const OF_STREAMS: [&str; 9] = ["m3u8", "ts", "m4s", "aac", "m4a", "vtt", "key", "tmp", "bak"];
    let mut found: Vec<LiveDirectory> = Vec::new();
    for ((root, contents), folder) in context.folders.iter().zip(&context.facts.folders) {
        for stream in contents.streams.iter().filter(|stream| stream.live && !folder.in_memory) {
            let directory = stream.path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
            let bytes = stream.bits_per_second.map_or(0.0, |bits| bits / 8.0 * stream.seconds);
            if let Some(known) = found.iter_mut().find(|known| known.path == directory) {
                known.streams += 1;
                known.bytes += bytes;
                continue;
            }
            let below = format!("{directory}/");
            let mut files =
                folder.files.iter().map(|file| format!("{}/{}", root.trim_end_matches('/'), file.name));
            let only_streams = files.all(|file| {
                let name = file.rsplit('/').next().unwrap_or_default();
                let extension = name.rsplit('.').next().unwrap_or_default();
                let initialization = name.ends_with(".mp4") && name.starts_with("init");
                !file.starts_with(&below)
                    || initialization
                    || (OF_STREAMS.contains(&extension) && !name.ends_with(".d.ts"))
            });
            found.push(LiveDirectory {
                only_live: only_streams && !contents.has_vod && directory != root.trim_end_matches('/'),
                path: directory,
                streams: 1,
                bytes,
            });
        }
    }
    found
}

pub(super) fn on_disk(context: &Context<'_>) -> Outcome {
    if context.folders.is_empty() {
        return Outcome::NotApplicable;
    }
    let directories = live_directories(context);
    if directories.is_empty() {
        return Outcome::Good("live segments are in memory, or there are none".into());
    }
    let (mut evidence, mut commands) = (Vec::new(), Vec::new());
    for LiveDirectory { path, streams, bytes, only_live } in directories {
        // What is listed, as much again for segments that viewers still fetch, and room for the next ones.
        let megabytes = ((bytes * 3.0 / 1e6).ceil() as u64).div_ceil(64).max(1) * 64;
        evidence.push(format!(
            "{path}: {} on a disk; {:.1} MB are listed, a tmpfs needs {megabytes} MB",
            super::count(streams, "live stream"),
            bytes / 1e6
        ));
        if only_live && context.facts.container {
            evidence.push(format!(
                "{path} is in a container: give it the tmpfs when it starts (such as --tmpfs {path}:size={megabytes}m)"
            ));
        } else if only_live {
            commands.push(format!(
                "echo 'tmpfs {path} tmpfs size={megabytes}m,mode=1777,nodev,nosuid,noexec 0 0' >>/etc/fstab && mount {path}   # stop the encoders before"
            ));
        } else {
            evidence.push(format!("{path} is a root or holds other files, which a tmpfs would hide: give live streams a directory of their own"));
        }
    }
    let threads = context
        .nginx
        .media_files()
        .all(|location| location.in_effect("aio").is_some_and(|aio| aio.value() == "threads"));
    let aio = if threads {
        ""
    } else {
        "; without it, `aio threads;` keeps slow reads away from the worker (no directio: the page cache serves the viewers)"
    };
    Draft::new(Severity::Low, "live segments are written to a disk")
        .evidence(evidence)
        .effect(format!(
            "a disk that is busy with writing delays the segments for {} viewers, and live segments wear it out needlessly",
            context.viewers
        ))
        .fix(format!("a tmpfs of three times what the playlists list{aio}"))
        .commands(commands)
        .found()
}
