//! Profiles of a run: the flags as TOML, with underscores for dashes. What was typed goes over them.

use toml::Table;

use hls_swarm_base::built_in::find;
use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text;

use super::plan::{Plan, RAMP_RATE};
use crate::cli::run::SwarmArgs;
use crate::engine::EngineConfig;

/// The profiles that come with the program: name and text.
pub use hls_swarm_profiles::SWARM as BUILT_IN;

/// The text of a profile that comes with the program.
///
/// # Errors
/// A usage failure that lists those there are.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    find(&BUILT_IN, "profile", name)
}

/// What was typed, with a profile or scenario underneath: what it is called to the user, and its text.
///
/// # Errors
/// A usage failure that names the profile, the line and the key.
pub fn underlay(typed: SwarmArgs, (name, text): &(String, String)) -> Result<SwarmArgs, Failure> {
    let profile: SwarmArgs = profile_text::read(
        name,
        text,
        "compare with `hls-swarm --dry-run URL`, which prints a complete profile",
    )?;
    let mut table = table(&profile)?;
    // The streams that were typed take the place of those underneath, however either are named.
    if typed.url.is_some() || !typed.streams.is_empty() {
        table.remove("url");
        table.remove("stream");
    }
    // And so does the shape of the load.
    if typed.arrival_rate.is_some() {
        table.remove("stage");
    }
    if !typed.stages.is_empty() {
        table.remove("arrival_rate");
        table.remove("session");
    }
    table.extend(self::table(&typed)?);
    let merged: SwarmArgs = table.try_into().map_err(|error: toml::de::Error| {
        Failure::internal("cannot lay flags over a profile").caused_by(error)
    })?;
    // These are no part of a profile, so they did not go through the table.
    let SwarmArgs { profile, scenario, dry_run, check, print_cmd, yes, .. } = typed;
    Ok(SwarmArgs { profile, scenario, dry_run, check, print_cmd, yes, ..merged })
}

/// The resolved plan as a profile: what was typed, and every default that took effect.
///
/// # Errors
/// None that a plan can cause.
pub fn text(args: &SwarmArgs, plan: &Plan) -> Result<String, Failure> {
    toml::to_string(&resolved(args, plan)?).map_err(unwritable)
}

/// The same as a table: each key that has a value.
///
/// # Errors
/// None that a plan can cause.
pub fn resolved(args: &SwarmArgs, plan: &Plan) -> Result<Table, Failure> {
    let (stream, watch) = (plan.streams.first(), &plan.watch);
    let if_watched = |duration| watch.is_on().then_some(GoDuration(duration));
    let staged = !args.stages.is_empty();
    let ffmpeg = match &plan.viewers.engine {
        EngineConfig::Ffmpeg(config) => Some(config),
        EngineConfig::Command(_) => None,
    };
    let resolved = SwarmArgs {
        clients: if staged { args.clients } else { Some(plan.load.most()) },
        ramp_rate: args.ramp_rate.or((!staged && args.arrival_rate.is_none()).then_some(RAMP_RATE)),
        ramp_jitter: Some(GoDuration(plan.load.jitter)),
        duration: Some(GoDuration(plan.load.length.unwrap_or_default())),
        variant: Some(stream.variant),
        user_agent: Some(stream.user_agent.clone()),
        timeout: Some(GoDuration(stream.timeout)),
        reconnect: Some(stream.reconnect_delay.is_some()),
        seg_retry: Some(stream.segment_retries),
        target_duration: Some(GoDuration(stream.target_duration)),
        ffmpeg: ffmpeg.map(|config| config.program.clone()),
        probe: ffmpeg.map(|config| config.probe),
        max_restarts: Some(plan.viewers.max_restarts.unwrap_or(0)),
        metrics: Some(plan.results.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string())),
        tui: Some(plan.results.dashboard),
        origin_metrics_interval: args.origin_metrics_interval.or(if_watched(watch.interval)),
        origin_metrics_window: args.origin_metrics_window.or(if_watched(watch.window)),
        ..args.clone()
    };
    let mut table = table(&resolved)?;
    // Only where FFmpeg reconnects at all has the delay a value.
    if let (None, Some(delay)) = (args.reconnect_delay, stream.reconnect_delay) {
        table.insert("reconnect_delay".into(), i64::try_from(delay.as_secs()).unwrap_or(i64::MAX).into());
    }
    Ok(table)
}

fn table(args: &SwarmArgs) -> Result<Table, Failure> {
    Table::try_from(args).map_err(unwritable)
}

fn unwritable(error: toml::ser::Error) -> Failure {
    Failure::internal("cannot write the flags as TOML").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{Environment, resolve};
    use crate::load::Shape;
    use crate::load::schedule::Schedule;

    fn typed() -> SwarmArgs {
        SwarmArgs { url: Some("http://127.0.0.1/a.m3u8".into()), ..SwarmArgs::default() }
    }

    fn under(args: SwarmArgs, text: &str) -> Result<SwarmArgs, Failure> {
        underlay(args, &("profile test.toml".to_owned(), text.to_owned()))
    }

    #[test]
    fn every_built_in_profile_makes_a_plan() {
        for (name, text) in BUILT_IN {
            let args = under(typed(), text).unwrap_or_else(|failure| panic!("{name}: {}", failure.chain()));
            let plan = resolve(&args, &Environment::default()).unwrap();
            assert!(plan.load.most() > 0, "{name}");
        }
    }

    #[test]
    fn a_flag_goes_over_a_profile_and_a_profile_over_a_default() {
        let args = SwarmArgs { clients: Some(7), ..typed() };
        let args = under(args, "clients = 50\nramp_rate = 2\nno_cache = true\ntimeout = \"3s\"\n").unwrap();
        let plan = resolve(&args, &Environment::default()).unwrap();
        assert_eq!(plan.load.shape, Shape::Schedule(Schedule::ramp(7, 2.0)));
        assert_eq!(plan.streams.first().timeout.as_secs(), 3);
        assert_eq!(plan.streams.first().headers.len(), 2);
        assert_eq!(plan.streams.first().segment_retries, 3);
    }

    #[test]
    fn streams_that_are_typed_take_the_place_of_those_underneath() {
        let text = "[[stream]]\nurl = \"http://a/x.m3u8\"\nweight = 2\n[[stream]]\nurl = \"http://b/x.m3u8\"\nvariant = \"first\"\n";
        let hosts = |args: SwarmArgs| {
            let plan = resolve(&under(args, text).unwrap(), &Environment::default()).unwrap();
            (1..=3)
                .map(|viewer| plan.streams.of(viewer).url.host_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hosts(SwarmArgs::default()), ["a", "b", "a"]);
        assert_eq!(hosts(typed()), ["127.0.0.1"; 3]);
        let streams = vec!["http://c/x.m3u8".parse().unwrap()];
        assert_eq!(hosts(SwarmArgs { streams, ..SwarmArgs::default() }), ["c"; 3]);
    }

    #[test]
    fn what_is_printed_is_a_profile_that_means_the_same() {
        for args in [
            typed(),
            SwarmArgs { tui: Some(false), reconnect: Some(false), headers: vec!["X-A: b".into()], ..typed() },
            SwarmArgs {
                reconnect_delay: Some(9),
                metrics: Some("off".into()),
                unpaced: Some(true),
                ..typed()
            },
            SwarmArgs {
                arrival_rate: Some(2.5),
                session: Some("exp:5m".into()),
                shard: Some("1/3".into()),
                start_at: Some("20:00".into()),
                ..typed()
            },
            SwarmArgs {
                stages: vec!["1m:20".parse().unwrap(), "30s:0".parse().unwrap()],
                streams: vec!["2:http://a/x.m3u8".parse().unwrap(), "http://b/x.m3u8".parse().unwrap()],
                ..SwarmArgs::default()
            },
        ] {
            let plan = resolve(&args, &Environment::default()).unwrap();
            let text = text(&args, &plan).unwrap();
            let again = under(SwarmArgs::default(), &text).unwrap();
            assert_eq!(resolve(&again, &Environment::default()).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_line_and_nearest_key() {
        let failure = under(typed(), "clients = 3\nramp_rat = 2\n").unwrap_err();
        assert!(
            failure.to_string().starts_with("profile test.toml, line 2: unknown field `ramp_rat`"),
            "{failure}"
        );
        assert_eq!(failure.help_text(), Some("did you mean `ramp_rate`?"));
        let failure = under(typed(), "timeout = \"3 parsecs\"\n").unwrap_err();
        assert!(failure.to_string().contains("unknown unit"), "{failure}");
        assert!(built_in("gentel").unwrap_err().help_text().unwrap().starts_with("did you mean gentle?"));
    }
}
