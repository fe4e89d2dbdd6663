//! Text inside markup: whatever FFmpeg, a server or a user wrote stays text.

/// Text for HTML and XML, between tags or in a quoted attribute. Characters that XML 1.0 forbids become
/// U+FFFD.
#[must_use]
pub fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\t' | '\n' | '\r' => safe.push(c),
            '\0'..='\x1f' | '\x7f' | '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            _ => safe.push(c),
        }
    }
    safe
}

/// Text for one cell of a Markdown table: no markup, no HTML, no new line.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            // Nobody is to be called by a report, and nothing to be closed.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '!' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// Text for a terminal, of several lines: a name that a server chose must not move the cursor.
#[must_use]
pub fn terminal(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(markup("<script>'\"&\u{1}"), "&lt;script&gt;&#39;&quot;&amp;\u{fffd}");
        assert_eq!(terminal("a\u{1b}[2J\u{9b}1mb\r\n"), "a\u{fffd}[2J\u{fffd}1mb\u{fffd}\n");
        assert_eq!(markdown("a|b\n<img> [x](y) @all"), r"a\|b &lt;img> \[x\](y) &#64;all");
    }
}
