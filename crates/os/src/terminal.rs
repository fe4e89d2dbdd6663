//! The terminal of the program: acquired for full-screen drawing, and restored whatever happens.
//!
//! It is opened again as /dev/tty, so that non-blocking mode applies to this file description only and not to
//! the processes that share the program's standard streams: a terminal that accepts no bytes (a dead ssh connection)
//! must not stop the run. ISIG stays on: Ctrl+C is a signal here as everywhere.
//!
//! crossterm (0.29) does not replace this. Its `EventStream` reads standard input if that is a terminal, loops
//! forever when the terminal has been closed (its reader retries at the end of the file and on EIO, so that
//! the run could not end), and may start `tput` on each change of size.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};

use nix::sys::termios::{
    FlushArg, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices as Special, Termios, tcflush,
    tcgetattr, tcsetattr,
};
use signal_hook::consts::SIGWINCH;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::shutdown::wake_on;

/// Alternate screen, cursor hidden.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
/// CAN ends an incomplete sequence; then plain text, cursor shown, main screen.
const LEAVE: &[u8] = b"\x18\x1b[0m\x1b[?25h\x1b[?1049l";
/// The longest time to wait for a terminal that accepts no bytes when it is restored, milliseconds.
const RESTORE_TIMEOUT_MS: u8 = 200;

/// The terminal to restore; only one, because a process has one.
static ACQUIRED: Mutex<Option<Acquired>> = Mutex::new(None);
static ACTIVE: AtomicBool = AtomicBool::new(false);

struct Acquired {
    tty: File,
    before: Termios,
}

/// Whether the program draws on the screen now, so that nothing else may write to the terminal.
#[must_use]
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Acquire)
}

/// Whether standard output and standard error are terminals that can position a cursor.
#[must_use]
pub fn is_suitable() -> bool {
    let able = std::env::var("TERM").is_ok_and(|term| !matches!(term.as_str(), "" | "dumb"));
    able && io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// The acquired screen. Dropping it restores the terminal, and so does a panic.
#[derive(Debug)]
pub struct Screen {
    tty: AsyncFd<File>,
    resizes: UnixStream,
}

impl Screen {
    /// Acquires the terminal. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// There is no terminal, the program runs in the background, or the operating system refuses.
    pub fn acquire() -> io::Result<Self> {
        let tty = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open("/dev/tty")?;
        if !in_foreground(&tty) {
            return Err(io::Error::other("the program runs in the background"));
        }
        let before = tcgetattr(&tty)?;
        let resizes = wake_on(SIGWINCH)?;
        let spare = tty.try_clone()?;
        // SAFETY: the file owns an open descriptor, which is neither closed nor replaced meanwhile.
        let tty = unsafe { AsyncFd::register(tty) }.map_err(io::Error::from)?;
        let screen = Self { tty, resizes };
        restore_on_panic();
        if let Ok(mut acquired) = ACQUIRED.lock() {
            *acquired = Some(Acquired { tty: spare, before: before.clone() });
        }
        ACTIVE.store(true, Ordering::Release);
        // From here on, a failure drops `screen`, which restores the terminal.
        tcsetattr(screen.tty.get_ref(), SetArg::TCSANOW, &key_by_key(before))?;
        write_all(screen.tty.get_ref(), ENTER);
        Ok(screen)
    }

    /// Returns the number of columns and lines; at least one of each.
    #[must_use]
    pub fn size(&self) -> (u16, u16) {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and TIOCGWINSZ writes one `winsize`, which `size` is.
        let result = unsafe { nix::libc::ioctl(self.tty.as_raw_fd(), nix::libc::TIOCGWINSZ, &raw mut size) };
        // A serial line has no size; the classic one is assumed.
        if result != 0 || size.ws_col == 0 || size.ws_row == 0 {
            (80, 24)
        } else {
            (size.ws_col, size.ws_row)
        }
    }

    /// Reads what was typed; 0 = the terminal has been closed.
    ///
    /// # Errors
    /// The terminal has been closed.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.tty.readable().await?;
            if let Ok(read) = ready.try_io(|tty| tty.get_ref().read(buffer)) {
                return read;
            }
        }
    }

    /// Writes some of `bytes` when the terminal accepts them; returns how many.
    ///
    /// # Errors
    /// The terminal has been closed.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.tty.writable().await?;
            if let Ok(written) = ready.try_io(|tty| tty.get_ref().write(bytes)) {
                return written;
            }
        }
    }

    /// Waits for a change of size; several pending changes count as one.
    ///
    /// # Errors
    /// The error of the operating system.
    pub async fn resized(&self) -> io::Result<()> {
        let mut buffer = [0_u8; 64];
        loop {
            self.resizes.readable().await?;
            match self.resizes.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal; a second call does nothing.
pub(crate) fn restore() {
    // While the lock is held, another thread restores the terminal already, or has not acquired it yet.
    let Some(Acquired { tty, before }) = ACQUIRED.try_lock().ok().and_then(|mut acquired| acquired.take())
    else {
        return;
    };
    write_all(&tty, LEAVE);
    // A background job would be stopped by SIGTTOU; its shell has set the terminal up again.
    if in_foreground(&tty) {
        // Not TCSADRAIN, which waits forever on a dead terminal. Keys that were typed for the dashboard are
        // not for the shell. Both fail if the terminal has been closed, which is harmless.
        let _ = tcsetattr(&tty, SetArg::TCSANOW, &before);
        let _ = tcflush(&tty, FlushArg::TCIFLUSH);
    }
    ACTIVE.store(false, Ordering::Release);
}

/// Restores the screen before the message of a panic is printed, so that it can be read.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print_panic = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            print_panic(panic);
        }));
    });
}

fn in_foreground(tty: &File) -> bool {
    nix::unistd::tcgetpgrp(tty) == Ok(nix::unistd::getpgrp())
}

/// Turns off echo and line editing, so that keys arrive one by one; Ctrl+C is a signal, Ctrl+S and Ctrl+Z do
/// nothing.
fn key_by_key(mut termios: Termios) -> Termios {
    termios.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
    termios.local_flags.insert(LocalFlags::ISIG);
    termios.input_flags.remove(InputFlags::IXON | InputFlags::ICRNL);
    let set = [
        (Special::VMIN, 1),
        (Special::VTIME, 0),
        // A stopped program would leave its viewers running behind a screen that is no longer updated.
        (Special::VSUSP, nix::libc::_POSIX_VDISABLE),
        (Special::VQUIT, nix::libc::_POSIX_VDISABLE),
    ];
    for (index, value) in set {
        if let Some(character) = termios.control_chars.get_mut(index as usize) {
            *character = value;
        }
    }
    termios
}

/// Writes all of `bytes`, unless the terminal has been closed or accepts nothing for a while.
fn write_all(mut tty: &File, mut bytes: &[u8]) {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    while !bytes.is_empty() {
        match tty.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(tty.as_fd(), PollFlags::POLLOUT)];
                if !matches!(poll(&mut ready, PollTimeout::from(RESTORE_TIMEOUT_MS)), Ok(1..)) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
