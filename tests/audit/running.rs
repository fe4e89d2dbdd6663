//! The program with a real nginx, a real folder, and a Redis that only answers one question.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::audit::bad_server;
use crate::audit::origin::Origin;
use crate::audit::program::{Companion, program};

fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hls-swarm")).arg("audit").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn checks(audit: &Value) -> Vec<String> {
    let findings = audit["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

/// Answers `CONFIG GET maxmemory` with 0, as an unconfigured Redis does.
fn redis() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().take(20).flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let selection: Vec<String> = lines.by_ref().take(7).map_while(Result::ok).collect();
            let known = selection.iter().any(|line| line == "maxmemory");
            let answer: &[u8] =
                if known { b"*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n" } else { b"-ERR unknown\r\n" };
            drop((&stream).write_all(answer));
        }
    });
    port
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Starts nginx with a soft limit of 1024 open files, and returns the ID of its master process.
fn start(folder: &Path, port: u16) -> (Companion, u32) {
    let nginx = program("nginx").get_program().to_owned();
    let mut shell = program("sh");
    shell.args(["-c", "ulimit -Sn 1024; exec \"$0\" -c \"$1/nginx.conf\""]);
    let mut process = Companion::start(shell.arg(nginx).arg(folder));
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(
            process.ended().is_none() && begun.elapsed() < Duration::from_secs(10),
            "nginx does not start"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let pid = std::fs::read_to_string(folder.join("nginx.pid")).unwrap();
    (process, pid.trim().parse().unwrap())
}

/// Returns the names of findings, except the one about the file system of the tests' folder.
fn checks_of(report: &Value) -> Vec<String> {
    checks(report).into_iter().filter(|check| check != "segments-on-disk").collect()
}

/// Whether connections to upstream servers are kept by default: since nginx 1.29.7.
fn nginx_keeps_upstream_connections() -> bool {
    let said = program("nginx").arg("-v").output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    let version = said.split("nginx/").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    numbers >= vec![1, 29, 7]
}

#[test]
fn a_bad_nginx_is_audited_and_the_patch_fixes_what_it_is_for() {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    bad_server::write(folder.path(), port, free_port());
    let (mut nginx, pid) = start(folder.path(), port);
    let redis = format!("127.0.0.1:{}", redis());
    let (pid, at) = (pid.to_string(), folder.path().display());
    let [patch, markdown] = ["fix.patch", "audit.md"].map(|name| format!("{at}/{name}"));
    let what = ["--pid", &pid, "--viewers", "800", "--no-host", "--redis", &redis, "--format", "json"];
    let output =
        audit(&[&what[..], &["--report", &patch, "--report", &markdown, "--fail-on", "critical"]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output);
    let mut expected = vec![
        "open-files",
        "stale-segments",
        "redis-memory",
        "upstream-keepalive",
        "open-file-cache",
        "segment-length",
        "rate-limits",
        "list-size",
        "monitoring",
    ];
    if nginx_keeps_upstream_connections() {
        expected.retain(|check| *check != "upstream-keepalive");
    }
    assert_eq!(checks_of(&report), expected, "{}", report["unknown"]);
    assert!(report["verdict"].as_str().unwrap().starts_with("NOT READY for 800 viewers"), "{report:#}");
    let evidence = report["findings"][0]["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("soft limit of open files 1024"), "{evidence}");
    assert!(std::fs::read_to_string(&markdown).unwrap().contains("## critical: workers may open 1024 files"));

    // As docs/audit.md describes.
    for options in [&["--dry-run", "-p1"][..], &["-p1", "-r", "-"]] {
        let applied = program("patch").args(options).args(["-d", "/", "-i", &patch]).output().unwrap();
        assert!(applied.status.success(), "{applied:?}\n{}", std::fs::read_to_string(&patch).unwrap());
    }
    let configuration = format!("{at}/nginx.conf");
    let tested = program("nginx").args(["-t", "-c", &configuration]).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let www = format!("{at}/www");
    let what =
        ["--config", &configuration, "--folder", &www, "--viewers", "800", "--no-host", "--format", "json"];
    let report = json(&audit(&what));
    let left = [
        "stale-segments",
        "upstream-keepalive",
        "open-file-cache",
        "segment-length",
        "rate-limits",
        "list-size",
    ];
    assert_eq!(checks_of(&report), left);
    nginx.end(nix::sys::signal::Signal::SIGTERM);
}

#[test]
fn the_script_applies_the_patch_or_restores_the_files() {
    let folder = TempDir::new().unwrap();
    bad_server::write(folder.path(), free_port(), free_port());
    let configuration = folder.path().join("nginx.conf");
    let script = folder.path().join("fix.sh");
    let report =
        ["--config", configuration.to_str().unwrap(), "--no-host", "--report", script.to_str().unwrap()];
    assert!(audit(&report).status.success());
    let before = std::fs::read_to_string(&configuration).unwrap();
    for (nginx, succeeds) in [("false", false), ("nginx", true)] {
        let run = program("sh").arg(&script).env("NGINX", nginx).output().unwrap();
        assert_eq!(run.status.success(), succeeds, "{run:?}");
        assert_eq!(std::fs::read_to_string(&configuration).unwrap() == before, !succeeds, "{run:?}");
    }
    // Applied a second time, it does nothing.
    assert!(!program("sh").arg(&script).output().unwrap().status.success());
    assert!(std::fs::read_to_string(&configuration).unwrap().contains("worker_rlimit_nofile 100000;"));
}

#[test]
fn stale_files_are_listed_exactly_and_nothing_else_is_removed() {
    let folder = TempDir::new().unwrap();
    bad_server::write(folder.path(), 8080, 9000);
    let www = folder.path().join("www");
    let old = |name: &str, content: &[u8]| {
        let path = www.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let hours_ago = std::time::SystemTime::now() - Duration::from_secs(3 * 3600);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(hours_ago).unwrap();
        path
    };
    let media = [&[0x47][..], &[0xff; 187]].concat();
    let kept = [
        old("vod/list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nf0.ts\n#EXT-X-ENDLIST\n"),
        old("vod/f0.ts", &media),
        old("live/node_modules/x/index.d.ts", b"export {}"),
        old("live/main.ts", b"const x = 1;"),
        old("live/trailer.mp4", b"....ftyp"),
        old("app/assets.ts", &media),
    ];
    let stopped = old("off/list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\ns0.ts\n");
    let segment = old("off/s0.ts", &media);
    let output = audit(&["--folder", www.to_str().unwrap(), "--no-host", "--format", "stale"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Vec<&Path> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| Path::new(std::str::from_utf8(name).unwrap()))
        .collect();
    assert_eq!(listed.len(), bad_server::STALE + 2, "{listed:?}");
    assert!(listed.contains(&stopped.as_path()) && listed.contains(&segment.as_path()));
    // The command of the finding removes them, and nothing else.
    let command = format!(
        "{} audit --folder {} --no-host --format stale | xargs -0 -r rm -f --",
        env!("CARGO_BIN_EXE_hls-swarm"),
        www.display()
    );
    assert!(program("sh").args(["-c", &command]).status().unwrap().success());
    for path in kept {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(!stopped.exists() && !segment.exists());
    assert!(www.join("live/seg_900.ts").exists() && www.join("live/stream.m3u8").exists());
}

#[test]
fn a_configuration_of_another_machine_is_audited_without_this_one() {
    let folder = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    bad_server::write(elsewhere.path(), 8080, 9000);
    let main = folder.path().join("nginx.conf");
    let text = format!(
        "worker_processes auto;\nevents {{ worker_connections 20000; }}\nhttp {{\n    include {}/sites-enabled/*;\n    \
         server {{ listen 80; root {}/www; }}\n}}\n",
        elsewhere.path().display(),
        elsewhere.path().display()
    );
    std::fs::write(&main, text).unwrap();
    let main = main.to_str().unwrap();
    let report = json(&audit(&["--config", main, "--no-host", "--format", "json", "--processors", "64"]));
    let text = report.to_string();
    assert!(!text.contains("stale segment") && !text.contains("sites-enabled/default"), "{report:#}");
    let unknown: Vec<&str> = report["unknown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unknown| unknown["check"].as_str().unwrap())
        .collect();
    // The other files may contain what seems to be absent.
    for check in ["configuration", "stale-segments", "rate-limits", "monitoring", "sendfile", "tcp-buffers"] {
        assert!(unknown.contains(&check), "{check}: {report:#}");
        assert!(!checks(&report).contains(&check.to_owned()), "{check}: {report:#}");
    }
    let connections = report["capacity"]["before"][1]["formula"].as_str().unwrap();
    assert_eq!(connections, "workers 64 x worker_connections 20000 / 2 per viewer");
    // Without a number of processors, the report states that one is assumed.
    let report = json(&audit(&["--config", main, "--no-host", "--format", "json", "--viewers", "50000"]));
    assert!(report.to_string().contains("an unknown number of processors: 1 is assumed"), "{report:#}");
}

#[test]
fn an_nginx_in_its_own_file_system_is_audited_with_its_own_files() {
    let folder = TempDir::new().unwrap();
    let at = folder.path().display();
    let port = free_port();
    std::fs::create_dir_all(folder.path().join("root")).unwrap();
    std::fs::create_dir_all(folder.path().join("conf/sites")).unwrap();
    let main = "pid /tmp/inner.pid; error_log /dev/null;\nworker_rlimit_nofile 4321;\nevents { worker_connections 1234; }\n\
         http {\n    access_log off;\n    client_body_temp_path /tmp/t1; proxy_temp_path /tmp/t2; fastcgi_temp_path /tmp/t3;\n    \
         uwsgi_temp_path /tmp/t4; scgi_temp_path /tmp/t5;\n    include /etc/nginx/sites/*;\n}\n";
    std::fs::write(folder.path().join("conf/nginx.conf"), main).unwrap();
    std::fs::write(
        folder.path().join("conf/site"),
        format!("server {{ listen 127.0.0.1:{port}; root /tmp/inner; location /live/ {{ }} }}\n"),
    )
    .unwrap();
    // An absolute link, which refers to another file outside of the namespace.
    std::os::unix::fs::symlink("/etc/nginx/site", folder.path().join("conf/sites/live")).unwrap();
    let script = format!(
        "mount --rbind / {at}/root
         mount -t tmpfs none {at}/root/etc/nginx
         mount -t tmpfs none {at}/root/tmp
         cp -a {at}/conf/. {at}/root/etc/nginx/
         mkdir -p {at}/root/tmp/inner/live {at}/root/tmp/old
         printf '#EXTM3U\\n#EXT-X-TARGETDURATION:9\\n#EXTINF:9,\\nx.ts\\n' >{at}/root/tmp/inner/live/x.m3u8
         head -c 1880 /dev/zero | tr '\\0' G >{at}/root/tmp/inner/live/old.ts
         touch -d '3 hours ago' {at}/root/tmp/inner/live/old.ts
         cd {at}/root
         pivot_root . tmp/old
         exec nginx -g 'daemon off;'"
    );
    let mut unshare = program("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let mut process = Companion::start(unshare.args(["--mount", "sh", "-ec", &script]));
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(
            process.ended().is_none() && begun.elapsed() < Duration::from_secs(10),
            "nginx does not start"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let processes =
        program("pgrep").args(["-f", "^nginx: master process nginx -g daemon off;$"]).output().unwrap();
    let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
    // Other processes may run nginx like this, too; ours has another root.
    let own = |pid: &&str| {
        std::fs::read_to_string(format!("/proc/{pid}/root/etc/nginx/nginx.conf"))
            .is_ok_and(|text| text.contains("4321"))
    };
    let pid = processes.lines().find(own).expect("a master process with its own files");
    let report = json(&audit(&["--pid", pid, "--viewers", "2000", "--redis", "off", "--format", "json"]));
    let text = report.to_string();
    assert!(text.contains("/etc/nginx/nginx.conf:3: worker_connections 1234;"), "{report:#}");
    assert!(text.contains("/etc/nginx/sites/live:1") && text.contains("mount namespace"), "{report:#}");
    assert!(
        text.contains("/tmp/inner/live/x.m3u8") && checks(&report).contains(&"segment-length".to_owned()),
        "{report:#}"
    );
    assert!(!text.contains("worker_connections 768"), "{report:#}");
    // Stale files have names that lead to them from here, not to the same names of this machine.
    let inner = format!("/proc/{pid}/root/tmp/inner");
    let folder_only = ["--folder", &inner, "--no-host", "--format", "stale"];
    for arguments in [&["--pid", pid, "--redis", "off", "--format", "stale"][..], &folder_only] {
        let listed = audit(arguments).stdout;
        assert_eq!(String::from_utf8_lossy(&listed), format!("{inner}/live/old.ts\0"), "{arguments:?}");
    }
    process.end(nix::sys::signal::Signal::SIGTERM);
}

#[test]
fn our_own_origin_gets_no_finding_above_low() {
    for profile in ["default", "low-latency"] {
        let origin = Origin::start(&["--profile", profile]);
        let pid = origin.child_named("nginx").unwrap().to_string();
        let output = audit(&[
            "--pid",
            &pid,
            "--no-host",
            "--viewers",
            "500",
            "--format",
            "json",
            "--fail-on",
            "moderate",
        ]);
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        // Its configuration, its limits, and its folder were read.
        let good: Vec<&str> =
            report["good"].as_array().unwrap().iter().map(|good| good[0].as_str().unwrap()).collect();
        for check in [
            "open-files",
            "worker-connections",
            "open-file-cache",
            "stale-segments",
            "segment-length",
            "monitoring",
        ] {
            assert!(good.contains(&check), "{check}: {report:#}");
        }
    }
}

#[test]
fn invalid_input_is_reported() {
    let folder = TempDir::new().unwrap();
    let broken = folder.path().join("broken.conf");
    std::fs::write(&broken, "events {\n").unwrap();
    let broken = broken.to_str().unwrap();
    let template = folder.path().join("nginx.conf.j2");
    std::fs::write(&template, "events {}\nhttp { server { listen {{ port }}; } }\n").unwrap();
    let template = template.to_str().unwrap();
    for (arguments, code, why) in [
        (&["--config", "/none/nginx.conf"][..], 2, "/none/nginx.conf cannot be read"),
        (&["--config", broken], 2, "broken.conf, line 1: the `{` has no `}`"),
        (&["--config", broken, "--report", "x.pdf"], 2, "unknown format \"pdf\""),
        (&["--pid", "1"], 3, "is not a visible master process of nginx"),
        (&["--viewers", "0"], 2, "--viewers"),
        (&["--config", template], 2, "this looks like a template"),
        (&["--config", broken, "--folder", "/none"], 2, "has no `}`"),
    ] {
        let output = audit(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(why), "{arguments:?}: {said}");
    }
}
