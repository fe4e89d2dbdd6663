//! Caches of proxied playlists and segments.

use super::{Draft, Outcome};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx::{Location, seconds};
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::{Edit, after};

/// Longest time for which a live playlist may be cached, seconds.
const PLAYLIST_SECONDS: f64 = 2.0;
/// Shortest useful time for segments, seconds.
const SEGMENT_SECONDS: f64 = 10.0;

/// Returns the locations that proxy media through a cache, with its directive.
fn cached<'c, 'a>(context: &'c Context<'a>) -> Vec<(&'c Location<'a>, &'a Directive)> {
    let proxied = context.nginx.media_proxied();
    proxied
        .filter_map(|(location, _)| Some((location, location.in_effect("proxy_cache")?)))
        .filter(|(_, cache)| cache.value() != "off")
        .collect()
}

fn places(locations: &[&Location<'_>], missing: &str) -> Vec<String> {
    locations
        .iter()
        .map(|location| format!("{}: {} has {missing}", location.head.place(), location.head))
        .collect()
}

pub(super) fn lock(context: &Context<'_>) -> Outcome {
    let cached = cached(context);
    if cached.is_empty() {
        return Outcome::NotApplicable;
    }
    let without: Vec<(&Location<'_>, &Directive)> = cached
        .iter()
        .filter(|(location, _)| {
            location.in_effect("proxy_cache_lock").is_none_or(|lock| lock.value() != "on")
        })
        .copied()
        .collect();
    if without.is_empty() {
        return Outcome::Good("proxy_cache_lock on".into());
    }
    // Beside the cache, the lock applies to the same locations as the cache.
    let edits: Vec<Edit> = without
        .iter()
        .filter(|(location, _)| location.in_effect("proxy_cache_lock").is_none())
        .filter_map(|(_, cache)| after(cache, "proxy_cache_lock on;", context.files()))
        .collect();
    let locations: Vec<&Location<'_>> = without.iter().map(|(location, _)| *location).collect();
    Draft::new(Severity::Moderate, "viewers fetch the same new segment from the upstream at the same time")
        .evidence(places(&locations, "a cache without proxy_cache_lock"))
        .effect(format!(
            "each new segment and playlist is fetched as often as viewers ask for it until the first copy is complete, in the worst case {} times",
            context.viewers
        ))
        .fix("proxy_cache_lock on: the first request fills the cache, and the others wait for it for at most 5 s")
        .example("proxy_cache_lock on;\n")
        .edits(edits)
        .absent(Scope::Http)
        .found()
}

pub(super) fn stale(context: &Context<'_>) -> Outcome {
    let cached = cached(context);
    if cached.is_empty() {
        return Outcome::NotApplicable;
    }
    let updating = |location: &Location<'_>| {
        location
            .in_effect("proxy_cache_use_stale")
            .is_some_and(|stale| stale.arguments.iter().any(|word| word == "updating"))
    };
    let background = |location: &Location<'_>| {
        location.in_effect("proxy_cache_background_update").is_some_and(|update| update.value() == "on")
    };
    let without: Vec<&Location<'_>> = cached
        .iter()
        .map(|(location, _)| *location)
        .filter(|location| !updating(location) || !background(location))
        .collect();
    if without.is_empty() {
        return Outcome::Good("proxy_cache_use_stale updating, proxy_cache_background_update on".into());
    }
    let missing = if without.iter().any(|location| !updating(location)) {
        "a cache without proxy_cache_use_stale updating"
    } else {
        "a cache without proxy_cache_background_update"
    };
    Draft::new(Severity::Low, "viewers wait while the cache is refreshed")
        .evidence(places(&without, missing))
        .effect(format!(
            "every time a playlist expires, all of {} viewers that ask for it wait for the upstream; an upstream that fails for a second is an error for all of them",
            context.viewers
        ))
        .fix("proxy_cache_use_stale and proxy_cache_background_update; a playlist may then be older by one request to the upstream, so keep its time in the cache at 1 s")
        .example("proxy_cache_use_stale updating error timeout http_500 http_502 http_503 http_504;\nproxy_cache_background_update on;\n")
        .absent(Scope::Http)
        .found()
}

pub(super) fn key(context: &Context<'_>) -> Outcome {
    let cached = cached(context);
    if cached.is_empty() {
        return Outcome::NotApplicable;
    }
    const ARGUMENTS: [&str; 4] = ["$request_uri", "$args", "$query_string", "$is_args"];
    let mut evidence = Vec::new();
    let mut with_token = false;
    for (location, cache) in &cached {
        let key = location.in_effect("proxy_cache_key");
        // The default key is $scheme$proxy_host$request_uri.
        let holds_arguments = key.is_none_or(|key| {
            let text = key.arguments.concat();
            ARGUMENTS.iter().any(|name| text.contains(name))
                || text.contains("$arg_")
                || text.contains("$cookie_")
        });
        let tokens = token_of(location);
        if !holds_arguments || (key.is_none() && tokens.is_none()) {
            continue;
        }
        with_token |= tokens.is_some();
        evidence.push(match key {
            Some(key) => format!("{}: {key}", key.place()),
            None => format!("{}: no proxy_cache_key; the default contains the query string", cache.place()),
        });
        evidence.extend(tokens.map(|token| format!("{}: {token}", token.place())));
    }
    evidence.dedup();
    if evidence.is_empty() {
        return Outcome::Good("the key does not depend on tokens".into());
    }
    let severity = if with_token { Severity::Moderate } else { Severity::Low };
    Draft::new(severity, "the query string is part of the cache key")
        .evidence(evidence)
        .effect(format!(
            "where each viewer has a token or session in the address, each of {} viewers has a copy of every segment, and nothing is ever found in the cache",
            context.viewers
        ))
        .fix("proxy_cache_key without the query string, after the token was checked; keep the arguments that the answer depends on (_HLS_msn, _HLS_part, _HLS_skip for LL-HLS)")
        .example("proxy_cache_key $scheme$proxy_host$uri$arg__HLS_msn$arg__HLS_part$arg__HLS_skip;\n")
        .found()
}

/// Returns a directive that shows that viewers have tokens.
fn token_of<'a>(location: &Location<'a>) -> Option<&'a Directive> {
    const TOKENS: [&str; 10] = [
        "$arg_token",
        "$arg_md5",
        "$arg_key",
        "$arg_sig",
        "$arg_hash",
        "$arg_auth",
        "$arg_session",
        "$arg_sid",
        "$arg_st",
        "$arg_expires",
    ];
    let names_token = |directive: &&'a Directive| {
        directive.name != "limit_req_zone"
            && directive.arguments.iter().any(|word| TOKENS.iter().any(|token| word.contains(token)))
    };
    ["secure_link", "secure_link_hmac"]
        .iter()
        .find_map(|name| location.in_effect(name))
        .or_else(|| location.server.children().iter().chain(location.own()).find(names_token))
}

pub(super) fn times(context: &Context<'_>) -> Outcome {
    let cached = cached(context);
    if cached.is_empty() {
        return Outcome::NotApplicable;
    }
    let (mut long, mut short) = (Vec::new(), Vec::new());
    for (location, _) in &cached {
        for valid in location.all_in_effect("proxy_cache_valid") {
            // Without codes it applies to 200, 301, and 302.
            let (codes, time) = match valid.arguments.as_slice() {
                [] => continue,
                [codes @ .., time] => (codes, seconds(time)),
            };
            let ok = codes.is_empty() || codes.iter().any(|code| code == "200" || code == "any");
            let Some(time) = time.filter(|_| ok) else { continue };
            if location.serves_playlists() && time > PLAYLIST_SECONDS {
                long.push(valid);
            } else if location.serves_segments() && !location.serves_playlists() && time < SEGMENT_SECONDS {
                short.push(valid);
            }
        }
    }
    if long.is_empty() && short.is_empty() {
        return Outcome::Good("playlists for at most 2 s, or as the upstream's headers specify".into());
    }
    let (severity, title) = if long.is_empty() {
        (Severity::Low, "segments leave the cache early")
    } else {
        (Severity::Moderate, "live playlists are cached for long")
    };
    Draft::new(severity, title)
        .evidence(Context::places(long.into_iter().chain(short)))
        .effect(format!(
            "a viewer gets a playlist that is older than a segment and runs out of segments, or {} viewers make the upstream send the same segments again; live and VOD in one location need the shorter time",
            context.viewers
        ))
        .fix("1 s for playlists and a minute or more for segments, in locations of their own; or let the upstream say so with Cache-Control and drop proxy_cache_valid")
        .example("location ~ \\.m3u8$ {\n    proxy_cache_valid 200 1s;\n    # proxy_pass and the rest as before\n}\nlocation ~ \\.(ts|m4s)$ {\n    proxy_cache_valid 200 10m;\n}\n")
        .found()
}

pub(super) fn size(context: &Context<'_>) -> Outcome {
    if cached(context).is_empty() {
        return Outcome::NotApplicable;
    }
    let unlimited: Vec<&Directive> = context
        .nginx
        .everywhere("proxy_cache_path")
        .into_iter()
        .filter(|path| {
            !path.arguments.iter().any(|word| word.starts_with("max_size=") || word.starts_with("min_free="))
        })
        .collect();
    if unlimited.is_empty() {
        return Outcome::Good("the cache has a size".into());
    }
    Draft::new(Severity::Low, "the cache has no size")
        .evidence(Context::places(unlimited))
        .effect("everything that is requested within `inactive` (10 min by default) stays: many streams fill the disk, and nothing can be cached any more")
        .fix("max_size (or min_free) in proxy_cache_path, on a disk or tmpfs other than that of the segments")
        .example("proxy_cache_path /var/cache/nginx/hls levels=1:2 keys_zone=hls:10m max_size=10g min_free=1g inactive=10m use_temp_path=off;\n")
        .found()
}
