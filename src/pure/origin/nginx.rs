//! nginx.conf for a static origin, each directive with its reason.
//!
//! Paths in it are relative to nginx's prefix (`-p`), which is the origin's private directory.
//! Whether nginx accepts it is asked of nginx itself (`nginx -t`), not decided here.

use std::net::SocketAddr;

use super::access_log;
use super::derived::Derived;

/// Open files asked for per worker.
const OPEN_FILES_WANTED: u64 = 100_000;
/// Connections per worker at least, as far as the limit of open files allows.
const CONNECTIONS_WANTED: u64 = 10_000;
/// Descriptors a worker needs besides connections and cached files: logs, epoll, channels.
const OTHER_FILES: u64 = 32;

/// What this machine and this nginx are like, as far as the configuration depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The hard limit of open files per process.
    pub hard_open_files: u64,
    /// User and group for the workers; only when nginx is started by root.
    pub worker_user: Option<(String, String)>,
    /// The segments lie in memory, so that reading one never waits for a disk.
    pub in_memory: bool,
    /// What `nginx -V` says of how it was built.
    pub build: Build,
}

/// How nginx was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Version, as major, minor, patch.
    pub version: (u32, u32, u32),
    /// Arguments of its configure script.
    pub arguments: String,
}

impl Build {
    /// Reads the answer to `nginx -V`; none if it is not nginx that answered.
    #[must_use]
    pub fn read(answer: &str) -> Option<Self> {
        let version = answer.lines().find_map(|line| line.strip_prefix("nginx version: "))?;
        let version = version.split_once('/')?.1.split_whitespace().next()?;
        let mut numbers = version.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next()?.ok();
        let version = (number()?, number()?, number()?);
        let arguments = answer.lines().find_map(|line| line.strip_prefix("configure arguments:"));
        Some(Self { version, arguments: arguments.unwrap_or_default().trim().to_owned() })
    }

    fn has(&self, argument: &str) -> bool {
        self.arguments.split_whitespace().any(|word| word == argument)
    }
}

/// The arguments that start nginx in the foreground in the private directory `prefix`.
#[must_use]
pub fn argv(build: &Build, prefix: &str) -> Vec<String> {
    let mut argv: Vec<String> = ["-p", prefix, "-c", "nginx.conf"].map(str::to_owned).to_vec();
    // Until it has read its configuration, nginx logs to a file that only root may write.
    if build.version >= (1, 19, 5) {
        argv.extend(["-e", "stderr"].map(str::to_owned));
    }
    argv
}

/// Renders nginx.conf. `access_log` is a path without quotes, dollars and control characters.
#[must_use]
pub fn render(derived: &Derived, listen: SocketAddr, access_log: Option<&str>, facts: &Facts) -> String {
    [
        "# Written by hls-origin; the next start writes it anew.\n\n".to_owned(),
        process(facts),
        events(derived, facts),
        "http {\n".to_owned(),
        http(derived, access_log, facts),
        server(derived, listen, facts),
        "}\n".to_owned(),
    ]
    .concat()
}

fn open_files(facts: &Facts) -> u64 {
    facts.hard_open_files.min(OPEN_FILES_WANTED)
}

fn process(facts: &Facts) -> String {
    let limit = open_files(facts);
    let note = if limit < OPEN_FILES_WANTED {
        format!(
            "\n# The hard limit of this machine; {OPEN_FILES_WANTED} would be better (ulimit -Hn, LimitNOFILE=)."
        )
    } else {
        String::new()
    };
    let user = match &facts.worker_user {
        Some((user, group)) => format!(
            "# Started by root: the workers give root up. They read segments, they own nothing.\nuser {user} {group};\n"
        ),
        None => String::new(),
    };
    format!(
        "# hls-origin supervises the master; both die together.\n\
         daemon off;\n\
         pid nginx.pid;\n\
         # hls-origin passes complaints on; nothing is written to disk.\n\
         error_log stderr warn;\n\
         {user}\
         # One worker per CPU: serving segments is bound by CPU and memory, never by waiting.\n\
         worker_processes auto;\n\
         # A connection is a descriptor, and the usual soft limit of 1024 ends below 1000 viewers.{note}\n\
         worker_rlimit_nofile {limit};\n\
         # A worker that still serves a slow viewer must not hold up the end.\n\
         worker_shutdown_timeout 2s;\n\n"
    )
}

fn events(derived: &Derived, facts: &Facts) -> String {
    let reserved = OTHER_FILES + u64::from(derived.open_file_cache_max);
    let connections = CONNECTIONS_WANTED.max(open_files(facts) / 2);
    let connections = connections.min(open_files(facts).saturating_sub(reserved)).max(64);
    format!(
        "events {{\n    \
             # At least {CONNECTIONS_WANTED} per worker where the limit of open files, less cached files, allows.\n    \
             worker_connections {connections};\n    \
             # A ramp opens many connections at once: take all that wait.\n    \
             multi_accept on;\n\
         }}\n\n"
    )
}

fn http(derived: &Derived, access_log: Option<&str>, facts: &Facts) -> String {
    let Derived { keepalive_seconds, playlist_max_age, playlist_stale, .. } = derived;
    let log = match access_log {
        Some(path) => {
            format!("{}\n    access_log \"{path}\" {};", access_log::log_format(), access_log::FORMAT_NAME)
        }
        None => "access_log off;".to_owned(),
    };
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
    format!(
        "    # nginx makes these at its start, used or not; elsewhere only root may.\n\
         {temporary}    \
         {log}\n\n    \
         types {{\n        \
             application/vnd.apple.mpegurl m3u8;\n        \
             video/mp2t ts;\n        \
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
         keepalive_requests 10000000;\n    \
         # A viewer that is gone must not keep its buffers: reset instead of waiting in FIN_WAIT1.\n    \
         reset_timedout_connection on;\n    \
         client_header_timeout 15s;\n    \
         send_timeout 30s;\n    \
         # Nothing is uploaded.\n    \
         client_max_body_size 1k;\n    \
         # A viewer that falls behind asks for what is gone; its status says so, at no cost here.\n    \
         log_not_found off;\n\n    \
         # Playlists grow old within half a segment, segments never change. Only successes carry it.\n    \
         map $uri $origin_cache_control {{\n        \
             ~\\.m3u8$ \"public, max-age={playlist_max_age}, stale-while-revalidate={playlist_stale}\";\n        \
             ~\\.ts$ \"public, max-age=60, immutable\";\n        \
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
         }}\n\n"
    )
}

fn server(derived: &Derived, listen: SocketAddr, facts: &Facts) -> String {
    let cache_max = derived.open_file_cache_max;
    let lifetime = derived.lifetime_seconds;
    // From memory nothing blocks, and handing each response to a thread would only cost.
    let threads = if !facts.in_memory && facts.build.has("--with-threads") {
        "\n            # The segments are on a disk: a thread waits for it, not the worker.\n            aio threads;"
    } else {
        ""
    };
    format!(
        "    server {{\n        \
             # The kernel keeps a ramp's connections until a worker takes them (at most net.core.somaxconn).\n        \
             listen {listen} backlog=4096;\n        \
             server_name _;\n        \
             root www;\n\n        \
             add_header Cache-Control $origin_cache_control;\n        \
             add_header Allow $origin_allow always;\n        \
             # Players in a browser come from other origins; errors carry it too, or they look like CORS faults.\n        \
             add_header Access-Control-Allow-Origin \"*\" always;\n        \
             add_header Access-Control-Allow-Methods \"GET, HEAD, OPTIONS\" always;\n        \
             add_header Access-Control-Allow-Headers \"Range, If-None-Match, If-Modified-Since, Cache-Control, Pragma\" always;\n        \
             add_header Access-Control-Expose-Headers \"Content-Length, Content-Range, Date, ETag\" always;\n        \
             add_header Access-Control-Max-Age $origin_preflight_age;\n\n        \
             if ($request_method !~ ^(GET|HEAD|OPTIONS)$) {{\n            \
                 return 405;\n        \
             }}\n        \
             if ($request_method = OPTIONS) {{\n            \
                 return 204;\n        \
             }}\n\n        \
             location ~ \\.m3u8$ {{\n            \
                 # Small and urgent: sent at once instead of waiting for a full packet.\n            \
                 tcp_nopush off;\n            \
                 tcp_nodelay on;\n            \
                 # Each worker would have a cache of its own, whose age differs by up to a second: a viewer\n            \
                 # with two connections would see the media sequence go back (1 % of requests, measured).\n            \
                 open_file_cache off;\n        \
             }}\n\n        \
             location ~ \\.ts$ {{\n            \
                 # Large: header and first bytes share a packet, packets are full.\n            \
                 tcp_nopush on;{threads}\n            \
                 # Never changed once there; forgotten soon after nobody asks, because an open file\n            \
                 # keeps its memory even when the encoder has deleted it (after {lifetime} s).\n            \
                 open_file_cache max={cache_max} inactive=10s;\n            \
                 open_file_cache_valid 10s;\n            \
                 # A segment that is not there yet may be there at the next request.\n            \
                 open_file_cache_errors off;\n        \
             }}\n\n        \
             # hls-origin keeps the file `fresh` only while the playlist advances.\n        \
             location = /health {{\n            \
                 default_type text/plain;\n            \
                 if (-f $document_root/../fresh) {{\n                \
                     return 200 \"ok\\n\";\n            \
                 }}\n            \
                 return 503 \"no fresh segments\\n\";\n        \
             }}\n\n        \
             location = /nginx_status {{\n            \
                 stub_status;\n        \
             }}\n\n        \
             location / {{\n            \
                 return 404;\n        \
             }}\n    \
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::origin::{profile, stream::Stream};
    use crate::words::cli::origin::StreamArgs;

    fn derived(name: &str) -> Derived {
        let profile = profile::parse(name, profile::built_in(name).unwrap()).unwrap();
        Derived::of(&Stream::resolve(profile, &StreamArgs::default()).unwrap())
    }

    fn facts() -> Facts {
        let build = Build { version: (1, 22, 1), arguments: "--with-threads --with-http_ssl_module".into() };
        Facts { hard_open_files: 1 << 20, worker_user: None, in_memory: true, build }
    }

    #[test]
    fn default_profile_for_an_ordinary_user() {
        let text = render(&derived("default"), ([127, 0, 0, 1], 17080).into(), None, &facts());
        insta::assert_snapshot!("nginx_default", text);
    }

    #[test]
    fn default_profile_for_root_on_a_disk_with_a_low_limit_and_a_log() {
        let facts = Facts {
            hard_open_files: 4096,
            worker_user: Some(("nobody".into(), "nogroup".into())),
            in_memory: false,
            ..facts()
        };
        let listen = "[::]:8080".parse().unwrap();
        let text = render(&derived("low-latency"), listen, Some("/var/log/access.json"), &facts);
        insta::assert_snapshot!("nginx_root_disk_logged", text);
    }

    #[test]
    fn what_nginx_says_of_itself() {
        let answer = "nginx version: nginx/1.22.1 (Ubuntu)\nbuilt with OpenSSL 3\n\
                      configure arguments: --with-threads --without-http_scgi_module\n";
        let build = Build::read(answer).unwrap();
        assert_eq!(build.version, (1, 22, 1));
        assert!(build.has("--with-threads") && !build.has("--with-thread"));
        let text = render(&derived("default"), ([127, 0, 0, 1], 1).into(), None, &Facts { build, ..facts() });
        assert!(text.contains("\n    uwsgi_temp_path "));
        assert!(!text.contains("\n    scgi_temp_path"));
        assert_eq!(Build::read("lighttpd/1.4"), None);
    }

    #[test]
    fn connections_and_cached_files_fit_into_the_limit() {
        for hard in [1024, 4096, 20_000, 1 << 20] {
            let text = events(&derived("default"), &Facts { hard_open_files: hard, ..facts() });
            let number = text.split("worker_connections ").nth(1).unwrap().split(';').next().unwrap();
            let connections: u64 = number.parse().unwrap();
            assert!(connections < hard, "{connections} of {hard}");
            assert!(hard < 20_000 || connections >= 10_000, "{connections} of {hard}");
        }
    }
}
