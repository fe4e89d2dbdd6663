//! nginx.conf within `http`, before the server: what holds for every request.

use super::log::{self, Place};
use super::{Facts, Site, limits};
use crate::profile::derived::Derived;

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
    let log = log::directives(site, Place::Http, "    ");
    let age = if facts.build.ends_old_connections() {
        "    # An endurance test takes days; the default would close each connection after an hour.\n    \
         keepalive_time 30d;\n"
    } else {
        ""
    };
    let limits = limits::http(&site.serving.limits);
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
