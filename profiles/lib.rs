//! The built-in profiles, by name and TOML text.
//!
//! The files beside this one are the single source of these values: the programs embed them through
//! this crate, and the Nix modules and the lab read the same files.

/// Profiles of runs: `hls-swarm --profile NAME`.
pub const SWARM: [(&str, &str); 6] = [
    ("default", include_str!("swarm/default.toml")),
    ("gentle", include_str!("swarm/gentle.toml")),
    ("burst", include_str!("swarm/burst.toml")),
    ("stress", include_str!("swarm/stress.toml")),
    ("extreme", include_str!("swarm/extreme.toml")),
    ("smoke", include_str!("swarm/smoke.toml")),
];

/// Scenarios: `hls-swarm --scenario NAME`.
pub const SCENARIO: [(&str, &str); 5] = [
    ("lab", include_str!("scenario/lab.toml")),
    ("progressive", include_str!("scenario/progressive.toml")),
    ("endurance", include_str!("scenario/endurance.toml")),
    ("spike", include_str!("scenario/spike.toml")),
    ("two-streams", include_str!("scenario/two-streams.toml")),
];

/// Profiles of the origin: `hls-origin --profile NAME`.
pub const ORIGIN: [(&str, &str); 9] = [
    ("default", include_str!("origin/default.toml")),
    ("low-latency", include_str!("origin/low-latency.toml")),
    ("ll-hls", include_str!("origin/ll-hls.toml")),
    ("4k-abr", include_str!("origin/4k-abr.toml")),
    ("stress", include_str!("origin/stress.toml")),
    ("logged", include_str!("origin/logged.toml")),
    ("debug", include_str!("origin/debug.toml")),
    ("tap", include_str!("origin/tap.toml")),
    ("tap-logged", include_str!("origin/tap-logged.toml")),
];

/// Kernel settings: `hls-swarm tune --profile NAME`.
pub const SYSCTL: [(&str, &str); 2] =
    [("client", include_str!("sysctl/client.toml")), ("origin", include_str!("sysctl/origin.toml"))];

/// Network conditions: `hls-swarm impair NAME`.
pub const IMPAIRMENT: [(&str, &str); 4] = [
    ("clean", include_str!("impairment/clean.toml")),
    ("50ms", include_str!("impairment/50ms.toml")),
    ("3g", include_str!("impairment/3g.toml")),
    ("lossy", include_str!("impairment/lossy.toml")),
];

/// What confines the systemd units of both programs.
pub const SYSTEMD: &str = include_str!("systemd.toml");

/// The resources that viewers and the origin need: the numbers of `sizing.toml`, one module per table.
pub mod sizing {
    include!(concat!(env!("OUT_DIR"), "/sizing.rs"));
}
