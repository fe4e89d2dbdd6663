//! Bit rates with decimal prefixes: one, or several with weights.

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::{MAX_WEIGHT, WeightedSet};

/// The lowest cap, bits per second: below it, FFmpeg would wait for a byte for longer than its timeout.
pub const MIN_RATE: u64 = 10_000;

/// Parses `3M` or `3M,2*8M`.
///
/// # Errors
/// A usage failure that names the value and suggests a fix.
pub fn rates(typed: &str) -> Result<WeightedSet<u64>, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("--bandwidth-cap {typed:?}: {why}"))
            .help("write bits per second as 800k, 3M or 1.5G; several as 3M,8M or 3M,2*8M with weights")
    };
    let mut all = Vec::new();
    for text in typed.split(',').map(str::trim) {
        let (weight, rate) = match text.split_once('*') {
            Some((weight, rate)) => (weight.trim().parse().ok(), rate.trim()),
            None => (Some(1), text),
        };
        let weight = weight.filter(|weight| (1..=MAX_WEIGHT).contains(weight));
        let weight = weight.ok_or_else(|| wrong(format!("{text:?} has no weight from 1 to {MAX_WEIGHT}")))?;
        let bits = bits(rate).ok_or_else(|| wrong(format!("invalid rate {rate:?}")))?;
        if bits < MIN_RATE {
            return Err(wrong(format!("{rate:?} is less than {}k", MIN_RATE / 1000)));
        }
        all.push((bits, weight));
    }
    WeightedSet::weighted(all).ok_or_else(|| wrong("a rate is missing".to_owned()))
}

fn bits(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1e3),
        (at, 'm' | 'M') => (text.get(..at)?, 1e6),
        (at, 'g' | 'G') => (text.get(..at)?, 1e9),
        _ => (text, 1.0),
    };
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = digits.parse::<f64>().ok().filter(|_| plain)? * factor;
    (value <= 1e12).then_some(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_assigned_by_weight() {
        assert_eq!(*rates("3M").unwrap().of(7), 3_000_000);
        let mix = rates("800k, 2*1.5G").unwrap();
        let dealt: Vec<u64> = (1..=6).map(|viewer| *mix.of(viewer)).collect();
        assert_eq!(dealt.iter().filter(|rate| **rate == 800_000).count(), 2, "{dealt:?}");
        assert_eq!(dealt.iter().filter(|rate| **rate == 1_500_000_000).count(), 4, "{dealt:?}");
    }

    #[test]
    fn errors_name_the_invalid_part() {
        for (typed, said) in [
            ("", "invalid rate"),
            ("fast", "invalid rate"),
            ("-3M", "invalid rate"),
            ("1e9", "invalid rate"),
            ("9000", "less than 10k"),
            ("0*3M", "no weight"),
            ("3M,,8M", "invalid rate"),
        ] {
            let failure = rates(typed).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
        }
    }
}
