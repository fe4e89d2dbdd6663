//! An nginx for the probe's tests: keep-alive, chunks, and gzip, as origins use them.

use std::path::Path;

use hls_swarm_test_support::nginx::{Nginx, Site};

/// One line of the access log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub name: String,
    pub status: u16,
    pub head_bytes: u64,
    pub body_bytes: u64,
    /// The viewer's port, which identifies the connection.
    pub port: u16,
}

/// Serves `folder/www`.
pub fn start(folder: &Path) -> Nginx {
    let server = format!(
        "location /to-the-end/ {{
           alias {}/www/; keepalive_timeout 0; chunked_transfer_encoding off;
         }}
         location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}",
        folder.display()
    );
    let site = Site {
        log_format: "log_format truth \
                     '$uri $status $bytes_sent $body_bytes_sent $remote_port';",
        http: "gzip on; gzip_min_length 1; gzip_types application/vnd.apple.mpegurl;",
        server: &server,
        ..Site::default()
    };
    Nginx::start(folder, site)
}

/// Stops nginx and reads its log, in the order in which the requests ended.
pub fn log(nginx: Nginx) -> Vec<Logged> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().unwrap().rsplit('/').next().unwrap().to_owned();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (status, bytes, body_bytes, port) = (number(), number(), number(), number());
        Logged {
            name,
            status: u16::try_from(status).unwrap(),
            head_bytes: bytes - body_bytes,
            body_bytes,
            port: u16::try_from(port).unwrap(),
        }
    };
    nginx.log().lines().map(line).collect()
}
