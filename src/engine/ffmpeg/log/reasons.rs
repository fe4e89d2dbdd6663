//! The reasons of one viewer in bounded memory: the first ones, the last ones, and how often each.

use std::collections::VecDeque;

use super::line::{Kind, Level, Line};
use super::reason::reason;

/// Longest example line, bytes.
const MAX_EXAMPLE_BYTES: usize = 400;

/// A reason, how often it occurred, and the first line that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The reduced text; equal for equal causes.
    pub text: String,
    /// The first line that gave this reason, as FFmpeg wrote it (cut if it is long).
    pub example: String,
    /// The level of the first line.
    pub level: Option<Level>,
    /// Number of lines that gave this reason. A reason that recurs after it was discarded is counted from 1 again.
    pub count: u64,
    /// When the first such line was received, nanoseconds.
    pub first_ns: u64,
    /// When the newest such line was received, nanoseconds.
    pub last_ns: u64,
    // Order of the newest line among all reason lines.
    newest: u64,
}

/// Keeps the first few and the last few different reasons, however many lines the log has.
#[derive(Debug)]
pub struct Reasons {
    first: Vec<Reason>,
    first_max: usize,
    last: VecDeque<Reason>,
    last_max: usize,
    lines: u64,
    forgotten: u64,
    // A flood is nearly always the same line again: comparing with the previous line avoids reducing it.
    previous: Option<(String, Option<String>)>,
}

impl Reasons {
    /// Keeps `first_max` reasons from the beginning and `last_max` (at least one) from the end.
    #[must_use]
    pub fn new(first_max: usize, last_max: usize) -> Self {
        Self {
            first: Vec::new(),
            first_max,
            last: VecDeque::new(),
            last_max: last_max.max(1),
            lines: 0,
            forgotten: 0,
            previous: None,
        }
    }

    /// Takes the next line of the log.
    pub fn line(&mut self, line: &Line<'_>) {
        let low = line.level.is_some_and(|level| level > Level::Warning);
        if low || matches!(line.kind, Kind::Status | Kind::RequestHeader) {
            return;
        }
        // The whole line is compared, because the reason depends on its context.
        let text = match &self.previous {
            Some((whole, text)) if whole == line.whole => text.clone(),
            _ => {
                let text = reason(line);
                self.previous = Some((line.whole.to_owned(), text.clone()));
                text
            }
        };
        if let Some(text) = text {
            self.count(text, line);
        }
    }

    fn count(&mut self, text: String, line: &Line<'_>) {
        self.lines = self.lines.saturating_add(1);
        let newest = self.lines;
        // The newest reasons are searched first, because a flood repeats them.
        let known = self.last.iter_mut().rev().chain(self.first.iter_mut()).find(|known| known.text == text);
        if let Some(known) = known {
            known.count = known.count.saturating_add(1);
            known.last_ns = line.at_ns;
            known.newest = newest;
            return;
        }
        let example = line.whole.char_indices().take_while(|(at, _)| *at < MAX_EXAMPLE_BYTES);
        let reason = Reason {
            text,
            example: example.map(|(_, c)| c).collect(),
            level: line.level,
            count: 1,
            first_ns: line.at_ns,
            last_ns: line.at_ns,
            newest,
        };
        if self.first.len() < self.first_max {
            self.first.push(reason);
            return;
        }
        self.last.push_back(reason);
        if self.last.len() > self.last_max {
            // The reason that has not occurred for the longest time is discarded.
            let oldest = self.last.iter().enumerate().min_by_key(|(_, reason)| reason.newest);
            if let Some(gone) = oldest.map(|(index, _)| index).and_then(|index| self.last.remove(index)) {
                self.forgotten = self.forgotten.saturating_add(gone.count);
            }
        }
    }

    /// All reasons that are kept: the first ones, then the last ones, each in order of appearance.
    pub fn iter(&self) -> impl Iterator<Item = &Reason> {
        self.first.iter().chain(&self.last)
    }

    /// Number of lines that gave a reason.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Number of these lines whose reason was not kept.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The reason that explains best why FFmpeg ended: the newest error that names a cause, else the newest general error,
    /// else the newest warning.
    #[must_use]
    pub fn cause(&self) -> Option<&Reason> {
        self.iter().max_by_key(|reason| (weight(reason), reason.newest))
    }
}

/// Warnings after which FFmpeg continues; they hardly ever explain why it ended.
const SURVIVED: &[&str] =
    &["Packet corrupt", "PES packet size mismatch", "keepalive request failed", "Will reconnect"];
/// Errors that only repeat that something else failed.
const ECHOES: &[&str] = &["Error opening input: Option not found", "Error opening input: Input/output error"];
/// An error that names the place and not the cause; from 6.1 on, FFmpeg usually logs the cause before it.
const WHERE: &str = "Error when loading first segment";

fn weight(reason: &Reason) -> u8 {
    let text = reason.text.as_str();
    match reason.level {
        Some(Level::Warning) if SURVIVED.iter().any(|start| text.starts_with(start)) => 0,
        Some(Level::Warning) => 1,
        _ if ECHOES.contains(&text) => 2,
        _ if text.starts_with(WHERE) => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Splitter;
    use super::*;

    fn of(text: &str) -> Reasons {
        let (mut splitter, mut reasons) = (Splitter::new(), Reasons::new(2, 2));
        splitter.feed(5, text.as_bytes(), &mut |line| reasons.line(&line));
        splitter.finish(&mut |line| reasons.line(&line));
        reasons
    }

    #[test]
    fn the_first_and_the_last_reasons_are_kept() {
        let reasons = of("[error] a\n[error] b\n[error] c\n[error] d\n[error] a\n[error] c\n[error] e\n");
        let kept = reasons.iter().map(|reason| (reason.text.as_str(), reason.count)).collect::<Vec<_>>();
        assert_eq!(kept, [("a", 2), ("b", 1), ("c", 2), ("e", 1)]);
        assert_eq!((reasons.lines(), reasons.forgotten()), (7, 1));
        assert_eq!(reasons.cause().unwrap().text, "e");
    }

    #[test]
    fn a_repeated_error_is_not_the_cause() {
        let reasons = of("[tls @ 0x1] [error] Peer certificate failed verification\n\
            [in#0 @ 0x1] [error] Error opening input: Input/output error\n\
            [error] Error opening input file https://a/b.m3u8.\n");
        let cause = reasons.cause().unwrap();
        assert_eq!(cause.text, "Peer certificate failed verification");
        assert_eq!(cause.example, "[tls @ 0x1] [error] Peer certificate failed verification");
    }

    #[test]
    fn a_named_cause_is_preferred_to_the_place() {
        let place = "[in#0 @ 0x1] [error] Error when loading first segment 'https://a/1.ts'\n\
            [in#0 @ 0x1] [error] Error opening input: Input/output error\n";
        assert_eq!(of(place).cause().unwrap().text, "Error when loading first segment 'URL'");
        let whole = format!("[tls @ 0x1] [error] Peer certificate failed verification\n{place}");
        assert_eq!(of(&whole).cause().unwrap().text, "Peer certificate failed verification");
    }

    #[test]
    fn a_flood_of_different_lines_takes_little_memory() {
        let mut splitter = Splitter::new();
        let mut reasons = Reasons::new(8, 8);
        for number in 0..20_000_u32 {
            let word =
                (0..4).map(|shift| char::from(b'a' + (number >> (4 * shift)) as u8 % 16)).collect::<String>();
            let text = format!("[error] {word} {}\n", "x".repeat(500));
            splitter.feed(0, text.as_bytes(), &mut |line| reasons.line(&line));
        }
        assert_eq!(reasons.iter().count(), 16);
        assert_eq!(reasons.lines(), 20_000);
        assert!(reasons.iter().all(|reason| reason.text.len() <= 244 && reason.example.len() <= 404));
    }
}
