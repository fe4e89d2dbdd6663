//! A patch of an audit changes no response. Each configuration of `corpus/` is run with nginx before and after
//! its patch, and gets the same requests: status, headers, and body must be equal. Only `/nginx_status` may be
//! new.
//!
//! The comments at the top of a configuration are read by this test:
//! `# finds: …` lists the findings (`UPDATE_CORPUS=1` writes it), `# ask: …` adds addresses, `# host: …`
//! sets the Host header, `# run: no` means that this nginx lacks a module for it, `# certificate: yes` makes
//! a certificate, `# cache: …` is removed before each run, `# crlf: yes` writes CRLF line endings,
//! `# link: NAME -> TARGET` makes a symbolic link. `### NAME` begins an additional file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::audit::program::{Companion, program};

/// Addresses that every configuration is asked for.
const PATHS: [&str; 14] = [
    "/",
    "/live/x.m3u8",
    "/live/x.ts",
    "/live/none.m3u8",
    "/live/none.ts",
    "/live/ch1/x.m3u8",
    "/live/ch1/x.ts",
    "/hls/x.m3u8",
    "/hls/x.ts",
    "/vod/x.mp4",
    "/x.m3u8",
    "/live/x.m3u8?token=abc",
    "/live",
    "/unknown",
];

/// Headers of a plain client, and of a player in a browser with credentials (viewer:secret).
const HEADERS: [&str; 2] = [
    "",
    "Origin: http://player.example\r\nReferer: http://www.example.org/\r\nAccept-Encoding: gzip\r\n\
     Authorization: Basic dmlld2VyOnNlY3JldA==\r\nRange: bytes=0-99\r\nCF-Connecting-IP: 198.51.100.7\r\n",
];

/// A configuration of the corpus, written to a folder.
struct Case {
    name: String,
    text: String,
    folder: TempDir,
    ports: Vec<u16>,
}

impl Case {
    fn new(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let folder = TempDir::new().unwrap();
        let at = folder.path();
        // Workers run as another user.
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        let listeners: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case = Self { name, text, folder, ports };
        case.write_files();
        case.write_media();
        case
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    fn configuration(&self) -> PathBuf {
        self.at().join("nginx.conf")
    }

    /// Returns the text after `# NAME:` in the comments at the top.
    fn notes(&self, name: &str) -> Vec<String> {
        let comments = self.text.lines().take_while(|line| line.starts_with('#'));
        let mark = format!("# {name}: ");
        let values = comments.filter_map(|line| line.strip_prefix(&mark));
        values.flat_map(str::split_whitespace).map(str::to_owned).collect()
    }

    fn write_files(&self) {
        let at = self.at().display().to_string();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/tmp_{what};"))
            .join(" ");
        let main = format!("pid {at}/nginx.pid; error_log {at}/error.log;");
        let text = self.text.replace("@MAIN@", &main).replace("@TEMP@", &temp).replace("@DIR@", &at);
        let text = text
            .replace("@PORT1@", &self.ports[0].to_string())
            .replace("@PORT2@", &self.ports[1].to_string());
        let mut parts = text.split("### ");
        let first = ("nginx.conf", parts.next().unwrap());
        let rest = parts.map(|part| part.split_once('\n').unwrap());
        for (name, text) in std::iter::once(first).chain(rest) {
            let path = self.at().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let crlf = !self.notes("crlf").is_empty();
            fs::write(path, if crlf { text.replace('\n', "\r\n") } else { text.to_owned() }).unwrap();
        }
        if let [name, _, target] = self.notes("link").as_slice() {
            let path = self.at().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        if !self.notes("certificate").is_empty() {
            let output = program("openssl")
                .current_dir(self.at())
                .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test".split(' '))
                .args("-keyout key.pem -out cert.pem".split(' '))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        // nginx knows this notation for passwords in plain text.
        fs::write(self.at().join("users"), "viewer:{PLAIN}secret\n").unwrap();
    }

    fn write_media(&self) {
        let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\nx.ts\n";
        for folder in ["", "live", "live/ch1", "hls", "vod", "other"] {
            let folder = self.at().join("www").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x.m3u8"), playlist).unwrap();
            fs::write(folder.join("x.ts"), [0x47; 1880]).unwrap();
        }
        fs::write(self.at().join("www/other/y.ts"), [0x47; 188]).unwrap();
        fs::write(self.at().join("www/index.html"), "<p>index</p>").unwrap();
    }

    fn audit(&self, format: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
            .args(["audit", "--no-host", "--redis", "off", "--viewers", "2000", "--processors", "4"])
            .args(["--format", format, "--config"])
            .arg(self.configuration())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs nginx and returns the responses to all requests, and to one for `/nginx_status` if wanted.
    fn run(&self, status: Option<&str>) -> String {
        for cache in self.notes("cache") {
            drop(fs::remove_dir_all(cache.replace("@DIR@", &self.at().display().to_string())));
        }
        let mut command = program("nginx");
        let log = self.at().join("error.log");
        // The option -e for a log of errors is newer than nginx 1.18.
        let globals = format!("daemon off; error_log {};", log.display());
        command.arg("-c").arg(self.configuration()).args(["-g", &globals]);
        let mut nginx = Companion::start(&mut command);
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[0])).is_err() {
            let waiting = nginx.ended().is_none() && begun.elapsed() < Duration::from_secs(10);
            assert!(waiting, "{}: {}", self.name, fs::read_to_string(&log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Another test may listen on the port that this configuration does not use.
        let second =
            self.text.contains("@PORT2@") && TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[1])).is_ok();
        let host = self.notes("host").first().cloned().unwrap_or_else(|| "127.0.0.1".into());
        let mut answers = String::new();
        for port in self.ports.iter().take(1 + usize::from(second)) {
            let own = self.notes("ask");
            for path in PATHS.iter().copied().chain(own.iter().map(String::as_str)) {
                for method in ["GET", "HEAD", "OPTIONS"] {
                    for headers in HEADERS {
                        let answer = ask(*port, &format!("{method} {path}"), &host, headers);
                        let _ = writeln!(answers, "== {port} {method} {path} ({})\n{answer}", headers.len());
                    }
                }
            }
        }
        if let Some(url) = status {
            let (port, path) = url.trim_start_matches("http://127.0.0.1:").split_once('/').unwrap();
            let answer = ask(port.parse().unwrap(), &format!("GET /{path}"), "127.0.0.1", "");
            assert!(answer.contains("Active connections"), "{}: {url}: {answer}", self.name);
        }
        nginx.signal(Signal::SIGTERM);
        assert!(nginx.wait(Duration::from_secs(10)).is_some(), "{}: nginx does not stop", self.name);
        answers
    }

    /// Whether this build of nginx knows all directives.
    fn is_known(&self) -> bool {
        let tested = program("nginx").args(["-t", "-c"]).arg(self.configuration()).output().unwrap();
        !String::from_utf8_lossy(&tested.stderr).contains("unknown directive")
    }

    /// Follows the instructions of docs/audit.md.
    fn apply(&self, patch: &str) {
        let file = self.at().join("fix.patch");
        fs::write(&file, patch).unwrap();
        for options in [&["--dry-run", "-p1"][..], &["-p1", "-r", "-"]] {
            let applied = program("patch").args(options).args(["-d", "/", "-i"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&applied.stdout);
            assert!(applied.status.success(), "{}: {said}\n{patch}", self.name);
            assert!(!said.contains("fuzz") && !said.contains("offset"), "{}: {said}\n{patch}", self.name);
        }
        let left = program("find").arg(self.at()).args(["-name", "*.rej", "-o", "-name", "*.orig"]).output();
        assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "", "{}", self.name);
        let tested = program("nginx").args(["-t", "-c"]).arg(self.configuration()).output().unwrap();
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success(), "{}: {said}\n{patch}", self.name);
    }
}

/// Sends one request on its own connection, and returns the response without its date.
fn ask(port: u16, line: &str, host: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server may close the connection without reading, which counts as a response.
    drop(write!(stream, "{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text: String =
        answer.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    let lines = text.replace("\\r\\n", "\n");
    // `expires` derives a second date from it.
    let changing = |line: &&str| !line.starts_with("Date: ") && !line.starts_with("Expires: ");
    lines.lines().filter(changing).map(without_seconds).collect::<Vec<_>>().join("\n")
}

/// Rounds a max-age of more than ten minutes to whole minutes: `expires modified` counts it from the time of the file.
fn without_seconds(line: &str) -> String {
    let max_age = line.strip_prefix("Cache-Control: max-age=").and_then(|age| age.parse::<u64>().ok());
    match max_age {
        Some(seconds) if seconds > 600 => {
            format!("Cache-Control: max-age={} minutes", seconds.saturating_add(30) / 60)
        }
        _ => line.to_owned(),
    }
}

fn findings(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["check"].as_str().unwrap()).collect()
}

/// Compares the findings with the note in the file, or writes the note.
fn check_findings(path: &Path, case: &Case, report: &Value) {
    let found = findings(report);
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        let rest: Vec<&str> = case.text.lines().filter(|line| !line.starts_with("# finds:")).collect();
        fs::write(path, format!("# finds: {}\n{}\n", found.join(" "), rest.join("\n"))).unwrap();
        return;
    }
    let expected = case.notes("finds");
    let (found, expected): (BTreeSet<&str>, BTreeSet<&str>) =
        (found.into_iter().collect(), expected.iter().map(String::as_str).collect());
    assert_eq!(found, expected, "{}", case.name);
}

/// A patch needs a measured gain; only the one that makes figures visible has none.
fn check_gains(case: &Case, report: &Value) {
    let findings = report["findings"].as_array().unwrap();
    for finding in findings.iter().filter(|finding| finding.get("patch").is_some()) {
        let gains = finding["measured"].as_str().is_some_and(|measured| !measured.starts_with("no gain"));
        assert!(gains || finding["check"] == "monitoring", "{}: {finding}", case.name);
    }
}

fn obey(path: &Path) -> bool {
    let case = Case::new(path);
    let report: Value = serde_json::from_str(&case.audit("json")).unwrap();
    check_findings(path, &case, &report);
    check_gains(&case, &report);
    let patch = case.audit("patch");
    if case.notes("run").first().is_some_and(|run| run == "no") {
        return !patch.is_empty();
    }
    let before = case.run(None);
    assert!(
        before.contains("HTTP/1.1 20") || before.contains("HTTP/1.1 301"),
        "{}: nothing is served\n{before}",
        case.name
    );
    if patch.is_empty() {
        return false;
    }
    case.apply(&patch);
    let fixes = report["findings"].as_array().unwrap().iter();
    let monitoring =
        fixes.clone().find(|finding| finding["check"] == "monitoring" && finding.get("patch").is_some());
    let url = monitoring.map(|finding| {
        let fix = finding["fix"].as_str().unwrap();
        fix.split_once("curl ").unwrap().1.split(')').next().unwrap().to_owned()
    });
    let after = case.run(url.as_deref());
    for (before, after) in before.split("\n== ").zip(after.split("\n== ")) {
        assert_eq!(before, after, "{}: the patch changes a response\n{patch}", case.name);
    }
    assert_eq!(before, after, "{}", case.name);
    // The patched findings are gone.
    let again: Value = serde_json::from_str(&case.audit("json")).unwrap();
    let left = findings(&again);
    for finding in fixes.filter(|finding| finding.get("patch").is_some()) {
        let check = finding["check"].as_str().unwrap();
        let partly = finding["evidence"].as_array().unwrap().len() > 1;
        assert!(partly || !left.contains(&check), "{}: {check} is still found\n{patch}", case.name);
    }
    true
}

#[test]
fn a_patch_changes_no_response() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/corpus");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    if let Ok(only) = std::env::var("CORPUS") {
        paths.retain(|path| path.display().to_string().contains(&only));
    }
    let all = std::env::var_os("CORPUS").is_none();
    assert!(!all || paths.len() >= 40, "{paths:?}");
    // Some builds have no module for a directive.
    let known = paths.len();
    paths.retain(|path| Case::new(path).is_known());
    assert!(!all || paths.len() * 10 >= known * 9, "only {} of {known} are for this nginx", paths.len());
    let results: Vec<_> = paths.iter().map(|path| std::panic::catch_unwind(|| obey(path))).collect();
    let failed: Vec<_> = paths.iter().zip(&results).filter(|(_, result)| result.is_err()).collect();
    assert!(failed.is_empty(), "{} of {} fail: {failed:#?}", failed.len(), paths.len());
    let patched = results.iter().filter(|result| matches!(result, Ok(true))).count();
    assert!(!all || patched * 2 > paths.len(), "only {patched} of {} have a patch", paths.len());
}
