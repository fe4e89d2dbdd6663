//! A run that is divided over several processes or machines: which shard has which viewers.
//!
//! Viewer k of the whole run belongs to shard (k - 1) mod n. So the shards add up to the whole at any
//! moment, their arrivals interleave, and no number (hence no user agent) is there twice.

use std::fmt;
use std::str::FromStr;

/// The share of a run that one process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// The number of the shard, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The number of shards.
    #[must_use]
    pub const fn of(self) -> u32 {
        self.of
    }

    /// How many of the first `whole` viewers belong to this shard.
    #[must_use]
    pub const fn own(self, whole: u32) -> u32 {
        whole.saturating_sub(self.index).div_ceil(self.of)
    }

    /// The number in the whole run of the viewer in slot `slot` (from 0).
    #[must_use]
    pub const fn number(self, slot: u32) -> u32 {
        slot.saturating_mul(self.of).saturating_add(self.index).saturating_add(1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Why a text is not a valid shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidShard(&'static str);

impl fmt::Display for InvalidShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidShard {}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            Some(_) => {
                Err(InvalidShard("shards are counted from 0, so the first number is below the second"))
            }
            None => Err(InvalidShard("a shard is two numbers with a slash between them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, of: 4 }));
        for wrong in ["4/4", "1", "1/0", "-1/2", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_viewer_has_one_owner(of in 1_u32..20, whole in 0_u32..500) {
            let mut numbers: Vec<u32> = (0..of)
                .map(|index| Shard { index, of })
                .flat_map(|shard| (0..shard.own(whole)).map(move |seat| shard.number(seat)))
                .collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (1..=whole).collect::<Vec<_>>());
        }
    }
}
