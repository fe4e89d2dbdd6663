//! A real nginx with its own certificate. The test decides what it serves and logs; its access log is the
//! ground truth.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::Signal;

use crate::program::{Companion, program};

/// Directives for one nginx.
#[derive(Clone, Copy, Default)]
pub struct Site<'a> {
    /// `log_format` directive of a format named `truth`; if empty, nothing is logged.
    pub log_format: &'a str,
    /// Additional directives in the `http` block.
    pub http: &'a str,
    /// Whether its TLS port speaks HTTP/2, too.
    pub http2: bool,
    /// Whether the UDP port of the same number speaks HTTP/3.
    pub http3: bool,
    /// Directives in the `server` block; its root is `www`.
    pub server: &'a str,
}

pub struct Nginx {
    process: Option<Companion>,
    folder: PathBuf,
    pub plain: u16,
    pub tls: u16,
}

impl Nginx {
    /// Serves `folder/www`; everything else it needs is in `folder`, too.
    pub fn start(folder: &Path, site: Site<'_>) -> Self {
        certificate(folder);
        for _ in 0..5 {
            let [plain, tls] = free_ports();
            fs::write(folder.join("nginx.conf"), configuration(folder, site, plain, tls)).unwrap();
            // If it does not start, another process has taken one of the ports.
            if let Some(process) = launch(folder, tls) {
                return Self { process: Some(process), folder: folder.to_owned(), plain, tls };
            }
        }
        panic!("nginx does not start: {}", error_log(folder));
    }

    /// The path of the self-signed certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Stops it as a crash would: connections are closed, and requests in flight are not logged.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::SIGTERM);
        }
    }

    /// Restarts it on the same ports.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let begun = Instant::now();
        while self.process.is_none() {
            self.process = launch(&self.folder, self.tls);
            assert!(
                self.process.is_some() || begun.elapsed() < Duration::from_secs(10),
                "nginx does not restart: {}",
                error_log(&self.folder)
            );
        }
    }

    /// Lets requests in flight finish, stops nginx, and returns its access log.
    pub fn log(mut self) -> String {
        self.end();
        fs::read_to_string(self.folder.join("access.log")).unwrap()
    }

    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A connection that a viewer has just made may still wait to be accepted.
            thread::sleep(Duration::from_millis(200));
            process.end(Signal::SIGQUIT);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts nginx and waits until it answers; `None` if it ends instead.
fn launch(folder: &Path, port: u16) -> Option<Companion> {
    // No `-e`: versions before 1.19.5 lack it.
    let mut command = program("nginx");
    command.arg("-c").arg(folder.join("nginx.conf"));
    let mut process = Companion::start(&mut command);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) && process.ended().is_none() {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && process.ended().is_none() {
            return Some(process);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

fn error_log(folder: &Path) -> String {
    fs::read_to_string(folder.join("error.log")).unwrap_or_default()
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn certificate(folder: &Path) {
    let mut openssl: Command = program("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext"]);
    openssl.args(["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"]).arg(folder.join("key.pem"));
    let output = openssl.arg("-out").arg(folder.join("certificate.pem")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn configuration(folder: &Path, site: Site<'_>, plain: u16, tls: u16) -> String {
    let Site { log_format, http, http2, http3, server } = site;
    let http2 = if http2 { " http2" } else { "" };
    let http3 = if http3 { format!("listen 127.0.0.1:{tls} quic reuseport;") } else { String::new() };
    // Only the owner can read the test's folder; a worker of another user could not.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    let folder = folder.display();
    let access_log =
        if log_format.is_empty() { "off".to_owned() } else { format!("{folder}/access.log truth") };
    format!(
        "daemon off; worker_processes 1; {user} pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 16384; events {{ worker_connections 8192; }}
http {{
  {log_format}
  access_log {access_log};
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}
  {http}
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl{http2};
    {http3}
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/www;
    {server}
  }}
}}
"
    )
}
