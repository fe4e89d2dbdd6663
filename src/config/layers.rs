//! The layers of a run's configuration, merged once: defaults, profile, scenario, environment, flags.
//! Environment and flags come merged from `hls_swarm_cli::program`; what the values mean together is
//! decided in `config::plan`.

use toml::Table;

use hls_swarm_base::built_in::find;
use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::{Reference, references};
use hls_swarm_cli::layers::{Given, filtered, put_over, written};

use crate::cli::load::SESSION_FILE;
use crate::cli::run::RunArgs;
use crate::config::plan::Environment;
use crate::engine::ffmpeg::detect;

/// The profiles that come with the program: name and text.
pub use hls_swarm_profiles::{SCENARIO, SWARM};

/// Merges the scenario and the profile that `args` name beneath it.
///
/// # Errors
/// A usage failure: a file cannot be read, or it is not a profile.
pub fn merged(args: RunArgs) -> Result<RunArgs, Failure> {
    merged_over(args, &[])
}

/// The same, with the profiles `lowest` beneath everything else; each has a name for messages, and its text.
///
/// # Errors
/// As [`merged`].
pub fn merged_over(args: RunArgs, lowest: &[(&str, &str)]) -> Result<RunArgs, Failure> {
    let lowest = lowest.iter().map(|(what, text)| Ok(((*what).to_owned(), (*text).to_owned())));
    let profile = args.action.profile.as_deref().map(|name| named("profile", name, &SWARM));
    let scenario = args.action.scenario.as_deref().map(|name| named("scenario", name, &SCENARIO));
    let files: Result<Vec<_>, Failure> = lowest.chain([profile, scenario].into_iter().flatten()).collect();
    over(args, &files?)
}

/// Merges profiles beneath `args`, the lowest one first; each has a name for messages, and its text.
///
/// # Errors
/// A usage failure that names the profile, the line and the key.
pub fn over(args: RunArgs, files: &[(String, String)]) -> Result<RunArgs, Failure> {
    let mut merged = Table::new();
    for (what, text) in files {
        RunArgs::read(what, text)?;
        put_layer_over(&mut merged, text.parse().map_err(unwritable)?);
    }
    let direct = filtered(&table(&args)?, &|id| args.given.is_direct(id));
    let in_files = merged.clone();
    put_layer_over(&mut merged, direct);
    let given = Given {
        files: written(&filtered(&in_files, &|id| merged.contains_key(id) && !args.given.is_direct(id))),
        ..args.given
    };
    let text = toml::to_string(&merged).map_err(unwritable)?;
    Ok(RunArgs { action: args.action, given, ..RunArgs::read("the merged configuration", &text)? })
}

/// Puts a layer on top. Streams replace the streams beneath, whether they are named one by one or as the
/// one URL, and so does the shape of the load.
fn put_layer_over(under: &mut Table, over: Table) {
    let replaces = |key: &str| over.contains_key(key);
    if replaces("url") || replaces("stream") {
        under.remove("url");
        under.remove("stream");
    }
    if replaces("arrival_rate") {
        under.remove("stage");
    }
    if replaces("stage") {
        under.remove("arrival_rate");
        under.remove("session");
    }
    put_over(under, over);
}

/// All values of a configuration, by their keys in a profile.
///
/// # Errors
/// An internal failure: a value cannot be written as TOML.
pub fn table(args: &RunArgs) -> Result<Table, Failure> {
    Table::try_from(args).map_err(unwritable)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::internal("cannot write the configuration as TOML").caused_by(error)
}

/// The text of a profile or scenario: a built-in one, or a file.
fn named(
    what: &str,
    name: &str,
    built_in: &'static [(&'static str, &'static str)],
) -> Result<(String, String), Failure> {
    let shown = format!("{what} {name}");
    if !(name.contains('/') || name.ends_with(".toml")) {
        return Ok((shown, find(built_in, what, name)?.to_owned()));
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        Failure::usage(format!("--{what} {name}: cannot be read"))
            .caused_by(error)
            .help(format!("name a TOML file, or one of the {what}s that come with the program"))
    })?;
    Ok((shown, text))
}

/// The variables that name proxies, and the one that marks a CGI environment.
const PROXIES: [&str; 7] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "REQUEST_METHOD"];

/// Reads the environment of a plan. Secrets are left out, because not every command needs them.
///
/// # Errors
/// A usage failure: the file of session lengths cannot be read.
pub fn environment(args: &RunArgs) -> Result<Environment, Failure> {
    let file = args.load.session.as_deref().and_then(|session| session.strip_prefix(SESSION_FILE));
    let session_file = file.map(|path| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("--session {SESSION_FILE}{path}: cannot be read"))
                .caused_by(error)
                .help("name a file with one duration per line, for example 4m30s")
        })
    });
    Ok(Environment {
        ssl_cert_file: std::env::var_os("SSL_CERT_FILE").map(Into::into),
        viewer_ffmpeg: detect::find(),
        otlp_headers: std::env::var("OTEL_EXPORTER_OTLP_HEADERS").ok(),
        proxies: PROXIES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect(),
        session_file: session_file.transpose()?,
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        ..Environment::default()
    })
}

/// The references in all values that may hold secrets.
///
/// # Errors
/// As [`references`].
pub(crate) fn wanted_secrets(args: &RunArgs) -> Result<Vec<Reference>, Failure> {
    let stream = &args.stream;
    let addresses = stream.url.iter().chain(stream.streams.iter().map(|stream| &stream.url));
    let found: Result<Vec<_>, Failure> =
        addresses.chain(&stream.headers).map(|text| references(text)).collect();
    Ok(found?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{Environment, Plan, resolve};
    use crate::load::schedule::Schedule;
    use crate::load::{Load, Shape};

    /// Merges `text` as a profile beneath arguments with `change`, of which the flags `ids` count as typed.
    fn typed_over(ids: &[&str], change: impl FnOnce(&mut RunArgs), text: &str) -> Result<RunArgs, Failure> {
        let mut args = RunArgs::default();
        change(&mut args);
        args.given.flags = ids.iter().map(ToString::to_string).collect();
        over(args, &[("profile test.toml".to_owned(), text.to_owned())])
    }

    fn play_a(args: &mut RunArgs) {
        args.stream.url = Some("http://127.0.0.1/a.m3u8".into());
    }

    fn plan(args: &RunArgs) -> Plan {
        resolve(args, &Environment::default()).unwrap_or_else(|failure| panic!("{}", failure.chain()))
    }

    #[test]
    fn a_flag_overrides_a_profile_and_a_profile_a_default() {
        let change = |args: &mut RunArgs| {
            play_a(args);
            args.load.clients = 7;
        };
        let text = "clients = 50\nramp_rate = 2\nno_cache = true\ntimeout = \"3s\"\n";
        let args = typed_over(&["url", "clients"], change, text).unwrap();
        let plan = plan(&args);
        assert_eq!(plan.load.shape, Shape::Schedule(Schedule::ramp(7, 2.0)));
        assert_eq!(plan.streams.first().timeout.as_secs(), 3);
        assert_eq!(plan.streams.first().headers.len(), 2);
        assert_eq!(plan.streams.first().segment_retries, 3);
        assert_eq!(args.given.files, ["ramp_rate", "no_cache", "timeout"].map(str::to_owned).into());
    }

    #[test]
    fn typed_streams_replace_those_of_a_profile() {
        let text = "[[stream]]\nurl = \"http://a/x.m3u8\"\nweight = 2\n[[stream]]\nurl = \"http://b/x.m3u8\"\nvariant = \"first\"\n";
        let hosts = |args: RunArgs| {
            let plan = plan(&args);
            (1..=3)
                .map(|viewer| plan.streams.of(viewer).url.host_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hosts(typed_over(&[], |_| {}, text).unwrap()), ["a", "b", "a"]);
        assert_eq!(hosts(typed_over(&["url"], play_a, text).unwrap()), ["127.0.0.1"; 3]);
        let stream = |args: &mut RunArgs| args.stream.streams = vec!["http://c/x.m3u8".parse().unwrap()];
        assert_eq!(hosts(typed_over(&["stream"], stream, text).unwrap()), ["c"; 3]);
    }

    #[test]
    fn an_unknown_key_is_named_with_line_and_nearest_key() {
        let failure = typed_over(&[], |_| {}, "clients = 3\nramp_rat = 2\n").unwrap_err();
        assert_eq!(failure.to_string(), "profile test.toml, line 2: unknown field `ramp_rat`");
        assert_eq!(failure.help_text(), Some("did you mean `ramp_rate`?"));
        let failure = typed_over(&[], |_| {}, "timeout = \"3 parsecs\"\n").unwrap_err();
        assert!(failure.to_string().contains("unknown unit"), "{failure}");
        // Flags that choose an action are not keys of a profile.
        let failure = typed_over(&[], |_| {}, "yes = true\n").unwrap_err();
        assert!(failure.to_string().contains("unknown field `yes`"), "{failure}");
        let failure = named("profile", "gentel", &SWARM).unwrap_err();
        assert!(failure.help_text().unwrap().starts_with("did you mean gentle?"));
        let failure = named("scenario", "progresive", &SCENARIO).unwrap_err();
        assert!(failure.help_text().unwrap().contains("did you mean progressive?"));
    }

    /// The plan of a built-in profile or scenario.
    fn built_in(text: &str) -> Plan {
        let args = typed_over(&[], |_| {}, text).unwrap();
        if args.stream.streams.is_empty() {
            return plan(&typed_over(&["url"], play_a, text).unwrap());
        }
        plan(&args)
    }

    fn scenario(name: &str) -> Plan {
        built_in(find(&SCENARIO, "scenario", name).unwrap())
    }

    fn levels(load: &Load) -> Vec<(u64, u32)> {
        let held = load.stages().into_iter().filter(|(_, from, stage)| *from == stage.target);
        held.map(|(_, _, stage)| (stage.length.as_secs(), stage.target)).collect()
    }

    #[test]
    fn every_profile_and_scenario_of_the_program_makes_a_plan() {
        for (name, text) in SWARM.iter().chain(&SCENARIO) {
            assert!(built_in(text).load.max_viewers() > 0, "{name}");
        }
    }

    #[test]
    fn scenarios_match_their_names() {
        let levels_with_pauses = [
            (300, 50),
            (30, 0),
            (300, 100),
            (30, 0),
            (300, 200),
            (30, 0),
            (300, 300),
            (30, 0),
            (300, 400),
            (30, 0),
            (300, 500),
        ];
        assert_eq!(levels(&scenario("progressive").load), levels_with_pauses);
        let long = scenario("endurance");
        assert_eq!((long.load.max_viewers(), long.load.length.unwrap().as_secs()), (200, 86_400));
        assert!(long.viewers.restart_on_stall);
        assert_eq!(
            (scenario("lab").load.max_viewers(), scenario("lab").load.length.unwrap().as_secs()),
            (10, 30)
        );
        let two = scenario("two-streams");
        assert_eq!(
            (two.streams.count(), two.load.max_viewers(), two.load.length.unwrap().as_secs()),
            (2, 600, 600)
        );
    }
}
