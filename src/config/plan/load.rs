//! Resolves the shape of the load from its flags.

use std::time::Duration;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use super::{CHECK, Environment, MAX_CLIENTS};
use crate::cli::load::{SESSION_EXPONENTIAL, SESSION_FILE};
use crate::cli::run::RunArgs;
use crate::load::arrivals::{Arrivals, Session};
use crate::load::schedule::{Schedule, Stage};
use crate::load::shard::Shard;
use crate::load::start_at::StartAt;
use crate::load::{LimitSearch, Load, Shape};

/// Shortest session.
const SHORTEST_SESSION: Duration = Duration::from_secs(1);
/// Shortest time for which a level of a search is held.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);

/// Resolves the flags of the load.
pub(crate) fn resolve(args: &RunArgs, environment: &Environment) -> Result<Load, Failure> {
    let jitter = args.load.ramp_jitter.0;
    let shard = shard(args)?;
    if args.action.check {
        let shape = Shape::Schedule(Schedule::ramp(1, 1.0));
        return Ok(Load { shape, jitter, shard: Shard::default(), length: Some(CHECK) });
    }
    refuse_with_search(args)?;
    let planned = Some(args.load.duration.0).filter(|duration| !duration.is_zero());
    let shape = shape(args, environment)?;
    let staged = match &shape {
        Shape::Schedule(schedule) if !args.load.stages.is_empty() => Some(schedule.length()),
        _ => None,
    };
    let load = Load { shape, jitter, shard, length: planned.or(staged) };
    if load.own_max_viewers() == 0 {
        return Err(Failure::usage(format!(
            "invalid value {:?} for --shard: there are only {} viewers, so this shard has none",
            shard.to_string(),
            load.max_viewers()
        ))
        .help("use fewer shards or more viewers"));
    }
    Ok(load)
}

/// Refuses what contradicts a search, which decides by itself how many viewers there are and when the run ends.
fn refuse_with_search(args: &RunArgs) -> Result<(), Failure> {
    let load = &args.load;
    if !load.find_limit {
        return Ok(());
    }
    let other = [
        (!load.stages.is_empty(), "--stage"),
        (load.arrival_rate.is_some(), "--arrival-rate"),
        (!load.duration.0.is_zero(), "--duration"),
        (load.shard.is_some(), "--shard"),
        (!args.results.abort_after.0.is_zero(), "--abort-after"),
    ];
    if let Some((_, flag)) = other.into_iter().find(|(given, _)| *given) {
        let what = format!(
            "--find-limit together with {flag}: the search decides how many viewers there are, and when"
        );
        return Err(
            Failure::usage(what).help(format!("leave out {flag}; --clients is the largest number to try"))
        );
    }
    if load.hold.0 < SHORTEST_HOLD {
        let what = format!("invalid value \"{}\" for --hold: a level that short shows nothing", load.hold);
        return Err(Failure::usage(what).help("pass at least 1s; 30s or more for a live stream"));
    }
    match load.at_least.filter(|least| *least > load.clients) {
        Some(least) => Err(Failure::usage(format!(
            "--at-least {least} with --clients {}: more than are tried",
            load.clients
        ))
        .help("raise --clients, which is the most viewers that are tried")),
        None => Ok(()),
    }
}

pub(super) fn shard(args: &RunArgs) -> Result<Shard, Failure> {
    let Some(text) = &args.load.shard else { return Ok(Shard::default()) };
    text.parse().map_err(|error| {
        Failure::usage(format!("invalid value {text:?} for --shard"))
            .caused_by(error)
            .help("write it as I/N with I from 0, for example --shard $JOB_COMPLETION_INDEX/4")
    })
}

fn shape(args: &RunArgs, environment: &Environment) -> Result<Shape, Failure> {
    let clients = args.load.clients;
    let in_range = |what: &str, clients: u32| {
        Failure::usage(format!(
            "invalid value \"{clients}\" for {what}: the number of viewers is out of range"
        ))
        .help(format!("pass a number from 1 to {MAX_CLIENTS}"))
    };
    if clients == 0 || clients > MAX_CLIENTS {
        return Err(in_range("--clients", clients));
    }
    let per_second = args.load.ramp_rate;
    if !(per_second.is_finite() && (0.001..=100_000.0).contains(&per_second)) {
        return Err(Failure::usage(format!(
            "invalid value \"{per_second}\" for --ramp-rate: the rate is out of range"
        ))
        .help("pass viewers per second, from 0.001 to 100000"));
    }
    if args.load.find_limit {
        return Ok(Shape::Search(LimitSearch {
            cap: clients,
            at_least: args.load.at_least,
            hold: args.load.hold.0,
            per_second,
        }));
    }
    if let Some(per_second) = args.load.arrival_rate {
        return arrivals(args, environment, per_second, clients).map(Shape::Arrivals);
    }
    if let Some(session) = &args.load.session {
        return Err(Failure::usage(format!(
            "--session {session} without --arrival-rate: no viewers arrive or leave"
        ))
        .help("add --arrival-rate with the number of viewers per second"));
    }
    if args.load.stages.is_empty() {
        return Ok(Shape::Schedule(Schedule::ramp(clients, per_second)));
    }
    let stages: Vec<Stage> = args
        .load
        .stages
        .iter()
        .map(|stage| Stage { length: stage.duration.0, target: stage.clients, name: stage.name.clone() })
        .collect();
    let schedule = Schedule::stages(stages);
    match schedule.max_viewers() {
        0 => Err(Failure::usage("no --stage has a viewer").help("pass at least one like 5m:100")),
        most if most > MAX_CLIENTS => Err(in_range("--stage", most)),
        _ if schedule.length().is_zero() => {
            Err(Failure::usage("all stages together last 0 s")
                .help("end with a stage that lasts, like 5m:100"))
        }
        _ => Ok(Shape::Schedule(schedule)),
    }
}

fn arrivals(
    args: &RunArgs,
    environment: &Environment,
    per_second: f64,
    most: u32,
) -> Result<Arrivals, Failure> {
    if !args.load.stages.is_empty() {
        return Err(Failure::usage(format!("--arrival-rate {per_second} together with --stage"))
            .help("use either arrivals or stages"));
    }
    if !(per_second.is_finite() && (0.0001..=100_000.0).contains(&per_second)) {
        return Err(Failure::usage(format!(
            "invalid value \"{per_second}\" for --arrival-rate: the rate is out of range"
        ))
        .help("pass viewers per second, from 0.0001 to 100000"));
    }
    let Some(session) = &args.load.session else {
        return Err(Failure::usage(format!(
            "--arrival-rate {per_second} without --session: the length of sessions is missing"
        ))
        .help("add --session, for example --session exp:5m"));
    };
    Ok(Arrivals { per_second, max_viewers: most, session: sessions(session, environment)? })
}

fn sessions(typed: &str, environment: &Environment) -> Result<Session, Failure> {
    let wrong = |place: &str, why: String| {
        Failure::usage(format!("invalid value {typed:?} for --session{place}: {why}"))
            .help("write it as 5m, exp:5m or file:PATH; a session lasts at least 1s")
    };
    let length = |text: &str, place: &str| match text.trim().parse::<GoDuration>() {
        Ok(GoDuration(length)) if length >= SHORTEST_SESSION => Ok(length),
        Ok(length) => Err(wrong(place, format!("{length} is too short"))),
        Err(error) => Err(wrong(place, error.to_string())),
    };
    if let Some(mean) = typed.strip_prefix(SESSION_EXPONENTIAL) {
        return length(mean, "").map(|mean| Session::Exponential { mean });
    }
    if !typed.starts_with(SESSION_FILE) {
        return length(typed, "").map(Session::Fixed);
    }
    let text = environment.session_file.as_deref().unwrap_or_default();
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let lengths: Result<Vec<Duration>, Failure> =
        lines.map(|(line, number)| length(line, &format!(", line {number}"))).collect();
    match lengths? {
        lengths if lengths.is_empty() => Err(wrong("", "the file has no duration".to_owned())),
        lengths => Ok(Session::AnyOf(lengths)),
    }
}

/// Resolves the start time.
pub(crate) fn start_at(args: &RunArgs) -> Result<Option<StartAt>, Failure> {
    let Some(text) = args.load.start_at.as_deref().filter(|_| !args.action.check) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| {
        Failure::usage(format!("invalid value {text:?} for --start-at"))
            .caused_by(error)
            .help("pass a time with its zone, for example 2026-12-01T20:00:00Z, or a time of day like 20:00")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(change: impl FnOnce(&mut RunArgs)) -> Result<Load, Failure> {
        let mut args = RunArgs::default();
        change(&mut args);
        let session_file = Some("30s\n\n 1m30s\n".to_owned());
        resolve(&args, &Environment { session_file, ..Environment::default() })
    }

    #[test]
    fn the_stages_determine_the_length_unless_there_is_a_duration() {
        let staged =
            |a: &mut RunArgs| a.load.stages = vec!["10s:5".parse().unwrap(), "20s:5".parse().unwrap()];
        let load = load(staged).unwrap();
        assert_eq!((load.max_viewers(), load.length), (5, Some(Duration::from_secs(30))));
        let cut = self::load(|a| {
            staged(a);
            a.load.duration = "15s".parse().unwrap();
        });
        assert_eq!(cut.unwrap().length, Some(Duration::from_secs(15)));
    }

    #[test]
    fn every_notation_of_sessions_is_parsed() {
        let session = |text: &str| {
            let load =
                load(|a| (a.load.arrival_rate, a.load.session) = (Some(1.0), Some(text.to_owned()))).unwrap();
            let Shape::Arrivals(arrivals) = load.shape else { panic!("{:?}", load.shape) };
            arrivals.session
        };
        let seconds = Duration::from_secs;
        assert_eq!(session("5m"), Session::Fixed(seconds(300)));
        assert_eq!(session("exp:90s"), Session::Exponential { mean: seconds(90) });
        assert_eq!(session("file:x"), Session::AnyOf(vec![seconds(30), seconds(90)]));
    }

    #[test]
    fn an_invalid_load_is_named_with_help() {
        type Change = fn(&mut RunArgs);
        let cases: [(Change, &str); 11] = [
            (|a| a.load.shard = Some("3/3".into()), "\"3/3\" for --shard"),
            (
                |a| (a.load.clients, a.load.shard) = (2, Some("2/3".into())),
                "\"2/3\" for --shard: there are only 2 viewers",
            ),
            (
                |a| (a.load.find_limit, a.load.duration) = (true, "1m".parse().unwrap()),
                "--find-limit together with --duration",
            ),
            (|a| (a.load.find_limit, a.load.hold) = (true, "1ms".parse().unwrap()), "for --hold"),
            (|a| (a.load.find_limit, a.load.at_least) = (true, Some(11)), "--at-least 11 with --clients 10"),
            (|a| a.load.stages = vec!["1m:0".parse().unwrap()], "no --stage has a viewer"),
            (|a| a.load.stages = vec!["0:5".parse().unwrap()], "all stages together last 0 s"),
            (|a| a.load.session = Some("5m".into()), "without --arrival-rate"),
            (|a| a.load.arrival_rate = Some(5.0), "without --session"),
            (
                |a| (a.load.arrival_rate, a.load.session) = (Some(5.0), Some("exp:10".into())),
                "no unit after 10",
            ),
            (
                |a| (a.load.arrival_rate, a.load.session) = (Some(-1.0), Some("5m".into())),
                "\"-1\" for --arrival-rate",
            ),
        ];
        for (change, said) in cases {
            let failure = load(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().is_some(), "{failure}");
        }
    }
}
