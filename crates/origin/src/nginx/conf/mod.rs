//! The text of nginx.conf for a static origin, with the reason for each directive.
//!
//! Its paths are relative to nginx's prefix (`-p`), which is the runtime directory. nginx itself checks the
//! result (`nginx -t`).

pub(crate) mod http;
pub(crate) mod server;

use std::net::SocketAddr;

use hls_swarm_base::error::Failure;

use super::Build;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;

/// File name of the certificate, followed by that of its issuer, below the prefix.
pub(crate) const CERTIFICATE: &str = "certificate.pem";
/// File name of the key of the certificate below the prefix.
pub(crate) const CERTIFICATE_KEY: &str = "certificate.key";

/// The properties of this machine and this nginx that the configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NginxEnvironment {
    /// Hard limit of open files per process.
    pub(crate) hard_open_files: u64,
    /// User and group of the workers, if nginx is started by root.
    pub(crate) worker_user: Option<(String, String)>,
    /// Whether the segments are on a tmpfs, so that reading one never waits for a disk.
    pub(crate) in_memory: bool,
    /// Whether viewers connect through the fault proxy, which passes their address by the PROXY protocol.
    pub(crate) behind_proxy: bool,
    /// Version and build options.
    pub(crate) build: Build,
}

/// The content that nginx serves, and its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteConfig<'a> {
    /// Values derived from the stream.
    pub(crate) derived: &'a Derived,
    /// The settings for serving.
    pub(crate) serving: &'a Serving,
    /// Address for HTTP.
    pub(crate) listen: SocketAddr,
    /// Address for HTTPS.
    pub(crate) tls: Option<SocketAddr>,
    /// Path of the access log, without quotes, dollar signs and control characters.
    pub(crate) access_log: Option<&'a str>,
    /// Where hls-origin answers requests for low-latency playlists; `None` if playlists are files.
    pub(crate) playlists: Option<SocketAddr>,
}

/// Checks that nginx has the modules that the configuration needs.
///
/// # Errors
/// A preflight failure: a module is missing.
pub(crate) fn check(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> Result<(), Failure> {
    if config.playlists.is_some() && environment.build.has("--without-http_proxy_module") {
        return Err(Failure::preflight(
            "this nginx was built without http_proxy_module, which low-latency playlists require",
        )
        .help("install a build that has it, or pass --part-duration 0s"));
    }
    if config.tls.is_some() && config.serving.serve.http3 && !environment.build.has_http3() {
        let (major, minor, patch) = environment.build.version;
        return Err(Failure::preflight(format!(
            "nginx {major}.{minor}.{patch} was built without http_v3_module, which --http3 requires"
        ))
        .help("install nginx 1.25 or later with it (as in Debian 13), or leave out --http3"));
    }
    let Some(module) = http::missing_module(&config.serving.limits, &environment.build) else {
        return Ok(());
    };
    Err(Failure::preflight(format!(
        "this nginx was built without {module}, which the request limits require"
    ))
    .help(
        "install a build that has it (on Debian 11: nginx-core instead of nginx-light), or remove the limits",
    ))
}

/// Renders nginx.conf.
#[must_use]
pub(crate) fn render(config: &SiteConfig<'_>, environment: &NginxEnvironment) -> String {
    [
        "# Written by hls-origin at each start.\n\n".to_owned(),
        main_context(environment),
        events(config.derived, environment),
        "http {\n".to_owned(),
        http::http(config, environment),
        server::server(config, environment),
        "}\n".to_owned(),
    ]
    .concat()
}

/// Requested number of open files per worker.
const MAX_OPEN_FILES: u64 = 100_000;
/// Minimum number of connections per worker, if the limit of open files allows it.
const MIN_CONNECTIONS: u64 = 10_000;
/// File descriptors of a worker in addition to connections and cached files: logs, epoll, channels.
const OTHER_FILES: u64 = 32;

fn open_files(environment: &NginxEnvironment) -> u64 {
    environment.hard_open_files.min(MAX_OPEN_FILES)
}

fn main_context(environment: &NginxEnvironment) -> String {
    let limit = open_files(environment);
    let note = if limit < MAX_OPEN_FILES {
        format!(
            "\n# This is the hard limit of this machine; {MAX_OPEN_FILES} would be better (ulimit -Hn, LimitNOFILE=)."
        )
    } else {
        String::new()
    };
    let user = match &environment.worker_user {
        Some((user, group)) => format!(
            "# nginx is started by root, so the workers drop their privileges; they only read segments.\nuser {user} {group};\n"
        ),
        None => String::new(),
    };
    format!(
        "# hls-origin supervises the master process; both end together.\n\
         daemon off;\n\
         pid nginx.pid;\n\
         # hls-origin logs what nginx prints; nothing is written to disk.\n\
         error_log stderr warn;\n\
         {user}\
         # One worker per CPU: serving segments is limited by CPU and memory, not by waiting.\n\
         worker_processes auto;\n\
         # Each connection is a file descriptor, and the usual soft limit of 1024 does not suffice for 1000 viewers.{note}\n\
         worker_rlimit_nofile {limit};\n\
         # A worker that still serves a slow viewer must not delay the shutdown.\n\
         worker_shutdown_timeout 2s;\n\n"
    )
}

fn events(derived: &Derived, environment: &NginxEnvironment) -> String {
    let reserved = OTHER_FILES + u64::from(derived.open_file_cache_max);
    let connections = MIN_CONNECTIONS.max(open_files(environment) / 2);
    let connections = connections.min(open_files(environment).saturating_sub(reserved)).max(64);
    format!(
        "events {{\n    \
             # At least {MIN_CONNECTIONS} per worker, if the limit of open files minus cached files allows it.\n    \
             worker_connections {connections};\n    \
             # A ramp opens many connections at once: accept all that are waiting.\n    \
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

    fn rendered(text: &str, change: impl FnOnce(&mut SiteConfig<'_>, &mut NginxEnvironment)) -> String {
        let profile = profile::parse("test", text).unwrap();
        let derived = Derived::from_stream(&Stream::from_profile(&profile).unwrap());
        let serving = Serving::from_profile(&profile).unwrap();
        let arguments = "--with-threads --with-http_ssl_module --with-http_v2_module".into();
        let build = Build { version: (1, 22, 1), arguments };
        let mut environment = NginxEnvironment {
            hard_open_files: 1 << 20,
            worker_user: None,
            in_memory: true,
            behind_proxy: false,
            build,
        };
        let listen = ([127, 0, 0, 1], 17080).into();
        let mut config = SiteConfig {
            derived: &derived,
            serving: &serving,
            listen,
            tls: None,
            access_log: None,
            playlists: None,
        };
        change(&mut config, &mut environment);
        render(&config, &environment)
    }

    #[test]
    fn the_default_profile_for_an_unprivileged_user() {
        let text = rendered(profile::built_in("default").unwrap(), |_, _| {});
        insta::assert_snapshot!("nginx_default", text);
    }

    #[test]
    fn low_latency_playlists_are_proxied() {
        let text = rendered(profile::built_in("ll-hls").unwrap(), |config, _| {
            config.playlists = Some(([127, 0, 0, 1], 4711).into());
        });
        insta::assert_snapshot!("nginx_low_latency", text);
    }

    #[test]
    fn one_second_segments_for_root_on_a_disk_with_a_low_limit_and_a_log() {
        let text = format!("{}\n[log]\naccess = \"all\"\n", profile::built_in("low-latency").unwrap());
        let text = rendered(&text, |config, environment| {
            environment.hard_open_files = 4096;
            environment.worker_user = Some(("nobody".into(), "nogroup".into()));
            environment.in_memory = false;
            config.listen = "[::]:8080".parse().unwrap();
            config.access_log = Some("/var/log/access.json");
        });
        insta::assert_snapshot!("nginx_root_disk_logged", text);
    }

    #[test]
    fn a_ladder_over_tls_with_limits_and_a_log_of_segments() {
        let text = format!(
            "{}\n[log]\naccess = \"segments\"\nbuffer_kb = 512\ngzip_level = 4\n[limits]\n\
             address_requests_per_second = 50\naddress_connections = 10\ntoken_requests_per_second = 5\n\
             token_connections = 2\n",
            profile::built_in("4k-abr").unwrap()
        );
        let text = rendered(&text, |config, _| {
            config.tls = Some(([127, 0, 0, 1], 17443).into());
            config.access_log = Some("/var/log/access.json.gz");
        });
        insta::assert_snapshot!("nginx_tls_limits", text);
    }

    #[test]
    fn limits_without_their_module_are_rejected() {
        let light = "--without-http_limit_req_module --without-http_limit_conn_module";
        let refusal = |limits: &str, arguments: &str| {
            let mut refusal = None;
            rendered(&format!("[limits]\n{limits}\n"), |config, environment| {
                environment.build.arguments = arguments.to_owned();
                refusal = check(config, environment).err().map(|failure| failure.to_string());
            });
            refusal
        };
        assert_eq!(refusal("", light), None);
        assert!(refusal("token_connections = 1", light).unwrap().contains("http_limit_conn_module"));
        assert!(refusal("address_requests_per_second = 1", light).unwrap().contains("http_limit_req_module"));
        assert_eq!(refusal("token_connections = 1", "--without-http_limit_req_module"), None);
    }

    #[test]
    fn directives_match_the_version_of_nginx() {
        let with = |version, module: &str| {
            rendered("", |config, environment| {
                environment.build = Build { version, arguments: module.to_owned() };
                config.tls = Some(([127, 0, 0, 1], 17443).into());
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
    fn http3_needs_a_version_with_its_module() {
        let with = |version, arguments: &str, tls: bool| {
            let mut refusal = None;
            let text = rendered("[serve]\nhttp3 = true\n", |config, environment| {
                environment.build = Build { version, arguments: arguments.to_owned() };
                config.tls = tls.then_some(([127, 0, 0, 1], 17443).into());
                refusal = check(config, environment).err().map(|failure| failure.to_string());
            });
            (refusal, text)
        };
        let (refusal, text) = with((1, 26, 3), "--with-http_v2_module --with-http_v3_module", true);
        assert_eq!(refusal, None);
        assert!(
            text.contains("listen 127.0.0.1:17443 quic reuseport;") && text.contains("http2 on;"),
            "{text}"
        );
        assert!(text.contains("on 'h3=\":17443\"; ma=86400';"), "{text}");
        assert!(text.contains("add_header Alt-Svc $origin_alt_svc always;"), "{text}");
        for (version, arguments) in [((1, 24, 0), "--with-http_v3_module"), ((1, 26, 3), "")] {
            let (refusal, text) = with(version, arguments, true);
            assert!(refusal.unwrap().contains("without http_v3_module"));
            assert!(!text.contains("quic") && !text.contains("Alt-Svc"));
        }
        let (refusal, text) = with((1, 24, 0), "", false);
        assert!(refusal.is_none() && !text.contains("Alt-Svc"), "without TLS, it is only without effect");
    }

    #[test]
    fn connections_and_cached_files_stay_below_the_limit_of_open_files() {
        let profile = profile::parse("default", profile::built_in("default").unwrap()).unwrap();
        let derived = Derived::from_stream(&Stream::from_profile(&profile).unwrap());
        for hard in [1024, 4096, 20_000, 1 << 20] {
            let environment = NginxEnvironment {
                hard_open_files: hard,
                worker_user: None,
                in_memory: true,
                behind_proxy: false,
                build: Build::default(),
            };
            let text = events(&derived, &environment);
            let number = text.split("worker_connections ").nth(1).unwrap().split(';').next().unwrap();
            let connections: u64 = number.parse().unwrap();
            assert!(connections < hard, "{connections} of {hard}");
            assert!(hard < 20_000 || connections >= 10_000, "{connections} of {hard}");
        }
    }
}
