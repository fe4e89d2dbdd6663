//! Response headers of playlists and segments: caching, CORS, compression.

use super::{Draft, Outcome};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx::{Location, seconds};
use crate::audit::nginx_conf::Directive;

/// Longest time for which a playlist may be cached, seconds.
const PLAYLIST_SECONDS: f64 = 5.0;

/// Instructions of a location to caches.
enum Caching<'a> {
    /// Nothing.
    Nothing,
    /// It must not be stored, or not be used without a question to the server.
    No(&'a Directive),
    /// It may be used for this time, seconds.
    For(f64, &'a Directive),
    /// It depends on variables or on something else that is not known here.
    Unknown,
}

/// Returns the value of a response header with the directive that sets it.
fn header<'a>(location: &Location<'a>, name: &str) -> Option<(&'a str, &'a Directive)> {
    let nested =
        location.own().iter().filter(|directive| directive.name == "if").flat_map(Directive::children);
    let add =
        location.all_in_effect("add_header").chain(nested.filter(|directive| directive.name == "add_header"));
    let add = add.filter(|directive| directive.value().eq_ignore_ascii_case(name));
    let mut added = add.filter_map(|directive| Some((directive.arguments.get(1)?.as_str(), directive)));
    let more = location.all_around("more_set_headers");
    added.next().or_else(|| {
        more.into_iter().find_map(|directive| {
            let value = directive.arguments.iter().find_map(|argument| {
                let (header, value) = argument.split_once(':')?;
                header.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })?;
            Some((value, directive))
        })
    })
}

fn caching<'a>(location: &Location<'a>) -> Caching<'a> {
    if let Some((value, directive)) = header(location, "Cache-Control") {
        let value = value.to_ascii_lowercase();
        if value.contains('$') {
            return Caching::Unknown;
        }
        if ["no-store", "no-cache", "private"].iter().any(|word| value.contains(word)) {
            return Caching::No(directive);
        }
        let words = || value.split(',').map(str::trim);
        // Caches of a CDN obey s-maxage before max-age.
        let age = ["s-maxage=", "max-age="]
            .iter()
            .find_map(|name| words().find_map(|word| word.strip_prefix(name)));
        return match age.and_then(|age| age.trim_matches('"').parse::<f64>().ok()) {
            Some(0.0) => Caching::No(directive),
            Some(age) => Caching::For(age, directive),
            None => Caching::Unknown,
        };
    }
    match location.in_effect("expires") {
        Some(expires) => match expires.value() {
            "off" => Caching::Nothing,
            "epoch" => Caching::No(expires),
            "max" => Caching::For(3.2e8, expires),
            value if value.starts_with('-') => Caching::No(expires),
            value => match seconds(value) {
                Some(0.0) => Caching::No(expires),
                Some(time) => Caching::For(time, expires),
                None => Caching::Unknown,
            },
        },
        None => Caching::Nothing,
    }
}

fn described(location: &Location<'_>, what: &str) -> String {
    format!("{}: {} {what}", location.head.place(), location.head)
}

/// A header that a location has lost, because it has headers of its own.
fn lost<'a>(location: &Location<'a>, name: &str) -> Option<&'a Directive> {
    let of_name = |directive: &&Directive| directive.value().eq_ignore_ascii_case(name);
    location.all_around("add_header").find(of_name).filter(|_| header(location, name).is_none())
}

pub(super) fn playlist_cache_control(context: &Context<'_>) -> Outcome {
    let playlists: Vec<&Location<'_>> =
        context.nginx.media_files().filter(|location| location.serves_playlists()).collect();
    if playlists.is_empty() {
        return Outcome::NotApplicable;
    }
    let (mut missing, mut long) = (Vec::new(), Vec::new());
    for location in playlists {
        match caching(location) {
            Caching::Nothing => {
                missing.push(described(location, "sets no Cache-Control"));
                missing.extend(lost(location, "Cache-Control").map(|directive| {
                    format!("{}: {directive} does not apply there, because the location has add_header of its own", directive.place())
                }));
            }
            Caching::For(time, directive)
                if time > PLAYLIST_SECONDS && !location.head.arguments.concat().contains("vod") =>
            {
                long.push(format!("{}: {directive}", directive.place()));
            }
            _ => {}
        }
    }
    if missing.is_empty() && long.is_empty() {
        return Outcome::Good("playlists are cached for 5 s at most".into());
    }
    let moderate = !long.is_empty();
    let title = if moderate {
        "live playlists may be cached for long"
    } else {
        "playlists do not specify how long they may be cached"
    };
    let draft = Draft::new(if moderate { Severity::Moderate } else { Severity::Low }, title)
        .evidence(long.into_iter().chain(missing))
        .effect(if moderate {
            "a CDN or browser serves an old playlist, and its viewers run out of segments".to_owned()
        } else {
            format!(
                "each cache guesses (a tenth of the file's age is usual): some of {} viewers get old playlists, and a CDN asks too often or too seldom",
                context.viewers
            )
        })
        .fix("Cache-Control: max-age of half a segment for media playlists, 5 s for multivariant playlists, no-cache without a CDN. It changes responses, so there is no patch; repeat the other add_header lines, which a location with one of its own does not inherit")
        .example("location ~ \\.m3u8$ {\n    add_header Cache-Control \"public, max-age=1, stale-while-revalidate=2\";\n    # and the directives of the location that serves playlists now\n}\n");
    if moderate { draft.found() } else { draft.absent(Scope::Http).found() }
}

pub(super) fn segment_cache_control(context: &Context<'_>) -> Outcome {
    let segments: Vec<&Location<'_>> =
        context.nginx.media_files().filter(|location| location.serves_segments()).collect();
    if segments.is_empty() {
        return Outcome::NotApplicable;
    }
    let mut wrong = Vec::new();
    for location in segments {
        if let Caching::No(directive) = caching(location) {
            let with = if location.serves_playlists() {
                " for segments and playlists alike"
            } else {
                " for segments"
            };
            wrong.push(format!("{}: {directive}{with}", directive.place()));
        }
    }
    if wrong.is_empty() {
        return Outcome::Good("segments may be cached".into());
    }
    Draft::new(Severity::Moderate, "segments must not be cached")
        .evidence(wrong)
        .effect(format!(
            "a CDN or proxy fetches each segment from here for each of {} viewers, although a segment never changes; players fetch it again when they seek",
            context.viewers
        ))
        .fix("no-cache for playlists only; max-age of a minute or more and immutable for segments. It changes responses, so there is no patch")
        .example("location ~ \\.(ts|m4s|mp4|aac)$ {\n    add_header Cache-Control \"public, max-age=60, immutable\";\n    # and the directives of the location that serves segments now\n}\n")
        .found()
}

pub(super) fn cors(context: &Context<'_>) -> Outcome {
    const NAME: &str = "Access-Control-Allow-Origin";
    let files: Vec<&Location<'_>> = context.nginx.media_files().collect();
    if files.is_empty() {
        return Outcome::NotApplicable;
    }
    let without: Vec<&Location<'_>> =
        files.into_iter().filter(|location| header(location, NAME).is_none()).collect();
    if without.is_empty() {
        return Outcome::Good(NAME.to_owned());
    }
    let lost: Vec<String> = without
        .iter()
        .filter_map(|location| {
            let directive = lost(location, NAME)?;
            Some(format!(
                "{}: {directive} does not apply in {}, which has add_header of its own",
                directive.place(),
                location.head.place()
            ))
        })
        .collect();
    let severity = if lost.is_empty() { Severity::Low } else { Severity::Moderate };
    let draft = Draft::new(severity, "players in browsers cannot play from other sites")
        .evidence(without.iter().map(|location| described(location, &format!("sends no {NAME}"))))
        .evidence(lost)
        .effect("hls.js and other players of web pages fail with a CORS error unless page and stream have the same origin; native players are not affected")
        .fix("Access-Control-Allow-Origin (the sites that may play, or *), Expose-Headers, and an answer to OPTIONS where players send headers of their own. It changes responses, so there is no patch")
        .example("add_header Access-Control-Allow-Origin * always;\nadd_header Access-Control-Expose-Headers \"Content-Length, Content-Range, Date\" always;\nadd_header Access-Control-Allow-Headers \"Range\" always;\n");
    if severity == Severity::Low { draft.absent(Scope::Http).found() } else { draft.found() }
}

pub(super) fn gzip_playlists(context: &Context<'_>) -> Outcome {
    let playlists: Vec<&Location<'_>> =
        context.nginx.media_files().filter(|location| location.serves_playlists()).collect();
    if playlists.is_empty() {
        return Outcome::NotApplicable;
    }
    const SMALL_PLAYLIST_BYTES: u64 = 1000;
    let largest = context.live().map(|stream| stream.bytes).max();
    if let Some(largest) = largest.filter(|largest| *largest < SMALL_PLAYLIST_BYTES) {
        return Outcome::Good(format!(
            "the largest live playlist has {largest} bytes; compression would not pay"
        ));
    }
    let compressed = |location: &Location<'_>| {
        let on = |name: &str| {
            location.in_effect(name).is_some_and(|directive| ["on", "always"].contains(&directive.value()))
        };
        let types = location.in_effect("gzip_types").is_some_and(|types| {
            types.arguments.iter().any(|kind| kind == "*" || kind.to_ascii_lowercase().contains("mpegurl"))
        });
        on("gzip_static") || (on("gzip") && types) || location.in_effect("brotli").is_some()
    };
    let without: Vec<&Location<'_>> =
        playlists.into_iter().filter(|location| !compressed(location)).collect();
    if without.is_empty() {
        return Outcome::Good("playlists are compressed".into());
    }
    let size = largest.map_or_else(String::new, |bytes| format!(" (the largest here has {bytes} bytes)"));
    Draft::new(Severity::Low, "playlists are not compressed")
        .evidence(without.iter().map(|location| described(location, "serves playlists without gzip for their type")))
        .effect(format!(
            "a playlist compresses to about a fifth{size}; {} viewers fetch one for each segment, and long ones need several round trips",
            context.viewers
        ))
        .fix("gzip for the types of playlists. It changes headers (Content-Encoding, ETag), so there is no patch")
        .example("gzip on;\ngzip_types application/vnd.apple.mpegurl application/x-mpegurl application/dash+xml;\ngzip_min_length 1000;\ngzip_vary on;\n")
        .absent(Scope::Http)
        .found()
}

pub(super) fn gzip_media(context: &Context<'_>) -> Outcome {
    let media = |kind: &String| {
        kind == "*"
            || ["video/", "audio/"].iter().any(|start| kind.starts_with(start)) && !kind.contains("mpegurl")
    };
    let mut wrong = Vec::new();
    for location in context.nginx.media() {
        let on = location.in_effect("gzip").is_some_and(|gzip| gzip.value() == "on");
        wrong
            .extend(location.in_effect("gzip_types").filter(|types| on && types.arguments.iter().any(media)));
    }
    if wrong.is_empty() {
        return Outcome::NotApplicable;
    }
    Draft::new(Severity::Moderate, "segments are compressed a second time")
        .evidence(Context::places(wrong))
        .effect(format!(
            "gzip costs much CPU for each of {} viewers and makes video no smaller; sendfile, byte ranges, and Content-Length are lost",
            context.viewers
        ))
        .fix("gzip_types with text types and those of playlists only. It changes headers, so there is no patch")
        .example("gzip_types application/vnd.apple.mpegurl application/json text/css application/javascript;\n")
        .found()
}
