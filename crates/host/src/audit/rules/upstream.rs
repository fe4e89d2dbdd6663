//! Connections to upstreams that are kept.

use super::{Found, Outcome};
use crate::audit::case::Case;
use crate::audit::findings::Severity;
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::{Edit, into_block};
use crate::audit::site::{Leaf, host};

/// What is missing where requests are passed on.
struct Lack<'a> {
    leaf: &'a Leaf<'a>,
    pass: &'a Directive,
    upstream: Option<&'a Directive>,
    keepalive: bool,
    version: bool,
    header: bool,
}

fn lack<'a>(case: &'a Case<'_>, leaf: &'a Leaf<'a>, pass: &'a Directive) -> Lack<'a> {
    let upstream = case.site.upstream(pass);
    let kept = |block: &Directive| block.children().iter().any(|directive| directive.name == "keepalive");
    let version = leaf.effective("proxy_http_version").map(Directive::value);
    // proxy_set_header holds as a set: the innermost place that has any has them all.
    let header = leaf.effective_all("proxy_set_header").any(|directive| {
        directive.value().eq_ignore_ascii_case("connection")
            && directive.arguments.get(1).is_some_and(|value| value.is_empty())
    });
    Lack {
        leaf,
        pass,
        upstream,
        keepalive: upstream.is_some_and(kept),
        // 2 came with nginx 1.29.4 and keeps connections too.
        version: matches!(version, Some("1.1" | "2")),
        header,
    }
}

pub(crate) fn keepalive(case: &Case<'_>) -> Outcome {
    let lacks: Vec<Lack<'_>> = case.site.passes().map(|(leaf, pass)| lack(case, leaf, pass)).collect();
    if lacks.is_empty() {
        return Outcome::NotHere;
    }
    let lacks: Vec<Lack<'_>> =
        lacks.into_iter().filter(|lack| !(lack.keepalive && lack.version && lack.header)).collect();
    if lacks.is_empty() {
        return Outcome::Good("connections to upstreams are kept".into());
    }
    let mut evidence = Vec::new();
    let mut edits: Vec<Edit> = Vec::new();
    for lack in &lacks {
        let mut missing = Vec::new();
        match lack.upstream {
            None => missing.push(format!("no upstream block for {}", host(lack.pass.value()))),
            Some(block) if !lack.keepalive => {
                missing.push(format!("no keepalive in {}", block.place()));
                edits.extend(last_in_block(case, block, "keepalive 64;"));
            }
            Some(_) => {}
        }
        let mut lines = Vec::new();
        if !lack.version {
            missing.push("no proxy_http_version 1.1".into());
            lines.push("proxy_http_version 1.1;");
        }
        if !lack.header {
            missing.push("no proxy_set_header Connection \"\"".into());
            lines.push("proxy_set_header Connection \"\";");
        }
        // Without an upstream block nothing could be kept, whatever the location says.
        if lack.upstream.is_some() && !lines.is_empty() {
            edits.extend(into_block(lack.leaf.head, &lines, case.files()));
        }
        evidence.push(format!("{}: {}: {}", lack.pass.place(), lack.pass, missing.join(", ")));
    }
    let rate = case.segment_seconds().map_or_else(String::new, |seconds| {
        format!(
            ", {:.0} a second if all of {} viewers' playlists and segments go there",
            f64::from(case.viewers) * 2.0 / seconds,
            case.viewers
        )
    });
    Outcome::found(
        Found::new(Severity::Moderate, "each request that is passed on opens a connection of its own")
            .evidence(evidence)
            .effect(format!("a handshake and a local port in TIME_WAIT for 60 s per request{rate}"))
            .fix("name the upstream in a block with `keepalive 64;`, and pass on with `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`")
            .edits(edits),
    )
}

/// `keepalive` has to stand behind the method of balancing, so it goes to the end of the block.
fn last_in_block(case: &Case<'_>, block: &Directive, line: &str) -> Option<Edit> {
    let text = case.files().get(&block.file)?;
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
