//! Files that apply a profile at each boot: sysctl.d, limits.d, systemd, udev.

use std::fmt::Write;

use super::comparison::{self, HostSettings, KeyState};
use super::profile::{DiskKind, Limits, Profile};
use super::values;
use crate::tuning::environment::{Environment, why_missing};

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Path below the root, without a leading slash.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

const HEAD: &str = "# Written by `hls-swarm tune persist`; `tune persist --remove` removes it.\n";

/// Returns every path that the profile `name` may be written to.
pub(crate) fn paths(name: &str) -> [String; 4] {
    [
        format!("etc/sysctl.d/90-hls-swarm-{name}.conf"),
        format!("etc/security/limits.d/90-hls-swarm-{name}.conf"),
        "etc/systemd/system/nginx.service.d/90-hls-swarm.conf".into(),
        format!("etc/udev/rules.d/90-hls-swarm-{name}.rules"),
    ]
}

/// The known state of the host that the files are for; empty for an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    /// Its settings, as they are without this program.
    pub(crate) settings: Option<HostSettings>,
    /// Text of the file of sysctl.d that an earlier `persist` wrote.
    pub(crate) own_file: String,
    /// Highest `LimitNOFILE` of nginx's unit; `u64::MAX` = infinity.
    pub(crate) nginx_limit: Option<u64>,
}

/// Returns the highest soft `LimitNOFILE` in the text of units.
pub(crate) fn unit_limit(text: &str) -> Option<u64> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("LimitNOFILE="));
    let soft = values.filter_map(|value| match value.split(':').next()? {
        "infinity" => Some(u64::MAX),
        number => number.trim().parse().ok(),
    });
    soft.max()
}

/// Returns the files for the profile `name`; `only` has prefixes of setting names, empty = all. A setting
/// of the host that is as good already is left alone.
pub(crate) fn files(
    name: &str,
    profile: &Profile,
    clients: Option<u32>,
    only: &[String],
    existing: &Existing,
) -> Vec<File> {
    let [sysctl_path, limits_path, nginx_path, disk_path] = paths(name);
    let wanted = |setting: &str| only.is_empty() || only.iter().any(|prefix| setting.starts_with(prefix));
    let mut files = Vec::new();
    let keys = sysctl(profile, clients, &wanted, existing);
    if !keys.is_empty() {
        files.push(File { path: sysctl_path, text: format!("{HEAD}{keys}") });
    }
    if let Some(limits) = profile.limits.as_ref().filter(|_| wanted("limit.nofile")) {
        // An origin runs as a systemd service; users start the viewers, so those need limits.d.
        let (path, text) = if limits.step.is_empty() {
            (nginx_path, nginx_limits(values::open_files(limits, clients), existing))
        } else {
            (limits_path, user_limits(limits, clients, existing))
        };
        if !text.is_empty() {
            files.push(File { path, text: format!("{HEAD}# {}\n{text}", limits.reason) });
        }
    }
    if !profile.disk.is_empty() && wanted("disk.") {
        files.push(File { path: disk_path, text: format!("{HEAD}{}", disks(profile)) });
    }
    files
}

/// Renders a drop-in. The hard limit is systemd's usual one, or more.
fn nginx_limits(open: u64, existing: &Existing) -> String {
    const USUAL_HARD: u64 = 524_288;
    if existing.nginx_limit.is_some_and(|limit| limit >= open) {
        return String::new();
    }
    format!("[Service]\nLimitNOFILE={open}:{}\n", open.max(USUAL_HARD))
}

/// Renders lines of limits.d. They raise soft limits; a hard limit appears only where it is too low.
fn user_limits(limits: &Limits, clients: Option<u32>, existing: &Existing) -> String {
    let open = values::open_files(limits, clients);
    let settings = existing.settings.as_ref();
    let mut text = String::new();
    if settings.is_none_or(|settings| settings.open_files.is_some_and(|soft| soft < open)) {
        if settings.is_some_and(|settings| settings.open_files_hard.is_some_and(|hard| hard < open)) {
            let _ = writeln!(text, "* hard nofile {open}\nroot hard nofile {open}");
        }
        let _ = writeln!(text, "* soft nofile {open}\nroot soft nofile {open}");
    }
    if let Some(processes) = values::processes(limits, clients) {
        match settings {
            Some(settings) if settings.processes.is_some_and(|soft| soft < processes) => {
                let _ = writeln!(text, "* soft nproc {processes}");
            }
            Some(_) => {}
            // The kernel's default follows the memory and is usually higher.
            None => {
                let _ = writeln!(text, "# where `ulimit -Su` shows less:\n# * soft nproc {processes}");
            }
        }
    }
    text
}

fn sysctl(
    profile: &Profile,
    clients: Option<u32>,
    wanted: &impl Fn(&str) -> bool,
    existing: &Existing,
) -> String {
    let mut text = String::new();
    let needed = |from: Option<u32>| from.zip(clients).is_none_or(|(from, clients)| clients >= from);
    let keys = comparison::sized(profile, clients);
    for (name, key) in keys.iter().filter(|(name, key)| wanted(name) && needed(key.from_clients)) {
        let current = existing.settings.as_ref().and_then(|settings| match settings.keys.get(name) {
            Some(KeyState::Value(value, _)) => Some((settings, value.as_str())),
            _ => None,
        });
        let own = existing.own_file.lines().any(|line| line.starts_with(&format!("-{name} = ")));
        let value = match current {
            Some((_, current)) if key.accepts(current) && !own => continue,
            Some((settings, current)) => comparison::target(name, key, current, settings),
            None => key.value.clone(),
        };
        let _ = writeln!(text, "\n# {}", key.reason);
        if let Some(source) = &key.source {
            let _ = writeln!(text, "# Source: {source}");
        }
        if let Some(since) = &key.since {
            let _ = writeln!(text, "# Needs Linux {since}.");
        }
        if name.starts_with("net.ipv6.tcp_") || name == "net.ipv4.tcp_fack" {
            let _ = writeln!(text, "# {name}: {}", why_missing(name, None, &Environment::default()));
            continue;
        }
        if key.raised_by_systemd && existing.settings.is_none() {
            let _ = writeln!(
                text,
                "# systemd sets the highest value at boot; without systemd:\n# {name} = {value}"
            );
            continue;
        }
        // The dash makes sysctl skip a key that the kernel does not have.
        let _ = writeln!(text, "-{name} = {value}");
    }
    text
}

/// Renders udev rules. A RAID array has no I/O scheduler; its member disks do.
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
        let files = files(name, &profile, clients, &[], &Existing::default());
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
        let files = files("client", &profile, Some(100), &["net.".into()], &Existing::default());
        assert_eq!(files.len(), 1);
        assert!(!files[0].text.contains("fs.file-max") && !files[0].text.contains("tcp_tw_reuse ="));
    }

    #[test]
    fn keys_that_never_existed_are_comments() {
        let text = "description = ''\n[key.'net.ipv6.tcp_rmem']\nvalue = '1'\nreason = 'r'";
        let profile = parse("x", text, None).unwrap();
        let files = files("x", &profile, None, &[], &Existing::default());
        assert!(files[0].text.contains("\n# net.ipv6.tcp_rmem: never existed"));
    }

    #[test]
    fn settings_of_the_host_that_are_better_stay() {
        let profile = parse("origin", built_in("origin").unwrap(), None).unwrap();
        let keys = [
            ("net.ipv4.tcp_wmem", "4096\t16384\t67108864"),
            ("net.ipv4.tcp_rmem", "4096\t200000\t6291456"),
            ("net.ipv4.tcp_congestion_control", "bbr"),
            ("net.core.default_qdisc", "fq"),
            ("vm.swappiness", "1"),
            ("vm.vfs_cache_pressure", "100"),
        ];
        let keys = keys.map(|(key, value)| (key.to_owned(), KeyState::Value(value.to_owned(), true)));
        let settings =
            HostSettings { keys: keys.into(), listening: [22, 3000].into(), ..HostSettings::default() };
        let mut existing =
            Existing { settings: Some(settings), nginx_limit: Some(1 << 20), ..Existing::default() };
        let written = files("origin", &profile, None, &[], &existing);
        let text = &written[0].text;
        for absent in ["tcp_wmem =", "congestion_control =", "default_qdisc =", "swappiness ="] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        assert!(text.contains("-net.ipv4.tcp_rmem = 4096 200000 16000000\n"), "{text}");
        assert!(text.contains("-vm.vfs_cache_pressure = 50\n"), "{text}");
        assert!(written.iter().all(|file| !file.path.contains("nginx.service.d")), "{written:?}");
        // What an earlier `persist` wrote stays written, although the host has it now.
        existing.own_file = "-vm.swappiness = 10\n".into();
        assert!(files("origin", &profile, None, &[], &existing)[0].text.contains("-vm.swappiness = 1\n"));
    }

    #[test]
    fn limits_are_only_raised() {
        let profile = parse("client", built_in("client").unwrap(), None).unwrap();
        let text = |soft, hard, processes| {
            let settings = HostSettings {
                open_files: Some(soft),
                open_files_hard: Some(hard),
                processes: Some(processes),
                ..HostSettings::default()
            };
            let existing = Existing { settings: Some(settings), ..Existing::default() };
            let files = files("client", &profile, Some(1000), &["limit.".into()], &existing);
            files.first().map_or_else(String::new, |file| file.text.clone())
        };
        let low = text(1024, 524_288, 4096);
        assert!(low.contains("* soft nofile 32768\n") && low.contains("* soft nproc 8192\n"), "{low}");
        assert!(!low.contains("hard") && !low.contains(" - "), "{low}");
        assert!(text(1024, 4096, 4096).contains("* hard nofile 32768\n"));
        assert_eq!(text(100_000, 524_288, 100_000), "");
        for (unit, limit) in [
            ("LimitNOFILE=infinity", Some(u64::MAX)),
            ("LimitNOFILE=100:200\nLimitNOFILE=50", Some(100)),
            ("", None),
        ] {
            assert_eq!(unit_limit(unit), limit);
        }
    }
}
