//! The times of MPEG-TS (ISO/IEC 13818-1): those of the packetized elementary streams. Neither the PAT nor the PMT is needed,
//! because each packet of an elementary stream names its type.

use crate::times::{Times, Unread};

/// The first byte of a packet.
pub(crate) const SYNC: u8 = 0x47;
/// The length of a packet.
const LENGTH: usize = 188;
/// The number of values of a timestamp, whose unit is 1/90000 s.
const WRAP: i64 = 1 << 33;

/// A segment as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Packets {
    /// The beginning of a packet, and its length.
    partial: [u8; LENGTH],
    have: usize,
    video: Option<Stream>,
    audio: Option<Stream>,
    is_malformed: bool,
}

impl Default for Packets {
    fn default() -> Self {
        Self { partial: [0; LENGTH], have: 0, video: None, audio: None, is_malformed: false }
    }
}

/// The times of an elementary stream, in units of 1/90000 s.
#[derive(Clone, Copy, Debug)]
struct Stream {
    pid: u16,
    /// The first one.
    first: u64,
    /// The last one, and the latest one, after the first.
    last: i64,
    latest: i64,
    /// The longest step from one to the next.
    longest_step: i64,
    count: u32,
}

impl Packets {
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_malformed {
            if self.have == 0
                && let Some((packet, rest)) = bytes.split_first_chunk()
            {
                self.packet(packet);
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(LENGTH - self.have));
            if let Some(room) = self.partial.get_mut(self.have..self.have + part.len()) {
                room.copy_from_slice(part);
            }
            self.have += part.len();
            bytes = rest;
            if self.have == LENGTH {
                self.have = 0;
                let packet = self.partial;
                self.packet(&packet);
            }
        }
    }

    fn packet(&mut self, packet: &[u8; LENGTH]) {
        let [sync, high, low, flags, content @ ..] = packet;
        if *sync != SYNC {
            self.is_malformed = true;
            return;
        }
        let pid = u16::from_be_bytes([high & 0x1f, *low]);
        let (begins_unit, has_payload, has_adaptation) =
            (high & 0x40 != 0, flags & 0x10 != 0, flags & 0x20 != 0);
        if !begins_unit || !has_payload {
            return;
        }
        let begin =
            if has_adaptation { content.first().map_or(0, |length| usize::from(*length) + 1) } else { 0 };
        let Some((id, time)) = content.get(begin..).and_then(unit) else { return };
        let stream = if is_video(id) { &mut self.video } else { &mut self.audio };
        match stream {
            Some(stream) if stream.pid == pid => stream.add(time),
            Some(_) => {}
            None => {
                *stream = Some(Stream { pid, first: time, last: 0, latest: 0, longest_step: 0, count: 1 });
            }
        }
    }

    pub(crate) fn times(&self) -> Result<Times, Unread> {
        if self.is_malformed || self.have > 0 {
            return Err(Unread::Malformed);
        }
        let (stream, is_video) = match (self.video, self.audio) {
            (Some(video), _) => (video, true),
            (None, Some(audio)) => (audio, false),
            (None, None) => return Err(Unread::NoTimes),
        };
        let (latest, steps) = (stream.latest.unsigned_abs(), u64::from(stream.count) - 1);
        let average = latest.checked_div(steps);
        // A unit of audio has several frames, and the last one of a segment may have fewer of them.
        let error = if is_video { average.unwrap_or(0) } else { stream.longest_step.unsigned_abs() };
        Ok(Times {
            start_us: microseconds(stream.first),
            duration_us: average.map(|average| microseconds(latest + average)),
            error_us: microseconds(error),
            wraps: true,
        })
    }
}

impl Stream {
    fn add(&mut self, time: u64) {
        let before = (self.first as i64 + self.last).rem_euclid(WRAP);
        let step = (time as i64 - before).rem_euclid(WRAP);
        let step = if step < WRAP / 2 { step } else { step - WRAP };
        self.last += step;
        self.latest = self.latest.max(self.last);
        self.longest_step = self.longest_step.max(step);
        self.count = self.count.saturating_add(1);
    }
}

const fn microseconds(ticks: u64) -> u64 {
    ticks.saturating_mul(100) / 9
}

const fn is_video(id: u8) -> bool {
    matches!(id, 0xe0..=0xef)
}

/// The type of the elementary stream of which a unit begins, and the time at which the unit is decoded.
fn unit(bytes: &[u8]) -> Option<(u8, u64)> {
    let [0, 0, 1, id, _, _, marker, flags, _, times @ ..] = bytes else { return None };
    // Video; audio; private streams, which carry AC-3 and others.
    if !matches!(id, 0xbd | 0xc0..=0xef | 0xfd) || marker & 0xc0 != 0x80 {
        return None;
    }
    let presented = times.first_chunk()?;
    // Without a time of its own, a frame is decoded when it is presented.
    let decoded = match flags & 0xc0 {
        0xc0 => times.get(5..)?.first_chunk()?,
        0x80 => presented,
        _ => return None,
    };
    Some((*id, timestamp(decoded)))
}

/// 33 bits in five bytes, with marker bits between.
fn timestamp([a, b, c, d, e]: &[u8; 5]) -> u64 {
    let [a, b, c, d, e] = [*a, *b, *c, *d, *e].map(u64::from);
    (a >> 1 & 0x07) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(time: u64, prefix: u8) -> [u8; 5] {
        [
            prefix << 4 | (time >> 29) as u8 & 0x0e | 1,
            (time >> 22) as u8,
            (time >> 14) as u8 | 1,
            (time >> 7) as u8,
            (time << 1) as u8 | 1,
        ]
    }

    /// A packet with the beginning of a unit that is presented 3000 ticks after it is decoded.
    pub(super) fn packet(pid: u16, id: u8, decoded: u64) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![SYNC, 0x40 | high, low, 0x10, 0, 0, 1, id, 0, 0, 0x80, 0xc0, 10];
        packet.extend(bytes_of((decoded + 3000) % (1 << 33), 3));
        packet.extend(bytes_of(decoded, 1));
        packet.resize(LENGTH, 0xff);
        packet
    }

    fn times(bytes: &[u8], piece: usize) -> Result<Times, Unread> {
        let mut packets = Packets::default();
        bytes.chunks(piece).for_each(|piece| packets.take(piece));
        packets.times()
    }

    #[test]
    fn the_times_of_video_count_however_the_bytes_arrive() {
        let frames = (0..50_u64).flat_map(|frame| packet(256, 0xe0, 900_000 + frame * 3600));
        let audio = (0..10_u64).flat_map(|unit| packet(257, 0xc0, 800_000 + unit * 10_000));
        let bytes: Vec<u8> = audio.chain(frames).collect();
        let wanted =
            Times { start_us: 10_000_000, duration_us: Some(2_000_000), error_us: 40_000, wraps: true };
        for piece in [1, 7, 188, 1000, 100_000] {
            assert_eq!(times(&bytes, piece), Ok(wanted), "in pieces of {piece}");
        }
        let audio = times(&bytes[..10 * LENGTH], 50).unwrap();
        assert_eq!((audio.duration_us, audio.error_us), (Some(1_111_111), 111_111));
    }

    #[test]
    fn times_pass_over_their_largest_value() {
        let first = (1 << 33) - 7200;
        let bytes: Vec<u8> =
            (0..50).flat_map(|frame| packet(256, 0xe0, (first + frame * 3600) % (1 << 33))).collect();
        assert_eq!(times(&bytes, 188).unwrap().duration_us, Some(2_000_000));
    }

    #[test]
    fn what_has_no_times_is_named() {
        assert_eq!(times(&[0x47; LENGTH], 188), Err(Unread::NoTimes));
        assert_eq!(times(&[0x47; LENGTH + 1], 188), Err(Unread::Malformed), "cut");
        assert_eq!(times(&[packet(1, 0xe0, 5), vec![0; LENGTH]].concat(), 188), Err(Unread::Malformed));
        let one = times(&packet(1, 0xe0, 90_000), 188).unwrap();
        assert_eq!((one.start_us, one.duration_us), (1_000_000, None));
    }
}
