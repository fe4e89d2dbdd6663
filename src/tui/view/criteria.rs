//! A line per criterion.

use ratatui::text::{Line, Span};

use hls_swarm_model::verdict::Criterion;

use super::style::Theme;

/// One criterion on at most `width` columns.
pub(super) fn line(criterion: &Criterion, width: usize, theme: Theme) -> Line<'static> {
    let (mark, style) = match (criterion.met, criterion.value) {
        (true, _) => ('✓', theme.good()),
        (false, None) => ('-', theme.label()),
        (false, Some(_)) => ('✗', theme.bad_if(true)),
    };
    let value = criterion.value.map_or_else(|| "no value yet".to_owned(), |_| criterion.value_text());
    let text = format!("{} {value}  ({})", criterion.name, criterion.limit);
    let text: String = text.chars().take(width.saturating_sub(3)).collect();
    Line::from(vec![Span::styled(format!("{mark} "), style), Span::styled(text, theme.bad_if(mark == '✗'))])
}
