//! The pages about the server side: the origin's own figures and their agreement with the viewers'; edges, caches and
//! playlists.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use hls_swarm_model::snapshot::{Origin, Snapshot};

use super::figures;
use super::overview::{self, Curve};
use super::state::History;
use super::style::{ABSENT, Theme, decimal};
use crate::output::insight::{additional_edges, caches, edge_row, playlists};

/// Draws the page of the origin's own figures.
pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, history: &History, theme: Theme) {
    let Some(origin) = &snapshot.origin else {
        let lines = [
            Line::raw("The origin's metrics are not scraped."),
            Line::default(),
            Line::raw("--origin-metrics-host HOST scrapes its node exporter (port 9100), its nginx"),
            Line::raw("exporter (9113) and its list of segment sizes; hls-origin provides all three."),
        ];
        return frame.render_widget(Paragraph::new(lines.to_vec()), area);
    };
    let lines = lines(snapshot, origin, theme);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [table, _, charts] =
        Layout::vertical([Constraint::Length(height), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines), table);
    let curves: [Curve; 2] =
        [("origin cpu", |point| point.origin_cpu), ("sent bit/s", |point| point.origin_bits)];
    overview::draw_curves(frame, charts, &curves, history, theme);
}

fn lines(snapshot: &Snapshot, origin: &Origin, theme: Theme) -> Vec<Line<'static>> {
    let head = format!("{:<18} {:>10} {:>10} {:>10} {:>10}", "origin", "now", "p50", "p95", "max");
    let mut lines = vec![Line::styled(head, theme.heading())];
    for (name, factor, gauge) in origin.gauges() {
        let full = name == "cpu %" && gauge.p95 >= 95.0;
        let [now, p50, p95, max] = [gauge.now, gauge.p50, gauge.p95, gauge.max].map(|value| value * factor);
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<18} "), theme.label()),
            Span::raw(format!("{now:>10.1} {p50:>10.1} ")),
            Span::styled(format!("{p95:>10.1}"), theme.bad_if(full)),
            Span::raw(format!(" {max:>10.1}")),
        ]));
    }
    lines.push(Line::default());
    let number = |value: Option<u64>| value.map_or_else(|| ABSENT.to_owned(), |value| value.to_string());
    let dropped = origin.connections_dropped.is_some_and(|dropped| dropped > 0);
    lines.push(Line::styled("agreement", theme.heading()));
    lines.push(figures(
        &[
            ("requests at nginx", number(origin.requests), false),
            ("by viewers", number(origin.viewer_requests), false),
            ("ratio", decimal(snapshot.agreement.origin_requests, 4), false),
            ("connections dropped", number(origin.connections_dropped), dropped),
        ],
        theme,
    ));
    if let Some(sizes) = origin.segment_sizes {
        let share = (sizes.lookups > 0).then(|| sizes.found as f64 * 100.0 / sizes.lookups as f64);
        lines.push(figures(
            &[
                ("segment sizes found", format!("{} % ", decimal(share, 1)), false),
                ("of", format!("{}/{}", sizes.found, sizes.lookups), false),
                ("as published", sizes.equal.to_string(), sizes.equal < sizes.found),
            ],
            theme,
        ));
    }
    for (target, times) in &origin.failures {
        let text = format!("{times:>7} x {target} could not be scraped");
        lines.push(Line::styled(text, theme.bad_if(true)));
    }
    lines.extend(origin.last_failure.iter().map(|why| Line::styled(why.clone(), theme.bad_if(true))));
    lines
}

/// Draws the page of edges, caches and playlists.
pub(crate) fn draw_insight(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let insight = &snapshot.insight;
    // It fits into 80 columns; a longer name is truncated.
    let row = |[name, requests, bytes, errors, connects, ttfb, hits, old]: [&str; 8]| {
        format!(
            "{name:<24.24} {requests:>8} {bytes:>8} {errors:>6} {connects:>5} {ttfb:>9} {hits:>8} {old:>4}"
        )
    };
    let head = row(["edges", "requests", "bytes", "errors", "conns", "ttfb p95", "hits", "old"]);
    let mut lines = vec![Line::styled(head, theme.heading())];
    if insight.edges.is_empty() {
        lines.push(Line::raw("no edge was seen"));
    }
    // The other sections need about half of the page.
    let shown = usize::from(area.height / 2).saturating_sub(2).max(5);
    for edge in insight.edges.iter().take(shown) {
        let cells = edge_row(edge);
        let text = row(cells.each_ref().map(String::as_str));
        lines.push(Line::styled(text, theme.bad_if(edge.errors + edge.old_playlists > 0)));
    }
    lines.extend(additional_edges(insight, shown).map(Line::raw));
    let mut section = |title: &'static str, observations: Vec<String>, none: &'static str, bad: bool| {
        lines.push(Line::default());
        lines.push(Line::styled(title, theme.heading()));
        if observations.is_empty() {
            lines.push(Line::raw(none));
        }
        lines.extend(observations.into_iter().map(|text| Line::styled(text, theme.bad_if(bad))));
    };
    section("caches", caches(insight), "no cache headers so far", false);
    let no_errors =
        if insight.playlists.is_some() { "no errors so far" } else { "their content is not visible" };
    section("live playlists", playlists(insight), no_errors, true);
    let failed = insight.failed.iter().map(|one| format!("{:>7} x {}: {}", one.count, one.name, one.what));
    section("objects that failed", failed.collect(), "none", true);
    frame.render_widget(Paragraph::new(lines), area);
}
