//! Comparison of a host with a profile: which settings differ, which can be changed, which do not exist.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::profile::{DiskKind, Key, Profile};
use super::values;
use crate::tuning::environment::{Environment, why_missing};
use crate::tuning::values::Accept;

/// Result of comparing one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "note")]
pub enum State {
    /// As recommended, or better.
    Good,
    /// It differs, and this program can set it until the next boot.
    Differs,
    /// It differs, and changes only through files (`persist`) and a restart; the reason.
    Elsewhere(String),
    /// It differs, and this program cannot change it; the reason.
    Denied(String),
    /// It does not exist or does not apply; the reason.
    Skipped(String),
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// A sysctl key, `limit.nofile`, `limit.nproc`, `disk.NAME.scheduler` or `disk.NAME.read_ahead_kb`.
    pub name: String,
    /// Current value; absent where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Recommended value.
    pub wanted: String,
    /// Result of the comparison.
    #[serde(flatten)]
    pub state: State,
    /// Reason for the recommendation.
    pub reason: String,
}

impl Setting {
    /// Reports whether it is worse than recommended.
    #[must_use]
    pub const fn differs(&self) -> bool {
        matches!(self.state, State::Differs | State::Elsewhere(_) | State::Denied(_))
    }
}

/// Settings of a host compared with a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Name of the profile, with its variant.
    pub profile: String,
    /// Purpose of the profile.
    pub description: String,
    /// Viewers that the recommendation is sized for; absent = the whole profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Notes about the environment: container, virtual machine, network namespace.
    pub place: Vec<String>,
    /// The settings, in the order of the profile.
    pub settings: Vec<Setting>,
}

/// Result of writing one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the setting.
    pub name: String,
    /// Previous value.
    pub from: String,
    /// New value.
    pub to: String,
    /// Reason of a failure.
    pub failed: Option<String>,
}

/// State of a sysctl key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Its value, and whether its file is writable.
    Value(String, bool),
    /// The key does not exist.
    Missing,
    /// It cannot be read; the reason.
    Unreadable(String),
}

/// A disk of a kind that profiles have settings for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Name in /sys/block.
    pub name: String,
    /// Its kind.
    pub kind: DiskKind,
    /// `queue/scheduler` as the kernel writes it: all schedulers, the active one in brackets.
    pub schedulers: String,
    /// `queue/read_ahead_kb`.
    pub read_ahead_kb: Option<u64>,
}

impl Disk {
    /// Returns the active scheduler.
    #[must_use]
    pub fn scheduler(&self) -> Option<&str> {
        let words = self.schedulers.split_whitespace();
        let chosen = words.clone().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        // Without a choice the kernel writes no brackets.
        chosen.or_else(|| words.clone().next().filter(|_| words.clone().count() == 1))
    }

    /// Reports whether the kernel offers `scheduler` for it.
    #[must_use]
    pub fn offers(&self, scheduler: &str) -> bool {
        self.schedulers.split_whitespace().any(|word| word.trim_matches(['[', ']']) == scheduler)
    }
}

/// Settings of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSettings {
    /// Kernel, container, and namespaces.
    pub place: Environment,
    /// Sysctl keys by name; at least those of the profile.
    pub keys: BTreeMap<String, KeyState>,
    /// Congestion controls that the kernel has or can load; empty if unknown.
    pub congestion_controls: Vec<String>,
    /// Congestion controls that network namespaces other than the first may use.
    pub allowed_controls: Vec<String>,
    /// Soft limit of open files of this program; absent = unlimited.
    pub open_files: Option<u64>,
    /// Hard limit of open files of this program or of process 1, the larger one; absent = unlimited.
    pub open_files_hard: Option<u64>,
    /// Ports that services listen on.
    pub listening: BTreeSet<u16>,
    /// Soft limit of processes of this program; absent = unlimited.
    pub processes: Option<u64>,
    /// Disks.
    pub disks: Vec<Disk>,
}

/// Selection from a profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection<'a> {
    /// Name of the profile, with its variant.
    pub profile: String,
    /// Viewers to size the settings for.
    pub clients: Option<u32>,
    /// Prefixes of names; empty = all.
    pub only: &'a [String],
}

/// Compares `machine` with `profile`.
#[must_use]
pub fn compare(profile: &Profile, selection: &Selection<'_>, machine: &HostSettings) -> Comparison {
    let mut settings: Vec<Setting> = sized(profile, selection.clients)
        .iter()
        .map(|(name, key)| sysctl(name, key, selection.clients, machine))
        .collect();
    if let Some(limits) = &profile.limits {
        let wanted = values::open_files(limits, selection.clients);
        settings.push(limit("limit.nofile", machine.open_files, wanted, &limits.reason));
        if let Some(wanted) = values::processes(limits, selection.clients) {
            settings.push(limit("limit.nproc", machine.processes, wanted, &limits.reason));
        }
    }
    settings.extend(machine.disks.iter().flat_map(|disk| of_disk(profile, disk, &machine.place)));
    if !selection.only.is_empty() {
        settings.retain(|setting| selection.only.iter().any(|prefix| setting.name.starts_with(prefix)));
    }
    Comparison {
        profile: selection.profile.clone(),
        description: profile.description.clone(),
        clients: selection.clients,
        kernel: machine.place.kernel.clone(),
        place: machine.place.notes(),
        settings,
    }
}

/// Returns the keys of a profile, with an `fs.nr_open` that allows its limits of open files.
#[must_use]
pub(crate) fn sized(profile: &Profile, clients: Option<u32>) -> BTreeMap<String, Key> {
    let mut keys = profile.key.clone();
    if let Some((key, limits)) = keys.get_mut("fs.nr_open").zip(profile.limits.as_ref()) {
        let limit = values::open_files(limits, clients).to_string();
        key.value = Accept::AtLeast.merge(&limit, &key.value);
    }
    keys
}

/// Returns the value to set, which never makes a part of `current` worse. Reserved ports include those
/// that services of the host listen on.
#[must_use]
pub(crate) fn target(name: &str, key: &Key, current: &str, machine: &HostSettings) -> String {
    /// Outgoing connections do not use lower ports.
    const FIRST_PORT: u16 = 1026;
    let target = key.target(current);
    if name != "net.ipv4.ip_local_reserved_ports" {
        return target;
    }
    let listening: BTreeSet<u16> = machine.listening.range(FIRST_PORT..).copied().collect();
    Accept::Ports.merge(&values::port_list(&listening), &target)
}

fn sysctl(name: &str, key: &Key, clients: Option<u32>, machine: &HostSettings) -> Setting {
    let elsewhere = machine.place.owner_elsewhere(name, key.scope);
    let (current, state) = match machine.keys.get(name) {
        None | Some(KeyState::Missing) => {
            let why = elsewhere.unwrap_or_else(|| why_missing(name, key.since.as_deref(), &machine.place));
            (None, State::Skipped(why))
        }
        Some(KeyState::Unreadable(why)) => (None, State::Skipped(format!("cannot be read: {why}"))),
        Some(KeyState::Value(current, writable)) => {
            let state = if key.accepts(current) {
                State::Good
            } else if let Some(from) = key.from_clients.filter(|from| clients.is_some_and(|n| n < *from)) {
                State::Skipped(format!("not needed below {from} viewers"))
            } else if name == "net.ipv4.tcp_congestion_control" && lacks_control(machine, &key.value) {
                State::Skipped(format!(
                    "this kernel has no {}, only: {}",
                    key.value,
                    machine.congestion_controls.join(" ")
                ))
            } else if name == "net.ipv4.tcp_congestion_control" && forbidden(machine, &key.value) {
                State::Denied(format!(
                    "here only: {}; net.ipv4.tcp_allowed_congestion_control of the first network namespace decides",
                    machine.allowed_controls.join(" ")
                ))
            } else if let Some(why) = elsewhere {
                State::Denied(why)
            } else if *writable {
                State::Differs
            } else {
                State::Denied("read-only here".into())
            };
            (Some(words(current)), state)
        }
    };
    let wanted = match &current {
        Some(current) if state != State::Good => target(name, key, current, machine),
        _ => key.value.clone(),
    };
    Setting { name: name.into(), current, wanted, state, reason: key.reason.clone() }
}

fn lacks_control(machine: &HostSettings, control: &str) -> bool {
    let known = &machine.congestion_controls;
    !known.is_empty() && !known.iter().any(|name| name == control)
}

fn forbidden(machine: &HostSettings, control: &str) -> bool {
    machine.place.own_network && !machine.allowed_controls.iter().any(|name| name == control)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn limit(name: &str, current: Option<u64>, wanted: u64, reason: &str) -> Setting {
    let state = match current {
        Some(current) if current < wanted => State::Elsewhere(
            "the soft limit of this shell; `tune persist`, or ulimit, and a new login or start".into(),
        ),
        _ => State::Good,
    };
    Setting {
        name: name.into(),
        current: Some(current.map_or_else(|| "unlimited".into(), |limit| limit.to_string())),
        wanted: wanted.to_string(),
        state,
        reason: reason.into(),
    }
}

fn of_disk(profile: &Profile, disk: &Disk, place: &Environment) -> Vec<Setting> {
    let Some(recommended) = profile.disk.get(&disk.kind) else { return Vec::new() };
    let open = || match &place.container {
        Some(kind) => State::Denied(format!("belongs to the host of this container ({kind}); set it there")),
        None => State::Differs,
    };
    let setting = |what: &str, current: Option<String>, wanted: String, state: State| Setting {
        name: format!("disk.{}.{what}", disk.name),
        current,
        wanted,
        state,
        reason: recommended.reason.clone(),
    };
    let scheduler = disk.scheduler().map(str::to_owned);
    let state = if scheduler.as_deref() == Some(recommended.scheduler.as_str()) {
        State::Good
    } else if disk.offers(&recommended.scheduler) {
        open()
    } else {
        State::Skipped(format!("offers only: {}", disk.schedulers.trim()))
    };
    let mut settings = vec![setting("scheduler", scheduler, recommended.scheduler.clone(), state)];
    if let Some((current, wanted)) = disk.read_ahead_kb.zip(recommended.read_ahead_kb) {
        let good = Accept::AtLeast.accepts(&current.to_string(), &wanted.to_string());
        let state = if good { State::Good } else { open() };
        settings.push(setting("read_ahead_kb", Some(current.to_string()), wanted.to_string(), state));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::profile::{built_in, parse};

    fn profile(name: &str) -> Profile {
        parse(name, built_in(name).unwrap(), Some("lab")).unwrap()
    }

    /// A host that has all recommended values.
    fn tuned(profile: &Profile) -> HostSettings {
        let keys = profile.key.iter();
        let keys = keys.map(|(name, key)| (name.clone(), KeyState::Value(key.value.clone(), true))).collect();
        let place = Environment { kernel: "6.12.1".into(), ..Environment::default() };
        HostSettings { place, keys, open_files: Some(1 << 20), ..HostSettings::default() }
    }

    fn state(table: &Comparison, name: &str) -> State {
        table.settings.iter().find(|setting| setting.name == name).unwrap().state.clone()
    }

    #[test]
    fn a_tuned_host_does_not_differ() {
        for name in ["client", "origin"] {
            let profile = profile(name);
            let table = compare(&profile, &Selection::default(), &tuned(&profile));
            assert!(table.settings.iter().all(|setting| setting.state == State::Good), "{table:?}");
        }
    }

    #[test]
    fn each_reason_not_to_change_a_key_is_reported() {
        let profile = profile("client");
        let mut machine = tuned(&profile);
        machine.place = Environment { container: Some("docker".into()), own_network: true, ..machine.place };
        machine.congestion_controls = vec!["reno".into()];
        machine.allowed_controls = vec!["reno".into()];
        let mut set = |key: &str, found| machine.keys.insert(key.into(), found);
        set("net.ipv4.tcp_ecn", KeyState::Value("2".into(), false));
        set("net.ipv4.tcp_sack", KeyState::Value("0".into(), true));
        set("net.ipv4.tcp_tw_reuse", KeyState::Value("2".into(), true));
        set("net.ipv4.tcp_congestion_control", KeyState::Value("reno".into(), true));
        set("net.core.netdev_max_backlog", KeyState::Missing);
        set("net.core.rmem_max", KeyState::Value("212992".into(), false));
        set("net.ipv4.tcp_rto_min_us", KeyState::Missing);
        machine.place.kernel = "6.1.0".into();
        let table = compare(&profile, &Selection { clients: Some(100), ..Selection::default() }, &machine);
        let elsewhere = "belongs to the host of this container (docker); set it there".to_owned();
        for (key, expected) in [
            ("net.ipv4.tcp_ecn", State::Denied("read-only here".into())),
            ("net.ipv4.tcp_sack", State::Differs),
            ("net.ipv4.tcp_tw_reuse", State::Skipped("not needed below 500 viewers".into())),
            (
                "net.ipv4.tcp_congestion_control",
                State::Skipped("this kernel has no cubic, only: reno".into()),
            ),
            ("net.core.netdev_max_backlog", State::Skipped(elsewhere.clone())),
            ("net.core.rmem_max", State::Denied(elsewhere)),
            ("net.ipv4.tcp_rto_min_us", State::Skipped("needs Linux 6.11; this is 6.1.0".into())),
        ] {
            assert_eq!(state(&table, key), expected, "{key}");
        }
        assert_eq!(table.place.len(), 2);
        machine.keys.insert("net.ipv4.tcp_congestion_control".into(), KeyState::Value("bbr".into(), true));
        let table = compare(&profile, &Selection::default(), &machine);
        assert_eq!(state(&table, "net.ipv4.tcp_congestion_control"), State::Good);
    }

    #[test]
    fn services_keep_their_ports_and_limits_stay_possible() {
        let profile = profile("client");
        let mut machine = tuned(&profile);
        machine.listening = [22, 3000, 8081].into();
        let value = |text: &str| KeyState::Value(text.to_owned(), true);
        machine.keys.insert("net.ipv4.ip_local_reserved_ports".into(), value("7000"));
        machine.keys.insert("fs.nr_open".into(), value("1048576"));
        let selection = Selection { clients: Some(100_000), ..Selection::default() };
        let table = compare(&profile, &selection, &machine);
        let wanted =
            |name: &str| table.settings.iter().find(|setting| setting.name == name).unwrap().wanted.clone();
        assert_eq!(
            wanted("net.ipv4.ip_local_reserved_ports"),
            "3000,5000,6379,7000,8080-8081,9090,9100,9113,17080,17091"
        );
        assert_eq!(wanted("fs.nr_open"), wanted("limit.nofile"));
    }

    #[test]
    fn disks_are_compared_by_kind() {
        let disk = |name: &str, kind, schedulers: &str, ahead| Disk {
            name: name.into(),
            kind,
            schedulers: schedulers.into(),
            read_ahead_kb: Some(ahead),
        };
        let profile = profile("origin");
        let machine = HostSettings {
            disks: vec![
                disk("sda", DiskKind::Rotating, "none [bfq] mq-deadline", 128),
                disk("nvme0n1", DiskKind::Nvme, "[none] mq-deadline", 128),
                disk("md0", DiskKind::Raid, "none", 4096),
            ],
            ..tuned(&profile)
        };
        let table =
            compare(&profile, &Selection { only: &["disk.".into()], ..Selection::default() }, &machine);
        let states: Vec<_> = table.settings.iter().map(|s| (s.name.as_str(), &s.state)).collect();
        assert_eq!(
            states,
            [
                ("disk.sda.scheduler", &State::Differs),
                ("disk.sda.read_ahead_kb", &State::Differs),
                ("disk.nvme0n1.scheduler", &State::Good),
                ("disk.md0.scheduler", &State::Skipped("offers only: none".into())),
                ("disk.md0.read_ahead_kb", &State::Good),
            ]
        );
    }

    #[test]
    fn low_limits_of_this_shell_need_a_new_login() {
        let profile = profile("client");
        let machine = HostSettings { open_files: Some(1024), processes: Some(4096), ..tuned(&profile) };
        let table = compare(&profile, &Selection { clients: Some(1000), ..Selection::default() }, &machine);
        assert!(matches!(state(&table, "limit.nofile"), State::Elsewhere(_)));
        assert!(matches!(state(&table, "limit.nproc"), State::Elsewhere(_)));
    }
}
