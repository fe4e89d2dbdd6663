//! The name a user most likely meant, for error messages. It decides nothing else.

/// The candidate with the smallest edit distance to `typed`, if it is near enough to be a slip of
/// the finger: at most a third of the letters differ, and at least one may.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: letters inserted, deleted or replaced.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((other, above), diagonal) in right.chars().zip(row.iter().skip(1)).zip(&row) {
            let beside = next.last().copied().unwrap_or_default();
            let replaced = diagonal + usize::from(letter != other);
            next.push(replaced.min(above + 1).min(beside + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "fps"), 3);
        assert_eq!(distance("fps", "fps"), 0);
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        assert_eq!(nearest("fsp", ["size", "fps"]), None, "two of three letters differ");
        assert_eq!(nearest("list_sise", ["size", "list_size"]), Some("list_size"));
        assert_eq!(nearest("defualt", ["default", "stress"]), Some("default"));
        assert_eq!(nearest("zebra", ["size", "list_size"]), None);
    }
}
