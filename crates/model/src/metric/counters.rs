//! Counts of single events, by name. A new counter needs only an entry here and the line that counts
//! it: reports, thresholds, sliding windows, Prometheus, Grafana and the reference take it from this table.

use std::ops::{Index, IndexMut};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::merge::Merge;

/// The source of a counter's events. Without that source, the count is absent, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenIn {
    /// Requests, from any source.
    Requests,
    /// FFmpeg's log.
    FfmpegLog,
    /// The socket probe.
    Probe,
    /// This machine, on which the viewers run.
    Machine,
    /// A limit of the hosts that viewers may connect to, whatever enforces it.
    HostLimits,
    /// The bodies of responses, which only the socket probe sees.
    Bodies,
    /// The model of playback.
    Playback,
    /// The same model, where it follows from the segments that arrived.
    Arrivals,
    /// Players that report what they see.
    Players,
    /// The bodies of segments, which some native viewers read.
    Segments,
}

/// The description of a counter.
#[derive(Clone, Copy, Debug)]
pub struct CounterInfo {
    /// The source of its events.
    pub seen_in: SeenIn,
    /// Its name in reports and thresholds; with `_total`, that of its series.
    pub name: &'static str,
    /// The name of the events in a summary, in the plural.
    pub title: &'static str,
    /// The meaning of the count, as a sentence.
    pub help: &'static str,
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $counter:ident, $seen_in:ident, $name:literal, $title:literal;)*) => {
        /// A counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[doc = $help])+ $counter,)*
        }

        impl Counter {
            /// All counters, in the order of tables.
            pub const ALL: &'static [Self] = &[$(Self::$counter),*];
        }

        const INFO: &[CounterInfo] = &[
            $(CounterInfo { seen_in: SeenIn::$seen_in, name: $name, title: $title, help: concat!($($help),+).trim_ascii() },)*
        ];
        const NAMES: &[&str] = &[$($name),*];
    };
}

counters! {
    /// Requests that got no response.
    Unanswered, Requests, "unanswered", "requests without a response";
    /// Exchanges that were in flight when a viewer stopped.
    InFlightAtStop, Requests, "in_flight_at_stop", "exchanges in flight when a viewer stopped";
    /// Requests on kept connections that the server had already closed; they are sent again and count neither as requests nor as errors.
    StaleRequests, Requests, "stale_requests", "requests into closed connections, sent again";
    /// Requests for segments that a playlist announces as missing (EXT-X-GAP); their failures are not errors.
    GapRequests, Bodies, "gap_requests", "requests for announced gaps (EXT-X-GAP)";
    /// Responses with a body of unknown length, which no count of bytes includes. Only in figures from FFmpeg's log.
    UnknownBodies, Requests, "unknown_bodies", "bodies of unknown length, whose bytes are not counted";
    /// Requests that viewers sent while they were being stopped at the end of the run; they are among the requests.
    RequestsAfterEnd, Requests, "requests_after_end", "requests by viewers that were being stopped";
    /// Reconnections that FFmpeg logged.
    Reconnections, FfmpegLog, "reconnections", "reconnects";
    /// Live playlists that FFmpeg could not reload; its process ends then.
    ReloadFailures, FfmpegLog, "playlist_reload_failures", "failed playlist reloads";
    /// Segments that playback jumped over, because they did not arrive whole.
    SegmentsSkipped, Playback, "segments_skipped", "segments skipped";
    /// Segments that playback jumped over because the server had just listed them and did not have them: its response was
    /// an error, or something else than media.
    SegmentsUnavailable, Arrivals, "segments_unavailable", "segments skipped that the server did not have";
    /// Switches of viewers to a variant of higher BANDWIDTH.
    SwitchesUp, Players, "switches_up", "switches up";
    /// Switches of viewers to a variant of lower BANDWIDTH.
    SwitchesDown, Players, "switches_down", "switches down";
    /// Switches of viewers to another pathway, by content steering or because the one before failed.
    PathwaySwitches, Players, "pathway_switches", "switches to another pathway";
    /// Stalls that would not have been without the lateness of this program; they are not among the stalls.
    StallsExcluded, Players, "stalls_excluded", "stalls because this program was late, excluded";
    /// Parts of Low-Latency HLS that arrived; they are among the segment requests.
    PartsLoaded, Players, "parts_loaded", "parts loaded";
    /// Parts that a playlist listed more than two part durations after the parts before them.
    PartsLate, Players, "parts_late", "parts listed late";
    /// Parts that a playlist announced (EXT-X-PRELOAD-HINT) and that did not come, or were not the next ones.
    HintsWrong, Players, "hints_wrong", "announced parts that did not come";
    /// Blocking reloads that were answered without what they asked for.
    ReloadsUnblocked, Players, "reloads_unblocked", "blocking reloads answered too early";
    /// Blocking reloads that were answered with what they asked for.
    ReloadsBlocked, Players, "reloads_blocked", "blocking reloads that were held as asked";
    /// Reloads of playlists that brought nothing new.
    ReloadsUnchanged, Players, "reloads_unchanged", "reloads without news";
    /// Connections of HTTP/3 that an origin announced (Alt-Svc) and that could not be made; viewers went on by TCP.
    AlternativesFailed, Players, "alternatives_failed", "announced HTTP/3 connections that could not be made";
    /// Segments and initialization sections with a successful status whose body was something else, empty, or cut short.
    SegmentsBadContent, Bodies, "segments_bad_content", "segments with bad content";
    /// Segments whose media does not last as long as EXTINF announces.
    DurationsWrong, Segments, "segment_durations_wrong", "segments with a wrong EXTINF";
    /// Segments whose timestamps do not continue those of the segment before, without EXT-X-DISCONTINUITY.
    TimestampGaps, Segments, "timestamp_gaps", "gaps or overlaps of timestamps";
    /// Bodies of segments that differ from the first one that was read from the same URL.
    BodiesDiffering, Segments, "bodies_differing", "bodies that differ from others of the same URL";
    /// Segments that left a live playlist before a viewer came to them: it fell behind the live window.
    SegmentsMissed, FfmpegLog, "segments_missed", "segments missed behind the live window";
    /// Errors that the TLS library of a viewer reported.
    TlsErrors, FfmpegLog, "tls_errors", "TLS errors";
    /// TCP segments that viewers had to send again (tcp_info).
    Retransmits, Probe, "retransmits", "TCP retransmits";
    /// Times that this machine refused a viewer a process, a descriptor, memory, or a local port.
    Exhausted, Machine, "generator_exhausted", "refusals by this machine";
    /// Connections to hosts that are not allowed (--allow-host, --yes, --header-hosts); they were not made.
    ForbiddenConnections, HostLimits, "forbidden_connections", "forbidden connections";
}

#[expect(clippy::indexing_slicing, reason = "the macro writes one entry for each counter")]
impl Counter {
    /// Its description.
    #[must_use]
    pub const fn info(self) -> &'static CounterInfo {
        &INFO[self as usize]
    }
}

/// A count for each [`Counter`]; absent without a source of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([Option<u64>; NAMES.len()]);

impl Index<Counter> for Counters {
    type Output = Option<u64>;

    #[expect(clippy::indexing_slicing, reason = "there is one count for each counter")]
    fn index(&self, counter: Counter) -> &Option<u64> {
        &self.0[counter as usize]
    }
}

impl IndexMut<Counter> for Counters {
    #[expect(clippy::indexing_slicing, reason = "there is one count for each counter")]
    fn index_mut(&mut self, counter: Counter) -> &mut Option<u64> {
        &mut self.0[counter as usize]
    }
}

impl Counters {
    /// Zero for the counters of the sources `seen_in`; other counts are absent.
    #[must_use]
    pub fn zero(seen_in: SeenIn) -> Self {
        let mut zero = Self::default();
        for (counter, count) in Counter::ALL.iter().zip(&mut zero.0) {
            *count = (counter.info().seen_in == seen_in).then_some(0);
        }
        zero
    }

    /// Counts events.
    pub fn add(&mut self, counter: Counter, events: u64) {
        self[counter].merge(&Some(events));
    }

    /// Each measured counter with its count, in the order of tables.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().zip(self.0).filter_map(|(counter, count)| Some((*counter, count?)))
    }

    /// The sum of two sets.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.merge(other);
        self
    }

    /// The difference from `before`, an earlier moment of the same run.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.0.iter_mut().zip(before.0) {
            *count = count.map(|count| count.saturating_sub(before.unwrap_or(0)));
        }
        since
    }
}

impl Merge for Counters {
    fn merge(&mut self, other: &Self) {
        for (count, other) in self.0.iter_mut().zip(&other.0) {
            count.merge(other);
        }
    }
}

impl Serialize for Counters {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(counter, count)| (counter.info().name, count)))
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;

        impl<'de> Visitor<'de> for Named {
            type Value = Counters;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("counts by name")
            }

            /// The version that wrote the report did not have the counters that it lacks.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counters, A::Error> {
                let mut counters = Counters::default();
                while let Some(name) = map.next_key::<String>()? {
                    match Counter::ALL.iter().find(|counter| counter.info().name == name) {
                        Some(counter) => counters[*counter] = map.next_value()?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(counters)
            }
        }

        // Named fields, so that an object that holds more than counters can be read as well.
        deserializer.deserialize_struct("Counters", NAMES, Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_help_is_a_sentence() {
        for (place, info) in INFO.iter().enumerate() {
            assert!(INFO.iter().skip(place + 1).all(|other| other.name != info.name), "{}", info.name);
            assert!(info.help.ends_with('.') && !info.help.starts_with(' '), "{}", info.help);
        }
    }

    #[test]
    fn counters_survive_a_round_trip_and_unknown_ones_are_ignored() {
        let mut counters = Counters::default();
        for (number, counter) in (1..).zip(Counter::ALL) {
            counters.add(*counter, number);
        }
        let mut written = serde_json::to_value(counters).unwrap();
        assert_eq!(written.as_object().unwrap().len(), Counter::ALL.len());
        written["a later version's"] = "text".into();
        assert_eq!(serde_json::from_value::<Counters>(written).unwrap(), counters);
        assert!(counters.since(&counters).iter().all(|(_, count)| count == 0));
        let measured = Counters::zero(SeenIn::Requests);
        assert_eq!((measured[Counter::Unanswered], measured[Counter::Reconnections]), (Some(0), None));
    }
}
