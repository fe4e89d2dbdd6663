//! A stream without an encoder: color bars and silence, in MPEG-TS segments that are computed from their number.
//!
//! Timestamps and continuity counters continue across segments, and null packets fill each segment up to the
//! requested bitrate.

mod elementary;
mod mux;
pub(crate) mod playlist;

use crate::embedded::synthetic::elementary::VideoWriter;
use crate::embedded::synthetic::mux::{PACKET, PacketWriter, packets_of_access_unit};
use crate::low_latency::Division;
use crate::profile::ladder::Size;
use crate::profile::stream::Stream;

/// Ticks of the MPEG-TS clock per second.
const TICKS: u64 = 90_000;
/// Time from the clock reference of a frame to its presentation.
const DELAY: u64 = TICKS / 2;
/// AAC frames in one packet.
const AAC_FRAMES: u64 = 8;

/// A synthetic stream, which can compute any of its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticStream {
    video: VideoWriter,
    /// Size of the video.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// Length of a segment in seconds.
    pub seconds: u32,
    /// Minimum number of packets of a segment.
    packets: usize,
    /// How a segment is divided into parts.
    division: Option<Division>,
}

impl SyntheticStream {
    /// A stream with the size and the bitrates of the first variant of `stream`. The bitrates include the
    /// container, so that a segment has the requested size, up to one packet.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let Stream { fps, segment_seconds, audio_kbps, .. } = *stream;
        let first = stream.variants.first();
        let (size, kbps) = first.map_or((Size { width: 16, height: 16 }, 0), |one| (one.size, one.kbps));
        let bytes = u64::from(kbps + audio_kbps) * 125 * u64::from(segment_seconds);
        Self {
            video: VideoWriter::new(size, fps),
            size,
            fps,
            seconds: segment_seconds,
            packets: usize::try_from(bytes).unwrap_or(usize::MAX) / PACKET,
            division: Division::of(stream),
        }
    }

    /// The codecs in the notation of RFC 6381.
    #[must_use]
    pub fn codecs(&self) -> String {
        format!("{},{}", self.video.codec(), elementary::AUDIO_CODEC)
    }

    /// Size of a segment in bytes; some segments have one packet of audio more or less.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment(0).len() as u64
    }

    /// Computes segment `number`, counted from 0.
    #[must_use]
    pub fn segment(&self, number: u64) -> Vec<u8> {
        self.divided_segment(number).0
    }

    /// Computes a part of a segment, counted from 0. `None` if the segment has no such part.
    pub(crate) fn part(&self, number: u64, index: u64) -> Option<Vec<u8>> {
        let (mut segment, begins) = self.divided_segment(number);
        let index = usize::try_from(index).ok()?;
        let begin = *begins.get(index)?;
        if let Some(end) = begins.get(index + 1) {
            segment.truncate(*end);
        }
        segment.drain(..begin);
        Some(segment)
    }

    /// Computes a segment, and the offsets of its parts in it. Each part begins with the tables, so that it can be
    /// demultiplexed alone.
    fn divided_segment(&self, number: u64) -> (Vec<u8>, Vec<usize>) {
        let frames = u64::from(self.fps) * u64::from(self.seconds);
        let first = self.video.first(number);
        // The first frame has the same size in every segment, and all other frames fit into one packet.
        let video_packets = packets_of_access_unit(first.len()) + frames - 1;
        let begin = number * u64::from(self.seconds) * TICKS;
        let mut audio_packets = begin.div_ceil(AAC_FRAMES * elementary::FRAME_TICKS);
        let silent_frames =
            elementary::silent_frame().repeat(usize::try_from(AAC_FRAMES).unwrap_or_default());

        let parts = self.division.map_or(1, |division| u64::from(division.parts()));
        let mut packets =
            PacketWriter::new([number * parts, number * video_packets, audio_packets], self.packets);
        let mut begins = Vec::new();
        let part_frames = self.division.map_or(frames, |division| division.part_frames.into()).max(1);
        for (index, frame) in (0..frames).enumerate() {
            if frame % part_frames == 0 {
                begins.push(packets.count() * PACKET);
                packets.tables();
            }
            let clock = begin + frame * TICKS / u64::from(self.fps);
            if frame == 0 {
                packets.video(&first, clock, clock + DELAY, true);
            } else {
                packets.video(
                    &self.video.repeat(u32::try_from(index).unwrap_or_default()),
                    clock,
                    clock + DELAY,
                    false,
                );
            }
            let next = begin + (frame + 1) * TICKS / u64::from(self.fps);
            while audio_packets * AAC_FRAMES * elementary::FRAME_TICKS < next {
                packets.audio(&silent_frames, audio_packets * AAC_FRAMES * elementary::FRAME_TICKS + DELAY);
                audio_packets += 1;
            }
            // Null packets are spread evenly, so that the bitrate is constant within the segment.
            let target = u64::try_from(self.packets).unwrap_or_default() * (frame + 1) / frames;
            while (packets.count() as u64) < target {
                packets.null();
            }
        }
        (packets.into_bytes(), begins)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn synthetic(size: &str, fps: u32, seconds: u32, kbps: u32) -> SyntheticStream {
        let flags = [
            format!("--video-size={size}"),
            format!("--fps={fps}"),
            format!("--segment-seconds={seconds}"),
            format!("--video-bitrate={kbps}"),
        ];
        SyntheticStream::of(&Stream::of_flags(&flags.each_ref().map(String::as_str)).unwrap())
    }

    /// First and last continuity counter of each PID; checks every step in between.
    fn counters(segment: &[u8]) -> BTreeMap<u16, (u8, u8)> {
        let mut seen: BTreeMap<u16, (u8, u8)> = BTreeMap::new();
        for packet in segment.chunks(PACKET) {
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let counter = packet[3] % 16;
            if pid != 0x1fff {
                let entry = seen.entry(pid).or_insert((counter, (counter + 15) % 16));
                assert_eq!(counter, (entry.1 + 1) % 16, "pid {pid:#x}");
                entry.1 = counter;
            }
        }
        seen
    }

    #[test]
    fn the_size_of_a_segment_matches_its_bitrate() {
        // 1000 kbit/s and 128 kbit/s for 2 s are 282000 bytes, which are 1500 packets.
        let synthetic = synthetic("640x360", 25, 2, 1000);
        assert_eq!((synthetic.segment(0).len(), synthetic.segment(7).len()), (282_000, 282_000));
        assert_eq!(synthetic.segment_bytes(), 282_000);
    }

    #[test]
    fn the_parts_of_a_segment_are_the_segment() {
        let stream = Stream::of_flags(&["--profile=ll-hls", "--video-size=320x180", "--part-duration=450ms"]);
        let synthetic = SyntheticStream::of(&stream.unwrap());
        let parts: Vec<Vec<u8>> = (0..).map_while(|index| synthetic.part(7, index)).collect();
        // 13 frames each, and the rest of 60.
        assert_eq!(parts.len(), 5);
        assert!(
            parts.iter().all(|part| part.len() % PACKET == 0 && part[1] & 0x1f == 0),
            "the first is a table"
        );
        assert_eq!(parts.concat(), synthetic.segment(7));
        let (one, next) = (counters(&parts.concat()), counters(&synthetic.segment(8)));
        assert!(one.iter().all(|(pid, (_, last))| (last + 1) % 16 == next[pid].0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn continuity_counters_continue_across_segments(
            number in 0_u64..1_000_000, fps in 1_u32..61, seconds in 1_u32..7, kbps in 16_u32..2000,
        ) {
            let synthetic = synthetic("320x180", fps, seconds, kbps);
            let (one, next) = (counters(&synthetic.segment(number)), counters(&synthetic.segment(number + 1)));
            prop_assert_eq!(one.keys().collect::<Vec<_>>(), [&0, &0x100, &0x101, &0x1000]);
            for (pid, (_, last)) in one {
                prop_assert_eq!((last + 1) % 16, next[&pid].0, "pid {:#x}", pid);
            }
        }
    }
}
