//! Command lines without secrets.
//!
//! Every user can read the arguments of a process; only the same user can read its environment. So an
//! argument that holds a secret travels in a variable, and the probe puts it back before FFmpeg's `main`
//! (`probe/object/arguments.rs`).

use std::borrow::Cow;

use hls_swarm_base::secrets::Secrets;
use hls_swarm_probe::record::{SECRET, SECRET_END};

/// A command line without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concealed {
    /// The words as everybody may see them.
    pub words: Vec<String>,
    /// The variables, name and value, in which whole words travel.
    pub variables: Vec<(String, String)>,
}

/// Takes the words that hold secrets out of a command line.
#[must_use]
pub fn conceal(secrets: &Secrets, words: Vec<String>) -> Concealed {
    let mut variables = Vec::new();
    let words = words
        .into_iter()
        .map(|word| match secrets.redact(&word) {
            Cow::Borrowed(_) => word,
            Cow::Owned(shown) => {
                let name = format!("{SECRET}{}", variables.len() + 1);
                // Line breaks end a header; in a list of processes they would only confuse.
                let shown = format!("{{{name}{SECRET_END}{}", shown.replace("\r\n", " "));
                variables.push((name, word));
                shown
            }
        })
        .collect();
    Concealed { words, variables }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hls_swarm_base::secrets::Reference;

    use super::*;

    #[test]
    fn words_with_secrets_leave_the_command_line() {
        let words = ["-headers", "A: tok3n\r\nB: c\r\n", "-i", "http://h/a"].map(str::to_owned).to_vec();
        let token = Reference::Variable("TOKEN".into());
        let secrets = Secrets::of(BTreeMap::from([(token, "tok3n".to_owned())]));
        let Concealed { words: shown, variables } = conceal(&secrets, words);
        assert_eq!(shown, ["-headers", "{HLS_SWARM_SECRET_1}A: *** B: c ", "-i", "http://h/a"]);
        assert_eq!(variables, [("HLS_SWARM_SECRET_1".to_owned(), "A: tok3n\r\nB: c\r\n".to_owned())]);
    }
}
