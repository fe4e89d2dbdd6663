//! The origin's own metrics, prefix `hls_origin_`: its processes, segments, playlists and active faults.

use super::Type::{Counter, Gauge};
use super::{Family, Sample};

/// The state of the origin at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OriginSnapshot {
    /// `nginx` or `embedded`: the server of the segments.
    pub(crate) server: &'static str,
    /// Start time, in seconds since the epoch.
    pub(crate) started: f64,
    /// Time of the snapshot, in seconds since the epoch.
    pub(crate) now: f64,
    /// Its child processes.
    pub(crate) processes: Vec<ProcessSnapshot>,
    /// Number of segment files.
    pub(crate) segment_files: u64,
    /// Total size of the segment files, in bytes.
    pub(crate) segment_bytes: u64,
    /// Media playlists.
    pub(crate) playlists: Vec<PlaylistSnapshot>,
    /// Active faults; `None` if faults are not enabled.
    pub(crate) faults: Option<Vec<FaultSnapshot>>,
}

/// A process that the origin supervises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessSnapshot {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is running.
    pub(crate) up: bool,
    /// Number of restarts.
    pub(crate) restarts: u64,
}

/// A media playlist on disk or in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlaylistSnapshot {
    /// Its path on the server, without the leading slash.
    pub(crate) name: String,
    /// Time of the last change, in seconds since the epoch.
    pub(crate) written: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub(crate) media_sequence: u64,
    /// The listed segments: duration in seconds, and time of creation if the file still exists.
    pub(crate) segments: Vec<(f64, Option<f64>)>,
}

/// An active fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultSnapshot {
    /// Its number.
    pub(crate) id: u64,
    /// Its specification.
    pub(crate) spec: String,
    /// Number of injections.
    pub(crate) injected: u64,
}

impl PlaylistSnapshot {
    /// Seconds of media produced per second, over the listed segments; 1 is real time. `None` with fewer than
    /// three segments.
    #[must_use]
    pub(crate) fn speed(&self) -> Option<f64> {
        let written: Vec<(f64, f64)> =
            self.segments.iter().filter_map(|(seconds, written)| Some((*seconds, (*written)?))).collect();
        let ((_, first), (_, last)) = (written.first()?, written.last()?);
        // The time between the creation of the first and the last one covers all segments but the first.
        let media: f64 = written.iter().skip(1).map(|(seconds, _)| seconds).sum();
        (written.len() >= 3 && last > first).then(|| media / (last - first))
    }
}

/// All metric families.
#[must_use]
pub(crate) fn families(origin: &OriginSnapshot) -> Vec<Family> {
    let gauge = |name: &str, help: &str, value: f64| {
        Family::one(format!("hls_origin_{name}"), Gauge, help.to_owned(), value)
    };
    let version =
        vec![("server", origin.server.to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
    let info = "The server of the segments, and the version of hls-origin.";
    let mut families = vec![
        Family::many("hls_origin_info", Gauge, info, vec![(version, 1.0)]),
        gauge("start_time_seconds", "Start time of the origin, in seconds since the epoch.", origin.started),
        gauge("segment_files", "Segments that can be downloaded.", origin.segment_files as f64),
        gauge("segment_bytes", "Total size of these segments, in bytes.", origin.segment_bytes as f64),
    ];
    families.extend(processes(&origin.processes));
    families.extend(playlists(origin));
    families.extend(origin.faults.as_deref().map(faults).unwrap_or_default());
    families
}

fn processes(all: &[ProcessSnapshot]) -> [Family; 2] {
    let rows = |read: fn(&ProcessSnapshot) -> f64| {
        let row = |one: &ProcessSnapshot| (vec![("process", one.name.clone())], read(one));
        all.iter().map(row).collect()
    };
    [
        Family::many(
            "hls_origin_process_up",
            Gauge,
            "1 if the process is running, otherwise 0.",
            rows(|one| f64::from(u8::from(one.up))),
        ),
        Family::many(
            "hls_origin_process_restarts_total",
            Counter,
            "Restarts of the process.",
            rows(|one| one.restarts as f64),
        ),
    ]
}

fn playlists(origin: &OriginSnapshot) -> [Family; 4] {
    let rows = |read: &dyn Fn(&PlaylistSnapshot) -> Option<f64>| -> Vec<Sample> {
        let row = |one: &PlaylistSnapshot| Some((vec![("playlist", one.name.clone())], read(one)?));
        origin.playlists.iter().filter_map(row).collect()
    };
    let family = |name: &str, help: &str, samples| {
        Family::many(format!("hls_origin_{name}"), Gauge, help.to_owned(), samples)
    };
    [
        family(
            "playlist_age_seconds",
            "Seconds since the playlist last changed.",
            rows(&|one| Some((origin.now - one.written).max(0.0))),
        ),
        family(
            "playlist_media_sequence",
            "EXT-X-MEDIA-SEQUENCE of the playlist.",
            rows(&|one| Some(one.media_sequence as f64)),
        ),
        family(
            "playlist_segments",
            "Segments listed in the playlist.",
            rows(&|one| Some(one.segments.len() as f64)),
        ),
        family(
            "encoder_speed_ratio",
            "Seconds of media produced per second, over the listed segments; 1 is real time.",
            rows(&PlaylistSnapshot::speed),
        ),
    ]
}

fn faults(all: &[FaultSnapshot]) -> Vec<Family> {
    let row = |one: &FaultSnapshot| {
        (vec![("id", one.id.to_string()), ("fault", one.spec.clone())], one.injected as f64)
    };
    vec![
        Family::one("hls_origin_faults_on", Gauge, "Active faults.", all.len() as f64),
        Family::many(
            "hls_origin_fault_strikes_total",
            Counter,
            "Injections of an active fault.",
            all.iter().map(row).collect(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playlist(segments: &[(f64, Option<f64>)]) -> PlaylistSnapshot {
        let name = "stream.m3u8".to_owned();
        PlaylistSnapshot { name, written: 108.0, media_sequence: 7, segments: segments.to_vec() }
    }

    #[test]
    fn speed_is_media_time_over_elapsed_time() {
        let written = [100.0, 102.0, 104.0, 108.0].map(|at| (2.0, Some(at)));
        assert_eq!(playlist(&written).speed(), Some(6.0 / 8.0));
        assert_eq!(playlist(&written[..2]).speed(), None, "two segments are too few");
        let mut gone = written;
        gone[0].1 = None;
        assert_eq!(playlist(&gone).speed(), Some(4.0 / 6.0), "a deleted segment is ignored");
        assert_eq!(playlist(&[(2.0, Some(1.0)); 3]).speed(), None, "segments of the same time have no speed");
    }

    #[test]
    fn the_metrics_of_an_origin() {
        let origin = OriginSnapshot {
            server: "nginx",
            started: 50.0,
            now: 109.5,
            processes: vec![ProcessSnapshot { name: "ffmpeg".into(), up: true, restarts: 2 }],
            segment_files: 12,
            segment_bytes: 3400,
            playlists: vec![playlist(&[(2.0, None)])],
            faults: Some(vec![FaultSnapshot { id: 1, spec: "status=503".into(), injected: 4 }]),
        };
        insta::assert_snapshot!("origin", super::super::exposition(&families(&origin)));
    }

    #[test]
    fn an_origin_without_faults_has_no_fault_metrics() {
        let text = super::super::exposition(&families(&OriginSnapshot::default()));
        assert!(!text.contains("fault") && !text.contains("process"), "{text}");
    }
}
