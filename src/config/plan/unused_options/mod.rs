//! Options that have no effect, because another option overrides them or the option that they belong to is missing.
//! They cause an error or a warning and are never ignored silently.
//!
//! A value of a profile or scenario that an environment variable or flag makes useless is not reported.
//! Effects that depend on the stream or the machine (`--unpaced` of a live stream) are not known here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::Value;

use hls_swarm_base::error::Failure;
use hls_swarm_cli::layers::{Given, filtered};

use crate::cli::run::{CmcdArg, EngineKind, ProbeMode, RunArgs, VariantSelection};
use crate::config::layers;

/// The reason why a value has no effect, as the key of another value and an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The other value contradicts it.
    ContradictedBy(&'static str, &'static str),
    /// The other value makes it pointless, but is often added to a command line that contains this one, so it is not an
    /// error.
    PointlessWith(&'static str, &'static str),
    /// The other value has the same meaning and overrides it.
    OverriddenBy(&'static str, &'static str),
    /// The other value is required and missing.
    Missing(&'static str, &'static str),
}

use Cause::{ContradictedBy, Missing, OverriddenBy, PointlessWith};

type Rule = fn(&RunArgs) -> Option<Cause>;

/// The values that may have no effect, each with a rule; the first cause that applies is reported.
const RULES: &[(&str, Rule)] = &[
    ("ffmpeg", of_ffmpeg),
    ("ffmpeg_arg", of_ffmpeg),
    ("ffmpeg_debug", of_ffmpeg),
    ("stats", of_ffmpeg),
    ("stats_buffer", of_ffmpeg),
    ("stats_loglevel", of_ffmpeg),
    ("reconnect", of_ffmpeg),
    ("reconnect_delay", of_ffmpeg),
    ("seg_retry", of_ffmpeg),
    ("unpaced", of_ffmpeg),
    ("restart_on_stall", of_ffmpeg),
    ("probe", |a| is_native(a).then_some(ContradictedBy("engine", "native viewers measure themselves"))),
    ("abr", of_native),
    ("cmcd", of_native),
    ("cmcd_version", no_cmcd),
    ("cmcd_cid", no_cmcd),
    ("http", of_native),
    ("canaries", of_native),
    ("resolve_per_viewer", of_native),
    ("header", not_sent),
    ("header_file", not_sent),
    ("user_agent", not_sent),
    ("no_cache", not_sent),
    ("clients", checked),
    ("ramp_rate", checked),
    ("duration", checked),
    ("stage", checked),
    ("arrival_rate", checked),
    ("session", checked),
    ("start_at", checked),
    ("shard", checked),
    ("clients", |a| staged(a).then_some(ContradictedBy("stage", "each stage has its own number of viewers"))),
    ("ramp_rate", |a| {
        staged(a).then_some(ContradictedBy("stage", "a stage ramps linearly over its duration"))
    }),
    ("ramp_rate", comes_and_goes),
    ("ramp_jitter", |a| if a.load.ramp_jitter.0.is_zero() { None } else { comes_and_goes(a) }),
    ("duration", |a| {
        let endless = a.load.duration.0.is_zero();
        // Images and wrappers pass 0 for "until stopped".
        (endless && staged(a)).then_some(PointlessWith("stage", "the run ends with its last stage"))
    }),
    ("stage", |a| {
        let cut = never_begins(a);
        cut.then_some(PointlessWith("duration", "the run ends before the last stage begins"))
    }),
    ("variant", |a| {
        let own =
            !a.stream.streams.is_empty() && a.stream.streams.iter().all(|stream| stream.variant.is_some());
        own.then_some(PointlessWith("stream", "each stream has its own variant"))
    }),
    ("probe_failure_policy", |a| {
        let common = a.stream.variant;
        let mut variants = a.stream.streams.iter().map(|stream| stream.variant.unwrap_or(common));
        let chosen = if a.stream.streams.is_empty() {
            common != VariantSelection::All
        } else {
            variants.any(|v| v != VariantSelection::All)
        };
        (!chosen).then_some(Missing("variant", "all variants are played"))
    }),
    ("reconnect_delay", |a| {
        (a.stream.reconnect_delay > 0 && !a.stream.reconnect)
            .then_some(ContradictedBy("reconnect", "FFmpeg does not reconnect"))
    }),
    ("dangerous", |a| {
        (a.stream.dangerous && !a.stream.insecure)
            .then_some(Missing("insecure", "TLS certificates are verified"))
    }),
    ("stats_loglevel", |a| {
        let log = a.viewers.probe == ProbeMode::Off;
        log.then_some(ContradictedBy("probe", "requests are read from FFmpeg's log, which needs trace"))
    }),
    ("stats_loglevel", |a| {
        (!a.viewers.ffmpeg_debug).then_some(Missing("ffmpeg_debug", "FFmpeg's log is not copied"))
    }),
    ("origin_metrics_node_port", |a| a.origin.origin_metrics.as_ref().map(|_| OWN_NODE_PORT)),
    ("origin_metrics_node_port", no_host),
    ("origin_metrics_nginx_port", |a| a.origin.nginx_metrics.as_ref().map(|_| OWN_NGINX_PORT)),
    ("origin_metrics_nginx_port", no_host),
    ("origin_metrics_host", |a| {
        let all = a.origin.origin_metrics.is_some()
            && a.origin.nginx_metrics.is_some()
            && a.origin.segment_sizes_url.is_some();
        all.then_some(ContradictedBy(
            "origin_metrics",
            "together with --nginx-metrics and --segment-sizes-url, it overrides every address",
        ))
    }),
    ("origin_metrics_interval", no_exporter),
    ("origin_metrics_window", no_exporter),
    ("segment_sizes_interval", no_sizes),
    ("segment_sizes_jitter", no_sizes),
    ("segment_cache_window", no_sizes),
    ("abort_after", never_aborts),
    ("at_least", no_search),
    ("hold", no_search),
    ("prom_client_metrics", |a| {
        let off = a.results.prom_client_metrics && a.results.metrics == "off";
        off.then_some(ContradictedBy("metrics", "nothing is exported"))
    }),
    ("live_page", |a| {
        let off = !a.results.live_page.is_empty() && a.results.metrics == "off";
        off.then_some(ContradictedBy("metrics", "the page is on the port of the metrics"))
    }),
    ("log_level", |a| {
        a.results.verbose.then_some(OverriddenBy("verbose", "it is the same as --log-level debug"))
    }),
];

const OWN_NODE_PORT: Cause = ContradictedBy("origin_metrics", "that address has its own port");
const OWN_NGINX_PORT: Cause = ContradictedBy("nginx_metrics", "that address has its own port");

fn is_native(args: &RunArgs) -> bool {
    args.viewers.engine == Some(EngineKind::Native)
}

fn no_search(args: &RunArgs) -> Option<Cause> {
    (!args.load.find_limit).then_some(Missing("find_limit", "no limit is searched"))
}

fn of_native(args: &RunArgs) -> Option<Cause> {
    (!is_native(args)).then_some(Missing("engine", "it is an option of native viewers"))
}

fn no_cmcd(args: &RunArgs) -> Option<Cause> {
    let is_off = args.viewers.cmcd == CmcdArg::Off;
    is_off.then_some(Missing("cmcd", "requests are not described"))
}

fn of_ffmpeg(args: &RunArgs) -> Option<Cause> {
    if is_native(args) && args.viewers.canaries == 0 {
        return Some(ContradictedBy("engine", "it is an option of FFmpeg viewers"));
    }
    args.viewers.player.as_ref().map(|_| PointlessWith("player", "it is an option of FFmpeg viewers"))
}

fn not_sent(args: &RunArgs) -> Option<Cause> {
    let why = "the player sends its own headers, so pass them in its command line";
    args.viewers.player.as_ref().map(|_| PointlessWith("player", why))
}

fn staged(args: &RunArgs) -> bool {
    !args.load.stages.is_empty()
}

fn checked(args: &RunArgs) -> Option<Cause> {
    args.action.check.then_some(PointlessWith("check", "it plays one viewer for 10 s"))
}

fn comes_and_goes(args: &RunArgs) -> Option<Cause> {
    args.load.arrival_rate.map(|_| ContradictedBy("arrival_rate", "viewers arrive at random"))
}

fn no_host(args: &RunArgs) -> Option<Cause> {
    args.origin
        .origin_metrics_host
        .is_none()
        .then_some(Missing("origin_metrics_host", "it is a port on that host"))
}

/// Whether an exporter is scraped: through its own address, or through the host's.
fn asked(named: Option<&String>, args: &RunArgs) -> bool {
    named.map_or(args.origin.origin_metrics_host.is_some(), |address| address != "off")
}

fn no_exporter(args: &RunArgs) -> Option<Cause> {
    let asked =
        asked(args.origin.origin_metrics.as_ref(), args) || asked(args.origin.nginx_metrics.as_ref(), args);
    (!asked).then_some(Missing("origin_metrics_host", "no exporter is scraped"))
}

fn no_sizes(args: &RunArgs) -> Option<Cause> {
    let asked = asked(args.origin.segment_sizes_url.as_ref(), args);
    (!asked).then_some(Missing("segment_sizes_url", "no sizes are fetched"))
}

fn never_aborts(args: &RunArgs) -> Option<Cause> {
    let after = Some(args.results.abort_after.0).filter(|after| !after.is_zero())?;
    if args.results.thresholds.is_empty() {
        return Some(Missing("threshold", "no threshold can fail"));
    }
    let staged = args.load.stages.iter().map(|stage| stage.duration.0).sum::<Duration>();
    match length(args) {
        Some(length) if after >= length => Some(ContradictedBy("duration", "the run ends earlier")),
        None if !staged.is_zero() && after >= staged => Some(ContradictedBy("stage", "the run ends earlier")),
        _ => None,
    }
}

/// The planned length; `None` = until stopped, or until the last stage ends.
fn length(args: &RunArgs) -> Option<Duration> {
    Some(args.load.duration.0).filter(|length| !length.is_zero())
}

/// Whether the length of the run cuts off whole stages.
fn never_begins(args: &RunArgs) -> bool {
    let Some((_, before)) = args.load.stages.split_last() else { return false };
    let begins: Duration = before.iter().map(|stage| stage.duration.0).sum();
    length(args).is_some_and(|length| begins >= length)
}

/// The flags that may have no effect, as the user types them.
pub fn flags() -> impl Iterator<Item = String> {
    RULES.iter().map(|(key, _)| flag(key))
}

/// The key in profiles, which is plural for flags that may be repeated.
fn profile_key(key: &str) -> &str {
    match key {
        "ffmpeg_arg" => "ffmpeg_args",
        "header" => "headers",
        key => key,
    }
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// Whether the value of a key has no effect in this configuration.
#[must_use]
pub fn has_no_effect(key: &str, args: &RunArgs) -> bool {
    RULES.iter().any(|(known, rule)| profile_key(known) == key && rule(args).is_some())
}

/// Finds the values that were given and have no effect. Each warning is a sentence that names the value and the cause.
///
/// # Errors
/// A usage failure: two flags on the command line contradict each other.
pub fn check(args: &RunArgs) -> Result<Vec<String>, Failure> {
    let given = &args.given;
    let values = filtered(&layers::table(args)?, &|key| given.contains(key));
    let (mut seen, mut warnings) = (BTreeSet::new(), BTreeMap::<String, Vec<String>>::new());
    for (key, rule) in RULES.iter() {
        let id = profile_key(key);
        let Some((value, cause)) = values.get(id).zip(rule(args)) else { continue };
        let typed_both = |other: &str| given.flags.contains(id) && given.flags.contains(other);
        let silent = match cause {
            Missing(..) => false,
            ContradictedBy(..) | PointlessWith(..) => !given.is_direct(id),
            OverriddenBy(other, _) => !typed_both(other),
        };
        if silent || !seen.insert(*key) {
            continue;
        }
        let shown = shown(key, value, given);
        if let ContradictedBy(other, why) = cause
            && typed_both(other)
        {
            return Err(Failure::usage(format!("{shown} has no effect with {}: {why}", flag(other)))
                .help(format!("leave out {} or {}", flag(key), flag(other))));
        }
        warnings.entry(reason(cause, given)).or_default().push(shown);
    }
    Ok(warnings
        .into_iter()
        .map(|(because, shown)| {
            let has = if shown.len() > 1 { "have" } else { "has" };
            format!("{} {has} no effect {because}", shown.join(", "))
        })
        .collect())
}

/// A value as its source wrote it.
fn shown(key: &str, value: &Value, given: &Given) -> String {
    let text = match value {
        Value::Boolean(true) => String::new(),
        Value::Boolean(false) => "=false".to_owned(),
        Value::String(text) => format!(" {text}"),
        // Values such as stages are too long to print.
        Value::Array(_) | Value::Table(_) => String::new(),
        Value::Float(number) => format!(" {number}"),
        other => format!(" {other}"),
    };
    let id = profile_key(key);
    if let Some(variable) = given.environment.get(id) {
        return format!("{variable}{} (environment)", text.replacen(' ', "=", 1));
    }
    let place = if given.flags.contains(id) { "" } else { " (profile or scenario)" };
    format!("{}{text}{place}", flag(key))
}

fn reason(cause: Cause, given: &Given) -> String {
    match cause {
        Missing(other, why) => format!("without {}: {why}", flag(other)),
        ContradictedBy(other, why) | PointlessWith(other, why) | OverriddenBy(other, why) => {
            let place = if given.files.contains(other) { " (profile or scenario)" } else { "" };
            format!("with {}{place}: {why}", flag(other))
        }
    }
}
