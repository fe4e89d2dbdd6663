//! The kernel's settings, held against the origin's profile.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::tuning::comparison::KeyState as Value;

/// Checks keys of the profile: what they are called together, and what it does when they are worse.
fn check(context: &Context<'_>, keys: &[&str], severity: Severity, title: &str, effect: String) -> Outcome {
    if context.facts.kernel.is_empty() {
        return Outcome::Unknown("the kernel's settings were left out (--no-host)".into());
    }
    let (mut wrong, mut seen, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for name in keys {
        let (Some(key), Some(Value::Value(now, _))) =
            (context.profile.key.get(*name), context.facts.kernel.get(*name))
        else {
            continue;
        };
        let now = now.split_whitespace().collect::<Vec<_>>().join(" ");
        if key.accepts(&now) {
            seen.push(format!("{name} = {now}"));
        } else {
            wrong.push(format!("{name} = {now}, recommended {}", key.value));
            commands.push(format!("sysctl -w {name}='{}'", key.value));
        }
    }
    if !wrong.is_empty() {
        let only: Vec<String> = keys.iter().map(|key| format!(" --only {key}")).collect();
        return Outcome::found(
            Draft::new(severity, title)
                .evidence(wrong)
                .effect(effect)
                .fix(format!(
                    "`hls-swarm tune apply --profile origin{}`, `tune persist` for good",
                    only.concat()
                ))
                .commands(commands),
        );
    }
    if seen.is_empty() {
        return Outcome::Unknown(format!("{} cannot be read here", keys.join(", ")));
    }
    Outcome::Good(seen.join(", "))
}

pub(crate) fn tcp_buffers(context: &Context<'_>) -> Outcome {
    let rate = context.live().filter_map(|stream| stream.bits_per_second).max_by(f64::total_cmp);
    let burst = rate.zip(context.segment_seconds()).map_or_else(String::new, |(rate, seconds)| {
        format!("; a segment here has about {:.0} KB", rate * seconds / 8000.0)
    });
    let effect = format!(
        "a response waits for its window: nginx is woken for each small piece of it, for each of {} viewers{burst}",
        context.viewers
    );
    let keys = ["net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem", "net.core.wmem_max", "net.core.rmem_max"];
    check(context, &keys, Severity::Moderate, "TCP buffers are small", effect)
}

pub(crate) fn port_range(context: &Context<'_>) -> Outcome {
    let proxied = context.nginx.proxied().next().is_some();
    let severity = if proxied { Severity::Moderate } else { Severity::Low };
    let effect = if proxied {
        "connections to the upstream run out of local ports: \"Cannot assign requested address\"".to_owned()
    } else {
        "fewer connections to upstreams and Redis; nothing for files alone".to_owned()
    };
    let keys = ["net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse"];
    check(context, &keys, severity, "few local ports, and they are used again late", effect)
}

pub(crate) fn fin_timeout(context: &Context<'_>) -> Outcome {
    let effect = format!(
        "connections of viewers that left stay in FIN_WAIT2 with their memory; when {} change channel at once, that is as many again",
        context.viewers
    );
    check(context, &["net.ipv4.tcp_fin_timeout"], Severity::Low, "closed connections are kept long", effect)
}

pub(crate) fn congestion_control(context: &Context<'_>) -> Outcome {
    let effect = "single lost packets cut a viewer's rate, and recovery is slow".to_owned();
    let title = "a congestion control that is neither cubic nor bbr";
    check(context, &["net.ipv4.tcp_congestion_control"], Severity::Low, title, effect)
}

pub(crate) fn swappiness(context: &Context<'_>) -> Outcome {
    let effect =
        "under pressure the kernel swaps out nginx and segments on tmpfs before it drops cached files"
            .to_owned();
    check(context, &["vm.swappiness"], Severity::Low, "the kernel is quick to swap", effect)
}

pub(crate) fn cache_pressure(context: &Context<'_>) -> Outcome {
    let effect =
        "directory entries and inodes of segments are dropped early and looked up again on disk".to_owned();
    check(context, &["vm.vfs_cache_pressure"], Severity::Low, "names of files leave the cache early", effect)
}
