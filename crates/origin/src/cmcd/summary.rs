//! The sums of what players reported, by object type and by session.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{self, Data};
use crate::access_log::LogEntry;

/// Reasons why data cannot be read that are kept.
const EXAMPLES: usize = 5;

/// What players reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Requests in the log.
    pub(crate) requests: u64,
    /// Requests with data that can be read.
    pub(crate) described: u64,
    /// Requests with data that cannot be read, and why.
    pub(crate) unreadable: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreadable_because: Vec<String>,
    /// Described requests by version.
    pub(crate) versions: BTreeMap<u32, u64>,
    /// Described requests by content (`cid`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contents: BTreeMap<String, u64>,
    /// Requests that report that the buffer ran empty (`bs`).
    pub(crate) buffer_starvations: u64,
    /// Requests for what was needed at once (`su`).
    pub(crate) startup_requests: u64,
    /// By object type (`ot`).
    pub(crate) object_types: BTreeMap<String, OfType>,
    /// By session (`sid`).
    pub(crate) sessions: BTreeMap<String, Session>,
}

/// What was reported with requests for objects of one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct OfType {
    /// Requests.
    pub(crate) requests: u64,
    /// Those that were answered with an error (4xx, 5xx).
    pub(crate) errors: u64,
    /// Bytes of the bodies that were sent.
    pub(crate) bytes: u64,
    /// Duration of the media that was requested (`d`), seconds.
    pub(crate) media_seconds: f64,
    /// Average length of the buffer (`bl`), milliseconds.
    pub(crate) buffer_ms: Mean,
    /// Average bitrate (`br`), kb/s.
    pub(crate) bitrate_kbps: Mean,
    /// Average measured throughput (`mtp`), kb/s.
    pub(crate) throughput_kbps: Mean,
}

/// What one session reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Session {
    /// Requests.
    pub(crate) requests: u64,
    /// Requests that report that the buffer ran empty.
    pub(crate) buffer_starvations: u64,
    /// The greatest number of times that the buffer ran empty, as version 2 counts it (`bsa`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) starvations_counted: Option<u64>,
    /// How long the buffer was empty each time (`bsd`), milliseconds; version 2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) starved_ms: Vec<f64>,
    /// The time until the first frame (`msd`), milliseconds; version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_delay_ms: Option<f64>,
    /// Reports whose sequence numbers are missing (`sn`); version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reports_missing: Option<u64>,
    #[serde(skip)]
    last_sequence: u64,
}

/// An average. Without a value it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    pub(crate) fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Serialize for Mean {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = self.value().map(|value| (value * 10.0).round() / 10.0);
        rounded.serialize(serializer)
    }
}

impl Summary {
    /// Adds a request.
    pub(crate) fn add(&mut self, entry: &LogEntry) {
        self.requests += 1;
        match data::of(entry) {
            None => {}
            Some(Err(why)) => {
                self.unreadable += 1;
                if self.unreadable_because.len() < EXAMPLES {
                    self.unreadable_because.push(why);
                }
            }
            Some(Ok(data)) => self.add_described(entry, &data),
        }
    }

    fn add_described(&mut self, entry: &LogEntry, data: &Data) {
        self.described += 1;
        let version = data.number("v").map_or(1, |version| version as u32);
        *self.versions.entry(version).or_default() += 1;
        if let Some(content) = data.text("cid") {
            *self.contents.entry(content.to_owned()).or_default() += 1;
        }
        let starved = u64::from(data.flag("bs"));
        self.buffer_starvations += starved;
        self.startup_requests += u64::from(data.flag("su"));
        let of_type = self.object_types.entry(data.text("ot").unwrap_or("unknown").to_owned()).or_default();
        of_type.requests += 1;
        of_type.errors += u64::from(entry.status >= 400);
        of_type.bytes += entry.body_bytes_sent;
        of_type.media_seconds += data.number("d").unwrap_or(0.0) / 1000.0;
        of_type.buffer_ms.add(data.number("bl"));
        of_type.bitrate_kbps.add(data.number("br"));
        of_type.throughput_kbps.add(data.number("mtp"));
        let Some(id) = data.text("sid") else { return };
        let session = self.sessions.entry(id.to_owned()).or_default();
        session.requests += 1;
        session.buffer_starvations += starved;
        let counted = data.number("bsa").map(|times| times as u64);
        session.starvations_counted = session.starvations_counted.max(counted);
        session.starved_ms.extend(data.numbers("bsd"));
        session.start_delay_ms = session.start_delay_ms.or(data.number("msd"));
        if let Some(sequence) = data.number("sn") {
            session.last_sequence = session.last_sequence.max(sequence as u64);
            // They count from 0, and come in any order.
            session.reports_missing = Some((session.last_sequence + 1).saturating_sub(session.requests));
        }
    }

    /// The summary as text.
    pub(crate) fn text(&self) -> String {
        let versions = self.versions.iter().map(|(version, count)| format!("{count} of version {version}"));
        let versions = versions.collect::<Vec<_>>().join(", ");
        let starved = self.sessions.values().filter(|session| session.buffer_starvations > 0).count();
        let mut text = format!(
            "requests            {}\n  described         {}{}\n  unreadable        {}\nsessions            {}\n\
             buffer starvations  {} in {starved} sessions\nneeded at once      {}\n",
            self.requests,
            self.described,
            if versions.is_empty() { String::new() } else { format!(" ({versions})") },
            self.unreadable,
            self.sessions.len(),
            self.buffer_starvations,
            self.startup_requests,
        );
        for why in &self.unreadable_because {
            text += &format!("unreadable: {why:?}\n");
        }
        if self.object_types.is_empty() {
            return text;
        }
        let columns = ["ot", "requests", "errors", "bytes", "media s", "bl ms", "br kb/s", "mtp kb/s"];
        let row = |cells: [String; 8]| {
            let [first, rest @ ..] = cells;
            let rest = rest.map(|cell| format!("{cell:>10}")).concat();
            format!("{first:<8}{rest}\n")
        };
        text += &format!("\n{}", row(columns.map(str::to_owned)));
        for (name, of_type) in &self.object_types {
            let mean =
                |mean: Mean| mean.value().map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
            text += &row([
                name.clone(),
                of_type.requests.to_string(),
                of_type.errors.to_string(),
                of_type.bytes.to_string(),
                format!("{:.1}", of_type.media_seconds),
                mean(of_type.buffer_ms),
                mean(of_type.bitrate_kbps),
                mean(of_type.throughput_kbps),
            ]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: u16, bytes: u64, data: &str) -> LogEntry {
        let line = serde_json::json!({
            "msec": 1.0, "remote_addr": "", "remote_port": 1, "connection": 1, "connection_requests": 1,
            "request_method": "GET", "uri": "/a", "args": "", "status": status, "body_bytes_sent": bytes,
            "bytes_sent": bytes, "request_time": 0.0, "http_user_agent": "", "request_completion": "OK",
            "http_range": "", "cmcd_object": data,
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn requests_are_summed_up_by_type_and_by_session() {
        let mut summary = Summary::default();
        for (status, bytes, data) in [
            (200, 100, "bl=2000,br=800,bs,d=2000,ot=av,sid=\"one\",su"),
            (404, 10, "bl=1000,br=1600,d=2000,ot=av,sid=\"one\""),
            (200, 7, "mtp=(5000),ot=m,sid=\"two\",sn=0,v=2"),
            (200, 7, "bsa=(2),bsd=(300 50),msd=120,mtp=(7000),ot=m,sid=\"two\",sn=3,v=2"),
            (200, 1, ""),
            (200, 1, "bl="),
        ] {
            summary.add(&entry(status, bytes, data));
        }
        assert_eq!((summary.requests, summary.described, summary.unreadable), (6, 4, 1));
        assert_eq!(summary.versions, BTreeMap::from([(1, 2), (2, 2)]));
        let media = &summary.object_types["av"];
        assert_eq!((media.requests, media.errors, media.bytes, media.media_seconds), (2, 1, 110, 4.0));
        assert_eq!((media.buffer_ms.value(), media.bitrate_kbps.value()), (Some(1500.0), Some(1200.0)));
        assert_eq!(media.throughput_kbps.value(), None, "it was not reported");
        assert_eq!(summary.object_types["m"].throughput_kbps.value(), Some(6000.0));
        let (one, two) = (&summary.sessions["one"], &summary.sessions["two"]);
        assert_eq!((one.buffer_starvations, one.starvations_counted, one.reports_missing), (1, None, None));
        assert_eq!(
            (two.starvations_counted, two.start_delay_ms, two.reports_missing),
            (Some(2), Some(120.0), Some(2))
        );
        assert_eq!(two.starved_ms, [300.0, 50.0]);
        let text = summary.text();
        assert!(text.contains("described         4 (2 of version 1, 2 of version 2)"), "{text}");
        assert!(
            text.contains("buffer starvations  1 in 1 sessions") && text.contains("unreadable: "),
            "{text}"
        );
        let row = text.lines().find(|line| line.starts_with("av")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["av", "2", "1", "110", "4.0", "1500", "1200", "–"]);
    }
}
