//! `hls-swarm demo`: a first run against a test origin of its own, from nothing to a verdict.

mod origin;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::layers::Given;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::{output, runtime};

use crate::cli::commands::DemoArgs;
use crate::cli::run::{EngineKind, RunArgs};
use crate::config::{layers, plan};
use crate::engine::ffmpeg::detect;
use crate::{report, run};

use self::origin::Origin;

/// What the demo does unless a profile, the environment, or a flag overrides it.
const DEFAULTS: &str = r#"
clients = 20
ramp_rate = 10.0
duration = "10s"
metrics = "127.0.0.1:0"
log_format = "text"
reports = ["demo-report.html", "demo-report.json"]
"#;

/// Runs the demo.
///
/// # Errors
/// The flags are invalid, the machine is not suitable, or no origin starts.
pub(crate) fn run(args: DemoArgs, given: Given) -> Result<ExitCode, Failure> {
    if args.serve {
        return hls_swarm_origin::serve_embedded();
    }
    let mut args = layers::merged_over(RunArgs { given, ..*args.run }, &[("the demo", DEFAULTS)])?;
    if args.given.flags.contains("url") || !args.stream.streams.is_empty() {
        return Err(Failure::usage("the demo plays the stream of its own origin, and a stream is given")
            .help("load test that stream with `hls-swarm URL`, or leave it out"));
    }
    let why_native = choose_engine(&mut args, &detect::folders());
    // What is wrong with the flags is said before anything is started.
    args.stream.url = Some("http://127.0.0.1/stream.m3u8".into());
    let plan = plan::resolve(&args, &layers::environment(&args)?)?;
    report::check(&plan.results.reports)?;

    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    let ended = runtime.block_on(async {
        let origin = Origin::start(&guard, &detect::folders()).await?;
        if let Some(why) = why_native {
            say(why);
        }
        args.stream.url = Some(origin.url().to_owned());
        let ended = match run::prepare(args) {
            Ok(Some(prepared)) => run::run(prepared.without_next_step(), guard).await,
            Ok(None) => Ok(Exit::Pass.into()),
            Err(failure) => Err(failure),
        };
        origin.stop().await;
        ended
    });
    runtime.shutdown_background();
    let code = ended?;
    let reports: Vec<PathBuf> = plan.results.reports.into_iter().map(|(_, path)| path).collect();
    output::print(&next_step(code, &reports))?;
    Ok(code)
}

/// Chooses native viewers where there is no FFmpeg and nothing else was asked for. Returns what to tell the user then.
fn choose_engine(args: &mut RunArgs, folders: &[PathBuf]) -> Option<&'static str> {
    let viewers = &mut args.viewers;
    let chosen = viewers.engine.is_some() || viewers.player.is_some() || viewers.ffmpeg.is_some();
    if chosen || detect::find().is_some() || origin::find("ffmpeg", folders).is_some() {
        return None;
    }
    viewers.engine = Some(EngineKind::Native);
    Some("viewers: native ones, because FFmpeg is not installed")
}

/// Prints what the demo does on standard error.
fn say(what: &str) {
    // Standard error may be closed.
    drop(writeln!(std::io::stderr(), "demo: {what}"));
}

/// What to do after the demo.
fn next_step(code: ExitCode, reports: &[PathBuf]) -> String {
    let mut text = String::new();
    let page = reports.iter().find(|path| path.extension().is_some_and(|kind| kind == "html"));
    if let Some(address) = page.and_then(|page| address(page)) {
        let _ = writeln!(text, "\nopen {address} in a browser");
    }
    text.push_str(if code == ExitCode::from(Exit::Pass) {
        "next: test your own stream: hls-swarm --clients 100 --duration 1m URL\n"
    } else if code == ExitCode::from(Exit::Invalid) {
        "The demo works, but this machine was too busy for its figures to count, as the lines that begin with \
         \"! invalid\" say.\nnext: close other programs, and run the demo again\n"
    } else {
        "next: the demo should pass on every machine; docs/troubleshooting.md lists what can be wrong\n"
    });
    text
}

/// The address of a file that was written, for browsers.
fn address(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    url::Url::from_file_path(path).ok().map(String::from)
}

/// The value of PATH with the folders of system programs, where nginx is: they are not in every user's PATH.
fn path_with(folders: &[PathBuf]) -> OsString {
    std::env::join_paths(folders).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(flags: &[&str], change: impl FnOnce(&mut RunArgs)) -> RunArgs {
        let mut args = RunArgs::default();
        change(&mut args);
        args.given.flags = flags.iter().map(ToString::to_string).collect();
        layers::merged_over(args, &[("the demo", DEFAULTS)]).unwrap()
    }

    #[test]
    fn flags_and_profiles_override_the_defaults_of_the_demo() {
        let bare = merged(&[], |_| {});
        assert_eq!((bare.load.clients, bare.results.reports.len()), (20, 2));
        let flags = merged(&["clients"], |args| args.load.clients = 3);
        assert_eq!((flags.load.clients, flags.load.ramp_rate), (3, 10.0));
        let profile = merged(&[], |args| args.action.profile = Some("smoke".into()));
        assert_eq!((profile.load.clients, profile.load.duration.0.as_secs()), (5, 30));
    }

    #[test]
    fn viewers_are_native_only_where_there_is_no_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        if detect::find().is_none() {
            let mut args = merged(&[], |_| {});
            assert!(choose_engine(&mut args, &folders).is_some());
            assert_eq!(args.viewers.engine, Some(EngineKind::Native));
        }
        let mut args = merged(&["ffmpeg"], |args| args.viewers.ffmpeg = Some("/opt/ffmpeg".into()));
        assert_eq!(choose_engine(&mut args, &folders), None);
        assert_eq!(args.viewers.engine, None);
    }

    #[test]
    fn an_invalid_run_explains_itself_and_names_its_page() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("my report.html");
        std::fs::write(&page, "").unwrap();
        let text = next_step(Exit::Invalid.into(), &[page]);
        assert!(text.contains("file:///") && text.contains("my%20report.html"), "{text}");
        assert!(text.contains("too busy") && text.contains("next: "), "{text}");
    }
}
