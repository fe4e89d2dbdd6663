//! Patterns for paths: `*` is any number of letters, `?` is one.

use std::fmt;

/// A pattern. With a slash in it, it is about whole paths; without, about the file name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; none if it is empty or holds a comma, a blank or a control character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let wrong = |letter: char| letter == ',' || letter.is_whitespace() || letter.is_control();
        (!text.is_empty() && !text.contains(wrong)).then(|| Self(text.to_owned()))
    }

    /// Whether it is about this path (without query).
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        fits(self.0.as_bytes(), if self.0.contains('/') { path } else { name }.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches without recursion: on a mismatch the last star takes one letter more.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut place, mut at, mut star) = (0, 0, None);
    while let Some(letter) = text.get(at) {
        match pattern.get(place) {
            Some(b'*') => {
                star = Some((place, at));
                place += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == letter => {
                place += 1;
                at += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                (place, at) = (back + 1, taken + 1);
            }
        }
    }
    pattern.get(place..).is_some_and(|rest| rest.iter().all(|letter| *letter == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn names_and_whole_paths() {
        for (text, path, expected) in [
            ("*.ts", "/a/seg_1.ts", true),
            ("*.ts", "/a/seg_1.ts.tmp", false),
            ("seg_?.ts", "/seg_1.ts", true),
            ("seg_?.ts", "/seg_12.ts", false),
            ("/a/*", "/a/seg_1.ts", true),
            ("/a/*", "/b/seg_1.ts", false),
            ("*/seg_1*", "/a/b/seg_12.ts", true),
            ("*", "/", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxcxxb", false),
        ] {
            assert_eq!(pattern(text).fits(path), expected, "{text} {path}");
        }
        assert_eq!(Pattern::new(""), None);
        assert_eq!(Pattern::new("a,b"), None);
    }

    /// The textbook's definition, too slow to be used.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), Some((_, more))) => slowly(rest, text) || slowly(pattern, more),
            (Some((b'*', rest)), None) => slowly(rest, text),
            (Some((b'?', rest)), Some((_, more))) => slowly(rest, more),
            (Some((wanted, rest)), Some((letter, more))) => wanted == letter && slowly(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(text in "[ab*?]{1,8}", path in "[ab]{0,8}") {
            prop_assert_eq!(fits(text.as_bytes(), path.as_bytes()), slowly(text.as_bytes(), path.as_bytes()));
        }
    }
}
