//! The configuration of an origin: profiles in TOML, the built-in ones among them, with flags applied.
//!
//! A key that a profile does not contain has the value of the profile `default`. `stream` and `serving`
//! validate the values.

pub mod derived;
pub(crate) mod flags;
pub mod ladder;
pub(crate) mod plan;
pub(crate) mod serving;
pub mod stream;
pub(crate) mod tables;
pub(crate) mod unused_options;

use hls_swarm_base::built_in::find;
use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text;

pub use tables::{
    Access, Audio, Encoder, Encryption, Format, Kind, Limits, Log, Metrics, Mode, Profile, Serve, Video,
    with_default,
};

/// The profiles that come with the program: name and text.
pub use hls_swarm_profiles::ORIGIN as BUILT_IN;

const DEFAULT: &str = BUILT_IN[0].1;

/// The text of a built-in profile.
///
/// # Errors
/// There is no such profile; the failure lists the available ones.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    find(&BUILT_IN, "origin profile", name)
}

/// Reads a profile from its text, with the profile `default` underneath; `name` is for the error
/// messages.
///
/// # Errors
/// The text is not TOML, a key is unknown, or a value is of the wrong kind.
pub fn parse(name: &str, text: &str) -> Result<Profile, Failure> {
    profile_text::read_over(
        DEFAULT,
        &format!("origin profile {name}"),
        text,
        "compare with profiles/origin/default.toml, which holds every key",
    )
}

/// The JSON Schema of profiles. No key is required, because the profile `default` has them all.
///
/// # Errors
/// An internal failure: it cannot be written as JSON.
pub fn schema() -> Result<serde_json::Value, Failure> {
    let mut schema = hls_swarm_cli::config::schema::<Profile>("Profile of hls-origin")?;
    let tables = schema.get_mut("definitions").and_then(serde_json::Value::as_object_mut);
    for table in tables.into_iter().flat_map(|tables| tables.values_mut()) {
        drop(table.as_object_mut().and_then(|table| table.remove("required")));
    }
    drop(schema.as_object_mut().and_then(|schema| schema.remove("required")));
    Ok(schema)
}

/// The profile as TOML, every key of it: [`parse`] reads the same again.
///
/// # Errors
/// An internal one, if TOML cannot hold a value.
pub fn to_toml(profile: &Profile) -> Result<String, Failure> {
    toml::to_string(profile)
        .map_err(|error| Failure::internal("cannot write the profile as TOML").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_read_and_written_again() {
        for (name, text) in BUILT_IN {
            let profile = parse(name, text).unwrap();
            assert_eq!(parse(name, &to_toml(&profile).unwrap()).unwrap(), profile);
        }
    }

    #[test]
    fn the_default_profile_holds_every_key() {
        let table: toml::Table = DEFAULT.parse().unwrap();
        let written: toml::Table = to_toml(&parse("default", DEFAULT).unwrap()).unwrap().parse().unwrap();
        assert_eq!(table, written);
    }

    #[test]
    fn a_profile_contains_only_keys_that_differ() {
        for (name, text) in BUILT_IN.into_iter().skip(1) {
            let (own, default): (toml::Table, toml::Table) =
                (text.parse().unwrap(), DEFAULT.parse().unwrap());
            for (key, value) in own {
                match (value, &default[&key]) {
                    (toml::Value::Table(own), toml::Value::Table(default)) => {
                        for (inner, value) in own {
                            // A buffer is flushed by a rule of its own, even if it is the usual one.
                            assert!(value != default[&inner] || inner == "flush_seconds", "{name}: {inner}");
                        }
                    }
                    (value, default) => assert!(value != *default, "{name}: {key}"),
                }
            }
        }
    }

    #[test]
    fn an_unknown_profile_is_reported_with_the_available_ones() {
        let failure = built_in("defautl").unwrap_err();
        assert_eq!(failure.chain(), "there is no origin profile \"defautl\"");
        assert_eq!(
            failure.help_text(),
            Some(
                "did you mean default? There are: default, low-latency, ll-hls, 4k-abr, stress, logged, debug, tap, tap-logged; or name a TOML file"
            )
        );
    }

    #[test]
    fn an_unknown_key_is_reported_with_its_line_and_the_nearest_key() {
        for (text, start, near) in [
            ("\nlist_sise = 5\n", "origin profile mine.toml, line 2: unknown field `list_sise`", "list_size"),
            ("[video]\nfbs = 5\n", "origin profile mine.toml, line 2: unknown field `fbs`", "fps"),
        ] {
            let failure = parse("mine.toml", text).unwrap_err();
            assert!(failure.chain().starts_with(start), "{}", failure.chain());
            assert_eq!(failure.help_text(), Some(format!("did you mean `{near}`?").as_str()));
        }
        let failure = parse("mine.toml", "segment_seconds = 2\n\n[video]\nfps = \"fast\"\n").unwrap_err();
        assert!(failure.chain().starts_with("origin profile mine.toml, line 4: invalid type"));
        let failure = parse("mine.toml", "video = 3\n").unwrap_err();
        assert!(failure.chain().starts_with("origin profile mine.toml, line 1: invalid type"));
    }
}
