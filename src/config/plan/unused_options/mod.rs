//! Values that have no effect, because another one takes it away or the one they belong to is missing.
//! Whoever types such a value believes something that is not so: it is never passed over in silence.
//!
//! Profiles and scenarios are layers: what they say and something above them replaces is not told. What
//! depends on the stream or the machine (`--unpaced` of a live stream) is not known here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use toml::{Table, Value};

use hls_swarm_base::error::Failure;

use crate::cli::run::{ProbeMode, SwarmArgs, VariantSelection};

/// Where values come from; names as in profiles. What is in neither is from a profile or scenario.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// On the command line.
    pub flags: BTreeSet<String>,
    /// In the environment.
    pub environment: BTreeSet<String>,
}

/// What takes the effect of a value away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Another value (as in profiles), with which nobody can mean both.
    Against(&'static str, &'static str),
    /// Another value beside which it is of no use, though it makes sense to add that one to a command line.
    Beside(&'static str, &'static str),
    /// Another value that says the same thing and goes before it.
    Over(&'static str, &'static str),
    /// A value that is missing.
    Without(&'static str, &'static str),
}

use Cause::{Against, Beside, Over, Without};

type Rule = fn(&SwarmArgs) -> Option<Cause>;

/// Each value that may be without effect; the first cause that is met is told.
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
    ("clients", |a| staged(a).then_some(Against("stage", "stages have numbers of their own"))),
    ("ramp_rate", |a| staged(a).then_some(Against("stage", "a stage goes on a straight line over its time"))),
    ("ramp_rate", comes_and_goes),
    ("ramp_jitter", |a| a.ramp_jitter.filter(|jitter| !jitter.0.is_zero()).and_then(|_| comes_and_goes(a))),
    ("duration", |a| {
        let endless = a.duration.is_some_and(|length| length.0.is_zero());
        // Images and wrappers say 0 for "as long as it likes".
        (endless && staged(a)).then_some(Beside("stage", "the run ends with its last stage"))
    }),
    ("stage", |a| {
        let cut = never_begins(a);
        cut.then_some(Beside("duration", "the run is over before the last stage begins"))
    }),
    ("variant", |a| {
        let own = !a.streams.is_empty() && a.streams.iter().all(|stream| stream.variant.is_some());
        own.then_some(Beside("stream", "each stream names a variant of its own"))
    }),
    ("probe_failure_policy", |a| {
        let common = a.variant.unwrap_or_default();
        let mut variants = a.streams.iter().map(|stream| stream.variant.unwrap_or(common));
        let chosen = if a.streams.is_empty() {
            common != VariantSelection::All
        } else {
            variants.any(|v| v != VariantSelection::All)
        };
        (!chosen).then_some(Without("variant", "all variants are played, whichever there are"))
    }),
    ("reconnect_delay", |a| {
        let delayed = a.reconnect_delay.is_some_and(|seconds| seconds > 0);
        (delayed && a.reconnect == Some(false)).then_some(Against("reconnect", "FFmpeg does not reconnect"))
    }),
    ("dangerous", |a| {
        (on(a.dangerous) && !on(a.insecure)).then_some(Without("insecure", "TLS certificates are verified"))
    }),
    ("stats_loglevel", |a| {
        let log = a.probe == Some(ProbeMode::Off);
        log.then_some(Against("probe", "requests are read from FFmpeg's log, which needs trace"))
    }),
    ("stats_loglevel", |a| {
        (!on(a.ffmpeg_debug)).then_some(Without("ffmpeg_debug", "FFmpeg's words are not carried to our log"))
    }),
    ("origin_metrics_node_port", |a| a.origin_metrics.as_ref().map(|_| AGAINST_NODE)),
    ("origin_metrics_node_port", no_host),
    ("origin_metrics_nginx_port", |a| a.nginx_metrics.as_ref().map(|_| AGAINST_NGINX)),
    ("origin_metrics_nginx_port", no_host),
    ("origin_metrics_host", |a| {
        let all = a.origin_metrics.is_some() && a.nginx_metrics.is_some() && a.segment_sizes_url.is_some();
        all.then_some(Against("origin_metrics", "and --nginx-metrics and --segment-sizes-url go before it"))
    }),
    ("origin_metrics_interval", nobody_asked),
    ("origin_metrics_window", nobody_asked),
    ("segment_sizes_interval", no_sizes),
    ("segment_sizes_jitter", no_sizes),
    ("segment_cache_window", no_sizes),
    ("abort_after", never_aborts),
    ("prom_client_metrics", |a| {
        let off = on(a.prom_client_metrics) && a.metrics.as_deref() == Some("off");
        off.then_some(Against("metrics", "nothing is exported"))
    }),
    ("log_level", |a| on(a.verbose).then_some(Over("verbose", "it is the same as --log-level debug"))),
];

const AGAINST_NODE: Cause = Against("origin_metrics", "that address has a port of its own");
const AGAINST_NGINX: Cause = Against("nginx_metrics", "that address has a port of its own");

fn on(switch: Option<bool>) -> bool {
    switch.unwrap_or(false)
}

fn of_ffmpeg(args: &SwarmArgs) -> Option<Cause> {
    args.player.as_ref().map(|_| Beside("player", "it is an option of FFmpeg viewers"))
}

fn not_sent(args: &SwarmArgs) -> Option<Cause> {
    args.player
        .as_ref()
        .map(|_| Beside("player", "the player sends its own headers, so pass them in its command line"))
}

fn staged(args: &SwarmArgs) -> bool {
    !args.stages.is_empty()
}

fn checked(args: &SwarmArgs) -> Option<Cause> {
    on(args.check).then_some(Beside("check", "it plays one viewer for 10 s"))
}

fn comes_and_goes(args: &SwarmArgs) -> Option<Cause> {
    args.arrival_rate.map(|_| Against("arrival_rate", "viewers come by themselves"))
}

fn no_host(args: &SwarmArgs) -> Option<Cause> {
    args.origin_metrics_host.is_none().then_some(Without("origin_metrics_host", "it is a port of that host"))
}

/// Whether an address of the origin is asked: named itself, or by the host.
fn asked(named: Option<&String>, args: &SwarmArgs) -> bool {
    named.map_or(args.origin_metrics_host.is_some(), |address| address != "off")
}

fn nobody_asked(args: &SwarmArgs) -> Option<Cause> {
    let asked = asked(args.origin_metrics.as_ref(), args) || asked(args.nginx_metrics.as_ref(), args);
    (!asked).then_some(Without("origin_metrics_host", "no exporter is asked"))
}

fn no_sizes(args: &SwarmArgs) -> Option<Cause> {
    let asked = asked(args.segment_sizes_url.as_ref(), args);
    (!asked).then_some(Without("segment_sizes_url", "no sizes are fetched"))
}

fn never_aborts(args: &SwarmArgs) -> Option<Cause> {
    let after = args.abort_after.map(|after| after.0).filter(|after| !after.is_zero())?;
    if args.thresholds.is_empty() {
        return Some(Without("threshold", "there is nothing that could fail"));
    }
    let staged = args.stages.iter().map(|stage| stage.duration.0).sum::<Duration>();
    match length(args) {
        Some(length) if after >= length => Some(Against("duration", "the run is over before")),
        None if !staged.is_zero() && after >= staged => Some(Against("stage", "the run is over before")),
        _ => None,
    }
}

/// The length that was asked for; `None` = until stopped, or until the last stage ends.
fn length(args: &SwarmArgs) -> Option<Duration> {
    args.duration.map(|length| length.0).filter(|length| !length.is_zero())
}

/// Whether the length of the run cuts off whole stages.
fn never_begins(args: &SwarmArgs) -> bool {
    let Some((_, before)) = args.stages.split_last() else { return false };
    let begins: Duration = before.iter().map(|stage| stage.duration.0).sum();
    length(args).is_some_and(|length| begins >= length)
}

/// The flags that may be without effect, as they are typed.
pub fn flags() -> impl Iterator<Item = String> {
    RULES.iter().map(|(key, _)| flag(key))
}

/// The key in profiles, which is plural for what a flag gives one by one.
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

/// Looks for values without effect. `args` are all layers together, `typed` tells where values come from.
/// Each warning is a sentence that names the value, and what takes its effect away.
///
/// # Errors
/// A usage failure: two flags stand on the command line that cannot both be meant.
pub fn check(args: &SwarmArgs, typed: &Typed) -> Result<Vec<String>, Failure> {
    let values = Table::try_from(args)
        .map_err(|error| Failure::internal("cannot write the flags as TOML").caused_by(error))?;
    let (mut told, mut warnings) = (BTreeSet::new(), BTreeMap::<String, Vec<String>>::new());
    for (key, rule) in RULES.iter() {
        let Some((value, cause)) = values.get(profile_key(key)).zip(rule(args)) else { continue };
        let layer = !typed.flags.contains(*key) && !typed.environment.contains(*key);
        let typed_both = |other: &str| typed.flags.contains(*key) && typed.flags.contains(other);
        let silent = match cause {
            Without(..) => false,
            Against(..) | Beside(..) => layer,
            Over(other, _) => !typed_both(other),
        };
        if silent || !told.insert(*key) {
            continue;
        }
        let shown = shown(key, value, typed);
        if let Against(other, why) = cause
            && typed_both(other)
        {
            return Err(Failure::usage(format!("{shown} has no effect beside {}: {why}", flag(other)))
                .help(format!("leave out {} or {}", flag(key), flag(other))));
        }
        warnings.entry(reason(cause, &values, typed)).or_default().push(shown);
    }
    Ok(warnings
        .into_iter()
        .map(|(because, shown)| {
            let has = if shown.len() > 1 { "have" } else { "has" };
            format!("{} {has} no effect {because}", shown.join(", "))
        })
        .collect())
}

/// A value as whoever gave it would recognize it.
fn shown(key: &str, value: &Value, typed: &Typed) -> String {
    let text = match value {
        Value::Boolean(true) => String::new(),
        Value::Boolean(false) => "=false".to_owned(),
        Value::String(text) => format!(" {text}"),
        // Stages and the like; the flag says enough.
        Value::Array(_) | Value::Table(_) => String::new(),
        Value::Float(number) => format!(" {number}"),
        other => format!(" {other}"),
    };
    if typed.environment.contains(key) {
        return format!("{}{} (environment)", key.to_uppercase(), text.replacen(' ', "=", 1));
    }
    let mut shown = flag(key) + &text;
    if !typed.flags.contains(key) {
        shown.push_str(" (profile or scenario)");
    }
    shown
}

fn reason(cause: Cause, values: &Table, typed: &Typed) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match cause {
        Without(other, why) => write!(text, "without {}: {why}", flag(other)),
        Against(other, why) | Beside(other, why) | Over(other, why) => {
            // `check` is in no table.
            let layer = values.contains_key(other)
                && !typed.flags.contains(other)
                && !typed.environment.contains(other);
            let place = if layer { " (profile or scenario)" } else { "" };
            write!(text, "beside {}{place}: {why}", flag(other))
        }
    };
    text
}
