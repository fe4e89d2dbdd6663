//! The systemd unit of an origin: confined, notified when the origin is ready, sized by the profile.

use hls_swarm_base::error::Failure;
use hls_swarm_cli::unit::{self, Word};

use crate::profile::derived::Derived;

/// The parameters of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Unit<'a> {
    /// Path of hls-origin.
    pub(crate) program: &'a str,
    /// Command-line arguments.
    pub(crate) arguments: &'a [String],
    /// Environment variables, which override the profile.
    pub(crate) environment: &'a [(String, String)],
    /// Whether the arguments choose the directory of the runtime directory.
    pub(crate) has_directory: bool,
    /// The ports on which the origin listens.
    pub(crate) ports: &'a [u16],
    /// Values derived from the stream.
    pub(crate) derived: &'a Derived,
}

/// The text of the unit.
///
/// # Errors
/// The built-in list of restrictions is not valid (see [`unit::hardening`]).
pub(crate) fn render(unit: &Unit<'_>) -> Result<String, Failure> {
    let environment = unit::environment(unit.environment);
    let hardening = unit::hardening(unit.ports)?;
    let command = command_line(unit);
    let mebibytes = unit.derived.storage_bytes.div_ceil(1 << 20);
    // The first segment, encoding the loop on a slow machine, and as much again.
    let start_timeout = 300 + unit.derived.window_seconds;
    Ok(format!(
        "# Written by `hls-origin render systemd`.\n\
         [Unit]\n\
         Description=Test origin for HTTP Live Streaming\n\
         Wants=network-online.target\n\
         After=network-online.target\n\n\
         [Service]\n\
         # The origin sends READY=1 when the playlist and its first segment can be fetched.\n\
         Type=notify\n\
         {environment}\
         ExecStart={command}\n\
         TimeoutStartSec={start_timeout}\n\
         TimeoutStopSec=30\n\
         KillMode=mixed\n\
         Restart=on-failure\n\
         RestartSec=2\n\n\
         # Segments and the files of nginx; {mebibytes} MiB must be free on /run.\n\
         RuntimeDirectory=hls-origin\n\
         # Encoded loops.\n\
         CacheDirectory=hls-origin\n\
         # The media sequence, which continues after a restart.\n\
         StateDirectory=hls-origin\n\
         LogsDirectory=hls-origin\n\
         # Each connection is a file descriptor; the usual limit does not suffice for 1000 viewers.\n\
         LimitNOFILE=100000\n\
         TasksMax=infinity\n\n\
         {hardening}\n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

fn command_line(unit: &Unit<'_>) -> String {
    let text = |text: &str| Word::Text(text.to_owned());
    let mut words = vec![text(unit.program)];
    words.extend(unit.arguments.iter().map(|word| text(word)));
    if !unit.has_directory {
        // systemd creates and removes this directory; /run is a tmpfs.
        words.push(Word::Specifiers("--dir %t/hls-origin".to_owned()));
    }
    unit::command_line(&words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use crate::profile::stream::Stream;

    #[test]
    fn a_unit() {
        let profile = profile::parse("stress", profile::built_in("stress").unwrap()).unwrap();
        let derived = Derived::from_stream(&Stream::from_profile(&profile).unwrap());
        let arguments = ["--profile", "stress", "--access-log", "/var/log/my log"].map(str::to_owned);
        let unit = Unit {
            program: "/usr/bin/hls-origin",
            arguments: &arguments,
            environment: &[("HLS_ORIGIN_PORT".to_owned(), "8080".to_owned())],
            has_directory: false,
            ports: &[8080],
            derived: &derived,
        };
        insta::assert_snapshot!(render(&unit).unwrap());
    }
}
