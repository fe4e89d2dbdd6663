//! The header Range of RFC 9110, as far as players use it: one range of bytes.

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: there is no range, or none that can be understood (section 14.2).
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Bytes that are not there.
    Beyond,
}

/// Reads the header's value, for a body of `length` bytes.
#[must_use]
pub fn read(value: Option<&str>, length: u64) -> Asked {
    let Some((first, last)) = value.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => Asked::Whole,
        (true, false) => match number(last) {
            None => Asked::Whole,
            Some(0) => Asked::Beyond,
            Some(_) if length == 0 => Asked::Beyond,
            Some(tail) => Asked::Part(length.saturating_sub(tail), length - 1),
        },
        (false, open) => match (number(first), if open { Some(u64::MAX) } else { number(last) }) {
            (Some(first), Some(last)) if first <= last && first < length => {
                Asked::Part(first, last.min(length - 1))
            }
            (Some(first), Some(last)) if first <= last => Asked::Beyond,
            _ => Asked::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_players() {
        for (value, expected) in [
            ("bytes=0-", Asked::Part(0, 99)),
            ("bytes=10-19", Asked::Part(10, 19)),
            ("bytes=90-200", Asked::Part(90, 99)),
            ("bytes=-5", Asked::Part(95, 99)),
            ("bytes=-500", Asked::Part(0, 99)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=-", Asked::Whole),
        ] {
            assert_eq!(read(Some(value), 100), expected, "{value}");
        }
        assert_eq!(read(None, 100), Asked::Whole);
        assert_eq!(read(Some("bytes=0-"), 0), Asked::Beyond);
    }

    proptest! {
        #[test]
        fn a_part_lies_within(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in 0_u64..1000) {
            if let Asked::Part(first, last) = read(Some(&value), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
