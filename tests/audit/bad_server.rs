//! A badly configured server, modeled on a real one that was audited: folder, configuration, kernel.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hls_swarm_host::audit::facts::Facts;
use hls_swarm_host::audit::gather::{nginx, scan_folder};
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
    // Workers run as another user.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let at = folder.display();
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "worker_processes 2;
pid {at}/nginx.pid;
error_log {at}/error.log;
daemon off;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
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
    listen 127.0.0.1:{listen} backlog=4096;
    root {at}/www;
    add_header Access-Control-Allow-Origin *;
    add_header Cache-Control \"public, max-age=2\";
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

/// Returns the kernel settings of a fresh server.
pub(crate) fn kernel() -> BTreeMap<String, KeyState> {
    [
        ("net.ipv4.tcp_wmem", "4096\t16384\t4194304"),
        ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
        ("net.core.wmem_max", "212992"),
        ("net.core.rmem_max", "212992"),
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("net.core.somaxconn", "65535"),
        ("net.ipv4.tcp_max_syn_backlog", "4096"),
        ("net.core.netdev_max_backlog", "1000"),
        ("net.ipv4.tcp_fin_timeout", "60"),
        ("net.ipv4.tcp_congestion_control", "reno"),
        ("vm.swappiness", "60"),
        ("vm.vfs_cache_pressure", "100"),
    ]
    .map(|(key, value)| (key.to_owned(), KeyState::Value(value.to_owned(), true)))
    .into()
}

/// Returns the disk of the server.
pub(crate) fn disk() -> Disk {
    Disk {
        name: "sda".into(),
        kind: DiskKind::Rotating,
        schedulers: "[none] mq-deadline".into(),
        read_ahead_kb: Some(128),
    }
}

/// Gathers the facts that files contain.
pub(crate) fn facts(configuration: &Path, folder: &Path) -> Facts {
    Facts {
        subject: "a server".into(),
        configuration: assemble(nginx::read_here(configuration).unwrap()).unwrap(),
        prefix: folder.display().to_string(),
        processors: Some(2),
        folders: scan_folder(folder).into_iter().collect(),
        ..Facts::default()
    }
}
