//! Patterns of file names, as `include` takes them: `*`, `?` and `[a-z]`, none of which matches a slash.

/// Whether it is a pattern and not a name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `path` is one of those that `pattern` means. As in shells, a leading dot has to be spelled out.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) => {
                let hidden = part.starts_with('.') && !pattern.starts_with('.');
                let (pattern, part): (Vec<char>, Vec<char>) =
                    (pattern.chars().collect(), part.chars().collect());
                if hidden || !part_matches(&pattern, &part) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Without recursion over `*`, so that no pattern takes long.
fn part_matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(read) {
        match one(pattern.get(at..).unwrap_or_default(), *c) {
            Some(length) => {
                at += length;
                read += 1;
            }
            None if pattern.get(at) == Some(&'*') => {
                star = Some((at + 1, read));
                at += 1;
            }
            None => match star {
                // The last star takes one more.
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    at = after;
                    read = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|c| *c == '*')
}

/// The length of the pattern's first element, if it takes `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let mut set = pattern.get(1..end)?;
            let negative = matches!(set.first(), Some('!' | '^'));
            if negative {
                set = set.get(1..)?;
            }
            (contains(set, c) != negative).then_some(end + 1)
        }
        first => (*first == c).then_some(1),
    }
}

fn contains(mut set: &[char], c: char) -> bool {
    while let Some(first) = set.first() {
        if let (Some('-'), Some(last)) = (set.get(1), set.get(2)) {
            if (*first..=*last).contains(&c) {
                return true;
            }
            set = set.get(3..).unwrap_or_default();
        } else {
            if *first == c {
                return true;
            }
            set = set.get(1..).unwrap_or_default();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_shell_does() {
        for (pattern, path, expected) in [
            ("/etc/nginx/*.conf", "/etc/nginx/a.conf", true),
            ("/etc/nginx/*.conf", "/etc/nginx/.a.conf", false),
            ("/etc/nginx/*.conf", "/etc/nginx/x/a.conf", false),
            ("/e/*-enabled/*", "/e/sites-enabled/default", true),
            ("/e/a?c", "/e/abc", true),
            ("/e/[a-c]x", "/e/bx", true),
            ("/e/[!a-c]x", "/e/bx", false),
            ("/e/[a", "/e/[a", false),
            ("/e/*a*b*c", "/e/xaybzc", true),
            ("/e/*a*b*c", "/e/xaybz", false),
            ("/e/**", "/e/x", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = format!("/{}b", "*a".repeat(200));
        assert!(!matches(&pattern, &format!("/{}", "a".repeat(2000))));
    }
}
