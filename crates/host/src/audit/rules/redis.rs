//! Redis beside the server.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;

pub(crate) fn memory(context: &Context<'_>) -> Outcome {
    let mut unlimited = Vec::new();
    let mut unknown = Vec::new();
    let mut good = Vec::new();
    for redis in &context.facts.redis {
        match &redis.maxmemory {
            Ok(0) => unlimited.push(redis.place.clone()),
            Ok(bytes) => good.push(format!("{}: maxmemory {bytes}", redis.place)),
            Err(why) => unknown.push(format!("{}: {why}", redis.place)),
        }
    }
    if !unlimited.is_empty() {
        let effect = format!(
            "it grows with what {} viewers leave in it (sessions, counters) until the kernel kills it, or nginx in its place",
            context.viewers
        );
        return Outcome::found(
            Draft::new(Severity::Moderate, "Redis may take all memory")
                .evidence(unlimited.iter().map(|place| format!("{place}: maxmemory 0")))
                .effect(effect)
                .fix("maxmemory (a tenth of the machine, say) and a policy: allkeys-lru for a cache, volatile-ttl for sessions")
                .commands([
                    "redis-cli config set maxmemory 256mb".to_owned(),
                    "redis-cli config set maxmemory-policy allkeys-lru".to_owned(),
                    "redis-cli config rewrite".to_owned(),
                ]),
        );
    }
    match (unknown.is_empty(), good.is_empty()) {
        (false, _) => Outcome::Unknown(unknown.join("; ")),
        (true, false) => Outcome::Good(good.join("; ")),
        (true, true) => Outcome::NotHere,
    }
}
