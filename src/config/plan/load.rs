//! The shape of the load, from what was typed.

use std::time::Duration;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use super::{CHECK, Environment, MOST_CLIENTS, yes};
use crate::cli::load::{SESSION_EXPONENTIAL, SESSION_FILE};
use crate::cli::run::SwarmArgs;
use crate::load::arrivals::{Arrivals, Session};
use crate::load::schedule::{Schedule, Stage};
use crate::load::shard::Shard;
use crate::load::start_at::StartAt;
use crate::load::{Load, Shape};

/// Viewers that are started per second, if nothing else is said.
pub const RAMP_RATE: f64 = 5.0;

/// A session that is shorter says nothing about a stream.
const SHORTEST_SESSION: Duration = Duration::from_secs(1);

/// Resolves what was typed about the load.
pub(crate) fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<Load, Failure> {
    let jitter = args.ramp_jitter.map_or(Duration::from_millis(200), |duration| duration.0);
    let shard = shard(args)?;
    if yes(args.check) {
        let shape = Shape::Schedule(Schedule::ramp(1, 1.0));
        return Ok(Load { shape, jitter, shard: Shard::default(), length: Some(CHECK) });
    }
    let typed = args.duration.map(|duration| duration.0).filter(|duration| !duration.is_zero());
    let shape = shape(args, environment)?;
    let staged = match &shape {
        Shape::Schedule(schedule) if !args.stages.is_empty() => Some(schedule.length()),
        _ => None,
    };
    let load = Load { shape, jitter, shard, length: typed.or(staged) };
    if load.own_most() == 0 {
        return Err(Failure::usage(format!("--shard {shard}: {} viewers leave none for it", load.most()))
            .help("make fewer shards, or more viewers"));
    }
    Ok(load)
}

fn shard(args: &SwarmArgs) -> Result<Shard, Failure> {
    let Some(text) = &args.shard else { return Ok(Shard::default()) };
    text.parse().map_err(|error| {
        Failure::usage(format!("--shard {text:?} is no share of a run"))
            .caused_by(error)
            .help("write it as i/n, i from 0, for example --shard $JOB_COMPLETION_INDEX/4")
    })
}

fn shape(args: &SwarmArgs, environment: &Environment) -> Result<Shape, Failure> {
    let clients = args.clients.unwrap_or(10);
    let in_range = |what: &str, clients: u32| {
        Failure::usage(format!("{what} {clients}: the number of viewers is out of range"))
            .help(format!("pass a number from 1 to {MOST_CLIENTS}"))
    };
    if clients == 0 || clients > MOST_CLIENTS {
        return Err(in_range("--clients", clients));
    }
    let per_second = args.ramp_rate.unwrap_or(RAMP_RATE);
    if !(per_second.is_finite() && (0.001..=100_000.0).contains(&per_second)) {
        return Err(Failure::usage(format!("--ramp-rate {per_second}: not a rate that can be kept"))
            .help("pass viewers per second, from 0.001 to 100000"));
    }
    if let Some(per_second) = args.arrival_rate {
        return arrivals(args, environment, per_second, clients).map(Shape::Arrivals);
    }
    if let Some(session) = &args.session {
        return Err(Failure::usage(format!("--session {session}: nobody comes and goes"))
            .help("add --arrival-rate, the viewers per second"));
    }
    if args.stages.is_empty() {
        return Ok(Shape::Schedule(Schedule::ramp(clients, per_second)));
    }
    let stages: Vec<Stage> = args
        .stages
        .iter()
        .map(|stage| Stage { length: stage.duration.0, target: stage.clients, name: stage.name.clone() })
        .collect();
    let schedule = Schedule::stages(stages);
    match schedule.most() {
        0 => Err(Failure::usage("no --stage has any viewer").help("pass at least one like 5m:100")),
        most if most > MOST_CLIENTS => Err(in_range("--stage", most)),
        _ if schedule.length().is_zero() => {
            Err(Failure::usage("all stages together last 0 s")
                .help("end with a stage that lasts, like 5m:100"))
        }
        _ => Ok(Shape::Schedule(schedule)),
    }
}

fn arrivals(
    args: &SwarmArgs,
    environment: &Environment,
    per_second: f64,
    most: u32,
) -> Result<Arrivals, Failure> {
    if !args.stages.is_empty() {
        return Err(Failure::usage(format!("--arrival-rate {per_second} beside --stage"))
            .help("let viewers come and go by themselves, or follow stages"));
    }
    if !(per_second.is_finite() && (0.0001..=100_000.0).contains(&per_second)) {
        return Err(Failure::usage(format!("--arrival-rate {per_second}: not a rate that can be kept"))
            .help("pass viewers per second, from 0.0001 to 100000"));
    }
    let Some(session) = &args.session else {
        return Err(Failure::usage(format!("--arrival-rate {per_second}: how long do they stay?"))
            .help("add --session, for example --session exp:5m"));
    };
    Ok(Arrivals { per_second, most, session: sessions(session, environment)? })
}

fn sessions(typed: &str, environment: &Environment) -> Result<Session, Failure> {
    let wrong = |place: &str, why: String| {
        Failure::usage(format!("--session {typed}{place}: {why}"))
            .help("write it as 5m, exp:5m or file:PATH; a session lasts at least 1s")
    };
    let length = |text: &str, place: &str| match text.trim().parse::<GoDuration>() {
        Ok(GoDuration(length)) if length >= SHORTEST_SESSION => Ok(length),
        Ok(length) => Err(wrong(place, format!("{length} is too short to watch anything"))),
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
        lengths if lengths.is_empty() => Err(wrong("", "there is no duration in it".to_owned())),
        lengths => Ok(Session::AnyOf(lengths)),
    }
}

/// Resolves when the run begins.
pub(crate) fn start_at(args: &SwarmArgs) -> Result<Option<StartAt>, Failure> {
    let Some(text) = args.start_at.as_deref().filter(|_| !yes(args.check)) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| {
        Failure::usage(format!("--start-at {text:?} is no time")).caused_by(error).help(
            "pass a moment with its zone, for example 2026-12-01T20:00:00Z, or a time of day like 20:00",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(change: impl FnOnce(&mut SwarmArgs)) -> Result<Load, Failure> {
        let mut args = SwarmArgs::default();
        change(&mut args);
        let session_file = Some("30s\n\n 1m30s\n".to_owned());
        resolve(&args, &Environment { session_file, ..Environment::default() })
    }

    #[test]
    fn stages_last_as_long_as_they_say_unless_told_otherwise() {
        let staged = |a: &mut SwarmArgs| a.stages = vec!["10s:5".parse().unwrap(), "20s:5".parse().unwrap()];
        let load = load(staged).unwrap();
        assert_eq!((load.most(), load.length), (5, Some(Duration::from_secs(30))));
        let cut = self::load(|a| {
            staged(a);
            a.duration = Some("15s".parse().unwrap());
        });
        assert_eq!(cut.unwrap().length, Some(Duration::from_secs(15)));
    }

    #[test]
    fn sessions_in_every_notation() {
        let session = |text: &str| {
            let load = load(|a| (a.arrival_rate, a.session) = (Some(1.0), Some(text.to_owned()))).unwrap();
            let Shape::Arrivals(arrivals) = load.shape else { panic!("{:?}", load.shape) };
            arrivals.session
        };
        let seconds = Duration::from_secs;
        assert_eq!(session("5m"), Session::Fixed(seconds(300)));
        assert_eq!(session("exp:90s"), Session::Exponential { mean: seconds(90) });
        assert_eq!(session("file:x"), Session::AnyOf(vec![seconds(30), seconds(90)]));
    }

    #[test]
    fn wrong_loads_are_named_with_help() {
        type Change = fn(&mut SwarmArgs);
        let cases: [(Change, &str); 8] = [
            (|a| a.shard = Some("3/3".into()), "--shard \"3/3\""),
            (|a| (a.clients, a.shard) = (Some(2), Some("2/3".into())), "--shard 2/3: 2 viewers leave none"),
            (|a| a.stages = vec!["1m:0".parse().unwrap()], "no --stage has any viewer"),
            (|a| a.stages = vec!["0:5".parse().unwrap()], "all stages together last 0 s"),
            (|a| a.session = Some("5m".into()), "nobody comes and goes"),
            (|a| a.arrival_rate = Some(5.0), "how long do they stay?"),
            (|a| (a.arrival_rate, a.session) = (Some(5.0), Some("exp:10".into())), "no unit after 10"),
            (|a| (a.arrival_rate, a.session) = (Some(-1.0), Some("5m".into())), "--arrival-rate -1"),
        ];
        for (change, said) in cases {
            let failure = load(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().is_some(), "{failure}");
        }
    }
}
