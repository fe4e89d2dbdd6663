//! nginx.conf: the server, its headers and locations.

use std::net::SocketAddr;

use super::http::{Place, directives, location};
use super::{CERTIFICATE, CERTIFICATE_KEY, Facts, Site};

pub(crate) fn server(site: &Site<'_>, facts: &Facts) -> String {
    [listen(site, facts), headers(), media(site, facts), pages(), "    }\n".to_owned()].concat()
}

/// What is different behind the front: a flag of `listen`, and directives.
fn front(facts: &Facts) -> (&'static str, &'static str) {
    match (facts.behind_front, facts.build.has("--with-http_realip_module")) {
        (false, _) => ("", ""),
        (true, false) => (" proxy_protocol", ""),
        (true, true) => (
            " proxy_protocol",
            "        # Faults may be made in front of nginx; log and limits tell viewers apart all the same.\n        \
             set_real_ip_from 127.0.0.1;\n        \
             real_ip_header proxy_protocol;\n",
        ),
    }
}

fn listen(site: &Site<'_>, facts: &Facts) -> String {
    let listen = site.listen;
    let (proxied, real) = front(facts);
    let tls = site.tls.map(|address| tls(address, site, facts)).unwrap_or_default();
    format!(
        "    server {{\n        \
             # The kernel keeps a ramp's connections until a worker takes them (at most net.core.somaxconn).\n        \
             listen {listen} backlog=4096{proxied};\n\
             {tls}{real}        \
             server_name _;\n        \
             root www;\n\n"
    )
}

fn tls(address: SocketAddr, site: &Site<'_>, facts: &Facts) -> String {
    let wanted = site.serving.serve.http2 && facts.build.has("--with-http_v2_module");
    let (word, directive) = match (wanted, facts.build.has_http2_directive()) {
        (false, _) => ("", ""),
        (true, false) => (" http2", ""),
        (true, true) => ("", "        http2 on;\n"),
    };
    format!(
        "        listen {address} ssl{word} backlog=4096;\n\
         {directive}        \
             # Made by hls-origin at its start: the leaf, then the authority that viewers are to trust.\n        \
             ssl_certificate {CERTIFICATE};\n        \
             ssl_certificate_key {CERTIFICATE_KEY};\n        \
             ssl_protocols TLSv1.2 TLSv1.3;\n        \
             # A viewer that comes back skips the costly half of the handshake, whichever worker it meets.\n        \
             ssl_session_cache shared:tls:10m;\n        \
             ssl_session_timeout 1h;\n"
    )
}

fn headers() -> String {
    "        add_header Cache-Control $origin_cache_control;\n        \
         add_header Allow $origin_allow always;\n        \
         # Players in a browser come from other origins; errors carry it too, or they look like CORS faults.\n        \
         add_header Access-Control-Allow-Origin \"*\" always;\n        \
         add_header Access-Control-Allow-Methods \"GET, HEAD, OPTIONS\" always;\n        \
         add_header Access-Control-Allow-Headers \"Authorization, Range, If-None-Match, If-Modified-Since, Cache-Control, Pragma\" always;\n        \
         add_header Access-Control-Expose-Headers \"Content-Length, Content-Range, Date, ETag\" always;\n        \
         add_header Access-Control-Max-Age $origin_preflight_age;\n\n        \
         if ($request_method !~ ^(GET|HEAD|OPTIONS)$) {\n            \
             return 405;\n        \
         }\n        \
         if ($request_method = OPTIONS) {\n            \
             return 204;\n        \
         }\n\n"
    .to_owned()
}

fn media(site: &Site<'_>, facts: &Facts) -> String {
    let cache_max = site.derived.open_file_cache_max;
    let lifetime = site.derived.lifetime_seconds;
    // From memory nothing blocks, and handing each response to a thread would only cost.
    let threads = if !facts.in_memory && facts.build.has("--with-threads") {
        "            # The segments are on a disk: a thread waits for it, not the worker.\n            aio threads;\n"
    } else {
        ""
    };
    let limits = location(&site.serving.limits);
    let log = directives(site, Place::Segments, "            ");
    format!(
        "        location ~ \\.m3u8$ {{\n            \
             # Small and urgent: sent at once instead of waiting for a full packet.\n            \
             tcp_nopush off;\n            \
             tcp_nodelay on;\n            \
             # Each worker would have a cache of its own, whose age differs by up to a second: a viewer\n            \
             # with two connections would see the media sequence go back (1 % of requests, measured).\n            \
             open_file_cache off;\n\
             {limits}        \
         }}\n\n        \
         location ~ \\.(?:ts|m4s|mp4|vtt)$ {{\n            \
             # Large: header and first bytes share a packet, packets are full.\n            \
             tcp_nopush on;\n\
             {threads}            \
             # Never changed once there; forgotten soon after nobody asks, because an open file\n            \
             # keeps its memory even when hls-origin has deleted it (after {lifetime} s).\n            \
             open_file_cache max={cache_max} inactive=10s;\n            \
             open_file_cache_valid 10s;\n            \
             # A segment that is not there yet may be there at the next request.\n            \
             open_file_cache_errors off;\n\
             {limits}{log}        \
         }}\n\n        \
         # The key of encrypted segments: whoever may ask for segments may have it.\n        \
         location ~ \\.key$ {{\n            \
             tcp_nodelay on;\n        \
         }}\n\n"
    )
}

fn pages() -> String {
    "        # hls-origin keeps the file `fresh` only while every playlist advances.\n        \
         location = /health {\n            \
             default_type text/plain;\n            \
             if (-f $document_root/../fresh) {\n                \
                 return 200 \"ok\\n\";\n            \
             }\n            \
             return 503 \"no fresh segments\\n\";\n        \
         }\n\n        \
         location = /nginx_status {\n            \
             stub_status;\n            \
             # Asked for by exporters every few seconds; the log is for viewers.\n            \
             access_log off;\n        \
         }\n\n        \
         # Names, sizes and times of the segments as JSON, read from the directory at each request:\n        \
         # exact, and for some dozen files in memory as cheap as a small file.\n        \
         location ~ ^/files/json/((?:[\\w-]+/)*)$ {\n            \
             alias www/$1;\n            \
             access_log off;\n            \
             autoindex on;\n            \
             autoindex_format json;\n        \
         }\n\n        \
         location / {\n            \
             return 404;\n        \
         }\n"
    .to_owned()
}
