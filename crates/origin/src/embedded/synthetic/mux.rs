//! A multiplexer for MPEG transport streams (ISO/IEC 13818-1): tables, elementary streams, null packets.

/// Size of a packet, in bytes.
pub(crate) const PACKET: usize = 188;
/// Size of a packet without its header, in bytes.
const PAYLOAD: usize = PACKET - 4;
/// Size of an adaptation field with a clock reference: length, flags, reference.
const CLOCK_FIELD: usize = 8;
/// Size of a PES header: start code, length, flags, timestamp.
const PES_HEADER: usize = 14;

pub(crate) const VIDEO: u16 = 0x100;
pub(crate) const AUDIO: u16 = 0x101;
const PROGRAM: u16 = 0x1000;
/// Timestamps have 33 bits and wrap around.
const TIMESTAMP_MODULUS: u64 = 1 << 33;

/// Writes the packets of one segment.
#[derive(Debug)]
pub(crate) struct PacketWriter {
    bytes: Vec<u8>,
    /// Continuity counters of the next packets of tables, video and audio.
    pub(crate) counters: [u64; 3],
}

impl PacketWriter {
    pub(crate) fn new(counters: [u64; 3], capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity * PACKET), counters }
    }

    /// Number of packets so far.
    pub(crate) fn count(&self) -> usize {
        self.bytes.len() / PACKET
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the two tables: the programs, and the streams of the program.
    pub(crate) fn tables(&mut self) {
        let [high, low] = PROGRAM.to_be_bytes();
        self.table(0, &[0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | high, low], 0);
        let ([vh, vl], [ah, al]) = (VIDEO.to_be_bytes(), AUDIO.to_be_bytes());
        #[rustfmt::skip]
        let program = [
            0, 1, 0xc1, 0, 0, 0xe0 | vh, vl, 0xf0, 0,
            // H.264, and AAC in ADTS.
            0x1b, 0xe0 | vh, vl, 0xf0, 0,
            0x0f, 0xe0 | ah, al, 0xf0, 0,
        ];
        self.table(PROGRAM, &program, 2);
        let [tables, ..] = &mut self.counters;
        *tables += 1;
    }

    fn table(&mut self, pid: u16, body: &[u8], id: u8) {
        let length = u8::try_from(body.len() + 4).unwrap_or_default();
        let mut section = [&[id, 0xb0, length], body].concat();
        section.extend(checksum(&section).to_be_bytes());
        let [tables, ..] = self.counters;
        self.header(pid, true, 0x10, tables);
        self.bytes.push(0);
        self.bytes.extend(&section);
        self.bytes.resize(self.bytes.len() + PAYLOAD - 1 - section.len(), 0xff);
    }

    /// Writes one video frame: `clock` is its clock reference and `timestamp` its presentation time, both in
    /// 90 kHz; `is_random_access` marks a frame at which decoding can start.
    pub(crate) fn video(&mut self, unit: &[u8], clock: u64, timestamp: u64, is_random_access: bool) {
        // Only video packets may have an unspecified length, which is 0.
        let data = [pes_header(0xe0, 0, timestamp).as_slice(), unit].concat();
        let [_, counter, _] = self.counters;
        let sent = self.stream(VIDEO, &data, Some((clock, is_random_access)), counter);
        let [_, counter, _] = &mut self.counters;
        *counter += sent;
    }

    /// Writes audio frames that fit into one packet.
    pub(crate) fn audio(&mut self, frames: &[u8], timestamp: u64) {
        let length = u16::try_from(frames.len() + PES_HEADER - 6).unwrap_or_default();
        let data = [pes_header(0xc0, length, timestamp).as_slice(), frames].concat();
        let [.., counter] = self.counters;
        let sent = self.stream(AUDIO, &data, None, counter);
        let [.., counter] = &mut self.counters;
        *counter += sent;
    }

    /// Writes a null packet.
    pub(crate) fn null(&mut self) {
        self.header(0x1fff, false, 0x10, 0);
        self.bytes.resize(self.bytes.len() + PAYLOAD, 0xff);
    }

    fn header(&mut self, pid: u16, starts: bool, fields: u8, counter: u64) {
        let [high, low] = pid.to_be_bytes();
        let counter = u8::try_from(counter % 16).unwrap_or_default();
        self.bytes.extend([0x47, u8::from(starts) << 6 | high, low, fields | counter]);
    }

    fn stream(&mut self, pid: u16, data: &[u8], clock: Option<(u64, bool)>, counter: u64) -> u64 {
        let (mut rest, mut sent) = (data, 0);
        while !rest.is_empty() {
            let clock = clock.filter(|_| sent == 0);
            let field = if clock.is_some() { CLOCK_FIELD } else { 0 };
            let (now, later) = rest.split_at(rest.len().min(PAYLOAD - field));
            rest = later;
            let gap = PAYLOAD - now.len();
            self.header(pid, sent == 0, if gap > 0 { 0x30 } else { 0x10 }, counter + sent);
            self.adaptation(gap, clock);
            self.bytes.extend(now);
            sent += 1;
        }
        sent
    }

    /// Writes an adaptation field of exactly `gap` bytes; nothing for 0.
    fn adaptation(&mut self, gap: usize, clock: Option<(u64, bool)>) {
        let Some(length) = gap.checked_sub(1) else { return };
        let end = self.bytes.len() + gap;
        self.bytes.push(u8::try_from(length).unwrap_or_default());
        if let Some((clock, is_random_access)) = clock {
            let base = clock % TIMESTAMP_MODULUS;
            let [.., a, b, c, d] = (base >> 1).to_be_bytes();
            // Flags: random access, and that a clock reference follows.
            let flags = u8::from(is_random_access) << 6 | 0x10;
            self.bytes.extend([flags, a, b, c, d, u8::from(base & 1 == 1) << 7 | 0x7e, 0]);
        } else if length > 0 {
            self.bytes.push(0);
        }
        self.bytes.resize(end, 0xff);
    }
}

/// Number of packets for an access unit of this size.
pub(crate) fn packets_of_access_unit(bytes: usize) -> u64 {
    let all = bytes + PES_HEADER + CLOCK_FIELD;
    u64::try_from(all.div_ceil(PAYLOAD)).unwrap_or_default()
}

/// The header of a PES packet with a timestamp (section 2.4.3.7).
fn pes_header(id: u8, length: u16, timestamp: u64) -> [u8; PES_HEADER] {
    let timestamp = timestamp % TIMESTAMP_MODULUS;
    let part = |shift: u32, bits: u64| u8::try_from((timestamp >> shift) & bits).unwrap_or_default();
    let [high, low] = length.to_be_bytes();
    [
        0,
        0,
        1,
        id,
        high,
        low,
        // Data alignment; a timestamp of five bytes follows.
        0x84,
        0x80,
        5,
        0x21 | part(30, 7) << 1,
        part(22, 0xff),
        1 | part(15, 0x7f) << 1,
        part(7, 0xff),
        1 | part(0, 0x7f) << 1,
    ]
}

/// The CRC-32 of MPEG-2 tables (annex A): most significant bit first, not inverted.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_of_the_standard_check_string() {
        assert_eq!(checksum(b"123456789"), 0x0376_e6e7);
    }

    proptest! {
        #[test]
        fn packets_of_any_length_are_complete_and_contain_the_data(
            unit in proptest::collection::vec(any::<u8>(), 1..1000), counter in 0_u64..100,
        ) {
            let mut packets = PacketWriter::new([0, counter, 0], 0);
            packets.video(&unit, 5, TIMESTAMP_MODULUS + 7, true);
            prop_assert_eq!(packets.counters[1] - counter, packets_of_access_unit(unit.len()));
            let (mut data, mut expected) = (Vec::new(), counter % 16);
            for packet in packets.into_bytes().chunks(PACKET) {
                prop_assert_eq!((packet.len(), packet[0]), (PACKET, 0x47));
                prop_assert_eq!(u64::from(packet[3] % 16), expected);
                expected = (expected + 1) % 16;
                let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
                data.extend_from_slice(&packet[start..]);
            }
            prop_assert_eq!(&data[PES_HEADER..], &unit[..]);
            // 2^33 + 7 wraps around to 7.
            prop_assert_eq!(&data[9..PES_HEADER], &[0x21, 0, 1, 0, 15]);
        }
    }
}
