//! Comparison of values with recommended ones, and limits sized for a number of viewers.

use std::collections::BTreeSet;

use serde::Deserialize;

use hls_swarm_base::sizing::Requirements;

use super::profile::Limits;

/// Rule that decides which values are as good as the recommended one.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Only the same value.
    #[default]
    Exact,
    /// Each number the same or more.
    AtLeast,
    /// Each number the same or less.
    AtMost,
    /// A range (low, high) that contains the recommended one.
    Covers,
    /// A number with at least the same bits.
    Bits,
    /// A list of ports and ranges that contains the recommended one.
    Ports,
}

impl Accept {
    /// Reports whether `current` is as good as `wanted`. White space does not matter.
    #[must_use]
    pub fn accepts(self, current: &str, wanted: &str) -> bool {
        if self == Self::Ports {
            return ports(wanted).is_subset(&ports(current));
        }
        let same = current.split_whitespace().eq(wanted.split_whitespace());
        let numbers = numbers(current).zip(numbers(wanted));
        same || numbers.is_some_and(|(current, wanted)| {
            let each = |good: fn(&(&u128, &u128)) -> bool| {
                current.len() == wanted.len() && current.iter().zip(&wanted).all(|pair| good(&pair))
            };
            match self {
                Self::Exact | Self::Ports => false,
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

    /// Merges `current` with `wanted`, number by number, so that no number becomes worse: a larger maximum
    /// of a buffer stays.
    #[must_use]
    pub fn merge(self, current: &str, wanted: &str) -> String {
        if self == Self::Ports {
            return port_list(&ports(current).union(&ports(wanted)).copied().collect());
        }
        let Some((current, numbers)) = numbers(current).zip(numbers(wanted)) else {
            return wanted.to_owned();
        };
        if current.len() != numbers.len() {
            return wanted.to_owned();
        }
        let pairs = current.iter().zip(&numbers).enumerate();
        let merged = pairs.map(|(at, (current, wanted))| match self {
            Self::Exact | Self::Ports => *wanted,
            Self::AtLeast => *current.max(wanted),
            Self::AtMost => *current.min(wanted),
            Self::Bits => current | wanted,
            Self::Covers if at == 0 => *current.min(wanted),
            Self::Covers => *current.max(wanted),
        });
        merged.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    }
}

/// Parses a list of ports and ranges: `5000,8080-8083`.
pub(crate) fn ports(text: &str) -> BTreeSet<u16> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    let ranges = parts.filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    });
    ranges.flatten().collect()
}

/// Writes ports as the kernel does: neighbors as ranges.
pub(crate) fn port_list(ports: &BTreeSet<u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if u32::from(*last) + 1 == u32::from(*port) => *last = *port,
            _ => ranges.push((*port, *port)),
        }
    }
    let text = ranges
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    text.collect::<Vec<_>>().join(",")
}

/// Parses the numbers of a value; fs.file-max may be as large as 2^63 - 1.
fn numbers(text: &str) -> Option<Vec<u128>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// Returns the limit of open files per process for `clients` viewers, or the largest one of the profile.
///
/// It is never less than what the preflight requires.
#[must_use]
pub fn open_files(limits: &Limits, clients: Option<u32>) -> u64 {
    let Some(clients) = clients else { return limits.nofile };
    if limits.step.is_empty() {
        return limits.nofile;
    }
    let step = limits.step.iter().find(|step| clients <= step.up_to_clients);
    let least = step.map_or(limits.nofile, |step| step.nofile);
    least.max(Requirements::of(clients).open_files_limit)
}

/// Returns the limit of processes per user for `clients` viewers; `None` where the default suffices.
#[must_use]
pub fn processes(limits: &Limits, clients: Option<u32>) -> Option<u64> {
    let Some(clients) = clients else { return Some(limits.nproc) };
    if limits.step.iter().any(|step| clients <= step.up_to_clients) {
        return None;
    }
    Some(limits.nproc.max(Requirements::of(clients).processes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::profile::{built_in, parse};

    #[test]
    fn merging_never_makes_a_number_worse() {
        for (accept, current, wanted, merged) in [
            (Accept::AtLeast, "4096\t131072\t33554432", "4096 1000000 16000000", "4096 1000000 33554432"),
            (Accept::AtMost, "60", "120", "60"),
            (Accept::AtMost, "7200", "120", "120"),
            (Accept::Covers, "32768 65535", "1026 65000", "1026 65535"),
            (Accept::Bits, "4", "3", "7"),
            (Accept::Exact, "cubic", "bbr", "bbr"),
            (Accept::Ports, "8080-8081,3000", "5000,8080", "3000,5000,8080-8081"),
            (Accept::Ports, "", "5000,5001", "5000-5001"),
            (Accept::AtLeast, "5000", "4096 1", "4096 1"),
        ] {
            assert_eq!(accept.merge(current, wanted), merged, "{accept:?} {current} {wanted}");
        }
    }

    #[test]
    fn each_rule_accepts_better_values() {
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
            (Accept::Ports, "1-9000,9100", "5000,9100", true),
            (Accept::Ports, "", "5000", false),
        ] {
            assert_eq!(accept.accepts(current, wanted), good, "{accept:?} {current} {wanted}");
        }
    }

    #[test]
    fn limits_grow_with_the_number_of_viewers() {
        let limits = parse("client", built_in("client").unwrap(), None).unwrap().limits.unwrap();
        for (clients, files, processes) in [
            (Some(1), 4096, None),
            (Some(100), 4096, None),
            (Some(101), 16_384, None),
            (Some(500), 16_384, None),
            (Some(1000), 32_768, Some(8192)),
            (Some(10_000), 200_100, Some(10_050)),
            (None, 32_768, Some(8192)),
        ] {
            assert_eq!(open_files(&limits, clients), files, "{clients:?}");
            assert_eq!(super::processes(&limits, clients), processes, "{clients:?}");
        }
        for clients in [1, 100, 500, 3000, 100_000] {
            assert!(open_files(&limits, Some(clients)) >= Requirements::of(clients).open_files);
        }
    }

    #[test]
    fn an_origin_has_one_limit_of_open_files() {
        let limits = parse("origin", built_in("origin").unwrap(), None).unwrap().limits.unwrap();
        assert_eq!(open_files(&limits, Some(5)), 100_000);
    }
}
