//! Video sizes and bitrates, and the variants of a bitrate ladder.

use std::fmt;
use std::str::FromStr;

use hls_swarm_base::error::Failure;

/// Allowed width and height, in pixels.
const PIXELS: std::ops::RangeInclusive<u32> = 16..=8192;
/// Allowed video bitrates, in 1000 bit/s.
pub const KBPS: std::ops::RangeInclusive<u32> = 16..=500_000;

/// Size of the video in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width; even, as 4:2:0 subsampling requires.
    pub width: u32,
    /// Height; even, as 4:2:0 subsampling requires.
    pub height: u32,
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let number = |part: &str| part.parse::<u32>().ok().filter(|n| PIXELS.contains(n) && n % 2 == 0);
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: number(width)?, height: number(height)? }))
            .ok_or_else(|| {
                Failure::usage(format!("invalid video size \"{text}\": expected WIDTHxHEIGHT"))
                    .help("pass two even numbers from 16 to 8192, for example 1280x720")
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A variant as written in a ladder: `WIDTHxHEIGHT@KBPS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantSpec {
    /// Size of the video.
    pub size: Size,
    /// Average bitrate in 1000 bit/s.
    pub kbps: u32,
}

impl VariantSpec {
    /// This variant, scaled in the proportion in which the first variant changes from `from` to `to`.
    #[must_use]
    pub fn scaled(self, from: Self, to: Self) -> Self {
        let pixels = |value, from, to| proportion(value, from, to).clamp(*PIXELS.start(), *PIXELS.end()) & !1;
        Self {
            size: Size {
                width: pixels(self.size.width, from.size.width, to.size.width),
                height: pixels(self.size.height, from.size.height, to.size.height),
            },
            kbps: proportion(self.kbps, from.kbps, to.kbps).clamp(*KBPS.start(), *KBPS.end()),
        }
    }
}

impl FromStr for VariantSpec {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (size, kbps) = text.split_once('@').unwrap_or((text, ""));
        let kbps = kbps.parse().ok().filter(|kbps| KBPS.contains(kbps)).ok_or_else(|| {
            Failure::usage(format!("invalid variant \"{text}\" of the ladder: expected WIDTHxHEIGHT@KBPS"))
                .help("pass size and bitrate in 1000 bit/s (16 to 500000), for example 1280x720@2000")
        })?;
        Ok(Self { size: size.parse()?, kbps })
    }
}

impl fmt::Display for VariantSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.size, self.kbps)
    }
}

/// The maximum bitrate for the average `kbps`, in the proportion of `max` to `from`.
#[must_use]
pub fn max_kbps(kbps: u32, from: u32, max: u32) -> u32 {
    proportion(kbps, from, max).max(kbps)
}

fn proportion(value: u32, from: u32, to: u32) -> u32 {
    let scaled = u64::from(value) * u64::from(to) / u64::from(from.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_sizes_and_variants_are_rejected() {
        for wrong in ["", "1920", "1920x", "x1080", "1921x1080", "0x0", "1920X1080", "1280x720x3", "16384x16"]
        {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for wrong in ["640x360", "640x360@", "640x360@15", "@500", "641x360@500", "640x360@5 00"] {
            assert!(wrong.parse::<VariantSpec>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_scaled_variant_can_be_parsed(
            width in 8_u32..=4096, height in 8_u32..=4096, kbps in 16_u32..=500_000,
            top in 8_u32..=4096, rate in 16_u32..=500_000,
        ) {
            let variant = |width, height, kbps| VariantSpec { size: Size { width: 2 * width, height: 2 * height }, kbps };
            let scaled = variant(width, height, kbps).scaled(variant(960, 540, 5000), variant(top, top, rate));
            prop_assert_eq!(scaled.to_string().parse::<VariantSpec>().unwrap(), scaled);
        }
    }
}
