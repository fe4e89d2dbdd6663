//! The wiring of the live dashboard: whether there is one, and what ties its state, its view, the log
//! and the terminal together.

pub mod key;
pub mod keys;
pub mod terminal;
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
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal::Screen;

use crate::config::plan::Plan;
use crate::tui::key::{Key, Reply};
use crate::tui::terminal::{Picture, show};
use crate::tui::view::state::State;
use crate::tui::view::style::Look;

/// A dashboard that can be opened: it was not declined, and the terminal is fit for it.
#[derive(Debug, Default)]
pub struct Stage {
    log: Recent,
}

impl Stage {
    /// `None`: log lines instead.
    #[must_use]
    pub fn choose(plan: &Plan) -> Option<Self> {
        (plan.results.dashboard && hls_swarm_os::terminal::is_suitable()).then(Self::default)
    }

    /// Where log lines are to go so that the dashboard can show them.
    #[must_use]
    pub fn log(&self) -> Recent {
        self.log.clone()
    }

    /// Takes the screen and shows the run on it. A terminal that refuses is told in the log, and
    /// log lines it is then.
    #[must_use]
    pub fn open(
        self,
        run: &Run,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        hands: mpsc::Sender<Command>,
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
        let look = Look { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
        let picture = Dashboard { state: State::default(), run: run.clone(), log: self.log, look, hands };
        Some(tokio::spawn(show(screen, picture, snapshots, shutdown, done)))
    }
}

/// Waits until the screen is given back, and lets the log lines follow that were held back.
pub async fn close(screen: JoinHandle<()>) {
    let shown = screen.await;
    lines::release();
    if let Err(error) = shown {
        tracing::error!(%error, "the dashboard broke off");
    }
}

struct Dashboard {
    state: State,
    run: Run,
    log: Recent,
    look: Look,
    hands: mpsc::Sender<Command>,
}

impl Picture for Dashboard {
    fn take(&mut self, snapshot: &Arc<Snapshot>) {
        self.state.take(Arc::clone(snapshot));
    }

    fn press(&mut self, key: Key) -> Reply {
        let reply = self.state.press(key);
        if let Reply::Command(command) = reply {
            // Whoever holds a key down faster than the run can follow is not served more slowly for it.
            let _ = self.hands.try_send(command);
        }
        reply
    }

    fn stopping(&mut self) {
        self.state.stopping = true;
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        self.state.log(self.log.lines());
        view::draw(frame, &self.state, &self.run, self.look);
    }
}
