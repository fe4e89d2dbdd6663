//! The page of the origin's own account: what its exporters say, and how far that agrees with ours.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use hls_swarm_model::snapshot::{Origin, Snapshot};

use super::figures;
use super::history::History;
use super::overview::{self, Curve};
use crate::tui::view::style::{ABSENT, Look, decimal};

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, history: &History, look: Look) {
    let Some(origin) = &snapshot.origin else {
        let lines = [
            Line::raw("The origin is not asked."),
            Line::default(),
            Line::raw("--origin-metrics-host HOST asks its node exporter (port 9100), its nginx"),
            Line::raw("exporter (9113) and its list of segment sizes; hls-origin has all three."),
        ];
        return frame.render_widget(Paragraph::new(lines.to_vec()), area);
    };
    let lines = lines(snapshot, origin, look);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [table, _, charts] =
        Layout::vertical([Constraint::Length(height), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines), table);
    let curves: [Curve; 2] =
        [("origin cpu", |point| point.origin_cpu), ("sent bit/s", |point| point.origin_bits)];
    overview::draw_curves(frame, charts, &curves, history, look);
}

fn lines(snapshot: &Snapshot, origin: &Origin, look: Look) -> Vec<Line<'static>> {
    let head = format!("{:<18} {:>10} {:>10} {:>10} {:>10}", "the origin's own", "now", "p50", "p95", "max");
    let mut lines = vec![Line::styled(head, look.heading())];
    for (name, factor, gauge) in origin.gauges() {
        let full = name == "cpu %" && gauge.p95 >= 95.0;
        let [now, p50, p95, max] = [gauge.now, gauge.p50, gauge.p95, gauge.max].map(|value| value * factor);
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<18} "), look.label()),
            Span::raw(format!("{now:>10.1} {p50:>10.1} ")),
            Span::styled(format!("{p95:>10.1}"), look.bad_if(full)),
            Span::raw(format!(" {max:>10.1}")),
        ]));
    }
    lines.push(Line::default());
    let number = |value: Option<u64>| value.map_or_else(|| ABSENT.to_owned(), |value| value.to_string());
    let dropped = origin.connections_dropped.is_some_and(|dropped| dropped > 0);
    lines.push(Line::styled("agreement", look.heading()));
    lines.push(figures(
        &[
            ("requests at nginx", number(origin.requests), false),
            ("by viewers", number(origin.viewer_requests), false),
            ("ratio", decimal(snapshot.agreement.origin_requests, 4), false),
            ("connections dropped", number(origin.connections_dropped), dropped),
        ],
        look,
    ));
    if let Some(sizes) = origin.segment_sizes {
        let share = (sizes.lookups > 0).then(|| sizes.found as f64 * 100.0 / sizes.lookups as f64);
        lines.push(figures(
            &[
                ("segment sizes found", format!("{} % ", decimal(share, 1)), false),
                ("of", format!("{}/{}", sizes.found, sizes.lookups), false),
                ("as published", sizes.equal.to_string(), sizes.equal < sizes.found),
            ],
            look,
        ));
    }
    for (target, times) in &origin.failures {
        let text = format!("{times:>7} x {target} could not be scraped");
        lines.push(Line::styled(text, look.bad_if(true)));
    }
    lines.extend(origin.last_failure.iter().map(|why| Line::styled(why.clone(), look.bad_if(true))));
    lines
}
