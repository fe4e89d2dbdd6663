//! What the fix of each check and each kernel setting brings: the ratio that `make bench-tuning` measured, or the
//! reason why there is none.
//!
//! A fix that was measured and had no effect is advice in words and never part of a patch. The tables in
//! docs/audit.md and docs/tuning.md are written from these.

use std::fmt::Write;

/// A figure without and with the fix: medians of several runs in turns, on one machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What was measured, with its unit.
    what: &'static str,
    without: f64,
    with: f64,
}

/// What a fix brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gain {
    /// It was measured.
    Measured(&'static [Figure]),
    /// It was measured and was not distinguishable from nothing, for this reason.
    Nothing(&'static [Figure], &'static str),
    /// It is not measured here, for this reason.
    NotMeasured(&'static str),
}

const fn figure(what: &'static str, without: f64, with: f64) -> Figure {
    Figure { what, without, with }
}

const CORRECTNESS: &str = "about right or wrong responses, not about speed";
const SECURITY: &str = "about who may do what, not about speed";
const OF_THE_STREAM: &str = "depends on the stream and on the player, so a load test measures it";
const OF_THE_APPLICATION: &str = "depends on the application behind nginx";
const OF_THE_DISK: &str = "depends on the disk; the machine of the benchmark has none of its own";
const OF_THE_PATH: &str = "depends on the delay and the loss of the network, and loopback has neither";
const OF_THE_MEMORY: &str = "acts only when memory is short, and for the whole machine";
const NO_FIREWALL: &str = "the network namespace of the benchmark has no firewall";
const FIXED_TIME: &str = "shortens a fixed time, for which a closed connection keeps its memory";
const OF_THE_HOST: &str = "belongs to the host, and the benchmark changes only its own network namespace";
const DROPPED: Figure = figure("connections dropped, 6000 viewers at once", 1836.0, 0.0);
const PORTS: Gain = Gain::Nothing(
    &[figure("proxied requests without a local port, 512 ports", 0.0, 0.0)],
    "an upstream closes each connection first, so the ports in TIME_WAIT are the upstream's, not those of this host",
);

/// The gain of each check's fix, in the order of the checks.
pub(crate) const GAINS: &[(&str, Gain)] = &[
    (
        "open-files",
        Gain::Measured(&[figure(
            "viewers before the first failure, limit of 256 open files (`scripts/bench-tuning`)",
            134.0,
            160.0,
        )]),
    ),
    (
        "worker-connections",
        Gain::Measured(&[figure(
            "connections closed to make room for others, 1000 viewers, 768 connections",
            576.0,
            0.0,
        )]),
    ),
    ("stale-segments", Gain::NotMeasured("keeps a disk from filling up; the number of files is counted")),
    (
        "proxy-cache-lock",
        Gain::Measured(&[figure("requests to the upstream, 100 viewers ask for one segment", 100.0, 1.0)]),
    ),
    (
        "proxy-cache-stale",
        Gain::Measured(&[figure(
            "requests per second of 20 viewers while a cached segment is refreshed",
            7.0,
            3163.7,
        )]),
    ),
    (
        "proxy-cache-key",
        Gain::Measured(&[figure("requests to the upstream, 100 viewers with tokens, 4 s", 975.0, 1.0)]),
    ),
    (
        "proxy-cache-times",
        Gain::Measured(&[figure(
            "requests to the upstream, 100 viewers ask for one playlist for 4 s, kept for 1 s and for 10 min",
            201.0,
            1.0,
        )]),
    ),
    ("proxy-cache-size", Gain::NotMeasured("keeps a disk from filling up")),
    ("redis-memory", Gain::NotMeasured(OF_THE_MEMORY)),
    ("redis-policy", Gain::NotMeasured(OF_THE_MEMORY)),
    ("redis-snapshots", Gain::NotMeasured(OF_THE_APPLICATION)),
    ("upstream-keepalive", Gain::Measured(&[figure("CPU time per proxied response, µs", 119.0, 31.3)])),
    ("upstream-server", Gain::NotMeasured(OF_THE_APPLICATION)),
    ("upstream-limits", Gain::NotMeasured(OF_THE_APPLICATION)),
    ("open-file-cache", Gain::Measured(&[figure("CPU time per segment of 64 KB, µs", 47.0, 39.9)])),
    ("segment-length", Gain::NotMeasured(OF_THE_STREAM)),
    ("list-size", Gain::NotMeasured(OF_THE_STREAM)),
    ("rate-limits", Gain::NotMeasured(SECURITY)),
    ("rtmp-publish", Gain::NotMeasured(SECURITY)),
    ("rtmp-control", Gain::NotMeasured(SECURITY)),
    ("rtmp-cleanup", Gain::NotMeasured("keeps a disk from filling up")),
    ("encoder-limits", Gain::NotMeasured("keeps an encoder from failing at a known limit")),
    ("secure-link", Gain::NotMeasured(SECURITY)),
    ("playlist-cache-control", Gain::NotMeasured(CORRECTNESS)),
    (
        "segment-cache-control",
        Gain::NotMeasured("saves requests at a CDN, which the benchmark does not have"),
    ),
    ("cors", Gain::NotMeasured(CORRECTNESS)),
    (
        "gzip-playlists",
        Gain::Measured(&[
            figure("bytes of a playlist of 100 segments", 3532.0, 314.0),
            figure("CPU time per playlist of 100 segments, µs", 23.8, 34.6),
        ]),
    ),
    ("gzip-media", Gain::Measured(&[figure("CPU time per segment of 64 KB, µs", 1525.0, 42.7)])),
    ("worker-processes", Gain::Measured(&[figure("TLS connections per second, 2 processors", 192.5, 295.6)])),
    ("worker-user", Gain::NotMeasured(SECURITY)),
    (
        "connections-limit",
        Gain::NotMeasured("the limit of open files is reached first, and `open-files` is measured"),
    ),
    ("error-log", Gain::Measured(&[figure("CPU time per playlist, µs", 138.6, 24.9)])),
    ("access-log", Gain::Measured(&[figure("CPU time per playlist, µs", 24.4, 22.1)])),
    (
        "sendfile",
        Gain::Measured(&[
            figure("CPU time per segment of 1 MB, µs", 566.5, 361.8),
            figure("CPU time per segment of 64 KB, µs", 45.0, 42.5),
        ]),
    ),
    (
        "tcp-nopush",
        Gain::Nothing(
            &[
                figure("packets per segment of 64 KB, with acknowledgements", 49.0, 48.0),
                figure("CPU time per segment of 64 KB, µs", 42.3, 65.9),
            ],
            "it saves one packet for each response, but no CPU time",
        ),
    ),
    ("directio", Gain::Measured(&[figure("CPU time per segment of 1 MB, µs", 2108.1, 360.7)])),
    ("segments-on-disk", Gain::NotMeasured(OF_THE_DISK)),
    ("listen-backlog", Gain::Measured(&[figure("connections dropped, 1000 viewers at once", 489.0, 0.0)])),
    ("keepalive", Gain::Measured(&[figure("CPU time per playlist, µs", 45.5, 25.3)])),
    ("tls-protocols", Gain::NotMeasured(SECURITY)),
    (
        "tls-sessions",
        Gain::Measured(&[
            figure("connections of 5 that resume a session, viewers without session tickets", 0.0, 5.0),
            figure("the same, viewers with session tickets", 5.0, 5.0),
            figure("CPU time per resumed connection, µs", 1343.2, 166.3),
        ]),
    ),
    ("http2", Gain::NotMeasured("neither FFmpeg nor wrk speaks HTTP/2")),
    ("tcp-buffers", Gain::NotMeasured(OF_THE_PATH)),
    ("port-range", PORTS),
    ("accept-queue", Gain::Measured(&[DROPPED])),
    ("connection-tracking", Gain::NotMeasured(NO_FIREWALL)),
    ("fin-timeout", Gain::NotMeasured(FIXED_TIME)),
    ("congestion-control", Gain::NotMeasured(OF_THE_PATH)),
    ("swappiness", Gain::NotMeasured(OF_THE_MEMORY)),
    ("cache-pressure", Gain::NotMeasured(OF_THE_MEMORY)),
    ("io-scheduler", Gain::NotMeasured(OF_THE_DISK)),
    ("read-ahead", Gain::NotMeasured(OF_THE_DISK)),
    ("monitoring", Gain::NotMeasured("makes figures visible, and changes none")),
];

/// The gain of each kernel setting of the profile `origin`.
pub(crate) const SETTINGS: &[(&str, Gain)] = &[
    ("fs.file-max", Gain::NotMeasured(OF_THE_HOST)),
    ("fs.nr_open", Gain::NotMeasured(OF_THE_HOST)),
    ("net.core.default_qdisc", Gain::NotMeasured(OF_THE_PATH)),
    ("net.core.netdev_max_backlog", Gain::NotMeasured(OF_THE_HOST)),
    (
        "net.core.rmem_max",
        Gain::NotMeasured("concerns programs that set the sizes of their buffers; nginx does not"),
    ),
    ("net.core.somaxconn", Gain::Measured(&[DROPPED])),
    (
        "net.core.wmem_max",
        Gain::NotMeasured("concerns programs that set the sizes of their buffers; nginx does not"),
    ),
    ("net.ipv4.ip_local_port_range", PORTS),
    (
        "net.ipv4.ip_local_reserved_ports",
        Gain::NotMeasured("keeps the ports of services free; it follows from the range of ports"),
    ),
    ("net.ipv4.tcp_congestion_control", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_ecn", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_fastopen", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_fin_timeout", Gain::NotMeasured(FIXED_TIME)),
    (
        "net.ipv4.tcp_max_syn_backlog",
        Gain::NotMeasured("concerns handshakes that take a round trip; loopback needs none"),
    ),
    ("net.ipv4.tcp_rmem", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_sack", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_slow_start_after_idle", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_timestamps", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_tw_reuse", PORTS),
    ("net.ipv4.tcp_window_scaling", Gain::NotMeasured(OF_THE_PATH)),
    ("net.ipv4.tcp_wmem", Gain::NotMeasured(OF_THE_PATH)),
    ("net.netfilter.nf_conntrack_max", Gain::NotMeasured(NO_FIREWALL)),
    ("vm.swappiness", Gain::NotMeasured(OF_THE_MEMORY)),
    ("vm.vfs_cache_pressure", Gain::NotMeasured(OF_THE_MEMORY)),
];

impl Figure {
    /// The value with the fix over the value without; `None` where that was 0.
    fn ratio(&self) -> Option<f64> {
        (self.without > 0.0).then(|| self.with / self.without)
    }
}

/// Returns a value with as many digits as it deserves.
fn short(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} without the fix, {} with it", self.what, short(self.without), short(self.with))?;
        self.ratio().map_or(Ok(()), |ratio| write!(f, " ({ratio:.2})"))
    }
}

/// Returns what the fix of a check brings.
pub(crate) fn of(check: &str) -> Option<Gain> {
    GAINS.iter().find(|(name, _)| *name == check).map(|(_, gain)| *gain)
}

impl Gain {
    /// Returns the measurement in one line; `None` if there is none.
    pub(crate) fn measured(self) -> Option<String> {
        let all = |figures: &[Figure]| figures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self {
            Self::Measured(figures) => Some(all(figures)),
            Self::Nothing(figures, why) => {
                Some(format!("no gain, so there is no patch: {why} ({})", all(figures)))
            }
            Self::NotMeasured(_) => None,
        }
    }
}

/// Returns the tables of the pages below docs/, which `make reference` writes.
#[must_use]
pub fn tables_of_pages() -> [(&'static str, String); 2] {
    [("audit.md", tables("check", GAINS)), ("tuning.md", tables("setting", SETTINGS))]
}

/// Returns gains as Markdown: a table of what was measured, and one of the reasons why the rest was not.
fn tables(of: &str, gains: &[(&str, Gain)]) -> String {
    let mut measured = format!("| {of} | measured | without | with | ratio |\n|---|---|---:|---:|---:|\n");
    let mut nothing = String::new();
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, gain) in gains {
        let figures: &[Figure] = match gain {
            Gain::Measured(figures) => figures,
            Gain::Nothing(figures, why) => {
                let _ = writeln!(nothing, "\n`{name}` had no measurable effect: {why}.");
                figures
            }
            Gain::NotMeasured(why) => {
                match reasons.iter_mut().find(|(other, _)| other == why) {
                    Some((_, names)) => names.push(format!("`{name}`")),
                    None => reasons.push((why, vec![format!("`{name}`")])),
                }
                continue;
            }
        };
        for figure in figures {
            let ratio = figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let (without, with) = (short(figure.without), short(figure.with));
            let _ = writeln!(measured, "| `{name}` | {} | {without} | {with} | {ratio} |", figure.what);
        }
    }
    let mut text =
        format!("{measured}{nothing}\nThe rest is not measured:\n\n| {of} | reason |\n|---|---|\n");
    for (why, names) in reasons {
        let _ = writeln!(text, "| {} | {why} |", names.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::rules::RULES;
    use crate::tuning::profile;

    #[test]
    fn each_check_has_a_measured_gain_or_a_reason() {
        let checks: Vec<&str> = RULES.iter().map(|(check, _)| *check).collect();
        let gains: Vec<&str> = GAINS.iter().map(|(check, _)| *check).collect();
        assert_eq!(gains, checks);
    }

    #[test]
    fn a_measured_gain_is_larger_than_the_noise() {
        for (check, gain) in GAINS.iter().chain(SETTINGS) {
            if let Gain::Measured(figures) = gain {
                // The gain may cost something elsewhere, as CPU time for fewer bytes does.
                let gains = |figure: &Figure| {
                    figure.ratio().map_or(figure.with > 0.0, |ratio| !(0.95..=1.05).contains(&ratio))
                };
                assert!(figures.iter().any(gains), "{check}: {figures:?}");
            }
        }
    }

    #[test]
    fn each_setting_has_a_measured_gain_or_a_reason() {
        let profile = profile::parse("origin", profile::built_in("origin").unwrap(), None).unwrap();
        let keys: Vec<&str> = profile.key.keys().map(String::as_str).collect();
        let gains: Vec<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
        assert_eq!(gains, keys);
    }

    #[test]
    fn the_tables_of_the_documentation_are_up_to_date() {
        for (page, text) in tables_of_pages() {
            let path = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
            let all = std::fs::read_to_string(&path).unwrap();
            let (begin, end) = ("<!-- gains -->\n\n", "\n<!-- end of gains -->\n");
            let (before, rest) = all.split_once(begin).unwrap();
            let (kept, after) = rest.split_once(end).unwrap();
            if std::env::var_os("UPDATE_REFERENCE").is_some_and(|value| !value.is_empty()) {
                std::fs::write(path, format!("{before}{begin}{text}{end}{after}")).unwrap();
            } else {
                assert!(kept == text, "rewrite docs/{page} with `make reference`:\n{text}");
            }
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            figure("bytes", 3532.0, 314.0).to_string(),
            "bytes: 3532 without the fix, 314 with it (0.09)"
        );
        assert_eq!(
            figure("CPU time, µs", 43.34, 36.81).to_string(),
            "CPU time, µs: 43.3 without the fix, 36.8 with it (0.85)"
        );
        assert_eq!(figure("resumed", 0.0, 5.0).to_string(), "resumed: 0 without the fix, 5 with it");
    }
}
