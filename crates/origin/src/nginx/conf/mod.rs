//! nginx.conf for a static origin, each directive with its reason.
//!
//! Paths in it are relative to nginx's prefix (`-p`), which is the origin's private directory.
//! Whether nginx accepts it is asked of nginx itself (`nginx -t`), not decided here.

pub(crate) mod http;
pub(crate) mod server;

use std::net::SocketAddr;

use hls_swarm_base::error::Failure;

use super::Build;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;

/// File name of the certificate below the prefix, its issuer's behind it.
pub const CERTIFICATE: &str = "certificate.pem";
/// File name of the certificate's key below the prefix.
pub const CERTIFICATE_KEY: &str = "certificate.key";

/// What this machine and this nginx are like, as far as the configuration depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The hard limit of open files per process.
    pub hard_open_files: u64,
    /// User and group for the workers; only when nginx is started by root.
    pub worker_user: Option<(String, String)>,
    /// The segments lie in memory, so that reading one never waits for a disk.
    pub in_memory: bool,
    /// Viewers come through the origin's own front, which says by the PROXY protocol who they are.
    pub behind_front: bool,
    /// What `nginx -V` says of how it was built.
    pub build: Build,
}

/// What is served where.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// What follows from the stream.
    pub derived: &'a Derived,
    /// How it is to be served.
    pub serving: &'a Serving,
    /// Address for HTTP.
    pub listen: SocketAddr,
    /// Address for HTTPS.
    pub tls: Option<SocketAddr>,
    /// Path of the access log, without quotes, dollars and control characters.
    pub access_log: Option<&'a str>,
}

/// Whether this nginx has what is asked of it.
///
/// # Errors
/// A preflight failure: a module is missing.
pub fn check(site: &Site<'_>, facts: &Facts) -> Result<(), Failure> {
    let Some(module) = http::missing_module(&site.serving.limits, &facts.build) else { return Ok(()) };
    Err(Failure::preflight(format!("this nginx was built without {module}, which the limits need")).help(
        "install a build that has it (on Debian 11 nginx-core, not nginx-light), or leave the limits out",
    ))
}

/// Renders nginx.conf.
#[must_use]
pub fn render(site: &Site<'_>, facts: &Facts) -> String {
    [
        "# Written by hls-origin; the next start writes it anew.\n\n".to_owned(),
        process(facts),
        events(site.derived, facts),
        "http {\n".to_owned(),
        http::http(site, facts),
        server::server(site, facts),
        "}\n".to_owned(),
    ]
    .concat()
}

/// Open files asked for per worker.
const OPEN_FILES_WANTED: u64 = 100_000;
/// Connections per worker at least, as far as the limit of open files allows.
const CONNECTIONS_WANTED: u64 = 10_000;
/// Descriptors a worker needs besides connections and cached files: logs, epoll, channels.
const OTHER_FILES: u64 = 32;

fn open_files(facts: &Facts) -> u64 {
    facts.hard_open_files.min(OPEN_FILES_WANTED)
}

pub(crate) fn process(facts: &Facts) -> String {
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

pub(crate) fn events(derived: &Derived, facts: &Facts) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::Build;
    use crate::profile;
    use crate::profile::stream::Stream;

    fn rendered(text: &str, change: impl FnOnce(&mut Site<'_>, &mut Facts)) -> String {
        let profile = profile::parse("test", text).unwrap();
        let derived = Derived::of(&Stream::of(&profile).unwrap());
        let serving = Serving::of(&profile).unwrap();
        let arguments = "--with-threads --with-http_ssl_module --with-http_v2_module".into();
        let build = Build { version: (1, 22, 1), arguments };
        let mut facts = Facts {
            hard_open_files: 1 << 20,
            worker_user: None,
            in_memory: true,
            behind_front: false,
            build,
        };
        let listen = ([127, 0, 0, 1], 17080).into();
        let mut site = Site { derived: &derived, serving: &serving, listen, tls: None, access_log: None };
        change(&mut site, &mut facts);
        render(&site, &facts)
    }

    #[test]
    fn default_profile_for_an_ordinary_user() {
        let text = rendered(profile::built_in("default").unwrap(), |_, _| {});
        insta::assert_snapshot!("nginx_default", text);
    }

    #[test]
    fn segments_of_one_second_for_root_on_a_disk_with_a_low_limit_and_a_log() {
        let text = format!("{}\n[log]\naccess = \"all\"\n", profile::built_in("low-latency").unwrap());
        let text = rendered(&text, |site, facts| {
            facts.hard_open_files = 4096;
            facts.worker_user = Some(("nobody".into(), "nogroup".into()));
            facts.in_memory = false;
            site.listen = "[::]:8080".parse().unwrap();
            site.access_log = Some("/var/log/access.json");
        });
        insta::assert_snapshot!("nginx_root_disk_logged", text);
    }

    #[test]
    fn a_ladder_over_tls_with_limits_and_segments_logged() {
        let text = format!(
            "{}\n[log]\naccess = \"segments\"\nbuffer_kb = 512\ngzip_level = 4\n[limits]\n\
             address_requests_per_second = 50\naddress_connections = 10\ntoken_requests_per_second = 5\n\
             token_connections = 2\n",
            profile::built_in("4k-abr").unwrap()
        );
        let text = rendered(&text, |site, _| {
            site.tls = Some(([127, 0, 0, 1], 17443).into());
            site.access_log = Some("/var/log/access.json.gz");
        });
        insta::assert_snapshot!("nginx_tls_limits", text);
    }

    #[test]
    fn limits_without_their_module_are_refused() {
        let light = "--without-http_limit_req_module --without-http_limit_conn_module";
        let refusal = |limits: &str, arguments: &str| {
            let mut refusal = None;
            rendered(&format!("[limits]\n{limits}\n"), |site, facts| {
                facts.build.arguments = arguments.to_owned();
                refusal = check(site, facts).err().map(|failure| failure.to_string());
            });
            refusal
        };
        assert_eq!(refusal("", light), None);
        assert!(refusal("token_connections = 1", light).unwrap().contains("http_limit_conn_module"));
        assert!(refusal("address_requests_per_second = 1", light).unwrap().contains("http_limit_req_module"));
        assert_eq!(refusal("token_connections = 1", "--without-http_limit_req_module"), None);
    }

    #[test]
    fn directives_are_those_of_the_version() {
        let with = |version, module: &str| {
            rendered("", |site, facts| {
                facts.build = Build { version, arguments: module.to_owned() };
                site.tls = Some(([127, 0, 0, 1], 17443).into());
            })
        };
        let http2 = "--with-http_v2_module";
        let old = with((1, 18, 0), http2);
        assert!(
            old.contains(" ssl http2 backlog=")
                && !old.contains("http2 on;")
                && !old.contains("keepalive_time ")
        );
        let middle = with((1, 24, 0), http2);
        assert!(middle.contains(" ssl http2 backlog=") && middle.contains("keepalive_time "));
        let new = with((1, 30, 1), http2);
        assert!(new.contains("http2 on;") && !new.contains("ssl http2") && new.contains("keepalive_time "));
        let without = with((1, 30, 1), "");
        assert!(!without.contains("http2"));
        let scgi = with((1, 22, 1), "--without-http_scgi_module");
        assert!(scgi.contains("\n    uwsgi_temp_path ") && !scgi.contains("\n    scgi_temp_path"));
    }

    #[test]
    fn connections_and_cached_files_fit_into_the_limit() {
        let profile = profile::parse("default", profile::built_in("default").unwrap()).unwrap();
        let derived = Derived::of(&Stream::of(&profile).unwrap());
        for hard in [1024, 4096, 20_000, 1 << 20] {
            let facts = Facts {
                hard_open_files: hard,
                worker_user: None,
                in_memory: true,
                behind_front: false,
                build: Build::default(),
            };
            let text = events(&derived, &facts);
            let number = text.split("worker_connections ").nth(1).unwrap().split(';').next().unwrap();
            let connections: u64 = number.parse().unwrap();
            assert!(connections < hard, "{connections} of {hard}");
            assert!(hard < 20_000 || connections >= 10_000, "{connections} of {hard}");
        }
    }
}
