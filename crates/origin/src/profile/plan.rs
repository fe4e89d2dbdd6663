//! The plan of the origin, resolved once from its profile, the environment and flags.

use std::ffi::OsString;
use std::path::Path;

use toml::Table;

use hls_swarm_base::error::Failure;
use hls_swarm_cli::layers::{filtered, put_over};
use hls_swarm_cli::program::{self, Stop};

use crate::cli::{self, Cli, OriginArgs};
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::{self, Profile, unused_options};

/// The plan of an origin; its values are consistent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The profile with environment and flags on top.
    pub(crate) profile: Profile,
    /// The stream.
    pub(crate) stream: Stream,
    /// The settings for serving.
    pub(crate) serving: Serving,
    /// The values that are derived from the stream.
    pub(crate) derived: Derived,
    /// A sentence for each flag that has no effect.
    pub(crate) unused_options: Vec<String>,
}

impl Plan {
    /// Resolves a command line.
    ///
    /// # Errors
    /// There is no such profile, it cannot be read, or values do not fit together.
    pub(crate) fn resolve(args: &OriginArgs) -> Result<Self, Failure> {
        let name = &args.profile;
        let base = if name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml") {
            let text = std::fs::read_to_string(name).map_err(|error| {
                Failure::usage(format!("cannot read the profile {name}"))
                    .caused_by(error)
                    .help("name a TOML file that you can read, or a built-in profile")
            })?;
            profile::parse(name, &text)?
        } else {
            profile::parse(name, profile::built_in(name)?)?
        };
        let mut profile = with_flags(&base, args)?;
        profile.adapt(&base, args)?;
        let (stream, mut serving) = (Stream::from_profile(&profile)?, Serving::from_profile(&profile)?);
        if args.service.faulty() || args.service.embedded {
            // The fault proxy appends lines of plain text to nginx's log, so nginx must not compress it.
            serving.log.gzip_level = 0;
        }
        let derived = Derived::from_stream(&stream);
        let unused_options = unused_options::check(args, &profile);
        Ok(Self { profile, stream, serving, derived, unused_options })
    }

    /// Resolves flags as if they had been typed, without the environment.
    ///
    /// # Errors
    /// As [`Plan::resolve`], or the flags are not valid.
    pub(crate) fn of_flags(flags: &[&str]) -> Result<Self, Failure> {
        let arguments = ["hls-origin"].iter().chain(flags).map(OsString::from).collect();
        match program::parse::<Cli>(&cli::program(), arguments, &|_| None) {
            Ok((Cli { origin, .. }, given)) => Self::resolve(&OriginArgs { given, ..*origin }),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Asked(_)) => {
                Err(Failure::usage("--help and --version describe no origin")
                    .help("pass flags of the origin"))
            }
        }
    }
}

/// Returns the profile, overridden by the keys that flags or the environment have set.
fn with_flags(profile: &Profile, args: &OriginArgs) -> Result<Profile, Failure> {
    let unwritable =
        |error: toml::ser::Error| Failure::internal("cannot write the profile as TOML").caused_by(error);
    let given =
        filtered(&Table::try_from(&args.settings).map_err(unwritable)?, &|id| args.given.is_direct(id));
    let mut merged = Table::try_from(profile).map_err(unwritable)?;
    put_over(&mut merged, given);
    merged.try_into().map_err(|error: toml::de::Error| {
        Failure::internal("cannot read the merged profile").caused_by(error)
    })
}
