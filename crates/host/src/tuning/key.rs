//! Where a program runs, as far as it decides which settings are its to change: kernel, container,
//! virtual machine, network namespace.

use super::kernel::version;
use super::profile::Scope;

/// The place as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `uname -r`.
    pub kernel: String,
    /// What kind of container this is, if it is one.
    pub container: Option<String>,
    /// The kernel runs in a virtual machine.
    pub virtual_machine: bool,
    /// The network namespace is not the kernel's first.
    pub own_network: bool,
}

impl Place {
    /// What a user has to know of it.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(kind) = &self.container {
            notes.push(format!(
                "container ({kind}): fs.*, vm.*, disks and the net.* keys marked so belong to the host; set them there"
            ));
        }
        if self.own_network {
            notes.push(
                "own network namespace: other net.* keys hold for this namespace alone, and end with it"
                    .into(),
            );
        }
        if self.virtual_machine {
            notes.push(
                "virtual machine: these are the guest's settings; the host's network queues and disks have their own"
                    .into(),
            );
        }
        notes
    }

    /// Why a key of `scope` cannot be set from here, if it belongs to somebody else.
    #[must_use]
    pub fn belongs_elsewhere(&self, key: &str, scope: Scope) -> Option<String> {
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

/// Why this kernel has no such key.
#[must_use]
pub fn lack(key: &str, since: Option<&str>, place: &Place) -> String {
    if key.starts_with("net.ipv6.tcp_") {
        return "never existed: net.ipv4.tcp_* holds for TCP over IPv6 too".into();
    }
    if key == "net.ipv4.tcp_fack" {
        return "gone: the kernel replaced it by RACK (net.ipv4.tcp_recovery)".into();
    }
    let newer = since.filter(|since| version(since) > version(&place.kernel));
    match newer {
        Some(since) => format!("needs Linux {since}; this is {}", place.kernel),
        None => format!("this kernel ({}) has no such key, or its module is not loaded", place.kernel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_a_missing_key() {
        let place = Place { kernel: "6.1.0-44-amd64".into(), ..Place::default() };
        for (key, since, why) in [
            ("net.ipv6.tcp_rmem", None, "never existed"),
            ("net.ipv4.tcp_fack", None, "gone"),
            ("net.ipv4.tcp_rto_min_us", Some("6.11"), "needs Linux 6.11; this is 6.1.0-44-amd64"),
            ("net.ipv4.tcp_reflect_tos", Some("5.10"), "this kernel (6.1.0-44-amd64) has no such key"),
        ] {
            assert!(lack(key, since, &place).starts_with(why), "{}", lack(key, since, &place));
        }
    }

    #[test]
    fn a_container_may_set_what_its_namespace_owns() {
        let place = Place { container: Some("docker".into()), own_network: true, ..Place::default() };
        assert_eq!(place.belongs_elsewhere("net.ipv4.tcp_rmem", Scope::Namespace), None);
        assert!(place.belongs_elsewhere("vm.swappiness", Scope::Host).unwrap().contains("docker"));
        let namespace = Place { container: None, ..place };
        assert_eq!(namespace.belongs_elsewhere("vm.swappiness", Scope::Host), None);
        assert!(namespace.belongs_elsewhere("net.core.rmem_max", Scope::Host).is_some());
    }
}
