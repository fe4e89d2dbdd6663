//! The page of viewers: a table in the chosen order, and one viewer in detail.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, ViewerRow, ViewerState};

use super::figures;
use super::sort::{errors, order};
use super::state::State;
use crate::tui::view::style::{ABSENT, Look, clock, decimal, scaled};

/// Lines of the detail.
const DETAIL: u16 = 7;
/// Slower than this is below real time.
const SLOW: f64 = 0.9;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, state: &State, look: Look) {
    let order = order(&snapshot.viewers, state.sort);
    let at = order.iter().position(|row| row.viewer == state.selected).unwrap_or(0);
    let detail = if area.height > DETAIL + 6 { DETAIL } else { 0 };
    let [head, table, detail] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(detail)]).areas(area);

    let height = usize::from(table.height);
    // The selected row stays in the middle, except near the ends.
    let start = at.saturating_sub(height / 2).min(order.len().saturating_sub(height));
    let title = format!("{} viewers, by {}", order.len(), state.sort.name());
    frame.render_widget(Paragraph::new(vec![Line::styled(title, look.heading()), columns(look)]), head);
    let lines: Vec<Line<'_>> = order
        .iter()
        .enumerate()
        .skip(start)
        .take(height)
        .map(|(index, row)| {
            let line = line(row, played(snapshot, row), look, index == at);
            if index == at { line.style(look.chosen()) } else { line }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), table);
    if let Some(row) = order.get(at) {
        draw_detail(frame, detail, row, played(snapshot, row), look);
    }
}

fn columns(look: Look) -> Line<'static> {
    let text = format!(
        "  {:>5} {:<8} {:>6} {:>7} {:>5} {:>7} {:>9} {:>8} {:>8} {:>6}",
        "#", "state", "starts", "played", "speed", "drift s", "manifests", "segments", "body", "errors"
    );
    Line::styled(text, look.label())
}

/// Media time, if the player reports it.
fn played(snapshot: &Snapshot, row: &ViewerRow) -> String {
    if snapshot.has_progress() { clock(row.media_seconds) } else { ABSENT.to_owned() }
}

fn line(row: &ViewerRow, played: String, look: Look, chosen: bool) -> Line<'static> {
    let behind = row.drift_seconds.is_some_and(|drift| drift > 5.0);
    let errors = errors(row);
    Line::from(vec![
        Span::raw(format!("{} {:>5} ", if chosen { '>' } else { ' ' }, row.viewer)),
        Span::styled(format!("{:<8} ", state_name(row.state)), state_style(row.state, look)),
        Span::styled(format!("{:>6} ", row.starts), look.bad_if(row.starts > 1)),
        Span::raw(format!("{played:>7} ")),
        Span::styled(
            format!("{:>5} ", decimal(row.speed, 2)),
            look.bad_if(row.speed.is_some_and(|speed| speed < SLOW)),
        ),
        Span::styled(format!("{:>7} ", decimal(row.drift_seconds, 1)), look.bad_if(behind)),
        Span::raw(format!("{:>9} {:>8} ", row.requests[Kind::Playlist], row.requests[Kind::Segment])),
        Span::raw(format!("{:>8} ", format!("{}B", scaled(row.bytes.total() as f64)))),
        Span::styled(format!("{errors:>6}"), look.bad_if(errors > 0)),
    ])
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, row: &ViewerRow, played: String, look: Look) {
    let kinds: Vec<_> = row
        .requests
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| {
            let bytes = scaled(row.bytes[kind] as f64);
            (kind.name(), format!("{count} ({bytes}B)"), false)
        })
        .collect();
    let codes: Vec<String> = row.http_status.iter().map(|(code, count)| format!("{code}: {count}")).collect();
    let codes = if codes.is_empty() { "none".to_owned() } else { codes.join("   ") };
    let behind = row.drift_seconds.is_some_and(|drift| drift > 5.0);
    let lines = vec![
        Line::default(),
        Line::styled(format!("viewer {}: {}", row.viewer, state_name(row.state)), look.heading()),
        figures(
            &[
                ("started", format!("{} x", row.starts), row.starts > 1),
                ("played", played, false),
                ("speed", decimal(row.speed, 2), row.speed.is_some_and(|speed| speed < SLOW)),
                ("drift", format!("{} s", decimal(row.drift_seconds, 1)), behind),
                ("received", format!("{}B", scaled(row.received as f64)), false),
            ],
            look,
        ),
        figures(&kinds, look),
        figures(&[("status codes", codes, errors(row) > 0)], look),
        figures(&[("last words", row.last_error.clone().unwrap_or_else(|| ABSENT.to_owned()), false)], look),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

const fn state_name(state: ViewerState) -> &'static str {
    match state {
        ViewerState::Starting => "starting",
        ViewerState::Playing => "playing",
        ViewerState::Stalled => "STALLED",
        ViewerState::Silent => "silent",
        ViewerState::Waiting => "waiting",
        ViewerState::Ended => "ended",
    }
}

fn state_style(state: ViewerState, look: Look) -> ratatui::style::Style {
    match state {
        ViewerState::Playing => look.good(),
        ViewerState::Stalled | ViewerState::Silent | ViewerState::Waiting => look.bad_if(true),
        ViewerState::Starting | ViewerState::Ended => look.label(),
    }
}
