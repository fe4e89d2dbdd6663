//! Redis beside the server.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::facts::RedisSettings;
use crate::audit::findings::{Phase, Severity};

/// Splits the servers into those that a check complains about, and the rest; or returns the outcome.
fn wrong(
    context: &Context<'_>,
    complain: impl Fn(&RedisSettings) -> Option<String>,
) -> Result<Vec<String>, Outcome> {
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for redis in &context.facts.redis {
        match &redis.settings {
            Ok(settings) => wrong.extend(complain(settings).map(|what| format!("{}: {what}", redis.place))),
            Err(why) => unknown.push(format!("{}: {why}", redis.place)),
        }
    }
    match (wrong.is_empty(), unknown.is_empty(), context.facts.redis.is_empty()) {
        (false, ..) => Ok(wrong),
        (true, false, _) => Err(Outcome::Unknown(unknown.join("; "))),
        (true, true, true) => Err(Outcome::NotApplicable),
        (true, true, false) => Err(Outcome::Good("as recommended".into())),
    }
}

pub(super) fn memory(context: &Context<'_>) -> Outcome {
    let unlimited =
        match wrong(context, |settings| (settings.maxmemory == 0).then(|| "maxmemory 0".to_owned())) {
            Ok(unlimited) => unlimited,
            Err(outcome) => return outcome,
        };
    Draft::new(Severity::Moderate, "Redis may use all memory")
        .evidence(unlimited)
        .effect(format!(
            "it grows with what {} viewers leave in it (sessions, counters) until the kernel kills it, or nginx in its place",
            context.viewers
        ))
        .fix("maxmemory (a tenth of the machine, say) and a policy: allkeys-lru for a cache, volatile-ttl for sessions")
        .commands([
            "redis-cli config set maxmemory 256mb".to_owned(),
            "redis-cli config set maxmemory-policy allkeys-lru".to_owned(),
            "redis-cli config rewrite".to_owned(),
        ])
        .found()
}

pub(super) fn policy(context: &Context<'_>) -> Outcome {
    let refuses = |settings: &RedisSettings| {
        let limited = settings.maxmemory > 0;
        settings
            .policy
            .as_ref()
            .filter(|policy| limited && *policy == "noeviction")
            .map(|policy| format!("maxmemory {} with maxmemory-policy {policy}", settings.maxmemory))
    };
    let refusing = match wrong(context, refuses) {
        Ok(refusing) => refusing,
        Err(Outcome::Unknown(_)) => return Outcome::NotApplicable,
        Err(outcome) => return outcome,
    };
    Draft::new(Severity::Low, "a full Redis refuses to write")
        .evidence(refusing)
        .effect(format!("new sessions and counters of {} viewers fail with OOM errors when the memory is used up", context.viewers))
        .fix("maxmemory-policy allkeys-lru for a cache, volatile-ttl for sessions; noeviction only for data that must not be lost")
        .commands(["redis-cli config set maxmemory-policy allkeys-lru && redis-cli config rewrite".to_owned()])
        .found()
}

pub(super) fn snapshots(context: &Context<'_>) -> Outcome {
    let writes = |settings: &RedisSettings| {
        let save = settings.save.as_ref().filter(|save| !save.is_empty());
        let append = settings.appendonly.as_ref().filter(|append| *append == "yes");
        match (save, append) {
            (None, None) => None,
            (save, append) => Some(format!(
                "save {:?}, appendonly {}",
                save.map_or("", String::as_str),
                append.map_or("no", String::as_str)
            )),
        }
    };
    let writing = match wrong(context, writes) {
        Ok(writing) => writing,
        Err(Outcome::Unknown(_)) => return Outcome::NotApplicable,
        Err(outcome) => return outcome,
    };
    Draft::new(Severity::Low, "Redis writes its data to the disk")
        .evidence(writing)
        .effect("each snapshot copies the memory of a busy Redis (fork) and competes with the segments for the disk; sessions and counters need no copy")
        .fix("save \"\" and appendonly no, if the data may be lost at a restart. hz 10, timeout 0, and tcp-backlog 511 are fine for a Redis that only nginx and an application use")
        .commands(["redis-cli config set save '' && redis-cli config set appendonly no && redis-cli config rewrite".to_owned()])
        .phase(Phase::Commands)
        .found()
}
