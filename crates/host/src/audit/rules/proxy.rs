//! Servers behind `proxy_pass`.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::facts::Service;
use crate::audit::findings::{Phase, Severity};
use crate::audit::nginx::{Location, host};
use crate::audit::nginx_conf::{Directive, quote};
use crate::audit::patch::{Edit, at_end_of_block};

/// Reports whether every viewer uses a location, although no media comes from there.
fn serves_each_viewer(location: &Location<'_>) -> bool {
    const WORDS: [&str; 10] =
        ["token", "tokens", "auth", "session", "sessions", "key", "keys", "license", "play", "start"];
    let path = location.head.arguments.concat().to_ascii_lowercase();
    path.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// Settings that a location lacks to keep its connections to the upstream open.
struct Missing<'c, 'a> {
    location: &'c Location<'a>,
    pass: &'a Directive,
    upstream: Option<&'a Directive>,
    keepalive: bool,
    version: bool,
    header: bool,
}

/// Reports whether a location is for WebSockets only, whose connections are never idle.
fn only_websockets(location: &Location<'_>) -> bool {
    location.all_in_effect("proxy_set_header").any(|header| {
        header.value().eq_ignore_ascii_case("connection")
            && header.arguments.get(1).is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
    })
}

fn missing<'c, 'a>(
    context: &Context<'a>,
    location: &'c Location<'a>,
    pass: &'a Directive,
) -> Missing<'c, 'a> {
    let upstream = context.nginx.upstream(pass);
    let by_default = context.nginx_since((1, 29, 7)) == Some(true);
    let version = location.in_effect("proxy_http_version").map(Directive::value);
    let connection = location
        .all_in_effect("proxy_set_header")
        .find(|directive| directive.value().eq_ignore_ascii_case("connection"))
        .and_then(|directive| directive.arguments.get(1));
    Missing {
        location,
        pass,
        upstream,
        keepalive: by_default || upstream.is_some_and(|block| block.child("keepalive").is_some()),
        version: version.map_or(by_default, |version| version != "1.0"),
        // A variable, such as $connection_upgrade, decides for each request.
        header: connection.map_or(by_default, |value| value.is_empty() || value.contains('$')),
    }
}

/// Describes what a location lacks.
fn described(missing: &Missing<'_, '_>) -> String {
    let mut what = Vec::new();
    match missing.upstream {
        None if !missing.keepalive => {
            what.push(format!("no upstream block for {}", host(missing.pass.value())))
        }
        Some(block) if !missing.keepalive => what.push(format!("no keepalive in {}", block.place())),
        _ => {}
    }
    if !missing.version {
        what.push("no proxy_http_version 1.1".into());
    }
    if !missing.header {
        what.push("no proxy_set_header Connection \"\"".into());
    }
    format!("{}: {}: {}", missing.pass.place(), missing.pass, what.join(", "))
}

pub(super) fn keepalive(context: &Context<'_>) -> Outcome {
    let relevant = |(location, pass): &(&Location<'_>, &Directive)| {
        !only_websockets(location)
            && !host(pass.value()).contains('$')
            && !pass.value().starts_with("http://unix:")
    };
    let all: Vec<Missing<'_, '_>> = context
        .nginx
        .proxied()
        .filter(relevant)
        .map(|(location, pass)| missing(context, location, pass))
        .collect();
    if all.is_empty() {
        return Outcome::NotApplicable;
    }
    let lacking: Vec<&Missing<'_, '_>> =
        all.iter().filter(|missing| !(missing.keepalive && missing.version && missing.header)).collect();
    if lacking.is_empty() {
        return Outcome::Good("connections to upstreams are kept open".into());
    }
    let evidence: Vec<String> = lacking.iter().map(|missing| described(missing)).collect();
    let media = lacking.iter().any(|missing| {
        let location = missing.location;
        location.serves_playlists()
            || location.serves_segments()
            || location.is_named()
            || serves_each_viewer(location)
    });
    let all_media = lacking
        .iter()
        .any(|missing| missing.location.serves_playlists() || missing.location.serves_segments());
    let rate = context.requests_per_second().filter(|_| all_media).map_or_else(String::new, |rate| {
        format!(
            ", {rate:.0} a second if all playlists and segments of {} viewers are fetched there",
            context.viewers
        )
    });
    let edits = keepalive_edits(context, &all);
    let fix = "name the upstream in a block with `keepalive 64;` and proxy to it with `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`. \
               The upstream sees other requests then, and a location with a proxy_set_header of its own loses those of the server, so they are repeated below; there is no patch for that";
    Draft::new(
        if media { Severity::Moderate } else { Severity::Low },
        "each proxied request opens a connection of its own",
    )
    .evidence(evidence)
    .effect(format!("a handshake per request, and a port that waits in TIME_WAIT for 60 s (the upstream's, if that closes first){rate}"))
    .fix(if edits.is_empty() {
        fix
    } else {
        "`keepalive 64;` in the upstream block; the requests stay as they are"
    })
    .example(lacking.first().map_or_else(String::new, |missing| example(missing)))
    .edits(edits)
    .found()
}

/// Adds `keepalive` to upstreams whose requests already allow it: then they do not change.
fn keepalive_edits(context: &Context<'_>, all: &[Missing<'_, '_>]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for missing in all {
        let Some(block) = missing.upstream.filter(|_| !missing.keepalive) else { continue };
        let mut same =
            all.iter().filter(|other| other.upstream.is_some_and(|other| std::ptr::eq(other, block)));
        // Behind the method of balancing, so at the end of the block.
        if same.all(|other| other.version && other.header) {
            edits.extend(at_end_of_block(block, "keepalive 64;", context.files()));
        }
    }
    edits.dedup();
    edits
}

/// Returns the configuration for one location, with the headers that it inherits today.
fn example(missing: &Missing<'_, '_>) -> String {
    let address = missing.pass.value();
    let target = host(address);
    let (scheme, _) = address.split_once("://").unwrap_or(("http", ""));
    let path = address
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .and_then(|rest| rest.strip_prefix(target))
        .unwrap_or_default();
    let (name, block) = match missing.upstream {
        Some(block) => (
            block.value().to_owned(),
            format!("# in the upstream block {}:\n#     keepalive 64;\n", block.place()),
        ),
        None => {
            let port = if target.contains(':') || scheme == "https" { "" } else { ":80" };
            (
                "media_upstream".to_owned(),
                format!("upstream media_upstream {{\n    server {target}{port};\n    keepalive 64;\n}}\n"),
            )
        }
    };
    let mut text = format!(
        "{block}# in {}:\nproxy_pass {scheme}://{name}{path};\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n",
        missing.location.head.place()
    );
    let mut host_set = false;
    for header in missing.location.all_in_effect("proxy_set_header") {
        if header.value().eq_ignore_ascii_case("connection") {
            continue;
        }
        host_set |= header.value().eq_ignore_ascii_case("host");
        let words: Vec<String> = header
            .arguments
            .iter()
            .map(|word| if word.starts_with('$') { word.clone() } else { quote(word) })
            .collect();
        text.push_str(&format!("proxy_set_header {};\n", words.join(" ")));
    }
    if !host_set && missing.upstream.is_none() {
        // The default is the name in proxy_pass, which changes.
        text.push_str(&format!("proxy_set_header Host {target};\n"));
    }
    text
}

/// Returns the port of an address.
fn port(server: &str) -> Option<u16> {
    server.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// Returns the processes of this machine behind `proxy_pass`, each with the directive.
fn behind<'c, 'a>(context: &'c Context<'a>) -> Vec<(&'c Service, &'a Directive)> {
    let local = |address: &str| {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    };
    let mut found: Vec<(&Service, &Directive)> = Vec::new();
    for (_, pass) in context.nginx.proxied() {
        let target = host(pass.value());
        let servers: Vec<&str> = match context.nginx.upstream(pass) {
            Some(block) => {
                block.children().iter().filter(|child| child.name == "server").map(Directive::value).collect()
            }
            None => vec![target],
        };
        for port in servers.into_iter().filter(|server| local(server)).filter_map(port) {
            let services = context.facts.services.iter().filter(|service| service.ports.contains(&port));
            found.extend(services.map(|service| (service, pass)));
        }
    }
    found.sort_by_key(|(service, _)| service.pid);
    found.dedup_by_key(|(service, _)| service.pid);
    found
}

/// Returns the reason why a command line is that of a server for development.
fn development(command: &str) -> Option<&'static str> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let name = words.first()?.rsplit('/').next()?;
    let has = |word: &str| words.contains(&word);
    let ends = |ending: &str| words.iter().any(|word| word.ends_with(ending));
    let python = name.starts_with("python");
    if ends("/flask") && has("run") || name == "flask" || (python && has("flask")) {
        Some("Flask's development server")
    } else if ends("manage.py") && has("runserver") {
        Some("Django's development server")
    } else if python && has("http.server") {
        Some("Python's http.server")
    } else if ends("uvicorn") && has("--reload") {
        Some("uvicorn with --reload")
    } else if python
        && words.get(1).is_some_and(|script| script.ends_with("app.py") || script.ends_with("wsgi.py"))
    {
        Some("a Python script started directly, usually Flask's development server")
    } else if name.starts_with("php") && has("-S") {
        Some("PHP's built-in server")
    } else if ends("/vite") || ends("/nodemon") || ends("webpack-dev-server") {
        Some("a development server of Node.js")
    } else if ends("/rails") && (has("server") || has("s")) && !command.contains("production") {
        Some("Rails outside of production")
    } else {
        None
    }
}

pub(super) fn development_server(context: &Context<'_>) -> Outcome {
    let behind = behind(context);
    if behind.is_empty() {
        return Outcome::NotApplicable;
    }
    let found: Vec<String> = behind
        .iter()
        .filter_map(|(service, pass)| {
            let what = development(&service.command)?;
            Some(format!(
                "{}: {pass} leads to process {}, {what}: {}",
                pass.place(),
                service.pid,
                service.command
            ))
        })
        .collect();
    if found.is_empty() {
        return Outcome::Good("no development server behind proxy_pass".into());
    }
    Draft::new(Severity::Moderate, "a development server answers requests")
        .evidence(found)
        .effect(format!(
            "it has one process and no limits: the requests of {} viewers queue behind each other, and a debugger may be open to the world",
            context.viewers
        ))
        .fix("a production server with several workers, as a unit (for Flask and Django: gunicorn with 2 workers per processor + 1 and threads for waiting)")
        .example(
            "# /etc/systemd/system/app.service\n[Service]\nExecStart=/srv/app/venv/bin/gunicorn --workers 5 --threads 4 --timeout 30 --bind 127.0.0.1:5000 app:app\nRestart=always\nLimitNOFILE=65536\nUser=app\n[Install]\nWantedBy=multi-user.target\n",
        )
        .phase(Phase::Application)
        .found()
}

pub(super) fn limits(context: &Context<'_>) -> Outcome {
    /// Descriptors that a server needs for itself.
    const OWN: u64 = 64;
    let behind = behind(context);
    let media = context.nginx.media_proxied().next().is_some();
    if behind.is_empty() || !media {
        return Outcome::NotApplicable;
    }
    // In the worst case every viewer waits for a response of the upstream.
    let need = u64::from(context.viewers) + OWN;
    let low: Vec<String> = behind
        .iter()
        .filter_map(|(service, pass)| {
            let limit = service.open_files.filter(|limit| *limit < need)?;
            Some(format!(
                "/proc/{}/limits: soft limit of open files {limit} ({}; {})",
                service.pid,
                service.command,
                pass.place()
            ))
        })
        .collect();
    if low.is_empty() {
        return Outcome::Good("limits of open files are high enough".into());
    }
    Draft::new(Severity::Low, "the upstream may open few files")
        .evidence(low)
        .effect(format!(
            "when {} viewers ask at the same time, it refuses connections, and nginx answers 502",
            context.viewers
        ))
        .fix(format!(
            "LimitNOFILE={} in its unit, and a cache with proxy_cache_lock in front of it",
            need.max(65_536)
        ))
        .phase(Phase::Commands)
        .found()
}

#[cfg(test)]
mod tests {
    use super::development;

    #[test]
    fn development_servers_are_recognized() {
        for (command, found) in [
            ("/usr/bin/python3 /usr/local/bin/flask run --port 5000", true),
            ("python3 -m flask run", true),
            ("python3 app.py", true),
            ("python manage.py runserver 0.0.0.0:8000", true),
            ("/srv/venv/bin/python3 /srv/venv/bin/gunicorn --workers 5 app:app", false),
            ("php -S 127.0.0.1:9000", true),
            ("/usr/local/bin/node server.js", false),
            ("nginx: master process nginx", false),
        ] {
            assert_eq!(development(command).is_some(), found, "{command}");
        }
    }
}
