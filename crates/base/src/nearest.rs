//! The name that a user most likely meant, for suggestions in error messages.

/// The candidate with the smallest edit distance to `typed`, if it is near enough to be a typing error:
/// at most a third of the letters differ, and at least one may. Two letters that changed places count as one.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognized_and_another_word_is_not() {
        assert_eq!(nearest("fsp", ["size", "fps"]), Some("fps"), "two letters changed places");
        assert_eq!(nearest("sfp", ["size", "fps"]), None, "two of three letters differ");
        assert_eq!(nearest("list_sise", ["size", "list_size"]), Some("list_size"));
        assert_eq!(nearest("defualt", ["default", "stress"]), Some("default"));
        assert_eq!(nearest("zebra", ["size", "list_size"]), None);
    }
}
