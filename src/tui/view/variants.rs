//! The page of variants and renditions: who plays which, and its figures.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use hls_swarm_model::snapshot::Snapshot;

use super::WIDE;
use super::style::Theme;
use crate::output::load;

/// Draws the page.
pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    if snapshot.variants.is_empty() {
        let text = "No multivariant playlist was seen so far: there are no variants to tell apart.";
        return frame.render_widget(Line::raw(text), area);
    }
    let wide = area.width >= WIDE;
    let head = row(load::VARIANT.map(str::to_lowercase).each_ref().map(String::as_str), wide);
    let mut lines = vec![Line::styled(head, theme.heading())];
    let exceeded = load::exceeded_bandwidths(snapshot);
    // Sentences have at least half of the page.
    let below = exceeded.len().min(usize::from(area.height) / 2);
    let shown = usize::from(area.height).saturating_sub(below + 3);
    for (figures, cells) in snapshot.variants.iter().zip(load::variants(snapshot)).take(shown) {
        let bad = figures.errors.failed > 0;
        lines.push(Line::styled(row(cells.each_ref().map(String::as_str), wide), theme.bad_if(bad)));
    }
    if let Some(more) = snapshot.variants.len().checked_sub(shown).filter(|more| *more > 0) {
        lines.push(Line::raw(format!("and {more} more")));
    }
    lines.push(Line::default());
    lines.extend(exceeded.into_iter().take(below).map(|sentence| Line::styled(sentence, theme.bad_if(true))));
    frame.render_widget(Paragraph::new(lines), area);
}

/// A line of the table. It fits into 80 columns, where a longer name is truncated and some columns are left out.
fn row(cells: [&str; 9], wide: bool) -> String {
    let [name, viewers, requests, bytes, errors, ttfb, total, measured, announced] = cells;
    if wide {
        format!(
            "{name:<48.48} {viewers:>14} {requests:>9} {bytes:>10} {errors:>9} {ttfb:>9} {total:>9} \
             {measured:>12} {announced:>13}"
        )
    } else {
        format!("{name:<17.17} {viewers:>11} {requests:>8} {bytes:>10} {errors:>8} {total:>9} {measured:>10}")
    }
}
