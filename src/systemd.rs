//! `hls-swarm render systemd`: the systemd unit of a run, confined, and with limits derived from its viewers.

use std::path::Path;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::unit::{self, Word};
use hls_swarm_os::output;

use crate::cli::commands::RenderCommand;
use crate::cli::run::RunArgs;
use crate::cli::{ENVIRONMENT, MORE_ARGUMENTS};
use crate::config::layers;
use crate::config::plan::{self, Environment};

/// Flags whose value is a file. The unit runs in another directory, so their paths are made absolute.
const FILES: [&str; 2] = ["--profile", "--scenario"];
/// The flag whose file is secret. systemd reads it as root and passes it as a credential.
const SECRET_FILE: &str = "--header-file";

/// The parameters of a unit.
#[derive(Clone, Debug)]
struct Unit<'a> {
    /// Path of hls-swarm.
    program: &'a str,
    /// Command-line arguments of the run.
    arguments: &'a [String],
    /// Environment variables that set flags.
    environment: &'a [(String, String)],
    /// Limit of open files.
    open_files: u64,
}

/// Prints a unit that makes the run which the flags describe.
///
/// # Errors
/// A usage failure: the flags do not describe a run.
pub fn run(command: RenderCommand, given: Given) -> Result<Exit, Failure> {
    let RenderCommand::Systemd(args) = command;
    let args = layers::merged(RunArgs { given, ..*args })?;
    let environment =
        Environment { ssl_cert_file: None, secrets: Secrets::made_up(), ..layers::environment(&args)? };
    let plan = plan::resolve(&args, &environment)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::internal("cannot find the path of this program").caused_by(error))?;
    // The arguments after `render systemd`.
    let arguments: Vec<String> =
        std::env::args_os().skip(3).map(|word| word.to_string_lossy().into_owned()).collect();
    let text = render(&Unit {
        program: &program.to_string_lossy(),
        arguments: &arguments,
        environment: &variables(),
        open_files: plan.viewers.engine.requirements(plan.load.own_max_viewers()).open_files_limit,
    })?;
    output::print(&text).map(|()| Exit::Pass)
}

/// The variables of the environment that set flags, in order.
fn variables() -> Vec<(String, String)> {
    let known = |name: &str| {
        name.starts_with(ENVIRONMENT.prefix)
            || name == MORE_ARGUMENTS
            || ENVIRONMENT.other_names.iter().any(|(_, other)| *other == name)
    };
    let mut variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
        .filter(|(name, _)| known(name))
        .collect();
    variables.sort();
    variables
}

/// The text of the unit.
fn render(unit: &Unit<'_>) -> Result<String, Failure> {
    let (words, credential) = words(unit);
    let command = unit::command_line(&words);
    let environment = unit::environment(unit.environment);
    let hardening = unit::hardening(&[])?;
    let credential = credential.map(|file| format!("LoadCredential=headers:{file}\n")).unwrap_or_default();
    let open_files = unit.open_files;
    Ok(format!(
        "# Written by `hls-swarm render systemd`.\n\
         [Unit]\n\
         Description=Load test of an HTTP Live Streaming service\n\
         Wants=network-online.target\n\
         After=network-online.target\n\n\
         [Service]\n\
         # The exit code of the unit is that of the run: 4 for a failed criterion, 5 for an invalid run.\n\
         Type=exec\n\
         {environment}\
         {credential}\
         ExecStart={command}\n\
         # The program sends SIGTERM to the viewers and waits for them.\n\
         KillMode=mixed\n\
         TimeoutStopSec=30\n\n\
         # Reports with a relative path are written here.\n\
         StateDirectory=hls-swarm\n\
         WorkingDirectory=%S/hls-swarm\n\
         LimitNOFILE={open_files}\n\
         # Threads count as tasks, and the number of FFmpeg's threads is unknown.\n\
         TasksMax=infinity\n\n\
         {hardening}"
    ))
}

/// The command line, and the file with secret headers.
fn words(unit: &Unit<'_>) -> (Vec<Word>, Option<String>) {
    let mut words = vec![Word::Text(unit.program.to_owned())];
    let mut secret = None;
    let mut flag: Option<&str> = None;
    for argument in unit.arguments {
        let (name, value) = match (flag.take(), argument.split_once('=')) {
            (Some(name), _) => (name, Some(argument.as_str())),
            (None, Some((name, value))) => (name, Some(value)),
            (None, None) => (argument.as_str(), None),
        };
        let known = FILES.into_iter().chain([SECRET_FILE]).find(|known| *known == name);
        match (known, value) {
            (Some(known), None) => flag = Some(known),
            (Some(SECRET_FILE), Some(value)) => {
                words.push(Word::Text(SECRET_FILE.to_owned()));
                words.push(Word::Specifiers("%d/headers".to_owned()));
                secret = Some(absolute(value));
            }
            (Some(known), Some(value)) => {
                words.push(Word::Text(known.to_owned()));
                words.push(Word::Text(absolute(value)));
            }
            (None, _) => words.push(Word::Text(argument.clone())),
        }
    }
    words.push(Word::Text("--tui=false".to_owned()));
    (words, secret)
}

/// The absolute path of an existing file; anything else, such as the name of a built-in profile, as it is.
fn absolute(value: &str) -> String {
    let path = Path::new(value);
    match std::path::absolute(path) {
        Ok(absolute) if path.is_file() => absolute.to_string_lossy().into_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit() {
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        let arguments =
            ["--profile", "stress", "-c", "50", &format!("--header-file={name}"), "http://127.0.0.1/a b"]
                .map(str::to_owned);
        let text = render(&Unit {
            program: "/usr/bin/hls-swarm",
            arguments: &arguments,
            environment: &[("HLS_SWARM_DURATION".to_owned(), "5m".to_owned())],
            open_files: 2150,
        })
        .unwrap();
        let secret = std::path::absolute(name).unwrap();
        let text = text.replace(secret.to_str().unwrap(), "/etc/headers");
        insta::assert_snapshot!(text);
    }
}
