//! Subtitles: each segment says its number for as long as it lasts.

use super::publication::Entry;
use crate::encoder::argv::TIMELINE_START;
use crate::profile::Format;

/// Ticks of MPEG-TS per second.
const TICKS: u64 = 90_000;
/// By how much FFmpeg's MPEG-TS muxer delays everything: twice its `-muxdelay` of 0.7 s.
const TS_DELAY: u64 = TICKS * 14 / 10;

/// The segment of WebVTT that belongs to `entry`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "times > 0"
)]
pub fn segment(entry: &Entry, format: Format) -> String {
    let delay = match format {
        Format::Ts => TS_DELAY,
        Format::Fmp4 => 0,
    };
    let begin = u64::from(TIMELINE_START) * TICKS + delay + (entry.start * TICKS as f64).round() as u64;
    let length = entry.seconds.first().copied().unwrap_or_default();
    let (from, to) = (time(entry.start), time(entry.start + length));
    // Time stamps of MPEG-TS have 33 bits, and so has the map.
    let begin = begin % (1 << 33);
    format!(
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:{from},MPEGTS:{begin}\n\n{from} --> {to}\nsegment {}\n",
        entry.number
    )
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since the start")]
fn time(seconds: f64) -> String {
    let milliseconds = (seconds * 1000.0).round() as u64;
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use crate::profile::plan::Plan;
    use crate::publisher::playlist::Finished;
    use crate::publisher::publication::{Position, Publication};

    #[test]
    fn a_segment_is_mapped_to_the_time_stamps_of_the_picture() {
        let stream = Plan::of_flags(&["--subtitles"]).unwrap().stream;
        let mut publication = Publication::new(&stream, layout::renditions(&stream), Position::default());
        publication.begin();
        let all = (0..2000).map(|number| Finished { number, seconds: 2.0 }).collect();
        publication.take(&[all]).unwrap();
        let entry = publication.listed().nth(1850).unwrap();
        assert_eq!(
            segment(entry, Format::Ts),
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:01:40.000,MPEGTS:334026000\n\n\
             01:01:40.000 --> 01:01:42.000\nsegment 1850\n"
        );
        assert!(segment(entry, Format::Fmp4).contains("MPEGTS:333900000\n"));
    }
}
