//! Whether open files and connections of nginx's workers are enough.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::descriptors::{
    CONNECTIONS_PER_VIEWER, CONNECTIONS_WANTED, Descriptors, USUAL_LIMIT, connections, limit,
};
use crate::audit::findings::Severity;
use crate::audit::nginx_conf::Directive;
use crate::audit::patch::{Edit, instead};

pub(crate) fn open_files(context: &Context<'_>) -> Outcome {
    if context.nginx.http.is_none() {
        return Outcome::Unknown("no http block in nginx's configuration".into());
    }
    let (known, mut evidence) = limit(context);
    let limit = known.unwrap_or(USUAL_LIMIT);
    if known.is_none() {
        evidence.push(format!("{USUAL_LIMIT} is what systemd and shells give where nobody asks for more"));
    }
    let need = Descriptors::of(context).needed(context.viewers);
    let wanted = context.profile.limits.as_ref().map_or(100_000, |limits| limits.nofile).max(need);
    if limit >= need && limit >= CONNECTIONS_WANTED {
        return Outcome::Good(format!("{limit} per worker, {need} needed"));
    }
    let fits = Descriptors::of(context).viewers(limit);
    let severity = if limit < need { Severity::Critical } else { Severity::Moderate };
    // A worker without CAP_SYS_RESOURCE cannot go beyond the hard limit, and keeps the old one if it tries.
    let hard = context.facts.processes.iter().filter_map(|process| Some(process.open_files?.1)).min();
    let directly = wanted.min(hard.unwrap_or(wanted));
    let edit = match context.nginx.at_top("worker_rlimit_nofile") {
        Some(directive) => {
            instead(directive, &[format!("worker_rlimit_nofile {directly};")], context.files())
        }
        None => at_top(
            context,
            &[
                "# A connection is a descriptor, and so is a file that is being sent.".to_owned(),
                format!("worker_rlimit_nofile {directly};"),
            ],
        ),
    };
    Outcome::found(
        Draft::new(severity, format!("workers may open {limit} files, {} viewers need {need}", context.viewers))
            .evidence(evidence)
            .effect(format!(
                "the wall stands at about {fits} of {} viewers: nginx logs \"Too many open files\", refuses connections and answers 500",
                context.viewers
            ))
            .fix(format!(
                "worker_rlimit_nofile {directly}, and LimitNOFILE={wanted} for its service (`hls-swarm tune persist --profile origin --only limit.`)"
            ))
            .commands(["hls-swarm tune persist --profile origin --only limit. && systemctl daemon-reload && systemctl restart nginx".to_owned()])
            .edits(edit),
    )
}

/// Puts lines before the first block of the main file.
fn at_top(context: &Context<'_>, lines: &[String]) -> Option<Edit> {
    let anchor: &Directive = context.nginx.top.iter().find(|directive| directive.block.is_some())?;
    let text = context.files().get(&anchor.file)?;
    let own = text.lines().nth(anchor.line.checked_sub(1)?)?;
    own.trim_start().starts_with(&anchor.name).then(|| Edit {
        file: anchor.file.clone(),
        after: anchor.line - 1,
        remove: 0,
        lines: lines.to_vec(),
    })
}

pub(crate) fn worker_connections(context: &Context<'_>) -> Outcome {
    if context.nginx.http.is_none() {
        return Outcome::Unknown("no http block in nginx's configuration".into());
    }
    let (number, evidence) = connections(context);
    let workers = context.nginx.workers(context.facts.processors);
    let each = CONNECTIONS_PER_VIEWER + u64::from(context.nginx.proxied().next().is_some());
    let need = (u64::from(context.viewers) * each).div_ceil(workers);
    if number >= need {
        return Outcome::Good(format!("{number} per worker, {need} needed by {}", count_workers(workers)));
    }
    let wanted = CONNECTIONS_WANTED.max(need);
    let edit = context.nginx.event("worker_connections").and_then(|directive| {
        instead(directive, &[format!("worker_connections {wanted};")], context.files())
    });
    Outcome::found(
        Draft::new(
            Severity::Critical,
            format!("{number} connections per worker, {} viewers need {need}", context.viewers),
        )
        .evidence([evidence, format!("{}, {each} connections per viewer", count_workers(workers))])
        .effect(format!(
            "at about {} of {} viewers nginx logs \"worker_connections are not enough\" and closes new connections",
            number * workers / each,
            context.viewers
        ))
        .fix(format!("worker_connections {wanted} in the events block"))
        .edits(edit),
    )
}

fn count_workers(workers: u64) -> String {
    super::count(usize::try_from(workers).unwrap_or(usize::MAX), "worker")
}
