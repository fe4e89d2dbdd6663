//! The tables `serve`, `log` and `limits` of a profile, validated.

use hls_swarm_base::error::Failure;

use super::stream::within;
use crate::profile::{Limits, Log, Profile, Serve};

/// The settings for serving; the values are valid together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// Address and ports.
    pub(crate) serve: Serve,
    /// The access log.
    pub(crate) log: Log,
    /// Request and connection limits.
    pub(crate) limits: Limits,
}

impl Serving {
    /// Validates the values of the profile.
    ///
    /// # Errors
    /// A value is out of its range.
    pub(crate) fn from_profile(profile: &Profile) -> Result<Self, Failure> {
        let Profile { serve, log, limits, .. } = profile;
        within("buffer_kb", log.buffer_kb, 0, 64 << 10)?;
        within("flush_seconds", log.flush_seconds, 1, 3600)?;
        within("gzip_level", log.gzip_level, 0, 9)?;
        if log.gzip_level > 0 && log.buffer_kb == 0 {
            return Err(Failure::usage("a compressed access log needs a buffer")
                .help("set buffer_kb, for example to 512; nginx compresses one buffer at a time"));
        }
        let rates = [
            ("address-requests-per-second", limits.address_requests_per_second),
            ("address-connections", limits.address_connections),
            ("token-requests-per-second", limits.token_requests_per_second),
            ("token-connections", limits.token_connections),
        ];
        for (name, value) in rates {
            within(name, value, 0, 65_535)?;
        }
        within("limit-burst", limits.burst, 0, 65_535)?;
        if !matches!(limits.status, 429 | 503) {
            return Err(Failure::usage(format!(
                "invalid limit-status {}: expected 429 or 503",
                limits.status
            ))
            .help("pass 429 (Too Many Requests) or 503 (Service Unavailable)"));
        }
        let name = &limits.token_argument;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            || !(1..=64).contains(&name.len())
        {
            return Err(Failure::usage(format!(
                "invalid token-argument \"{name}\": expected the name of a query argument"
            ))
            .help("use letters, digits and _, for example token"));
        }
        Ok(Self { serve: serve.clone(), log: log.clone(), limits: limits.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn every_built_in_profile_can_be_served() {
        for (name, text) in profile::BUILT_IN {
            Serving::from_profile(&profile::parse(name, text).unwrap()).unwrap();
        }
    }

    #[test]
    fn values_that_nginx_does_not_support_are_rejected() {
        for (text, complaint) in [
            ("[limits]\nstatus = 404", "invalid limit-status 404: expected 429 or 503"),
            (
                "[limits]\ntoken_argument = \"a b\"",
                "invalid token-argument \"a b\": expected the name of a query argument",
            ),
            ("[log]\ngzip_level = 4", "a compressed access log needs a buffer"),
            ("[log]\ngzip_level = 10", "invalid gzip_level 10: out of range"),
        ] {
            let failure = Serving::from_profile(&profile::parse("mine", text).unwrap()).unwrap_err();
            assert_eq!(failure.chain(), complaint);
        }
    }
}
