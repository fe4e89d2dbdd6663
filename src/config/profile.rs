//! The resolved configuration of a run, written as a profile.

use toml::Table;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use super::layers;
use super::plan::{Plan, unused_options};
use crate::cli::run::RunArgs;
use crate::engine::EngineConfig;

/// The resolved configuration as the text of a profile: everything that was given, and every default that
/// has an effect.
///
/// # Errors
/// An internal failure: a value cannot be written as TOML.
pub fn text(args: &RunArgs, plan: &Plan) -> Result<String, Failure> {
    toml::to_string(&resolved(args, plan)?)
        .map_err(|error| Failure::internal("cannot write the configuration as TOML").caused_by(error))
}

/// The same as a table.
///
/// # Errors
/// As [`text`].
pub fn resolved(args: &RunArgs, plan: &Plan) -> Result<Table, Failure> {
    let mut resolved = args.clone();
    if args.load.stages.is_empty() {
        resolved.load.clients = plan.load.max_viewers();
    }
    resolved.load.duration = GoDuration(plan.load.length.unwrap_or_default());
    if let EngineConfig::Ffmpeg(config) = &plan.viewers.engine {
        resolved.viewers.ffmpeg = Some(config.program.clone());
        resolved.viewers.probe = config.probe;
    }
    resolved.results.metrics =
        plan.results.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let mut table = layers::table(&resolved)?;
    table.retain(|key, value| {
        let key: &str = key;
        // Switches that are off by default are left out.
        let is_off = value.as_bool() == Some(false) && !matches!(key, "reconnect" | "stats" | "tui");
        args.given.contains(key) || !(is_off || unused_options::has_no_effect(key, &resolved))
    });
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{Environment, resolve};

    #[test]
    fn the_printed_profile_resolves_to_the_same_plan() {
        type Change = fn(&mut RunArgs);
        let cases: [Change; 5] = [
            |_| {},
            |a| {
                (a.results.tui, a.stream.reconnect) = (false, false);
                a.stream.headers = vec!["X-A: b".into()];
            },
            |a| {
                (a.stream.reconnect_delay, a.stream.unpaced) = (9, true);
                a.results.metrics = "off".into();
            },
            |a| {
                (a.load.arrival_rate, a.load.session) = (Some(2.5), Some("exp:5m".into()));
                (a.load.shard, a.load.start_at) = (Some("1/3".into()), Some("20:00".into()));
            },
            |a| {
                a.load.stages = vec!["1m:20".parse().unwrap(), "30s:0".parse().unwrap()];
                a.stream.url = None;
                a.stream.streams =
                    vec!["2:http://a/x.m3u8".parse().unwrap(), "http://b/x.m3u8".parse().unwrap()];
            },
        ];
        for change in cases {
            let mut args = RunArgs::default();
            args.stream.url = Some("http://127.0.0.1/a.m3u8".into());
            change(&mut args);
            let plan = resolve(&args, &Environment::default()).unwrap();
            let text = text(&args, &plan).unwrap();
            let again = layers::over(RunArgs::default(), &[("profile".into(), text.clone())]).unwrap();
            assert_eq!(resolve(&again, &Environment::default()).unwrap(), plan, "{text}");
            let warnings = unused_options::check(&again).unwrap();
            assert_eq!(warnings, Vec::<String>::new(), "{text}");
        }
    }
}
