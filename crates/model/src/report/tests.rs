//! Every number of a report is written, read and merged. The report under test is made by serde itself: each
//! field that is read gets a distinct value other than 0, so a new field is covered without a change here.

use std::collections::BTreeSet;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use hls_swarm_hls::selection::VariantSelection;

use super::merge::merge;
use super::read::read;
use super::*;
use crate::exchange::HttpVersion;
use crate::metric::counters::Counter;
use crate::snapshot::{Latency, Quantiles, Timing};

/// Source files that contain the names of the fields of flattened types. serde does not list these names, so the tests
/// try every word of the files.
const SOURCES: [&str; 3] = [
    include_str!("../snapshot/mod.rs"),
    include_str!("../snapshot/insight.rs"),
    include_str!("../metric/counters.rs"),
];

fn words() -> Vec<&'static str> {
    let word = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let words: BTreeSet<&str> = SOURCES.iter().flat_map(|source| source.split(word)).collect();
    words.into_iter().collect()
}

/// Makes up values. A number is never used twice; the texts are the same in each report.
struct Inventor {
    number: u64,
    text: u64,
}

impl Inventor {
    const fn new(from: u64) -> Self {
        Self { number: from, text: 0 }
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

fn invented<T: DeserializeOwned>(numbers: &mut Inventor) -> T {
    T::deserialize(numbers).unwrap()
}

impl<'de> Deserializer<'de> for &mut Inventor {
    type Error = serde::de::value::Error;

    /// Makes up a count, for a field of a flattened type and for a word that is not the name of a field.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_u64(self.next())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_f64(self.next() as f64 + 0.5)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.text += 1;
        visitor.visit_string(format!("text {}", self.text))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Several(self, 2))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Several(self, length))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Fields(self, fields.to_vec()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(StrDeserializer::new(variants[0]))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        // A type with a flattened field asks for a map, too; only the description of its visitor distinguishes them.
        let expected = format!("{}", &visitor as &dyn serde::de::Expected);
        let names = if expected.starts_with("struct") {
            words()
        } else {
            // The other maps are keyed by status code.
            vec!["200", "404"]
        };
        visitor.visit_map(Fields(self, names))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char str bytes byte_buf unit unit_struct newtype_struct
        tuple_struct identifier ignored_any
    }
}

struct Several<'a>(&'a mut Inventor, usize);

impl<'de> SeqAccess<'de> for Several<'_> {
    type Error = serde::de::value::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let Some(left) = self.1.checked_sub(1) else { return Ok(None) };
        self.1 = left;
        seed.deserialize(&mut *self.0).map(Some)
    }
}

struct Fields<'a>(&'a mut Inventor, Vec<&'static str>);

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.1.pop().map(|name| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        seed.deserialize(&mut *self.0)
    }
}

/// A report in which each number differs from all others. The numbers begin at `from`.
pub(super) fn report(from: u64) -> Report {
    let mut numbers = Inventor::new(from);
    let mut latency = Latency::default();
    for timing in Timing::all() {
        latency[timing] = Some(invented::<Quantiles>(&mut numbers));
    }
    let mut snapshot = Snapshot { latency, ..invented(&mut numbers) };
    for (place, row) in (1..).zip(&mut snapshot.viewers) {
        row.viewer = place;
    }
    // Only rows with the same name in both reports are merged.
    for (place, row) in (1..).zip(&mut snapshot.stages) {
        (row.stage, row.name) = (place, Some(format!("text {place}")));
    }
    for (http, row) in HttpVersion::ALL.into_iter().zip(&mut snapshot.protocols) {
        row.http = http;
    }
    let mut report = Report {
        verdict: invented(&mut Inventor::new(1)),
        end_reason: "the end".into(),
        run: Run {
            url: "http://127.0.0.1/live.m3u8".into(),
            variant: VariantSelection::All,
            version: "1".into(),
            ffmpeg: Some("2".into()),
            player: Some("3".into()),
            seed: Some(numbers.next()),
            began_unix: 1_000,
            setup: None,
            per_viewer_metrics: false,
        },
        snapshot,
        recording: Recording {
            // Its windows have tests of their own.
            timeline: Timeline { lanes_of: numbers.next(), ..Timeline::default() },
            histograms: BTreeMap::new(),
        },
    };
    let Report { snapshot, recording, .. } = &mut report;
    // Percentiles are merged through their distributions, so each set needs one.
    snapshot.each_quantiles(|name, quantiles| {
        let mut times = Distribution::default();
        (0..numbers.next() % 7 + 3).for_each(|_| times.add_ns(numbers.next() * 1_000_000));
        *quantiles = times.quantiles();
        recording.histograms.insert(name.to_owned(), times);
    });
    report
}

fn document(report: &Report) -> Value {
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

/// Each number of a document with its path.
fn numbers(value: &Value, path: &str, found: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, below)| numbers(below, &format!("{path}/{name}"), found))
        }
        Value::Array(list) => {
            for (place, below) in list.iter().enumerate() {
                let name = ["reason", "address", "name", "kind", "stream"]
                    .iter()
                    .find_map(|key| below[key].as_str());
                let name =
                    name.or_else(|| below[0].as_str()).map_or_else(|| place.to_string(), str::to_owned);
                numbers(below, &format!("{path}/{name}"), found);
            }
        }
        Value::Number(number) => drop(found.insert(path.to_owned(), number.as_f64().unwrap())),
        _ => {}
    }
}

fn numbers_of(report: &Report) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    numbers(&document(report), "", &mut found);
    found
}

#[test]
fn every_number_is_written_and_read() {
    let report = report(100);
    let found = numbers_of(&report);
    assert!(found.len() > 400, "{}", found.len());
    for (path, number) in &found {
        assert!(*number != 0.0 || path.ends_with("/second"), "{path} is 0");
    }
    for counter in Counter::ALL {
        assert!(found.contains_key(&format!("/{}", counter.info().name)), "{counter:?}");
    }
    let again = read("a.json", &report.to_json().unwrap()).unwrap();
    let read = numbers_of(&again);
    for (path, number) in &found {
        assert_eq!(read.get(path), Some(number), "{path}");
    }
    assert!(document(&again) == document(&report), "a text differs");
}

/// Values that are not the sum of both sides, with their rules.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// The larger number.
    Larger,
    /// The same on both sides.
    Same,
    /// Between both: an average.
    Between,
    /// The one that is farther from 1.
    Farther,
    /// It follows from other figures, and is tested separately.
    Derived,
}

/// The rules by path, from which the numbers of rows are left out.
const EXCEPTIONS: &[(&str, Rule)] = &[
    ("/schema", Rule::Same),
    ("/exit_code", Rule::Derived),
    ("/criteria", Rule::Derived),
    ("/seed", Rule::Derived),
    ("/began_unix", Rule::Same),
    ("/elapsed_seconds", Rule::Larger),
    ("/planned_seconds", Rule::Larger),
    ("/active_ratio", Rule::Between),
    ("/errors/rate", Rule::Derived),
    ("/errors/object_rate", Rule::Derived),
    ("/playback_time/longest_stall_seconds", Rule::Larger),
    ("/playback_time/rebuffering", Rule::Derived),
    ("/playback_time/throughput_ratio", Rule::Derived),
    ("/quality/bitrate_played", Rule::Derived),
    ("/agreement/kernel_bytes", Rule::Farther),
    ("/agreement/origin_requests", Rule::Derived),
    ("/agreement/segment_sizes", Rule::Derived),
    ("/playback/average_speed", Rule::Between),
    ("/playback/average_drift_seconds", Rule::Between),
    ("/playback/max_drift_seconds", Rule::Larger),
    ("/generator/cpu_percent", Rule::Between),
    ("/generator/own_cpu_percent", Rule::Between),
    ("/generator/max_lag_ms", Rule::Larger),
    ("/generator/p99_lag_ms", Rule::Larger),
    ("/generator/peak_drop_rate", Rule::Larger),
    ("/latency_error_seconds", Rule::Larger),
    ("/insight/playlists/longest_stale_seconds", Rule::Larger),
    ("/insight/playlists/farthest_behind_seconds", Rule::Larger),
    ("/insight/faulty/longest_stale_seconds", Rule::Larger),
    ("/insight/faulty/farthest_behind_seconds", Rule::Larger),
    ("/content_checks/bit_rates/bandwidth", Rule::Larger),
    ("/content_checks/bit_rates/average_bandwidth", Rule::Larger),
    ("/content_checks/bit_rates/peak", Rule::Larger),
    ("/content_checks/bit_rates/average", Rule::Between),
    ("/origin/cpu_percent", Rule::Larger),
    ("/origin/memory_percent", Rule::Larger),
    ("/origin/transmit_bytes_per_second", Rule::Larger),
    ("/origin/receive_bytes_per_second", Rule::Larger),
    ("/origin/connections", Rule::Larger),
    ("/origin/requests_per_second", Rule::Larger),
    ("/origin/requests", Rule::Larger),
    ("/origin/connections_dropped", Rule::Larger),
    ("/origin/segment_sizes/known", Rule::Larger),
    ("/stages/stage", Rule::Same),
    ("/stages/began_seconds", Rule::Derived),
    ("/stages/seconds", Rule::Larger),
    ("/stages/active_ratio", Rule::Between),
    ("/stages/errors/rate", Rule::Derived),
    ("/stages/errors/object_rate", Rule::Derived),
    ("/streams/errors/rate", Rule::Derived),
    ("/streams/errors/object_rate", Rule::Derived),
    ("/variants/errors/rate", Rule::Derived),
    ("/variants/errors/object_rate", Rule::Derived),
    ("/variants/announced_bits_per_second", Rule::Larger),
    ("/variants/measured_bits_per_second", Rule::Derived),
    ("/variants/peak_bits_per_second", Rule::Larger),
    ("/timeline/window_seconds", Rule::Same),
    ("/other_viewers/longest_stall_seconds", Rule::Larger),
    ("/protocols/most_streams", Rule::Larger),
    ("/canaries/canaries/errors/rate", Rule::Derived),
    ("/canaries/canaries/errors/object_rate", Rule::Derived),
    ("/canaries/native/errors/rate", Rule::Derived),
    ("/canaries/native/errors/object_rate", Rule::Derived),
];

/// The rules of percentiles and maxima, by the end of the path.
const STATISTICS: &[(&str, Rule)] =
    &[("/p50", Rule::Derived), ("/p95", Rule::Derived), ("/p99", Rule::Derived), ("/max", Rule::Larger)];

/// Rows that are appended, not added.
const APPENDED: [&str; 5] = [
    "/per_viewer/",
    "/manual_changes/first/",
    "/failed_criteria/",
    "/content_checks/deviations/",
    "/content_checks/differing/",
];

fn rule(path: &str) -> Option<Rule> {
    let general: Vec<&str> =
        path.split('/').filter(|part| !part.starts_with("text ") && part.parse::<usize>().is_err()).collect();
    let general = general.join("/");
    let exact = EXCEPTIONS.iter().find(|(known, _)| general == *known);
    let below = EXCEPTIONS.iter().find(|(known, _)| general.starts_with(&format!("{known}/")));
    let statistic = STATISTICS.iter().find(|(known, _)| general.ends_with(known));
    exact.or(below).or(statistic).map(|(_, rule)| *rule)
}

#[test]
fn every_number_is_merged() {
    let (one, other) = (report(100), report(5_000));
    let merged = merge(&[("a".to_owned(), one.clone()), ("b".to_owned(), other.clone())]).unwrap();
    let (a, b, sum) = (numbers_of(&one), numbers_of(&other), numbers_of(&merged));
    let mut checked = 0;
    for (path, one) in &a {
        let Some(other) = b.get(path) else { panic!("{path} is in one report only") };
        if APPENDED.iter().any(|rows| path.contains(rows)) {
            continue;
        }
        let merged = sum.get(path).copied();
        let Some(merged) = merged else {
            assert!(matches!(rule(path), Some(Rule::Derived)), "{path} is lost");
            continue;
        };
        let near = |wanted: f64| (merged - wanted).abs() <= wanted.abs() * 1e-9;
        let holds = match rule(path) {
            None => near(one + other),
            Some(Rule::Larger) => near(one.max(*other)),
            Some(Rule::Same) => near(*one) && near(*other),
            Some(Rule::Between) => merged > one.min(*other) && merged < one.max(*other),
            Some(Rule::Farther) => near(if (one - 1.0).abs() > (other - 1.0).abs() { *one } else { *other }),
            Some(Rule::Derived) => true,
        };
        assert!(holds, "{path}: {one} and {other} give {merged}, rule {:?}", rule(path));
        checked += usize::from(!matches!(rule(path), Some(Rule::Derived)));
    }
    assert!(checked > 200, "{checked}");

    let rows = |report: &Report, at: &str| document(report).pointer(at).unwrap().as_array().unwrap().clone();
    for at in ["/per_viewer", "/manual_changes/first", "/stages/0/failed_criteria"] {
        let mut both = [rows(&one, at), rows(&other, at)].concat();
        for (row, number) in both.iter_mut().zip(1..).filter(|(row, _)| row["viewer"].is_u64()) {
            row["viewer"] = number.into();
        }
        assert_eq!(rows(&merged, at), both, "{at}");
    }
}

#[test]
fn shards_keep_the_numbers_of_their_viewers_and_other_runs_are_numbered_on() {
    let numbered = |from: u64, numbers: &[u32]| {
        let mut report = report(from);
        report.snapshot.viewers.truncate(numbers.len());
        assert_eq!(report.snapshot.viewers.len(), numbers.len());
        report.recording.timeline.lanes = Vec::new();
        for (row, number) in report.snapshot.viewers.iter_mut().zip(numbers) {
            row.viewer = *number;
        }
        (format!("from {from}"), report)
    };
    let merged = |parts: [&[u32]; 3]| -> Vec<u32> {
        let parts: Vec<_> = (1..).zip(parts).map(|(place, own)| numbered(place * 5_000, own)).collect();
        merge(&parts).unwrap().snapshot.viewers.iter().map(|row| row.viewer).collect()
    };
    assert_eq!(merged([&[1, 4], &[2, 5], &[3, 6]]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(merged([&[1, 2], &[1, 2], &[1]]), [1, 2, 3, 4, 5]);
}
