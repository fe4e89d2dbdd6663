//! The `http` block of nginx.conf: settings for all requests, the access log, and the request limits.

use super::server::has_http3;
use super::{NginxEnvironment, SiteConfig};
use crate::access_log::{FORMAT_NAME, log_format};
use crate::nginx::Build;
use crate::profile::derived::Derived;
use crate::profile::{Access, Limits, Log};

/// Size of the shared memory of a limit zone: enough for about 80000 keys.
const ZONE_SIZE: &str = "10m";

/// The types of the files that the origin serves.
const MIME_TYPES: &str = "    types {
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
        video/mp4 m4s mp4;
        text/vtt vtt;
        text/plain txt;
    }
    default_type application/octet-stream;
    server_tokens off;

";

/// Timeouts and limits that do not depend on the profile.
const CONNECTIONS: &str = "    # Discard the buffers of a viewer that is gone, instead of waiting in FIN_WAIT1.
    reset_timedout_connection on;
    client_header_timeout 15s;
    send_timeout 30s;
    # Nothing is uploaded.
    client_max_body_size 1k;
    # A viewer that falls behind requests deleted segments; the status code shows that, without an entry in the log.
    log_not_found off;

";

/// The variables for response headers that depend on the status or the method.
const HEADER_VARIABLES: &str = "    # RFC 9110 section 15.5.6: 405 must list the allowed methods.
    map $status $origin_allow {
        405 \"GET, HEAD, OPTIONS\";
        default \"\";
    }
    # Only the response to a preflight request has a maximum age.
    map $request_method $origin_preflight_age {
        OPTIONS 86400;
        default \"\";
    }

";

/// The contents of `http` before the `server` block.
pub(crate) fn http(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    [
        temporary_paths(&environment.build),
        log_directives(config, LogContext::Http, "    "),
        "\n".to_owned(),
        MIME_TYPES.to_owned(),
        keepalive(config.derived, &environment.build),
        CONNECTIONS.to_owned(),
        cache_control(config),
        upstream(config),
        HEADER_VARIABLES.to_owned(),
        alt_svc(config, environment),
        limit_zones(&config.serving.limits),
    ]
    .concat()
}

/// The variable for the header that announces HTTP/3.
fn alt_svc(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    let Some(address) = config.tls.filter(|_| has_http3(config, environment)) else { return String::new() };
    format!(
        "    # Browsers go on with HTTP/3 after a response that announces it (RFC 7838).\n    \
         map $https $origin_alt_svc {{\n        \
             on 'h3=\":{}\"; ma=86400';\n        \
             default \"\";\n    \
         }}\n\n",
        address.port()
    )
}

fn temporary_paths(build: &Build) -> String {
    let directories = [
        ("client_body", ""),
        ("proxy", "--without-http_proxy_module"),
        ("fastcgi", "--without-http_fastcgi_module"),
        ("uwsgi", "--without-http_uwsgi_module"),
        ("scgi", "--without-http_scgi_module"),
    ];
    let paths: String = directories
        .iter()
        .filter(|(_, without)| !build.has(without))
        .map(|(name, _)| format!("    {name}_temp_path temp/{name};\n"))
        .collect();
    format!(
        "    # nginx creates these directories even if it does not use them; the defaults need root.\n{paths}"
    )
}

fn keepalive(derived: &Derived, build: &Build) -> String {
    let seconds = derived.keepalive_seconds;
    let time = if build.has_keepalive_time() {
        "    # The default closes each connection after an hour, and endurance tests take days.\n    \
         keepalive_time 30d;\n"
    } else {
        ""
    };
    format!(
        "    # The kernel copies from the page cache to the socket, without nginx in between.\n    \
         sendfile on;\n    \
         # Longer than any gap between two requests of a viewer: after an earlier timeout, viewers\n    \
         # would send requests on connections that are already closed.\n    \
         keepalive_timeout {seconds}s;\n    \
         # A viewer sends about one request per second, for days; the default of 1000 would disconnect it.\n    \
         keepalive_requests 10000000;\n\
         {time}"
    )
}

/// The server of low-latency playlists.
fn upstream(config: &SiteConfig<'_>) -> String {
    let Some(address) = config.playlists else { return String::new() };
    format!(
        "    # hls-origin answers requests for playlists, and for the part that is announced.\n    \
         upstream hls_origin {{\n        \
             server {address};\n        \
             # Each blocking request has a connection of its own while it waits.\n        \
             keepalive 512;\n        \
             keepalive_requests 10000000;\n    \
         }}\n\n"
    )
}

fn cache_control(config: &SiteConfig<'_>) -> String {
    let Derived { playlist_max_age, playlist_stale, .. } = config.derived;
    if config.playlists.is_some() {
        return "    # The multivariant playlist changes at the next start only, and segments and parts never change. hls-origin\n    \
             # has the header for the other playlists. Only successful responses have this header.\n    \
             map $uri $origin_cache_control {\n        \
                 ~/master\\.m3u8$ \"public, max-age=5, stale-while-revalidate=10\";\n        \
                 ~\\.m3u8$ \"\";\n        \
                 ~\\.(?:ts|m4s|mp4|vtt)$ \"public, max-age=60, immutable\";\n        \
                 default \"no-store\";\n    \
             }\n"
            .to_owned();
    }
    format!(
        "    # The multivariant playlist changes at the next start only. Media playlists are outdated after half a\n    \
         # segment; segments never change. Only successful responses have this header.\n    \
         map $uri $origin_cache_control {{\n        \
             ~/master\\.m3u8$ \"public, max-age=5, stale-while-revalidate=10\";\n        \
             ~\\.m3u8$ \"public, max-age={playlist_max_age}, stale-while-revalidate={playlist_stale}\";\n        \
             ~\\.(?:ts|m4s|mp4|vtt)$ \"public, max-age=60, immutable\";\n        \
             default \"no-store\";\n    \
         }}\n"
    )
}

/// The block that an `access_log` directive is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogContext {
    /// `http`: for all requests.
    Http,
    /// The `location` of the segments.
    Segments,
}

/// The directives of the access log for `context`, each line indented by `indent`.
pub(crate) fn log_directives(config: &SiteConfig<'_>, context: LogContext, indent: &str) -> String {
    let Log { access, buffer_kb, flush_seconds, gzip_level, .. } = config.serving.log;
    let path = config.access_log.filter(|_| access != Access::Off);
    let path_here = match (context, access) {
        (LogContext::Http, Access::All) | (LogContext::Segments, Access::Segments) => path,
        _ => None,
    };
    let mut text = String::new();
    if context == LogContext::Http && path.is_some() {
        text.push_str(&format!("{indent}{}\n", log_format()));
    }
    let Some(path) = path_here else {
        return if context == LogContext::Http { text + &format!("{indent}access_log off;\n") } else { text };
    };
    if buffer_kb > 0 {
        text.push_str(&format!(
            "{indent}# Buffered: a write for each request would cost more than the request.\n"
        ));
    }
    let gzip = if gzip_level > 0 { format!(" gzip={gzip_level}") } else { String::new() };
    let buffer =
        if buffer_kb > 0 { format!(" buffer={buffer_kb}k flush={flush_seconds}s") } else { String::new() };
    text + &format!("{indent}access_log \"{path}\" {FORMAT_NAME}{gzip}{buffer};\n")
}

/// A limit zone: its name, the variable that is its key, and the limit.
type Zone = (String, &'static str, Limit);

enum Limit {
    /// Requests per second.
    Rate(u32),
    /// Concurrent connections.
    Connections(u32),
}

/// The zones of the limits that are set.
fn zones(limits: &Limits) -> Vec<Zone> {
    let zone = |key_name: &str, key, limit| {
        let limit_name = match limit {
            Limit::Rate(_) => "rate",
            Limit::Connections(_) => "connections",
        };
        (format!("{key_name}_{limit_name}"), key, limit)
    };
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

/// The module that these limits require, if this nginx was built without it.
pub(crate) fn missing_module(limits: &Limits, build: &Build) -> Option<&'static str> {
    zones(limits)
        .iter()
        .map(|(_, _, limit)| match limit {
            Limit::Rate(_) => "http_limit_req_module",
            Limit::Connections(_) => "http_limit_conn_module",
        })
        .find(|module| build.has(&format!("--without-{module}")))
}

/// The limit zones for `http`; empty without limits.
fn limit_zones(limits: &Limits) -> String {
    let zones = zones(limits);
    if zones.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    if zones.iter().any(|(_, key, _)| *key == "$origin_token") {
        text.push_str(&format!(
            "    # The token of a request: ?{argument}=..., or else Authorization. Requests without a token are not limited.\n    \
             map $arg_{argument} $origin_token {{\n        \
                 \"\" $http_authorization;\n        \
                 default $arg_{argument};\n    \
             }}\n",
            argument = limits.token_argument
        ));
    }
    text.push_str("    # Clients that send too many requests are rejected, so that the others are served.\n");
    for (zone, key, limit) in &zones {
        text.push_str(&match limit {
            Limit::Rate(rate) => {
                format!("    limit_req_zone {key} zone={zone}:{ZONE_SIZE} rate={rate}r/s;\n")
            }
            Limit::Connections(_) => format!("    limit_conn_zone {key} zone={zone}:{ZONE_SIZE};\n"),
        });
    }
    let status = limits.status;
    text + &format!(
        "    limit_req_status {status};\n    \
         limit_conn_status {status};\n    \
         # Viewers see the status code; a line for each rejection would fill the log.\n    \
         limit_req_log_level info;\n    \
         limit_conn_log_level info;\n\n"
    )
}

/// The limits for the locations of playlists and segments. Health and status pages are never limited.
pub(crate) fn limit_directives(limits: &Limits) -> String {
    let mut text = String::new();
    for (zone, _, limit) in zones(limits) {
        text.push_str(&match limit {
            // nodelay: a player sends several requests at once; delaying them would distort the test.
            Limit::Rate(_) => format!("            limit_req zone={zone} burst={} nodelay;\n", limits.burst),
            Limit::Connections(count) => format!("            limit_conn {zone} {count};\n"),
        });
    }
    text
}
