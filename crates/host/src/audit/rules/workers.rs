//! nginx's processes: their number, their limits, their user, their log.

use super::{Draft, Outcome, count};
use crate::audit::capacity::{
    Descriptors, RECOMMENDED_CONNECTIONS, USUAL_LIMIT, connections_per_viewer, open_file_limit,
    worker_connections as configured_connections,
};
use crate::audit::context::{Context, Scope};
use crate::audit::findings::Severity;
use crate::audit::nginx_conf::{Directive, quote};
use crate::audit::patch::{Edit, before, replace};

/// Largest limit of open files of a process without a change of fs.nr_open.
const NR_OPEN: u64 = 1_048_576;

/// Returns the outcome where nothing is known of the processes.
fn without_main(context: &Context<'_>) -> Option<Outcome> {
    if context.facts.configuration.fragment {
        return Some(Outcome::Unknown(
            "this file is only a part of a configuration; audit the main nginx.conf".into(),
        ));
    }
    let none = || Outcome::Unknown("nginx's configuration has no http block".into());
    context.nginx.http.is_none().then(none)
}

fn count_workers(workers: u64) -> String {
    count(usize::try_from(workers).unwrap_or(usize::MAX), "worker")
}

/// Inserts lines before the first block of the main file.
fn at_top(context: &Context<'_>, lines: &[String]) -> Option<Edit> {
    let first = context.nginx.top.iter().find(|directive| directive.block.is_some())?;
    before(first, lines, context.files())
}

/// A critical finding that depends on a guess is no more than moderate.
const fn severity(critical: bool, guessed: bool) -> Severity {
    if critical && !guessed { Severity::Critical } else { Severity::Moderate }
}

pub(super) fn open_files(context: &Context<'_>) -> Outcome {
    if let Some(outcome) = without_main(context) {
        return outcome;
    }
    let (known, mut evidence) = open_file_limit(context);
    let limit = known.unwrap_or(USUAL_LIMIT);
    let (_, guess) = context.workers();
    let need = Descriptors::of(context).needed(context.viewers);
    if limit >= need && limit >= RECOMMENDED_CONNECTIONS {
        return Outcome::Good(format!("{limit} per worker, {need} needed"));
    }
    if known.is_none() {
        evidence.push(format!("{USUAL_LIMIT} is the usual soft limit of services and shells"));
    }
    let severity = severity(limit < need, guess.is_some());
    evidence.extend(guess);
    let wanted = context.profile.limits.as_ref().map_or(100_000, |limits| limits.nofile).max(need);
    let configured = context.nginx.at_top("worker_rlimit_nofile");
    // A worker without CAP_SYS_RESOURCE cannot exceed the hard limit, and keeps the old one if it tries. The
    // directive sets the hard limit of workers, too; the master process's is what they begin with.
    let masters = || context.facts.processes.iter().filter(|process| !process.worker);
    let hard = masters().filter_map(|process| Some(process.open_files?.1)).min();
    let now = configured.and_then(|directive| directive.value().parse().ok()).unwrap_or(0);
    let directly = wanted.min(hard.unwrap_or(wanted)).min(NR_OPEN).max(now);
    let edit = match configured {
        // Only a restart applies it, or a higher limit of the service.
        Some(_) if directly == now => None,
        Some(directive) => {
            replace(directive, &[format!("worker_rlimit_nofile {directly};")], context.files())
        }
        None => at_top(
            context,
            &[
                "# Every connection and every file that is being sent is an open file.".to_owned(),
                format!("worker_rlimit_nofile {directly};"),
            ],
        ),
    };
    let nr_open = if wanted > NR_OPEN { format!(", and fs.nr_open = {wanted}") } else { String::new() };
    let (service, command) = if context.facts.container {
        (format!("a limit of {wanted} for its container (such as --ulimit nofile={wanted})"), None)
    } else {
        (
            format!(
                "LimitNOFILE={wanted} for its service (`hls-swarm tune persist --profile origin --only limit.`)"
            ),
            Some(
                "hls-swarm tune persist --profile origin --only limit. && systemctl daemon-reload && systemctl restart nginx",
            ),
        )
    };
    let fits = Descriptors::of(context).viewers(limit);
    let draft = Draft::new(severity, format!("workers may open {limit} files, {} viewers need {need}", context.viewers))
        .evidence(evidence)
        .effect(format!(
            "the limit is reached at about {fits} of {} viewers: nginx logs \"Too many open files\", refuses connections, and answers 500",
            context.viewers
        ))
        .fix(format!("worker_rlimit_nofile {directly}, and {service}{nr_open}"))
        .commands(command.map(str::to_owned))
        .edits(edit);
    // A file that was not read may set it; the limit of a running worker is known.
    let unread = configured.is_none() && known.is_none();
    if unread { draft.absent(Scope::Main).found() } else { draft.found() }
}

pub(super) fn worker_connections(context: &Context<'_>) -> Outcome {
    if let Some(outcome) = without_main(context) {
        return outcome;
    }
    let (number, evidence) = configured_connections(context);
    let (workers, guess) = context.workers();
    let each = connections_per_viewer(context);
    let need = (u64::from(context.viewers) * each).div_ceil(workers);
    if number >= need {
        return Outcome::Good(format!("{number} per worker, {need} needed by {}", count_workers(workers)));
    }
    let wanted = RECOMMENDED_CONNECTIONS.max(need);
    let configured = context.nginx.event("worker_connections");
    let edit = configured.and_then(|directive| {
        replace(directive, &[format!("worker_connections {wanted};")], context.files())
    });
    let severity = severity(true, guess.is_some());
    let draft = Draft::new(severity, format!("{number} connections per worker, {} viewers need {need}", context.viewers))
        .evidence([evidence, format!("{}, {each} connections per viewer", count_workers(workers))])
        .evidence(guess)
        .effect(format!(
            "at about {} of {} viewers nginx logs \"worker_connections are not enough\" and closes new connections",
            number * workers / each,
            context.viewers
        ))
        .fix(format!("worker_connections {wanted} in the events block"))
        .edits(edit);
    if configured.is_none() { draft.absent(Scope::Main).found() } else { draft.found() }
}

pub(super) fn connections_limit(context: &Context<'_>) -> Outcome {
    if let Some(outcome) = without_main(context) {
        return outcome;
    }
    let (connections, seen) = configured_connections(context);
    let (Some(limit), evidence) = open_file_limit(context) else { return Outcome::NotApplicable };
    if connections <= limit {
        return Outcome::Good(format!("{connections} connections, {limit} open files per worker"));
    }
    let configured = context.nginx.at_top("worker_rlimit_nofile");
    let wanted = connections + Descriptors::of(context).cached + RECOMMENDED_CONNECTIONS;
    Draft::new(Severity::Low, format!("{connections} connections per worker, but only {limit} open files"))
        .evidence(std::iter::once(seen).chain(evidence))
        .effect(format!("a worker runs out of files before connections: of {connections} it can use {limit}"))
        .fix(match configured {
            Some(_) => format!(
                "worker_rlimit_nofile of at least {wanted}: a proxied or cached response needs a second file"
            ),
            None => format!(
                "worker_rlimit_nofile {wanted}; beyond the service's hard limit also LimitNOFILE={wanted}"
            ),
        })
        .found()
}

/// Reports whether a directive, or one inside of it, belongs to a module that keeps state in a worker.
fn keeps_state(directive: &Directive) -> bool {
    let name = directive.name.as_str();
    name == "rtmp"
        || name.contains("_lua")
        || ["lua_", "perl", "passenger", "push_stream"].iter().any(|start| name.starts_with(start))
        || directive.children().iter().any(keeps_state)
}

pub(super) fn worker_processes(context: &Context<'_>) -> Outcome {
    if let Some(outcome) = without_main(context) {
        return outcome;
    }
    let configured = context.nginx.at_top("worker_processes");
    let number = configured.map_or(Some(1), |directive| directive.value().parse::<u64>().ok());
    let Some(number) = number else {
        return Outcome::Good(configured.map(ToString::to_string).unwrap_or_default());
    };
    match context.facts.processors {
        Some(processors) if number >= u64::from(processors) => {
            return Outcome::Good(format!("{number} for {}", count(processors as usize, "processor")));
        }
        None if number > 1 => return Outcome::Good(format!("{number}; the number of processors is unknown")),
        _ => {}
    }
    let has = context.facts.processors.map_or_else(
        || "the number of processors is unknown (--processors N)".to_owned(),
        |processors| format!("the machine has {}", count(processors as usize, "processor")),
    );
    let seen = configured.map_or_else(
        || "no worker_processes: nginx starts one".to_owned(),
        |directive| format!("{}: {directive}", directive.place()),
    );
    // What workers keep in memory of their own would no longer be one thing.
    let stateful = context.nginx.top.iter().any(keeps_state)
        || context.files().values().any(|text| text.contains("max_conns=") || text.contains("$pid"));
    let edit = match configured {
        _ if stateful => None,
        Some(directive) => replace(directive, &["worker_processes auto;".into()], context.files()),
        None => {
            at_top(context, &["# One worker for each processor.".to_owned(), "worker_processes auto;".into()])
        }
    };
    let fix = if stateful {
        "worker_processes auto, after checking that the RTMP module (rtmp_auto_push on) and scripts work with several workers"
    } else {
        "worker_processes auto: one worker for each processor"
    };
    let draft = Draft::new(Severity::Low, format!("nginx uses {}", count_workers(number)))
        .evidence([seen, has])
        .effect(format!(
            "TLS, compression, and copying for {} viewers share {}; a slow disk read stops all viewers of a worker",
            context.viewers,
            count(usize::try_from(number).unwrap_or(usize::MAX), "processor")
        ))
        .fix(fix)
        .edits(edit);
    if configured.is_none() { draft.absent(Scope::Main).found() } else { draft.found() }
}

pub(super) fn user(context: &Context<'_>) -> Outcome {
    match context.nginx.at_top("user") {
        Some(directive) if directive.value() == "root" => {
            Draft::new(Severity::Moderate, "workers run as root")
                .evidence([format!("{}: {directive}", directive.place())])
                .effect("a flaw in nginx or in a module gives the whole machine away, while it serves unknown viewers")
                .fix("user www-data (or nginx) and folders that this user can read; the master process keeps root for its ports")
                .example("user www-data;")
                .found()
        }
        Some(directive) => Outcome::Good(directive.to_string()),
        None => Outcome::NotApplicable,
    }
}

pub(super) fn error_log(context: &Context<'_>) -> Outcome {
    let all: Vec<&Directive> =
        context.nginx.at_top("error_log").into_iter().chain(context.nginx.everywhere("error_log")).collect();
    let debug =
        |directive: &&&Directive| directive.arguments.get(1).is_some_and(|level| level.starts_with("debug"));
    let wrong: Vec<&Directive> = all.iter().filter(debug).copied().collect();
    if wrong.is_empty() {
        return if all.is_empty() {
            Outcome::NotApplicable
        } else {
            Outcome::Good("not at level debug".into())
        };
    }
    let edits: Vec<Edit> = wrong
        .iter()
        .filter_map(|directive| {
            let path = quote(directive.value());
            replace(directive, &[format!("error_log {path} warn;")], context.files())
        })
        .collect();
    Draft::new(Severity::Moderate, "the error log is at level debug")
        .evidence(Context::places(wrong))
        .effect(format!(
            "where nginx was built with --with-debug, each request writes dozens of lines: with {} viewers the log fills the disk and takes most of the time",
            context.viewers
        ))
        .fix("error_log … warn; debug_connection for single addresses")
        .edits(edits)
        .found()
}
