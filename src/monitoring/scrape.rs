//! Prometheus' configuration for a load generator and its origin.

use std::fmt::Write;

/// A job: its name, and `host:port` of each of its instances.
pub type Job<'a> = (&'a str, &'a [String]);

/// The configuration. `rules` is the path of the alert rules as Prometheus will see it.
#[must_use]
pub fn render(rules: &str, jobs: &[Job<'_>]) -> String {
    let mut text = String::from(
        "# Written by `hls-swarm monitoring scrape`.\n\
         global:\n  scrape_interval: 2s\n  evaluation_interval: 2s\n",
    );
    // Writing to a String cannot fail.
    let _ = writeln!(text, "rule_files:\n  - {}\nscrape_configs:", crate::monitoring::output::quoted(rules));
    for (name, targets) in jobs.iter().filter(|(_, targets)| !targets.is_empty()) {
        let _ = writeln!(
            text,
            "  - job_name: {}\n    static_configs:\n      - targets:",
            crate::monitoring::output::quoted(name)
        );
        for target in *targets {
            let _ = writeln!(text, "          - {}", crate::monitoring::output::quoted(target));
        }
    }
    text
}
