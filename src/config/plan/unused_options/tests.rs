//! Tests of the combinations in which a value has no effect, and of those in which it has one.

use std::ffi::OsString;

use hls_swarm_cli::program;

use super::*;
use crate::cli::{self, Cli};
use crate::config::layers::over;

/// Checks what is typed, with `NAME=VALUE` first for the environment, over `layer` as a profile.
fn checked(words: &str, layer: &str) -> Result<Vec<String>, String> {
    let (environment, words): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| !word.starts_with('-') && word.contains('='));
    let look_up = |name: &str| {
        let found = environment.iter().find_map(|set| set.strip_prefix(name)?.strip_prefix('='));
        found.map(OsString::from)
    };
    let words = std::iter::once("hls-swarm").chain(words).map(OsString::from).collect();
    let (Cli { run, .. }, given) = program::parse::<Cli>(&cli::program(), words, &look_up).unwrap();
    let args = over(RunArgs { given, ..*run }, &[("profile p".into(), layer.into())]).unwrap();
    check(&args).map_err(|failure| {
        assert_eq!(failure.exit().code(), 2);
        assert!(failure.help_text().unwrap().starts_with("leave out --"), "{failure}");
        failure.to_string()
    })
}

/// Refused command lines, and the two flags that the message names.
const REFUSED: &[(&str, &str, &str)] = &[
    ("--clients=5 --stage=1m:9", "--clients 5", "--stage"),
    ("--ramp-rate=2 --stage=1m:9", "--ramp-rate 2", "--stage"),
    ("--ramp-rate=2 --arrival-rate=1 --session=1m", "--ramp-rate 2", "--arrival-rate"),
    ("--ramp-jitter=1s --arrival-rate=1 --session=1m", "--ramp-jitter 1s", "--arrival-rate"),
    ("--reconnect=false --reconnect-delay=3", "--reconnect-delay 3", "--reconnect"),
    ("--stats-loglevel=info --probe=off --ffmpeg-debug", "--stats-loglevel info", "--probe"),
    (
        "--origin-metrics=http://h:1/ --origin-metrics-host=h --origin-metrics-node-port=1",
        "--origin-metrics-node-port 1",
        "--origin-metrics",
    ),
    (
        "--nginx-metrics=http://h:1/ --origin-metrics-host=h --origin-metrics-nginx-port=1",
        "--origin-metrics-nginx-port 1",
        "--nginx-metrics",
    ),
    (
        "--origin-metrics-host=h --origin-metrics=off --nginx-metrics=off --segment-sizes-url=off",
        "--origin-metrics-host h",
        "--segment-sizes-url",
    ),
    ("--abort-after=1m --duration=1m --threshold=speed>0.9", "--abort-after 1m", "--duration"),
    ("--abort-after=3m --stage=1m:1 --stage=2m:1 --threshold=speed>0.9", "--abort-after 3m", "--stage"),
    ("--metrics=off --prom-client-metrics", "--prom-client-metrics", "--metrics"),
    ("--metrics=off --live-page=any", "--live-page", "--metrics"),
    ("--engine=native --probe=off", "--probe off", "--engine"),
    ("--engine=native --unpaced", "--unpaced", "--engine"),
    ("--engine=native --restart-on-stall", "--restart-on-stall", "--engine"),
];

/// Command lines over a profile that cause a warning, and parts of that warning.
const WARNED: &[(&str, &str, &[&str])] = &[
    ("--duration=0 --stage=1m:9", "", &["--duration 0s has", "with --stage", "last stage"]),
    ("--check --clients=5 --stage=1m:9", "", &["--clients 5, --stage have", "with --check"]),
    (
        "--check --ramp-rate=2 --duration=1m --arrival-rate=2 --session=1m --start-at=20:00 --shard=0/2",
        "",
        &[
            "--arrival-rate 2",
            "--duration 1m",
            "--ramp-rate 2",
            "--session 1m",
            "--shard 0/2",
            "--start-at 20:00",
        ],
    ),
    ("--duration=1m --stage=1m:9 --stage=1m:5", "", &["--stage has", "with --duration", "before the last"]),
    ("CLIENTS=5 --stage=1m:9", "", &["CLIENTS=5 (environment) has no effect with --stage:"]),
    (
        "--clients=5",
        "[[stage]]\nduration = \"1m\"\nclients = 3",
        &["--clients 5 has", "--stage (profile or scenario)"],
    ),
    (
        "--ramp-rate=5",
        "arrival_rate = 2\nsession = \"1m\"",
        &["--ramp-rate 5", "--arrival-rate (profile or scenario)"],
    ),
    ("RAMP_RATE=5 --arrival-rate=2 --session=1m", "", &["RAMP_RATE=5 (environment)", "--arrival-rate:"]),
    ("--reconnect-delay=3", "reconnect = false", &["--reconnect-delay 3", "--reconnect (profile"]),
    ("--probe-failure-policy=fail", "", &["--probe-failure-policy fail", "without --variant"]),
    ("--dangerous", "", &["--dangerous has no effect without --insecure"]),
    ("--stats-loglevel=info", "", &["--stats-loglevel info", "without --ffmpeg-debug"]),
    ("--origin-metrics-node-port=1", "", &["--origin-metrics-node-port 1", "without --origin-metrics-host"]),
    (
        "--origin-metrics-nginx-port=1",
        "",
        &["--origin-metrics-nginx-port 1", "without --origin-metrics-host"],
    ),
    ("--origin-metrics-interval=5s", "", &["--origin-metrics-interval 5s", "without --origin-metrics-host"]),
    (
        "--origin-metrics-window=1m",
        "segment_sizes_url = \"http://h/\"",
        &["--origin-metrics-window 1m", "without"],
    ),
    ("--segment-sizes-interval=5s", "", &["--segment-sizes-interval 5s", "without --segment-sizes-url"]),
    ("--segment-sizes-jitter=5s", "", &["--segment-sizes-jitter 5s", "without --segment-sizes-url"]),
    ("--segment-cache-window=5", "origin_metrics = \"http://h/\"", &["--segment-cache-window 5", "without"]),
    ("--abort-after=30s", "", &["--abort-after 30s", "without --threshold"]),
    ("--at-least=5 --hold=9s", "", &["--at-least 5, --hold 9s have", "without --find-limit"]),
    ("", "abort_after = \"30s\"", &["--abort-after 30s (profile or scenario)", "without --threshold"]),
    ("--prom-client-metrics", "metrics = \"off\"", &["--prom-client-metrics has", "--metrics (profile"]),
    ("--verbose --log-level=info", "", &["--log-level info", "with --verbose"]),
    (
        "--player=mpv{url} --ffmpeg=f --ffmpeg-arg=-v --ffmpeg-debug --stats --stats-buffer=9 --stats-loglevel=info \
         --reconnect --reconnect-delay=3 --seg-retry=2 --unpaced --restart-on-stall",
        "",
        &[
            "--ffmpeg f, --ffmpeg-arg, --ffmpeg-debug, --stats, --stats-buffer 9, --stats-loglevel info",
            "--reconnect, --reconnect-delay 3, --seg-retry 2, --unpaced, --restart-on-stall have no effect",
            "with --player: it is an option of FFmpeg viewers",
        ],
    ),
    ("--cmcd-version=2 --cmcd-cid=x", "", &["--cmcd-version 2, --cmcd-cid x have", "without --cmcd"]),
    (
        "--abr=bola --cmcd=query --http=1.1 --canaries=2 --resolve-per-viewer",
        "",
        &[
            "--abr bola, --cmcd query, --http 1.1, --canaries 2, --resolve-per-viewer have",
            "without --engine: it is an option of native viewers",
        ],
    ),
    (
        "--player=mpv{url} --header=A:b --header-file=f --user-agent=u --no-cache",
        "",
        &["--header, --header-file f, --user-agent u, --no-cache have", "pass them in its command line"],
    ),
];

/// Command lines over a profile that cause no warning.
const SILENT: &[(&str, &str)] = &[
    ("", ""),
    ("--clients=5 --ramp-rate=2 --ramp-jitter=1s --duration=1m", ""),
    ("--clients=5 --arrival-rate=2 --session=1m --ramp-jitter=0s", ""),
    ("--stage=1m:9 --stage=1m:5 --duration=90s --ramp-jitter=1s", "clients = 50\nramp_rate = 5"),
    ("--arrival-rate=1 --session=1m", "clients = 50\nramp_rate = 5\nramp_jitter = \"1s\""),
    ("--check", "clients = 50\nduration = \"1m\""),
    (
        "--duration=30s",
        "[[stage]]\nduration = \"1m\"\nclients = 3\n[[stage]]\nduration = \"1m\"\nclients = 3",
    ),
    ("--reconnect=false", "reconnect_delay = 3"),
    ("--reconnect=false --reconnect-delay=0", ""),
    ("--probe-failure-policy=fail --variant=720p", ""),
    ("--dangerous --insecure", ""),
    ("--stats-loglevel=info --ffmpeg-debug", ""),
    ("--origin-metrics-host=h --origin-metrics-node-port=1 --origin-metrics-nginx-port=2", ""),
    ("--origin-metrics-host=h --origin-metrics-interval=5s --segment-sizes-interval=5s", ""),
    ("--nginx-metrics=http://h/ --origin-metrics-window=1m", ""),
    ("--abort-after=30s --threshold=speed>0.9 --duration=1m", ""),
    ("--abort-after=30s", "thresholds = [\"standard\"]"),
    ("--abort-after=0", ""),
    ("--find-limit --at-least=5 --hold=9s", ""),
    ("--verbose", "log_level = \"info\""),
    ("LOG_LEVEL=info --verbose", ""),
    ("--metrics=off --prom-client-metrics=false", ""),
    (
        "--engine=native --abr=bola --cmcd=header --cmcd-version=2 --cmcd-cid=x --http=2 --resolve-per-viewer --header=A:b",
        "",
    ),
    ("--engine=native --canaries=2 --unpaced --ffmpeg=f", ""),
];

#[test]
fn contradicting_flags_are_refused_by_name() {
    for (words, one, other) in REFUSED {
        let said = checked(words, "").unwrap_err();
        assert!(said.contains(one) && said.contains(other), "{words}: {said}");
    }
}

#[test]
fn a_value_without_effect_causes_a_warning() {
    for (words, layer, parts) in WARNED {
        let said = checked(words, layer).unwrap_or_else(|refused| panic!("{words}: {refused}"));
        assert_eq!(said.len(), 1, "{words}: {said:?}");
        for part in *parts {
            assert!(said[0].contains(part), "{words}: {said:?}");
        }
    }
}

#[test]
fn a_value_with_an_effect_and_an_overridden_profile_are_not_reported() {
    for (words, layer) in SILENT {
        assert_eq!(checked(words, layer), Ok(Vec::new()), "{words}, over {layer:?}");
    }
}

#[test]
fn the_common_variant_has_no_effect_on_streams_with_their_own() {
    let streams = "[[stream]]\nurl = \"http://a/a.m3u8\"\nvariant = \"first\"\n";
    let mut args = RunArgs::default();
    args.stream.variant = VariantSelection::Lowest;
    args.given.flags = ["variant".to_owned()].into();
    let said = check(&over(args, &[("profile p".into(), streams.into())]).unwrap()).unwrap();
    assert!(said[0].starts_with("--variant lowest has no effect with --stream (profile"), "{said:?}");
}

#[test]
fn every_rule_has_a_case() {
    let messages: Vec<String> = REFUSED
        .iter()
        .map(|(words, ..)| checked(words, "").unwrap_err())
        .chain(WARNED.iter().flat_map(|(words, layer, _)| checked(words, layer).unwrap()))
        .collect();
    for flag in flags().filter(|flag| flag != "--variant") {
        let messages = messages
            .iter()
            .any(|said| said.split(" no effect ").next().is_some_and(|said| said.contains(&flag)));
        assert!(messages, "{flag} has a rule and no case");
    }
}

#[test]
fn the_profiles_and_scenarios_of_the_program_have_no_unused_value() {
    for (name, text) in layers::SWARM.iter().chain(&layers::SCENARIO) {
        let args = over(RunArgs::default(), &[((*name).to_owned(), (*text).to_owned())]).unwrap();
        assert_eq!(check(&args).unwrap(), Vec::<String>::new(), "{name}");
    }
}
