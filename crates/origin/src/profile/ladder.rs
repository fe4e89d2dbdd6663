//! Sizes and rates of pictures, and the rungs of a ladder.

use std::fmt;
use std::str::FromStr;

use hls_swarm_base::error::Failure;

/// Least and most pixels per line and lines.
const PIXELS: std::ops::RangeInclusive<u32> = 16..=8192;
/// Least and most 1000 bit/s of a picture.
pub const KBPS: std::ops::RangeInclusive<u32> = 16..=500_000;

/// Size of the picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels per line; even, as 4:2:0 asks.
    pub width: u32,
    /// Lines; even, as 4:2:0 asks.
    pub height: u32,
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let number = |part: &str| part.parse::<u32>().ok().filter(|n| PIXELS.contains(n) && n % 2 == 0);
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: number(width)?, height: number(height)? }))
            .ok_or_else(|| {
                Failure::usage(format!("video size \"{text}\" is not WIDTHxHEIGHT"))
                    .help("give two even numbers from 16 to 8192, for example 1280x720")
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// One step of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderStep {
    /// Size of the picture.
    pub size: Size,
    /// Average rate in 1000 bit/s.
    pub kbps: u32,
}

impl LadderStep {
    /// This rung of a ladder whose first rung becomes `to` instead of `from`.
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

impl FromStr for LadderStep {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (size, rate) = text.split_once('@').unwrap_or((text, ""));
        let kbps = rate.parse().ok().filter(|kbps| KBPS.contains(kbps)).ok_or_else(|| {
            Failure::usage(format!("the ladder's rung \"{text}\" is not WIDTHxHEIGHT@KBPS"))
                .help("give size and rate in 1000 bit/s (16 to 500000), for example 1280x720@2000")
        })?;
        Ok(Self { size: size.parse()?, kbps })
    }
}

impl fmt::Display for LadderStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.size, self.kbps)
    }
}

/// The ceiling that belongs to `kbps` where `max` belongs to `from`.
#[must_use]
pub fn ceiling(kbps: u32, from: u32, max: u32) -> u32 {
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
    fn what_cannot_be_a_size_or_a_rung_is_refused() {
        for wrong in ["", "1920", "1920x", "x1080", "1921x1080", "0x0", "1920X1080", "1280x720x3", "16384x16"]
        {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for wrong in ["640x360", "640x360@", "640x360@15", "@500", "641x360@500", "640x360@5 00"] {
            assert!(wrong.parse::<LadderStep>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_scaled_rung_can_be_read_again(
            width in 8_u32..=4096, height in 8_u32..=4096, kbps in 16_u32..=500_000,
            top in 8_u32..=4096, rate in 16_u32..=500_000,
        ) {
            let rung = |width, height, kbps| LadderStep { size: Size { width: 2 * width, height: 2 * height }, kbps };
            let scaled = rung(width, height, kbps).scaled(rung(960, 540, 5000), rung(top, top, rate));
            prop_assert_eq!(scaled.to_string().parse::<LadderStep>().unwrap(), scaled);
        }
    }
}
