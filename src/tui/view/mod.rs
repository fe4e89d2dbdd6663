//! The live dashboard: what is drawn for a state, and nothing else. No terminal is touched here.
//!
//! A page is drawn into whatever room there is; one that has none is left out, never a panic.

pub(crate) mod errors;
pub(crate) mod help;
pub mod history;
pub(crate) mod insight;
pub(crate) mod latency;
pub(crate) mod log;
pub(crate) mod origin;
pub(crate) mod overview;
pub mod sort;
pub mod state;
pub mod style;
pub(crate) mod viewers;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use hls_swarm_model::run::Run;

use crate::tui::view::style::{Look, clock};

use state::{Page, State};

/// From this width on, charts stand beside the figures instead of below.
const WIDE: u16 = 140;

/// Draws the dashboard.
pub fn draw(frame: &mut Frame<'_>, state: &State, run: &Run, look: Look) {
    let [title, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, state, run, look);
    draw_tabs(frame, tabs, state, look);
    frame.render_widget(Paragraph::new(Line::styled(keys(state), look.label())), foot);
    if state.help {
        return help::draw(frame, body, look);
    }
    let scene = state.scene();
    let Some(snapshot) = scene.snapshot.as_deref() else {
        return frame.render_widget(Line::raw("waiting for the first figures"), body);
    };
    match state.page {
        Page::Overview => overview::draw(frame, body, snapshot, &scene.history, look),
        Page::Latency => latency::draw(frame, body, snapshot, &scene.history, look),
        Page::Viewers => viewers::draw(frame, body, snapshot, state, look),
        Page::Origin => origin::draw(frame, body, snapshot, &scene.history, look),
        Page::Insight => insight::draw(frame, body, snapshot, look),
        Page::Errors => errors::draw(frame, body, snapshot, look),
        Page::Log => log::draw(frame, body, &scene.log, state.log_back, look),
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, state: &State, run: &Run, look: Look) {
    let mut right = String::new();
    if state.stopping {
        right.push_str(" STOPPING, Ctrl+C again: at once ");
    }
    if state.is_frozen() {
        right.push_str(" FROZEN ");
    }
    if state.scene().snapshot.as_ref().is_some_and(|snapshot| snapshot.manual_changes.paused) {
        right.push_str(" PAUSED ");
    }
    if let Some(stage) = state.scene().snapshot.as_ref().and_then(|snapshot| snapshot.stages.last()) {
        right.push_str(&format!(" {}: {} ", stage.stage, stage.title()));
    }
    if let Some(snapshot) = &state.scene().snapshot {
        right.push_str(&format!(" {} ", clock(snapshot.elapsed_seconds)));
    }
    let width = u16::try_from(right.chars().count()).unwrap_or(u16::MAX);
    let [left, right_area] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    let name = Span::styled(format!("hls-swarm {} ", run.version), look.heading());
    frame.render_widget(Line::from(vec![name, Span::raw(run.url.as_str())]), left);
    let style = if state.stopping || state.is_frozen() { look.chosen() } else { look.heading() };
    frame.render_widget(Span::styled(right, style), right_area);
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, state: &State, look: Look) {
    let mut spans = Vec::new();
    for (number, page) in (1..).zip(Page::ALL) {
        // Brackets, because a screen without colour may not show reversed text either.
        let (text, style) = if page == state.page {
            (format!("[{number} {}]", page.name()), look.heading().add_modifier(Modifier::REVERSED))
        } else {
            (format!(" {number} {} ", page.name()), look.label())
        };
        spans.push(Span::styled(text, style));
    }
    frame.render_widget(Line::from(spans), area);
}

fn keys(state: &State) -> &'static str {
    match state.page {
        _ if state.help => "? or Esc closes help   q quits",
        Page::Viewers => "? help   1-7/Tab pages   s sort   arrows select   f freezes   q quits",
        Page::Log => "? help   1-7/Tab pages   arrows scroll   f freezes   q quits",
        Page::Overview | Page::Latency | Page::Origin | Page::Insight | Page::Errors => {
            "? help   1-7/Tab pages   +/- viewers   space pauses   f freezes   q quits"
        }
    }
}

/// A line of the form "label value  label value".
fn figures(pairs: &[(&str, String, bool)], look: Look) -> Line<'static> {
    let spans = pairs.iter().flat_map(|(label, value, bad)| {
        [
            Span::styled(format!("{label} "), look.label()),
            Span::styled(value.clone(), look.bad_if(*bad)),
            Span::raw("  "),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}
