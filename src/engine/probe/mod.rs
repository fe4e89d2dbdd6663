//! The socket probe: loads it into programs, and reads its records.

pub mod bodies;
pub mod decode;
pub mod object;
pub mod pipe;
pub mod playlists;
pub mod selftest;

use std::borrow::Cow;
use std::os::fd::AsRawFd;

use hls_swarm_base::secrets::Secrets;
use hls_swarm_os::process::Program;
use hls_swarm_probe::record::{ENVIRONMENT, NETWORK_ENVIRONMENT, SECRET, SECRET_END};

use self::object::ProbeObject;
use self::pipe::ProbePipe;
use self::playlists::SharedPlaylists;

/// The probe, ready to be loaded into viewers.
#[derive(Debug)]
pub struct Probe {
    object: ProbeObject,
    pipe: ProbePipe,
    /// The playlists that viewers read.
    pub(crate) playlists: SharedPlaylists,
}

impl Probe {
    /// Makes `program` load the probe. The probe puts `viewer` and `generation` into each record, and applies
    /// `network`, the text of [`crate::network::Network::probe_settings`].
    pub(crate) fn attach(
        &self,
        program: &mut Program,
        viewer: u32,
        generation: u32,
        network: Option<String>,
    ) {
        let report = format!("{}:{viewer}:{generation}", self.pipe.fd());
        program.environment.push((ENVIRONMENT.into(), report.into()));
        let object = self.object.fd().as_raw_fd();
        let already = std::env::var_os("LD_PRELOAD");
        program.environment.push(("LD_PRELOAD".into(), self.object.preload(object, already.as_deref())));
        program.inherit.extend([self.pipe.fd(), object]);
        if let Some(network) = network {
            program.environment.push((NETWORK_ENVIRONMENT.into(), network.into()));
        }
    }
}

/// A command line without its secrets.
///
/// Every user can read the arguments of a process; only the same user can read its environment. So an argument
/// that contains a secret is passed in a variable, and the probe restores it before the program's `main`
/// (`probe/object/arguments.rs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concealed {
    /// The arguments, without secrets.
    pub arguments: Vec<String>,
    /// The variables, name and value, that pass the original arguments.
    pub variables: Vec<(String, String)>,
}

/// Moves the arguments that contain secrets out of a command line.
#[must_use]
pub fn conceal(secrets: &Secrets, arguments: Vec<String>) -> Concealed {
    let mut variables = Vec::new();
    let arguments = arguments
        .into_iter()
        .map(|argument| match secrets.redact(&argument) {
            Cow::Borrowed(_) => argument,
            Cow::Owned(shown) => {
                let name = format!("{SECRET}{}", variables.len() + 1);
                // `ps` would show the line breaks that end headers.
                let shown = format!("{{{name}{SECRET_END}{}", shown.replace("\r\n", " "));
                variables.push((name, argument));
                shown
            }
        })
        .collect();
    Concealed { arguments, variables }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hls_swarm_base::secrets::Reference;

    use super::*;

    #[test]
    fn arguments_with_secrets_are_not_on_the_command_line() {
        let arguments = ["-headers", "A: tok3n\r\nB: c\r\n", "-i", "http://h/a"].map(str::to_owned).to_vec();
        let token = Reference::Variable("TOKEN".into());
        let secrets = Secrets::of(BTreeMap::from([(token, "tok3n".to_owned())]));
        let Concealed { arguments: shown, variables } = conceal(&secrets, arguments);
        assert_eq!(shown, ["-headers", "{HLS_SWARM_SECRET_1}A: *** B: c ", "-i", "http://h/a"]);
        assert_eq!(variables, [("HLS_SWARM_SECRET_1".to_owned(), "A: tok3n\r\nB: c\r\n".to_owned())]);
    }
}
