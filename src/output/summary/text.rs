//! Lines of at most 80 columns, with a tone for terminals that show color.

/// Columns of a line; a word that is longer, such as a URL, is not cut.
const WIDTH: usize = 80;
/// Columns of the label of a line.
const LABEL: usize = 11;

/// The state that a line is about. Without color, the words of the line say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// No state.
    Plain,
    /// A heading.
    Heading,
    /// What was met.
    Good,
    /// What was not met.
    Bad,
    /// What makes figures doubtful.
    Doubtful,
}

impl Tone {
    /// The SGR parameters of ECMA-48.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "1",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Doubtful => "33",
        }
    }
}

/// Lines of text, each with its tone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Vec<(Tone, String)>);

impl Lines {
    /// Adds text, in as many lines as it needs; those after the first are indented by `indent` columns.
    pub(super) fn add(&mut self, tone: Tone, indent: usize, text: &str) {
        let (mut line, mut columns) = (String::new(), 0);
        let words: Vec<&str> = text.split(' ').collect();
        for (place, word) in words.iter().enumerate() {
            let width = word.chars().count();
            // A unit stays beside its number.
            let unit =
                words.get(place + 1).filter(|next| is_unit(next)).map_or(0, |next| next.chars().count() + 1);
            if columns > indent && columns + 1 + width + unit > WIDTH && !is_unit(word) {
                self.0.push((tone, std::mem::take(&mut line).trim_end().to_owned()));
                line = " ".repeat(indent);
                columns = indent;
            } else if place > 0 {
                line.push(' ');
                columns += 1;
            }
            line.push_str(word);
            columns += width;
        }
        self.0.push((tone, line.trim_end().to_owned()));
    }

    /// Adds a text with a label at its left.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        self.toned(Tone::Plain, label, text);
    }

    /// The same about a state.
    pub(super) fn toned(&mut self, tone: Tone, label: &str, text: &str) {
        self.add(tone, LABEL, &format!("{label:<width$}{text}", width = LABEL));
    }

    /// Adds an empty line, unless the last one is empty.
    pub(super) fn blank(&mut self) {
        if self.0.last().is_some_and(|(_, line)| !line.is_empty()) {
            self.0.push((Tone::Plain, String::new()));
        }
    }

    /// Adds a table: text on the left, numbers on the right. Columns of `droppable`, by their heads, are left out in this
    /// order while the table is too wide, and then the first column is cut.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>], droppable: &[&str]) {
        let mut shown: Vec<usize> = (0..head.len()).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(head.get(column).map(|name| name.chars().count())).max().unwrap_or(0)
        };
        let total =
            |shown: &[usize]| shown.iter().map(|column| width(*column) + 2).sum::<usize>().saturating_sub(2);
        for dropped in droppable {
            if total(&shown) > WIDTH {
                shown.retain(|column| head.get(*column) != Some(dropped));
            }
        }
        let first = width(0).saturating_sub(total(&shown).saturating_sub(WIDTH)).max(4);
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = shown.iter().map(|column| match column {
                0 => format!("{:<first$}", cut(&cell(0), first)),
                column => format!("{:>width$}", cell(*column), width = width(*column)),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let name = |column: usize| head.get(column).map(|name| name.to_lowercase()).unwrap_or_default();
        self.0.push((Tone::Heading, line(&name)));
        for row in rows {
            self.0.push((Tone::Plain, line(&|column| row.get(column).cloned().unwrap_or_default())));
        }
    }

    /// The text, with color if the terminal shows it. `clean` replaces what a terminal must not get.
    pub(super) fn render(&self, color: bool, clean: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (tone, line) in &self.0 {
            let (line, code) = (clean(line), tone.code());
            if color && !code.is_empty() && !line.is_empty() {
                text += &format!("\u{1b}[{code}m{line}\u{1b}[0m\n");
            } else {
                text += &line;
                text.push('\n');
            }
        }
        text
    }
}

/// Whether a word, without the punctuation after it, is a unit.
fn is_unit(word: &str) -> bool {
    const UNITS: [&str; 11] = ["%", "s", "ms", "B", "kB", "MB", "GB", "kbit/s", "Mbit/s", "Gbit/s", "on"];
    UNITS.contains(&word.trim_end_matches([',', ';', ')', '.']))
}

/// The end of a text, if the text is longer than `width`: addresses differ at their ends.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - width.saturating_sub(1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &Lines) -> String {
        lines.render(false, str::to_owned)
    }

    #[test]
    fn long_text_continues_below_its_label() {
        let mut lines = Lines::default();
        lines.field("edges", &"word ".repeat(20));
        let text = plain(&lines);
        assert!(
            text.lines().count() == 2 && text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.lines().nth(1).unwrap().starts_with("           word"), "{text}");
        let mut lines = Lines::default();
        let url = format!("http://a.example/{}", "x".repeat(100));
        lines.field("stream", &url);
        assert!(plain(&lines).contains(&url));
        let mut lines = Lines::default();
        lines.field("edges", &format!("{} 15.0 ms, more", "x".repeat(64)));
        assert!(plain(&lines).contains("15.0 ms,"), "{}", plain(&lines));
    }

    #[test]
    fn a_wide_table_loses_columns_before_its_first_one_is_cut() {
        let cell = |text: &str| text.to_owned();
        let row = vec![cell(&"n".repeat(68)), cell("1"), cell("123456789")];
        let mut lines = Lines::default();
        lines.table(&["Name", "Began", "Value"], &[row], &["Began", "Value"]);
        let text = plain(&lines);
        assert!(!text.contains("began") && text.contains("value") && !text.contains('…'), "{text}");
        let row = vec![cell(&"n".repeat(90)), cell("1")];
        let mut lines = Lines::default();
        lines.table(&["Name", "Value"], &[row], &[]);
        let text = plain(&lines);
        assert!(text.contains("…nnn") && text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn color_marks_states_and_changes_no_word() {
        let mut lines = Lines::default();
        lines.add(Tone::Bad, 0, "FAIL");
        lines.add(Tone::Plain, 0, "figures");
        assert_eq!(lines.render(true, str::to_owned), "\u{1b}[1;31mFAIL\u{1b}[0m\nfigures\n");
        assert_eq!(plain(&lines), "FAIL\nfigures\n");
    }
}
