//! nginx with a certificate of its own: TLS, keep-alive, chunks and gzip as origins do it. Its access
//! log is the ground truth.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::watched::program;

/// One line of the access log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub name: String,
    pub status: u16,
    pub request_bytes: u64,
    pub head_bytes: u64,
    pub body_bytes: u64,
    /// The viewer's port: tells the connection.
    pub port: u16,
}

pub struct Nginx {
    child: Child,
    folder: PathBuf,
    pub plain: u16,
    pub tls: u16,
}

impl Nginx {
    /// Serves `folder/www`; everything else it needs lies in `folder` too.
    pub fn start(folder: &Path) -> Self {
        certificate(folder);
        for _ in 0..5 {
            let [plain, tls] = free_ports();
            fs::write(folder.join("nginx.conf"), configuration(folder, plain, tls)).unwrap();
            let mut command = program("nginx");
            command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(folder.join("nginx.conf"));
            #[allow(clippy::disallowed_methods, reason = "a test's own server; its Drop ends it")]
            let mut child = command.spawn().unwrap();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(5) {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_ok() {
                    return Self { child, folder: folder.to_owned(), plain, tls };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            // Somebody was quicker with one of the ports.
            drop(child.kill());
            child.wait().unwrap();
        }
        panic!("nginx does not start: {}", fs::read_to_string(folder.join("error.log")).unwrap_or_default());
    }

    /// The certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Ends nginx and reads its log, in the order in which the requests ended.
    pub fn log(mut self) -> Vec<Logged> {
        self.end();
        let text = fs::read_to_string(self.folder.join("access.log")).unwrap();
        text.lines()
            .map(|line| {
                let mut words = line.split(' ');
                let name = words.next().unwrap().rsplit('/').next().unwrap().to_owned();
                let mut number = || words.next().unwrap().parse::<u64>().unwrap();
                let (status, request_bytes, bytes, body_bytes, port) =
                    (number(), number(), number(), number(), number());
                Logged {
                    name,
                    status: u16::try_from(status).unwrap(),
                    request_bytes,
                    head_bytes: bytes - body_bytes,
                    body_bytes,
                    port: u16::try_from(port).unwrap(),
                }
            })
            .collect()
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
            drop(self.child.wait());
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
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

fn configuration(folder: &Path, plain: u16, tls: u16) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  log_format truth '$uri $status $request_length $bytes_sent $body_bytes_sent $remote_port';
  access_log {folder}/access.log truth;
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  gzip on; gzip_min_length 1; gzip_types application/vnd.apple.mpegurl;
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    root {folder}/www;
    location /to-the-end/ {{ alias {folder}/www/; keepalive_timeout 0; chunked_transfer_encoding off; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
  }}
}}
"
    )
}
