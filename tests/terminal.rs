//! Tests that the terminal is restored, whatever ends the dashboard: its normal end, a panic, a closed terminal,
//! or many resizes before. Each case runs this test program again, on a pseudo-terminal of its own.

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

use hls_swarm::tui::event_loop::{self, View};
use hls_swarm::tui::input::Key;
use hls_swarm::tui::view::state::Action;
use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal::{Screen, is_active};
use hls_swarm_test_support::recorded;

/// Names the case that the child runs.
const CASE: &str = "HLS_SWARM_TEST_TERMINAL";
const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?25h\x1b[?1049l";

struct Simple;

impl View for Simple {
    fn update(&mut self, _: &Arc<Snapshot>) {}

    fn press(&mut self, key: Key) -> Action {
        match key {
            Key::Char('q') => Action::Quit,
            Key::Char('p') => panic!("a defect in the view"),
            _ => Action::Redraw,
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

/// The child: shows a dashboard until it ends, then prints the signal.
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
        let shown = tokio::spawn(event_loop::run(screen, Simple, snapshots, shutdown.clone(), done.clone()));
        if case == "panic" {
            assert!(shown.await.unwrap_err().is_panic());
        } else {
            tokio::time::timeout(Duration::from_secs(20), shutdown.graceful.cancelled()).await.unwrap();
            done.cancel();
            shown.await.unwrap();
        }
        assert!(!is_active());
        // Fails if the terminal has been closed.
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

struct PseudoTerminal {
    controller: File,
    slave: OwnedFd,
    before: Termios,
    child: Child,
    seen: String,
}

impl PseudoTerminal {
    fn start(case: &str) -> Self {
        let (mut controller, mut slave) = (0, 0);
        // SAFETY: openpty writes two descriptors; null pointers mean that nothing else is wanted.
        let made = unsafe {
            libc::openpty(
                &raw mut controller,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        assert_eq!(made, 0);
        // SAFETY: openpty has just made them, and nothing else owns them.
        let (controller, slave) = unsafe { (File::from_raw_fd(controller), OwnedFd::from_raw_fd(slave)) };
        // The child must not hold the controlling side, or closing ours would not cause a hangup.
        for fd in [controller.as_raw_fd(), slave.as_raw_fd()] {
            // SAFETY: sets a flag on a descriptor that is ours.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
        }
        let before = tcgetattr(&slave).unwrap();
        let end = || slave.try_clone().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "terminal::child", "--nocapture", "--test-threads=1"]).env(CASE, case);
        command.env("TERM", "xterm").stdin(end());
        // The test harness of the child cannot print its result to a closed terminal or one that is not read.
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
        Self { controller, slave, before, child, seen: String::new() }
    }

    /// Reads until `text` appears.
    fn see(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        let until = Instant::now() + Duration::from_secs(20);
        while !self.seen.contains(text) {
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.seen);
            let mut ready =
                libc::pollfd { fd: self.controller.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, which `ready` is.
            if unsafe { libc::poll(&raw mut ready, 1, 100) } > 0 {
                let read = self.controller.read(&mut buffer).unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        }
    }

    fn press(&self, key: &[u8]) {
        std::io::Write::write_all(&mut &self.controller, key).unwrap();
    }

    fn resize(&self, columns: u16, lines: u16) {
        let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads one `winsize`, which `size` is.
        assert_eq!(unsafe { libc::ioctl(self.controller.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
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

    fn assert_restored(&self) {
        assert_eq!(tcgetattr(&self.slave).unwrap(), self.before);
        assert!(self.seen.find(ENTERED).unwrap() < self.seen.rfind(LEFT).unwrap(), "{:?}", self.seen);
    }
}

#[test]
fn q_ends_the_run_as_ctrl_c_does() {
    for key in [b"q", b"\x03"] {
        let mut terminal = PseudoTerminal::start("quit");
        terminal.see("80x24");
        assert_ne!(tcgetattr(&terminal.slave).unwrap(), terminal.before, "keys do not come one by one");
        terminal.press(key);
        terminal.see("SIGNAL Some(2)");
        assert!(terminal.end().success());
        terminal.assert_restored();
    }
}

#[test]
fn sigterm_ends_the_dashboard_and_restores_the_terminal() {
    let mut terminal = PseudoTerminal::start("term");
    terminal.see("80x24");
    terminal.terminate();
    terminal.see("SIGNAL Some(15)");
    assert!(terminal.end().success());
    terminal.assert_restored();
}

#[test]
fn a_panic_restores_the_terminal_before_it_prints_its_message() {
    let mut terminal = PseudoTerminal::start("panic");
    terminal.see("80x24");
    terminal.press(b"p");
    terminal.see("SIGNAL None");
    assert!(terminal.end().success());
    terminal.assert_restored();
    assert!(
        terminal.seen.find(LEFT).unwrap() < terminal.seen.find("a defect in the view").unwrap(),
        "{}",
        terminal.seen
    );
}

#[test]
fn a_closed_terminal_ends_the_run_gracefully() {
    let mut terminal = PseudoTerminal::start("hangup");
    terminal.see("80x24");
    let PseudoTerminal { controller, slave, mut child, .. } = terminal;
    drop((controller, slave));
    let until = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the child did not notice that its terminal was closed");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_terminal_that_accepts_no_bytes_does_not_delay_the_end() {
    let mut terminal = PseudoTerminal::start("stuck");
    terminal.see("80x24");
    // The output is not read from here on, and each frame is larger than the kernel's buffer of a terminal.
    for columns in [500, 400, 500] {
        terminal.resize(columns, 300);
        std::thread::sleep(Duration::from_millis(150));
    }
    let terminated = Instant::now();
    terminal.terminate();
    assert!(terminal.end().success());
    assert!(terminated.elapsed() < Duration::from_secs(5), "{:?}", terminated.elapsed());
    assert_eq!(tcgetattr(&terminal.slave).unwrap(), terminal.before);
}

#[test]
fn the_last_of_many_resizes_is_shown() {
    let mut terminal = PseudoTerminal::start("quit");
    terminal.see("80x24");
    for round in 1..=300_u16 {
        terminal.resize(round % 97 + 1, round % 41 + 1);
    }
    terminal.resize(123, 45);
    terminal.see("123x45");
    terminal.press(b"q");
    terminal.see("SIGNAL Some(2)");
    assert!(terminal.end().success());
    terminal.assert_restored();
}
