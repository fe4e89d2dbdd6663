//! What Prometheus and Grafana need to watch runs: scrape configuration, alert rules, dashboard.
//!
//! All of it is rendered from tables here, and every expression names metrics of the catalogue
//! ([`hls_swarm_model::metric`]) or of the origin. A test compares the files below `observability/` with the output.

/// Text as a quoted YAML scalar.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The names of metrics in an expression of PromQL that begin with `prefix`.
#[must_use]
pub fn names(expression: &str, prefix: &str) -> Vec<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    expression.split(word).filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}
