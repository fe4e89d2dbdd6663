//! Files that apply a profile at each boot: sysctl.d, limits.d, systemd, udev.

use std::fmt::Write;

use super::profile::{DiskKind, Profile};
use super::values;
use crate::tuning::environment::{Environment, why_missing};

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the root, without a leading slash.
    pub path: String,
    /// Its content.
    pub text: String,
}

const HEAD: &str = "# Written by `hls-swarm tune persist`; `tune persist --remove` removes it.\n";

/// Returns every path that the profile `name` may be written to.
#[must_use]
pub fn paths(name: &str) -> [String; 4] {
    [
        format!("etc/sysctl.d/90-hls-swarm-{name}.conf"),
        format!("etc/security/limits.d/90-hls-swarm-{name}.conf"),
        "etc/systemd/system/nginx.service.d/90-hls-swarm.conf".into(),
        format!("etc/udev/rules.d/90-hls-swarm-{name}.rules"),
    ]
}

/// Returns the files for the profile `name`; `only` has prefixes of setting names, empty = all.
#[must_use]
pub fn files(name: &str, profile: &Profile, clients: Option<u32>, only: &[String]) -> Vec<File> {
    let [sysctl_path, limits_path, nginx_path, disk_path] = paths(name);
    let wanted = |setting: &str| only.is_empty() || only.iter().any(|prefix| setting.starts_with(prefix));
    let mut files = Vec::new();
    let keys = sysctl(profile, clients, &wanted);
    if !keys.is_empty() {
        files.push(File { path: sysctl_path, text: format!("{HEAD}{keys}") });
    }
    if let Some(limits) = profile.limits.as_ref().filter(|_| wanted("limit.nofile")) {
        let open = values::open_files(limits, clients);
        // An origin is a service; viewers are started by users.
        if limits.step.is_empty() {
            let text = format!("{HEAD}# {}\n[Service]\nLimitNOFILE={open}\n", limits.reason);
            files.push(File { path: nginx_path, text });
        } else {
            let mut text = format!("{HEAD}# {}\n* - nofile {open}\nroot - nofile {open}\n", limits.reason);
            if let Some(processes) = values::processes(limits, clients) {
                let _ = writeln!(text, "* - nproc {processes}");
            }
            files.push(File { path: limits_path, text });
        }
    }
    if !profile.disk.is_empty() && wanted("disk.") {
        files.push(File { path: disk_path, text: format!("{HEAD}{}", disks(profile)) });
    }
    files
}

fn sysctl(profile: &Profile, clients: Option<u32>, wanted: &impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let needed = |from: Option<u32>| from.zip(clients).is_none_or(|(from, clients)| clients >= from);
    for (name, key) in profile.key.iter().filter(|(name, key)| wanted(name) && needed(key.from_clients)) {
        let _ = writeln!(text, "\n# {}", key.reason);
        if let Some(since) = &key.since {
            let _ = writeln!(text, "# Needs Linux {since}.");
        }
        if name.starts_with("net.ipv6.tcp_") || name == "net.ipv4.tcp_fack" {
            let _ = writeln!(text, "# {name}: {}", why_missing(name, None, &Environment::default()));
            continue;
        }
        // The dash makes sysctl skip a key that the kernel does not have.
        let _ = writeln!(text, "-{name} = {}", key.value);
    }
    text
}

/// Renders udev rules. An array has no scheduler; its members have.
fn disks(profile: &Profile) -> String {
    let mut text = String::new();
    for (kind, disk) in &profile.disk {
        let _ = writeln!(text, "\n# {}", disk.reason);
        let (matches, scheduler) = match kind {
            DiskKind::Rotating => {
                (r#"KERNEL=="sd[a-z]*|vd[a-z]*|xvd[a-z]*", ATTR{queue/rotational}=="1""#, true)
            }
            DiskKind::Raid => (r#"KERNEL=="md[0-9]*""#, false),
            DiskKind::Nvme => (r#"KERNEL=="nvme[0-9]*n[0-9]*""#, true),
        };
        let mut rule =
            format!(r#"ACTION=="add|change", SUBSYSTEM=="block", ENV{{DEVTYPE}}=="disk", {matches}"#);
        if scheduler {
            let _ = write!(rule, r#", ATTR{{queue/scheduler}}="{}""#, disk.scheduler);
        }
        if let Some(kilobytes) = disk.read_ahead_kb {
            let _ = write!(rule, r#", ATTR{{queue/read_ahead_kb}}="{kilobytes}""#);
        }
        let _ = writeln!(text, "{rule}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::profile::{built_in, parse};

    fn all(name: &str, clients: Option<u32>) -> String {
        let profile = parse(name, built_in(name).unwrap(), None).unwrap();
        let files = files(name, &profile, clients, &[]);
        files.iter().map(|file| format!("==> {} <==\n{}\n", file.path, file.text)).collect()
    }

    #[test]
    fn files_of_a_client_for_1000_viewers() {
        insta::assert_snapshot!("persist_client_1000", all("client", Some(1000)));
    }

    #[test]
    fn files_of_an_origin() {
        insta::assert_snapshot!("persist_origin", all("origin", None));
    }

    #[test]
    fn only_selected_settings_are_written() {
        let profile = parse("client", built_in("client").unwrap(), None).unwrap();
        let files = files("client", &profile, Some(100), &["net.".into()]);
        assert_eq!(files.len(), 1);
        assert!(!files[0].text.contains("fs.file-max") && !files[0].text.contains("tcp_tw_reuse ="));
    }

    #[test]
    fn keys_that_never_existed_are_comments() {
        let text = "description = ''\n[key.'net.ipv6.tcp_rmem']\nvalue = '1'\nreason = 'r'";
        let profile = parse("x", text, None).unwrap();
        let files = files("x", &profile, None, &[]);
        assert!(files[0].text.contains("\n# net.ipv6.tcp_rmem: never existed"));
    }
}
