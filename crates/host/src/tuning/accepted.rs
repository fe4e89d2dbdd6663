//! Whether a value is as good as the recommended one, so that `check` does not ask a larger machine to
//! shrink.

use serde::Deserialize;

/// What is as good as the recommended value.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Only the same words.
    #[default]
    Exact,
    /// Each number the same or more.
    AtLeast,
    /// Each number the same or less.
    AtMost,
    /// A range (low, high) that holds the recommended one.
    Covers,
    /// A number with at least the same bits.
    Bits,
}

impl Accept {
    /// Whether `current` is as good as `wanted`. Words and blanks are compared as the kernel does.
    #[must_use]
    pub fn holds(self, current: &str, wanted: &str) -> bool {
        let same = current.split_whitespace().eq(wanted.split_whitespace());
        let numbers = numbers(current).zip(numbers(wanted));
        same || numbers.is_some_and(|(current, wanted)| {
            let each = |good: fn(&(&u128, &u128)) -> bool| {
                current.len() == wanted.len() && current.iter().zip(&wanted).all(|pair| good(&pair))
            };
            match self {
                Self::Exact => false,
                Self::AtLeast => each(|(current, wanted)| current >= wanted),
                Self::AtMost => each(|(current, wanted)| current <= wanted),
                Self::Bits => each(|(current, wanted)| *current & *wanted == **wanted),
                Self::Covers => match (current.as_slice(), wanted.as_slice()) {
                    ([low, high], [from, to]) => low <= from && high >= to,
                    _ => false,
                },
            }
        })
    }
}

/// The numbers of a value; fs.file-max may be as large as 2^63 - 1.
fn numbers(text: &str) -> Option<Vec<u128>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_as_good() {
        for (accept, current, wanted, good) in [
            (Accept::Exact, "4096\t1000\t2000", "4096 1000 2000", true),
            (Accept::Exact, "2", "1", false),
            (Accept::AtLeast, "9223372036854775807", "2097152", true),
            (Accept::AtLeast, "4096 131072 33554432", "4096 1000000 16000000", false),
            (Accept::AtLeast, "4096 2000000 33554432", "4096 1000000 16000000", true),
            (Accept::AtLeast, "5000", "4096 1", false),
            (Accept::AtMost, "10", "15", true),
            (Accept::AtMost, "60", "15", false),
            (Accept::Covers, "1024\t65535", "1026 65535", true),
            (Accept::Covers, "32768 60999", "1026 65535", false),
            (Accept::Bits, "3", "1", true),
            (Accept::Bits, "1", "3", false),
            (Accept::Bits, "bbr", "3", false),
        ] {
            assert_eq!(accept.holds(current, wanted), good, "{accept:?} {current} {wanted}");
        }
    }
}
