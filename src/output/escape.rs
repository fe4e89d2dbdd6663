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
            c if c.is_control() || is_directional(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Replaces control characters other than line breaks, so that, for example, a name that a server chose
/// cannot move the cursor of a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_hidden = |c: char| (c.is_control() && c != '\n') || is_directional(c);
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character changes the direction of the text around it (UAX #9), so that it reads as another text.
const fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}1mb\r\n"), "a\u{fffd}[2J\u{fffd}1mb\u{fffd}\n");
        assert_eq!(printable("exe\u{202e}gpj.ts"), "exe\u{fffd}gpj.ts");
        assert_eq!(markdown("a\u{2066}b"), "a b");
        assert_eq!(markdown("a|b\n<img> [x](y) @all"), r"a\|b &lt;img> \[x\](y) &#64;all");
    }
}
