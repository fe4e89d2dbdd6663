//! The event loop of the dashboard: draws each new snapshot, reads keys, and follows the size of the terminal.
//!
//! The caller decides what is drawn ([`View`]). A terminal that accepts no bytes delays frames, never the run.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal::{self, Screen};

use crate::tui::input::{Key, KeyParser};
use crate::tui::view::state::Action;

/// Shortest time between two frames, however fast keys and sizes change.
const FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// Signals that a key and the loss of the terminal stand for.
const SIGINT: u8 = 2;
const SIGHUP: u8 = 1;

/// A view that the event loop shows.
pub trait View: Send {
    /// Replaces the snapshot to show.
    fn update(&mut self, snapshot: &Arc<Snapshot>);
    /// Handles a key. The view itself passes on a command.
    fn press(&mut self, key: Key) -> Action;
    /// Shows that the run is being stopped.
    fn stopping(&mut self);
    /// Draws a whole frame.
    fn draw(&mut self, frame: &mut Frame<'_>);
}

/// Shows `view` until `done`, until the last snapshot, or until the terminal has been closed (which stops the
/// run gracefully).
pub async fn run(
    screen: Screen,
    mut view: impl View,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    shutdown: Shutdown,
    done: CancellationToken,
) {
    let mut canvas = None;
    let mut parser = KeyParser::default();
    let mut typed = [0_u8; 256];
    let (mut pending, mut sent) = (Vec::new(), 0);
    let (mut outdated, mut stopping) = (true, false);
    let mut next = Instant::now();
    // A panic in another task restores the terminal.
    while terminal::is_active() {
        tokio::select! {
            () = done.cancelled() => return,
            () = shutdown.graceful.cancelled(), if !stopping => {
                (stopping, outdated) = (true, true);
                view.stopping();
            }
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                view.update(&snapshots.borrow_and_update());
                outdated = true;
            }
            read = screen.read(&mut typed) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| typed.get(..read)) else {
                    return shutdown.request(SIGHUP);
                };
                parser.feed(bytes, &mut |key| match view.press(key) {
                    Action::Nothing => {}
                    Action::Redraw | Action::Command(_) => outdated = true,
                    Action::Quit => shutdown.request(SIGINT),
                });
            }
            resized = screen.resized() => {
                if resized.is_err() {
                    return;
                }
                (canvas, outdated) = (None, true);
            }
            written = screen.write(pending.get(sent..).unwrap_or_default()), if sent < pending.len() => {
                match written {
                    Ok(written) => sent += written,
                    Err(_) => return shutdown.request(SIGHUP),
                }
            }
            () = sleep_until(next), if outdated && sent >= pending.len() => {
                let Ok(bytes) = draw(&mut canvas, &screen, &mut view) else { return };
                (pending, sent, outdated) = (bytes, 0, false);
                next = Instant::now() + FRAME_INTERVAL;
            }
        }
    }
}

/// The current content of the screen, so that only changes are sent.
struct Canvas {
    terminal: Terminal<CrosstermBackend<Outgoing>>,
    outgoing: Outgoing,
}

fn draw(canvas: &mut Option<Canvas>, screen: &Screen, view: &mut impl View) -> io::Result<Vec<u8>> {
    let canvas = match canvas {
        Some(canvas) => canvas,
        none => none.insert(Canvas::new(screen.size())?),
    };
    canvas.terminal.draw(|frame| view.draw(frame))?;
    Ok(canvas.outgoing.take())
}

impl Canvas {
    /// Returns a blank canvas. The size is fixed, because ratatui would query the terminal in ways that block.
    fn new((columns, lines): (u16, u16)) -> io::Result<Self> {
        let mut outgoing = Outgoing::default();
        outgoing.write_all(b"\x1b[0m\x1b[2J")?;
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, lines));
        let backend = CrosstermBackend::new(outgoing.clone());
        Ok(Self { terminal: Terminal::with_options(backend, TerminalOptions { viewport })?, outgoing })
    }
}

/// Bytes that wait to be written to the terminal.
#[derive(Clone, Debug, Default)]
struct Outgoing(Arc<Mutex<Vec<u8>>>);

impl Outgoing {
    fn take(&self) -> Vec<u8> {
        self.0.lock().map(|mut bytes| std::mem::take(&mut *bytes)).unwrap_or_default()
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut pending) = self.0.lock() {
            pending.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
