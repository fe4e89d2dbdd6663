//! Parsing of JSON reports. Reports come from other machines and are added up, so all numbers
//! are checked first: a sum must not overflow.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use hls_swarm_base::error::Failure;

use super::{Report, SCHEMA};

#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// Reads the report in `text`; `name` is the file's.
///
/// # Errors
/// A usage failure: the text is not a report of this program, or one of another schema.
pub fn read(name: &str, text: &str) -> Result<Report, Failure> {
    let no_report = |error: serde_json::Error| {
        Failure::usage(format!("{name}: not a JSON report of hls-swarm"))
            .caused_by(error)
            .help("name a file that was written with `--report FILE.json`")
    };
    let Head { schema } = serde_json::from_str(text).map_err(no_report)?;
    if schema != SCHEMA {
        return Err(Failure::usage(format!("{name}: has schema {schema}, and this program reads {SCHEMA}"))
            .help("use the version of hls-swarm that wrote it"));
    }
    serde_json::from_str::<Countable>(text).map_err(no_report)?;
    let mut report: Report = serde_json::from_str(text).map_err(no_report)?;
    report.settle_maxima();
    Ok(report)
}

/// A count above that of any run (a pebibyte, for bytes); the sum over ten thousand shards fits into 64 bits.
const MAX_COUNT: u64 = 1 << 50;
/// The only number that is not a count, and may have any value.
const SEED: &str = "seed";

/// A value all of whose numbers are at most [`MAX_COUNT`]. Reading it keeps nothing of it.
struct Countable;

impl<'de> Deserialize<'de> for Countable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Numbers)
    }
}

struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = Countable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Countable, E> {
        Ok(Countable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Countable, E> {
        Ok(Countable)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Countable, E> {
        if number.abs() > MAX_COUNT as f64 {
            return Err(E::custom(format_args!("{number:e} is more than any run measures")));
        }
        Ok(Countable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Countable, E> {
        Ok(Countable)
    }

    fn visit_unit<E>(self) -> Result<Countable, E> {
        Ok(Countable)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Countable, E> {
        if number > MAX_COUNT {
            return Err(E::custom(format_args!("{number} is more than any run counts")));
        }
        Ok(Countable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Countable, A::Error> {
        while list.next_element::<Countable>()?.is_some() {}
        Ok(Countable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Countable, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == SEED {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value::<Countable>()?;
            }
        }
        Ok(Countable)
    }
}
