//! Flags (and variables) of the origin that have no effect, because the one they belong to is missing or
//! another takes the effect away. They are warned about; values of a profile are not. Flags about faults
//! without faults are refused where faults start.

use crate::cli::OriginArgs;
use crate::profile::{Kind, Profile};

/// The reason why a flag has no effect; `None` if it has one.
type Rule = fn(&OriginArgs, &Profile) -> Option<&'static str>;

const SYNTHETIC: &str = "with --embedded: the stream is computed in memory";
const VOD: &str = "with --vod: a VOD playlist has all segments";
const NO_TLS: &str = "without --tls: there is no HTTPS";
const NO_LIMITS: &str = "with --embedded: only nginx has limits";
const NO_TOKEN: &str = "without --token-requests-per-second or --token-connections: tokens are not used";
const NO_RATE: &str =
    "without --address-requests-per-second or --token-requests-per-second: no rate is limited";
const NO_LIMIT: &str = "without --address-connections or another limit: no request is refused";

/// Each flag, its id, and what takes its effect away.
const RULES: &[(&str, &str, Rule)] = &[
    ("--dir", "dir", synthetic),
    ("--cache-dir", "cache_dir", synthetic),
    ("--state-dir", "state_dir", synthetic),
    ("--encoder", "encoder.mode", synthetic),
    ("--loop-seconds", "encoder.loop_seconds", synthetic),
    ("--list-size", "list_size", vod),
    ("--delete-threshold", "delete_threshold", vod),
    ("--tls-port", "serve.tls_port", no_tls),
    ("--http2", "serve.http2", |a, p| if p.serve.http2 { no_tls(a, p) } else { None }),
    ("--http3", "serve.http3", |a, p| if p.serve.http3 { no_tls(a, p) } else { None }),
    ("--address-requests-per-second", "limits.address_requests_per_second", |a, p| {
        unlimited(a, p.limits.address_requests_per_second)
    }),
    ("--address-connections", "limits.address_connections", |a, p| {
        unlimited(a, p.limits.address_connections)
    }),
    ("--token-requests-per-second", "limits.token_requests_per_second", |a, p| {
        unlimited(a, p.limits.token_requests_per_second)
    }),
    ("--token-connections", "limits.token_connections", |a, p| unlimited(a, p.limits.token_connections)),
    ("--token-argument", "limits.token_argument", |a, p| {
        let none = p.limits.token_requests_per_second + p.limits.token_connections == 0;
        unlimited(a, 1).or(none.then_some(NO_TOKEN))
    }),
    ("--limit-burst", "limits.burst", |a, p| {
        let none = p.limits.address_requests_per_second + p.limits.token_requests_per_second == 0;
        unlimited(a, 1).or(none.then_some(NO_RATE))
    }),
    ("--limit-status", "limits.status", |a, p| {
        let limits = &p.limits;
        let rates = limits.address_requests_per_second + limits.token_requests_per_second;
        let none = rates + limits.address_connections + limits.token_connections == 0;
        unlimited(a, 1).or(none.then_some(NO_LIMIT))
    }),
];

fn synthetic(args: &OriginArgs, _: &Profile) -> Option<&'static str> {
    args.service.embedded.then_some(SYNTHETIC)
}

/// A limit of 0 is none, and so loses nothing.
fn unlimited(args: &OriginArgs, limit: u32) -> Option<&'static str> {
    (args.service.embedded && limit > 0).then_some(NO_LIMITS)
}

fn vod(_: &OriginArgs, profile: &Profile) -> Option<&'static str> {
    (profile.kind == Kind::Vod).then_some(VOD)
}

fn no_tls(_: &OriginArgs, profile: &Profile) -> Option<&'static str> {
    (!profile.serve.tls).then_some(NO_TLS)
}

/// One sentence for each flag without effect. `profile` is the one with all flags on top.
#[must_use]
pub(crate) fn check(args: &OriginArgs, profile: &Profile) -> Vec<String> {
    RULES
        .iter()
        .filter(|(_, id, _)| args.given.is_direct(id))
        .filter_map(|(flag, _, rule)| Some(format!("{flag} has no effect {}", rule(args, profile)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::plan::Plan;

    fn warnings(words: &str) -> Vec<String> {
        Plan::of_flags(&words.split_whitespace().collect::<Vec<_>>()).unwrap().unused_options
    }

    /// Flags, and the beginning of the only warning about them.
    const CASES: &[(&str, &str)] = &[
        ("--embedded --dir=/x", "--dir has no effect with --embedded"),
        ("--embedded --cache-dir=/x", "--cache-dir has no effect with --embedded"),
        ("--embedded --state-dir=/x", "--state-dir has no effect with --embedded"),
        ("--embedded --encoder=loop", "--encoder has no effect with --embedded"),
        ("--embedded --loop-seconds=8", "--loop-seconds has no effect with --embedded"),
        ("--vod=60 --list-size=5", "--list-size has no effect with --vod"),
        ("--vod=60 --delete-threshold=5", "--delete-threshold has no effect with --vod"),
        ("--tls-port=8443", "--tls-port has no effect without --tls"),
        ("--http2", "--http2 has no effect without --tls"),
        ("--http3", "--http3 has no effect without --tls"),
        (
            "--embedded --address-requests-per-second=5",
            "--address-requests-per-second has no effect with --emb",
        ),
        ("--embedded --address-connections=5", "--address-connections has no effect with --embedded"),
        (
            "--embedded --token-requests-per-second=5",
            "--token-requests-per-second has no effect with --embedded",
        ),
        ("--embedded --token-connections=5", "--token-connections has no effect with --embedded"),
        ("--token-argument=t", "--token-argument has no effect without --token-requests-per-second"),
        ("--limit-burst=5 --address-connections=5", "--limit-burst has no effect without --address-requests"),
        ("--limit-status=429", "--limit-status has no effect without --address-connections"),
    ];

    #[test]
    fn each_flag_without_effect_is_warned_about_with_what_it_lacks() {
        for (words, sentence) in CASES {
            let warnings = warnings(words);
            assert_eq!(warnings.len(), 1, "{words}: {warnings:?}");
            assert!(warnings[0].starts_with(sentence), "{words}: {warnings:?}");
        }
        for (flag, ..) in RULES {
            let of_it = format!("{flag} has no effect");
            assert!(CASES.iter().any(|(_, sentence)| sentence.starts_with(&of_it)), "{flag}: no case");
        }
    }

    #[test]
    fn flags_with_an_effect_are_not_warned_about() {
        for words in [
            "",
            "--dir=/x --cache-dir=/x --state-dir=/x --encoder=live --loop-seconds=8",
            "--list-size=5 --delete-threshold=5 --vod=0",
            "--tls --tls-port=8443 --http2 --http3",
            "--http2=false --address-connections=0 --embedded",
            "--token-argument=t --token-connections=5 --limit-status=503",
            "--address-requests-per-second=5 --limit-burst=5 --limit-status=429",
            "--faults --fault-seed=5 --control-port=0",
            "--fault=status=503 --fault-seed=5",
            "--embedded --list-size=5 --faults --control-port=0",
        ] {
            assert_eq!(warnings(words), Vec::<String>::new(), "{words}");
        }
    }
}
