//! Drawings of a run over time: viewers by state, throughput with what viewers need, and the times of
//! segments. Every window is drawn under the same column in all of them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use hls_swarm_model::timeline::buckets::LogBuckets;
use hls_swarm_model::verdict::threshold::Threshold;

use super::style::{Theme, milliseconds};
use super::windows::{Window, Windows};
use crate::output::figures::{self, bit_rate, clock};

/// Columns of the labels at the left of a drawing.
const LABEL: u16 = 9;
/// Shades of a cell of the heat map, by the share of the window's segments.
const SHADES: [char; 4] = ['░', '▒', '▓', '█'];

/// The newest windows that fit, one per column.
fn visible(windows: &Windows, area: Rect) -> impl ExactSizeIterator<Item = &Window> + Clone {
    windows.newest(usize::from(area.width.saturating_sub(LABEL)))
}

/// A title, and rows of cells with a label each; the first and last second below them.
fn draw_rows<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: Line<'static>,
    rows: Vec<(String, Vec<(char, Style)>)>,
    mut windows: impl ExactSizeIterator<Item = &'a Window>,
    theme: Theme,
) {
    let mut lines = vec![title];
    for (label, cells) in rows {
        let mut spans = vec![Span::styled(format!("{label:>8} "), theme.label())];
        // Cells of one style are one span: a frame has few of them.
        let mut run = String::new();
        let mut style = Style::new();
        for (cell, of) in cells {
            if of != style && !run.is_empty() {
                spans.push(Span::styled(std::mem::take(&mut run), style));
            }
            style = of;
            run.push(cell);
        }
        spans.push(Span::styled(run, style));
        lines.push(Line::from(spans));
    }
    let columns = windows.len();
    let first = windows.next();
    let from = first.map_or(0.0, |window| window.second);
    let to = windows.last().or(first).map_or(0.0, |window| window.second + window.seconds);
    let (from, to) = (clock(from), clock(to));
    let room = columns.max(from.chars().count() + to.chars().count() + 1);
    let axis = format!("{:9}{from}{to:>width$}", "", width = room - from.chars().count());
    lines.push(Line::styled(axis, theme.label()));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The rows that an area of this height has between its title and its axis; `None` if it is too small to draw into.
fn rows_of(area: Rect) -> Option<usize> {
    (area.height >= 4 && area.width >= LABEL + 8).then(|| usize::from(area.height) - 2)
}

/// The largest of some values, and at least a tiny one.
fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| value.is_finite()).fold(1e-9, f64::max)
}

/// A value as the number of eighths of `rows` cells.
fn eighths(value: f64, most: f64, rows: usize) -> usize {
    ((value / most).clamp(0.0, 1.0) * rows as f64 * 8.0).round() as usize
}

/// Draws viewers by state, stacked: playing, stalled, starting, and waiting to be started.
pub(super) fn draw_viewers(frame: &mut Frame<'_>, area: Rect, windows: &Windows, theme: Theme) {
    let Some(rows) = rows_of(area) else { return };
    let windows = visible(windows, area);
    let styles = theme.states();
    let top = most(windows.clone().map(|window| window.viewers().iter().sum()));
    let stacks: Vec<[usize; 4]> = windows
        .clone()
        .map(|window| {
            let mut below = 0.0;
            window.viewers().map(|viewers| {
                below += viewers;
                ((below / top).clamp(0.0, 1.0) * rows as f64).round() as usize
            })
        })
        .collect();
    let drawn = (0..rows).map(|row| {
        let height = rows - row;
        let cells = stacks.iter().map(|stack| {
            let state = stack.iter().position(|reached| *reached >= height);
            state
                .and_then(|state| styles.get(state))
                .map_or((' ', Style::new()), |(_, glyph, style)| (*glyph, *style))
        });
        let label = if row == 0 { format!("{top:.0}") } else { String::new() };
        (label, cells.collect())
    });
    let mut title = vec![Span::styled("viewers: ", theme.heading())];
    for (name, glyph, style) in styles {
        title.push(Span::styled(format!("{glyph} "), style));
        title.push(Span::raw(format!("{name}  ")));
    }
    draw_rows(frame, area, Line::from(title), drawn.collect(), windows, theme);
}

/// Draws the throughput as bars, and what viewers need as a line.
pub(super) fn draw_throughput(frame: &mut Frame<'_>, area: Rect, windows: &Windows, theme: Theme) {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(rows) = rows_of(area) else { return };
    let windows = visible(windows, area);
    let top = most(windows.clone().flat_map(|window| [window.throughput(), window.need.unwrap_or(0.0)]));
    let drawn = (0..rows).map(|row| {
        let below = (rows - row - 1) * 8;
        let cells = windows.clone().map(|window| {
            let filled = eighths(window.throughput(), top, rows).saturating_sub(below).min(8);
            let needed = window.need.map(|need| eighths(need, top, rows).saturating_sub(1) / 8);
            if needed == Some(rows - row - 1) {
                return ('━', theme.heading());
            }
            let bar = filled.checked_sub(1).and_then(|index| BARS.get(index)).copied().unwrap_or(' ');
            (bar, theme.plain())
        });
        let label = if row == 0 { bit_rate(top).replace("bit/s", "b") } else { String::new() };
        (label.chars().take(8).collect(), cells.collect())
    });
    // The last window may just have begun.
    let last = windows.clone().filter(|window| window.seconds >= 1.0).last();
    let now = last.map_or_else(|| "-".to_owned(), |window| bit_rate(window.throughput()));
    let needed = last.and_then(|window| window.need).map_or_else(|| "-".to_owned(), bit_rate);
    let title = Line::from(vec![
        Span::styled("rate ", theme.heading()),
        Span::raw(format!("{now}  ")),
        Span::styled("━ need ", theme.heading()),
        Span::raw(needed),
    ]);
    draw_rows(frame, area, title, drawn.collect(), windows, theme);
}

/// Draws how long segments took, as a heat map: each row has as many buckets of the timeline as the height asks for.
pub(super) fn draw_heat(
    frame: &mut Frame<'_>,
    area: Rect,
    windows: &Windows,
    thresholds: &[Threshold],
    theme: Theme,
) {
    let Some(rows) = rows_of(area) else { return };
    let windows = visible(windows, area);
    let limit = thresholds.iter().find(|one| matches!(one.metric(), "segment_total" | "segment_ttfb"));
    let first_byte = limit.is_some_and(|limit| limit.metric() == "segment_ttfb");
    let columns: Vec<&LogBuckets> =
        windows.clone().map(|window| if first_byte { &window.ttfb } else { &window.total }).collect();
    let used = columns.iter().flat_map(|column| column.iter()).map(|(bucket, _)| usize::from(bucket));
    let Some((least, largest)) = used.clone().min().zip(used.max()) else {
        let text = Line::styled("segment times: no segment so far", theme.heading());
        return frame.render_widget(text, area);
    };
    let per_row = (largest + 1 - least).div_ceil(rows);
    let mut drawn = Vec::new();
    for from in (least..=largest).step_by(per_row).collect::<Vec<_>>().into_iter().rev() {
        let buckets = from..from + per_row;
        let end = |bucket: usize| u8::try_from(bucket).unwrap_or(u8::MAX);
        let (lower, upper) = (LogBuckets::lower(end(from)), LogBuckets::upper(end(from + per_row - 1)));
        // The middle of a row decides on which side of the limit it is.
        let middle = if upper.is_finite() { lower.midpoint(upper) } else { lower };
        let slow = limit.is_some_and(|limit| !limit.holds(middle));
        let cells = columns.iter().map(|column| {
            let own = column.iter().filter(|(bucket, _)| buckets.contains(&usize::from(*bucket)));
            let count = own.fold(0_u64, |sum, (_, count)| sum.saturating_add(count));
            if count == 0 {
                return (' ', Style::new());
            }
            let share = count as f64 / column.count().max(1) as f64;
            let shade = ((share * SHADES.len() as f64).ceil() as usize).clamp(1, SHADES.len()) - 1;
            let style = if slow { theme.doubtful() } else { theme.plain() };
            (SHADES.get(shade).copied().unwrap_or('█'), style)
        });
        let mark = if slow { '!' } else { ' ' };
        // At most seven columns: the mark follows.
        let label = match upper {
            upper if !upper.is_finite() => "more".to_owned(),
            10.0.. => format!("{upper:.0} s"),
            1.0.. => format!("{upper:.1} s"),
            0.0995.. => format!("{:.0} ms", upper * 1000.0),
            _ => format!("{} ms", milliseconds(upper)),
        };
        drawn.push((format!("{label}{mark}"), cells.collect()));
    }
    let what = if first_byte { "segment ttfb up to" } else { "segment times up to" };
    let limit = limit.map_or_else(String::new, |limit| match limit.upper_limit() {
        Some(seconds) => format!(", ! above {}", figures::milliseconds(seconds)),
        None => format!(", ! not {limit}"),
    });
    let title = Line::from(vec![Span::styled(what, theme.heading()), Span::raw(limit)]);
    draw_rows(frame, area, title, drawn, windows, theme);
}
