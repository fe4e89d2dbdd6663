//! The help of the dashboard: keys, and how figures are to be read.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::tui::view::style::Look;

const TEXT: [&str; 20] = [
    "1-7, Tab, Shift+Tab, left, right    go to a page",
    "s                                   viewers: next sort order",
    "up, down, j, k, Page Up/Down        viewers: select; log: scroll",
    "Home, End                           the first, the last",
    "+, -, ], [                          one viewer more, fewer; ten more, fewer",
    "space                               pause the load: nobody comes; and go on",
    "f                                   freeze the display, and let it go again",
    "q, Ctrl+C                           end the run in good order, with its verdict",
    "Ctrl+C twice                        end it at once",
    "",
    "The run goes on, and figures are collected, while the display is frozen.",
    "A dash is what was not measured. Percentiles count from the start of the run,",
    "rates cover the last 10 s, charts the last 10 minutes.",
    "ttfb      from the request to the first byte of the response",
    "download  from the first byte to the last one",
    "speed     media time over wall time; 1.00 is real time",
    "drift     how far a viewer is behind the wall clock since it began to play",
    "stalled   below real time for too long, now",
    "4xx, 5xx  responses with such a status",
    "cpu, timers late, lost  of this machine; too much of them makes a run INVALID",
];

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let mut lines = vec![Line::styled("help", look.heading())];
    lines.extend(TEXT.map(Line::raw));
    frame.render_widget(Paragraph::new(lines), area);
}
