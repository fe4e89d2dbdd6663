//! Styles and number formats. No information is in color alone, so that all color can be left out
//! (NO_COLOR).

use ratatui::style::{Color, Modifier, Style};

/// The styles of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether color is used.
    pub color: bool,
}

impl Theme {
    fn tint(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Returns the style of headings.
    #[must_use]
    pub fn heading(self) -> Style {
        self.tint(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Returns the style of the selection.
    #[must_use]
    pub const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Returns the style of a good state.
    #[must_use]
    pub fn good(self) -> Style {
        self.tint(Color::Green)
    }

    /// Returns the style of what is neither good nor bad.
    #[must_use]
    pub const fn plain(self) -> Style {
        Style::new()
    }

    /// Returns the style of what is doubtful: slow, but not failed.
    #[must_use]
    pub fn doubtful(self) -> Style {
        self.tint(Color::Yellow)
    }

    /// Returns the states of viewers in the order of a stack: name, glyph, and style.
    #[must_use]
    pub fn states(self) -> [(&'static str, char, Style); 4] {
        [
            ("playing", '█', self.good()),
            ("stalled", '▒', self.bad_if(true)),
            ("starting", '░', self.plain()),
            ("waiting", '·', self.label()),
        ]
    }

    /// Returns the style of a figure, which is highlighted if it is bad.
    #[must_use]
    pub fn bad_if(self, bad: bool) -> Style {
        if bad { self.tint(Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() }
    }

    /// Returns the style of labels.
    #[must_use]
    pub fn label(self) -> Style {
        if self.color { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// Returns the style of the curve with this index. Green, yellow, and red are left to states.
    #[must_use]
    pub fn line(self, index: usize) -> Style {
        let colors = [Color::Cyan, Color::Magenta, Color::Blue];
        self.tint(colors.get(index % colors.len()).copied().unwrap_or(Color::Cyan))
    }
}

/// Stands for a figure that was not measured.
pub const ABSENT: &str = "-";

/// Formats seconds as milliseconds.
#[must_use]
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.1}", seconds * 1000.0)
}

/// Formats a number with `decimals` decimals, or [`ABSENT`].
#[must_use]
pub fn decimal(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:.decimals$}"))
}

/// Formats a share in percent, or [`ABSENT`].
#[must_use]
pub fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(|| ABSENT.to_owned(), |share| format!("{:.decimals$} %", share * 100.0))
}

/// Formats a number with a decimal prefix: `1.5 M`.
#[must_use]
pub fn scaled(value: f64) -> String {
    let (mut value, mut prefix) = (value, "");
    for next in ["k", "M", "G", "T"] {
        if value < 1000.0 {
            break;
        }
        (value, prefix) = (value / 1000.0, next);
    }
    if prefix.is_empty() { format!("{value:.0} ") } else { format!("{value:.1} {prefix}") }
}

/// Returns a bar of `width` columns, filled to `share`.
#[must_use]
pub fn bar(share: f64, width: usize) -> String {
    let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}
