//! The master playlist, from what was measured of the stream itself.

use crate::layout::{Media, Rendition};
use crate::profile::stream::{Source, Stream, Variant};
use crate::profile::{Format, codecs};

const AUDIO_GROUP: &str = "audio";
const SUBTITLES_GROUP: &str = "subtitles";
/// In a later round of the loop the same media may take more packets of MPEG-TS than in the round that was
/// measured: tables are repeated by the clock, and sound is put together anew. FFmpeg 9.0 took one more per
/// segment, 4.4 seven. A packet has 188 bytes.
const PACKETS_BITS: u64 = 8 * 188 * 8;

/// What was measured of a rendition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its codecs, as RFC 6381 names them.
    pub codecs: Vec<String>,
    /// The highest rate of a segment, in bit/s.
    pub peak: u64,
    /// The rate of all segments together, in bit/s.
    pub average: u64,
}

impl Measured {
    /// From the first bytes of a rendition (the initialization section, where there is one), and from
    /// bytes and seconds of each segment of length `target` seconds.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "rates"
    )]
    pub fn of(beginning: &[u8], segments: &[(u64, f64)], target: f64) -> Self {
        let rate = |bytes: u64, seconds: f64| (bytes as f64 * 8.0 / seconds).ceil() as u64;
        // RFC 8216 section 4.1: what is shorter than half a target duration is no measure of a peak.
        let whole = segments.iter().filter(|(_, seconds)| *seconds >= target / 2.0);
        let bytes = segments.iter().map(|(bytes, _)| bytes).sum();
        let seconds: f64 = segments.iter().map(|(_, seconds)| seconds).sum();
        Self {
            codecs: codecs::of(beginning),
            peak: whole.map(|(bytes, seconds)| rate(*bytes, *seconds)).max().unwrap_or_default(),
            average: if seconds > 0.0 { rate(bytes, seconds) } else { 0 },
        }
    }

    fn and(mut self, other: Option<&Self>) -> Self {
        if let Some(other) = other {
            self.codecs.extend(other.codecs.iter().filter(|codec| !codec.is_empty()).cloned());
            self.peak += other.peak;
            self.average += other.average;
        }
        self
    }
}

/// The master playlist. `measured` belongs to `renditions`, in the same order.
#[must_use]
pub fn render(stream: &Stream, renditions: &[Rendition], measured: &[Measured]) -> String {
    let of = |media: Media| {
        let index = renditions.iter().position(|one| one.media == media)?;
        renditions.get(index).zip(measured.get(index))
    };
    let (audio, subtitles) = (of(Media::Audio), of(Media::Subtitles));
    let mut text = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    if let Some((rendition, _)) = audio {
        line(
            &mut text,
            &format!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Tone\",LANGUAGE=\"en\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{}\"",
                rendition.playlist()
            ),
        );
    }
    if let Some((rendition, _)) = subtitles {
        line(
            &mut text,
            &format!(
                "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{SUBTITLES_GROUP}\",NAME=\"Numbers\",LANGUAGE=\"en\",\
             DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"{}\"",
                rendition.playlist()
            ),
        );
    }
    for (rendition, own) in renditions.iter().zip(measured) {
        let Media::Video(index) = rendition.media else { continue };
        let Some(Variant { size, max_kbps, .. }) = stream.variants.get(index) else { continue };
        let both =
            own.clone().and(audio.map(|(_, measured)| measured)).and(subtitles.map(|(_, measured)| measured));
        let packets = match stream.format {
            Format::Ts => {
                (1 + u64::from(audio.is_some())) * PACKETS_BITS / u64::from(stream.segment_seconds).max(1)
            }
            Format::Fmp4 => 0,
        };
        let ceiling = u64::from(*max_kbps + stream.audio_kbps) * 1100;
        let bandwidth = match stream.source {
            // What is encoded while it is played may come to the ceiling at any time, and small rates a
            // little above: the container weighs more there, and no later picture was measured.
            Source::Live => (both.peak * 11 / 10).max(ceiling),
            Source::Loop | Source::Film(_) => both.peak + packets,
        };
        let mut attributes = format!("BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={}", both.average);
        if !both.codecs.is_empty() {
            attributes.push_str(&format!(",CODECS=\"{}\"", both.codecs.join(",")));
        }
        attributes.push_str(&format!(",RESOLUTION={size},FRAME-RATE={}.000", stream.fps));
        if audio.is_some() {
            attributes.push_str(&format!(",AUDIO=\"{AUDIO_GROUP}\""));
        }
        if subtitles.is_some() {
            attributes.push_str(&format!(",SUBTITLES=\"{SUBTITLES_GROUP}\""));
        }
        line(&mut text, &format!("#EXT-X-STREAM-INF:{attributes}\n{}", rendition.playlist()));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use crate::profile::plan::Plan;

    #[test]
    fn a_ladder_with_sound_and_subtitles_apart() {
        let flags = ["--ladder=640x360@500", "--separate-audio", "--subtitles"];
        let stream = Plan::of_flags(&flags).unwrap().stream;
        let measured = |codec: &str, peak, average| Measured {
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
    fn rates_are_those_of_the_segments() {
        let measured = Measured::of(&[], &[(1000, 2.0), (3000, 2.0), (900, 0.5)], 2.0);
        assert_eq!((measured.peak, measured.average), (12_000, 8712));
    }
}
