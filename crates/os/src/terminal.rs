//! The terminal of the program: taken for full-screen drawing, and given back whatever happens.
//!
//! It is opened anew as /dev/tty, so that "does not block" holds for us and for nobody who shares
//! our standard streams: a terminal that takes no bytes (a dead ssh) must not stop the run.
//! ISIG stays on: Ctrl+C is a signal here as everywhere.

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
/// CAN ends a sequence that was cut off; then plain text, cursor shown, main screen.
const LEAVE: &[u8] = b"\x18\x1b[0m\x1b[?25h\x1b[?1049l";
/// How long a terminal that takes no bytes is waited for when it is given back, milliseconds.
const LAST_WORDS_MS: u8 = 200;

/// What has to be given back; of one terminal, because a process has one.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);
static UP: AtomicBool = AtomicBool::new(false);

struct Taken {
    tty: File,
    before: Termios,
}

/// Whether the screen is ours now, so that nobody else may write to the terminal.
#[must_use]
pub fn is_up() -> bool {
    UP.load(Ordering::Acquire)
}

/// Whether standard output and standard error are terminals that can place a cursor.
#[must_use]
pub fn is_fit() -> bool {
    let able = std::env::var("TERM").is_ok_and(|term| !matches!(term.as_str(), "" | "dumb"));
    able && io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// The screen, while it is ours. Dropping it gives the terminal back, and so does a panic.
#[derive(Debug)]
pub struct Screen {
    tty: AsyncFd<File>,
    resizes: UnixStream,
}

impl Screen {
    /// Takes the terminal. Needs a running tokio runtime.
    ///
    /// # Errors
    /// There is no terminal, another job has it, or it refuses.
    pub fn take() -> io::Result<Self> {
        let tty = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open("/dev/tty")?;
        if !in_front(&tty) {
            return Err(io::Error::other("the program runs in the background"));
        }
        let before = tcgetattr(&tty)?;
        let resizes = wake_on(SIGWINCH)?;
        let spare = tty.try_clone()?;
        // SAFETY: the file owns an open descriptor, and nobody closes or replaces it meanwhile.
        let tty = unsafe { AsyncFd::register(tty) }.map_err(io::Error::from)?;
        let screen = Self { tty, resizes };
        give_back_on_panic();
        if let Ok(mut taken) = TAKEN.lock() {
            *taken = Some(Taken { tty: spare, before: before.clone() });
        }
        UP.store(true, Ordering::Release);
        // From here on a failure drops `screen`, which gives back what was taken.
        tcsetattr(screen.tty.get_ref(), SetArg::TCSANOW, &for_keys(before))?;
        insist(screen.tty.get_ref(), ENTER);
        Ok(screen)
    }

    /// Columns and lines; at least one of each.
    #[must_use]
    pub fn size(&self) -> (u16, u16) {
        let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and TIOCGWINSZ writes one `winsize`, which `size` is.
        let told = unsafe { nix::libc::ioctl(self.tty.as_raw_fd(), nix::libc::TIOCGWINSZ, &raw mut size) };
        // A serial line does not know its size; it is the classic one then.
        if told != 0 || size.ws_col == 0 || size.ws_row == 0 { (80, 24) } else { (size.ws_col, size.ws_row) }
    }

    /// Reads what was typed; 0 = the terminal is gone.
    ///
    /// # Errors
    /// The terminal is gone, too.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.tty.readable().await?;
            if let Ok(read) = ready.try_io(|tty| tty.get_ref().read(buffer)) {
                return read;
            }
        }
    }

    /// Writes some of `bytes` when the terminal takes them; returns how many.
    ///
    /// # Errors
    /// The terminal is gone.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.tty.writable().await?;
            if let Ok(written) = ready.try_io(|tty| tty.get_ref().write(bytes)) {
                return written;
            }
        }
    }

    /// Waits for a change of size; several at once are one.
    ///
    /// # Errors
    /// The operating system refuses to tell.
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
        give_back();
    }
}

/// Gives the terminal back as it was; the second call finds nothing to do.
fn give_back() {
    // Whoever holds the lock is giving back already, or has not yet taken.
    let Some(Taken { tty, before }) = TAKEN.try_lock().ok().and_then(|mut taken| taken.take()) else {
        return;
    };
    insist(&tty, LEAVE);
    // A job in the background would be stopped by SIGTTOU; its shell has set the terminal up anew.
    if in_front(&tty) {
        // Not "when all is written": a dead terminal never gets there. Keys that were typed for
        // the dashboard are not for the shell. A terminal that is gone needs neither.
        let _ = tcsetattr(&tty, SetArg::TCSANOW, &before);
        let _ = tcflush(&tty, FlushArg::TCIFLUSH);
    }
    UP.store(false, Ordering::Release);
}

/// Before a panic tells about itself, the screen is given back, or nobody could read it.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}

fn in_front(tty: &File) -> bool {
    nix::unistd::tcgetpgrp(tty) == Ok(nix::unistd::getpgrp())
}

/// No echo, no lines; keys one by one as they come, Ctrl+C as a signal, Ctrl+S and Ctrl+Z nothing.
fn for_keys(mut termios: Termios) -> Termios {
    termios.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
    termios.local_flags.insert(LocalFlags::ISIG);
    termios.input_flags.remove(InputFlags::IXON | InputFlags::ICRNL);
    let set = [
        (Special::VMIN, 1),
        (Special::VTIME, 0),
        // A stopped program would leave its viewers running on a screen that nobody redraws.
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

/// Writes all of `bytes`, unless the terminal is gone or takes nothing for a while.
fn insist(mut tty: &File, mut bytes: &[u8]) {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    while !bytes.is_empty() {
        match tty.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(tty.as_fd(), PollFlags::POLLOUT)];
                if !matches!(poll(&mut ready, PollTimeout::from(LAST_WORDS_MS)), Ok(1..)) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
