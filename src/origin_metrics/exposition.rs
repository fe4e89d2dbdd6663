//! Reader of single samples in Prometheus' text format, version 0.0.4. Comments and invalid lines are skipped.
//!
//! The crate `prometheus-parse` (0.2.5) does not replace this: it splits labels at every comma and `=` and ends
//! them at the first `}`, even inside quotes, undoes no escapes, and needs chrono, regex and itertools. The
//! first test below has a text that it parses incorrectly.

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// The text between the braces.
    labels: &'a str,
    /// The value.
    pub value: f64,
}

impl Sample<'_> {
    /// Returns the value of a label without escapes.
    #[must_use]
    pub fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        while let Some((name, after)) = rest.split_once("=\"") {
            let end = closing(after)?;
            if name.trim_start_matches([',', ' ']) == wanted {
                return Some(unescaped(&after[..end]));
            }
            rest = &after[end + 1..];
        }
        None
    }
}

/// Returns the end of the quoted text that `text` begins with.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// Returns all samples, in the order of the text.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, labels, rest) = match line.find('{') {
        Some(open) => {
            let close = brace(&line[open + 1..])? + open + 1;
            (&line[..open], &line[open + 1..close], &line[close + 1..])
        }
        None => {
            let (name, rest) = line.split_once([' ', '\t'])?;
            (name, "", rest)
        }
    };
    // A timestamp may follow the value.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let name = name.trim_end();
    (!name.is_empty()).then_some(Sample { name, labels, value })
}

/// Returns the end of the labels: the first closing brace outside of quotes.
fn brace(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.find(|c| {
        match c {
            '"' if !escaped => quoted = !quoted,
            '}' if !quoted => return true,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        false
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_labels_and_values_are_read() {
        let text = "# HELP a b\n# TYPE a counter\na 1\na{x=\"1\"} 2.5e3\n\
                    b{x=\"a}\\\"b\\\\\",y=\"l\\nm\"} +Inf 1700000000\nnonsense\nc{ 3\n{x=\"1\"} 4\n";
        let read: Vec<_> = samples(text).collect();
        assert_eq!(
            read.iter().map(|s| (s.name, s.value)).collect::<Vec<_>>(),
            [("a", 1.0), ("a", 2500.0), ("b", f64::INFINITY)]
        );
        assert_eq!((read[1].label("x"), read[1].label("y")), (Some("1".into()), None));
        assert_eq!((read[2].label("x"), read[2].label("y")), (Some("a}\"b\\".into()), Some("l\nm".into())));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", labels in "[a=\",\\\\}{ ]*") {
            for sample in samples(&text) {
                let _ = sample.label("a");
            }
            for sample in samples(&format!("a{{{labels}}} 1")) {
                let _ = sample.label("a");
            }
        }
    }
}
