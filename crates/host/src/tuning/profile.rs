//! Profiles of settings: the TOML format and the built-in profiles.

use std::collections::BTreeMap;

use serde::Deserialize;

use hls_swarm_base::built_in::find;
use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text;

use crate::tuning::sysctl::is_key;
use crate::tuning::values::Accept;

/// Built-in profiles: name and text.
pub use hls_swarm_profiles::SYSCTL as BUILT_IN;

/// A profile of settings.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Purpose.
    pub description: String,
    /// Sysctl keys by name.
    #[serde(default)]
    pub key: BTreeMap<String, Key>,
    /// Sets of keys that replace others, by name.
    #[serde(default)]
    pub variant: BTreeMap<String, Variant>,
    /// Limits of processes.
    pub limits: Option<Limits>,
    /// Disks by kind: `rotating`, `raid`, `nvme`.
    #[serde(default)]
    pub disk: BTreeMap<DiskKind, Disk>,
}

/// A sysctl key.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The value, as written into /proc/sys.
    pub value: String,
    /// Rule for values that are as good.
    #[serde(default)]
    pub accept: Accept,
    /// Other values that are as good.
    #[serde(default)]
    pub also: Vec<String>,
    /// Namespace that owns it.
    #[serde(default)]
    pub scope: Scope,
    /// The first kernel that has it: `MAJOR.MINOR`.
    pub since: Option<String>,
    /// Number of viewers from which it is needed.
    pub from_clients: Option<u32>,
    /// Whether systemd sets the highest possible value at boot. A file that applies the profile at each boot
    /// would lower it.
    #[serde(default)]
    pub raised_by_systemd: bool,
    /// Reason.
    pub reason: String,
    /// Source of the reason.
    pub source: Option<String>,
}

impl Key {
    /// Returns the value to set where `current` is not as good: no number of it becomes worse.
    #[must_use]
    pub fn target(&self, current: &str) -> String {
        self.accept.merge(current, &self.value)
    }

    /// Reports whether `current` is as good as the recommended value.
    #[must_use]
    pub fn accepts(&self, current: &str) -> bool {
        self.accept.accepts(current, &self.value) || self.also.iter().any(|other| other == current.trim())
    }
}

/// Namespace that owns a key.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Each network namespace has its own value.
    #[default]
    Namespace,
    /// The kernel has one value, or only the first network namespace may write it.
    Host,
}

/// Keys that replace others.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Sysctl keys by name.
    pub key: BTreeMap<String, Key>,
}

/// Limits of processes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Open files per process.
    pub nofile: u64,
    /// Processes and threads per user.
    pub nproc: u64,
    /// Lower limits for few viewers, in rising order; empty where the number of viewers does not matter.
    #[serde(default)]
    pub step: Vec<Step>,
    /// Reason.
    pub reason: String,
}

/// Limits for few viewers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Largest number of viewers.
    pub up_to_clients: u32,
    /// Open files per process.
    pub nofile: u64,
}

/// Kind of a disk, as far as its settings depend on it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A rotating disk.
    Rotating,
    /// An array of the md driver.
    Raid,
    /// NVMe.
    Nvme,
}

/// Settings of a disk.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The I/O scheduler.
    pub scheduler: String,
    /// Read ahead of a sequential reader, KiB, at least.
    pub read_ahead_kb: Option<u64>,
    /// Reason.
    pub reason: String,
}

/// The text of a built-in profile.
///
/// # Errors
/// A usage failure that lists the available ones.
pub fn built_in(name: &str) -> Result<&'static str, Failure> {
    find(&BUILT_IN, "sysctl profile", name)
}

/// Reads a profile and merges `variant` into it.
///
/// # Errors
/// A usage failure: no such profile text, an unknown variant, an invalid sysctl key, a value that
/// would not be one line.
pub fn parse(name: &str, text: &str, variant: Option<&str>) -> Result<Profile, Failure> {
    let what = format!("profile {name}");
    let mut profile: Profile = profile_text::read(
        &what,
        text,
        "compare with profiles/sysctl/client.toml, which explains the format",
    )?;
    if let Some(wanted) = variant {
        let Some(found) = profile.variant.remove(wanted) else {
            let all: Vec<&str> = profile.variant.keys().map(String::as_str).collect();
            let all =
                if all.is_empty() { "it has none".to_owned() } else { format!("it has: {}", all.join(", ")) };
            return Err(Failure::usage(format!("{what} has no variant {wanted:?}")).help(all));
        };
        profile.key.extend(found.key);
    }
    for (name, key) in &profile.key {
        if !is_key(name) {
            return Err(Failure::usage(format!("{what}: invalid sysctl key {name:?}"))
                .help("write it like net.ipv4.tcp_rmem, in quotes"));
        }
        if key.value.trim().is_empty() || key.value.contains(['\n', '\r', '\0']) {
            return Err(Failure::usage(format!("{what}: the value of {name} is empty or more than a line"))
                .help("give it one line, as /proc/sys shows it"));
        }
        if let Some(since) = &key.since
            && super::environment::version(since).is_none()
        {
            return Err(Failure::usage(format!("{what}: {name}: invalid kernel version since = {since:?}"))
                .help("write it like since = \"6.11\""));
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_have_the_documented_values() {
        let client = parse("client", built_in("client").unwrap(), None).unwrap();
        let origin = parse("origin", built_in("origin").unwrap(), None).unwrap();
        for profile in [&client, &origin] {
            for (name, value) in [
                ("fs.file-max", "2097152"),
                ("net.core.netdev_max_backlog", "65535"),
                ("net.ipv4.ip_local_port_range", "1026 65535"),
                ("net.ipv4.tcp_tw_reuse", "1"),
                ("net.ipv4.tcp_fin_timeout", "15"),
                ("net.core.rmem_max", "26214400"),
                ("net.core.wmem_max", "26214400"),
                ("net.ipv4.tcp_slow_start_after_idle", "0"),
                ("net.ipv4.tcp_timestamps", "1"),
                ("net.ipv4.tcp_sack", "1"),
                ("net.ipv4.tcp_window_scaling", "1"),
                ("net.ipv4.tcp_ecn", "1"),
                ("net.core.default_qdisc", "fq"),
                ("net.ipv4.tcp_congestion_control", "cubic"),
                ("net.netfilter.nf_conntrack_max", "262144"),
                ("fs.nr_open", "1048576"),
            ] {
                assert_eq!(profile.key[name].value, value, "{name}");
            }
            // Settings that are wrong or harmful outside of a closed network.
            for name in [
                "net.core.rmem_default",
                "net.core.wmem_default",
                "net.ipv4.tcp_rto_min_us",
                "net.ipv4.tcp_no_ssthresh_metrics_save",
                "net.ipv4.tcp_reflect_tos",
                "net.ipv4.tcp_notsent_lowat",
                "net.ipv4.tcp_keepalive_time",
            ] {
                assert!(!profile.key.contains_key(name), "{name}");
            }
            for (name, key) in
                profile.key.iter().chain(profile.variant.values().flat_map(|variant| &variant.key))
            {
                assert!(!key.reason.is_empty() && key.source.is_some(), "{name}");
            }
        }
        assert_eq!(client.key["net.ipv4.tcp_fastopen"].value, "1");
        assert_eq!(origin.key["net.ipv4.tcp_fastopen"].value, "3");
        assert_eq!(origin.key["net.core.somaxconn"].value, "65535");
        assert_eq!(origin.key["vm.swappiness"].value, "10");
        assert_eq!(origin.key["vm.vfs_cache_pressure"].value, "50");
        assert_eq!(origin.disk[&DiskKind::Nvme].scheduler, "none");
        assert_eq!(origin.disk[&DiskKind::Raid].read_ahead_kb, Some(512));
        assert_eq!(origin.limits.unwrap().nofile, 100_000);
    }

    #[test]
    fn the_variant_lab_is_the_complete_list_of_the_guide() {
        for name in ["client", "origin"] {
            let lab = parse(name, built_in(name).unwrap(), Some("lab")).unwrap();
            for (key, value) in [
                ("net.ipv4.tcp_keepalive_time", "120"),
                ("net.ipv4.tcp_keepalive_intvl", "30"),
                ("net.ipv4.tcp_keepalive_probes", "4"),
                ("net.ipv4.tcp_rmem", "4096 1000000 16000000"),
                ("net.ipv4.tcp_wmem", "4096 1000000 16000000"),
                ("net.core.rmem_default", "26214400"),
                ("net.core.wmem_default", "26214400"),
                ("net.core.rmem_max", "26214400"),
                ("net.ipv4.tcp_notsent_lowat", "131072"),
                ("net.ipv4.tcp_rto_min_us", "50000"),
                ("net.ipv4.tcp_no_ssthresh_metrics_save", "0"),
                ("net.ipv4.tcp_reflect_tos", "1"),
                ("net.core.default_qdisc", "cake"),
                ("net.ipv4.tcp_congestion_control", "cubic"),
                ("net.ipv4.tcp_fin_timeout", "15"),
            ] {
                assert_eq!(lab.key[key].value, value, "{key}");
            }
        }
    }

    #[test]
    fn a_variant_replaces_keys() {
        let bbr = parse("client", built_in("client").unwrap(), Some("bbr")).unwrap();
        assert_eq!(bbr.key["net.core.default_qdisc"].value, "fq");
        assert_eq!(bbr.key["net.ipv4.tcp_congestion_control"].value, "bbr");
        let failure = parse("client", built_in("client").unwrap(), Some("bbr2")).unwrap_err();
        assert_eq!(failure.chain(), "profile client has no variant \"bbr2\"");
        assert_eq!(failure.help_text(), Some("it has: bbr, lab"));
    }

    #[test]
    fn invalid_profiles_are_refused() {
        for (text, why) in [
            ("description = ''\n[key.'a/b.c']\nvalue = '1'\nreason = ''", "invalid sysctl key \"a/b.c\""),
            ("description = ''\n[key.'..']\nvalue = '1'\nreason = ''", "invalid sysctl key \"..\""),
            ("description = ''\n[key.'a.b']\nvalue = ''\nreason = ''", "the value of a.b is empty"),
            ("description = ''\n[key.'a.b']\nvalu = ''\nreason = ''", "line 3: unknown field `valu`"),
            (
                "description = ''\n[key.'a.b']\nvalue = '1'\nsince = 'x'\nreason = ''",
                "a.b: invalid kernel version since = \"x\"",
            ),
            ("", "missing field `description`"),
        ] {
            let failure = parse("x", text, None).unwrap_err();
            assert!(failure.chain().contains(why), "{}", failure.chain());
            assert_eq!(failure.exit().code(), 2);
        }
        assert_eq!(
            built_in("cliant").unwrap_err().help_text().unwrap(),
            "did you mean client? There are: client, origin; or name a TOML file"
        );
    }
}
