//! Escaping of text that FFmpeg, a server or a user wrote, so that it stays text in a report.
//!
//! HTML and XML need nothing from here: `maud` and `quick-junit` escape by type.

/// Escapes text for one cell of a Markdown table: no markup, no HTML, no line break.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            // A report must not mention users or close issues.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '!' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Replaces control characters other than line breaks, so that, for example, a name that a server chose
/// cannot move the cursor of a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}1mb\r\n"), "a\u{fffd}[2J\u{fffd}1mb\u{fffd}\n");
        assert_eq!(markdown("a|b\n<img> [x](y) @all"), r"a\|b &lt;img> \[x\](y) &#64;all");
    }
}
