//! The origin's nginx, from what an nginx exporter publishes.

use hls_swarm_model::origin_sample::NginxSample;

use super::exposition::samples;

/// Reads what an nginx exporter answered.
///
/// # Errors
/// A figure is missing, or the exporter could not reach nginx.
pub fn read(text: &str) -> Result<NginxSample, String> {
    let value = |name: &str| samples(text).find(|sample| sample.name == name).map(|sample| sample.value);
    if value("nginx_up") == Some(0.0) {
        return Err("the exporter cannot reach nginx (nginx_up 0)".into());
    }
    let needed = |name: &str| {
        value(name).ok_or_else(|| format!("no {name} in what it answered; it is no nginx exporter"))
    };
    Ok(NginxSample {
        active: needed("nginx_connections_active")?,
        accepted: needed("nginx_connections_accepted")?,
        handled: needed("nginx_connections_handled")?,
        requests: needed("nginx_http_requests_total")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_that_are_shown() {
        let text = "nginx_connections_accepted 12\nnginx_connections_active 3\nnginx_connections_handled 11\n\
                    nginx_http_requests_total 450\nnginx_up 1\n";
        let expected = NginxSample { active: 3.0, accepted: 12.0, handled: 11.0, requests: 450.0 };
        assert_eq!(read(text).unwrap(), expected);
        assert!(read("nginx_up 0\n").unwrap_err().contains("cannot reach"));
        assert!(read("nginx_connections_active 3\n").unwrap_err().contains("nginx_connections_accepted"));
    }
}
