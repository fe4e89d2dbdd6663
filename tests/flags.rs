//! Every flag, in every style that it may be typed in, and from every place that it may come from.

use std::ffi::OsString;
use std::process::Command;

use clap::{CommandFactory, Parser};

use hls_swarm::cli::run::SwarmArgs;
use hls_swarm::config::plan::{Environment, Plan, resolve, unused_options};
use hls_swarm_cli::go_style::translate;

/// Every flag that takes a value, with one that means something. A flag that is missing here fails the test.
const VALUES: &[(&str, &str)] = &[
    ("profile", "gentle"),
    ("scenario", "spike"),
    ("clients", "50"),
    ("ramp-rate", "7.5"),
    ("ramp-jitter", "100ms"),
    ("duration", "1h30m"),
    ("stage", "60s:100"),
    ("arrival-rate", "2.5"),
    ("session", "exp:5m"),
    ("start-at", "2026-12-01T20:00:00Z"),
    ("shard", "1/3"),
    ("seed", "42"),
    ("stream", "2:http://h/b.m3u8"),
    ("variant", "<=3M"),
    ("probe-failure-policy", "fail"),
    ("header", "X-A: b=c"),
    ("header-file", "/run/headers"),
    ("user-agent", "tv/1.0"),
    ("resolve", "192.0.2.1"),
    ("source-ip", "127.0.0.2"),
    ("bandwidth-cap", "3M"),
    ("timeout", "3s"),
    ("reconnect-delay", "9"),
    ("seg-retry", "1"),
    ("target-duration", "4s"),
    ("engine", "ffmpeg"),
    ("player", "mpv {url}"),
    ("ffmpeg", "/opt/ffmpeg"),
    ("probe", "require"),
    ("stats-buffer", "20"),
    ("stats-loglevel", "trace"),
    ("max-restarts", "2"),
    ("ffmpeg-arg", "-clients"),
    ("allow-host", "*.example.com"),
    ("error-storm", "20%:5s"),
    ("origin-metrics-host", "origin.test"),
    ("origin-metrics-node-port", "17100"),
    ("origin-metrics-nginx-port", "17113"),
    ("origin-metrics", "http://h:1/metrics"),
    ("nginx-metrics", "http://h:2/metrics"),
    ("origin-metrics-interval", "5s"),
    ("origin-metrics-window", "60s"),
    ("segment-sizes-url", "http://h:3/files/json/"),
    ("segment-sizes-interval", "2s"),
    ("segment-sizes-jitter", "0s"),
    ("segment-cache-window", "30"),
    ("threshold", "segment_ttfb:p95<500ms"),
    ("abort-after", "30s"),
    ("metrics", "127.0.0.1:0"),
    ("report", "run.json"),
    ("exchange-log", "log.ndjson"),
    ("collector", "http://127.0.0.1:9/"),
    ("log-format", "text"),
    ("log-level", "debug"),
];

/// Flags that mean nothing without another one.
const TOGETHER: &[(&str, &str)] = &[("arrival-rate", "--session=5m"), ("session", "--arrival-rate=2")];

/// Flags that have their effect whatever else is typed, or of which only the stream and the machine can tell
/// (`unpaced` of a live stream). All others have a rule in `config::plan::unused_options`.
const ALWAYS: &str = "profile scenario dry-run check print-cmd yes seed stream timeout target-duration insecure resolve \
    source-ip bandwidth-cap engine player probe max-restarts skip-preflight allow-host error-storm \
    origin-metrics nginx-metrics segment-sizes-url threshold metrics report exchange-log collector tui log-format \
    verbose";

/// Every flag that is on or off.
const SWITCHES: &[&str] = &[
    "dry-run",
    "no-cache",
    "reconnect",
    "unpaced",
    "insecure",
    "dangerous",
    "stats",
    "ffmpeg-debug",
    "restart-on-stall",
    "check",
    "print-cmd",
    "skip-preflight",
    "yes",
    "prom-client-metrics",
    "tui",
    "verbose",
];

/// The flags of the field's older tool, which its users type without thinking.
const FIELD: &str = "clients ramp-rate ramp-jitter duration variant probe-failure-policy resolve no-cache header \
    user-agent timeout reconnect reconnect-delay seg-retry ffmpeg target-duration restart-on-stall max-restarts \
    tui metrics prom-client-metrics stats stats-buffer stats-loglevel ffmpeg-debug origin-metrics nginx-metrics \
    origin-metrics-host origin-metrics-node-port origin-metrics-nginx-port origin-metrics-interval \
    origin-metrics-window segment-sizes-url segment-sizes-interval segment-sizes-jitter segment-cache-window \
    log-format log-level check print-cmd skip-preflight dangerous";

fn parse(words: &[&str]) -> SwarmArgs {
    let words = std::iter::once(&"hls-swarm").chain(words).map(OsString::from);
    let words = translate(words, &SwarmArgs::command());
    let mut args = SwarmArgs::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    if args.streams.is_empty() && args.url.is_none() {
        args.url = Some("http://h/a.m3u8".into());
    }
    args
}

fn plan(args: &SwarmArgs) -> Option<Plan> {
    resolve(args, &Environment::default()).ok()
}

/// All ways to type the same come to the same flags and the same plan, and not to those of `without`.
fn same(ways: &[Vec<&str>], without: &SwarmArgs) -> SwarmArgs {
    let first = parse(&ways[0]);
    assert_ne!(&first, without, "{:?} means nothing", ways[0]);
    for way in ways {
        let args = parse(way);
        assert_eq!(args, first, "{way:?}");
        assert_eq!(plan(&args), plan(&first), "{way:?}");
    }
    first
}

#[test]
fn each_flag_means_the_same_in_every_style() {
    let nothing = parse(&[]);
    for (name, value) in VALUES {
        let (long, go) = (format!("--{name}"), format!("-{name}"));
        let (long_is, go_is) = (format!("{long}={value}"), format!("{go}={value}"));
        let mut ways = [vec![&*long, value], vec![&*long_is], vec![&*go, value], vec![&*go_is]];
        if let Some((_, other)) = TOGETHER.iter().find(|(known, _)| known == name) {
            ways.iter_mut().for_each(|way| way.push(other));
        }
        let args = same(&ways, &nothing);
        assert!(plan(&args).is_some(), "{name}: {:?}", resolve(&args, &Environment::default()));
    }
    for name in SWITCHES {
        let (long, go) = (format!("--{name}"), format!("-{name}"));
        let on = [&*long, &*go].map(str::to_owned).to_vec();
        let on: Vec<String> = [on, vec![format!("{long}=true"), format!("{go}=true")]].concat();
        let off = [format!("{long}=false"), format!("{go}=false")];
        let on = same(&on.iter().map(|way| vec![way.as_str()]).collect::<Vec<_>>(), &nothing);
        let off = same(&off.iter().map(|way| vec![way.as_str()]).collect::<Vec<_>>(), &nothing);
        assert_ne!(on, off, "{name}");
    }
    assert_eq!(parse(&["-v"]), parse(&["--verbose"]));
}

#[test]
fn every_flag_is_in_the_table_and_every_flag_of_the_field_is_a_flag() {
    let tabled = |name: &str| SWITCHES.contains(&name) || VALUES.iter().any(|(known, _)| *known == name);
    for argument in SwarmArgs::command().get_arguments() {
        if let Some(name) = argument.get_long() {
            assert!(tabled(name), "--{name} is not in the tables of this test: add it, with a value");
        }
    }
    let command = SwarmArgs::command();
    for name in FIELD.split_whitespace() {
        assert!(command.get_arguments().any(|argument| argument.get_long() == Some(name)), "--{name}");
    }
}

#[test]
fn every_flag_has_a_rule_about_its_effect_or_always_has_one() {
    let ruled: Vec<String> = unused_options::flags().collect();
    let always: Vec<&str> = ALWAYS.split_whitespace().collect();
    for name in SwarmArgs::command().get_arguments().filter_map(clap::Arg::get_long) {
        let (ruled, always) = (ruled.contains(&format!("--{name}")), always.contains(&name));
        assert!(ruled != always, "--{name}: has it always an effect ({always}), or a rule ({ruled})?");
    }
}

/// What a run with these flags and variables says about them, and its exit code.
fn said(flags: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
        .args(["--dry-run", "--log-format=text", "http://127.0.0.1:9/a.m3u8"])
        .args(flags)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_value_without_effect_is_refused_or_warned_about_wherever_it_comes_from() {
    let (code, told) = said(&["-clients", "5", "--stage=1m:9"], &[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--clients 5 has no effect beside --stage"), "{told}");
    for (flags, variables, expected) in [
        (
            &["--stage=1m:9"][..],
            &[("CLIENTS", "5")][..],
            "CLIENTS=5 (environment) has no effect beside --stage:",
        ),
        (
            &["--scenario=spike", "--clients=5"],
            &[],
            "beside --stage (profile or scenario): stages have numbers",
        ),
        (&["--abort-after=30s"], &[], "--abort-after 30s has no effect without --threshold"),
        (&[], &[("EXTRA_ARGS", "--dangerous")], "--dangerous has no effect without --insecure"),
    ] {
        let (code, told) = said(flags, variables);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("WARN") && told.contains(expected), "{told}");
    }
    assert_eq!(said(&["--scenario=spike", "--profile=stress"], &[]), (Some(0), String::new()));
}

/// The resolved profile of a run with these flags and variables, on top of a profile with these lines.
fn resolved(flags: &[&str], variables: &[(&str, &str)], profile: &str) -> toml::Table {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    std::fs::write(&file, profile).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
        .args(["--dry-run", "--profile", file.to_str().unwrap()])
        .args(flags)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// A flag goes over the environment, that over a profile, that over the default; EXTRA_ARGS count as typed last.
#[test]
fn what_goes_over_what() {
    let url = "url = \"http://h/p.m3u8\"\n";
    let cases = [
        ("CLIENTS", "clients", "--clients", ["2", "3", "4", "5"], "10"),
        ("RAMP_RATE", "ramp_rate", "--ramp-rate", ["2.5", "3.5", "4.5", "5.5"], "5.0"),
        ("VARIANT", "variant", "--variant", ["first", "lowest", "720p", "each"], "all"),
        ("LOG_LEVEL", "log_level", "--log-level", ["warn", "error", "debug", "trace"], ""),
        (
            "COLLECTOR",
            "collector",
            "--collector",
            ["http://h:2/", "http://h:3/", "http://h:4/", "http://h:5/"],
            "",
        ),
        ("METRICS_PORT", "metrics", "--metrics", ["2", "3", "4", "5"], "0.0.0.0:17091"),
        (
            "STREAM_URL",
            "url",
            "",
            ["http://h/2", "http://h/3", "http://h/4", "http://h/5"],
            "http://h/p.m3u8",
        ),
    ];
    let env_flags =
        SwarmArgs::command().get_arguments().filter(|argument| argument.get_env().is_some()).count();
    assert_eq!(env_flags + 1, cases.len(), "a variable is missing here (METRICS_PORT is no flag of its own)");
    for (variable, key, flag, [low, middle, high, last], default) in cases {
        let profile = match key {
            "url" => format!("url = \"{low}\"\n"),
            "clients" | "ramp_rate" => format!("{url}{key} = {low}\n"),
            _ => format!("{url}{key} = \"{low}\"\n"),
        };
        let shown =
            |value: &str| if key == "metrics" { format!("0.0.0.0:{value}") } else { value.to_owned() };
        let typed: Vec<&str> = [flag, high].into_iter().filter(|word| !word.is_empty()).collect();
        let extra = [flag, last].join(" ");
        let found = |flags: &[&str], variables: &[(&str, &str)], profile: &str| {
            let found = resolved(flags, variables, profile).get(key).cloned();
            found.map_or_else(String::new, |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            })
        };
        assert_eq!(found(&[], &[], url), default, "{key}");
        assert_eq!(found(&[], &[], &profile), shown(low), "{key}");
        assert_eq!(found(&[], &[(variable, middle)], &profile), shown(middle), "{key}");
        assert_eq!(found(&typed, &[(variable, middle)], &profile), shown(high), "{key}");
        // A URL is no flag, so there is no typing a second one.
        if !flag.is_empty() {
            let both = [(variable, middle), ("EXTRA_ARGS", extra.as_str())];
            assert_eq!(found(&typed, &both, &profile), shown(last), "{key}");
        }
    }
}
