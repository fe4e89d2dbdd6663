//! The overview page: the main figures and charts.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use hls_swarm_model::exchange::{Kind, Source};
use hls_swarm_model::snapshot::{Snapshot, Timing};
use hls_swarm_model::stats::playback::SLOW;

use super::state::{History, Point, all_errors};
use super::style::{ABSENT, Theme, bar, decimal, milliseconds, percent, scaled};
use super::{WIDE, figures, latency};
use crate::output::figures::clock;

/// Width of the label of a bar or a sparkline, columns.
const LABEL: u16 = 34;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, history: &History, theme: Theme) {
    let (figures, charts) = if area.width >= WIDE {
        let [left, charts] =
            Layout::horizontal([Constraint::Length(80), Constraint::Min(0)]).spacing(2).areas(area);
        let [figures, _, below] =
            Layout::vertical([Constraint::Length(17), Constraint::Length(1), Constraint::Min(0)]).areas(left);
        latency::draw_chart(frame, below, &[latency::MEAN, latency::P95], history, theme);
        (figures, charts)
    } else {
        let [figures, charts] = Layout::vertical([Constraint::Length(17), Constraint::Min(0)]).areas(area);
        (figures, charts)
    };
    let [gauges, middle, errors, table, condition] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(6),
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(2),
    ])
    .areas(figures);
    draw_gauges(frame, gauges, snapshot, theme);
    draw_middle(frame, middle, snapshot, theme);
    frame.render_widget(error_line(snapshot, theme), errors);
    draw_latencies(frame, table, snapshot, theme);
    frame.render_widget(Paragraph::new(condition_lines(snapshot, theme)), condition);
    draw_charts(frame, charts, history, theme);
}

fn draw_gauges(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let (playing, wanted, target) = (snapshot.playing_clients, snapshot.target_now, snapshot.target_clients);
    let share = playing as f64 / wanted.max(1) as f64;
    // Before the ramp is over, and after viewers have left, fewer are wanted than at the peak.
    let clients = if wanted == target {
        format!("{playing} of {wanted} play, {:.0} %", share * 100.0)
    } else {
        format!("{playing} of {wanted} play, peak {target}")
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
    let width = usize::from(area.width.saturating_sub(LABEL)).min(60);
    let behind = playing < wanted;
    let line = |label: &str, text: String, share: Option<f64>, bad: bool| {
        Line::from(vec![
            Span::styled(format!("{label:<8}"), theme.heading()),
            Span::styled(format!("{text:<26}"), theme.bad_if(bad)),
            Span::styled(share.map_or_else(String::new, |share| bar(share, width)), theme.good()),
        ])
    };
    let lines = vec![line("clients", clients, Some(share), behind), line("time", time, passed, false)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_middle(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let [left, right] = Layout::horizontal([Constraint::Length(42), Constraint::Min(0)]).areas(area);
    let (rates, playback, lifetimes) = (&snapshot.rates, &snapshot.playback, &snapshot.lifetimes);
    let row = |label: &str, value: String, beside: String, bad: bool| {
        Line::from(vec![
            Span::styled(format!("{label:<11} "), theme.label()),
            Span::styled(format!("{value:>9}"), theme.bad_if(bad)),
            Span::raw(format!("  {beside}")),
        ])
    };
    let count = |kind: Kind| format!("{} in total", snapshot.requests[kind]);
    let received = snapshot.received_bytes.map(|bytes| format!("{}B", scaled(bytes as f64)));
    let bytes = format!("{}B", scaled(snapshot.bytes.total() as f64));
    let load = vec![
        Line::styled("load", theme.heading()),
        row("segments", format!("{:.1} /s", rates.segment_per_second), count(Kind::Segment), false),
        row("manifests", format!("{:.1} /s", rates.manifest_per_second), count(Kind::Playlist), false),
        row("throughput", format!("{}bit/s", scaled(rates.bytes_per_second * 8.0)), String::new(), false),
        row(
            "body bytes",
            bytes,
            format!("received {}", received.unwrap_or_else(|| ABSENT.to_owned())),
            false,
        ),
    ];
    let if_measured = |text: String| if snapshot.has_playback() { text } else { ABSENT.to_owned() };
    let slow = if_measured(format!("{} below {SLOW}", playback.below_realtime));
    let now = playback.stalled_now;
    let health = vec![
        Line::styled("playback", theme.heading()),
        row("speed", decimal(playback.average_speed, 2), slow, playback.below_realtime > 0),
        row(
            "stalled now",
            if_measured(now.to_string()),
            if_measured(format!("{} in total", lifetimes.stalled)),
            now > 0,
        ),
        match snapshot.quality.as_ref().and_then(|quality| quality.bitrate_played) {
            // What players report shows more.
            Some(bits) => row("bitrate", format!("{}bit/s", scaled(bits)), behind(snapshot), false),
            None => row(
                "drift s",
                decimal(playback.average_drift_seconds, 1),
                format!("max {}", decimal(playback.max_drift_seconds, 1)),
                playback.high_drift > 0,
            ),
        },
        row(
            "restarts",
            lifetimes.restarts.to_string(),
            format!("{} failed", lifetimes.given_up),
            lifetimes.restarts + lifetimes.given_up > 0,
        ),
    ];
    frame.render_widget(Paragraph::new(load), left);
    frame.render_widget(Paragraph::new(health), right);
}

/// Live latency, for people.
fn behind(snapshot: &Snapshot) -> String {
    let latency = snapshot.latency[Timing::LatencyByEdge];
    latency.map_or_else(String::new, |q| format!("live latency {:.1} s", q.p50))
}

/// Returns the errors on one line.
pub(crate) fn error_line(snapshot: &Snapshot, theme: Theme) -> Line<'static> {
    let responses =
        |from: u16| -> u64 { snapshot.http_status.range(from..from + 100).map(|(_, count)| count).sum() };
    let errors = &snapshot.errors;
    let pair = |label: &'static str, count: u64| (label, count.to_string(), count > 0);
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
    let total = format!("{all} ({})  ", percent(errors.rate, 2));
    line.spans.insert(0, Span::styled(total, theme.bad_if(all > 0)));
    line.spans.insert(0, Span::styled("errors ", theme.heading()));
    line
}

fn draw_latencies(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let [_, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let wanted = ["manifest ttfb", "segment ttfb", "segment total", "startup"];
    let rows: Vec<_> =
        latency::rows(snapshot).into_iter().filter(|(name, _)| wanted.contains(&name.as_str())).collect();
    latency::draw_table(frame, area, &rows, theme);
}

fn condition_lines(snapshot: &Snapshot, theme: Theme) -> Vec<Line<'static>> {
    let generator = &snapshot.generator;
    let source = match snapshot.sources.requests {
        Source::Probe => "probe",
        Source::Native => "native viewers",
        Source::Log => "log, INFERRED",
    };
    let cpu = |percent: Option<f64>| format!("{} %", decimal(percent, 1));
    let waiting = generator.waits.of_viewers();
    vec![
        Line::default(),
        figures(
            &[
                ("source", source.to_owned(), snapshot.sources.requests == Source::Log),
                ("cpu", cpu(generator.cpu_percent), false),
                ("own", cpu(generator.own_cpu_percent), false),
                (
                    "waiting",
                    cpu(waiting.map(|share| share * 100.0)),
                    waiting.is_some_and(|share| share > 0.05),
                ),
                ("timers late", format!("{} ms", milliseconds(generator.max_lag_ms / 1e3)), false),
                ("lost", generator.events_lost.to_string(), generator.events_lost > 0),
            ],
            theme,
        ),
    ]
}

/// A curve: its name with a unit, and its value at a point.
pub(crate) type Curve = (&'static str, fn(&Point) -> Option<f64>);

fn draw_charts(frame: &mut Frame<'_>, area: Rect, history: &History, theme: Theme) {
    let curves: [Curve; 4] = [
        ("playing", |point| Some(point.playing)),
        ("segments/s", |point| Some(point.segments)),
        ("bit/s", |point| Some(point.bits)),
        ("errors/s", |point| Some(point.errors)),
    ];
    draw_curves(frame, area, &curves, history, theme);
}

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
    let line = Sparkline::default().data(data).max(whole(most).max(1)).style(theme.good());
    frame.render_widget(line, chart);
}
