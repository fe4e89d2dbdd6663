//! The page of edges, caches and playlists.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use hls_swarm_model::snapshot::Snapshot;

use crate::output::insight::{additional_edges, caches, edge_row, playlists};
use crate::tui::view::style::Look;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, look: Look) {
    let insight = &snapshot.insight;
    // As narrow as 80 columns: a longer name is cut.
    let row = |[name, requests, bytes, errors, connects, ttfb, hits, old]: [&str; 8]| {
        format!(
            "{name:<24.24} {requests:>8} {bytes:>8} {errors:>6} {connects:>5} {ttfb:>9} {hits:>8} {old:>4}"
        )
    };
    let head = row(["edges", "requests", "bytes", "errors", "conns", "ttfb p95", "hits", "old"]);
    let mut lines = vec![Line::styled(head, look.heading())];
    if insight.edges.is_empty() {
        lines.push(Line::raw("no edge was seen"));
    }
    // The rest of the page needs about half of it.
    let shown = usize::from(area.height / 2).saturating_sub(2).max(5);
    for edge in insight.edges.iter().take(shown) {
        let cells = edge_row(edge);
        let text = row(cells.each_ref().map(String::as_str));
        lines.push(Line::styled(text, look.bad_if(edge.errors + edge.old_playlists > 0)));
    }
    lines.extend(additional_edges(insight, shown).map(Line::raw));
    let mut section = |title: &'static str, told: Vec<String>, none: &'static str, bad: bool| {
        lines.push(Line::default());
        lines.push(Line::styled(title, look.heading()));
        if told.is_empty() {
            lines.push(Line::raw(none));
        }
        lines.extend(told.into_iter().map(|text| Line::styled(text, look.bad_if(bad))));
    };
    section("caches", caches(insight), "no cache said anything", false);
    let sound = if insight.playlists.is_some() { "sound so far" } else { "not seen from inside" };
    section("live playlists", playlists(insight), sound, true);
    let failed = insight.failed.iter().map(|one| format!("{:>7} x {}: {}", one.count, one.name, one.what));
    section("objects that failed", failed.collect(), "none", true);
    frame.render_widget(Paragraph::new(lines), area);
}
