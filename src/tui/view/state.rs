//! What the dashboard remembers: the newest scene, a frozen one, the page, and what is selected.
//! It knows no widget and no terminal.

use std::sync::Arc;

use hls_swarm_model::command::Command;
use hls_swarm_model::snapshot::Snapshot;

use super::history::History;
use super::sort::{Sort, order};
use crate::tui::key::{Key, Reply};

/// How far page up and page down go.
const LEAP: isize = 10;
/// How many viewers come or go with ] and [.
const MANY: u32 = 10;

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// Everything at a glance.
    #[default]
    Overview,
    /// Latencies by kind and over time.
    Latency,
    /// One row per viewer.
    Viewers,
    /// What the origin's exporters say.
    Origin,
    /// Edges, caches and playlists.
    Insight,
    /// What went wrong.
    Errors,
    /// The program's own log lines.
    Log,
}

impl Page {
    /// All pages, in the order of their keys.
    pub const ALL: [Self; 7] =
        [Self::Overview, Self::Latency, Self::Viewers, Self::Origin, Self::Insight, Self::Errors, Self::Log];

    /// The title.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Latency => "latency",
            Self::Viewers => "viewers",
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

/// Everything of one moment that can be shown.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The snapshot; `None` before the first.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Figures over time.
    pub history: History,
    /// The program's last log lines, oldest first.
    pub log: Vec<Arc<str>>,
}

/// The state of the dashboard.
#[derive(Clone, Debug, Default)]
pub struct State {
    now: Scene,
    frozen: Option<Box<Scene>>,
    /// The page.
    pub page: Page,
    /// Whether help lies over it.
    pub help: bool,
    /// The order of viewers.
    pub sort: Sort,
    /// The number of the selected viewer; 0 = the first of the order.
    pub selected: u32,
    /// How many log lines the end of the page lies before the last one.
    pub log_back: usize,
    /// Whether the run is being ended.
    pub stopping: bool,
}

impl State {
    /// A new snapshot.
    pub fn take(&mut self, snapshot: Arc<Snapshot>) {
        self.now.history.add(&snapshot);
        self.now.snapshot = Some(snapshot);
    }

    /// The program's last log lines, oldest first.
    pub fn log(&mut self, lines: Vec<Arc<str>>) {
        self.now.log = lines;
    }

    /// What is to be shown: the newest scene, or the frozen one.
    #[must_use]
    pub fn scene(&self) -> &Scene {
        self.frozen.as_deref().unwrap_or(&self.now)
    }

    /// Whether the display stands still. Figures are still collected.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// A key was pressed.
    pub fn press(&mut self, key: Key) -> Reply {
        match key {
            Key::Char('q') => return Reply::Quit,
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Escape if self.help => self.help = false,
            Key::Char(digit @ '1'..='9') => {
                let index = digit as usize - '1' as usize;
                match Page::ALL.get(index) {
                    Some(page) => self.open(*page),
                    None => return Reply::Nothing,
                }
            }
            Key::Tab | Key::Right => self.open(self.page.step(1)),
            Key::BackTab | Key::Left => self.open(self.page.step(Page::ALL.len() - 1)),
            Key::Char(' ') => return Reply::Command(Command::Pause),
            Key::Char('+' | '=') => return Reply::Command(Command::More(1)),
            Key::Char('-') => return Reply::Command(Command::Fewer(1)),
            Key::Char(']') => return Reply::Command(Command::More(MANY)),
            Key::Char('[') => return Reply::Command(Command::Fewer(MANY)),
            Key::Char('f') => {
                self.frozen = if self.is_frozen() { None } else { Some(Box::new(self.now.clone())) };
            }
            Key::Char('s') if self.page == Page::Viewers => self.sort = self.sort.next(),
            Key::Up | Key::Char('k') => return self.step(-1),
            Key::Down | Key::Char('j') => return self.step(1),
            Key::PageUp => return self.step(-LEAP),
            Key::PageDown => return self.step(LEAP),
            Key::Home => return self.step(isize::MIN),
            Key::End => return self.step(isize::MAX),
            Key::Char(_) | Key::Escape => return Reply::Nothing,
        }
        Reply::Redraw
    }

    fn open(&mut self, page: Page) {
        (self.page, self.help) = (page, false);
    }

    /// Moves the selection, or the log.
    fn step(&mut self, by: isize) -> Reply {
        match self.page {
            Page::Viewers => {
                let Some(snapshot) = self.scene().snapshot.clone() else { return Reply::Nothing };
                let order = order(&snapshot.viewers, self.sort);
                let at = order.iter().position(|row| row.viewer == self.selected).unwrap_or(0);
                let last = order.len().saturating_sub(1);
                if let Some(row) = order.get(at.saturating_add_signed(by).min(last)) {
                    self.selected = row.viewer;
                }
                Reply::Redraw
            }
            Page::Log => {
                let lines = self.scene().log.len();
                let back = match by {
                    isize::MIN => lines,
                    isize::MAX => 0,
                    _ => self.log_back.saturating_add_signed(-by),
                };
                self.log_back = back.min(lines.saturating_sub(1));
                Reply::Redraw
            }
            Page::Overview | Page::Latency | Page::Origin | Page::Insight | Page::Errors => Reply::Nothing,
        }
    }
}
