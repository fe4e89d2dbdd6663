//! Settings of the kernel, compared with the origin's profile.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::tuning::comparison::KeyState;

/// Checks keys of the profile, with a title and an effect for all of them.
fn check(context: &Context<'_>, keys: &[&str], severity: Severity, title: &str, effect: String) -> Outcome {
    if context.facts.kernel.is_empty() {
        return Outcome::Unknown("the kernel's settings were left out (--no-host)".into());
    }
    let mut namespace = None;
    let (mut wrong, mut seen, mut commands, mut unreadable) = (Vec::new(), Vec::new(), Vec::new(), None);
    for name in keys {
        let Some(key) = context.profile.key.get(*name) else { continue };
        let now = match context.facts.kernel.get(*name) {
            Some(KeyState::Value(now, _)) => now.split_whitespace().collect::<Vec<_>>().join(" "),
            Some(KeyState::Unreadable(why)) => {
                unreadable = Some(why.clone());
                continue;
            }
            _ => continue,
        };
        if key.accepts(&now) {
            seen.push(format!("{name} = {now}"));
        } else {
            let target = key.target(&now);
            wrong.push(format!("{name} = {now}, recommended {target}"));
            let inside = context.facts.network_namespace.filter(|_| name.starts_with("net."));
            namespace = namespace.or(inside);
            let enter = inside.map_or_else(String::new, |pid| format!("nsenter -t {pid} -n "));
            commands.push(format!("{enter}sysctl -w {name}='{target}'"));
        }
    }
    if !wrong.is_empty() {
        let only: Vec<String> = keys.iter().map(|key| format!(" --only {key}")).collect();
        return Draft::new(severity, title)
            .evidence(wrong)
            .effect(effect)
            .fix(match namespace {
                Some(_) => "the commands below, in nginx's own network namespace; for each start, in what starts the container (such as --sysctl), or give it the network of the host".to_owned(),
                None => format!(
                    "`hls-swarm tune apply --profile origin{}`; `tune persist` for each boot",
                    only.concat()
                ),
            })
            .commands(commands)
            .found();
    }
    match (seen.is_empty(), unreadable) {
        (true, why) => {
            Outcome::Unknown(why.unwrap_or_else(|| format!("{} cannot be read here", keys.join(", "))))
        }
        (false, _) => Outcome::Good(seen.join(", ")),
    }
}

pub(super) fn tcp_buffers(context: &Context<'_>) -> Outcome {
    let rate = context.live().filter_map(|stream| stream.bits_per_second).max_by(f64::total_cmp);
    let burst = rate.zip(context.segment_seconds()).map_or_else(String::new, |(rate, seconds)| {
        format!("; a segment here has about {:.0} KB", rate * seconds / 8000.0)
    });
    let effect = format!(
        "the window of a connection cannot grow to bandwidth times delay: segments to distant viewers of {} are slow{burst}",
        context.viewers
    );
    let keys = ["net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem", "net.core.wmem_max", "net.core.rmem_max"];
    check(context, &keys, Severity::Moderate, "TCP buffers are small", effect)
}

pub(super) fn port_range(context: &Context<'_>) -> Outcome {
    let proxied = context.nginx.proxied().next().is_some();
    let severity = if proxied { Severity::Moderate } else { Severity::Low };
    let effect = if proxied {
        "connections to the upstream run out of local ports (\"Cannot assign requested address\"), where nginx closes them before the upstream does".to_owned()
    } else {
        "fewer connections to upstreams and Redis; no effect on files".to_owned()
    };
    let keys = ["net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse"];
    check(context, &keys, severity, "few local ports, which are reused late", effect)
}

pub(super) fn accept_queue(context: &Context<'_>) -> Outcome {
    let effect = format!(
        "when {} viewers connect within a second, the queues of new connections overflow, and those viewers try again after 1 s and more",
        context.viewers
    );
    let keys = ["net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.core.netdev_max_backlog"];
    check(context, &keys, Severity::Low, "short queues for new connections and packets", effect)
}

pub(super) fn connection_tracking(context: &Context<'_>) -> Outcome {
    const KEY: &str = "net.netfilter.nf_conntrack_max";
    if !context.facts.kernel.is_empty() && context.sysctl(KEY).is_none() {
        return Outcome::NotApplicable;
    }
    let effect = format!(
        "{} viewers have two connections each, and closed ones are tracked for minutes; when the table is full, the firewall drops packets of new viewers (\"nf_conntrack: table full\")",
        context.viewers
    );
    check(context, &[KEY], Severity::Moderate, "the firewall tracks few connections", effect)
}

pub(super) fn fin_timeout(context: &Context<'_>) -> Outcome {
    let effect = format!(
        "connections of viewers that left stay in FIN_WAIT2 with their memory; when {} viewers change the channel, that is as many again",
        context.viewers
    );
    check(
        context,
        &["net.ipv4.tcp_fin_timeout"],
        Severity::Low,
        "closed connections are kept for long",
        effect,
    )
}

pub(super) fn congestion_control(context: &Context<'_>) -> Outcome {
    let effect = "single lost packets cut the rate of a viewer, and it recovers slowly".to_owned();
    let title = "the congestion control is neither cubic nor bbr";
    check(context, &["net.ipv4.tcp_congestion_control"], Severity::Low, title, effect)
}

pub(super) fn swappiness(context: &Context<'_>) -> Outcome {
    let effect =
        "under memory pressure the kernel swaps nginx and segments on tmpfs out before it drops cached files"
            .to_owned();
    check(context, &["vm.swappiness"], Severity::Low, "the kernel swaps early", effect)
}

pub(super) fn cache_pressure(context: &Context<'_>) -> Outcome {
    let effect =
        "directory entries and inodes of segments are dropped early and read from the disk again".to_owned();
    check(context, &["vm.vfs_cache_pressure"], Severity::Low, "names of files leave the cache early", effect)
}
