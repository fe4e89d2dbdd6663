//! nginx's counters (stub_status) under the names of nginx-prometheus-exporter.

use super::{Family, Type};

/// The counters of stub_status, which include the request for stub_status itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StubStatus {
    /// Open connections, including idle ones.
    pub(crate) active: u64,
    /// Accepted connections since the start.
    pub(crate) accepted: u64,
    /// Handled connections; fewer than accepted ones if a limit was reached.
    pub(crate) handled: u64,
    /// Requests since the start.
    pub(crate) requests: u64,
    /// Connections whose request is being read.
    pub(crate) reading: u64,
    /// Connections on which a response is being sent.
    pub(crate) writing: u64,
    /// Idle connections.
    pub(crate) waiting: u64,
}

impl StubStatus {
    /// Parses the text of stub_status; `None` if it is another text.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Active connections:")?;
        let numbers: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [active, accepted, handled, requests, reading, writing, waiting] = numbers.try_into().ok()?;
        Some(Self { active, accepted, handled, requests, reading, writing, waiting })
    }

    /// The text as nginx writes it.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let Self { active, accepted, handled, requests, reading, writing, waiting } = self;
        format!(
            "Active connections: {active} \nserver accepts handled requests\n \
             {accepted} {handled} {requests} \nReading: {reading} Writing: {writing} Waiting: {waiting} \n"
        )
    }
}

/// The metrics; only `nginx_up` 0 without a status.
#[must_use]
pub(crate) fn families(status: Option<StubStatus>) -> Vec<Family> {
    let up = f64::from(u8::from(status.is_some()));
    let mut families = vec![Family::one("nginx_up", Type::Gauge, "Status of the last metric scrape.", up)];
    let Some(status) = status else { return families };
    use Type::{Counter, Gauge};
    let table = [
        ("connections_accepted", Counter, "Accepted client connections.", status.accepted),
        ("connections_active", Gauge, "Open client connections, including idle ones.", status.active),
        ("connections_handled", Counter, "Handled client connections.", status.handled),
        ("connections_reading", Gauge, "Connections whose request is being read.", status.reading),
        ("connections_waiting", Gauge, "Idle client connections.", status.waiting),
        ("connections_writing", Gauge, "Connections on which a response is being sent.", status.writing),
        ("http_requests_total", Counter, "Requests.", status.requests),
    ];
    families.extend(
        table.map(|(name, kind, help, value)| Family::one(format!("nginx_{name}"), kind, help, value as f64)),
    );
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Active connections: 3 \nserver accepts handled requests\n 51 50 167 \n\
                        Reading: 0 Writing: 1 Waiting: 2 \n";

    #[test]
    fn stub_status_is_parsed_and_written_as_by_nginx() {
        let status = StubStatus::parse(TEXT).unwrap();
        assert_eq!((status.active, status.accepted, status.handled, status.requests), (3, 51, 50, 167));
        assert_eq!((status.reading, status.writing, status.waiting), (0, 1, 2));
        assert_eq!(status.text(), TEXT);
        assert_eq!(StubStatus::parse("<html>"), None);
        assert_eq!(StubStatus::parse("Active connections: 3 \n"), None);
    }

    #[test]
    fn names_and_types_equal_those_of_nginx_prometheus_exporter() {
        let real: Vec<&str> = include_str!("../../tests/corpus/exporters/nginx.txt").lines().collect();
        let ours: Vec<String> = families(StubStatus::parse(TEXT))
            .iter()
            .map(|family| format!("{} {:?}", family.name, family.kind).to_lowercase())
            .collect();
        assert_eq!(ours.iter().map(String::as_str).collect::<Vec<_>>(), real_sorted(&real, &ours));
    }

    /// The real list in our order, so that equal sets compare as equal.
    fn real_sorted<'a>(real: &[&'a str], ours: &[String]) -> Vec<&'a str> {
        let mut real = real.to_vec();
        real.sort_by_key(|line| ours.iter().position(|one| one == line));
        real
    }

    #[test]
    fn without_a_status_nginx_is_down_and_has_no_other_metrics() {
        let families = families(None);
        assert_eq!(families.len(), 1);
        assert_eq!((families[0].name.as_str(), families[0].samples[0].1), ("nginx_up", 0.0));
    }
}
