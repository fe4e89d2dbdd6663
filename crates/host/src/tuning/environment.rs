//! Kernel, container, virtual machine, and network namespace, which decide which settings can be changed.

use super::profile::Scope;

/// Environment of this program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `uname -r`.
    pub kernel: String,
    /// Kind of the container, if this is one.
    pub container: Option<String>,
    /// Whether the kernel runs in a virtual machine.
    pub virtual_machine: bool,
    /// Whether the network namespace is not the initial one.
    pub own_network: bool,
}

impl Environment {
    /// Returns notes for the user.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(kind) = &self.container {
            notes.push(format!(
                "container ({kind}): fs.*, vm.*, disks, and some net.* keys belong to the host; set them there"
            ));
        }
        if self.own_network {
            notes.push("own network namespace: other net.* keys apply to this namespace only".into());
        }
        if self.virtual_machine {
            notes.push(
                "virtual machine: these are the guest's settings; the host has its own for network queues and disks"
                    .into(),
            );
        }
        notes
    }

    /// Returns the reason why a key of `scope` cannot be changed here, if it belongs to another namespace.
    #[must_use]
    pub fn owner_elsewhere(&self, key: &str, scope: Scope) -> Option<String> {
        if scope != Scope::Host {
            return None;
        }
        match &self.container {
            Some(kind) => Some(format!("belongs to the host of this container ({kind}); set it there")),
            None if self.own_network && key.starts_with("net.") => {
                Some("belongs to the first network namespace; set it there".into())
            }
            None => None,
        }
    }
}

/// Returns the reason why this kernel does not have a key.
#[must_use]
pub fn why_missing(key: &str, since: Option<&str>, place: &Environment) -> String {
    if key.starts_with("net.ipv6.tcp_") {
        return "never existed: net.ipv4.tcp_* applies to TCP over IPv6, too".into();
    }
    if key == "net.ipv4.tcp_fack" {
        return "removed: the kernel replaced it with RACK (net.ipv4.tcp_recovery)".into();
    }
    let newer = since.filter(|since| version(since) > version(&place.kernel));
    match newer {
        Some(since) => format!("needs Linux {since}; this is {}", place.kernel),
        None => format!("this kernel ({}) does not have the key, or its module is not loaded", place.kernel),
    }
}

/// Parses the major and minor number of a kernel version: `6.11`, `6.18.44-fc`, `5.10-rc3`.
#[must_use]
pub fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_have_a_reason() {
        let place = Environment { kernel: "6.1.0-44-amd64".into(), ..Environment::default() };
        for (key, since, why) in [
            ("net.ipv6.tcp_rmem", None, "never existed"),
            ("net.ipv4.tcp_fack", None, "removed"),
            ("net.ipv4.tcp_rto_min_us", Some("6.11"), "needs Linux 6.11; this is 6.1.0-44-amd64"),
            ("net.ipv4.tcp_reflect_tos", Some("5.10"), "this kernel (6.1.0-44-amd64) does not have the key"),
        ] {
            assert!(why_missing(key, since, &place).starts_with(why), "{}", why_missing(key, since, &place));
        }
    }

    #[test]
    fn a_container_may_change_keys_of_its_own_namespace() {
        let place =
            Environment { container: Some("docker".into()), own_network: true, ..Environment::default() };
        assert_eq!(place.owner_elsewhere("net.ipv4.tcp_rmem", Scope::Namespace), None);
        assert!(place.owner_elsewhere("vm.swappiness", Scope::Host).unwrap().contains("docker"));
        let namespace = Environment { container: None, ..place };
        assert_eq!(namespace.owner_elsewhere("vm.swappiness", Scope::Host), None);
        assert!(namespace.owner_elsewhere("net.core.rmem_max", Scope::Host).is_some());
    }

    #[test]
    fn kernel_versions_are_parsed() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.10-rc3"), Some((5, 10)));
        assert_eq!(version("six"), None);
    }
}
