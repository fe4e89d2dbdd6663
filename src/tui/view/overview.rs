//! The overview page: whether the run holds now, and what over time led to that.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::{Snapshot, StageRow, Timing};
use hls_swarm_model::stats::playback::SLOW;
use hls_swarm_model::timeline::buckets::LogBuckets;
use hls_swarm_model::verdict::Criterion;
use hls_swarm_model::verdict::so_far::so_far;
use hls_swarm_model::verdict::threshold::Threshold;

use super::state::{Figures, History, Point, all_errors};
use super::style::{ABSENT, Theme, bar, decimal, milliseconds, percent, scaled};
use super::windows::{Windows, by_state};
use super::{WIDE, criteria, figures, lanes, latency, series};
use crate::output::figures::{bit_rate, bytes, clock, count, failure_line};

/// Width of the label of a sparkline, columns.
const LABEL: u16 = 34;
/// Width of the label of a bar: 10 000 viewers fit.
const GAUGE: u16 = 38;
/// From this height on, a wide page has everything.
const TALL: u16 = 40;
/// How far back the percentiles of now reach, seconds.
const NOW: f64 = 10.0;

/// Draws the page.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    snapshot: &Snapshot,
    figures: &Figures,
    thresholds: &[Threshold],
    theme: Theme,
) {
    if area.width >= WIDE && area.height >= TALL {
        draw_large(frame, area, snapshot, figures, thresholds, theme);
    } else {
        draw_small(frame, area, snapshot, &figures.windows, thresholds, theme);
    }
}

/// What is of use on 80 columns and 24 lines.
fn draw_small(
    frame: &mut Frame<'_>,
    area: Rect,
    snapshot: &Snapshot,
    windows: &Windows,
    thresholds: &[Threshold],
    theme: Theme,
) {
    let criteria = so_far(snapshot, thresholds);
    let listed = u16::try_from(criteria.len().div_ceil(2).min(3)).unwrap_or(3);
    let stages = u16::from(!snapshot.stages.is_empty());
    let [gauges, judged, held, load, now, errors, drawings, lanes, condition] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(listed),
        Constraint::Length(stages),
        Constraint::Length(2),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(5),
        Constraint::Length(3),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_gauges(frame, gauges, snapshot, theme);
    draw_criteria(frame, judged, &criteria, 2, theme);
    frame.render_widget(stage_line(snapshot, theme), held);
    frame.render_widget(Paragraph::new(load_lines(snapshot, theme)), load);
    frame.render_widget(Paragraph::new(recent_lines(windows, theme)), now);
    frame.render_widget(error_line(snapshot, theme), errors);
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1).areas(drawings);
    series::draw_throughput(frame, left, windows, theme);
    series::draw_heat(frame, right, windows, thresholds, theme);
    lanes::draw(frame, lanes, windows, theme);
    frame.render_widget(condition_line(snapshot, theme), condition);
}

/// More figures on the left, and all drawings on the right.
fn draw_large(
    frame: &mut Frame<'_>,
    area: Rect,
    snapshot: &Snapshot,
    figures: &Figures,
    thresholds: &[Threshold],
    theme: Theme,
) {
    let (windows, history) = (&figures.windows, &figures.history);
    let criteria = so_far(snapshot, thresholds);
    let [left, right] =
        Layout::horizontal([Constraint::Length(80), Constraint::Min(0)]).spacing(2).areas(area);
    let listed = u16::try_from(criteria.len().min(8)).unwrap_or(8);
    let stages = u16::try_from(snapshot.stages.len().min(6)).unwrap_or(6);
    let times = latency::rows(snapshot);
    let table = u16::try_from(times.len().min(11) + 1).unwrap_or(12);
    let failures = u16::try_from(snapshot.timeline.failures.len().min(6)).unwrap_or(6);
    let rows = [2, listed, stages, 2, 3, 1 + failures, table, 1];
    let parts = rows.map(|height| Constraint::Length(height + 1));
    let [gauges, judged, held, load, now, errors, measured, condition, curves] =
        Layout::vertical(parts.into_iter().chain([Constraint::Min(0)]).collect::<Vec<_>>()).areas(left);
    draw_gauges(frame, gauges, snapshot, theme);
    draw_criteria(frame, judged, &criteria, 1, theme);
    let shown = snapshot.stages.iter().rev().take(usize::from(stages)).rev();
    let held_lines: Vec<Line<'_>> = shown.map(|row| stage_row(row, theme)).collect();
    frame.render_widget(Paragraph::new(held_lines), held);
    frame.render_widget(Paragraph::new(load_lines(snapshot, theme)), load);
    frame.render_widget(Paragraph::new(recent_lines(windows, theme)), now);
    let mut failed = vec![error_line(snapshot, theme)];
    let groups = snapshot.timeline.failures.iter().take(usize::from(failures));
    failed.extend(groups.map(|group| Line::styled(format!("  {}", failure_line(group)), theme.bad_if(true))));
    frame.render_widget(Paragraph::new(failed), errors);
    latency::draw_table(frame, measured, &times, theme);
    frame.render_widget(condition_line(snapshot, theme), condition);
    latency::draw_chart(frame, curves, &[latency::MEAN, latency::P95], history, theme);

    let lane_lines = u16::try_from(windows.lanes().min(18) + 1).unwrap_or(19);
    let [viewers, throughput, heat, lanes] = Layout::vertical([
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Fill(4),
        Constraint::Length(lane_lines),
    ])
    .areas(right);
    series::draw_viewers(frame, viewers, windows, theme);
    series::draw_throughput(frame, throughput, windows, theme);
    series::draw_heat(frame, heat, windows, thresholds, theme);
    lanes::draw(frame, lanes, windows, theme);
}

fn draw_gauges(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let (playing, wanted, target) = (snapshot.playing_clients, snapshot.target_now, snapshot.target_clients);
    let share = playing as f64 / wanted.max(1) as f64;
    let (playing_text, wanted_text) = (count(playing), count(wanted));
    // Before the ramp is over, and after viewers have left, fewer are wanted than at the peak.
    let clients = if wanted == target {
        format!("{playing_text} of {wanted_text} play, {:.0} %", share * 100.0)
    } else {
        format!("{playing_text} of {wanted_text} play, peak {}", count(target))
    };
    let (time, passed) = match snapshot.planned_seconds {
        Some(planned) => {
            let elapsed = snapshot.elapsed_seconds;
            (
                format!("{} of {}, {} left", clock(elapsed), clock(planned), clock(planned - elapsed)),
                Some(elapsed / planned.max(0.001)),
            )
        }
        None => (format!("{}, until stopped", clock(snapshot.elapsed_seconds)), None),
    };
    let width = usize::from(area.width.saturating_sub(GAUGE)).min(60);
    let mut viewers = vec![
        Span::styled(format!("{:<8}", "clients"), theme.heading()),
        Span::styled(format!("{clients:<29} "), theme.bad_if(playing < wanted)),
    ];
    let states = by_state(snapshot);
    let all = states.iter().sum::<u64>().max(wanted).max(1);
    let mut drawn = 0;
    let mut below = 0;
    for (viewers_of, (_, glyph, style)) in states.into_iter().zip(theme.states()) {
        below += viewers_of;
        let reached = ((below as f64 / all as f64).min(1.0) * width as f64).round() as usize;
        // A single viewer is seen, too.
        let columns = reached.saturating_sub(drawn).max(usize::from(viewers_of > 0 && drawn < width));
        viewers.push(Span::styled(glyph.to_string().repeat(columns), style));
        drawn += columns;
    }
    let progress = Line::from(vec![
        Span::styled(format!("{:<8}", "time"), theme.heading()),
        Span::raw(format!("{time:<29} ")),
        Span::styled(passed.map_or_else(String::new, |share| bar(share, width)), theme.plain()),
    ]);
    frame.render_widget(Paragraph::new(vec![Line::from(viewers), progress]), area);
}

/// Draws criteria in columns; how many more there are is at the end of the last one.
fn draw_criteria(frame: &mut Frame<'_>, area: Rect, criteria: &[Criterion], columns: u32, theme: Theme) {
    let cells = Layout::horizontal(vec![Constraint::Ratio(1, columns); columns as usize]).split(area);
    let rows = usize::from(area.height.min(8));
    let room = rows * columns as usize;
    for (place, criterion) in criteria.iter().take(room).enumerate() {
        let (Some(cell), row) = (cells.get(place % columns as usize), place / columns as usize) else {
            continue;
        };
        let more = criteria.len().saturating_sub(room);
        let last = place + 1 == room && more > 0;
        let width = usize::from(cell.width).saturating_sub(if last { 9 } else { 0 });
        let mut line = criteria::line(criterion, width, theme);
        if last {
            line.push_span(Span::styled(format!(" +{more} more"), theme.label()));
        }
        let row = Rect { y: cell.y + u16::try_from(row).unwrap_or(0), height: 1, ..*cell };
        frame.render_widget(line, row.intersection(area));
    }
}

fn stage_mark(row: &StageRow, theme: Theme) -> Span<'static> {
    match row.met {
        Some(true) => Span::styled("✓ ", theme.good()),
        Some(false) => Span::styled("✗ ", theme.bad_if(true)),
        None => Span::styled("· ", theme.label()),
    }
}

/// The stages on one line, the newest ones where there are many.
fn stage_line(snapshot: &Snapshot, theme: Theme) -> Line<'static> {
    let mut spans = vec![Span::styled("stages  ", theme.heading())];
    for row in snapshot.stages.iter().skip(snapshot.stages.len().saturating_sub(5)) {
        spans.push(stage_mark(row, theme));
        spans.push(Span::raw(format!("{}  ", row.title().chars().take(12).collect::<String>())));
    }
    Line::from(spans)
}

fn stage_row(row: &StageRow, theme: Theme) -> Line<'static> {
    let times =
        row.segment_total.map_or_else(|| ABSENT.to_owned(), |q| format!("{} ms", milliseconds(q.p95)));
    Line::from(vec![
        stage_mark(row, theme),
        Span::raw(format!(
            "{:<22.22} from {:>6}  segment p95 {times:>10}  {:>11}  errors {}",
            row.title(),
            clock(row.began_seconds),
            bit_rate(row.bytes_per_second() * 8.0),
            percent(row.errors.rate, 2),
        )),
    ])
}

fn load_lines(snapshot: &Snapshot, theme: Theme) -> Vec<Line<'static>> {
    let (rates, playback, lifetimes) = (&snapshot.rates, &snapshot.playback, &snapshot.lifetimes);
    let per_second = |rate: f64| format!("{rate:.1}/s");
    let load = figures(
        &[
            ("segments", per_second(rates.segment_per_second), false),
            ("manifests", per_second(rates.manifest_per_second), false),
            ("throughput", bit_rate(rates.bytes_per_second * 8.0), false),
            ("body", bytes(snapshot.bytes.total()), false),
        ],
        theme,
    );
    let if_measured = |text: String| if snapshot.has_playback() { text } else { ABSENT.to_owned() };
    let stalled = if_measured(format!("{} now, {} in total", playback.stalled_now, lifetimes.stalled));
    let mut pairs = vec![
        (
            "speed",
            decimal(playback.average_speed, 2),
            playback.average_speed.is_some_and(|speed| speed < SLOW),
        ),
        ("stalled", stalled, playback.stalled_now > 0),
    ];
    match snapshot.quality.as_ref().and_then(|quality| quality.bitrate_played) {
        // What players report shows more.
        Some(bits) => {
            pairs.push(("bitrate", bit_rate(bits), false));
            let behind = snapshot.latency[Timing::LatencyByEdge];
            pairs.extend(behind.map(|q| ("latency", format!("{:.1} s", q.p50), false)));
        }
        None => {
            let drift = format!("{} s", decimal(playback.max_drift_seconds, 1));
            pairs.push(("max drift", if_measured(drift), playback.high_drift > 0));
        }
    }
    pairs.push(("restarts", lifetimes.restarts.to_string(), lifetimes.restarts > 0));
    pairs.push(("given up", lifetimes.given_up.to_string(), lifetimes.given_up > 0));
    vec![load, figures(&pairs, theme)]
}

/// Percentiles of the last seconds.
fn recent_lines(windows: &Windows, theme: Theme) -> Vec<Line<'static>> {
    let (ttfb, total, seconds) = windows.recent(NOW);
    let title = format!("last {seconds:.0} s, ms");
    let head = format!("{title:<18} {:>9} {:>9} {:>9} {:>9}", "count", "p50", "p95", "p99");
    let row = |name: &str, times: &LogBuckets| {
        let value = |quantile: f64| times.quantile(quantile).map_or_else(|| ABSENT.to_owned(), milliseconds);
        Line::from(vec![
            Span::styled(format!("{name:<18} "), theme.label()),
            Span::raw(format!(
                "{:>9} {:>9} {:>9} {:>9}",
                count(times.count()),
                value(0.5),
                value(0.95),
                value(0.99)
            )),
        ])
    };
    vec![Line::styled(head, theme.heading()), row("segment ttfb", &ttfb), row("segment total", &total)]
}

/// Returns the errors on one line.
pub(crate) fn error_line(snapshot: &Snapshot, theme: Theme) -> Line<'static> {
    let responses =
        |from: u16| -> u64 { snapshot.http_status.range(from..from + 100).map(|(_, count)| count).sum() };
    let errors = &snapshot.errors;
    let pair = |label: &'static str, number: u64| (label, count(number), number > 0);
    let all = all_errors(snapshot);
    let mut line = figures(
        &[
            pair("4xx", responses(400)),
            pair("5xx", responses(500)),
            pair("interrupted", errors.broken),
            pair("timed out", errors.timeouts),
            pair("connects", errors.connect),
        ],
        theme,
    );
    let total = format!("{} ({})  ", count(all), percent(errors.rate, 2));
    line.spans.insert(0, Span::styled(total, theme.bad_if(all > 0)));
    line.spans.insert(0, Span::styled("errors ", theme.heading()));
    line
}

fn condition_line(snapshot: &Snapshot, theme: Theme) -> Line<'static> {
    let generator = &snapshot.generator;
    let source = match snapshot.sources.requests {
        Source::Probe => "probe",
        Source::Native => "native viewers",
        Source::Log => "log, INFERRED",
    };
    let cpu = |percent: Option<f64>| format!("{} %", decimal(percent, 1));
    let waiting = generator.waits.of_viewers();
    figures(
        &[
            ("source", source.to_owned(), snapshot.sources.requests == Source::Log),
            ("cpu", cpu(generator.cpu_percent), false),
            ("own", cpu(generator.own_cpu_percent), false),
            ("waiting", cpu(waiting.map(|share| share * 100.0)), waiting.is_some_and(|share| share > 0.05)),
            ("timers late", format!("{} ms", milliseconds(generator.max_lag_ms / 1e3)), false),
            ("lost", generator.events_lost.to_string(), generator.events_lost > 0),
        ],
        theme,
    )
}

/// A curve: its name with a unit, and its value at a point.
pub(crate) type Curve = (&'static str, fn(&Point) -> Option<f64>);

/// Draws curves below each other.
pub(crate) fn draw_curves(
    frame: &mut Frame<'_>,
    area: Rect,
    curves: &[Curve],
    history: &History,
    theme: Theme,
) {
    // With fewer lines than curves, only the first curves are drawn.
    let shown = usize::from(area.height).min(curves.len());
    let rows = Layout::vertical(vec![Constraint::Fill(1); shown.max(1)]).split(area);
    for ((index, (name, value)), row) in curves.iter().enumerate().zip(rows.iter()) {
        // A blank line between curves if there is space.
        let gap = u16::from(row.height > 2 && index > 0);
        let row = Rect { y: row.y + gap, height: row.height - gap, ..*row };
        draw_curve(frame, row, name, history.newest(usize::from(area.width)).map(value), theme);
    }
}

fn draw_curve(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    values: impl Iterator<Item = Option<f64>>,
    theme: Theme,
) {
    let values: Vec<Option<f64>> = values.collect();
    let now = values.last().copied().flatten();
    let short = |value: f64| if value < 100.0 { format!("{value:.1}") } else { scaled(value) };
    let room = usize::from(area.width.saturating_sub(LABEL));
    // On one line, the curve is beside its label; on more lines, below it.
    let (drawn, visible) = if area.height > 1 {
        (area.width, usize::from(area.width))
    } else {
        (area.width.saturating_sub(LABEL), room)
    };
    let recent = values.get(values.len().saturating_sub(visible)..).unwrap_or_default();
    let most = recent.iter().flatten().copied().fold(0.0, f64::max);
    let text =
        format!("{name:<11}{:>8}  max {:<8}", now.map_or_else(|| ABSENT.to_owned(), short), short(most));
    let label = Rect { height: area.height.min(1), ..area };
    frame.render_widget(Line::styled(text, theme.heading()), label);
    let chart = if area.height > 1 {
        Rect { y: area.y + 1, height: area.height - 1, ..area }
    } else {
        Rect { x: area.x + (area.width - drawn), width: drawn, ..area }
    };
    // A sparkline takes whole numbers; a thousandth is finer than a cell can show.
    let whole = |value: f64| (value * 1000.0) as u64;
    let data: Vec<Option<u64>> = recent.iter().map(|value| value.map(whole)).collect();
    let line = Sparkline::default().data(data).max(whole(most).max(1)).style(theme.plain());
    frame.render_widget(line, chart);
}
