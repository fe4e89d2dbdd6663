//! The page of viewers: a table in a selectable order, and one viewer in detail.

use std::cmp::Ordering;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, ViewerRow, ViewerState};
use hls_swarm_model::stats::playback::SLOW;

use super::figures;
use super::state::State;
use super::style::{ABSENT, Theme, decimal, scaled};
use crate::output::figures::clock;

/// Lines of the detail below the table.
const DETAIL: u16 = 7;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, state: &State, theme: Theme) {
    let order = order(&snapshot.viewers, state.sort);
    let at = order.iter().position(|row| row.viewer == state.selected).unwrap_or(0);
    let detail = if area.height > DETAIL + 6 { DETAIL } else { 0 };
    let [head, table, detail] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(detail)]).areas(area);

    let height = usize::from(table.height);
    // The selected row stays in the middle, except near the ends.
    let start = at.saturating_sub(height / 2).min(order.len().saturating_sub(height));
    let title = format!("{} viewers, by {}", order.len(), state.sort.name());
    frame.render_widget(Paragraph::new(vec![Line::styled(title, theme.heading()), columns(theme)]), head);
    let lines: Vec<Line<'_>> = order
        .iter()
        .enumerate()
        .skip(start)
        .take(height)
        .map(|(index, row)| {
            let line = line(row, played(snapshot, row), theme, index == at);
            if index == at { line.style(theme.selected()) } else { line }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), table);
    if let Some(row) = order.get(at) {
        draw_detail(frame, detail, row, played(snapshot, row), theme);
    }
}

fn columns(theme: Theme) -> Line<'static> {
    let text = format!(
        "  {:>5} {:<8} {:>6} {:>7} {:>5} {:>7} {:>9} {:>8} {:>8} {:>6}",
        "#", "state", "starts", "played", "speed", "drift s", "manifests", "segments", "body", "errors"
    );
    Line::styled(text, theme.label())
}

/// Media time, if the player reports it.
fn played(snapshot: &Snapshot, row: &ViewerRow) -> String {
    if snapshot.has_playback() { clock(row.media_seconds) } else { ABSENT.to_owned() }
}

fn line(row: &ViewerRow, played: String, theme: Theme, selected: bool) -> Line<'static> {
    let behind = row.drift_seconds.is_some_and(|drift| drift > 5.0);
    let errors = errors(row);
    Line::from(vec![
        Span::raw(format!("{} {:>5} ", if selected { '>' } else { ' ' }, row.viewer)),
        Span::styled(format!("{:<8} ", state_name(row.state)), state_style(row.state, theme)),
        Span::styled(format!("{:>6} ", row.starts), theme.bad_if(row.starts > 1)),
        Span::raw(format!("{played:>7} ")),
        Span::styled(
            format!("{:>5} ", decimal(row.speed, 2)),
            theme.bad_if(row.speed.is_some_and(|speed| speed < SLOW)),
        ),
        Span::styled(format!("{:>7} ", decimal(row.drift_seconds, 1)), theme.bad_if(behind)),
        Span::raw(format!("{:>9} {:>8} ", row.requests[Kind::Playlist], row.requests[Kind::Segment])),
        Span::raw(format!("{:>8} ", format!("{}B", scaled(row.bytes.total() as f64)))),
        Span::styled(format!("{errors:>6}"), theme.bad_if(errors > 0)),
    ])
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, row: &ViewerRow, played: String, theme: Theme) {
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
        Line::styled(format!("viewer {}: {}", row.viewer, state_name(row.state)), theme.heading()),
        figures(
            &[
                ("started", format!("{} x", row.starts), row.starts > 1),
                ("played", played, false),
                ("speed", decimal(row.speed, 2), row.speed.is_some_and(|speed| speed < SLOW)),
                ("drift", format!("{} s", decimal(row.drift_seconds, 1)), behind),
                ("received", format!("{}B", scaled(row.received as f64)), false),
            ],
            theme,
        ),
        figures(&kinds, theme),
        figures(&[("status codes", codes, errors(row) > 0)], theme),
        figures(&[("last error", row.last_error.clone().unwrap_or_else(|| ABSENT.to_owned()), false)], theme),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

const fn state_name(state: ViewerState) -> &'static str {
    match state {
        ViewerState::Starting => "starting",
        ViewerState::Playing => "playing",
        ViewerState::Stalled => "STALLED",
        ViewerState::Waiting => "waiting",
        ViewerState::Ended => "ended",
    }
}

fn state_style(state: ViewerState, theme: Theme) -> ratatui::style::Style {
    match state {
        ViewerState::Playing => theme.good(),
        ViewerState::Stalled | ViewerState::Waiting => theme.bad_if(true),
        ViewerState::Starting | ViewerState::Ended => theme.label(),
    }
}

/// An order of the viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Number, ascending.
    #[default]
    Number,
    /// State, not playing first.
    State,
    /// Speed, slowest first.
    Speed,
    /// Drift, farthest behind first.
    Drift,
    /// HTTP errors, most first.
    Errors,
    /// Starts, most first.
    Starts,
    /// Body bytes, most first.
    Bytes,
}

impl Sort {
    /// All orders, in the order in which the key `s` goes through them.
    pub const ALL: [Self; 7] =
        [Self::Number, Self::State, Self::Speed, Self::Drift, Self::Errors, Self::Starts, Self::Bytes];

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::State => "state, not playing first",
            Self::Speed => "speed, slowest first",
            Self::Drift => "drift, farthest behind first",
            Self::Errors => "HTTP errors, most first",
            Self::Starts => "starts, most first",
            Self::Bytes => "body bytes, most first",
        }
    }

    /// Returns the next order.
    #[must_use]
    pub fn next(self) -> Self {
        let position = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get(position + 1).copied().unwrap_or_default()
    }

    fn compare(self, a: &ViewerRow, b: &ViewerRow) -> Ordering {
        match self {
            Self::Number => Ordering::Equal,
            Self::State => urgency(a.state).cmp(&urgency(b.state)),
            Self::Speed => number(a.speed, f64::INFINITY).total_cmp(&number(b.speed, f64::INFINITY)),
            Self::Drift => number(b.drift_seconds, f64::NEG_INFINITY)
                .total_cmp(&number(a.drift_seconds, f64::NEG_INFINITY)),
            Self::Errors => errors(b).cmp(&errors(a)),
            Self::Starts => b.starts.cmp(&a.starts),
            Self::Bytes => b.bytes.total().cmp(&a.bytes.total()),
        }
    }
}

/// Returns the rows in order; equal ones by number.
#[must_use]
pub fn order(rows: &[ViewerRow], sort: Sort) -> Vec<&ViewerRow> {
    let mut order: Vec<&ViewerRow> = rows.iter().collect();
    order.sort_by(|a, b| sort.compare(a, b).then(a.viewer.cmp(&b.viewer)));
    order
}

/// Returns the number of responses with a status of 400 or above.
#[must_use]
pub fn errors(row: &ViewerRow) -> u64 {
    row.http_status.range(400..).map(|(_, count)| count).sum()
}

/// A value to sort by; an unknown one is sorted last.
fn number(value: Option<f64>, last: f64) -> f64 {
    value.unwrap_or(last)
}

const fn urgency(state: ViewerState) -> u8 {
    match state {
        ViewerState::Stalled => 0,
        ViewerState::Waiting => 1,
        ViewerState::Starting => 2,
        ViewerState::Ended => 3,
        ViewerState::Playing => 4,
    }
}
