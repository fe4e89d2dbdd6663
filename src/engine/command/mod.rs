//! Any dynamically linked player as a viewer, by its command line: `--player 'COMMAND {url}'`.
//!
//! The socket probe inside it measures requests and bytes as it does in FFmpeg, and playback follows from the segments
//! that arrive.

pub(crate) mod monitor;
pub(crate) mod preflight;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::sizing::ViewerSize;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::process::Program;

use self::monitor::CommandMonitor;
use super::opening::{self, Opening};
use super::probe::{Concealed, Probe, conceal};
use super::viewer::RunContext;
use super::{Session, SessionEnd, process};

/// The placeholder of the URL in the command line.
const URL: &str = "{url}";
/// An example for messages.
const EXAMPLE: &str = "--player 'gst-launch-1.0 playbin3 uri={url} video-sink=fakesink audio-sink=fakesink'";

/// The resources that one GStreamer needs (`playbin3` with a 1080p stream: 66 MiB, 15 threads); other players may need more.
pub(crate) const VIEWER_SIZE: ViewerSize = ViewerSize {
    open_files: 40,
    least_open_files: 40,
    processes: 30,
    memory_bytes: 80 << 20,
    local_ports: 10,
};

/// A player's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The command line as it was given.
    pub text: String,
    program: PathBuf,
    /// The arguments, with [`URL`] in one of them.
    arguments: Vec<String>,
}

impl Config {
    /// Splits a command line as a shell does; other shell syntax has no meaning.
    ///
    /// # Errors
    /// A usage failure: a quote is not closed, there is no program, or no argument has the URL.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::usage(format!("invalid value {text:?} for --player: {why}"));
        let words = shlex::split(text)
            .ok_or_else(|| invalid("a quote is not closed").help(format!("write it like {EXAMPLE}")))?;
        let Some((program, arguments)) = words.split_first().filter(|(program, _)| !program.is_empty())
        else {
            return Err(invalid("there is no program").help(format!("write it like {EXAMPLE}")));
        };
        if !arguments.iter().any(|argument| argument.contains(URL)) {
            return Err(invalid("no argument contains {url}")
                .help(format!("put {{url}} where the player expects the URL: {EXAMPLE}")));
        }
        Ok(Self { text: text.to_owned(), program: program.into(), arguments: arguments.to_vec() })
    }

    fn arguments(&self, url: &str) -> Vec<String> {
        self.arguments.iter().map(|argument| argument.replace(URL, url)).collect()
    }
}

/// A player that is ready to play.
#[derive(Debug)]
pub struct PlayerCommand {
    config: Config,
    probe: Probe,
}

impl PlayerCommand {
    /// The command line as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.config.text
    }

    /// The program and the arguments of a viewer.
    #[must_use]
    pub fn command_line(&self, selection: &Selection) -> (&Path, Vec<String>) {
        (&self.config.program, self.config.arguments(&selection.address))
    }

    /// Plays the viewer's stream once and returns when the player has ended; `stop` ends it gracefully.
    pub(crate) async fn play(
        &self,
        context: &RunContext,
        session: Session,
        stop: &CancellationToken,
    ) -> SessionEnd {
        let Session { viewer, generation } = session;
        let started_ns = now_ns();
        context.record(Event::Started { viewer, generation, at_ns: started_ns }).await;
        let target = context.target_of(viewer);
        let selection = match opening::open(context, session, stop, Some(&self.probe.playlists)).await {
            Opening::Plays(selection) => selection,
            Opening::Stopped => {
                let reason = "stopped before the player was started".to_owned();
                return process::fail(context, session, EndClass::Stopped, started_ns, reason).await;
            }
            Opening::Failed(why) => {
                return process::fail(context, session, EndClass::Failed, started_ns, why).await;
            }
        };
        let (path, arguments) = self.command_line(&selection);
        let Concealed { arguments, variables } = conceal(&context.plan.secrets, arguments);
        let mut program = Program::new(path, arguments);
        program.confinement = Some(context.plan.viewers.confinement.clone());
        program.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        let plan = &context.plan;
        let settings = plan.network.probe_settings(&target.stream, &plan.target_policy, None, viewer);
        self.probe.attach(&mut program, viewer, generation, settings);
        process::play(context, session, stop, program, started_ns, |_| CommandMonitor::default()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_replaces_every_placeholder() {
        let config = Config::parse("gst-launch-1.0 playbin3 uri={url} 'a b' {url}").unwrap();
        assert_eq!(config.program, Path::new("gst-launch-1.0"));
        assert_eq!(config.arguments("http://h/a b"), ["playbin3", "uri=http://h/a b", "a b", "http://h/a b"]);
    }

    #[test]
    fn unusable_command_lines_are_refused_with_help() {
        for (text, why) in [
            ("mpv", "no argument contains {url}"),
            ("{url}", "no argument contains {url}"),
            ("mpv 'a {url}", "a quote is not closed"),
            ("", "there is no program"),
            ("'' {url}", "there is no program"),
        ] {
            let failure = Config::parse(text).unwrap_err();
            assert_eq!((failure.exit().code(), failure.to_string().contains(why)), (2, true), "{failure}");
            assert!(failure.help_text().unwrap().contains("--player 'gst-launch-1.0"), "{text}");
        }
    }
}
