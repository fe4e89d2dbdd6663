//! The multivariant playlist, with bitrates that were measured on the stream itself.

use crate::layout::{Media, Rendition};
use crate::profile::Format;
use crate::profile::stream::{Source, Stream, Variant};
use crate::publisher::codecs;

const AUDIO_GROUP: &str = "audio";
const SUBTITLES_GROUP: &str = "subtitles";
/// Additional bits per segment. When the loop repeats, the same media may need more MPEG-TS packets than when it
/// was measured, because tables are repeated by time and audio is grouped differently: one more packet per
/// segment with FFmpeg 9.0, seven with 4.4. A packet has 188 bytes.
const EXTRA_PACKET_BITS: u64 = 8 * 188 * 8;

/// Codecs and bitrates of a rendition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MeasuredRendition {
    /// Codecs in the notation of RFC 6381.
    pub(crate) codecs: Vec<String>,
    /// Highest bitrate of a segment, in bit/s.
    pub(crate) peak: u64,
    /// Average bitrate of all segments, in bit/s.
    pub(crate) average: u64,
}

impl MeasuredRendition {
    /// Measures a rendition. `beginning` are its first bytes (the initialization section, if there is one);
    /// `segments` are size in bytes and duration in seconds of its segments; `target` is the target duration.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bitrates are positive and far below 2^52"
    )]
    pub(crate) fn of(beginning: &[u8], segments: &[(u64, f64)], target: f64) -> Self {
        let rate = |bytes: u64, seconds: f64| (bytes as f64 * 8.0 / seconds).ceil() as u64;
        // RFC 8216 section 4.1: segments shorter than half the target duration do not count for the peak.
        let full_length = segments.iter().filter(|(_, seconds)| *seconds >= target / 2.0);
        let bytes = segments.iter().map(|(bytes, _)| bytes).sum();
        let seconds: f64 = segments.iter().map(|(_, seconds)| seconds).sum();
        Self {
            codecs: codecs::of(beginning),
            peak: full_length.map(|(bytes, seconds)| rate(*bytes, *seconds)).max().unwrap_or_default(),
            average: if seconds > 0.0 { rate(bytes, seconds) } else { 0 },
        }
    }

    fn plus(mut self, other: Option<&Self>) -> Self {
        if let Some(other) = other {
            self.codecs.extend(other.codecs.iter().filter(|codec| !codec.is_empty()).cloned());
            self.peak += other.peak;
            self.average += other.average;
        }
        self
    }
}

/// The text of the multivariant playlist. `measured` has the same order as `renditions`.
#[must_use]
pub(crate) fn render(stream: &Stream, renditions: &[Rendition], measured: &[MeasuredRendition]) -> String {
    let find = |media: Media| {
        let index = renditions.iter().position(|one| one.media == media)?;
        renditions.get(index).zip(measured.get(index))
    };
    let (audio, subtitles) = (find(Media::Audio), find(Media::Subtitles));
    let mut lines: Vec<String> =
        ["#EXTM3U", "#EXT-X-VERSION:4", "#EXT-X-INDEPENDENT-SEGMENTS"].map(str::to_owned).to_vec();
    if let Some((rendition, _)) = audio {
        lines.push(format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Tone\",LANGUAGE=\"en\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{}\"",
            rendition.playlist()
        ));
    }
    if let Some((rendition, _)) = subtitles {
        lines.push(format!(
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{SUBTITLES_GROUP}\",NAME=\"Numbers\",LANGUAGE=\"en\",\
             DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"{}\"",
            rendition.playlist()
        ));
    }
    for (rendition, video) in renditions.iter().zip(measured) {
        let Media::Video(index) = rendition.media else { continue };
        let Some(variant) = stream.variants.get(index) else { continue };
        let total = video
            .clone()
            .plus(audio.map(|(_, measured)| measured))
            .plus(subtitles.map(|(_, measured)| measured));
        let mut attributes = variant_attributes(stream, variant, &total, audio.is_some());
        if audio.is_some() {
            attributes.push_str(&format!(",AUDIO=\"{AUDIO_GROUP}\""));
        }
        if subtitles.is_some() {
            attributes.push_str(&format!(",SUBTITLES=\"{SUBTITLES_GROUP}\""));
        }
        lines.push(format!("#EXT-X-STREAM-INF:{attributes}\n{}", rendition.playlist()));
    }
    lines.join("\n") + "\n"
}

/// Bandwidth, codecs, size and frame rate of a variant. `total` includes its audio and subtitles.
fn variant_attributes(
    stream: &Stream,
    variant: &Variant,
    total: &MeasuredRendition,
    separate_audio: bool,
) -> String {
    let extra_bits = match stream.format {
        Format::Ts => {
            (1 + u64::from(separate_audio)) * EXTRA_PACKET_BITS / u64::from(stream.segment_seconds).max(1)
        }
        Format::Fmp4 => 0,
    };
    let max_bits = u64::from(variant.max_kbps + stream.audio_kbps) * 1100;
    let bandwidth = match stream.source {
        // Live encoding may reach the maximum bitrate at any time, and exceed low bitrates a little, because the
        // container has more overhead there and later segments cannot be measured.
        Source::Live => (total.peak * 11 / 10).max(max_bits),
        Source::Loop | Source::Vod(_) => total.peak + extra_bits,
    };
    let mut attributes = format!("BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={}", total.average);
    if !total.codecs.is_empty() {
        attributes.push_str(&format!(",CODECS=\"{}\"", total.codecs.join(",")));
    }
    attributes.push_str(&format!(",RESOLUTION={},FRAME-RATE={}.000", variant.size, stream.fps));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    #[test]
    fn a_ladder_with_separate_audio_and_subtitles() {
        let flags = ["--ladder=640x360@500", "--separate-audio", "--subtitles"];
        let stream = Stream::of_flags(&flags).unwrap();
        let measured = |codec: &str, peak, average| MeasuredRendition {
            codecs: if codec.is_empty() { vec![] } else { vec![codec.to_owned()] },
            peak,
            average,
        };
        let all = [
            measured("avc1.640028", 5_400_000, 5_000_000),
            measured("avc1.64001e", 540_000, 500_000),
            measured("mp4a.40.2", 130_000, 128_000),
            measured("", 400, 300),
        ];
        insta::assert_snapshot!(render(&stream, &layout::renditions(&stream), &all));
    }

    #[test]
    fn bitrates_are_those_of_the_segments() {
        let measured = MeasuredRendition::of(&[], &[(1000, 2.0), (3000, 2.0), (900, 0.5)], 2.0);
        assert_eq!((measured.peak, measured.average), (12_000, 8712));
    }
}
