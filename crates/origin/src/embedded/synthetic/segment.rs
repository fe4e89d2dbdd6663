//! A segment from its number: pictures, sound, and null packets up to the rate.

use crate::embedded::synthetic::audio;
use crate::embedded::synthetic::mux::{PACKET, Packets, packets_of_picture};
use crate::embedded::synthetic::video::Picture;
use crate::profile::ladder::Size;
use crate::profile::stream::Stream;

/// Ticks of the clock per second.
const TICKS: u64 = 90_000;
/// A picture is shown this long after its first byte is due.
const DELAY: u64 = TICKS / 2;
/// Frames of sound in one packet.
const FRAMES: u64 = 8;

/// What all segments of a stream have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthetic {
    picture: Picture,
    /// Size of the picture.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// Length of a segment in seconds.
    pub seconds: u32,
    /// Packets of a segment at least.
    packets: usize,
}

impl Synthetic {
    /// A stream with the size and the rates of the first variant and the segments of `stream`; its container is part of the
    /// rate, so that a segment has exactly the asked bytes, up to a packet.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let Stream { fps, segment_seconds, audio_kbps, .. } = *stream;
        let first = stream.variants.first();
        let (size, kbps) = first.map_or((Size { width: 16, height: 16 }, 0), |one| (one.size, one.kbps));
        let bytes = u64::from(kbps + audio_kbps) * 125 * u64::from(segment_seconds);
        Self {
            picture: Picture::new(size, fps),
            size,
            fps,
            seconds: segment_seconds,
            packets: usize::try_from(bytes).unwrap_or(usize::MAX) / PACKET,
        }
    }

    /// RFC 6381's names of the codecs.
    #[must_use]
    pub fn codecs(&self) -> String {
        format!("{},{}", self.picture.codec(), audio::CODEC)
    }

    /// Bytes of every segment but those with one packet of sound more or less.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment(0).len() as u64
    }

    /// Segment `number`, from 0.
    #[must_use]
    pub fn segment(&self, number: u64) -> Vec<u8> {
        let frames = u64::from(self.fps) * u64::from(self.seconds);
        let first = self.picture.first(number);
        // Every segment begins with as many bytes, and all other pictures take one packet.
        let pictures = packets_of_picture(first.len()) + frames - 1;
        let begin = number * u64::from(self.seconds) * TICKS;
        let mut sounds = begin.div_ceil(FRAMES * audio::FRAME_TICKS);
        let silence = audio::frame().repeat(usize::try_from(FRAMES).unwrap_or_default());

        let mut packets = Packets::new([number, number * pictures, sounds], self.packets);
        packets.tables();
        for (place, frame) in (0..frames).enumerate() {
            let clock = begin + frame * TICKS / u64::from(self.fps);
            if frame == 0 {
                packets.picture(&first, clock, clock + DELAY, true);
            } else {
                packets.picture(
                    &self.picture.repeat(u32::try_from(place).unwrap_or_default()),
                    clock,
                    clock + DELAY,
                    false,
                );
            }
            let next = begin + (frame + 1) * TICKS / u64::from(self.fps);
            while sounds * FRAMES * audio::FRAME_TICKS < next {
                packets.sound(&silence, sounds * FRAMES * audio::FRAME_TICKS + DELAY);
                sounds += 1;
            }
            // Spread evenly, so that a link is loaded evenly.
            let share = u64::try_from(self.packets).unwrap_or_default() * (frame + 1) / frames;
            while (packets.count() as u64) < share {
                packets.null();
            }
        }
        packets.take()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::profile::plan::Plan;

    fn synthetic(size: &str, fps: u32, seconds: u32, kbps: u32) -> Synthetic {
        let flags = [
            format!("--video-size={size}"),
            format!("--fps={fps}"),
            format!("--segment-seconds={seconds}"),
            format!("--video-bitrate={kbps}"),
        ];
        Synthetic::of(&Plan::of_flags(&flags.each_ref().map(String::as_str)).unwrap().stream)
    }

    /// First and last continuity counter of each PID; every step between is checked.
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
    fn a_segment_has_the_bytes_of_its_rate() {
        // 1000 kbit/s and 128 kbit/s for 2 s are 282000 bytes, which are 1500 packets.
        let synthetic = synthetic("640x360", 25, 2, 1000);
        assert_eq!((synthetic.segment(0).len(), synthetic.segment(7).len()), (282_000, 282_000));
        assert_eq!(synthetic.segment_bytes(), 282_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn neighbours_fit(
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
