//! The origin's machine, from what a node exporter publishes.

use hls_swarm_model::origin_sample::NodeSample;

use super::exposition::samples;

/// Time in which a processor had nothing to run.
const IDLE: [&str; 2] = ["idle", "iowait"];
/// Time that other modes contain already (user and nice contain guest time).
const CONTAINED: [&str; 2] = ["guest", "guest_nice"];
/// Devices that carry the traffic of others a second time: containers, bridges, tunnels.
const VIRTUAL: [&str; 7] = ["veth", "docker", "br-", "virbr", "cni", "flannel", "cali"];

/// Reads what a node exporter answered. `loopback`: the origin is this machine and traffic to it never
/// leaves it, so that the device that counts is `lo`; elsewhere it is all others but virtual ones.
///
/// # Errors
/// The text has no processor time, so it is not a node exporter's.
pub fn read(text: &str, loopback: bool) -> Result<NodeSample, String> {
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
        return Err("no node_cpu_seconds_total in what it answered; it is no node exporter".into());
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
    fn the_facts_that_are_shown() {
        let away = read(TEXT, false).unwrap();
        assert_eq!((away.busy_seconds, away.all_seconds, away.memory_used), (5.0, 100.0, Some(0.25)));
        assert_eq!((away.received_bytes, away.transmitted_bytes), (Some(10.0), Some(500.0)));
        let here = read(TEXT, true).unwrap();
        assert_eq!((here.received_bytes, here.transmitted_bytes), (Some(1000.0), Some(1000.0)));
    }

    #[test]
    fn what_is_missing_is_absent_and_what_is_no_node_exporter_is_said() {
        let bare = read("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\n", false).unwrap();
        assert_eq!((bare.memory_used, bare.transmitted_bytes), (None, None));
        assert!(read("<html>", false).unwrap_err().contains("node_cpu_seconds_total"));
    }
}
