//! Connections to upstreams that are kept.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::audit::nginx::{Location, host};
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::{Edit, into_block};

/// What is missing where requests are passed on.
struct MissingKeepalive<'a> {
    location: &'a Location<'a>,
    pass: &'a Directive,
    upstream: Option<&'a Directive>,
    keepalive: bool,
    version: bool,
    header: bool,
}

fn missing_for<'a>(
    context: &'a Context<'_>,
    location: &'a Location<'a>,
    pass: &'a Directive,
) -> MissingKeepalive<'a> {
    let upstream = context.nginx.upstream(pass);
    let kept = |block: &Directive| block.children().iter().any(|directive| directive.name == "keepalive");
    let version = location.in_effect("proxy_http_version").map(Directive::value);
    // proxy_set_header holds as a set: the innermost place that has any has them all.
    let header = location.all_in_effect("proxy_set_header").any(|directive| {
        directive.value().eq_ignore_ascii_case("connection")
            && directive.arguments.get(1).is_some_and(|value| value.is_empty())
    });
    MissingKeepalive {
        location,
        pass,
        upstream,
        keepalive: upstream.is_some_and(kept),
        // 2 came with nginx 1.29.4 and keeps connections too.
        version: matches!(version, Some("1.1" | "2")),
        header,
    }
}

pub(crate) fn keepalive(context: &Context<'_>) -> Outcome {
    let missing_keepalive: Vec<MissingKeepalive<'_>> =
        context.nginx.proxied().map(|(location, pass)| missing_for(context, location, pass)).collect();
    if missing_keepalive.is_empty() {
        return Outcome::NotHere;
    }
    let missing_keepalive: Vec<MissingKeepalive<'_>> = missing_keepalive
        .into_iter()
        .filter(|missing_for| !(missing_for.keepalive && missing_for.version && missing_for.header))
        .collect();
    if missing_keepalive.is_empty() {
        return Outcome::Good("connections to upstreams are kept".into());
    }
    let mut evidence = Vec::new();
    let mut edits: Vec<Edit> = Vec::new();
    for missing_for in &missing_keepalive {
        let mut missing = Vec::new();
        match missing_for.upstream {
            None => missing.push(format!("no upstream block for {}", host(missing_for.pass.value()))),
            Some(block) if !missing_for.keepalive => {
                missing.push(format!("no keepalive in {}", block.place()));
                edits.extend(last_in_block(context, block, "keepalive 64;"));
            }
            Some(_) => {}
        }
        let mut lines = Vec::new();
        if !missing_for.version {
            missing.push("no proxy_http_version 1.1".into());
            lines.push("proxy_http_version 1.1;");
        }
        if !missing_for.header {
            missing.push("no proxy_set_header Connection \"\"".into());
            lines.push("proxy_set_header Connection \"\";");
        }
        // Without an upstream block nothing could be kept, whatever the location says.
        if missing_for.upstream.is_some() && !lines.is_empty() {
            edits.extend(into_block(missing_for.location.head, &lines, context.files()));
        }
        evidence.push(format!("{}: {}: {}", missing_for.pass.place(), missing_for.pass, missing.join(", ")));
    }
    let rate = context.segment_seconds().map_or_else(String::new, |seconds| {
        format!(
            ", {:.0} a second if all of {} viewers' playlists and segments go there",
            f64::from(context.viewers) * 2.0 / seconds,
            context.viewers
        )
    });
    Outcome::found(
        Draft::new(Severity::Moderate, "each request that is passed on opens a connection of its own")
            .evidence(evidence)
            .effect(format!("a handshake and a local port in TIME_WAIT for 60 s per request{rate}"))
            .fix("name the upstream in a block with `keepalive 64;`, and pass on with `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`")
            .edits(edits),
    )
}

/// `keepalive` has to stand behind the method of balancing, so it goes to the end of the block.
fn last_in_block(context: &Context<'_>, block: &Directive, line: &str) -> Option<Edit> {
    let text = context.files().get(&block.file)?;
    let closing = text.lines().nth(block.last_line.checked_sub(1)?)?;
    (closing.trim_start().starts_with('}') && block.last_line > block.head_line).then(|| {
        let indent = closing.len() - closing.trim_start().len() + 4;
        Edit {
            file: block.file.clone(),
            after: block.last_line - 1,
            remove: 0,
            lines: vec![format!("{}{line}", " ".repeat(indent))],
        }
    })
}
