//! The view of the dashboard: draws a state into a frame, and does nothing else.
//!
//! A page is drawn into the space that there is, and left out if there is none.

mod criteria;
mod errors;
mod lanes;
mod latency;
mod origin;
mod overview;
mod series;
pub mod state;
pub mod style;
mod variants;
pub mod viewers;
pub mod windows;

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use hls_swarm_model::run::Run;

use crate::output::figures::clock;

use state::{Page, State};
use style::Theme;

/// From this width on, charts are beside the figures instead of below them.
const WIDE: u16 = 140;

const HELP: [&str; 20] = [
    "1-8, Tab, Shift+Tab, left, right    go to a page",
    "s                                   viewers: next sort order",
    "up, down, j, k, Page Up/Down        viewers: select; log: scroll",
    "Home, End                           the first, the last",
    "+, -, ], [                          one viewer more, fewer; ten more, fewer",
    "space                               pause the load, and resume it",
    "f                                   freeze the display, and unfreeze it",
    "q, Ctrl+C                           stop the run gracefully, with its verdict",
    "Ctrl+C twice                        stop it immediately",
    "",
    "The run continues, and figures are collected, while the display is frozen.",
    "A dash means: not measured. Percentiles cover the whole run so far,",
    "unless they say otherwise, rates the last 10 s, charts the last minutes.",
    "ttfb      from the request to the first byte of the response",
    "download  from the first byte to the last one",
    "speed     media time over wall time; 1.00 is real time",
    "drift     how far a viewer is behind the wall clock since it started to play",
    "stalled   the buffer is empty",
    "4xx, 5xx  responses with such a status code",
    "waiting, timers late, lost  of this machine; high values make a run INVALID",
];

/// Draws the dashboard.
pub fn draw(frame: &mut Frame<'_>, state: &State, run: &Run, theme: Theme) {
    let [title, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, state, run, theme);
    draw_tabs(frame, tabs, state, theme);
    frame.render_widget(Paragraph::new(Line::styled(keys(state), theme.label())), foot);
    if state.help {
        return draw_help(frame, body, theme);
    }
    let figures = state.figures();
    let Some(snapshot) = figures.snapshot.as_deref() else {
        return frame.render_widget(Line::raw("waiting for the first figures"), body);
    };
    match state.page {
        Page::Overview => overview::draw(frame, body, snapshot, figures, &state.thresholds, theme),
        Page::Latency => latency::draw(frame, body, snapshot, &figures.history, theme),
        Page::Viewers => viewers::draw(frame, body, snapshot, state, theme),
        Page::Variants => variants::draw(frame, body, snapshot, theme),
        Page::Origin => origin::draw(frame, body, snapshot, &figures.history, theme),
        Page::Insight => origin::draw_insight(frame, body, snapshot, theme),
        Page::Errors => errors::draw(frame, body, snapshot, theme),
        Page::Log => draw_log(frame, body, &figures.log, state.log_back, theme),
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, state: &State, run: &Run, theme: Theme) {
    let mut right = String::new();
    if state.stopping {
        right.push_str(" STOPPING, Ctrl+C again: immediately ");
    }
    if state.is_frozen() {
        right.push_str(" FROZEN ");
    }
    if state.figures().snapshot.as_ref().is_some_and(|snapshot| snapshot.manual_changes.paused) {
        right.push_str(" PAUSED ");
    }
    if let Some(stage) = state.figures().snapshot.as_ref().and_then(|snapshot| snapshot.stages.last()) {
        right.push_str(&format!(" {}: {} ", stage.stage, stage.title()));
    }
    if let Some(snapshot) = &state.figures().snapshot {
        right.push_str(&format!(" {} ", clock(snapshot.elapsed_seconds)));
    }
    let width = u16::try_from(right.chars().count()).unwrap_or(u16::MAX);
    let [left, right_area] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    let name = Span::styled(format!("hls-swarm {} ", run.version), theme.heading());
    frame.render_widget(Line::from(vec![name, Span::raw(run.url.as_str())]), left);
    let style = if state.stopping || state.is_frozen() { theme.selected() } else { theme.heading() };
    frame.render_widget(Span::styled(right, style), right_area);
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let mut spans = Vec::new();
    let mut before = " ";
    for (number, page) in (1..).zip(Page::ALL) {
        // Brackets, because a screen without color may not show reversed text either.
        let (text, style, after) = if page == state.page {
            (format!("[{number} {}]", page.name()), theme.heading().add_modifier(Modifier::REVERSED), "")
        } else {
            (format!("{before}{number} {}", page.name()), theme.label(), " ")
        };
        spans.push(Span::styled(text, style));
        before = after;
    }
    frame.render_widget(Line::from(spans), area);
}

fn keys(state: &State) -> &'static str {
    match state.page {
        _ if state.help => "? or Esc closes help   q quits",
        Page::Viewers => "? help   1-8/Tab pages   s sort   arrows select   f freezes   q quits",
        Page::Log => "? help   1-8/Tab pages   arrows scroll   f freezes   q quits",
        Page::Overview | Page::Latency | Page::Variants | Page::Origin | Page::Insight | Page::Errors => {
            "? help   1-8/Tab pages   +/- viewers   space pauses   f freezes   q quits"
        }
    }
}

/// Draws the help: keys, and how to read the figures.
fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let mut lines = vec![Line::styled("help", theme.heading())];
    lines.extend(HELP.map(Line::raw));
    frame.render_widget(Paragraph::new(lines), area);
}

/// Draws the page of the program's own log lines.
fn draw_log(frame: &mut Frame<'_>, area: Rect, log: &[Arc<str>], back: usize, theme: Theme) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    // The first page stays full, however far the log is scrolled back.
    let end = log.len().saturating_sub(back).max(log.len().min(usize::from(body.height)));
    let start = end.saturating_sub(usize::from(body.height));
    let title = match log.len() {
        0 => "no log lines so far".to_owned(),
        all => format!("log, lines {}-{end} of the last {all}", start + 1),
    };
    frame.render_widget(Line::styled(title, theme.heading()), head);
    let lines: Vec<Line<'_>> = log
        .get(start..end)
        .unwrap_or_default()
        .iter()
        .map(|line| Line::styled(&**line, theme.bad_if(line.contains(" WARN ") || line.contains("ERROR "))))
        .collect();
    frame.render_widget(Paragraph::new(lines), body);
}

/// Returns a line of the form "label value  label value".
fn figures(pairs: &[(&str, String, bool)], theme: Theme) -> Line<'static> {
    let spans = pairs.iter().flat_map(|(label, value, bad)| {
        [
            Span::styled(format!("{label} "), theme.label()),
            Span::styled(value.clone(), theme.bad_if(*bad)),
            Span::raw("  "),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}
