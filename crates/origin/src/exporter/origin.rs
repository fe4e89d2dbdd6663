//! What the origin tells of itself, prefix `hls_origin_`: its processes, what lies on disk, how each
//! playlist stands, and which faults are on.

use super::Type::{Counter, Gauge};
use super::{Family, Sample};

/// The origin as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// `nginx` or `embedded`: who serves.
    pub server: &'static str,
    /// When it started, in seconds since the epoch.
    pub started: f64,
    /// Seconds since the epoch.
    pub now: f64,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Files that can be served as segments.
    pub segment_files: u64,
    /// Bytes of those files.
    pub segment_bytes: u64,
    /// Media playlists.
    pub playlists: Vec<Playlist>,
    /// Faults that are on; none where the origin cannot make any.
    pub faults: Option<Vec<Fault>>,
}

/// A process that the origin keeps alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// It runs.
    pub up: bool,
    /// How often it was started again.
    pub restarts: u64,
}

/// A media playlist on disk or in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Playlist {
    /// Its path as served, without the first slash.
    pub name: String,
    /// When it was written, in seconds since the epoch.
    pub written: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// Each listed segment: its duration in seconds, and when it was written where it is still there.
    pub segments: Vec<(f64, Option<f64>)>,
}

/// A fault that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub id: u64,
    /// As it was asked for.
    pub spec: String,
    /// How often it struck.
    pub strikes: u64,
}

impl Playlist {
    /// Seconds of media per second of the clock, over the listed segments; 1 is real time. None
    /// while fewer than three are there to measure between.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        let written: Vec<(f64, f64)> =
            self.segments.iter().filter_map(|(seconds, written)| Some((*seconds, (*written)?))).collect();
        let ((_, first), (_, last)) = (written.first()?, written.last()?);
        // Between the first one's end and the last one's end lie all but the first.
        let media: f64 = written.iter().skip(1).map(|(seconds, _)| seconds).sum();
        (written.len() >= 3 && last > first).then(|| media / (last - first))
    }
}

/// All families.
#[must_use]
pub fn families(origin: &Origin) -> Vec<Family> {
    let gauge = |name: &str, help: &str, value: f64| {
        Family::one(format!("hls_origin_{name}"), Gauge, help.to_owned(), value)
    };
    let version =
        vec![("server", origin.server.to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
    let info = "Who serves, and the version of hls-origin.";
    let mut families = vec![
        Family::many("hls_origin_info", Gauge, info, vec![(version, 1.0)]),
        gauge("start_time_seconds", "When the origin started, seconds since the epoch.", origin.started),
        gauge("segment_files", "Segments that can be fetched.", origin.segment_files as f64),
        gauge("segment_bytes", "Bytes of those segments.", origin.segment_bytes as f64),
    ];
    families.extend(processes(&origin.processes));
    families.extend(playlists(origin));
    families.extend(origin.faults.as_deref().map(faults).unwrap_or_default());
    families
}

fn processes(all: &[Process]) -> [Family; 2] {
    let rows = |read: fn(&Process) -> f64| {
        let row = |one: &Process| (vec![("process", one.name.clone())], read(one));
        all.iter().map(row).collect()
    };
    [
        Family::many(
            "hls_origin_process_up",
            Gauge,
            "1 while the process runs.",
            rows(|one| f64::from(u8::from(one.up))),
        ),
        Family::many(
            "hls_origin_process_restarts_total",
            Counter,
            "How often the process was started again.",
            rows(|one| one.restarts as f64),
        ),
    ]
}

fn playlists(origin: &Origin) -> [Family; 4] {
    let rows = |read: &dyn Fn(&Playlist) -> Option<f64>| -> Vec<Sample> {
        let row = |one: &Playlist| Some((vec![("playlist", one.name.clone())], read(one)?));
        origin.playlists.iter().filter_map(row).collect()
    };
    let family = |name: &str, help: &str, samples| {
        Family::many(format!("hls_origin_{name}"), Gauge, help.to_owned(), samples)
    };
    [
        family(
            "playlist_age_seconds",
            "Seconds since the playlist was written.",
            rows(&|one| Some((origin.now - one.written).max(0.0))),
        ),
        family(
            "playlist_media_sequence",
            "EXT-X-MEDIA-SEQUENCE of the playlist.",
            rows(&|one| Some(one.media_sequence as f64)),
        ),
        family(
            "playlist_segments",
            "Segments that the playlist lists.",
            rows(&|one| Some(one.segments.len() as f64)),
        ),
        family(
            "encoder_speed_ratio",
            "Seconds of media per second, over the listed segments; 1 is real time.",
            rows(&Playlist::speed),
        ),
    ]
}

fn faults(all: &[Fault]) -> Vec<Family> {
    let row =
        |one: &Fault| (vec![("id", one.id.to_string()), ("fault", one.spec.clone())], one.strikes as f64);
    vec![
        Family::one("hls_origin_faults_on", Gauge, "Faults that are on.", all.len() as f64),
        Family::many(
            "hls_origin_fault_strikes_total",
            Counter,
            "How often a fault that is on has struck.",
            all.iter().map(row).collect(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playlist(segments: &[(f64, Option<f64>)]) -> Playlist {
        let name = "stream.m3u8".to_owned();
        Playlist { name, written: 108.0, media_sequence: 7, segments: segments.to_vec() }
    }

    #[test]
    fn speed_is_media_over_the_time_it_took() {
        let written = [100.0, 102.0, 104.0, 108.0].map(|at| (2.0, Some(at)));
        assert_eq!(playlist(&written).speed(), Some(6.0 / 8.0));
        assert_eq!(playlist(&written[..2]).speed(), None, "two are too few");
        let mut gone = written;
        gone[0].1 = None;
        assert_eq!(playlist(&gone).speed(), Some(4.0 / 6.0), "a deleted one tells nothing");
        assert_eq!(playlist(&[(2.0, Some(1.0)); 3]).speed(), None, "all at once tells nothing");
    }

    #[test]
    fn the_exposition() {
        let origin = Origin {
            server: "nginx",
            started: 50.0,
            now: 109.5,
            processes: vec![Process { name: "ffmpeg".into(), up: true, restarts: 2 }],
            segment_files: 12,
            segment_bytes: 3400,
            playlists: vec![playlist(&[(2.0, None)])],
            faults: Some(vec![Fault { id: 1, spec: "status=503".into(), strikes: 4 }]),
        };
        insta::assert_snapshot!("origin", super::super::exposition(&families(&origin)));
    }

    #[test]
    fn without_a_fault_layer_nothing_is_said_of_faults() {
        let text = super::super::exposition(&families(&Origin::default()));
        assert!(!text.contains("fault") && !text.contains("process"), "{text}");
    }
}
