//! How the stream is served, checked once: the profile's tables `serve`, `log` and `limits`.

use hls_swarm_base::error::Failure;

use super::stream::within;
use crate::profile::{Limits, Log, Profile, Serve};

/// How the stream is served; its values fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Address and ports.
    pub serve: Serve,
    /// The access log.
    pub log: Log,
    /// Limits of rate and of connections.
    pub limits: Limits,
}

impl Serving {
    /// Checks the profile's values.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn of(profile: &Profile) -> Result<Self, Failure> {
        let Profile { serve, log, limits, .. } = profile;
        within("buffer_kb", log.buffer_kb, 0, 64 << 10)?;
        within("flush_seconds", log.flush_seconds, 1, 3600)?;
        within("gzip_level", log.gzip_level, 0, 9)?;
        if log.gzip_level > 0 && log.buffer_kb == 0 {
            return Err(Failure::usage("a compressed access log without a buffer")
                .help("set buffer_kb, for example to 512: nginx compresses buffer by buffer"));
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
                "limit-status {} is not the status of a limit",
                limits.status
            ))
            .help("give 429 (Too Many Requests) or 503 (Service Unavailable)"));
        }
        let name = &limits.token_argument;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            || !(1..=64).contains(&name.len())
        {
            return Err(Failure::usage(format!(
                "token-argument \"{name}\" is not the name of a query argument"
            ))
            .help("give letters, digits and _, for example token"));
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
            Serving::of(&profile::parse(name, text).unwrap()).unwrap();
        }
    }

    #[test]
    fn what_nginx_could_not_do_is_refused() {
        for (text, complaint) in [
            ("[limits]\nstatus = 404", "limit-status 404 is not the status of a limit"),
            (
                "[limits]\ntoken_argument = \"a b\"",
                "token-argument \"a b\" is not the name of a query argument",
            ),
            ("[log]\ngzip_level = 4", "a compressed access log without a buffer"),
            ("[log]\ngzip_level = 10", "gzip_level 10 is out of range"),
        ] {
            let failure = Serving::of(&profile::parse("mine", text).unwrap()).unwrap_err();
            assert_eq!(failure.chain(), complaint);
        }
    }
}
