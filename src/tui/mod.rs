//! The live dashboard: whether it is shown, and the connection between its state, its view, the log and the
//! terminal.

pub mod event_loop;
pub mod input;
pub mod view;

use std::sync::Arc;

use ratatui::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use hls_swarm_cli::logging::lines::{self, Recent};
use hls_swarm_model::command::Command;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::threshold::Threshold;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal::Screen;

use crate::config::plan::Plan;
use crate::tui::event_loop::View;
use crate::tui::input::Key;
use crate::tui::view::state::{Action, State};
use crate::tui::view::style::Theme;

/// A dashboard that can be shown: it is not turned off, and the terminal is suitable.
#[derive(Debug, Default)]
pub struct Tui {
    log: Recent,
}

impl Tui {
    /// Returns the dashboard, or `None` if log lines are to be printed instead.
    #[must_use]
    pub fn for_plan(plan: &Plan) -> Option<Self> {
        (plan.results.dashboard && hls_swarm_os::terminal::is_suitable()).then(Self::default)
    }

    /// Returns the buffer for log lines that the dashboard shows.
    #[must_use]
    pub fn log(&self) -> Recent {
        self.log.clone()
    }

    /// Acquires the screen and shows the run on it. If the terminal refuses, the reason is logged, and log
    /// lines are printed instead.
    #[must_use]
    pub fn start(
        self,
        run: &Run,
        thresholds: Vec<Threshold>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        commands: mpsc::Sender<Command>,
        shutdown: Shutdown,
        done: CancellationToken,
    ) -> Option<JoinHandle<()>> {
        let screen = match Screen::acquire() {
            Ok(screen) => screen,
            Err(error) => {
                tracing::info!("no dashboard: {error}");
                return None;
            }
        };
        let theme = Theme { color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
        let mut state = State::default();
        state.thresholds = thresholds;
        let view = Dashboard { state, run: run.clone(), log: self.log, theme, commands };
        Some(tokio::spawn(event_loop::run(screen, view, snapshots, shutdown, done)))
    }
}

/// Waits until the screen is restored, then prints the log lines that were held back.
pub async fn finish(dashboard: JoinHandle<()>) {
    let outcome = dashboard.await;
    lines::release();
    if let Err(error) = outcome {
        tracing::error!(%error, "the dashboard failed");
    }
}

struct Dashboard {
    state: State,
    run: Run,
    log: Recent,
    theme: Theme,
    commands: mpsc::Sender<Command>,
}

impl View for Dashboard {
    fn update(&mut self, snapshot: &Arc<Snapshot>) {
        self.state.update(Arc::clone(snapshot));
    }

    fn press(&mut self, key: Key) -> Action {
        let action = self.state.press(key);
        if let Action::Command(command) = action {
            // A key that repeats faster than the run can follow must not block the event loop.
            let _ = self.commands.try_send(command);
        }
        action
    }

    fn stopping(&mut self) {
        self.state.stopping = true;
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        self.state.set_log(self.log.lines());
        view::draw(frame, &self.state, &self.run, self.theme);
    }
}
