//! A server configured as badly as the audited one of the field: folder, configuration, kernel. It judges
//! nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hls_swarm_host::audit::facts::Facts;
use hls_swarm_host::audit::gather::{folder, nginx};
use hls_swarm_host::audit::nginx_conf::assemble;
use hls_swarm_host::tuning::comparison::{Disk, KeyState};
use hls_swarm_host::tuning::profile::DiskKind;

/// Segments that stopped streams left behind.
pub(crate) const STALE: usize = 764;
const LISTED: usize = 5;

/// Writes `folder/nginx.conf`, what it includes, and `folder/www/live`.
pub(crate) fn write(folder: &Path, listen: u16, upstream: u16) {
    let live = folder.join("www/live");
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(folder.join("sites-enabled")).unwrap();
    let mut playlist =
        String::from("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:900\n");
    for number in 0..LISTED {
        playlist += &format!("#EXTINF:4.000000,\nseg_{}.ts\n", 900 + number);
        fs::write(live.join(format!("seg_{}.ts", 900 + number)), vec![0x47; 2000]).unwrap();
    }
    let hours_ago = SystemTime::now() - Duration::from_secs(3 * 3600);
    for number in 0..STALE {
        let path = live.join(format!("old_{number}.ts"));
        fs::write(&path, vec![0x47; 1000]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(hours_ago).unwrap();
    }
    fs::write(live.join("stream.m3u8"), playlist).unwrap();
    let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let at = folder.display();
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "{user}worker_processes 2;
pid {at}/nginx.pid;
error_log {at}/error.log;
daemon off;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    client_body_temp_path {at}/tmp; proxy_temp_path {at}/tmp; fastcgi_temp_path {at}/tmp;
    uwsgi_temp_path {at}/tmp; scgi_temp_path {at}/tmp;
    include sites-enabled/*;
}}
"
        ),
    )
    .unwrap();
    fs::write(
        folder.join("sites-enabled/default"),
        format!(
            "upstream tokens {{
    server 127.0.0.1:{upstream};
}}
server {{
    listen 127.0.0.1:{listen};
    root {at}/www;
    location / {{
        try_files $uri =404;
    }}
    location /token/ {{
        proxy_pass http://tokens;
    }}
}}
"
        ),
    )
    .unwrap();
}

/// The kernel's settings of a fresh server, by which the field's one ran.
pub(crate) fn kernel() -> BTreeMap<String, KeyState> {
    [
        ("net.ipv4.tcp_wmem", "4096\t16384\t4194304"),
        ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
        ("net.core.wmem_max", "212992"),
        ("net.core.rmem_max", "212992"),
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("net.ipv4.tcp_fin_timeout", "60"),
        ("net.ipv4.tcp_congestion_control", "reno"),
        ("vm.swappiness", "60"),
        ("vm.vfs_cache_pressure", "100"),
    ]
    .map(|(key, value)| (key.to_owned(), KeyState::Value(value.to_owned(), true)))
    .into()
}

/// The disk of the field's server.
pub(crate) fn disk() -> Disk {
    Disk {
        name: "sda".into(),
        kind: DiskKind::Rotating,
        schedulers: "[none] mq-deadline".into(),
        read_ahead_kb: Some(128),
    }
}

/// The facts that files alone tell.
pub(crate) fn facts(configuration: &Path, folder: &Path) -> Facts {
    let (main, files) = nginx::read(configuration).unwrap();
    Facts {
        subject: "a server".into(),
        configuration: assemble(&main, files).unwrap(),
        prefix: folder.display().to_string(),
        processors: 2,
        folders: folder::scan(folder).into_iter().collect(),
        ..Facts::default()
    }
}
