//! Flags and environment variables that have no effect, because another one is missing or overrides them. The
//! origin warns about them, but not about keys of a profile. (Fault flags without faults are an error instead.)

use crate::cli::OriginArgs;
use crate::profile::{Kind, Profile};

/// Whether a flag was given.
type Given = fn(&OriginArgs) -> bool;
/// Why a flag has no effect; `None` if it has one.
type Rule = fn(&OriginArgs, &Profile) -> Option<&'static str>;

const SYNTHETIC: &str = "with --embedded: the stream is computed in memory";
const VOD: &str = "with --vod: a VOD playlist lists all segments";
const NO_TLS: &str = "without --tls: HTTPS is off";
const NO_LIMITS: &str = "with --embedded: only nginx has request limits";
const NO_RATE: &str =
    "without --address-requests-per-second or --token-requests-per-second: no rate is limited";

/// Each flag, whether it was given, and why it has no effect.
const RULES: &[(&str, Given, Rule)] = &[
    ("--dir", |a| a.dir.is_some(), synthetic),
    ("--cache-dir", |a| a.cache_dir.is_some(), synthetic),
    ("--state-dir", |a| a.state_dir.is_some(), synthetic),
    ("--encoder", |a| a.stream.encoder.is_some(), synthetic),
    ("--loop-seconds", |a| a.stream.loop_seconds.is_some(), synthetic),
    ("--list-size", |a| a.stream.list_size.is_some(), vod),
    ("--delete-threshold", |a| a.stream.delete_threshold.is_some(), vod),
    ("--tls-port", |a| a.serving.tls_port.is_some(), no_tls),
    ("--http2", |a| a.serving.http2 == Some(true), no_tls),
    ("--address-requests-per-second", |a| some(a.serving.address_requests_per_second), unlimited),
    ("--address-connections", |a| some(a.serving.address_connections), unlimited),
    ("--token-requests-per-second", |a| some(a.serving.token_requests_per_second), unlimited),
    ("--token-connections", |a| some(a.serving.token_connections), unlimited),
    (
        "--token-argument",
        |a| a.serving.token_argument.is_some(),
        |a, p| {
            let none = p.limits.token_requests_per_second + p.limits.token_connections == 0;
            let without = "without --token-requests-per-second or --token-connections: tokens are not used";
            unlimited(a, p).or(none.then_some(without))
        },
    ),
    (
        "--limit-burst",
        |a| a.serving.limit_burst.is_some(),
        |a, p| {
            let none = p.limits.address_requests_per_second + p.limits.token_requests_per_second == 0;
            unlimited(a, p).or(none.then_some(NO_RATE))
        },
    ),
    (
        "--limit-status",
        |a| a.serving.limit_status.is_some(),
        |a, p| {
            let limits = &p.limits;
            let rates = limits.address_requests_per_second + limits.token_requests_per_second;
            let none = rates + limits.address_connections + limits.token_connections == 0;
            unlimited(a, p)
                .or(none.then_some("without --address-connections or another limit: no request is rejected"))
        },
    ),
];

fn some(limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| limit > 0)
}

fn synthetic(args: &OriginArgs, _: &Profile) -> Option<&'static str> {
    args.service.embedded.then_some(SYNTHETIC)
}

fn unlimited(args: &OriginArgs, _: &Profile) -> Option<&'static str> {
    args.service.embedded.then_some(NO_LIMITS)
}

fn vod(_: &OriginArgs, profile: &Profile) -> Option<&'static str> {
    (profile.kind == Kind::Vod).then_some(VOD)
}

fn no_tls(_: &OriginArgs, profile: &Profile) -> Option<&'static str> {
    (!profile.serve.tls).then_some(NO_TLS)
}

/// A sentence for each flag without effect. `profile` has all flags applied.
#[must_use]
pub(crate) fn unused_options(args: &OriginArgs, profile: &Profile) -> Vec<String> {
    let sentences = RULES
        .iter()
        .filter(|(_, given, _)| given(args))
        .filter_map(|(flag, _, rule)| Some(format!("{flag} has no effect {}", rule(args, profile)?)));
    sentences.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::profile::{built_in, parse};

    fn warnings(words: &str) -> Vec<String> {
        let words = std::iter::once("hls-origin").chain(words.split_whitespace());
        let args = OriginArgs::try_parse_from(words).unwrap();
        let mut profile = parse("default", built_in("default").unwrap()).unwrap();
        profile.apply_stream(&args.stream).unwrap();
        profile.apply_serving(&args.serving);
        unused_options(&args, &profile)
    }

    /// Flags, and the one warning about them.
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
    fn each_flag_without_effect_has_a_warning_with_the_reason() {
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
    fn flags_with_an_effect_have_no_warning() {
        for words in [
            "",
            "--dir=/x --cache-dir=/x --state-dir=/x --encoder=live --loop-seconds=8",
            "--list-size=5 --delete-threshold=5 --vod=0",
            "--tls --tls-port=8443 --http2",
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
