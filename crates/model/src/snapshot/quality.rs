//! Quality of experience: what only the players themselves know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::{Merge, merge_fields};

/// What the players of all viewers report, beside startup, stalls, and skipped media, which every engine has. Switches
/// are counters; live latency and buffer are distributions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Stalls by reason, those included that do not count against the stream.
    pub stalls: BTreeMap<String, u64>,
    /// Time stalled because this program was late, seconds. It does not count against the stream.
    pub excluded_seconds: f64,
    /// Average BANDWIDTH of the media that was shown, bits per second; absent where no playlist names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_played: Option<f64>,
    /// BANDWIDTH times the time for which media of it was shown, bits.
    pub bits_played: f64,
    /// That time, seconds.
    pub bits_played_seconds: f64,
    /// Time for which servers held responses to blocking reloads, seconds. Viewers play on meanwhile: it is part of no
    /// stall by itself.
    #[serde(default)]
    pub blocked_seconds: f64,
    /// How often the date of the media that was shown was later than this machine's clock. Live latency by date is absent
    /// then: the clocks differ.
    pub dates_ahead: u64,
}

fn derived(_: &mut Option<f64>, _: &Option<f64>) {}

merge_fields! { Quality {
    stalls, excluded_seconds, blocked_seconds, bitrate_played = derived, bits_played, bits_played_seconds, dates_ahead,
} }

impl Quality {
    /// The same figures with the bit rate that follows from them.
    #[must_use]
    pub fn with_bit_rate(self) -> Self {
        let known = self.bits_played_seconds > 0.0;
        Self { bitrate_played: known.then(|| self.bits_played / self.bits_played_seconds), ..self }
    }

    /// The figures of several parts of one load.
    pub(crate) fn merge_parts(this: &mut Option<Self>, other: &Option<Self>) {
        this.merge(other);
        *this = this.take().map(Self::with_bit_rate);
    }

    /// Stalled time that does not count, as a share of all viewing time. `viewing` is the rest of it, seconds.
    #[must_use]
    pub fn excluded_share(&self, viewing: f64) -> Option<f64> {
        let all = viewing + self.excluded_seconds;
        (all > 0.0).then(|| self.excluded_seconds / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_rate_of_parts_is_weighted_by_time() {
        let part = |bits_played, bits_played_seconds| {
            Some(Quality { bits_played, bits_played_seconds, ..Quality::default() }.with_bit_rate())
        };
        let mut whole = part(1e6, 1.0);
        Quality::merge_parts(&mut whole, &part(9e6, 3.0));
        Quality::merge_parts(&mut whole, &None);
        assert_eq!(whole.unwrap().bitrate_played, Some(2.5e6));
        assert_eq!(part(0.0, 0.0).unwrap().bitrate_played, None);
    }

    #[test]
    fn what_is_excluded_is_a_share_of_all_viewing_time() {
        let quality = Quality { excluded_seconds: 1.0, ..Quality::default() };
        assert_eq!(
            (quality.excluded_share(99.0), Quality::default().excluded_share(0.0)),
            (Some(0.01), None)
        );
    }
}
