//! The systemd unit of an origin: hardened, told READY by the origin itself, sized by the profile.

use crate::profile::derived::Derived;

/// What a unit depends on.
#[derive(Clone, Debug)]
pub struct Unit<'a> {
    /// Path of the program.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Variables that go before the profile.
    pub environment: &'a [(String, String)],
    /// The private directory was chosen by hand.
    pub has_directory: bool,
    /// What follows from the stream.
    pub derived: &'a Derived,
}

/// The unit as text.
#[must_use]
pub fn render(unit: &Unit<'_>) -> String {
    let mut words = vec![quoted(unit.program)];
    words.extend(unit.arguments.iter().map(|word| quoted(word)));
    if !unit.has_directory {
        // The manager makes and removes it, whatever happens; /run is a tmpfs.
        words.push("--dir %t/hls-origin".to_owned());
    }
    let environment: String = unit
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let mega = unit.derived.storage_bytes.div_ceil(1 << 20);
    // The first segment, the loop's encoding on a slow machine, and as much again.
    let start = 300 + unit.derived.window_seconds;
    format!(
        "# Written by `hls-origin render systemd`.\n\
         [Unit]\n\
         Description=Test origin for HTTP Live Streaming\n\
         After=network.target\n\n\
         [Service]\n\
         # The origin says READY=1 when playlist and first segment can be fetched.\n\
         Type=notify\n\
         {environment}\
         ExecStart={}\n\
         TimeoutStartSec={start}\n\
         TimeoutStopSec=15\n\
         Restart=on-failure\n\
         RestartSec=2\n\n\
         DynamicUser=yes\n\
         # Segments and nginx's files; {mega} MiB must be free on /run.\n\
         RuntimeDirectory=hls-origin\n\
         # Encoded loops.\n\
         CacheDirectory=hls-origin\n\
         # The media sequence, so that a restart goes on where viewers are.\n\
         StateDirectory=hls-origin\n\
         LogsDirectory=hls-origin\n\
         # A connection is a descriptor; the usual limit ends below 1000 viewers.\n\
         LimitNOFILE=100000\n\n\
         NoNewPrivileges=yes\n\
         CapabilityBoundingSet=\n\
         AmbientCapabilities=\n\
         ProtectSystem=strict\n\
         ProtectHome=yes\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         ProtectClock=yes\n\
         ProtectControlGroups=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RemoveIPC=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         UMask=0022\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        words.join(" ")
    )
}

/// A word as systemd reads it: quoted where need be, with its own expansions disarmed.
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
    fn words_are_disarmed() {
        assert_eq!(quoted("100%"), "100%%");
        assert_eq!(quoted("a $HOME \"b\""), "\"a $$HOME \\\"b\\\"\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
