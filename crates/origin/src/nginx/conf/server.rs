//! The `server` block of nginx.conf: sockets, headers, and locations.

use std::net::SocketAddr;

use super::http::{LogContext, limit_directives, log_directives};
use super::{CERTIFICATE, CERTIFICATE_KEY, NginxEnvironment, SiteConfig};

pub(crate) fn server(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    [
        listen(config, environment),
        alt_svc(config, environment),
        headers(),
        media(config, environment),
        monitoring(),
        "    }\n".to_owned(),
    ]
    .concat()
}

/// The parameter of `listen` and the directives that are needed behind the fault proxy.
fn proxy_protocol(environment: &NginxEnvironment) -> (&'static str, &'static str) {
    match (environment.behind_proxy, environment.build.has("--with-http_realip_module")) {
        (false, _) => ("", ""),
        (true, false) => (" proxy_protocol", ""),
        (true, true) => (
            " proxy_protocol",
            "        # nginx is behind the fault proxy: with these, the log and the limits use the viewer's own address.\n        \
             set_real_ip_from 127.0.0.1;\n        \
             real_ip_header proxy_protocol;\n",
        ),
    }
}

fn listen(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    let listen = config.listen;
    let (proxied, real) = proxy_protocol(environment);
    let tls = config.tls.map(|address| tls(address, config, environment)).unwrap_or_default();
    format!(
        "    server {{\n        \
             # The kernel queues the connections of a ramp until a worker accepts them (at most net.core.somaxconn).\n        \
             listen {listen} backlog=4096{proxied};\n\
             {tls}{real}        \
             server_name _;\n        \
             root www;\n\n"
    )
}

fn tls(address: SocketAddr, config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    let wanted = config.serving.serve.http2 && environment.build.has("--with-http_v2_module");
    let (parameter, directive) = match (wanted, environment.build.has_http2_directive()) {
        (false, _) => ("", ""),
        (true, false) => (" http2", ""),
        (true, true) => ("", "        http2 on;\n"),
    };
    let quic = if has_http3(config, environment) {
        format!(
            "        # HTTP/3: each worker has a UDP socket of its own, and the kernel divides connections among them.\n        \
             listen {address} quic reuseport;\n"
        )
    } else {
        String::new()
    };
    format!(
        "        listen {address} ssl{parameter} backlog=4096;\n\
         {directive}{quic}        \
             # Created by hls-origin at each start: the certificate, then the authority that viewers must trust.\n        \
             ssl_certificate {CERTIFICATE};\n        \
             ssl_certificate_key {CERTIFICATE_KEY};\n        \
             ssl_protocols TLSv1.2 TLSv1.3;\n        \
             # A viewer that reconnects resumes its TLS session, whichever worker accepts it.\n        \
             ssl_session_cache shared:tls:10m;\n        \
             ssl_session_timeout 1h;\n"
    )
}

/// Whether HTTP/3 is served.
pub(super) fn has_http3(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> bool {
    config.tls.is_some() && config.serving.serve.http3 && environment.build.has_http3()
}

/// The header that announces HTTP/3; responses over plain HTTP do not have it.
fn alt_svc(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    if has_http3(config, environment) {
        "        add_header Alt-Svc $origin_alt_svc always;\n".to_owned()
    } else {
        String::new()
    }
}

fn headers() -> String {
    "        add_header Cache-Control $origin_cache_control;\n        \
         add_header Allow $origin_allow always;\n        \
         # A player in a browser is loaded from another origin. Errors need this header, too, or the browser reports them as CORS errors.\n        \
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

fn media(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    let cache_max = config.derived.open_file_cache_max;
    let lifetime = config.derived.lifetime_seconds;
    // Reading from memory does not block, so passing each response to a thread would only add cost.
    let threads = if !environment.in_memory && environment.build.has("--with-threads") {
        "            # The segments are on a disk: a thread waits for it instead of the worker.\n            aio threads;\n"
    } else {
        ""
    };
    let limits = limit_directives(&config.serving.limits);
    let log = log_directives(config, LogContext::Segments, "            ");
    let (files, proxied, announced) = match config.playlists {
        None => ("\\.m3u8$", String::new(), String::new()),
        Some(_) => ("/master\\.m3u8$", proxied_playlists(&limits), announced_parts(&log)),
    };
    let elsewhere = if announced.is_empty() { "" } else { "            try_files $uri @announced;\n" };
    format!(
        "        location ~ {files} {{\n            \
             # Small and urgent: sent immediately instead of waiting for a full packet.\n            \
             tcp_nopush off;\n            \
             tcp_nodelay on;\n            \
             # Each worker would have its own cache, up to a second older than that of another: a viewer\n            \
             # with two connections would see the media sequence decrease (measured: 1 % of requests).\n            \
             open_file_cache off;\n\
             {limits}        \
         }}\n\n\
         {proxied}        \
         location ~ \\.(?:ts|m4s|mp4|vtt)$ {{\n            \
             # Large: the header and the first bytes share a packet, and packets are full.\n            \
             tcp_nopush on;\n\
             {threads}{elsewhere}            \
             # A segment never changes. Cached files are closed soon after the last request, because an\n            \
             # open file keeps its memory even after hls-origin has deleted it (after {lifetime} s).\n            \
             open_file_cache max={cache_max} inactive=10s;\n            \
             open_file_cache_valid 10s;\n            \
             # A segment that does not exist yet may exist at the next request.\n            \
             open_file_cache_errors off;\n\
             {limits}{log}        \
         }}\n\n\
         {announced}        \
         # The key of encrypted segments is served to every viewer.\n        \
         location ~ \\.key$ {{\n            \
             tcp_nodelay on;\n        \
         }}\n\n"
    )
}

/// How requests are passed on to hls-origin.
const PASSED_ON: &str = "            proxy_pass http://hls_origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            # hls-origin answers within three target durations.
            proxy_read_timeout 600s;
";

/// The location of low-latency playlists.
fn proxied_playlists(limits: &str) -> String {
    format!(
        "        # A request for a playlist may wait for the next part.\n        \
         location ~ \\.m3u8$ {{\n            \
             tcp_nopush off;\n            \
             tcp_nodelay on;\n\
             {PASSED_ON}{limits}        \
         }}\n\n"
    )
}

/// The location of parts that are not written yet.
fn announced_parts(log: &str) -> String {
    format!(
        "        # The part that a playlist announces (EXT-X-PRELOAD-HINT) may be requested before it is there.\n        \
         location @announced {{\n            \
             tcp_nodelay on;\n\
             {PASSED_ON}{log}        \
         }}\n\n"
    )
}

fn monitoring() -> String {
    "        # The file `fresh` exists only while every playlist advances.\n        \
         location = /health {\n            \
             default_type text/plain;\n            \
             if (-f $document_root/../fresh) {\n                \
                 return 200 \"ok\\n\";\n            \
             }\n            \
             return 503 \"no fresh segments\\n\";\n        \
         }\n\n        \
         # A location with a header of its own inherits none: pages of other origins must not read these figures\n        \
         # through the browser of a user.\n        \
         location = /nginx_status {\n            \
             stub_status;\n            \
             add_header Cache-Control \"no-store\" always;\n            \
             # Exporters request it every few seconds; the log is for viewers.\n            \
             access_log off;\n        \
         }\n\n        \
         # Names, sizes and times of the segments as JSON, read from the directory at each request,\n        \
         # which is cheap for some dozen files in memory.\n        \
         location ~ ^/files/json/((?:[\\w-]+/)*)$ {\n            \
             alias www/$1;\n            \
             add_header Cache-Control \"no-store\" always;\n            \
             access_log off;\n            \
             autoindex on;\n            \
             autoindex_format json;\n        \
         }\n\n        \
         location / {\n            \
             return 404;\n        \
         }\n"
    .to_owned()
}
