//! Limits of rate and of connections, per address and per token.

use super::Build;
use crate::profile::Limits;

/// Shared memory of a zone: about 80000 keys.
const ZONE: &str = "10m";

/// The limits that are set: zone, variable that is the key, requests per second, connections.
fn zones(limits: &Limits) -> Vec<(String, &'static str, Limit)> {
    let zone = |name: &str, key, limit| (format!("{name}_{}", limit_name(&limit)), key, limit);
    let (address, token) = ("$binary_remote_addr", "$origin_token");
    [
        zone("address", address, Limit::Rate(limits.address_requests_per_second)),
        zone("address", address, Limit::Connections(limits.address_connections)),
        zone("token", token, Limit::Rate(limits.token_requests_per_second)),
        zone("token", token, Limit::Connections(limits.token_connections)),
    ]
    .into_iter()
    .filter(|(_, _, limit)| !matches!(limit, Limit::Rate(0) | Limit::Connections(0)))
    .collect()
}

enum Limit {
    Rate(u32),
    Connections(u32),
}

const fn limit_name(limit: &Limit) -> &'static str {
    match limit {
        Limit::Rate(_) => "rate",
        Limit::Connections(_) => "connections",
    }
}

/// The module that these limits need and that this nginx was built without; small builds leave them out.
pub(crate) fn missing_module(limits: &Limits, build: &Build) -> Option<&'static str> {
    zones(limits)
        .iter()
        .map(|(_, _, limit)| match limit {
            Limit::Rate(_) => "http_limit_req_module",
            Limit::Connections(_) => "http_limit_conn_module",
        })
        .find(|module| build.has(&format!("--without-{module}")))
}

/// What goes into `http`: the zones. Empty without limits.
pub(crate) fn http(limits: &Limits) -> String {
    let zones = zones(limits);
    if zones.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    if zones.iter().any(|(_, key, _)| *key == "$origin_token") {
        text.push_str(&format!(
            "    # Whose request it is: ?{argument}=..., else Authorization. Without either, no token's limit holds.\n    \
             map $arg_{argument} $origin_token {{\n        \
                 \"\" $http_authorization;\n        \
                 default $arg_{argument};\n    \
             }}\n",
            argument = limits.token_argument
        ));
    }
    text.push_str(
        "    # Who asks too often or too much at once is refused, so that the others are served.\n",
    );
    for (zone, key, limit) in &zones {
        text.push_str(&match limit {
            Limit::Rate(rate) => format!("    limit_req_zone {key} zone={zone}:{ZONE} rate={rate}r/s;\n"),
            Limit::Connections(_) => format!("    limit_conn_zone {key} zone={zone}:{ZONE};\n"),
        });
    }
    let status = limits.status;
    text + &format!(
        "    limit_req_status {status};\n    \
         limit_conn_status {status};\n    \
         # The viewer is told by the status; a line for each would fill the log.\n    \
         limit_req_log_level info;\n    \
         limit_conn_log_level info;\n\n"
    )
}

/// What goes into the locations of playlists and segments. Health and status are never limited.
pub(crate) fn location(limits: &Limits) -> String {
    let mut text = String::new();
    for (zone, _, limit) in zones(limits) {
        text.push_str(&match limit {
            // nodelay: a player asks for several things at once; delaying them would be a fault of ours.
            Limit::Rate(_) => format!("            limit_req zone={zone} burst={} nodelay;\n", limits.burst),
            Limit::Connections(count) => format!("            limit_conn {zone} {count};\n"),
        });
    }
    text
}
