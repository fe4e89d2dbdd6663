//! Which variants of a master playlist are meant, as it is typed: `all`, `highest`, `720p`, `<=3M`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Variants of a master playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Variant {
    /// Every variant at once, each viewer all of them.
    #[default]
    All,
    /// Every variant, one per viewer in turn.
    Each,
    /// The variant of the highest BANDWIDTH.
    Highest,
    /// The variant of the lowest BANDWIDTH.
    Lowest,
    /// The variant that stands first.
    First,
    /// The one of this height in pixels (RESOLUTION).
    Height(u32),
    /// The one of the highest BANDWIDTH up to this, bits per second.
    AtMost(u64),
    /// The one of the lowest BANDWIDTH from this on, bits per second.
    AtLeast(u64),
}

/// The names that are no measure.
const NAMED: [(&str, Variant); 5] = [
    ("all", Variant::All),
    ("each", Variant::Each),
    ("highest", Variant::Highest),
    ("lowest", Variant::Lowest),
    ("first", Variant::First),
];

/// Why a text names no variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariant(String);

impl fmt::Display for InvalidVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no variant (pass all, each, highest, lowest, first, a height like 720p, \
             or a bandwidth like 3M, <=3M or >=800k)",
            self.0
        )
    }
}

impl std::error::Error for InvalidVariant {}

impl FromStr for Variant {
    type Err = InvalidVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, variant)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*variant);
        }
        let height = text.strip_suffix('p').and_then(|digits| digits.parse().ok());
        if let Some(height) = height.filter(|height| *height > 0) {
            return Ok(Self::Height(height));
        }
        let read = |digits: &str| bandwidth(digits).ok_or_else(|| InvalidVariant(text.to_owned()));
        match (text.strip_prefix("<="), text.strip_prefix(">=")) {
            (Some(most), _) => read(most).map(Self::AtMost),
            (_, Some(least)) => read(least).map(Self::AtLeast),
            // A player with so much to spend takes the best that it can afford.
            _ => read(text).map(Self::AtMost),
        }
    }
}

/// Bits per second: `800000`, `800k`, `1.5M`.
fn bandwidth(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let bits = number.parse::<f64>().ok().filter(|_| plain)? * unit;
    (1.0..1e15).contains(&bits).then(|| bits.round() as u64)
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bits: u64| match bits {
            bits if bits.is_multiple_of(1_000_000) => format!("{}M", bits / 1_000_000),
            bits if bits.is_multiple_of(1_000) => format!("{}k", bits / 1_000),
            bits => bits.to_string(),
        };
        match self {
            Self::Height(height) => write!(f, "{height}p"),
            Self::AtMost(bits) => write!(f, "<={}", short(*bits)),
            Self::AtLeast(bits) => write!(f, ">={}", short(*bits)),
            named => {
                let name = NAMED.iter().find(|(_, variant)| variant == named).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}

impl TryFrom<String> for Variant {
    type Error = InvalidVariant;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Variant> for String {
    fn from(variant: Variant) -> Self {
        variant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_shown_again() {
        for text in ["all", "each", "highest", "lowest", "first", "720p", "<=3M", ">=800k", "<=1234567"] {
            assert_eq!(text.parse::<Variant>().unwrap().to_string(), text);
        }
        assert_eq!("1.5M".parse(), Ok(Variant::AtMost(1_500_000)));
        assert_eq!("800K".parse(), Ok(Variant::AtMost(800_000)));
    }

    #[test]
    fn what_names_no_variant_is_refused() {
        for text in ["", "p", "0p", "-720p", "3G", "<3M", "<=", ">=x", "1e6", "NaN", "0", "best", "Inf"] {
            assert!(text.parse::<Variant>().is_err(), "{text}");
        }
    }
}
