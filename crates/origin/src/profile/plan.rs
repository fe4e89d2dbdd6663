//! The plan of an origin: the profile with flags and environment applied, and the values derived from it.

use std::path::Path;

use hls_swarm_base::error::Failure;

use crate::cli::OriginArgs;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::unused_options::unused_options;
use crate::profile::{self, Profile};

/// A validated configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The profile with flags and environment applied.
    pub(crate) profile: Profile,
    /// The stream to serve.
    pub(crate) stream: Stream,
    /// How it is served.
    pub(crate) serving: Serving,
    /// Values derived from the stream.
    pub(crate) derived: Derived,
    /// A sentence for each flag that has no effect.
    pub(crate) unused_options: Vec<String>,
}

impl Plan {
    /// Resolves the flags and the profile.
    ///
    /// # Errors
    /// The profile does not exist or cannot be read, or values are invalid together.
    pub(crate) fn resolve(args: &OriginArgs) -> Result<Self, Failure> {
        let name = &args.profile;
        let mut profile =
            if name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml") {
                let text = std::fs::read_to_string(name).map_err(|error| {
                    Failure::usage(format!("cannot read the profile {name}"))
                        .caused_by(error)
                        .help("pass a readable TOML file, or the name of a built-in profile")
                })?;
                profile::parse(name, &text)?
            } else {
                profile::parse(name, profile::built_in(name)?)?
            };
        profile.apply_stream(&args.stream)?;
        profile.apply_serving(&args.serving);
        profile.apply_service(&args.service);
        let (stream, mut serving) = (Stream::of(&profile)?, Serving::of(&profile)?);
        if args.service.faulty() || args.service.embedded {
            // hls-origin itself appends uncompressed lines then, so nginx must not compress its own.
            serving.log.gzip_level = 0;
        }
        let derived = Derived::of(&stream);
        let unused_options = unused_options(args, &profile);
        Ok(Self { profile, stream, serving, derived, unused_options })
    }
}
