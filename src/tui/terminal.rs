//! The screen: shows each new snapshot, hears keys, and follows the terminal's size. What is shown
//! is the caller's ([`Picture`]); a terminal that takes no bytes delays the picture, never the run.

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

use crate::tui::key::{Key, Reply};
use crate::tui::keys::Keys;

/// Frames are at least this far apart, however fast keys and sizes change.
const SPACING: Duration = Duration::from_millis(50);
/// Signals in whose name the run is ended.
const SIGINT: u8 = 2;
const SIGHUP: u8 = 1;

/// What is shown.
pub trait Picture: Send {
    /// A new snapshot is there.
    fn take(&mut self, snapshot: &Arc<Snapshot>);
    /// A key was pressed. A command is the picture's own to pass on.
    fn press(&mut self, key: Key) -> Reply;
    /// The run is being ended.
    fn stopping(&mut self);
    /// Draws all of it.
    fn draw(&mut self, frame: &mut Frame<'_>);
}

/// Shows `picture` until `done`, until the last snapshot, or until the terminal is gone (which
/// ends the run in good order).
pub async fn show(
    screen: Screen,
    mut picture: impl Picture,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    shutdown: Shutdown,
    done: CancellationToken,
) {
    let mut canvas = None;
    let mut keys = Keys::default();
    let mut typed = [0_u8; 256];
    let (mut waiting, mut sent) = (Vec::new(), 0);
    let (mut stale, mut stopping) = (true, false);
    let mut next = Instant::now();
    // A panic elsewhere gives the terminal back behind our back.
    while terminal::is_active() {
        tokio::select! {
            () = done.cancelled() => return,
            () = shutdown.graceful.cancelled(), if !stopping => {
                (stopping, stale) = (true, true);
                picture.stopping();
            }
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                picture.take(&snapshots.borrow_and_update());
                stale = true;
            }
            read = screen.read(&mut typed) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| typed.get(..read)) else {
                    return shutdown.request(SIGHUP);
                };
                keys.feed(bytes, &mut |key| match picture.press(key) {
                    Reply::Nothing => {}
                    Reply::Redraw | Reply::Command(_) => stale = true,
                    Reply::Quit => shutdown.request(SIGINT),
                });
            }
            resized = screen.resized() => {
                if resized.is_err() {
                    return;
                }
                (canvas, stale) = (None, true);
            }
            written = screen.write(waiting.get(sent..).unwrap_or_default()), if sent < waiting.len() => {
                match written {
                    Ok(written) => sent += written,
                    Err(_) => return shutdown.request(SIGHUP),
                }
            }
            () = sleep_until(next), if stale && sent >= waiting.len() => {
                let Ok(bytes) = draw(&mut canvas, &screen, &mut picture) else { return };
                (waiting, sent, stale) = (bytes, 0, false);
                next = Instant::now() + SPACING;
            }
        }
    }
}

/// What is on the screen by now, so that only changes are sent.
struct Canvas {
    terminal: Terminal<CrosstermBackend<Outgoing>>,
    outgoing: Outgoing,
}

fn draw(canvas: &mut Option<Canvas>, screen: &Screen, picture: &mut impl Picture) -> io::Result<Vec<u8>> {
    let canvas = match canvas {
        Some(canvas) => canvas,
        none => none.insert(Canvas::new(screen.size())?),
    };
    canvas.terminal.draw(|frame| picture.draw(frame))?;
    Ok(canvas.outgoing.take())
}

impl Canvas {
    /// A blank one. The size is given, because ratatui would ask the terminal in ways that block.
    fn new((columns, lines): (u16, u16)) -> io::Result<Self> {
        let mut outgoing = Outgoing::default();
        outgoing.write_all(b"\x1b[0m\x1b[2J")?;
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, lines));
        let backend = CrosstermBackend::new(outgoing.clone());
        Ok(Self { terminal: Terminal::with_options(backend, TerminalOptions { viewport })?, outgoing })
    }
}

/// Bytes on their way to the terminal.
#[derive(Clone, Debug, Default)]
struct Outgoing(Arc<Mutex<Vec<u8>>>);

impl Outgoing {
    fn take(&self) -> Vec<u8> {
        self.0.lock().map(|mut bytes| std::mem::take(&mut *bytes)).unwrap_or_default()
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut waiting) = self.0.lock() {
            waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
