//! Secrets: read from files and the environment, and redacted in everything that this process prints.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::{MIN_SECRET_BYTES, Reference, Secrets};

/// A longer text does not fit into the head of a request, bytes.
const MAX_SECRET_BYTES: usize = 8 << 10;

/// The secrets of the run of this process.
static REGISTERED: OnceLock<Secrets> = OnceLock::new();

/// Reads the secrets that `references` name.
///
/// # Errors
/// A usage failure that names the reference, never the value.
pub fn read(references: Vec<Reference>) -> Result<Secrets, Failure> {
    let read = |reference: Reference| value(&reference).map(|value| (reference, value));
    references.into_iter().map(read).collect::<Result<BTreeMap<_, _>, _>>().map(Secrets::of)
}

fn value(reference: &Reference) -> Result<String, Failure> {
    let value = match reference {
        Reference::Variable(name) => std::env::var(name).map_err(|error| {
            Failure::usage(format!("{reference}: the secret does not exist"))
                .caused_by(error)
                .help(format!("set the variable, for example: export {name}=…"))
        })?,
        Reference::File(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("{reference}: the secret does not exist"))
                .caused_by(error)
                .help("name a text file that you can read, with an absolute path")
        })?,
    };
    let value = value.strip_suffix('\n').map_or(value.as_str(), |line| line.trim_end_matches('\r'));
    let invalid = |why: &str, help: &str| Err(Failure::usage(format!("{reference}: {why}")).help(help));
    match value.len() {
        _ if value.chars().any(char::is_control) => {
            invalid("it contains a line break or another control character", "keep the secret on one line")
        }
        length if length < MIN_SECRET_BYTES => invalid(
            &format!("{length} bytes are too short for a secret"),
            "write it directly where it is used, or use one of 4 bytes or more",
        ),
        length if length > MAX_SECRET_BYTES => {
            invalid(&format!("{length} bytes are too long for a request"), "pass 8 KiB or less")
        }
        _ => Ok(value.to_owned()),
    }
}

/// Registers secrets that [`redact`] removes from now on.
pub fn register(secrets: &Secrets) {
    // A process does one run; a second call would register the same secrets.
    drop(REGISTERED.set(secrets.clone()));
}

/// Returns `text` without the registered secrets. Everything that this process prints passes through here.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    REGISTERED.get().map_or(Cow::Borrowed(text), |secrets| secrets.redact(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_break_and_an_invalid_one_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Reference::File(path.to_str().unwrap().to_owned())
        };
        let good = file("good", "t0ken\r\n");
        let secrets = read(vec![good.clone()]).unwrap();
        assert_eq!(secrets.expand(&format!("a={good}")).unwrap(), "a=t0ken");
        for (reference, expected) in [
            (file("two", "a\nbcdef\n"), "line break"),
            (file("short", "abc\n"), "too short"),
            (file("long", &"x".repeat(MAX_SECRET_BYTES + 1)), "too long"),
            (Reference::File("/nonexistent/token".into()), "secret does not exist"),
            (Reference::Variable("HLS_SWARM_NO_SUCH_VARIABLE".into()), "secret does not exist"),
        ] {
            let failure = read(vec![reference]).unwrap_err();
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(failure.help_text().is_some());
        }
    }
}
