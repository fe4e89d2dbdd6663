//! The wiring of settings: files and the environment, read for what was typed. What they mean is
//! `config::plan`'s.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::{Reference, references};

use crate::cli::load::SESSION_FILE;
use crate::cli::run::SwarmArgs;
use crate::config::plan::Environment;
use crate::config::plan::unused_options::Typed;
use crate::config::{profile, scenario};
use crate::engine::ffmpeg::detect;

/// What was typed, with the scenario and the profile that it names underneath.
///
/// # Errors
/// A usage failure: a file cannot be read, or says what cannot be meant.
pub fn merged_with_profiles(mut typed: SwarmArgs) -> Result<SwarmArgs, Failure> {
    // The environment goes over profiles. What is no port is named later.
    let port = std::env::var("METRICS_PORT").ok().and_then(|port| port.parse::<u16>().ok());
    typed.metrics = typed.metrics.or_else(|| Some(port?.to_string()));
    let files = [
        typed.scenario.clone().map(|name| read("scenario", name, scenario::built_in)),
        typed.profile.clone().map(|name| read("profile", name, profile::built_in)),
    ];
    files.into_iter().flatten().try_fold(typed, |over, file| profile::underlay(over, &file?))
}

/// Which values stood on the command line and which in the environment, by their names in profiles.
#[must_use]
pub fn typed(parsed: &ArgMatches) -> Typed {
    let from = |source| {
        let command = SwarmArgs::command();
        let names = command.get_arguments().filter_map(|argument| {
            let given = parsed.value_source(argument.get_id().as_str()) == Some(source);
            argument.get_long().filter(|_| given).map(|name| name.replace('-', "_"))
        });
        names.collect()
    };
    Typed { flags: from(ValueSource::CommandLine), environment: from(ValueSource::EnvVariable) }
}

/// What else a plan depends on; secrets are left out, for not everybody needs them.
///
/// # Errors
/// A usage failure: the file of session lengths cannot be read.
pub fn environment(args: &SwarmArgs) -> Result<Environment, Failure> {
    let file = args.session.as_deref().and_then(|session| session.strip_prefix(SESSION_FILE));
    let session_file = file.map(|path| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("--session {SESSION_FILE}{path}: cannot be read"))
                .caused_by(error)
                .help("name a file with one duration per line, for example 4m30s")
        })
    });
    Ok(Environment {
        metrics_port: std::env::var("METRICS_PORT").ok(),
        ssl_cert_file: std::env::var_os("SSL_CERT_FILE").map(Into::into),
        viewer_ffmpeg: detect::find(),
        session_file: session_file.transpose()?,
        ..Environment::default()
    })
}

/// The text of a profile or scenario: one that comes with the program, or a file.
fn read(
    what: &str,
    name: String,
    built_in: fn(&str) -> Result<&'static str, Failure>,
) -> Result<(String, String), Failure> {
    if !(name.contains('/') || name.ends_with(".toml")) {
        let text = built_in(&name)?.to_owned();
        return Ok((format!("{what} {name}"), text));
    }
    let text = std::fs::read_to_string(&name).map_err(|error| {
        Failure::usage(format!("--{what} {name}: cannot be read"))
            .caused_by(error)
            .help(format!("name a TOML file, or one of the {what}s that come with the program"))
    })?;
    Ok((format!("{what} {name}"), text))
}

/// The references in everything that was typed which may hold secrets.
///
/// # Errors
/// As [`references`].
pub(crate) fn wanted_secrets(args: &SwarmArgs) -> Result<Vec<Reference>, Failure> {
    let addresses = args.url.iter().chain(args.streams.iter().map(|stream| &stream.url));
    let found: Result<Vec<_>, Failure> =
        addresses.chain(&args.headers).map(|text| references(text)).collect();
    Ok(found?.into_iter().flatten().collect())
}
