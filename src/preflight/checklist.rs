//! The checks before a run, and their findings.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_hls::selection::Selection;
use hls_swarm_os::guard::Guard;

use crate::config::plan::{Plan, Stream};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Good.
    Good,
    /// The run will probably work, but the finding needs attention.
    Warning,
    /// The run cannot work.
    Bad,
}

/// One line of the preflight report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub mark: Mark,
    /// What was checked.
    pub name: &'static str,
    /// The actual state, and what is needed.
    pub text: String,
    /// The command or change that fixes it; empty if nothing is wrong.
    pub help: String,
}

impl Finding {
    /// A good finding.
    #[must_use]
    pub fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { mark: Mark::Good, name, text: text.into(), help: String::new() }
    }

    /// A finding that stops the run.
    #[must_use]
    pub fn bad(name: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { mark: Mark::Bad, name, text: text.into(), help: help.into() }
    }

    /// A finding that does not stop the run.
    #[must_use]
    pub fn warning(name: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, name, text: text.into(), help: help.into() }
    }

    /// A failure as a finding that stops the run.
    #[must_use]
    pub fn failed(name: &'static str, failure: &Failure) -> Self {
        Self::bad(name, failure.chain(), failure.help_text().unwrap_or_default())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => '✓',
            Mark::Warning => '!',
            Mark::Bad => '✗',
        };
        write!(f, "{mark} {}: {}", self.name, self.text)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "\n    help: {}", self.help) }
    }
}

/// A running check. `Err` is a failure of the check itself, which ends preflight; findings are reported separately.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// One check in an engine's list. `E` collects the results of the engine's checks.
pub struct Check<E> {
    /// The name in the report.
    pub name: &'static str,
    /// Runs the check.
    pub run: for<'a> fn(&'a mut Preflight<'_>, &'a mut E) -> Running<'a>,
}

/// The state of preflight: what to check, and the findings so far.
pub struct Preflight<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The guard of all processes.
    pub guard: &'a Arc<Guard>,
    /// What viewers play of each stream, once the streams have been inspected.
    pub selections: WeightedSet<(Stream, Selection)>,
    /// The same for canaries, where there are some.
    pub canary_selections: Option<WeightedSet<(Stream, Selection)>>,
    report: &'a mut dyn FnMut(&Finding),
    failed: Vec<Finding>,
    /// Whether a failed check must not be skipped.
    is_binding: bool,
}

impl<'a> Preflight<'a> {
    /// Creates the state before the first check. `report` gets each finding immediately.
    pub(crate) fn new(plan: &'a Plan, guard: &'a Arc<Guard>, report: &'a mut dyn FnMut(&Finding)) -> Self {
        let selections = plan.streams.map(|stream| (stream.clone(), unseen(stream)));
        let canary_selections = None;
        Self { plan, guard, selections, canary_selections, report, failed: Vec::new(), is_binding: false }
    }

    /// Runs an engine's checks in order.
    ///
    /// # Errors
    /// A check itself failed, for example because the operating system refuses to start a process.
    pub(crate) async fn run<E>(&mut self, checks: &[Check<E>], engine: &mut E) -> Result<(), Failure> {
        for check in checks {
            tracing::debug!(check = check.name, "preflight");
            (check.run)(self, engine).await?;
        }
        Ok(())
    }

    /// Reports a finding. The first one that stops the run is the error that ends the program, and is printed then.
    pub(crate) fn note(&mut self, finding: Finding) {
        let is_the_error = finding.mark == Mark::Bad && self.failed.is_empty() && !self.plan.skip_preflight;
        if !is_the_error {
            (self.report)(&finding);
        }
        if finding.mark == Mark::Bad {
            self.failed.push(finding);
        }
    }

    /// Makes the findings so far and from now on binding: `--skip-preflight` does not accept them.
    pub(crate) const fn make_binding(&mut self) {
        self.is_binding = true;
    }

    /// Returns a stream that viewers play over https, with their selection.
    pub(crate) fn encrypted(&self) -> Option<&(Stream, Selection)> {
        self.selections.iter().find(|(_, selection)| selection.url.scheme() == "https")
    }

    /// Ends preflight and returns what viewers play.
    ///
    /// # Errors
    /// The first finding that stops the run, unless the plan skips preflight.
    pub(crate) fn finish(self) -> Result<WeightedSet<(Stream, Selection)>, Failure> {
        match self.failed.first() {
            Some(first) if !self.plan.skip_preflight || self.is_binding => {
                let more = match self.failed.len() {
                    1 => String::new(),
                    all => format!(" (and {} more, see above)", all - 1),
                };
                let what = format!("preflight failed: {}: {}{more}", first.name, first.text);
                Err(Failure::preflight(what).help(first.help.clone()))
            }
            _ => Ok(self.selections),
        }
    }
}

/// The selection if preflight is skipped and the stream could not be inspected.
pub(crate) fn unseen(stream: &Stream) -> Selection {
    Selection {
        url: stream.url.clone(),
        address: stream.address.clone(),
        audio: None,
        // Nothing is known, so the player gets the address as it was given.
        turn: None,
        cookies: None,
        live: true,
        target_duration: stream.target_duration.as_secs_f64(),
    }
}
