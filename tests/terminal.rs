//! The terminal is given back, whatever ends the dashboard: its end, a panic, a closed terminal, a
//! resize storm before. Each case runs this very test program again, on a pseudo-terminal of its own.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::termios::{Termios, tcgetattr};
use ratatui::Frame;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use hls_swarm::tui::key::{Key, Reply};
use hls_swarm::tui::terminal::{Picture, show};
use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal::{Screen, is_active};
use hls_swarm_test_support::recorded;

/// Names the case that the child is to play.
const CASE: &str = "HLS_SWARM_TEST_TERMINAL";
const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?25h\x1b[?1049l";

struct Simple;

impl Picture for Simple {
    fn take(&mut self, _: &Arc<Snapshot>) {}

    fn press(&mut self, key: Key) -> Reply {
        match key {
            Key::Char('q') => Reply::Quit,
            Key::Char('p') => panic!("a defect in the view"),
            _ => Reply::Redraw,
        }
    }

    fn stopping(&mut self) {}

    fn draw(&mut self, frame: &mut Frame<'_>) {
        // As many bytes as there are cells.
        let area = frame.area();
        for position in area.positions() {
            frame.buffer_mut()[position].set_symbol("#");
        }
        let size = format!("{}x{}", frame.area().width, frame.area().height);
        frame.render_widget(ratatui::text::Line::raw(size), frame.area());
    }
}

/// What the child does: shows a dashboard until something happens, then says what it was.
#[test]
fn child() {
    let Ok(case) = std::env::var(CASE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::listen().unwrap();
        let first = Arc::new(recorded::stats(Source::Probe).snapshot(0));
        let (_publish, snapshots) = watch::channel(first);
        let screen = Screen::acquire().unwrap();
        assert!(is_active());
        let done = CancellationToken::new();
        let shown = tokio::spawn(show(screen, Simple, snapshots, shutdown.clone(), done.clone()));
        if case == "panic" {
            assert!(shown.await.unwrap_err().is_panic());
        } else {
            tokio::time::timeout(Duration::from_secs(20), shutdown.graceful.cancelled()).await.unwrap();
            done.cancel();
            shown.await.unwrap();
        }
        assert!(!is_active());
        // A terminal that is gone cannot be told.
        drop(std::io::Write::write_all(
            &mut std::io::stdout(),
            format!("SIGNAL {:?}", shutdown.signal()).as_bytes(),
        ));
        let expected = match case.as_str() {
            "panic" => None,
            "hangup" => Some(1),
            "term" | "stuck" => Some(15),
            _ => Some(2),
        };
        assert_eq!(shutdown.signal(), expected);
    });
}

struct Desk {
    master: File,
    slave: OwnedFd,
    before: Termios,
    child: Child,
    seen: String,
}

impl Desk {
    fn start(case: &str) -> Self {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: openpty writes two descriptors; null pointers mean that nothing else is wanted.
        let made = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        assert_eq!(made, 0);
        // SAFETY: openpty has just made them, and nobody else owns them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        // The child must not hold the master, or closing ours would be no hangup.
        for fd in [master.as_raw_fd(), slave.as_raw_fd()] {
            // SAFETY: sets a flag on a descriptor that is ours.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
        }
        let before = tcgetattr(&slave).unwrap();
        let end = || slave.try_clone().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "terminal::child", "--nocapture", "--test-threads=1"]).env(CASE, case);
        command.env("TERM", "xterm").stdin(end());
        // On a terminal that is gone, or takes nothing, the test harness of the child could not tell its result.
        if matches!(case, "hangup" | "stuck") {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else {
            command.stdout(end()).stderr(end());
        }
        // SAFETY: setsid and ioctl may be called between fork and exec, and nothing else is.
        unsafe {
            command.pre_exec(|| {
                let led = libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0;
                if led { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        Self { master, slave, before, child, seen: String::new() }
    }

    /// Reads until `text` was seen; the child writes a little at a time, so this cannot hang for long.
    fn see(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        let until = Instant::now() + Duration::from_secs(20);
        while !self.seen.contains(text) {
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.seen);
            let mut ready = libc::pollfd { fd: self.master.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, which `ready` is.
            if unsafe { libc::poll(&raw mut ready, 1, 100) } > 0 {
                let read = self.master.read(&mut buffer).unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        }
    }

    fn press(&self, key: &[u8]) {
        std::io::Write::write_all(&mut &self.master, key).unwrap();
    }

    fn resize(&self, columns: u16, lines: u16) {
        let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads one `winsize`, which `size` is.
        assert_eq!(unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
    }

    fn terminate(&self) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: signals our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("the child did not end; it wrote {:?}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_as_before(&self) {
        assert_eq!(tcgetattr(&self.slave).unwrap(), self.before);
        assert!(self.seen.find(ENTERED).unwrap() < self.seen.rfind(LEFT).unwrap(), "{:?}", self.seen);
    }
}

#[test]
fn q_ends_the_run_as_ctrl_c_does() {
    for key in [b"q", b"\x03"] {
        let mut desk = Desk::start("quit");
        desk.see("80x24");
        assert_ne!(tcgetattr(&desk.slave).unwrap(), desk.before, "keys do not come one by one");
        desk.press(key);
        desk.see("SIGNAL Some(2)");
        assert!(desk.end().success());
        desk.is_as_before();
    }
}

#[test]
fn sigterm_ends_it_and_gives_the_terminal_back() {
    let mut desk = Desk::start("term");
    desk.see("80x24");
    desk.terminate();
    desk.see("SIGNAL Some(15)");
    assert!(desk.end().success());
    desk.is_as_before();
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_tells_about_itself() {
    let mut desk = Desk::start("panic");
    desk.see("80x24");
    desk.press(b"p");
    desk.see("SIGNAL None");
    assert!(desk.end().success());
    desk.is_as_before();
    assert!(desk.seen.find(LEFT).unwrap() < desk.seen.find("a defect in the view").unwrap(), "{}", desk.seen);
}

#[test]
fn a_closed_terminal_ends_the_run_in_good_order() {
    let mut desk = Desk::start("hangup");
    desk.see("80x24");
    let Desk { master, slave, mut child, .. } = desk;
    drop((master, slave));
    let until = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the child did not notice that its terminal is gone");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_terminal_that_takes_no_bytes_holds_nothing_up() {
    let mut desk = Desk::start("stuck");
    desk.see("80x24");
    // Nobody reads from here on, and each frame is larger than what the kernel keeps for a terminal.
    for columns in [500, 400, 500] {
        desk.resize(columns, 300);
        std::thread::sleep(Duration::from_millis(150));
    }
    let asked = Instant::now();
    desk.terminate();
    assert!(desk.end().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(tcgetattr(&desk.slave).unwrap(), desk.before);
}

#[test]
fn a_resize_storm_ends_with_the_last_size() {
    let mut desk = Desk::start("quit");
    desk.see("80x24");
    for round in 1..=300_u16 {
        desk.resize(round % 97 + 1, round % 41 + 1);
    }
    desk.resize(123, 45);
    desk.see("123x45");
    desk.press(b"q");
    desk.see("SIGNAL Some(2)");
    assert!(desk.end().success());
    desk.is_as_before();
}
