//! The monitor of a player whose output format is unknown: keeps the line that explains best why the player ended.

use std::time::Duration;

use hls_swarm_model::event::Event;

use crate::engine::process::Monitor;

/// Longest line that is kept, bytes.
const LINE_BYTES: usize = 300;

/// The monitor of one process.
#[derive(Debug, Default)]
pub(crate) struct CommandMonitor {
    line: Vec<u8>,
    last: Option<String>,
    /// The first line that mentions an error.
    error: Option<String>,
    events: Vec<Event>,
}

impl CommandMonitor {
    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        if text.is_empty() {
            return;
        }
        if self.error.is_none() && text.to_lowercase().contains("error") {
            self.error = Some(text.clone());
        }
        self.last = Some(text);
    }
}

impl Monitor for CommandMonitor {
    const PLAYER: &'static str = "the player";

    fn stdout(&mut self, _bytes: &[u8]) {}

    fn stderr(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() < LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn tick(&mut self) -> bool {
        false
    }

    fn stopping(&mut self) {}

    fn finish(&mut self) {
        self.end_line();
    }

    fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// Always true: only the exit status shows whether the player worked.
    fn has_played(&self) -> bool {
        true
    }

    fn media(&self) -> Option<Duration> {
        None
    }

    fn last_error(&self) -> Option<&str> {
        self.error.as_deref().or(self.last.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_error(portions: &[&str]) -> Option<String> {
        let mut monitor = CommandMonitor::default();
        portions.iter().for_each(|portion| monitor.stderr(portion.as_bytes()));
        monitor.finish();
        monitor.last_error().map(str::to_owned)
    }

    #[test]
    fn the_first_error_is_preferred_to_the_last_line() {
        assert_eq!(
            last_error(&["hello\n", "ERROR: no ro", "ute\nbye\n"]).as_deref(),
            Some("ERROR: no route")
        );
        assert_eq!(last_error(&["hello\nbye"]).as_deref(), Some("bye"));
        assert_eq!(last_error(&["\n  \r\n"]), None);
    }

    #[test]
    fn a_line_without_an_end_takes_little_memory() {
        let mut monitor = CommandMonitor::default();
        (0..1000).for_each(|_| monitor.stderr(&[b'x'; 4096]));
        monitor.finish();
        assert_eq!(monitor.last_error().unwrap().len(), LINE_BYTES);
    }
}
