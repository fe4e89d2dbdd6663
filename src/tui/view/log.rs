//! The page of the program's own log lines.

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::tui::view::style::Look;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, log: &[Arc<str>], back: usize, look: Look) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    // The first page stays full however far one goes back.
    let end = log.len().saturating_sub(back).max(log.len().min(usize::from(body.height)));
    let start = end.saturating_sub(usize::from(body.height));
    let title = match log.len() {
        0 => "nothing was logged so far".to_owned(),
        all => format!("log, lines {}-{end} of the last {all}", start + 1),
    };
    frame.render_widget(Line::styled(title, look.heading()), head);
    let lines: Vec<Line<'_>> = log
        .get(start..end)
        .unwrap_or_default()
        .iter()
        .map(|line| Line::styled(&**line, look.bad_if(line.contains(" WARN ") || line.contains("ERROR "))))
        .collect();
    frame.render_widget(Paragraph::new(lines), body);
}
