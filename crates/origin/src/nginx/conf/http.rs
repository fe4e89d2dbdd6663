//! nginx.conf within `http`, before the server: what holds for every request.

use super::{Facts, Site};
use crate::access_log::{FORMAT_NAME, log_format};
use crate::nginx::Build;
use crate::profile::derived::Derived;
use crate::profile::{Access, Limits, Log};

pub(crate) fn http(site: &Site<'_>, facts: &Facts) -> String {
    let Derived { keepalive_seconds, playlist_max_age, playlist_stale, .. } = site.derived;
    let temporary = [
        ("client_body", ""),
        ("proxy", "--without-http_proxy_module"),
        ("fastcgi", "--without-http_fastcgi_module"),
        ("uwsgi", "--without-http_uwsgi_module"),
        ("scgi", "--without-http_scgi_module"),
    ];
    let temporary: String = temporary
        .iter()
        .filter(|(_, without)| !facts.build.has(without))
        .map(|(name, _)| format!("    {name}_temp_path temp/{name};\n"))
        .collect();
    let log = directives(site, Place::Http, "    ");
    let age = if facts.build.ends_old_connections() {
        "    # An endurance test takes days; the default would close each connection after an hour.\n    \
         keepalive_time 30d;\n"
    } else {
        ""
    };
    let limits = limit_zones(&site.serving.limits);
    format!(
        "    # nginx makes these at its start, used or not; elsewhere only root may.\n\
         {temporary}{log}\n    \
         types {{\n        \
             application/vnd.apple.mpegurl m3u8;\n        \
             video/mp2t ts;\n        \
             video/mp4 m4s mp4;\n        \
             text/vtt vtt;\n        \
             text/plain txt;\n    \
         }}\n    \
         default_type application/octet-stream;\n    \
         server_tokens off;\n\n    \
         # The kernel copies from the page cache to the socket; nginx does not touch the bytes.\n    \
         sendfile on;\n    \
         # Longer than any gap between two requests of a viewer: closing earlier makes viewers\n    \
         # write into connections that are already gone.\n    \
         keepalive_timeout {keepalive_seconds}s;\n    \
         # A viewer sends about one request a second, for days; the default would cut it off at 1000.\n    \
         keepalive_requests 10000000;\n\
         {age}    \
         # A viewer that is gone must not keep its buffers: reset instead of waiting in FIN_WAIT1.\n    \
         reset_timedout_connection on;\n    \
         client_header_timeout 15s;\n    \
         send_timeout 30s;\n    \
         # Nothing is uploaded.\n    \
         client_max_body_size 1k;\n    \
         # A viewer that falls behind asks for what is gone; its status says so, at no cost here.\n    \
         log_not_found off;\n\n    \
         # The master changes with the next start only. Media playlists grow old within half a segment,\n    \
         # segments never change. Only successes carry it.\n    \
         map $uri $origin_cache_control {{\n        \
             ~/master\\.m3u8$ \"public, max-age=5, stale-while-revalidate=10\";\n        \
             ~\\.m3u8$ \"public, max-age={playlist_max_age}, stale-while-revalidate={playlist_stale}\";\n        \
             ~\\.(?:ts|m4s|mp4|vtt)$ \"public, max-age=60, immutable\";\n        \
             default \"no-store\";\n    \
         }}\n    \
         # RFC 9110 section 15.5.6: whoever refuses a method says which ones there are.\n    \
         map $status $origin_allow {{\n        \
             405 \"GET, HEAD, OPTIONS\";\n        \
             default \"\";\n    \
         }}\n    \
         # Only the answer to a preflight says how long it holds.\n    \
         map $request_method $origin_preflight_age {{\n        \
             OPTIONS 86400;\n        \
             default \"\";\n    \
         }}\n\n\
         {limits}"
    )
}

/// Where `access_log` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `http`: for all requests.
    Http,
    /// In the location of the segments.
    Segments,
}

/// The directives at this place, each line indented by `indent`.
pub(crate) fn directives(site: &Site<'_>, place: Place, indent: &str) -> String {
    let Log { access, buffer_kb, flush_seconds, gzip_level, .. } = site.serving.log;
    let written = site.access_log.filter(|_| access != Access::Off);
    let here = match (place, access) {
        (Place::Http, Access::All) | (Place::Segments, Access::Segments) => written,
        _ => None,
    };
    let mut text = String::new();
    if place == Place::Http && written.is_some() {
        text.push_str(&format!("{indent}{}\n", log_format()));
    }
    let Some(path) = here else {
        return if place == Place::Http { text + &format!("{indent}access_log off;\n") } else { text };
    };
    if buffer_kb > 0 {
        text.push_str(&format!(
            "{indent}# In blocks: a write for each request would cost more than the request.\n"
        ));
    }
    let gzip = if gzip_level > 0 { format!(" gzip={gzip_level}") } else { String::new() };
    let buffer =
        if buffer_kb > 0 { format!(" buffer={buffer_kb}k flush={flush_seconds}s") } else { String::new() };
    text + &format!("{indent}access_log \"{path}\" {}{gzip}{buffer};\n", FORMAT_NAME)
}

/// Shared memory of a zone: about 80000 keys.
const ZONE: &str = "10m";

/// The limits that are set: zone, variable that is the key, requests per second, connections.
fn zones(limits: &Limits) -> Vec<(String, &'static str, Limit)> {
    let zone = |name: &str, key, limit| (format!("{name}_{}", limit_name(&limit)), key, limit);
    let (address, token) = ("$binary_remote_addr", "$origin_token");
    [
        zone("address", address, Limit::Rate(limits.address_requests_per_second)),
        zone("address", address, Limit::Connections(limits.address_connections)),
        zone("token", token, Limit::Rate(limits.token_requests_per_second)),
        zone("token", token, Limit::Connections(limits.token_connections)),
    ]
    .into_iter()
    .filter(|(_, _, limit)| !matches!(limit, Limit::Rate(0) | Limit::Connections(0)))
    .collect()
}

enum Limit {
    Rate(u32),
    Connections(u32),
}

const fn limit_name(limit: &Limit) -> &'static str {
    match limit {
        Limit::Rate(_) => "rate",
        Limit::Connections(_) => "connections",
    }
}

/// The module that these limits need and that this nginx was built without; small builds leave them out.
pub(crate) fn missing_module(limits: &Limits, build: &Build) -> Option<&'static str> {
    zones(limits)
        .iter()
        .map(|(_, _, limit)| match limit {
            Limit::Rate(_) => "http_limit_req_module",
            Limit::Connections(_) => "http_limit_conn_module",
        })
        .find(|module| build.has(&format!("--without-{module}")))
}

/// What goes into `http`: the zones. Empty without limits.
fn limit_zones(limits: &Limits) -> String {
    let zones = zones(limits);
    if zones.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    if zones.iter().any(|(_, key, _)| *key == "$origin_token") {
        text.push_str(&format!(
            "    # Whose request it is: ?{argument}=..., else Authorization. Without either, no token's limit holds.\n    \
             map $arg_{argument} $origin_token {{\n        \
                 \"\" $http_authorization;\n        \
                 default $arg_{argument};\n    \
             }}\n",
            argument = limits.token_argument
        ));
    }
    text.push_str(
        "    # Who asks too often or too much at once is refused, so that the others are served.\n",
    );
    for (zone, key, limit) in &zones {
        text.push_str(&match limit {
            Limit::Rate(rate) => format!("    limit_req_zone {key} zone={zone}:{ZONE} rate={rate}r/s;\n"),
            Limit::Connections(_) => format!("    limit_conn_zone {key} zone={zone}:{ZONE};\n"),
        });
    }
    let status = limits.status;
    text + &format!(
        "    limit_req_status {status};\n    \
         limit_conn_status {status};\n    \
         # The viewer is told by the status; a line for each would fill the log.\n    \
         limit_req_log_level info;\n    \
         limit_conn_log_level info;\n\n"
    )
}

/// What goes into the locations of playlists and segments. Health and status are never limited.
pub(crate) fn location(limits: &Limits) -> String {
    let mut text = String::new();
    for (zone, _, limit) in zones(limits) {
        text.push_str(&match limit {
            // nodelay: a player asks for several things at once; delaying them would be a fault of ours.
            Limit::Rate(_) => format!("            limit_req zone={zone} burst={} nodelay;\n", limits.burst),
            Limit::Connections(count) => format!("            limit_conn {zone} {count};\n"),
        });
    }
    text
}
