//! Whether the numbers of a report can be those of a run. Reports come from elsewhere, and are added
//! up: a sum must not run over.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// More than any run comes to (a pebibyte, if it is bytes), and the sum over ten thousand shards fits into
/// 64 bits.
const MOST: u64 = 1 << 50;
/// What is no count, and may be any number.
const SEED: &str = "seed";

/// A value all of whose numbers are at most [`MOST`]. Reading it keeps nothing of it.
pub(crate) struct Countable;

impl<'de> Deserialize<'de> for Countable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
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
        if number.abs() > MOST as f64 {
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
        if number > MOST {
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
