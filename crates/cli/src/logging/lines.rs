//! The destination of log lines: standard error, except while the dashboard has the screen. Then they are
//! held back (a bounded number of them) and follow when the screen is free again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hls_swarm_os::{secrets, terminal};

/// The number of lines that are kept; older ones are dropped.
const MAX_LINES: usize = 500;

/// Lines that cannot be written to standard error now, as they are to be written there.
static HELD: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());

/// Writes one log line per [`Write::write`], which is how `tracing` writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = shown(bytes);
        if !terminal::is_active() {
            release();
            return io::stderr().write_all(&line).map(|()| bytes.len());
        }
        if let Ok(mut held) = HELD.lock() {
            keep(&mut held, line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes the lines that were held back while the dashboard had the screen.
pub fn release() {
    let held = HELD.lock().map(|mut held| std::mem::take(&mut *held)).unwrap_or_default();
    for line in held {
        // The reader may be gone; then the lines are lost.
        drop(io::stderr().write_all(&line));
    }
}

/// The last lines as plain text, for the dashboard's page.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Arc<str>>>>);

impl Recent {
    /// The lines, oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<Arc<str>> {
        self.0.lock().map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Write for Recent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut lines) = self.0.lock() {
            keep(&mut lines, String::from_utf8_lossy(&shown(bytes)).trim_end().into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line without secrets.
fn shown(bytes: &[u8]) -> Vec<u8> {
    secrets::redact(&String::from_utf8_lossy(bytes)).into_owned().into_bytes()
}

fn keep<T>(lines: &mut VecDeque<T>, line: T) {
    if lines.len() >= MAX_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_lines_are_bounded_and_plain() {
        let mut recent = Recent::default();
        for number in 0..MAX_LINES + 3 {
            recent.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        recent.write_all(b"last\n").unwrap();
        let lines = recent.lines();
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(&*lines[MAX_LINES - 1], "last");
        assert_eq!(&*lines[MAX_LINES - 2], format!("line {}", MAX_LINES + 2));
    }
}
