//! MPEG transport stream packets (ISO/IEC 13818-1): tables, elementary streams, null packets.

/// Bytes of a packet.
pub(crate) const PACKET: usize = 188;
/// Bytes of a packet behind its header.
const ROOM: usize = PACKET - 4;
/// Bytes of an adaptation field that holds a clock reference: length, flags, reference.
const CLOCK_FIELD: usize = 8;
/// Bytes in front of an elementary stream's data: start code, length, flags, time stamp.
const HEAD: usize = 14;

pub(crate) const VIDEO: u16 = 0x100;
pub(crate) const SOUND: u16 = 0x101;
const PROGRAM: u16 = 0x1000;
/// Time stamps have 33 bits and start again at zero.
const STAMPS: u64 = 1 << 33;

/// The packets of one segment. The counters say where each elementary stream stands.
#[derive(Debug)]
pub(crate) struct Packets {
    bytes: Vec<u8>,
    /// Continuity counters of the next packets of tables, picture and sound.
    pub(crate) counters: [u64; 3],
}

impl Packets {
    pub(crate) fn new(counters: [u64; 3], capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity * PACKET), counters }
    }

    /// Packets so far.
    pub(crate) fn count(&self) -> usize {
        self.bytes.len() / PACKET
    }

    pub(crate) fn take(self) -> Vec<u8> {
        self.bytes
    }

    /// The two tables: which program there is, and what it is made of.
    pub(crate) fn tables(&mut self) {
        let [high, low] = PROGRAM.to_be_bytes();
        self.table(0, &[0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | high, low], 0);
        let ([vh, vl], [sh, sl]) = (VIDEO.to_be_bytes(), SOUND.to_be_bytes());
        #[rustfmt::skip]
        let program = [
            0, 1, 0xc1, 0, 0, 0xe0 | vh, vl, 0xf0, 0,
            // H.264, and AAC in ADTS.
            0x1b, 0xe0 | vh, vl, 0xf0, 0,
            0x0f, 0xe0 | sh, sl, 0xf0, 0,
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
        self.head(pid, true, 0x10, tables);
        self.bytes.push(0);
        self.bytes.extend(&section);
        self.bytes.resize(self.bytes.len() + ROOM - 1 - section.len(), 0xff);
    }

    /// One picture: `clock` in 90 kHz is when its first byte is due, `stamp` when it is shown.
    pub(crate) fn picture(&mut self, unit: &[u8], clock: u64, stamp: u64, begins: bool) {
        // The length may be left open for pictures only.
        let data = [elementary(0xe0, 0, stamp).as_slice(), unit].concat();
        let [_, counter, _] = self.counters;
        let sent = self.stream(VIDEO, &data, Some((clock, begins)), counter);
        let [_, counter, _] = &mut self.counters;
        *counter += sent;
    }

    /// Some frames of sound that fit into one packet.
    pub(crate) fn sound(&mut self, frames: &[u8], stamp: u64) {
        let length = u16::try_from(frames.len() + HEAD - 6).unwrap_or_default();
        let data = [elementary(0xc0, length, stamp).as_slice(), frames].concat();
        let [.., counter] = self.counters;
        let sent = self.stream(SOUND, &data, None, counter);
        let [.., counter] = &mut self.counters;
        *counter += sent;
    }

    /// A packet that means nothing.
    pub(crate) fn null(&mut self) {
        self.head(0x1fff, false, 0x10, 0);
        self.bytes.resize(self.bytes.len() + ROOM, 0xff);
    }

    fn head(&mut self, pid: u16, starts: bool, fields: u8, counter: u64) {
        let [high, low] = pid.to_be_bytes();
        let counter = u8::try_from(counter % 16).unwrap_or_default();
        self.bytes.extend([0x47, u8::from(starts) << 6 | high, low, fields | counter]);
    }

    fn stream(&mut self, pid: u16, data: &[u8], clock: Option<(u64, bool)>, counter: u64) -> u64 {
        let (mut rest, mut sent) = (data, 0);
        while !rest.is_empty() {
            let clock = clock.filter(|_| sent == 0);
            let field = if clock.is_some() { CLOCK_FIELD } else { 0 };
            let (now, later) = rest.split_at(rest.len().min(ROOM - field));
            rest = later;
            let gap = ROOM - now.len();
            self.head(pid, sent == 0, if gap > 0 { 0x30 } else { 0x10 }, counter + sent);
            self.adaptation(gap, clock);
            self.bytes.extend(now);
            sent += 1;
        }
        sent
    }

    /// An adaptation field of exactly `gap` bytes, none for 0.
    fn adaptation(&mut self, gap: usize, clock: Option<(u64, bool)>) {
        let Some(length) = gap.checked_sub(1) else { return };
        let end = self.bytes.len() + gap;
        self.bytes.push(u8::try_from(length).unwrap_or_default());
        if let Some((clock, begins)) = clock {
            let base = clock % STAMPS;
            let [.., a, b, c, d] = (base >> 1).to_be_bytes();
            // Flags: whether one can start here, and that a clock reference follows.
            let flags = u8::from(begins) << 6 | 0x10;
            self.bytes.extend([flags, a, b, c, d, u8::from(base & 1 == 1) << 7 | 0x7e, 0]);
        } else if length > 0 {
            self.bytes.push(0);
        }
        self.bytes.resize(end, 0xff);
    }
}

/// Packets that an access unit of so many bytes takes.
pub(crate) fn packets_of_picture(bytes: usize) -> u64 {
    let all = bytes + HEAD + CLOCK_FIELD;
    u64::try_from(all.div_ceil(ROOM)).unwrap_or_default()
}

/// The head of an elementary stream packet with a time stamp (section 2.4.3.7).
fn elementary(id: u8, length: u16, stamp: u64) -> [u8; HEAD] {
    let stamp = stamp % STAMPS;
    let part = |shift: u32, bits: u64| u8::try_from((stamp >> shift) & bits).unwrap_or_default();
    let [high, low] = length.to_be_bytes();
    [
        0,
        0,
        1,
        id,
        high,
        low,
        // What follows is aligned with the stream; a time stamp of five bytes.
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

/// CRC-32 of MPEG-2 tables (annex A): most significant bit first, not inverted.
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
    fn the_checksum_of_the_usual_check_string() {
        assert_eq!(checksum(b"123456789"), 0x0376_e6e7);
    }

    proptest! {
        #[test]
        fn whatever_the_length_packets_are_whole_and_hold_it(
            unit in proptest::collection::vec(any::<u8>(), 1..1000), counter in 0_u64..100,
        ) {
            let mut packets = Packets::new([0, counter, 0], 0);
            packets.picture(&unit, 5, STAMPS + 7, true);
            prop_assert_eq!(packets.counters[1] - counter, packets_of_picture(unit.len()));
            let (mut data, mut expected) = (Vec::new(), counter % 16);
            for packet in packets.take().chunks(PACKET) {
                prop_assert_eq!((packet.len(), packet[0]), (PACKET, 0x47));
                prop_assert_eq!(u64::from(packet[3] % 16), expected);
                expected = (expected + 1) % 16;
                let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
                data.extend_from_slice(&packet[start..]);
            }
            prop_assert_eq!(&data[HEAD..], &unit[..]);
            // 2^33 + 7 has wrapped to 7.
            prop_assert_eq!(&data[9..HEAD], &[0x21, 0, 1, 0, 15]);
        }
    }
}
