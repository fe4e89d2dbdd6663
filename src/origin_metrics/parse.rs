//! Parses what exporters publish into the few figures of the origin that a run shows.

use serde::Deserialize;

use hls_swarm_model::origin_sample::{NginxSample, NodeSample};

use super::exposition::samples;

/// Time in which a processor had nothing to run.
const IDLE: [&str; 2] = ["idle", "iowait"];
/// Time that other modes contain already (user and nice contain guest time).
const CONTAINED: [&str; 2] = ["guest", "guest_nice"];
/// Devices that carry the traffic of others a second time: containers, bridges, tunnels.
const VIRTUAL: [&str; 7] = ["veth", "docker", "br-", "virbr", "cni", "flannel", "cali"];

/// Parses the metrics of a node exporter. `loopback`: the origin is this machine, and traffic to it never leaves it,
/// so the device that counts is `lo`; elsewhere it is all others except virtual ones.
///
/// # Errors
/// The text has no processor time, so it is not a node exporter's.
pub fn node(text: &str, loopback: bool) -> Result<NodeSample, String> {
    let mut node = NodeSample::default();
    let (mut total, mut available) = (None, None);
    let add = |sum: &mut Option<f64>, value: f64| *sum = Some(sum.unwrap_or(0.0) + value);
    for sample in samples(text) {
        match sample.name {
            "node_cpu_seconds_total" => {
                let mode = sample.label("mode").unwrap_or_default();
                if !CONTAINED.contains(&mode.as_str()) {
                    node.all_seconds += sample.value;
                    node.busy_seconds += if IDLE.contains(&mode.as_str()) { 0.0 } else { sample.value };
                }
            }
            "node_memory_MemTotal_bytes" => total = Some(sample.value),
            "node_memory_MemAvailable_bytes" => available = Some(sample.value),
            "node_network_receive_bytes_total" if counts(&sample.label("device"), loopback) => {
                add(&mut node.received_bytes, sample.value);
            }
            "node_network_transmit_bytes_total" if counts(&sample.label("device"), loopback) => {
                add(&mut node.transmitted_bytes, sample.value);
            }
            _ => {}
        }
    }
    if node.all_seconds <= 0.0 {
        return Err("no node_cpu_seconds_total in its response; it is not a node exporter".into());
    }
    node.memory_used =
        total.zip(available).filter(|(total, _)| *total > 0.0).map(|(all, free)| 1.0 - free / all);
    Ok(node)
}

fn counts(device: &Option<String>, loopback: bool) -> bool {
    device.as_deref().is_some_and(|device| {
        if loopback {
            device == "lo"
        } else {
            device != "lo" && !VIRTUAL.iter().any(|v| device.starts_with(v))
        }
    })
}

/// Parses the metrics of an nginx exporter.
///
/// # Errors
/// A figure is missing, or the exporter could not reach nginx.
pub fn nginx(text: &str) -> Result<NginxSample, String> {
    let value = |name: &str| samples(text).find(|sample| sample.name == name).map(|sample| sample.value);
    if value("nginx_up") == Some(0.0) {
        return Err("the exporter cannot reach nginx (nginx_up 0)".into());
    }
    let needed = |name: &str| {
        value(name).ok_or_else(|| format!("no {name} in its response; it is not an nginx exporter"))
    };
    Ok(NginxSample {
        active: needed("nginx_connections_active")?,
        accepted: needed("nginx_connections_accepted")?,
        handled: needed("nginx_connections_handled")?,
        requests: needed("nginx_http_requests_total")?,
    })
}

#[derive(Deserialize)]
struct Entry {
    name: Box<str>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
}

/// File endings of media; playlists change their size while they are read.
const MEDIA: [&str; 7] = [".ts", ".m4s", ".mp4", ".m4a", ".m4v", ".aac", ".vtt"];

/// Parses a list of files (nginx's `autoindex_format json`) into the names and sizes of media files, bytes.
///
/// # Errors
/// The text is not such a list.
pub fn sizes(text: &str) -> Result<Vec<(Box<str>, u64)>, String> {
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| format!("it is not a list of files: {error}"))?;
    let file = |entry: &Entry| entry.kind.as_deref().is_none_or(|kind| kind == "file");
    let media = |entry: &Entry| MEDIA.iter().any(|ending| entry.name.ends_with(ending));
    let known = entries.into_iter().filter(|entry| file(entry) && media(entry));
    Ok(known.filter_map(|entry| Some((entry.name, entry.size?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 90
node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 5
node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 4
node_cpu_seconds_total{cpu=\"1\",mode=\"system\"} 1
node_cpu_guest_seconds_total{cpu=\"0\",mode=\"user\"} 3
node_memory_MemTotal_bytes 8e+09
node_memory_MemAvailable_bytes 6e+09
node_network_receive_bytes_total{device=\"lo\"} 1000
node_network_transmit_bytes_total{device=\"lo\"} 1000
node_network_receive_bytes_total{device=\"eth0\"} 10
node_network_transmit_bytes_total{device=\"eth0\"} 200
node_network_transmit_bytes_total{device=\"eth1\"} 300
node_network_transmit_bytes_total{device=\"veth12\"} 4000
";

    #[test]
    fn the_figures_of_a_node_are_parsed() {
        let away = node(TEXT, false).unwrap();
        assert_eq!((away.busy_seconds, away.all_seconds, away.memory_used), (5.0, 100.0, Some(0.25)));
        assert_eq!((away.received_bytes, away.transmitted_bytes), (Some(10.0), Some(500.0)));
        let here = node(TEXT, true).unwrap();
        assert_eq!((here.received_bytes, here.transmitted_bytes), (Some(1000.0), Some(1000.0)));
    }

    #[test]
    fn what_is_missing_is_absent_and_what_is_no_node_exporter_is_said() {
        let bare = node("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\n", false).unwrap();
        assert_eq!((bare.memory_used, bare.transmitted_bytes), (None, None));
        assert!(node("<html>", false).unwrap_err().contains("node_cpu_seconds_total"));
    }

    #[test]
    fn the_figures_of_nginx_are_parsed() {
        let text = "nginx_connections_accepted 12\nnginx_connections_active 3\nnginx_connections_handled 11\n\
                    nginx_http_requests_total 450\nnginx_up 1\n";
        let expected = NginxSample { active: 3.0, accepted: 12.0, handled: 11.0, requests: 450.0 };
        assert_eq!(nginx(text).unwrap(), expected);
        assert!(nginx("nginx_up 0\n").unwrap_err().contains("cannot reach"));
        assert!(nginx("nginx_connections_active 3\n").unwrap_err().contains("nginx_connections_accepted"));
    }

    #[test]
    fn media_files_with_a_size_are_kept() {
        let text = r#"[
            { "name":"old", "type":"directory", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT" },
            { "name":"seg00001.ts", "type":"file", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT", "size":1281032 },
            { "name":"stream.m3u8", "type":"file", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT", "size":412 },
            { "name":"seg1.m4s", "size":7 }
        ]"#;
        let read = sizes(text).unwrap();
        assert_eq!(read, [("seg00001.ts".into(), 1_281_032), ("seg1.m4s".into(), 7)]);
        assert!(sizes("<html>").unwrap_err().contains("not a list of files"));
    }
}
