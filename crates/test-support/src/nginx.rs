//! A real nginx with a certificate of its own. What it serves and logs is the test's business; its
//! access log is the ground truth.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::Signal;

use crate::program::{Companion, program};

/// What one nginx is to do, in its own words.
#[derive(Clone, Copy, Default)]
pub struct Site<'a> {
    /// `log_format` directive of a format that is called `truth`; without it nothing is logged.
    pub log_format: &'a str,
    /// Further directives in the `http` block.
    pub http: &'a str,
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
    /// Serves `folder/www`; everything else it needs lies in `folder` too.
    pub fn start(folder: &Path, site: Site<'_>) -> Self {
        certificate(folder);
        for _ in 0..5 {
            let [plain, tls] = free_ports();
            fs::write(folder.join("nginx.conf"), configuration(folder, site, plain, tls)).unwrap();
            // If it does not start, somebody was quicker with one of the ports.
            if let Some(process) = launch(folder, tls) {
                return Self { process: Some(process), folder: folder.to_owned(), plain, tls };
            }
        }
        panic!("nginx does not start: {}", complaints(folder));
    }

    /// The certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Breaks it off, as a crash would: connections are closed, requests in flight are not logged.
    pub fn break_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::SIGTERM);
        }
    }

    /// Starts it again on the same ports.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let begun = Instant::now();
        while self.process.is_none() {
            self.process = launch(&self.folder, self.tls);
            assert!(
                self.process.is_some() || begun.elapsed() < Duration::from_secs(10),
                "nginx does not come back: {}",
                complaints(&self.folder)
            );
        }
    }

    /// Lets requests in flight come to their end, ends nginx and reads its access log.
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

fn complaints(folder: &Path) -> String {
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
    let Site { log_format, http, server } = site;
    // The test's folder is its owner's: a worker of another user could not read it.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    let folder = folder.display();
    let access_log =
        if log_format.is_empty() { "off".to_owned() } else { format!("{folder}/access.log truth") };
    format!(
        "daemon off; worker_processes 1; {user} pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  {log_format}
  access_log {access_log};
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}
  {http}
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/www;
    {server}
  }}
}}
"
    )
}
