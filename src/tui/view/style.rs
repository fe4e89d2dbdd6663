//! Styles and numbers as they look. Colour never tells anything alone, so that all of it can be
//! left out (NO_COLOR).

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether there is colour.
    pub colour: bool,
}

impl Look {
    fn tint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Headings.
    #[must_use]
    pub fn heading(self) -> Style {
        self.tint(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What is chosen.
    #[must_use]
    pub const fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// As it should be.
    #[must_use]
    pub fn good(self) -> Style {
        self.tint(Color::Green)
    }

    /// A figure that deserves a look if `is`, else plain.
    #[must_use]
    pub fn bad_if(self, is: bool) -> Style {
        if is { self.tint(Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() }
    }

    /// Labels, beside what matters.
    #[must_use]
    pub fn label(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// Lines of charts and bars.
    #[must_use]
    pub fn line(self, index: usize) -> Style {
        let colours = [Color::Green, Color::Yellow, Color::Magenta];
        self.tint(colours.get(index % colours.len()).copied().unwrap_or(Color::Green))
    }
}

/// What was not measured.
pub const ABSENT: &str = "-";

/// Milliseconds of a duration in seconds.
#[must_use]
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.1}", seconds * 1000.0)
}

/// A number with so many decimals, or [`ABSENT`].
#[must_use]
pub fn decimal(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:.decimals$}"))
}

/// A share in percent, or [`ABSENT`].
#[must_use]
pub fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or_else(|| ABSENT.to_owned(), |share| format!("{:.decimals$} %", share * 100.0))
}

/// A number with a decimal prefix: 1.5 M.
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

/// Seconds as a clock: 0:07, 1:02:03.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A bar of `width` columns, filled to `share`.
#[must_use]
pub fn bar(share: f64, width: usize) -> String {
    let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}
