//! The common part of `config show` and `config check` of both programs.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use hls_swarm_base::error::Failure;
use hls_swarm_os::output;

/// Prints warnings about options that have no effect.
pub fn warn(unused: &[String]) {
    for warning in unused {
        // The reader may be gone; then no warning can be printed.
        drop(writeln!(std::io::stderr(), "warning: {warning}"));
    }
}

/// The text of a file that is to be checked.
///
/// # Errors
/// A usage failure: it cannot be read.
pub fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("{}: cannot be read", file.display()))
            .caused_by(error)
            .help("name a TOML file that you can read")
    })
}

/// The JSON Schema of a file, for editors: draft 7, which those for TOML read.
///
/// # Errors
/// An internal failure: it cannot be written as JSON.
pub fn schema<T: JsonSchema>(title: &str) -> Result<serde_json::Value, Failure> {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    serde_json::to_value(schema)
        .map_err(|error| Failure::internal("cannot write the schema").caused_by(error))
}

/// Prints a schema.
///
/// # Errors
/// Standard output is closed.
pub fn print_schema(schema: &serde_json::Value) -> Result<(), Failure> {
    output::print(&format!("{schema:#}\n"))
}

/// A configuration to print.
#[derive(Debug, Serialize)]
pub struct Shown<'a, S, D> {
    /// The program.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The profile, if one was given.
    pub profile: Option<&'a str>,
    /// The scenario that overrides it, if one was given.
    pub scenario: Option<&'a str>,
    /// Every key that has a value, as a profile spells it.
    pub settings: S,
    /// Values derived from the settings: limits, sizes, times.
    pub derived: D,
}

impl<S: Serialize, D: Serialize> Shown<'_, S, D> {
    /// Prints JSON, or a profile with the derived values as comments.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&self, output: ShowArgs) -> Result<(), Failure> {
        let unwritable = |error: String| Failure::internal("cannot write the configuration").caused_by(error);
        let text = if output.json {
            serde_json::to_string_pretty(self).map_err(|error| unwritable(error.to_string()))? + "\n"
        } else {
            let text = |error: toml::ser::Error| unwritable(error.to_string());
            let derived = toml::to_string(&self.derived).map_err(text)?;
            let derived: String = derived.lines().map(|line| format!("#   {line}\n")).collect();
            let settings = toml::to_string(&self.settings).map_err(text)?;
            format!("{settings}\n# What follows from it:\n{derived}")
        };
        output::print(&text)
    }
}

/// The format of a printed configuration.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShowArgs {
    /// Print JSON: program, version, profile, settings, derived
    #[arg(long)]
    pub json: bool,
}

/// The files to check.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    /// TOML files
    #[arg(value_name = "FILE.toml", num_args = 1.., required = true)]
    pub files: Vec<PathBuf>,
}
