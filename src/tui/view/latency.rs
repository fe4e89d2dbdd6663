//! The page of latencies: by kind of object as a table, segments over time as charts.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph};

use hls_swarm_model::snapshot::{Quantiles, Snapshot};

use super::WIDE;
use super::state::{History, Point};
use super::style::{Theme, milliseconds};
use crate::output::figures::clock;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, history: &History, theme: Theme) {
    let rows = rows(snapshot);
    let height = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX);
    let [table, charts] = if area.width >= WIDE {
        Layout::horizontal([Constraint::Length(72), Constraint::Min(0)]).areas(area)
    } else {
        Layout::vertical([Constraint::Max(height), Constraint::Min(6)]).areas(area)
    };
    draw_table(frame, table, &rows, theme);
    // Only one chart if there is no space for two.
    let two = if area.width >= WIDE { charts.height >= 16 } else { charts.height >= 20 };
    let [first, second] =
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(u16::from(two))]).areas(charts);
    if two {
        draw_chart(frame, first, &[MEAN], history, theme);
        draw_chart(frame, second, &[P95, P99], history, theme);
    } else {
        draw_chart(frame, charts, &[MEAN, P95], history, theme);
    }
}

/// Returns name and percentiles of everything that was measured, in the order of the summary.
pub(crate) fn rows(snapshot: &Snapshot) -> Vec<(String, Quantiles)> {
    snapshot.latency.measured().map(|(timing, quantiles)| (timing.title(), quantiles)).collect()
}

/// Draws a table of percentiles.
pub(crate) fn draw_table(frame: &mut Frame<'_>, area: Rect, rows: &[(String, Quantiles)], theme: Theme) {
    let head =
        format!("{:<18} {:>9} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "count", "p50", "p95", "p99", "max");
    let mut lines = vec![Line::styled(head, theme.heading())];
    if rows.is_empty() {
        lines.push(Line::raw("no measurements so far"));
    }
    for (name, quantiles) in rows {
        let values = [quantiles.p50, quantiles.p95, quantiles.p99, quantiles.max].map(milliseconds);
        let [p50, p95, p99, max] = values;
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<18} "), theme.label()),
            Span::raw(format!("{:>9} {p50:>9} {p95:>9} {p99:>9} {max:>9}", quantiles.count)),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// A curve: its name, and its value at a point.
pub(crate) type Curve = (&'static str, fn(&Point) -> Option<f64>);

/// Segments that were complete within each second.
pub(crate) const MEAN: Curve = ("average of each second", |point| point.segment_mean);
/// All segments so far.
pub(crate) const P95: Curve = ("p95 since the start", |point| point.segment_p95);
const P99: Curve = ("p99", |point| point.segment_p99);

/// Draws segment latency over time.
pub(crate) fn draw_chart(
    frame: &mut Frame<'_>,
    area: Rect,
    curves: &[Curve],
    history: &History,
    theme: Theme,
) {
    if area.height < 4 || area.width < 20 {
        return;
    }
    let series: Vec<Vec<(f64, f64)>> = curves
        .iter()
        .map(|(_, value)| {
            history.iter().filter_map(|point| Some((point.at, value(point)? * 1000.0))).collect()
        })
        .collect();
    let all = || series.iter().flatten().map(|(_, value)| *value);
    let top = all().fold(0.0, f64::max).max(0.1) * 1.05;
    let (from, to) = (history.iter().next(), history.iter().next_back());
    let (from, to) = (from.map_or(0.0, |point| point.at), to.map_or(1.0, |point| point.at));
    let datasets: Vec<Dataset<'_>> = series
        .iter()
        .enumerate()
        .map(|(index, points)| {
            Dataset::default()
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(theme.line(index))
                .data(points)
        })
        .collect();
    let mut title = vec![Span::styled("segment latency, ms: ", theme.heading())];
    for (index, (name, _)) in curves.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        title.push(Span::styled(format!("{separator}{name}"), theme.line(index)));
    }
    let chart = Chart::new(datasets)
        .block(Block::new().title(Line::from(title)))
        .legend_position(None)
        .x_axis(
            Axis::default()
                .style(theme.label())
                .bounds([from, to.max(from + 1.0)])
                .labels([clock(from), clock(to)]),
        )
        .y_axis(
            Axis::default()
                .style(theme.label())
                .bounds([0.0, top])
                .labels(["0".to_owned(), format!("{top:.1}")]),
        );
    frame.render_widget(chart, area);
}
