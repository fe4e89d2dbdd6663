//! The rules of this machine and of this user, and the addresses of a host: the inputs of the target policy.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use url::{Host, Url};

use hls_swarm_base::error::Failure;

use crate::resolve::Rule;
use crate::target_policy::{Site, TargetPolicy};

/// The file with the machine's rules.
const MACHINE: &str = "/etc/hls-swarm/config.toml";

/// Reads the rules that exist, with the names of their files.
///
/// # Errors
/// A usage failure if a file exists but cannot be read.
pub fn rules() -> Result<Vec<(String, Site)>, Failure> {
    let own = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))
        .map(|folder| folder.join("hls-swarm/config.toml"));
    let files = std::iter::once(PathBuf::from(MACHINE)).chain(own);
    let mut rules = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => rules.push((name.clone(), Site::read(&name, &text)?)),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) => {}
            // Rules that cannot be read may forbid what is about to happen.
            Err(error) => {
                return Err(Failure::usage(format!("{name}: cannot be read"))
                    .caused_by(error)
                    .help("let this user read it, or set HOME to the home directory of this user"));
            }
        }
    }
    Ok(rules)
}

/// The addresses of `url`; the rules of `--resolve` take precedence. Empty if its name cannot be resolved;
/// then nothing can be loaded either.
#[must_use]
pub fn addresses(url: &Url, rules: &[Rule]) -> Vec<IpAddr> {
    let port = url.port_or_known_default().unwrap_or(80);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let Some(rule) = rules.iter().find(|rule| rule.matches(host, port)) {
        return rule.addresses.clone();
    }
    match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => (name, port)
            .to_socket_addrs()
            .map(|found| found.map(|one| one.ip()).collect())
            .unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Checks whether the target policy allows `url`, which the stream refers to.
///
/// # Errors
/// A preflight failure if an allow-list lacks the host, or if it is public and the user has not confirmed it.
pub fn check(target_policy: &TargetPolicy, url: &Url, rules: &[Rule]) -> Result<(), Failure> {
    target_policy.check_url(url)?;
    // A name is looked up only where it matters.
    let unknown = [IpAddr::from([1, 1, 1, 1])];
    if target_policy.asks(url, &unknown) {
        let addresses = addresses(url, rules);
        if target_policy.asks(url, &addresses) {
            return Err(target_policy.refusal(url, &addresses));
        }
    }
    Ok(())
}
