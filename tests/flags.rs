//! Every flag, in every style and from every source.

use std::ffi::OsString;
use std::process::Command;

use hls_swarm::cli::commands::SwarmCommand;
use hls_swarm::cli::run::RunArgs;
use hls_swarm::cli::{self, Cli};
use hls_swarm::config::plan::{Environment, Plan, resolve, unused_options};
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::program;

/// Every flag that takes a value, with a valid one. A flag that is missing here fails the test.
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
    ("at-least", "5"),
    ("hold", "10s"),
    ("start-at", "2026-12-01T20:00:00Z"),
    ("shard", "1/3"),
    ("seed", "42"),
    ("stream", "2:http://h/b.m3u8"),
    ("variant", "<=3M"),
    ("probe-failure-policy", "fail"),
    ("header", "X-A: b=c"),
    ("header-file", "/run/headers"),
    ("header-hosts", "edge.example"),
    ("viewer-memory", "64"),
    ("viewer-env", "MY_*"),
    ("viewer-user", "root"),
    ("collector-token-file", "/run/token"),
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
    ("preset", "exoplayer"),
    ("abr", "bola"),
    ("cmcd", "query"),
    ("cmcd-version", "2"),
    ("cmcd-cid", "demo"),
    ("http", "auto"),
    ("canaries", "2"),
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
    ("title", "An evening"),
    ("notes", "With the new cache"),
    ("live-page", "10.0.0.0/8"),
    ("exchange-log", "log.ndjson"),
    ("otlp", "http://127.0.0.1:4318"),
    ("openmetrics", "run.om"),
    ("collector", "http://127.0.0.1:9/"),
    ("log-format", "text"),
    ("log-level", "debug"),
];

/// Flags that have no effect without another one.
const TOGETHER: &[(&str, &str)] =
    &[("arrival-rate", "--session=5m"), ("session", "--arrival-rate=2"), ("http", "--engine=native")];

/// Flags that always have an effect, or whose effect depends on the stream or the machine
/// (`unpaced` of a live stream). All others have a rule in `config::plan::unused_options`.
const ALWAYS: &str = "profile scenario dry-run check print-cmd yes seed stream timeout target-duration insecure resolve \
    find-limit source-ip bandwidth-cap engine player preset header-hosts viewer-memory viewer-env viewer-user \
    collector-token-file max-restarts skip-preflight allow-host error-storm \
    origin-metrics nginx-metrics segment-sizes-url threshold metrics report title notes exchange-log otlp openmetrics \
    collector tui \
    log-format verbose";

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
    "resolve-per-viewer",
    "find-limit",
    "check",
    "print-cmd",
    "skip-preflight",
    "yes",
    "prom-client-metrics",
    "tui",
    "verbose",
];

/// The flags of the Go tool, which its users know.
const FIELD: &str = "clients ramp-rate ramp-jitter duration variant probe-failure-policy resolve no-cache header \
    user-agent timeout reconnect reconnect-delay seg-retry ffmpeg target-duration restart-on-stall max-restarts \
    tui metrics prom-client-metrics stats stats-buffer stats-loglevel ffmpeg-debug origin-metrics nginx-metrics \
    origin-metrics-host origin-metrics-node-port origin-metrics-nginx-port origin-metrics-interval \
    origin-metrics-window segment-sizes-url segment-sizes-interval segment-sizes-jitter segment-cache-window \
    log-format log-level check print-cmd skip-preflight dangerous";

fn command_line(words: &[&str]) -> Cli {
    let words = std::iter::once(&"hls-swarm").chain(words).map(OsString::from).collect();
    let parsed = program::parse::<Cli>(&cli::program(), words, &|_| None);
    let (mut cli, given) = parsed.unwrap_or_else(|stop| panic!("{stop:?}"));
    cli.run.given = given;
    cli
}

/// The flags of a run without environment variables and profiles.
fn parse(words: &[&str]) -> RunArgs {
    let mut args = *command_line(words).run;
    if args.stream.streams.is_empty() && args.stream.url.is_none() {
        args.stream.url = Some("http://h/a.m3u8".into());
    }
    args
}

fn plan(args: &RunArgs) -> Option<Plan> {
    resolve(args, &Environment::default()).ok()
}

/// Checks that all styles give the same flags and the same plan, which differ from `without`.
fn same(ways: &[Vec<&str>], without: &RunArgs) -> RunArgs {
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
    for (short, long) in [
        ("-v", "--verbose"),
        ("-c=3", "--clients=3"),
        ("-d5m", "--duration=5m"),
        ("-r=3", "--ramp-rate=3"),
        ("-tstandard", "--threshold=standard"),
        ("-orun.json", "--report=run.json"),
    ] {
        assert_eq!(parse(&[short]), parse(&[long]));
    }
}

#[test]
fn every_command_that_plays_takes_the_same_flags_in_every_style() {
    let url = "http://h/a.m3u8";
    let expected = RunArgs { given: Given::default(), ..parse(&["--clients=3", "--tui=false", url]) };
    for words in [["-clients", "3"], ["--clients", "3"], ["-c", "3"]] {
        for command in [&["run"][..], &["check"], &["config", "show"]] {
            let words = [command, &words, &["-tui=false", url]].concat();
            let args = match command_line(&words).command {
                Some(SwarmCommand::Run(args) | SwarmCommand::Check(args)) => *args,
                Some(SwarmCommand::Config(cli::commands::ConfigCommand::Show { run, .. })) => *run,
                other => panic!("{words:?}: {other:?}"),
            };
            assert_eq!(args, expected, "{words:?}");
        }
    }
}

/// The command line of containers and units of the Go tool.
#[test]
fn the_command_line_of_the_go_tool_runs_unchanged() {
    let url = "http://127.0.0.1:9/a.m3u8";
    let flags = [
        "-clients",
        "50",
        "-ramp-rate",
        "5",
        "-ramp-jitter",
        "100",
        "-metrics-port",
        "9090",
        "-log-level",
        "info",
        "-variant",
        "all",
        "-reconnect",
        "-reconnect-delay-max",
        "5",
        "-seg-max-retry",
        "3",
        "-timeout",
        "15",
    ];
    let settings = resolved(&[&flags[..], &[url]].concat(), &[], "");
    let text = |key: &str| settings[key].as_str().unwrap().to_owned();
    let number = |key: &str| settings[key].as_integer().unwrap();
    assert_eq!((number("clients"), settings["ramp_rate"].as_float()), (50, Some(5.0)));
    assert_eq!((text("ramp_jitter"), text("timeout")), ("100ms".to_owned(), "15s".to_owned()));
    assert_eq!((text("metrics"), text("log_level")), ("0.0.0.0:9090".to_owned(), "info".to_owned()));
    assert_eq!((number("reconnect_delay"), number("seg_retry"), text("url")), (5, 3, url.to_owned()));
    assert_eq!(settings["reconnect"].as_bool(), Some(true));
}

#[test]
fn every_flag_is_in_the_table_and_every_flag_of_the_go_tool_exists() {
    let tabled = |name: &str| SWITCHES.contains(&name) || VALUES.iter().any(|(known, _)| *known == name);
    for argument in cli::command().get_arguments() {
        if let Some(name) = argument.get_long() {
            assert!(tabled(name), "--{name} is not in the tables of this test: add it, with a value");
        }
    }
    let command = cli::command();
    for name in FIELD.split_whitespace() {
        assert!(command.get_arguments().any(|argument| argument.get_long() == Some(name)), "--{name}");
    }
}

#[test]
fn every_flag_has_a_rule_for_its_effect_or_always_has_an_effect() {
    let ruled: Vec<String> = unused_options::flags().collect();
    let always: Vec<&str> = ALWAYS.split_whitespace().collect();
    for name in cli::command().get_arguments().filter_map(clap::Arg::get_long) {
        let (ruled, always) = (ruled.contains(&format!("--{name}")), always.contains(&name));
        assert!(
            ruled != always,
            "--{name} must either always have an effect ({always}) or have a rule ({ruled})"
        );
    }
}

/// The exit code and messages of a run with these flags and variables.
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
fn a_value_without_effect_from_any_source_is_refused_or_causes_a_warning() {
    let (code, messages) = said(&["-clients", "5", "--stage=1m:9"], &[]);
    assert_eq!(code, Some(2), "{messages}");
    assert!(messages.contains("--clients 5 has no effect with --stage"), "{messages}");
    for (flags, variables, expected) in [
        (
            &["--stage=1m:9"][..],
            &[("CLIENTS", "5")][..],
            "CLIENTS=5 (environment) has no effect with --stage:",
        ),
        (
            &["--scenario=spike", "--clients=5"],
            &[],
            "with --stage (profile or scenario): each stage has its own number",
        ),
        (&["--abort-after=30s"], &[], "--abort-after 30s has no effect without --threshold"),
        (&[], &[("EXTRA_ARGS", "--dangerous")], "--dangerous has no effect without --insecure"),
    ] {
        let (code, messages) = said(flags, variables);
        assert_eq!(code, Some(0), "{messages}");
        assert!(messages.contains("WARN") && messages.contains(expected), "{messages}");
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

/// A flag overrides the environment, that a profile, and that the default; EXTRA_ARGS count as typed last.
#[test]
fn each_layer_overrides_the_layers_below() {
    let url = "url = \"http://h/p.m3u8\"\n";
    let cases = [
        ("CLIENTS", "clients", "--clients", ["2", "3", "4", "5"], "10"),
        ("RAMP_RATE", "ramp_rate", "--ramp-rate", ["2.5", "3.5", "4.5", "5.5"], "5.0"),
        ("VARIANT", "variant", "--variant", ["first", "lowest", "720p", "each"], "all"),
        ("LOG_LEVEL", "log_level", "--log-level", ["warn", "error", "debug", "trace"], "info"),
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
    assert_eq!(cli::ENVIRONMENT.other_names.len(), cases.len(), "a variable is missing here");
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
        let prefixed = format!("HLS_SWARM_{}", key.to_uppercase());
        assert_eq!(found(&[], &[], url), default, "{key}");
        assert_eq!(found(&[], &[(variable, "")], url), default, "{key}: an empty variable sets nothing");
        assert_eq!(found(&[], &[], &profile), shown(low), "{key}");
        assert_eq!(found(&[], &[(variable, middle)], &profile), shown(middle), "{key}");
        assert_eq!(found(&[], &[(&prefixed, last), (variable, middle)], &profile), shown(last), "{key}");
        assert_eq!(found(&typed, &[(variable, middle)], &profile), shown(high), "{key}");
        // A URL is not a flag, so a second one cannot be typed.
        if !flag.is_empty() {
            let both = [(variable, middle), ("EXTRA_ARGS", extra.as_str())];
            assert_eq!(found(&typed, &both, &profile), shown(last), "{key}");
        }
    }
}

#[test]
fn every_flag_can_be_set_by_its_variable() {
    let with = |variable: &str, value: &str| {
        let look_up = |name: &str| (name == variable).then(|| OsString::from(value));
        let words = vec!["hls-swarm".into()];
        let parsed = program::parse::<Cli>(&cli::program(), words, &look_up);
        let (cli, given) = parsed.unwrap_or_else(|stop| panic!("{variable}: {stop:?}"));
        assert_eq!(given.environment.values().collect::<Vec<_>>(), [variable]);
        *cli.run
    };
    let switches = SWITCHES.iter().map(|name| (*name, "true"));
    for (name, value) in VALUES.iter().copied().chain(switches) {
        let variable = format!("HLS_SWARM_{}", name.replace('-', "_").to_uppercase());
        let mut typed = *command_line(&[&format!("--{name}={value}")]).run;
        typed.given = Given::default();
        assert_eq!(with(&variable, value), typed, "{variable}");
    }
    let (code, messages) = said(&[], &[("HLS_SWARM_CLIENTS", "many")]);
    assert_eq!(code, Some(2));
    assert!(
        messages.starts_with("error: invalid value \"many\" for HLS_SWARM_CLIENTS: expected"),
        "{messages}"
    );
}

#[test]
fn a_mistake_produces_a_suggestion() {
    for (program, words, what, help) in [
        ("hls-swarm", "reprot show x.json", "unknown command \"reprot\"", "did you mean \"report\"?"),
        ("hls-swarm", "config shw", "unknown command \"shw\"", "did you mean \"show\"?"),
        (
            "hls-swarm",
            "10.0.0.1:80/x.m3u8",
            "invalid URL \"10.0.0.1:80/x.m3u8\"",
            "pass http://10.0.0.1:80/x.m3u8",
        ),
        ("hls-swarm", "check localhost:80/x.m3u8", "invalid URL", "pass http://localhost:80/x.m3u8"),
        ("hls-swarm", "-cliens 3 http://h/a.m3u8", "unknown flag \"--cliens\"", "did you mean --clients?"),
        (
            "hls-swarm",
            "--clients abc http://h/a.m3u8",
            "invalid value \"abc\" for --clients: expected a whole",
            "--clients <N>: ",
        ),
        (
            "hls-swarm",
            "--probe=of http://h/a.m3u8",
            "invalid value \"of\" for --probe",
            "did you mean off? pass one of: auto",
        ),
        (
            "hls-swarm",
            "--log-level debug report show x",
            "--log-level before the command \"report\"",
            "hls-swarm report …",
        ),
        ("hls-origin", "falut list", "unknown command \"falut\"", "did you mean \"fault\"?"),
        ("hls-origin", "-fsp 30", "unknown flag \"--fsp\"", "did you mean --fps?"),
        (
            "hls-origin",
            "-fps=many",
            "invalid value \"many\" for --fps: expected a whole number",
            "--fps <FPS>: ",
        ),
    ] {
        let mut command = Command::new(hls_swarm_test_support::binary(program));
        let output = command.args(words.split_whitespace()).env_clear().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        let (first, rest) = said.split_once('\n').unwrap();
        assert!(first.starts_with(&format!("error: {what}")), "{words}: {said}");
        assert!(rest.starts_with("  help: ") && rest.contains(help), "{words}: {said}");
    }
}

#[test]
fn no_error_message_contains_a_secret() {
    let url = "http//me:hush@h/x.m3u8?token=hushhush";
    for command in ["run", "check", "config show", "plan --clients 3 --stream-url"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
        let output = program.args(command.split(' ')).arg(url).env_clear().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("x.m3u8") && !said.contains("hush"), "{command}: {said}");
    }
}
