//! Profiles of a run: the flags as TOML, with underscores for dashes. What was typed goes over them.

use toml::Table;

use super::nearest::nearest;
use super::plan::Plan;
use super::profile_text;
use crate::words::cli::swarm::SwarmArgs;
use crate::words::duration::GoDuration;
use crate::words::failure::Failure;

/// The profiles that come with the program: name and text.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("default", include_str!("../../profiles/swarm/default.toml")),
    ("gentle", include_str!("../../profiles/swarm/gentle.toml")),
    ("burst", include_str!("../../profiles/swarm/burst.toml")),
    ("stress", include_str!("../../profiles/swarm/stress.toml")),
    ("extreme", include_str!("../../profiles/swarm/extreme.toml")),
    ("smoke", include_str!("../../profiles/swarm/smoke.toml")),
];

/// The text of a profile that comes with the program.
///
/// # Errors
/// A usage failure that lists those there are.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    let names = || BUILT_IN.iter().map(|(name, _)| *name);
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| {
        let meant =
            nearest(name, names()).map_or_else(String::new, |meant| format!("did you mean {meant}? "));
        let all: Vec<&str> = names().collect();
        Failure::usage(format!("there is no profile {name:?}"))
            .cure(format!("{meant}Profiles: {}; or name a TOML file", all.join(", ")))
    })
}

/// What was typed, with the profile (its name and text) underneath.
///
/// # Errors
/// A usage failure that names the profile, the line and the key.
pub fn underlay(typed: SwarmArgs, (name, text): &(String, String)) -> Result<SwarmArgs, Failure> {
    let profile: SwarmArgs = profile_text::read(
        &format!("profile {name}"),
        text,
        "compare with `hls-swarm --dry-run URL`, which prints a complete profile",
    )?;
    let mut table = table(&profile)?;
    table.extend(self::table(&typed)?);
    let merged: SwarmArgs = table.try_into().map_err(|error: toml::de::Error| {
        Failure::internal("cannot lay flags over a profile").because(error)
    })?;
    // These are no part of a profile, so they did not go through the table.
    let SwarmArgs { profile, dry_run, check, print_cmd, .. } = typed;
    Ok(SwarmArgs { profile, dry_run, check, print_cmd, ..merged })
}

/// The resolved plan as a profile: what was typed, and every default that took effect.
///
/// # Errors
/// None that a plan can cause.
pub fn text(args: &SwarmArgs, plan: &Plan) -> Result<String, Failure> {
    let stream = &plan.stream;
    let resolved = SwarmArgs {
        clients: Some(plan.ramp.clients),
        ramp_rate: Some(plan.ramp.per_second),
        ramp_jitter: Some(GoDuration(plan.ramp.jitter)),
        duration: Some(GoDuration(plan.duration.unwrap_or_default())),
        variant: Some(stream.variant),
        user_agent: Some(stream.user_agent.clone()),
        timeout: Some(GoDuration(stream.timeout)),
        reconnect: Some(stream.reconnect_delay.is_some()),
        seg_retry: Some(stream.segment_retries),
        target_duration: Some(GoDuration(stream.target_duration)),
        ffmpeg: Some(plan.viewers.ffmpeg.clone()),
        probe: Some(plan.viewers.probe),
        max_restarts: Some(plan.viewers.max_restarts.unwrap_or(0)),
        metrics: Some(plan.results.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string())),
        tui: Some(plan.results.dashboard),
        ..args.clone()
    };
    let mut table = table(&resolved)?;
    // Only where FFmpeg reconnects at all has the delay a value.
    if let (None, Some(delay)) = (args.reconnect_delay, stream.reconnect_delay) {
        table.insert("reconnect_delay".into(), i64::try_from(delay.as_secs()).unwrap_or(i64::MAX).into());
    }
    toml::to_string(&table).map_err(unwritable)
}

fn table(args: &SwarmArgs) -> Result<Table, Failure> {
    Table::try_from(args).map_err(unwritable)
}

fn unwritable(error: toml::ser::Error) -> Failure {
    Failure::internal("cannot write the flags as TOML").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::plan::{Environment, resolve};

    fn typed() -> SwarmArgs {
        SwarmArgs { url: Some("http://127.0.0.1/a.m3u8".into()), ..SwarmArgs::default() }
    }

    fn under(args: SwarmArgs, text: &str) -> Result<SwarmArgs, Failure> {
        underlay(args, &("test.toml".to_owned(), text.to_owned()))
    }

    #[test]
    fn every_built_in_profile_makes_a_plan() {
        for (name, text) in BUILT_IN {
            let args = under(typed(), text).unwrap_or_else(|failure| panic!("{name}: {}", failure.chain()));
            let plan = resolve(&args, &Environment::default()).unwrap();
            assert!(plan.ramp.clients > 0, "{name}");
        }
    }

    #[test]
    fn a_flag_goes_over_a_profile_and_a_profile_over_a_default() {
        let args = SwarmArgs { clients: Some(7), ..typed() };
        let args = under(args, "clients = 50\nramp_rate = 2\nno_cache = true\ntimeout = \"3s\"\n").unwrap();
        let plan = resolve(&args, &Environment::default()).unwrap();
        assert_eq!((plan.ramp.clients, plan.ramp.per_second), (7, 2.0));
        assert_eq!(plan.stream.timeout.as_secs(), 3);
        assert_eq!(plan.stream.headers.len(), 2);
        assert_eq!(plan.stream.segment_retries, 3);
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
        assert_eq!(failure.cure_text(), Some("did you mean `ramp_rate`?"));
        let failure = under(typed(), "timeout = \"3 parsecs\"\n").unwrap_err();
        assert!(failure.to_string().contains("unknown unit"), "{failure}");
        assert!(built_in("gentel").unwrap_err().cure_text().unwrap().starts_with("did you mean gentle?"));
    }
}
