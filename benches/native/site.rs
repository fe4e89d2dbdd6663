//! What nginx serves: a file to download again and again, and the folder of a live stream.

use std::fs;
use std::path::Path;
use std::process::Command;

use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::publisher::packets;

/// The size of the file, bytes.
pub(crate) const FILE_BYTES: usize = 560_000 / 188 * 188;

pub(crate) fn serve(folder: &Path) -> Nginx {
    fs::create_dir(folder.join("www")).unwrap();
    fs::write(folder.join("www/file.ts"), packets(FILE_BYTES)).unwrap();
    let server = "sendfile on; keepalive_requests 1000000;";
    Nginx::start(folder, Site { server, http2: true, http3: speaks_http3(), ..Site::default() })
}

/// Whether the nginx in PATH speaks HTTP/3.
pub(crate) fn speaks_http3() -> bool {
    let output = Command::new("nginx").arg("-V").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("--with-http_v3_module"))
}
