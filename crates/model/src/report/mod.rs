//! A finished run, with everything that its reports contain.

mod bounded;
pub mod merge;
pub mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use hls_swarm_base::error::Failure;

use super::exchange::Source;
use super::run::Run;
use super::snapshot::{PlaybackSource, Snapshot, Timing};
use super::stats::distribution::Distribution;
use super::timeline::Timeline;
use super::verdict::Verdict;
use super::verdict::threshold::{Statistic, Timings};

/// Version of the JSON schema; it is incremented when a field changes its meaning or is removed.
pub const SCHEMA: u64 = 1;

/// Data that is only known at the end of a run, or too large to publish every second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The run over time.
    #[serde(default)]
    pub timeline: Timeline,
    /// Whole distributions by name (`segment.ttfb`). Empty ones are absent.
    pub histograms: BTreeMap<String, Distribution>,
}

impl Timings for Recording {
    fn statistic(&self, timing: Timing, statistic: Statistic) -> Option<f64> {
        self.histograms.get(&timing.name())?.statistic(statistic)
    }
}

/// A finished run. As JSON it is one object, see `docs/report.md`; [`Report::to_json`] writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The reason why it ended.
    pub end_reason: String,
    /// Its name.
    #[serde(flatten)]
    pub run: Run,
    /// Its figures.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// The run over time, and distributions.
    #[serde(flatten)]
    pub recording: Recording,
}

impl Report {
    /// The report as pretty JSON with a final newline.
    ///
    /// # Errors
    /// A figure cannot be written as JSON, which does not occur.
    pub fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            schema: u64,
            #[serde(flatten)]
            report: &'a Report,
        }
        let document = Document { schema: SCHEMA, report: self };
        let inferred = self.snapshot.sources.bytes == Source::Log;
        if self.snapshot.has_playback() && !inferred {
            return Ok(serde_json::to_string_pretty(&document)? + "\n");
        }
        let mut document = serde_json::to_value(document)?;
        if !self.snapshot.has_playback() {
            leave_out_stalls(&mut document);
            if self.snapshot.sources.playback == PlaybackSource::Downloads {
                of_viewers(&mut document).for_each(|row| remove(row, &PLAYED));
            }
        }
        if inferred {
            leave_out_socket_bytes(&mut document);
        }
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}

/// Figures of viewers that play what they download.
const PLAYED: [&str; 3] = ["media_seconds", "startup_seconds", "missing_seconds"];

/// Removes figures that were not measured, because they need viewers with the buffer of a player.
fn leave_out_stalls(document: &mut Value) {
    remove(document, &["playback", "playback_time"]);
    if let Some(viewers) = document.get_mut("viewers") {
        remove(viewers, &["stalled", "stalled_viewers"]);
    }
    let figures = ["stalled", "stalls", "stalled_seconds", "longest_stall_seconds", "viewed_seconds"];
    for list in ["/stages", "/timeline/windows"] {
        rows(document, list).for_each(|row| remove(row, &figures));
    }
    of_viewers(document).for_each(|row| remove(row, &figures));
    rows(document, "/timeline/windows")
        .filter_map(|window| window.get_mut("viewers"))
        .for_each(|viewers| remove(viewers, &["stalled"]));
}

/// Removes figures that were not measured, because only the socket probe provides them.
fn leave_out_socket_bytes(document: &mut Value) {
    remove(document, &["head_bytes"]);
    of_viewers(document).for_each(|row| remove(row, &["head_bytes", "received"]));
}

/// The rows of viewers, and the sum of those without one.
fn of_viewers(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let object = document.as_object_mut().into_iter().flatten();
    object.flat_map(|(key, value)| match (key.as_str(), value) {
        ("per_viewer", Value::Array(rows)) => rows.iter_mut().collect(),
        ("other_viewers", others) => vec![others],
        _ => Vec::new(),
    })
}

fn rows<'a>(document: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    document.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

fn remove(of: &mut Value, keys: &[&str]) {
    if let Some(object) = of.as_object_mut() {
        keys.iter().for_each(|key| drop(object.remove(*key)));
    }
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Everything, for programs, `report show`, `report compare` and `report merge`.
    Json,
    /// One page with plots.
    Html,
    /// JUnit XML, for CI systems.
    Xml,
    /// A comment in a review.
    Markdown,
    /// The run over time.
    Csv,
}

impl Format {
    /// Each path with its format.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_all(paths: &[PathBuf]) -> Result<Vec<(Self, PathBuf)>, Failure> {
        paths.iter().map(|path| Ok((Self::of(path)?, path.clone()))).collect()
    }

    /// File extensions and their formats.
    pub const ENDINGS: [(&str, Self); 5] = [
        ("json", Self::Json),
        ("html", Self::Html),
        ("xml", Self::Xml),
        ("md", Self::Markdown),
        ("csv", Self::Csv),
    ];

    /// The format of the extension of `path`.
    ///
    /// # Errors
    /// A usage failure that lists the extensions.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        Self::ENDINGS.iter().find(|(known, _)| ending == *known).map(|(_, format)| *format).ok_or_else(|| {
            Failure::usage(format!("--report {}: unknown file extension", path.display()))
                .help("use one of the extensions .json, .html, .xml (JUnit), .md or .csv (the run over time)")
        })
    }
}

#[cfg(test)]
mod format_tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        assert_eq!(Format::of(Path::new("a/b.HTML")).unwrap(), Format::Html);
        for wrong in ["run", "run.pdf", ".json", "run.json.gz"] {
            let failure = Format::of(Path::new(wrong)).unwrap_err();
            assert!(failure.to_string().contains(wrong), "{failure}");
            for (ending, _) in Format::ENDINGS {
                assert!(failure.help_text().unwrap().contains(&format!(".{ending}")));
            }
        }
    }
}
