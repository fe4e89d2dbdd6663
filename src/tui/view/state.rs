//! State of the dashboard: the newest figures and their history, frozen ones, the page, and the selection. It
//! depends on neither widgets nor the terminal.

use std::collections::VecDeque;
use std::sync::Arc;

use hls_swarm_model::command::Command;
use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, Timing};
use hls_swarm_model::verdict::threshold::Threshold;

use super::viewers::{Sort, order};
use super::windows::Windows;
use crate::tui::input::Key;

/// Rows that Page Up and Page Down move by.
const PAGE_STEP: isize = 10;
/// Viewers that `]` adds and `[` removes.
const MANY_VIEWERS: u32 = 10;

/// The effect of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The key has no effect here.
    Nothing,
    /// The display has changed.
    Redraw,
    /// Stop the run gracefully.
    Quit,
    /// Change the load.
    Command(Command),
}

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The main figures.
    #[default]
    Overview,
    /// Latencies by kind and over time.
    Latency,
    /// One row per viewer.
    Viewers,
    /// One row per variant and rendition.
    Variants,
    /// Figures from the origin's exporters.
    Origin,
    /// Edges, caches and playlists.
    Insight,
    /// Errors.
    Errors,
    /// The program's own log lines.
    Log,
}

impl Page {
    /// All pages, in the order of their keys.
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Latency,
        Self::Viewers,
        Self::Variants,
        Self::Origin,
        Self::Insight,
        Self::Errors,
        Self::Log,
    ];

    /// Returns the title.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Latency => "latency",
            Self::Viewers => "viewers",
            Self::Variants => "variants",
            Self::Origin => "origin",
            Self::Insight => "edges",
            Self::Errors => "errors",
            Self::Log => "log",
        }
    }

    fn step(self, by: usize) -> Self {
        let position = Self::ALL.iter().position(|page| *page == self).unwrap_or(0);
        Self::ALL.get((position + by) % Self::ALL.len()).copied().unwrap_or(self)
    }
}

/// Everything that pages show, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The snapshot; `None` before the first one.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Figures over time.
    pub history: History,
    /// What happened in each window of time.
    pub windows: Windows,
    /// The program's last log lines, oldest first.
    pub log: Vec<Arc<str>>,
}

/// The state of the dashboard.
#[derive(Clone, Debug, Default)]
pub struct State {
    now: Figures,
    frozen: Option<Box<Figures>>,
    /// The current page.
    pub page: Page,
    /// Whether the help covers the page.
    pub help: bool,
    /// The order of viewers.
    pub sort: Sort,
    /// The number of the selected viewer; 0 = the first of the order.
    pub selected: u32,
    /// Number of log lines that the log page is scrolled back by.
    pub log_back: usize,
    /// Whether the run is being stopped.
    pub stopping: bool,
    /// The thresholds of the run.
    pub thresholds: Vec<Threshold>,
}

impl State {
    /// Replaces the newest snapshot.
    pub fn update(&mut self, snapshot: Arc<Snapshot>) {
        self.now.history.add(&snapshot);
        self.now.windows.add(&snapshot);
        self.now.snapshot = Some(snapshot);
    }

    /// Replaces the program's last log lines, oldest first.
    pub fn set_log(&mut self, lines: Vec<Arc<str>>) {
        self.now.log = lines;
    }

    /// Returns the figures to show: the newest ones, or the frozen ones.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        self.frozen.as_deref().unwrap_or(&self.now)
    }

    /// Whether the display is frozen. Figures are still collected.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Handles a key.
    pub fn press(&mut self, key: Key) -> Action {
        match key {
            Key::Char('q') => return Action::Quit,
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Escape if self.help => self.help = false,
            Key::Char(digit @ '1'..='9') => {
                let index = digit as usize - '1' as usize;
                match Page::ALL.get(index) {
                    Some(page) => self.open(*page),
                    None => return Action::Nothing,
                }
            }
            Key::Tab | Key::Right => self.open(self.page.step(1)),
            Key::BackTab | Key::Left => self.open(self.page.step(Page::ALL.len() - 1)),
            Key::Char(' ') => return Action::Command(Command::Pause),
            Key::Char('+' | '=') => return Action::Command(Command::More(1)),
            Key::Char('-') => return Action::Command(Command::Fewer(1)),
            Key::Char(']') => return Action::Command(Command::More(MANY_VIEWERS)),
            Key::Char('[') => return Action::Command(Command::Fewer(MANY_VIEWERS)),
            Key::Char('f') => {
                self.frozen = if self.is_frozen() { None } else { Some(Box::new(self.now.clone())) };
            }
            Key::Char('s') if self.page == Page::Viewers => self.sort = self.sort.next(),
            Key::Up | Key::Char('k') => return self.scroll(-1),
            Key::Down | Key::Char('j') => return self.scroll(1),
            Key::PageUp => return self.scroll(-PAGE_STEP),
            Key::PageDown => return self.scroll(PAGE_STEP),
            Key::Home => return self.scroll(isize::MIN),
            Key::End => return self.scroll(isize::MAX),
            Key::Char(_) | Key::Escape => return Action::Nothing,
        }
        Action::Redraw
    }

    fn open(&mut self, page: Page) {
        (self.page, self.help) = (page, false);
    }

    /// Moves the selection of viewers, or scrolls the log.
    fn scroll(&mut self, by: isize) -> Action {
        match self.page {
            Page::Viewers => {
                let Some(snapshot) = self.figures().snapshot.clone() else { return Action::Nothing };
                let order = order(&snapshot.viewers, self.sort);
                let at = order.iter().position(|row| row.viewer == self.selected).unwrap_or(0);
                let last = order.len().saturating_sub(1);
                if let Some(row) = order.get(at.saturating_add_signed(by).min(last)) {
                    self.selected = row.viewer;
                }
                Action::Redraw
            }
            Page::Log => {
                let lines = self.figures().log.len();
                let back = match by {
                    isize::MIN => lines,
                    isize::MAX => 0,
                    _ => self.log_back.saturating_add_signed(-by),
                };
                self.log_back = back.min(lines.saturating_sub(1));
                Action::Redraw
            }
            Page::Overview | Page::Latency | Page::Variants | Page::Origin | Page::Insight | Page::Errors => {
                Action::Nothing
            }
        }
    }
}

/// Number of points that are kept: ten minutes at one snapshot per second.
pub const HISTORY_POINTS: usize = 600;

/// The figures of one second for charts. Absent = not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Seconds since the start of the run.
    pub at: f64,
    /// Viewers that are playing.
    pub playing: f64,
    /// Segments per second.
    pub segments: f64,
    /// Body bits per second.
    pub bits: f64,
    /// Average speed.
    pub speed: Option<f64>,
    /// Busy share of the origin's processors, percent.
    pub origin_cpu: Option<f64>,
    /// Bits per second that the machine of the origin sends.
    pub origin_bits: Option<f64>,
    /// Errors per second since the previous point.
    pub errors: f64,
    /// Average segment latency of the requests since the previous point, seconds.
    pub segment_mean: Option<f64>,
    /// 95th percentile of segment latency since the start, seconds.
    pub segment_p95: Option<f64>,
    /// 99th percentile of segment latency since the start, seconds.
    pub segment_p99: Option<f64>,
}

/// A bounded history of points, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
    last: Counters,
}

/// Counters at the last point.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    at: f64,
    errors: u64,
    latency_sum: f64,
    latency_count: u64,
}

/// The latency that is drawn: segments, from the request to the last byte.
const SEGMENT: Timing = Timing::Total(Kind::Segment);

impl History {
    /// Adds a snapshot if it is newer than the last one.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let now = Counters {
            at: snapshot.elapsed_seconds,
            errors: all_errors(snapshot),
            latency_sum: snapshot.latency_buckets[SEGMENT].sum,
            latency_count: snapshot.latency_buckets[SEGMENT].count,
        };
        let last = self.last;
        let step = now.at - last.at;
        if step <= 0.0 {
            return;
        }
        let answered = now.latency_count.saturating_sub(last.latency_count);
        let total = snapshot.latency[SEGMENT];
        let origin = snapshot.origin.as_ref();
        self.points.push_back(Point {
            at: now.at,
            playing: snapshot.playing_clients as f64,
            segments: snapshot.rates.segment_per_second,
            bits: snapshot.rates.bytes_per_second * 8.0,
            speed: snapshot.playback.average_speed,
            origin_cpu: origin.and_then(|origin| origin.cpu_percent).map(|cpu| cpu.now),
            origin_bits: origin
                .and_then(|origin| origin.transmit_bytes_per_second)
                .map(|sent| sent.now * 8.0),
            errors: now.errors.saturating_sub(last.errors) as f64 / step,
            segment_mean: (answered > 0).then(|| (now.latency_sum - last.latency_sum) / answered as f64),
            segment_p95: total.map(|total| total.p95),
            segment_p99: total.map(|total| total.p99),
        });
        self.last = now;
        while self.points.len() > HISTORY_POINTS {
            self.points.pop_front();
        }
    }

    /// Returns all points, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.points.iter()
    }

    /// Returns the newest `count` points, oldest first.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &Point> {
        self.points.iter().skip(self.points.len().saturating_sub(count))
    }
}

/// Returns the number of failed requests and connection attempts. Each counts once, although an attempt that timed
/// out is in two counters.
#[must_use]
pub fn all_errors(snapshot: &Snapshot) -> u64 {
    let attempts = snapshot.requests.total() + snapshot.errors.connect;
    snapshot.errors.rate.map_or(0, |rate| (rate * attempts as f64).round() as u64)
}
