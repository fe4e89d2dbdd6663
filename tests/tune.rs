//! `hls-swarm tune` with the real /proc/sys, inside of network namespaces that the tests create, and with
//! net.* keys only, so that this machine does not change.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use hls_swarm_test_support::program;

const SWARM: &str = env!("CARGO_BIN_EXE_hls-swarm");

/// Runs a script in a network namespace; in a user namespace, too, where the test does not run as root.
fn namespace(script: &str) -> Output {
    let mut unshare = program::program("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare.args(["--net", "sh", "-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn tune(arguments: &[&str]) -> Output {
    Command::new(SWARM).arg("tune").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Prints every readable key of the namespace with its value, without counters.
const DUMP: &str =
    "grep -r . /proc/sys/net 2>/dev/null | grep -v -e _count: -e fastopen_key -e stable_secret | sort";

#[test]
fn apply_sets_and_undo_leaves_proc_sys_as_it_was() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().display();
    let apply = format!("{SWARM} tune apply --only net. --state {at}/state");
    namespace(&format!(
        "echo 4096 131072 33554432 >/proc/sys/net/ipv4/tcp_rmem
         {DUMP} >{at}/before
         {apply} >{at}/first
         {DUMP} >{at}/applied
         {SWARM} tune check --only net. >{at}/check || echo $? >{at}/code
         {apply} --profile origin >{at}/second
         {SWARM} tune undo --state {at}/state >{at}/undone
         {DUMP} >{at}/after
         {SWARM} tune undo --state {at}/state >{at}/again"
    ));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let value = |dump: &str, key: &str| {
        let dump = read(dump);
        let line = dump.lines().find_map(|line| line.strip_prefix(&format!("/proc/sys/net/ipv4/{key}:")));
        line.unwrap_or_else(|| panic!("no {key} in {dump}")).to_owned()
    };
    // The kernel's defaults of a new namespace are different.
    for (key, wanted) in [("tcp_fin_timeout", "15"), ("tcp_slow_start_after_idle", "0")] {
        assert_ne!(value("before", key), wanted, "{key}");
        assert_eq!(value("applied", key), wanted, "{key}");
    }
    // The larger maximum stays, and each number is raised on its own.
    assert_eq!(value("before", "tcp_rmem"), "4096\t131072\t33554432");
    assert_eq!(value("applied", "tcp_rmem"), "4096\t1000000\t33554432");
    assert!(value("applied", "ip_local_reserved_ports").starts_with("5000,6379,8080,"));
    assert!(read("second").contains("tcp_fastopen: 1 -> 3"), "{}", read("second"));
    assert!(read("before").lines().count() > 100, "{}", read("before"));
    assert_eq!(read("before"), read("after"), "{}", read("undone"));
    assert!(!folder.path().join("state").exists());
    assert!(read("again").starts_with("nothing to undo"));
    // Keys of the initial namespace are named, not set.
    let check = read("check");
    assert!(
        check.contains("net.core.netdev_max_backlog = -") && check.contains("(belongs to the "),
        "{check}"
    );
}

#[test]
fn a_refused_value_fails_and_the_other_ones_are_set() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().display();
    let key =
        |name: &str, value: &str| format!("[key.\"{name}\"]\nvalue = \"{value}\"\nreason = \"a test\"\n");
    let profile = [
        "description = \"bad\"\n".to_owned(),
        key("net.ipv4.tcp_fin_timeout", "soon"),
        key("net.ipv4.tcp_keepalive_time", "120"),
        key("net.ipv6.tcp_rmem", "1 2 3"),
        key("net.ipv4.tcp_of_the_future", "1"),
    ];
    std::fs::write(folder.path().join("bad.toml"), profile.concat()).unwrap();
    let output = namespace(&format!(
        "{SWARM} tune apply --profile {at}/bad.toml --state {at}/state || echo code $?
         cat /proc/sys/net/ipv4/tcp_keepalive_time
         {SWARM} tune show --profile {at}/bad.toml
         {SWARM} tune undo --state {at}/state"
    ));
    let said = text(&output.stdout);
    for expected in [
        "✗ net.ipv4.tcp_fin_timeout: stays 60, soon was refused: Invalid argument",
        "✓ net.ipv4.tcp_keepalive_time: 7200 -> 120",
        "code 1\n120\n",
        "- net.ipv6.tcp_rmem = -, recommended 1 2 3 (never existed: net.ipv4.tcp_* applies to TCP over IPv6, too)",
        "- net.ipv4.tcp_of_the_future = -, recommended 1 (this kernel (",
        "✓ net.ipv4.tcp_keepalive_time: 120 -> 7200",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn check_exits_with_4_if_a_setting_differs() {
    let folder = TempDir::new().unwrap();
    let now = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_keepalive_time").unwrap();
    let now: u64 = now.trim().parse().unwrap();
    let check = |value: u64| {
        let file = folder.path().join("one.toml");
        let key =
            format!("[key.\"net.ipv4.tcp_keepalive_time\"]\nvalue = \"{value}\"\nreason = \"a test\"\n");
        std::fs::write(&file, format!("description = \"one\"\n{key}")).unwrap();
        let file = file.to_str().unwrap();
        let codes = [&["--check", "--profile", file], &["check", "--profile", file]].map(|words| {
            let output = tune(words);
            output.status.code()
        });
        assert_eq!(codes[0], codes[1]);
        (codes[0], text(&tune(&["diff", "--profile", file]).stdout))
    };
    assert_eq!(check(now), (Some(0), check(now).1));
    let (code, diff) = check(now + 1);
    assert_eq!(code, Some(4));
    let lines = format!("-net.ipv4.tcp_keepalive_time = {now}\n+net.ipv4.tcp_keepalive_time = {}", now + 1);
    assert!(diff.contains(&lines), "{diff}");
}

#[test]
fn persist_writes_and_removes_files_below_a_root() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_str().unwrap();
    for profile in ["client", "origin"] {
        let words = ["persist", "--root", root, "--profile", profile, "--clients", "1000"];
        let output = tune(&words);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let read = |path: &str| std::fs::read_to_string(Path::new(root).join(path)).unwrap();
    assert!(read("etc/sysctl.d/90-hls-swarm-client.conf").contains("\n-net.core.rmem_max = 26214400\n"));
    assert!(read("etc/security/limits.d/90-hls-swarm-client.conf").contains("* soft nofile 32768\n"));
    assert!(
        read("etc/systemd/system/nginx.service.d/90-hls-swarm.conf").contains("LimitNOFILE=100000:524288\n")
    );
    assert!(read("etc/udev/rules.d/90-hls-swarm-origin.rules").contains("mq-deadline"));
    // The file is what `sysctl` itself reads: every key of it, set in a namespace of its own.
    let lines: Vec<String> = read("etc/sysctl.d/90-hls-swarm-client.conf")
        .lines()
        .filter(|line| line.starts_with("-net.ipv4."))
        .map(str::to_owned)
        .collect();
    assert!(lines.len() >= 10, "{lines:?}");
    let file = folder.path().join("net.conf");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let check = format!(
        "sysctl --load {} >&2 || true; {SWARM} tune check --only net.ipv4. --clients 1000",
        file.display()
    );
    let left = text(&namespace(&format!("{check} || [ $? -eq 4 ]")).stdout);
    // Which congestion controls a new namespace may use is the host's decision.
    let left: Vec<&str> = left.lines().filter(|line| line.starts_with('✗')).collect();
    assert!(
        left.iter().all(|line| line.contains("congestion_control") && line.contains("here only:")),
        "{left:?}"
    );
    for profile in ["client", "origin"] {
        assert_eq!(
            tune(&["persist", "--root", root, "--profile", profile, "--remove"]).status.code(),
            Some(0)
        );
    }
    let left = Command::new("find").args([&format!("{root}/etc"), "-type", "f"]).output().unwrap();
    assert_eq!(text(&left.stdout), "");
}

#[test]
fn invalid_input_is_reported() {
    for (arguments, why) in [
        (&["show", "--profile", "orign"][..], "did you mean origin?"),
        (&["show", "--profile", "none.toml"], "profile none.toml cannot be read"),
        (&["show", "--variant", "bbr3"], "it has: bbr, lab"),
        (&["show", "--clients", "0"], "--clients: expected a number from 1 up"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let output = tune(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}
