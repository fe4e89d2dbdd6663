//! WebVTT subtitles: each segment shows its number for its whole duration.

use super::publication::PublishedSegment;
use crate::encoder::argv::TIMELINE_START;
use crate::profile::Format;

/// Ticks of the MPEG-TS clock per second.
const TICKS: u64 = 90_000;
/// Delay that FFmpeg's MPEG-TS muxer adds: twice its `-muxdelay` of 0.7 s.
const TS_DELAY: u64 = TICKS * 14 / 10;

/// The WebVTT segment for `segment`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "times > 0"
)]
pub(crate) fn segment(segment: &PublishedSegment, format: Format) -> String {
    let delay = match format {
        Format::Ts => TS_DELAY,
        Format::Fmp4 => 0,
    };
    let begin = u64::from(TIMELINE_START) * TICKS + delay + (segment.start * TICKS as f64).round() as u64;
    let duration = segment.seconds.first().copied().unwrap_or_default();
    let (from, to) = (time(segment.start), time(segment.start + duration));
    // MPEG-TS timestamps have 33 bits, and so does X-TIMESTAMP-MAP.
    let begin = begin % (1 << 33);
    format!(
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:{from},MPEGTS:{begin}\n\n{from} --> {to}\nsegment {}\n",
        segment.number
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
    use crate::profile::stream::Stream;
    use crate::publisher::playlist::FinishedSegment;
    use crate::publisher::publication::{Position, Publication};

    #[test]
    fn a_segment_is_mapped_to_the_timestamps_of_the_video() {
        let stream = Stream::of_flags(&["--subtitles"]).unwrap();
        let mut publication = Publication::new(&stream, layout::renditions(&stream), Position::default());
        publication.begin_encoder();
        let all = (0..2000).map(|number| FinishedSegment { number, seconds: 2.0 }).collect();
        publication.publish(&[all]).unwrap();
        let published = publication.listed().nth(1850).unwrap();
        assert_eq!(
            segment(published, Format::Ts),
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:01:40.000,MPEGTS:334026000\n\n\
             01:01:40.000 --> 01:01:42.000\nsegment 1850\n"
        );
        assert!(segment(published, Format::Fmp4).contains("MPEGTS:333900000\n"));
    }
}
