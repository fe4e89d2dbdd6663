//! Lanes: what single viewers went through, window by window, the worst ones first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::style::Theme;
use super::windows::{Cell, Windows};
use crate::output::figures::count;

/// Columns of the number of a viewer.
const LABEL: u16 = 9;
/// What a cell may show, with its glyph and name.
const KINDS: [(Cell, char, &str); 5] = [
    (Cell::Failed, 'x', "failed"),
    (Cell::Stalled, '▒', "stalled"),
    (Cell::Restarted, 'R', "restarted"),
    (Cell::Starting, '░', "starting"),
    (Cell::Played, '█', "plays"),
];

fn style(cell: Cell, theme: Theme) -> Style {
    match cell {
        Cell::Failed | Cell::Stalled | Cell::Restarted => theme.bad_if(true),
        Cell::Played => theme.good(),
        Cell::Starting | Cell::Absent => theme.plain(),
    }
}

/// Draws as many lanes as there are lines.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, windows: &Windows, theme: Theme) {
    if area.height < 2 || windows.lanes() == 0 {
        return;
    }
    let lanes = windows.worst(usize::from(area.height) - 1, usize::from(area.width.saturating_sub(LABEL)));
    let all = count(windows.lanes() as u64);
    let first = if windows.are_all() { "" } else { "the first " };
    let title = format!("worst {} of {first}{all} viewers: ", lanes.len());
    let mut title = vec![Span::styled(title, theme.heading())];
    for (cell, glyph, name) in KINDS {
        title.push(Span::styled(glyph.to_string(), style(cell, theme)));
        title.push(Span::raw(format!(" {name} ")));
    }
    let mut lines = vec![Line::from(title)];
    for (viewer, cells) in lanes {
        let mut spans = vec![Span::styled(format!("{:>8} ", format!("#{viewer}")), theme.label())];
        // Neighbors that look alike are one span, because a frame should have few of them.
        for alike in cells.chunk_by(|a, b| a == b) {
            let cell = alike.first().copied().unwrap_or_default();
            let glyph = KINDS.iter().find(|(kind, ..)| *kind == cell).map_or(' ', |(_, glyph, _)| *glyph);
            spans.push(Span::styled(glyph.to_string().repeat(alike.len()), style(cell, theme)));
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
