//! `hls-origin config`: what the origin would serve, and the values that are derived from it.

use std::path::Path;

use hls_swarm_base::error::Failure;
use hls_swarm_cli::config::{CheckArgs, ShowArgs, Shown, print_schema, read, warn};
use hls_swarm_cli::layers::Given;
use hls_swarm_os::output::print;

use crate::cli::{ConfigCommand, OriginArgs};
use crate::profile::derived::Derived;
use crate::profile::plan::Plan;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::{self, Profile};

/// Shows or checks a configuration.
///
/// # Errors
/// A usage failure: a profile cannot be read, or values do not fit together.
pub fn run(command: ConfigCommand, given: Given) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show { output, origin } => show(output, &OriginArgs { given, ..*origin }),
        ConfigCommand::Check(CheckArgs { files }) => files.iter().try_for_each(|file| check(file)),
        ConfigCommand::Schema => print_schema(&profile::schema()?),
    }
}

fn show(output: ShowArgs, args: &OriginArgs) -> Result<(), Failure> {
    let Plan { profile, derived, unused_options, .. } = Plan::resolve(args)?;
    warn(&unused_options);
    Shown {
        program: "hls-origin",
        version: env!("CARGO_PKG_VERSION"),
        profile: Some(&args.profile),
        scenario: None,
        settings: profile,
        derived,
    }
    .print(output)
}

/// Returns the stream of a profile and the values that are derived from it.
fn resolved(profile: &Profile) -> Result<(Stream, Derived), Failure> {
    let stream = Stream::from_profile(profile)?;
    Serving::from_profile(profile)?;
    let derived = Derived::from_stream(&stream);
    Ok((stream, derived))
}

/// Checks a profile as the origin would read it, without flags and environment.
fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let name = file.display().to_string();
    let profile = profile::parse(&name, &text)?;
    let (stream, derived) = resolved(&profile).map_err(|failure| failure.within(&name))?;
    let (variants, room) = (stream.variants.len(), derived.storage_bytes.div_ceil(1 << 20));
    let variants = if variants == 1 { "1 variant".to_owned() } else { format!("{variants} variants") };
    print(&format!("{name}: valid: {variants}, needs {room} MiB\n"))
}
