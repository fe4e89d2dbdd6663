//! Holds a machine against a profile: which settings differ, which can be set, which are not there.

use std::collections::BTreeMap;

use super::limits;
use super::profile::{DiskKind, Key, Profile};
use crate::tuning::accepted::Accept;
use crate::tuning::findings::{Setting, State, Table};
use crate::tuning::key::{Place, lack};

/// What a setting was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its value, and whether the file may be written.
    Value(String, bool),
    /// There is no such file.
    Missing,
    /// It may not be read; why.
    Unreadable(String),
}

/// A disk that profiles have something to say about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Name in /sys/block.
    pub name: String,
    /// What it is like.
    pub kind: DiskKind,
    /// `queue/scheduler`, as the kernel writes it: all there are, the one in use in brackets.
    pub schedulers: String,
    /// `queue/read_ahead_kb`.
    pub read_ahead_kb: Option<u64>,
}

impl Disk {
    /// The scheduler in use.
    #[must_use]
    pub fn scheduler(&self) -> Option<&str> {
        let words = self.schedulers.split_whitespace();
        let chosen = words.clone().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        // Without a choice the kernel writes no brackets.
        chosen.or_else(|| words.clone().next().filter(|_| words.clone().count() == 1))
    }

    /// Whether the kernel offers `scheduler` for it.
    #[must_use]
    pub fn offers(&self, scheduler: &str) -> bool {
        self.schedulers.split_whitespace().any(|word| word.trim_matches(['[', ']']) == scheduler)
    }
}

/// A machine as it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// Where we are.
    pub place: Place,
    /// Sysctl keys by name; at least those of the profile.
    pub keys: BTreeMap<String, Found>,
    /// Congestion controls that the kernel has, or would load for root; empty if that cannot be told.
    pub congestion_controls: Vec<String>,
    /// Those that other network namespaces than the first may use.
    pub allowed_controls: Vec<String>,
    /// Soft limits of open files and processes of this program; absent where there is none.
    pub open_files: Option<u64>,
    /// See above.
    pub processes: Option<u64>,
    /// Disks.
    pub disks: Vec<Disk>,
}

/// What of a profile is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked<'a> {
    /// Name of the profile, with its variant.
    pub profile: String,
    /// Viewers to be held.
    pub clients: Option<u32>,
    /// Beginnings of names; empty = all.
    pub only: &'a [String],
}

/// Holds `machine` against `profile`.
#[must_use]
pub fn judge(profile: &Profile, asked: &Asked<'_>, machine: &Machine) -> Table {
    let mut settings: Vec<Setting> =
        profile.key.iter().map(|(name, key)| sysctl(name, key, asked.clients, machine)).collect();
    if let Some(limits) = &profile.limits {
        let wanted = limits::open_files(limits, asked.clients);
        settings.push(limit("limit.nofile", machine.open_files, wanted, &limits.reason));
        if let Some(wanted) = limits::processes(limits, asked.clients) {
            settings.push(limit("limit.nproc", machine.processes, wanted, &limits.reason));
        }
    }
    settings.extend(machine.disks.iter().flat_map(|disk| of_disk(profile, disk, &machine.place)));
    if !asked.only.is_empty() {
        settings.retain(|setting| asked.only.iter().any(|prefix| setting.name.starts_with(prefix)));
    }
    Table {
        profile: asked.profile.clone(),
        description: profile.description.clone(),
        clients: asked.clients,
        kernel: machine.place.kernel.clone(),
        place: machine.place.notes(),
        settings,
    }
}

fn sysctl(name: &str, key: &Key, clients: Option<u32>, machine: &Machine) -> Setting {
    let elsewhere = machine.place.belongs_elsewhere(name, key.scope);
    let (current, state) = match machine.keys.get(name) {
        None | Some(Found::Missing) => {
            let why = elsewhere.unwrap_or_else(|| lack(name, key.since.as_deref(), &machine.place));
            (None, State::Skipped(why))
        }
        Some(Found::Unreadable(why)) => (None, State::Skipped(format!("cannot be read: {why}"))),
        Some(Found::Value(current, writable)) => {
            let state = if key.holds(current) {
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
    Setting { name: name.into(), current, wanted: key.value.clone(), state, reason: key.reason.clone() }
}

fn lacks_control(machine: &Machine, control: &str) -> bool {
    let known = &machine.congestion_controls;
    !known.is_empty() && !known.iter().any(|name| name == control)
}

fn forbidden(machine: &Machine, control: &str) -> bool {
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

fn of_disk(profile: &Profile, disk: &Disk, place: &Place) -> Vec<Setting> {
    let Some(wish) = profile.disk.get(&disk.kind) else { return Vec::new() };
    let open = || match &place.container {
        Some(kind) => State::Denied(format!("belongs to the host of this container ({kind}); set it there")),
        None => State::Differs,
    };
    let setting = |what: &str, current: Option<String>, wanted: String, state: State| Setting {
        name: format!("disk.{}.{what}", disk.name),
        current,
        wanted,
        state,
        reason: wish.reason.clone(),
    };
    let scheduler = disk.scheduler().map(str::to_owned);
    let state = if scheduler.as_deref() == Some(wish.scheduler.as_str()) {
        State::Good
    } else if disk.offers(&wish.scheduler) {
        open()
    } else {
        State::Skipped(format!("offers only: {}", disk.schedulers.trim()))
    };
    let mut settings = vec![setting("scheduler", scheduler, wish.scheduler.clone(), state)];
    if let Some((current, wanted)) = disk.read_ahead_kb.zip(wish.read_ahead_kb) {
        let good = Accept::AtLeast.holds(&current.to_string(), &wanted.to_string());
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
        parse(name, built_in(name).unwrap(), None).unwrap()
    }

    /// As the profile wants it.
    fn tuned(profile: &Profile) -> Machine {
        let keys = profile.key.iter();
        let keys = keys.map(|(name, key)| (name.clone(), Found::Value(key.value.clone(), true))).collect();
        let place = Place { kernel: "6.12.1".into(), ..Place::default() };
        Machine { place, keys, open_files: Some(1 << 20), ..Machine::default() }
    }

    fn state(table: &Table, name: &str) -> State {
        table.settings.iter().find(|setting| setting.name == name).unwrap().state.clone()
    }

    #[test]
    fn a_tuned_machine_has_nothing_left() {
        for name in ["client", "origin"] {
            let profile = profile(name);
            let table = judge(&profile, &Asked::default(), &tuned(&profile));
            assert!(table.settings.iter().all(|setting| setting.state == State::Good), "{table:?}");
        }
    }

    #[test]
    fn each_obstacle_is_named() {
        let profile = profile("client");
        let mut machine = tuned(&profile);
        machine.place = Place { container: Some("docker".into()), own_network: true, ..machine.place };
        machine.congestion_controls = vec!["reno".into()];
        machine.allowed_controls = vec!["reno".into()];
        let mut set = |key: &str, found| machine.keys.insert(key.into(), found);
        set("net.ipv4.tcp_ecn", Found::Value("2".into(), false));
        set("net.ipv4.tcp_sack", Found::Value("0".into(), true));
        set("net.ipv4.tcp_tw_reuse", Found::Value("2".into(), true));
        set("net.ipv4.tcp_congestion_control", Found::Value("reno".into(), true));
        set("net.core.netdev_max_backlog", Found::Missing);
        set("net.core.rmem_max", Found::Value("212992".into(), false));
        set("net.ipv4.tcp_rto_min_us", Found::Missing);
        machine.place.kernel = "6.1.0".into();
        let table = judge(&profile, &Asked { clients: Some(100), ..Asked::default() }, &machine);
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
        machine.keys.insert("net.ipv4.tcp_congestion_control".into(), Found::Value("bbr".into(), true));
        let table = judge(&profile, &Asked::default(), &machine);
        assert_eq!(state(&table, "net.ipv4.tcp_congestion_control"), State::Good);
    }

    #[test]
    fn disks_by_kind() {
        let disk = |name: &str, kind, schedulers: &str, ahead| Disk {
            name: name.into(),
            kind,
            schedulers: schedulers.into(),
            read_ahead_kb: Some(ahead),
        };
        let profile = profile("origin");
        let machine = Machine {
            disks: vec![
                disk("sda", DiskKind::Rotating, "none [bfq] mq-deadline", 128),
                disk("nvme0n1", DiskKind::Nvme, "[none] mq-deadline", 128),
                disk("md0", DiskKind::Raid, "none", 4096),
            ],
            ..tuned(&profile)
        };
        let table = judge(&profile, &Asked { only: &["disk.".into()], ..Asked::default() }, &machine);
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
    fn limits_of_a_shell_are_for_the_next_one() {
        let profile = profile("client");
        let machine = Machine { open_files: Some(1024), processes: Some(4096), ..tuned(&profile) };
        let table = judge(&profile, &Asked { clients: Some(1000), ..Asked::default() }, &machine);
        assert!(matches!(state(&table, "limit.nofile"), State::Elsewhere(_)));
        assert!(matches!(state(&table, "limit.nproc"), State::Elsewhere(_)));
    }
}
