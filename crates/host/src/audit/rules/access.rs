//! Access to the server: rates, tokens, publishing, control, monitoring.

use super::{Draft, Outcome};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx::Location;
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::into_block;

pub(super) fn rate(context: &Context<'_>) -> Outcome {
    if context.nginx.http.is_none() {
        return Outcome::Unknown("nginx's configuration has no http block".into());
    }
    let places: Vec<&Location<'_>> = context.nginx.media().collect();
    let limited =
        |name: &str| !places.is_empty() && places.iter().all(|location| location.in_effect(name).is_some());
    let lacking: Vec<&str> = ["limit_req", "limit_conn"].into_iter().filter(|name| !limited(name)).collect();
    if places.is_empty() {
        return Outcome::NotApplicable;
    }
    if lacking.is_empty() {
        return Outcome::Good("limit_req and limit_conn where media is served".into());
    }
    let proxied = context.nginx.proxied().next();
    let mut evidence = vec![format!(
        "no {} in effect where media is served ({})",
        lacking.join(", no "),
        places_of(&places)
    )];
    evidence
        .extend(proxied.map(|(_, pass)| format!("{}: requests are passed to an application", pass.place())));
    let real_ip = context.nginx.everywhere("set_real_ip_from");
    let note = if let Some(real) = real_ip.first() {
        evidence.push(format!(
            "{}: {real} replaces the address of a CDN or proxy with that of the viewer",
            real.place()
        ));
        "the addresses of proxies are replaced, so $binary_remote_addr is the viewer's; keep the list of the CDN's addresses complete"
    } else {
        "only where viewers connect directly: behind a CDN or proxy $binary_remote_addr is the address of its edge, so set set_real_ip_from and real_ip_header first, or limit at the CDN"
    };
    let starts = context
        .nginx
        .locations
        .iter()
        .find(|location| location.is_named() && location.proxy_pass().is_some());
    Draft::new(if proxied.is_some() { Severity::Moderate } else { Severity::Low }, "requests per address are not limited")
        .evidence(evidence)
        .effect(format!(
            "one misbehaving client can take the capacity that {} viewers share{}",
            context.viewers,
            if starts.is_some() { ", and can start streams until the machine runs out of processes" } else { "" }
        ))
        .fix(format!(
            "limit_req and limit_conn where media is served, with separate limits for an API: a viewer makes about 2 requests per segment; \
             allow for homes and offices behind one address, and exempt the machines of a load test; {note}. \
             With tokens, limit by token ($arg_token). No patch is offered, because a limit that is too low answers viewers with 429"
        ))
        .example(rate_example(starts))
        .absent(Scope::Http)
        .found()
}

/// Returns an example of limits, with a strict one for a location that starts work in an application.
fn rate_example(starts: Option<&Location<'_>>) -> String {
    let strict = starts.map_or_else(String::new, |location| {
        format!(
            "    # {} starts work in an application (such as FFmpeg processes); a viewer needs few requests to it.\n    \
             limit_req_zone $limit_key zone=starts:10m rate=2r/s;\n    \
             # in {}:\n    #     limit_req zone=starts burst=5 nodelay;\n",
            location.head.arguments.join(" "),
            location.head.place()
        )
    });
    format!(
        "http {{\n    \
         # Requests with an empty key, here those of a load test's machines, are not limited.\n    \
         geo $limited {{ default 1; 10.0.0.0/8 0; }}\n    \
         # With tokens, write: 1 $arg_token\n    \
         map $limited $limit_key {{ 1 $binary_remote_addr; default \"\"; }}\n    \
         limit_req_zone $limit_key zone=streams:10m rate=30r/s;\n    \
         limit_req_zone $limit_key zone=api:10m rate=10r/s;\n    \
         limit_conn_zone $limit_key zone=viewers:10m;\n    \
         limit_req_status 429;\n    limit_conn_status 429;\n{strict}    \
         # where media is served:\n    #     limit_req zone=streams burst=100 nodelay;\n    #     limit_conn viewers 50;\n    \
         # where the API is:\n    #     limit_req zone=api burst=20 nodelay;\n}}\n"
    )
}

fn places_of(locations: &[&Location<'_>]) -> String {
    const MAX_PLACES: usize = 3;
    let mut places: Vec<String> =
        locations.iter().take(MAX_PLACES).map(|location| location.head.place()).collect();
    if locations.len() > MAX_PLACES {
        places.push(format!("and {} more", locations.len() - MAX_PLACES));
    }
    places.join(", ")
}

pub(super) fn secure_link(context: &Context<'_>) -> Outcome {
    let protected = |location: &&Location<'_>| {
        location.in_effect("secure_link").is_some() || location.in_effect("auth_request").is_some()
    };
    let (with, without): (Vec<_>, Vec<_>) = context.nginx.media().partition(protected);
    if with.is_empty() {
        return Outcome::NotApplicable;
    }
    let open: Vec<&Location<'_>> = without
        .into_iter()
        .filter(|location| {
            location.serves_playlists()
                && location.in_effect("internal").is_none()
                && ["allow", "deny", "auth_basic"].iter().all(|name| location.in_effect(name).is_none())
                && with.iter().any(|protected| std::ptr::eq(protected.server, location.server))
        })
        .collect();
    if open.is_empty() {
        return Outcome::Good("every server that protects a playlist protects all of its playlists".into());
    }
    Draft::new(Severity::Moderate, "some playlists are served without a token")
        .evidence(
            open.iter()
                .map(|location| format!("{}: {} is not protected", location.head.place(), location.head)),
        )
        .evidence(
            with.iter().take(2).map(|location| format!("{}: {} is", location.head.place(), location.head)),
        )
        .effect("viewers without a token can watch, and links can be shared")
        .fix("secure_link or auth_request in every location that serves playlists, or `internal`")
        .found()
}

pub(super) fn rtmp_publish(context: &Context<'_>) -> Outcome {
    let mut found = false;
    let mut open = Vec::new();
    for application in context.nginx.rtmp_applications() {
        if application.in_effect("live").is_none_or(|live| live.value() != "on") {
            continue;
        }
        found = true;
        let denied = application
            .all("deny")
            .any(|deny| deny.arguments.iter().any(|word| word == "publish") || deny.arguments == ["all"]);
        let asked = ["on_publish", "on_connect"].iter().any(|name| application.in_effect(name).is_some());
        if !denied && !asked {
            open.push(format!("{}: {}", application.head.place(), application.head));
        }
    }
    if !found {
        return Outcome::NotApplicable;
    }
    if open.is_empty() {
        return Outcome::Good("publishing is restricted".into());
    }
    Draft::new(Severity::Moderate, "every client may publish a stream by RTMP")
        .evidence(open)
        .effect(format!("a stranger's stream replaces the one that {} viewers watch", context.viewers))
        .fix("allow publish for the encoders' addresses and deny publish all, or on_publish with a check of the stream key")
        .example("application live {\n    live on;\n    allow publish 127.0.0.1;\n    deny publish all;\n}\n")
        .found()
}

pub(super) fn rtmp_control(context: &Context<'_>) -> Outcome {
    let mut open = Vec::new();
    let mut control = false;
    let mut found = false;
    for location in &context.nginx.locations {
        for name in ["rtmp_control", "rtmp_stat"] {
            let Some(directive) = location.head.child(name) else { continue };
            found = true;
            let restricted = location.in_effect("deny").is_some()
                || ["auth_basic", "auth_request", "internal", "secure_link"]
                    .iter()
                    .any(|name| location.in_effect(name).is_some_and(|directive| directive.value() != "off"));
            if !restricted && !listens_locally(location.server) {
                control |= name == "rtmp_control";
                open.push(format!("{}: {directive}", directive.place()));
            }
        }
    }
    if !found {
        return Outcome::NotApplicable;
    }
    if open.is_empty() {
        return Outcome::Good("restricted".into());
    }
    let (severity, title, effect) = if control {
        (
            Severity::Moderate,
            "every client may control the RTMP streams",
            "a stranger can drop publishers and start recordings",
        )
    } else {
        (
            Severity::Low,
            "every client may read the RTMP statistics",
            "names of streams (often keys) and addresses of publishers and viewers are public",
        )
    };
    Draft::new(severity, title)
        .evidence(open)
        .effect(effect)
        .fix("allow 127.0.0.1 and deny all in these locations, or auth_basic")
        .example("location /control {\n    rtmp_control all;\n    allow 127.0.0.1;\n    deny all;\n}\n")
        .found()
}

fn listens_locally(server: &Directive) -> bool {
    let mut listens = server.children().iter().filter(|directive| directive.name == "listen").peekable();
    listens.peek().is_some()
        && listens.all(|listen| {
            ["127.", "localhost", "[::1]", "unix:"].iter().any(|local| listen.value().starts_with(local))
        })
}

/// Directives that publish figures.
const PUBLISHERS: [&str; 5] = ["stub_status", "vhost_traffic_status_display", "api", "status", "prometheus"];

pub(super) fn monitoring(context: &Context<'_>) -> Outcome {
    if context.nginx.http.is_none() {
        return Outcome::Unknown("nginx's configuration has no http block".into());
    }
    let found = PUBLISHERS.iter().find_map(|name| context.nginx.everywhere(name).first().copied());
    if let Some(directive) = found {
        return Outcome::Good(format!("{}: {directive}", directive.place()));
    }
    let built = context.facts.build.as_ref();
    let lacks_module = built
        .is_some_and(|build| !build.options.is_empty() && !build.options.contains("http_stub_status_module"));
    let server = if lacks_module { None } else { status_server(context) };
    let edit = server
        .as_ref()
        .and_then(|(server, _)| into_block(server.head, &status_lines(server), context.files()));
    let url =
        server.filter(|_| edit.is_some()).map(|(_, port)| format!("http://127.0.0.1:{port}/nginx_status"));
    let draft = Draft::new(Severity::Low, "nginx publishes no metrics")
        .evidence(["no stub_status or similar module in nginx's configuration".to_owned()])
        .evidence(lacks_module.then(|| "nginx was built without --with-http_stub_status_module".to_owned()))
        .effect(format!("with {} viewers, you notice a limit only after viewers have left", context.viewers))
        .fix(match &url {
            Some(url) => format!("stub_status for this machine alone (then: curl {url}), an exporter (nginx-prometheus-exporter, node_exporter), and alerts (`hls-swarm monitoring`)"),
            None => "stub_status for this machine alone, an exporter (nginx-prometheus-exporter, node_exporter), and alerts (`hls-swarm monitoring`)".to_owned(),
        })
        .example("server {\n    listen 127.0.0.1:8090;   # a free port\n    location = /nginx_status {\n        stub_status;\n        allow 127.0.0.1;\n        deny all;\n    }\n}\n")
        .edits(edit);
    draft.absent(Scope::Http).found()
}

fn status_lines(server: &Location<'_>) -> Vec<&'static str> {
    let mut lines = vec!["location = /nginx_status {", "    stub_status;", "    access_log off;"];
    // Access is restricted by address, and scrapers have no credentials.
    if server.in_effect("auth_basic").is_some() {
        lines.push("    auth_basic off;");
    }
    if server.in_effect("auth_request").is_some() {
        lines.push("    auth_request off;");
    }
    lines.extend(["    allow 127.0.0.1;", "    allow ::1;", "    deny all;", "}"]);
    lines
}

/// Returns the address and port of a `listen` in normalized form.
pub(super) fn socket(listen: &Directive) -> (String, String) {
    let value = listen.value();
    let (host, port) = match value.rsplit_once(':') {
        _ if value.starts_with("unix:") => (value, ""),
        Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => (host, port),
        _ if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => ("*", value),
        _ => (value, "80"),
    };
    let host = if ["0.0.0.0", ""].contains(&host) { "*" } else { host };
    (host.to_owned(), port.to_owned())
}

/// Finds a server that answers `/nginx_status` itself on a port of this machine for which it is the
/// default, and the port.
fn status_server<'c, 'a>(context: &'c Context<'a>) -> Option<(&'c Location<'a>, String)> {
    /// Directives that answer or refuse a request before its location is chosen, or for every location.
    const EARLY: [&str; 3] = ["return", "rewrite", "if"];
    const INHERITED: [&str; 10] = [
        "rewrite_by_lua",
        "rewrite_by_lua_block",
        "rewrite_by_lua_file",
        "satisfy",
        "access_by_lua",
        "access_by_lua_block",
        "access_by_lua_file",
        "auth_jwt",
        "js_access",
        "modsecurity",
    ];
    let servers: Vec<&Location<'_>> = context.nginx.servers().collect();
    let listens = |server: &Location<'a>| server.own().iter().filter(|directive| directive.name == "listen");
    let all = || servers.iter().flat_map(|server| listens(server).map(move |listen| (*server, listen)));
    let port_of = |server: &Location<'a>| {
        listens(server).find_map(|listen| {
            let (host, port) = socket(listen);
            let has = |word: &str| listen.arguments.iter().any(|argument| argument == word);
            // A server that listens on 127.0.0.1 itself gets local requests before one that listens on all addresses.
            let shadowed = host == "*"
                && all().any(|(_, other)| socket(other) == ("127.0.0.1".to_owned(), port.clone()));
            if has("proxy_protocol")
                || has("ssl")
                || has("quic")
                || !["*", "127.0.0.1"].contains(&host.as_str())
                || shadowed
            {
                return None;
            }
            let mut same = all().filter(|(_, other)| socket(other) == (host.clone(), port.clone()));
            let marked = same.clone().find(|(_, other)| {
                other.arguments.iter().any(|word| word == "default_server" || word == "default")
            });
            let (default, _) = marked.or_else(|| same.next())?;
            std::ptr::eq(default.head, server.head).then_some(port)
        })
    };
    servers.iter().find_map(|server| {
        let early = server.own().iter().any(|directive| EARLY.contains(&directive.name.as_str()));
        let inherited = INHERITED.iter().any(|name| server.in_effect(name).is_some());
        let on = |name: &str| server.in_effect(name).is_some_and(|directive| directive.value() != "off");
        let taken = server.own().iter().any(|directive| {
            directive.name == "location"
                && directive.arguments.iter().any(|word| word.trim_start_matches('=') == "/nginx_status")
        });
        if early || inherited || on("ssl_verify_client") || on("ssl") || taken {
            return None;
        }
        port_of(server).map(|port| (*server, port))
    })
}
