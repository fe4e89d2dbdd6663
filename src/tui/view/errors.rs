//! The page of errors: counters, status codes, and reasons as FFmpeg and the operating system word them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use hls_swarm_model::metric::counters::Counter;
use hls_swarm_model::snapshot::Snapshot;

use super::state::all_errors;
use super::style::{Theme, percent};
use super::{figures, overview};
use crate::output::figures::failure_line;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let lifetimes = &snapshot.lifetimes;
    let exits = lifetimes.exits;
    let count = |counter| snapshot.counters[counter].unwrap_or(0);
    let mut lines = vec![
        Line::styled("requests", theme.heading()),
        overview::error_line(snapshot, theme),
        figures(
            &[
                ("of all requests", percent(snapshot.errors.rate, 3), all_errors(snapshot) > 0),
                (
                    "without a response",
                    count(Counter::Unanswered).to_string(),
                    count(Counter::Unanswered) > 0,
                ),
                ("reconnects", count(Counter::Reconnections).to_string(), false),
            ],
            theme,
        ),
    ];
    let codes: Vec<_> = snapshot
        .http_status
        .iter()
        .flat_map(|(code, count)| {
            let bad = theme.bad_if(*code >= 400);
            [Span::styled(format!("{code}: "), theme.label()), Span::styled(format!("{count}   "), bad)]
        })
        .collect();
    lines.push(Line::default());
    lines.push(Line::styled("responses by status code", theme.heading()));
    lines.push(if codes.is_empty() { Line::raw("no response so far") } else { Line::from(codes) });

    lines.push(Line::default());
    lines.push(Line::styled("viewers", theme.heading()));
    lines.push(figures(
        &[
            ("starts", lifetimes.starts.to_string(), false),
            ("restarts", lifetimes.restarts.to_string(), lifetimes.restarts > 0),
            ("failed", lifetimes.given_up.to_string(), lifetimes.given_up > 0),
            ("killed", lifetimes.killed.to_string(), lifetimes.killed > 0),
            ("exits in error", exits.error.to_string(), exits.error > 0),
            ("by signal", exits.signal.to_string(), exits.signal > 0),
        ],
        theme,
    ));
    counted(&mut lines, "why viewers ended", &snapshot.exit_reasons, theme);
    if !snapshot.timeline.failures.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("what failed", theme.heading()));
    }
    // Connections are among them.
    for group in &snapshot.timeline.failures {
        lines.push(Line::from(Span::styled(format!("  {}", failure_line(group)), theme.bad_if(true))));
    }
    // Reasons are FFmpeg's own messages, and long.
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn counted<'a>(lines: &mut Vec<Line<'a>>, title: &'a str, reasons: &'a [(String, u64)], theme: Theme) {
    if reasons.is_empty() {
        return;
    }
    lines.push(Line::default());
    lines.push(Line::styled(title, theme.heading()));
    for (reason, count) in reasons {
        lines.push(Line::from(vec![
            Span::styled(format!("{count:>7} x "), theme.bad_if(true)),
            Span::raw(reason.as_str()),
        ]));
    }
}
