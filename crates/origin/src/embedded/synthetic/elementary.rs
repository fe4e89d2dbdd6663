//! The elementary streams, encoded bit by bit: color bars in H.264, and silence in AAC (ISO/IEC 14496-3).
//!
//! The bars move by one position with each segment. The first frame of a segment has one raw block per bar, which
//! the other blocks predict; in all other frames, every block is skipped. Section numbers refer to ITU-T H.264.

use crate::profile::ladder::Size;

/// Studio-range Y, Cb, Cr of white, yellow, cyan, green, magenta, red, blue, black at 75 %.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];
/// Table A-1: level, maximum rate (blocks per second) and maximum size (blocks).
const LEVELS: [(u8, u64, u64); 11] = [
    (10, 1_485, 99),
    (20, 11_880, 396),
    (21, 19_800, 792),
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (40, 245_760, 8_192),
    (42, 522_240, 8_704),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
    (60, 4_177_920, 139_264),
    (62, 16_711_680, 139_264),
];
const FRAME_NUMBER_BITS: u32 = 8;

/// Encodes video frames of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VideoWriter {
    size: Size,
    fps: u32,
}

impl VideoWriter {
    /// Encodes video with this size and frame rate.
    #[must_use]
    pub(crate) const fn new(size: Size, fps: u32) -> Self {
        Self { size, fps }
    }

    const fn columns(&self) -> u32 {
        self.size.width.div_ceil(16)
    }

    const fn rows(&self) -> u32 {
        self.size.height.div_ceil(16)
    }

    fn level(&self) -> u8 {
        let blocks = u64::from(self.columns()) * u64::from(self.rows());
        let fits =
            |(_, rate, size): &&(u8, u64, u64)| blocks <= *size && blocks * u64::from(self.fps) <= *rate;
        // Beyond the last level, the stream claims the last level.
        LEVELS.iter().find(fits).map_or(62, |(level, ..)| *level)
    }

    /// The codec in the notation of RFC 6381: constrained baseline at this level.
    #[must_use]
    pub(crate) fn codec(&self) -> String {
        format!("avc1.42C0{:02X}", self.level())
    }

    /// The first access unit of segment `number`, at which a decoder can start.
    pub(crate) fn first(&self, number: u64) -> Vec<u8> {
        let mut unit = delimiter(0);
        unit.extend(nal(0x67, self.sequence_parameters()));
        unit.extend(nal(0x68, picture_parameters()));
        unit.extend(nal(0x65, self.bars(number)));
        unit
    }

    /// The access unit of frame number `index` in a segment, which repeats the previous frame.
    pub(crate) fn repeat(&self, index: u32) -> Vec<u8> {
        let mut bits = BitWriter::default();
        // Slice header (7.3.3): first block, P slice, parameter set, frame number; no reference changes.
        bits.ue(0).ue(5).ue(0).bits(index % (1 << FRAME_NUMBER_BITS), FRAME_NUMBER_BITS);
        bits.bits(0, 1).bits(0, 1).bits(0, 1);
        // Default quantizer, no deblocking; then all blocks are skipped.
        bits.ue(0).ue(1).ue(self.columns() * self.rows()).trailing();
        let mut unit = delimiter(1);
        unit.extend(nal(0x41, bits.take()));
        unit
    }

    /// The sequence parameter set (7.3.2.1): constrained baseline, frames in order, one reference.
    fn sequence_parameters(&self) -> Vec<u8> {
        let Size { width, height } = self.size;
        let mut bits = BitWriter::default();
        bits.bits(66, 8).bits(0b1100_0000, 8).bits(self.level().into(), 8).ue(0);
        bits.ue(FRAME_NUMBER_BITS - 4).ue(2).ue(1).bits(0, 1);
        bits.ue(self.columns() - 1).ue(self.rows() - 1).bits(1, 1).bits(1, 1);
        // Cropping counts in pairs of pixels.
        let crop = |blocks: u32, pixels: u32| (blocks * 16 - pixels) / 2;
        let (right, bottom) = (crop(self.columns(), width), crop(self.rows(), height));
        bits.bits(1, 1).ue(0).ue(right).ue(0).ue(bottom);
        // VUI (annex E): the frame rate, and no reordering of frames.
        bits.bits(1, 1).bits(0, 1).bits(0, 1).bits(0, 1).bits(0, 1);
        bits.bits(1, 1).bits(1, 32).bits(2 * self.fps, 32).bits(1, 1);
        bits.bits(0, 1).bits(0, 1).bits(0, 1);
        bits.bits(1, 1).bits(1, 1).ue(0).ue(0).ue(16).ue(16).ue(0).ue(1);
        bits.trailing().take()
    }

    /// An IDR slice (7.3.3, 7.3.5).
    fn bars(&self, number: u64) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.ue(0).ue(7).ue(0).bits(0, FRAME_NUMBER_BITS).ue(0).bits(0, 1).bits(0, 1);
        bits.ue(0).ue(1);
        let columns = self.columns();
        let bar = |column: u32| u64::from(column * 8 / columns);
        let starts = |column: u32| column == 0 || bar(column) != bar(column - 1);
        for row in 0..self.rows() {
            for column in 0..columns {
                if row == 0 && starts(column) {
                    raw(&mut bits, bar(column) + number);
                    continue;
                }
                // Intra 16x16: predicted from the left in the first row, from above in all others.
                let (kind, chroma) = if row == 0 { (2, 1) } else { (1, 2) };
                bits.ue(kind).ue(chroma).ue(0);
                // No coefficients. The code for that depends on the neighboring blocks (9.2.1), where raw blocks
                // count as full.
                let beside_raw = (row == 0 && starts(column - 1)) || (row == 1 && starts(column));
                if beside_raw {
                    bits.bits(0b00_0011, 6)
                } else {
                    bits.bits(1, 1)
                };
            }
        }
        bits.trailing().take()
    }
}

/// A block of one color as raw samples (I_PCM).
fn raw(bits: &mut BitWriter, bar: u64) {
    let index = usize::try_from(bar % 8).unwrap_or_default();
    let [y, cb, cr] = BARS.get(index).copied().unwrap_or_default();
    bits.ue(25).align().bytes([y; 256]).bytes([cb; 64]).bytes([cr; 64]);
}

/// The picture parameter set (7.3.2.2): CAVLC, deblocking controlled by the slice header.
fn picture_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.ue(0).ue(0).bits(0, 1).bits(0, 1).ue(0).ue(0).ue(0).bits(0, 1).bits(0, 2);
    bits.ue(0).ue(0).ue(0).bits(1, 1).bits(0, 1).bits(0, 1).trailing().take()
}

/// The access unit delimiter, which each access unit in MPEG-TS starts with.
fn delimiter(slice_types: u32) -> Vec<u8> {
    nal(0x09, BitWriter::default().bits(slice_types, 3).trailing().take())
}

/// A NAL unit with its start code; emulation prevention bytes break up start codes inside (7.4.1).
fn nal(header: u8, payload: Vec<u8>) -> Vec<u8> {
    let mut unit = vec![0, 0, 0, 1, header];
    let mut zeros = 0;
    for byte in payload {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

/// Duration of one AAC frame in 90 kHz: 1024 samples at 48 kHz.
pub(crate) const FRAME_TICKS: u64 = 1920;
/// AAC-LC in the notation of RFC 6381.
pub(crate) const AUDIO_CODEC: &str = "mp4a.40.2";

/// One AAC frame of silence, 48 kHz stereo, with its ADTS header.
pub(crate) fn silent_frame() -> Vec<u8> {
    let mut body = BitWriter::default();
    // Channel pair element with a common window: one long window, no bands, no prediction, no M/S stereo.
    body.bits(1, 3).bits(0, 4).bits(1, 1).bits(0, 1).bits(0, 2).bits(0, 1).bits(0, 6).bits(0, 1).bits(0, 2);
    for _channel in 0..2 {
        // Global gain; no pulses, noise shaping or gain control.
        body.bits(0, 8).bits(0, 3);
    }
    let body = body.bits(7, 3).take();
    let length = u32::try_from(body.len() + 7).unwrap_or_default();
    let mut frame = BitWriter::default();
    // Sync word, MPEG-4, no checksum; AAC-LC, 48 kHz, two channels; length, variable bitrate.
    frame.bits(0xfff, 12).bits(0, 1).bits(0, 2).bits(1, 1).bits(1, 2).bits(3, 4).bits(0, 1).bits(2, 3);
    frame.bits(0, 4).bits(length, 13).bits(0x7ff, 11).bits(0, 2).bytes(body);
    frame.take()
}

/// Writes bits, most significant first.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Number of bits used in the last byte; 0 if it is full.
    used: u32,
}

impl BitWriter {
    /// Writes the lowest `count` bits of `value`.
    pub(crate) fn bits(&mut self, value: u32, count: u32) -> &mut Self {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from((value >> bit) & 1 == 1) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// Writes the Exp-Golomb code of an unsigned number (section 9.1).
    pub(crate) fn ue(&mut self, value: u32) -> &mut Self {
        let code = value + 1;
        let length = u32::BITS - code.leading_zeros();
        self.bits(0, length - 1).bits(code, length)
    }

    /// Writes zeros up to the next byte boundary.
    pub(crate) fn align(&mut self) -> &mut Self {
        self.used = 0;
        self
    }

    /// Writes bytes; call [`Self::align`] before.
    pub(crate) fn bytes(&mut self, bytes: impl IntoIterator<Item = u8>) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// Writes a one and zeros up to the next byte boundary, which end each NAL unit.
    pub(crate) fn trailing(&mut self) -> &mut Self {
        self.bits(1, 1).align()
    }

    /// Takes the written bytes.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.used = 0;
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_match_size_and_frame_rate() {
        let level = |width, height, fps| VideoWriter::new(Size { width, height }, fps).level();
        assert_eq!(level(160, 90, 10), 10);
        assert_eq!(level(1280, 720, 30), 31);
        assert_eq!(level(1920, 1080, 30), 40);
        assert_eq!(level(3840, 2160, 30), 51);
        assert_eq!(VideoWriter::new(Size { width: 1920, height: 1080 }, 60).codec(), "avc1.42C02A");
    }

    #[test]
    fn start_codes_inside_a_unit_are_escaped() {
        assert_eq!(nal(9, vec![0, 0, 0, 0, 0, 1]), [0, 0, 0, 1, 9, 0, 0, 3, 0, 0, 3, 0, 1]);
        assert_eq!(nal(9, vec![0, 0, 4]), [0, 0, 0, 1, 9, 0, 0, 4]);
    }

    proptest! {
        #[test]
        fn the_first_frame_has_the_same_size_in_every_segment(
            width in 8_u32..400, height in 8_u32..200, number in any::<u32>(),
        ) {
            let video = VideoWriter::new(Size { width: 2 * width, height: 2 * height }, 25);
            prop_assert_eq!(video.first(number.into()).len(), video.first(0).len());
        }
    }

    #[test]
    fn the_adts_header_has_the_frame_length() {
        let frame = silent_frame();
        assert_eq!(frame[..3], [0xff, 0xf1, 0x4c]);
        let length =
            usize::from(frame[3] & 3) << 11 | usize::from(frame[4]) << 3 | usize::from(frame[5]) >> 5;
        assert_eq!(length, frame.len());
    }

    #[test]
    fn codes_equal_those_of_the_standard() {
        // Table 9-2: 0 is 1, 1 is 010, 2 is 011, 3 is 00100.
        let mut bits = BitWriter::default();
        bits.ue(0).ue(1).ue(2).ue(3).trailing();
        assert_eq!(bits.take(), [0b1010_0110, 0b0100_1000]);
        bits.bits(0b101, 3).align().bytes([7]);
        assert_eq!(bits.take(), [0b1010_0000, 7]);
    }
}
