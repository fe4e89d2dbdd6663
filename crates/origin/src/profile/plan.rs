//! What was asked for, resolved once: the profile with flags and environment on top, and what follows.

use std::path::Path;

use hls_swarm_base::error::Failure;

use crate::cli::OriginArgs;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::unused_options::idle;
use crate::profile::{self, Profile};

/// What was asked for; its values fit together.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The profile with flags and environment on top.
    pub profile: Profile,
    /// What stream there is.
    pub stream: Stream,
    /// How it is served.
    pub serving: Serving,
    /// What follows from the stream.
    pub derived: Derived,
    /// Which flags have no effect, one sentence each.
    pub idle: Vec<String>,
}

impl Plan {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// There is no such profile, it cannot be read, or values do not fit together.
    pub fn resolve(args: &OriginArgs) -> Result<Self, Failure> {
        let name = &args.profile;
        let mut profile =
            if name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml") {
                let text = std::fs::read_to_string(name).map_err(|error| {
                    Failure::usage(format!("cannot read the profile {name}"))
                        .caused_by(error)
                        .help("name a TOML file that you may read, or a profile that comes with the program")
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
            // This program writes lines of its own then, as text, which nginx's must be too.
            serving.log.gzip_level = 0;
        }
        let derived = Derived::of(&stream);
        let idle = idle(args, &profile);
        Ok(Self { profile, stream, serving, derived, idle })
    }
}
