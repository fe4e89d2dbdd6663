//! Accepting connections: queues, keep-alive, TLS, HTTP/2.

use std::collections::BTreeSet;

use super::access::socket;
use super::{Draft, Outcome};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx::{Location, seconds};
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::into_block;

/// nginx's default of `backlog`.
const DEFAULT_BACKLOG: u64 = 511;
/// Viewers from which a burst of connections may fill the default queue.
const FEW_VIEWERS: u32 = 500;

/// Returns the `listen` directives of servers that serve media.
fn listens<'a>(context: &Context<'a>) -> Vec<&'a Directive> {
    let mut found: Vec<&Directive> = Vec::new();
    for location in context.nginx.media() {
        found.extend(location.server.children().iter().filter(|directive| directive.name == "listen"));
    }
    let mut seen = BTreeSet::new();
    found.retain(|listen| seen.insert(listen.place()));
    found
}

fn has(listen: &Directive, word: &str) -> bool {
    listen.arguments.iter().any(|argument| argument == word)
}

pub(super) fn backlog(context: &Context<'_>) -> Outcome {
    let all = context.nginx.everywhere("listen");
    let backlog = |listen: &Directive| {
        // One `listen` sets it for all that share the socket.
        let same = all.iter().filter(|other| socket(other) == socket(listen));
        same.flat_map(|other| &other.arguments)
            .find_map(|word| word.strip_prefix("backlog=")?.parse::<u64>().ok())
    };
    let tcp: Vec<&Directive> = listens(context)
        .into_iter()
        .filter(|listen| !has(listen, "quic") && !listen.value().starts_with("unix:"))
        .collect();
    if tcp.is_empty() {
        return Outcome::NotApplicable;
    }
    let without: Vec<&Directive> = tcp
        .into_iter()
        .filter(|listen| backlog(listen).unwrap_or(DEFAULT_BACKLOG) <= DEFAULT_BACKLOG)
        .collect();
    if without.is_empty() || context.viewers <= FEW_VIEWERS {
        return Outcome::Good("the queue of new connections suffices".into());
    }
    let limit = context
        .sysctl("net.core.somaxconn")
        .map(|value| format!("net.core.somaxconn = {value}, but nginx asks for {DEFAULT_BACKLOG}"));
    Draft::new(Severity::Low, format!("at most {DEFAULT_BACKLOG} new connections can wait"))
        .evidence(Context::places(without.iter().copied()))
        .evidence(limit)
        .effect(format!(
            "when {} viewers come within a second (start of an event, restart of nginx), connections beyond the queue are dropped, and those viewers try again after 1 s and more",
            context.viewers
        ))
        .fix("listen … backlog=4096 in one `listen` per address and port, with net.core.somaxconn as high (`hls-swarm tune`); `reuseport` gives each worker a queue of its own, which helps where all cores accept connections")
        .example(without.first().map_or_else(String::new, |listen| format!("listen {} backlog=4096;   # {}\n", listen.arguments.join(" "), listen.place())))
        .found()
}

pub(super) fn keepalive(context: &Context<'_>) -> Outcome {
    /// Requests per connection that are few for viewers: two per segment.
    const FEW_REQUESTS: u64 = 100;
    let mut wrong: Vec<&Directive> = Vec::new();
    let pause = context.segment_seconds().unwrap_or(2.0);
    for location in context.nginx.media() {
        wrong.extend(
            location
                .in_effect("keepalive_timeout")
                .filter(|timeout| seconds(timeout.value()).is_some_and(|time| time <= pause)),
        );
        wrong.extend(
            location
                .in_effect("keepalive_requests")
                .filter(|requests| requests.value().parse().is_ok_and(|number: u64| number < FEW_REQUESTS)),
        );
    }
    if context.nginx.media().next().is_none() {
        return Outcome::NotApplicable;
    }
    if wrong.is_empty() {
        return Outcome::Good("connections outlive the pause between two segments".into());
    }
    Draft::new(Severity::Moderate, "viewers connect again for each segment")
        .evidence(Context::places(wrong))
        .effect(format!(
            "{} viewers pay a handshake (and TLS) for each segment, start with a small window, and leave ports in TIME_WAIT; a viewer fetches every {pause:.1} s",
            context.viewers
        ))
        .fix("keepalive_timeout 65s (longer than a segment), keepalive_requests 1000, and reset_timedout_connection on against dead viewers. It changes the header Connection, so there is no patch")
        .example("keepalive_timeout 65s;\nkeepalive_requests 1000;\nreset_timedout_connection on;\n")
        .found()
}

/// Returns the servers that serve media by TLS.
fn tls<'c, 'a>(context: &'c Context<'a>) -> Vec<&'c Location<'a>> {
    let media: Vec<&Directive> = context.nginx.media().map(|location| location.server).collect();
    context
        .nginx
        .servers()
        .filter(|server| media.iter().any(|other| std::ptr::eq(*other, server.head)))
        .filter(|server| {
            server.own().iter().any(|directive| directive.name == "listen" && has(directive, "ssl"))
        })
        .collect()
}

pub(super) fn protocols(context: &Context<'_>) -> Outcome {
    let servers = tls(context);
    if servers.is_empty() {
        return Outcome::NotApplicable;
    }
    let old = |protocols: &&Directive| {
        protocols
            .arguments
            .iter()
            .any(|protocol| ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"].contains(&protocol.as_str()))
    };
    let wrong: Vec<&Directive> =
        servers.iter().filter_map(|server| server.in_effect("ssl_protocols")).filter(old).collect();
    if wrong.is_empty() {
        return Outcome::Good("TLS 1.2 and 1.3, or nginx's default".into());
    }
    Draft::new(Severity::Moderate, "old versions of TLS are accepted")
        .evidence(Context::places(wrong))
        .effect("TLS 1.0 and 1.1 are broken and refused by current browsers; TLS 1.3 saves a round trip for each viewer that connects")
        .fix("ssl_protocols TLSv1.2 TLSv1.3; check first whether old set-top boxes are among the viewers")
        .example("ssl_protocols TLSv1.2 TLSv1.3;\n")
        .found()
}

pub(super) fn sessions(context: &Context<'_>) -> Outcome {
    let servers = tls(context);
    if servers.is_empty() {
        return Outcome::NotApplicable;
    }
    let shared = |server: &&&Location<'_>| {
        server
            .in_effect("ssl_session_cache")
            .is_some_and(|cache| cache.arguments.iter().any(|word| word.starts_with("shared:")))
    };
    let without: Vec<&&Location<'_>> = servers.iter().filter(|server| !shared(server)).collect();
    if without.is_empty() {
        return Outcome::Good("a shared session cache".into());
    }
    // Sessions that are resumed skip the check of a client's certificate, and variables show them.
    let visible = !context.nginx.everywhere("ssl_verify_client").is_empty()
        || context
            .files()
            .values()
            .any(|text| text.contains("ssl_session_reused") || text.contains("ssl_session_id"));
    let unset = context.nginx.everywhere("ssl_session_cache").is_empty() && !visible;
    let edit =
        context.nginx.http.filter(|_| unset && !context.facts.configuration.fragment).and_then(|http| {
            into_block(
                http,
                &[
                    "# Viewers that connect again skip a part of the handshake.",
                    "ssl_session_cache shared:TLS:10m;",
                ],
                context.files(),
            )
        });
    Draft::new(Severity::Low, "TLS sessions are not shared between workers")
        .evidence(
            without.iter().map(|server| format!("{}: no shared ssl_session_cache", server.head.place())),
        )
        .effect(format!(
            "those of {} viewers whose players have no session tickets (all of them with ssl_session_tickets off) do a full handshake each time that they connect again (change of channel, of network)",
            context.viewers
        ))
        .fix("ssl_session_cache shared:TLS:10m (about 40,000 sessions) and ssl_session_timeout 1h")
        .example("ssl_session_cache shared:TLS:10m;\nssl_session_timeout 1h;\n")
        .edits(edit)
        .absent(Scope::Http)
        .found()
}

pub(super) fn http2(context: &Context<'_>) -> Outcome {
    let servers = tls(context);
    if servers.is_empty() {
        return Outcome::NotApplicable;
    }
    let on = |server: &&&Location<'_>| {
        server.in_effect("http2").is_some_and(|http2| http2.value() == "on")
            || server.own().iter().any(|directive| {
                directive.name == "listen" && (has(directive, "http2") || has(directive, "quic"))
            })
    };
    let without: Vec<&&Location<'_>> = servers.iter().filter(|server| !on(server)).collect();
    if without.is_empty() {
        return Outcome::Good("HTTP/2".into());
    }
    let directive = match context.nginx_since((1, 25, 1)) {
        Some(true) => "http2 on;",
        Some(false) => "listen 443 ssl http2;",
        None => "http2 on;   # before nginx 1.25.1: listen 443 ssl http2;",
    };
    Draft::new(Severity::Low, "HTTPS without HTTP/2")
        .evidence(without.iter().map(|server| format!("{}: no http2", server.head.place())))
        .effect("playlists, audio, and video of a viewer each need a connection with a TLS handshake; low latency (LL-HLS) requires HTTP/2")
        .fix("http2 on. It changes the protocol of responses, so there is no patch")
        .example(format!("{directive}\n"))
        .absent(Scope::Http)
        .found()
}
