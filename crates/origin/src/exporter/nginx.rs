//! nginx's own counters (stub_status), under the names of nginx-prometheus-exporter.

use super::{Family, Type};

/// What stub_status tells. The question that asked for it is counted, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Open connections, idle ones included.
    pub active: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Of those, how many were handled: fewer when a limit was met.
    pub handled: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Connections whose request is being read.
    pub reading: u64,
    /// Connections that are being answered.
    pub writing: u64,
    /// Idle connections.
    pub waiting: u64,
}

impl Status {
    /// Reads stub_status' text; none if it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Active connections:")?;
        let numbers: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [active, accepted, handled, requests, reading, writing, waiting] = numbers.try_into().ok()?;
        Some(Self { active, accepted, handled, requests, reading, writing, waiting })
    }

    /// The same text as nginx writes it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { active, accepted, handled, requests, reading, writing, waiting } = self;
        format!(
            "Active connections: {active} \nserver accepts handled requests\n \
             {accepted} {handled} {requests} \nReading: {reading} Writing: {writing} Waiting: {waiting} \n"
        )
    }
}

/// The metrics; without a status only that there is none.
#[must_use]
pub fn families(status: Option<Status>) -> Vec<Family> {
    let up = f64::from(u8::from(status.is_some()));
    let mut families = vec![Family::one("nginx_up", Type::Gauge, "Status of the last metric scrape.", up)];
    let Some(status) = status else { return families };
    use Type::{Counter, Gauge};
    let table = [
        ("connections_accepted", Counter, "Accepted client connections.", status.accepted),
        ("connections_active", Gauge, "Open client connections, idle ones included.", status.active),
        ("connections_handled", Counter, "Handled client connections.", status.handled),
        ("connections_reading", Gauge, "Connections whose request is being read.", status.reading),
        ("connections_waiting", Gauge, "Idle client connections.", status.waiting),
        ("connections_writing", Gauge, "Connections that are being answered.", status.writing),
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
    fn stub_status_is_read_and_written_as_nginx_does() {
        let status = Status::read(TEXT).unwrap();
        assert_eq!((status.active, status.accepted, status.handled, status.requests), (3, 51, 50, 167));
        assert_eq!((status.reading, status.writing, status.waiting), (0, 1, 2));
        assert_eq!(status.text(), TEXT);
        assert_eq!(Status::read("<html>"), None);
        assert_eq!(Status::read("Active connections: 3 \n"), None);
    }

    #[test]
    fn names_and_types_are_those_of_the_real_exporter() {
        let real: Vec<&str> = include_str!("../../tests/corpus/exporters/nginx.txt").lines().collect();
        let ours: Vec<String> = families(Status::read(TEXT))
            .iter()
            .map(|family| format!("{} {:?}", family.name, family.kind).to_lowercase())
            .collect();
        assert_eq!(ours.iter().map(String::as_str).collect::<Vec<_>>(), real_sorted(&real, &ours));
    }

    /// The real list in our order: both must hold the same lines.
    fn real_sorted<'a>(real: &[&'a str], ours: &[String]) -> Vec<&'a str> {
        let mut real = real.to_vec();
        real.sort_by_key(|line| ours.iter().position(|one| one == line));
        real
    }

    #[test]
    fn a_silent_nginx_is_down_and_nothing_else_is_claimed() {
        let families = families(None);
        assert_eq!(families.len(), 1);
        assert_eq!((families[0].name.as_str(), families[0].samples[0].1), ("nginx_up", 0.0));
    }
}
