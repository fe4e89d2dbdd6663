//! The systemd unit of an origin: hardened, notified when the origin is ready, sized by the profile.

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
    /// Values derived from the stream.
    pub(crate) derived: &'a Derived,
}

/// The settings that confine the service, and the installation section.
const HARDENING: &str = "\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0022

[Install]
WantedBy=multi-user.target
";

/// The text of the unit.
#[must_use]
pub(crate) fn render(unit: &Unit<'_>) -> String {
    let environment: String = unit
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let command = command_line(unit);
    let mebibytes = unit.derived.storage_bytes.div_ceil(1 << 20);
    // The first segment, encoding the loop on a slow machine, and as much again.
    let start_timeout = 300 + unit.derived.window_seconds;
    format!(
        "# Written by `hls-origin render systemd`.\n\
         [Unit]\n\
         Description=Test origin for HTTP Live Streaming\n\
         After=network.target\n\n\
         [Service]\n\
         # The origin sends READY=1 when the playlist and its first segment can be fetched.\n\
         Type=notify\n\
         {environment}\
         ExecStart={command}\n\
         TimeoutStartSec={start_timeout}\n\
         TimeoutStopSec=15\n\
         Restart=on-failure\n\
         RestartSec=2\n\n\
         DynamicUser=yes\n\
         # Segments and the files of nginx; {mebibytes} MiB must be free on /run.\n\
         RuntimeDirectory=hls-origin\n\
         # Encoded loops.\n\
         CacheDirectory=hls-origin\n\
         # The media sequence, which continues after a restart.\n\
         StateDirectory=hls-origin\n\
         LogsDirectory=hls-origin\n\
         # Each connection is a file descriptor; the usual limit does not suffice for 1000 viewers.\n\
         LimitNOFILE=100000\n\n\
         {HARDENING}"
    )
}

fn command_line(unit: &Unit<'_>) -> String {
    let mut words = vec![quoted(unit.program)];
    words.extend(unit.arguments.iter().map(|word| quoted(word)));
    if !unit.has_directory {
        // systemd creates and removes this directory; /run is a tmpfs.
        words.push("--dir %t/hls-origin".to_owned());
    }
    words.join(" ")
}

/// Quotes a word for systemd if necessary, and escapes `%` and `$`.
fn quoted(word: &str) -> String {
    let escaped = word.replace('%', "%%").replace('$', "$$");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%$+".contains(&byte);
    if !escaped.is_empty() && escaped.bytes().all(plain) {
        return escaped;
    }
    format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use crate::profile::stream::Stream;

    #[test]
    fn a_unit() {
        let profile = profile::parse("stress", profile::built_in("stress").unwrap()).unwrap();
        let derived = Derived::of(&Stream::of(&profile).unwrap());
        let arguments = ["--profile", "stress", "--access-log", "/var/log/my log"].map(str::to_owned);
        let unit = Unit {
            program: "/usr/bin/hls-origin",
            arguments: &arguments,
            environment: &[("HLS_ORIGIN_PORT".to_owned(), "8080".to_owned())],
            has_directory: false,
            derived: &derived,
        };
        insta::assert_snapshot!(render(&unit));
    }

    #[test]
    fn arguments_are_quoted_for_systemd() {
        assert_eq!(quoted("100%"), "100%%");
        assert_eq!(quoted("a $HOME \"b\""), "\"a $$HOME \\\"b\\\"\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
