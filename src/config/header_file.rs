//! Secret request headers from a file, such as a systemd credential.

use std::path::Path;

use hls_swarm_base::error::Failure;

/// The lines of the file, without empty lines and comments (`#`).
///
/// # Errors
/// A usage failure: it cannot be read.
pub fn read(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("--header-file {}: cannot be read", path.display()))
            .caused_by(error)
            .help("name a file that you can read, with one \"Name: value\" per line")
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}
