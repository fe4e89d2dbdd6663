//! The sound: silence, as AAC frames written by hand (ISO/IEC 14496-3).

use super::bits::Bits;

/// Time of one frame, in 90 kHz: 1024 samples at 48 kHz.
pub(crate) const FRAME_TICKS: u64 = 1920;
/// RFC 6381's name: AAC, low complexity.
pub(crate) const CODEC: &str = "mp4a.40.2";

/// One frame of silence, 48 kHz stereo, with its ADTS header.
pub(crate) fn frame() -> Vec<u8> {
    let mut body = Bits::default();
    // A pair of channels with a common window: one long window, no bands, no prediction, no M/S.
    body.bits(1, 3).bits(0, 4).bits(1, 1).bits(0, 1).bits(0, 2).bits(0, 1).bits(0, 6).bits(0, 1).bits(0, 2);
    for _channel in 0..2 {
        // Gain; neither pulses nor noise shaping nor gain control.
        body.bits(0, 8).bits(0, 3);
    }
    let body = body.bits(7, 3).take();
    let length = u32::try_from(body.len() + 7).unwrap_or_default();
    let mut frame = Bits::default();
    // Sync word, MPEG-4, no checksum; low complexity, 48 kHz, two channels; length, variable rate.
    frame.bits(0xfff, 12).bits(0, 1).bits(0, 2).bits(1, 1).bits(1, 2).bits(3, 4).bits(0, 1).bits(2, 3);
    frame.bits(0, 4).bits(length, 13).bits(0x7ff, 11).bits(0, 2).whole(body);
    frame.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_length() {
        let frame = frame();
        assert_eq!(frame[..3], [0xff, 0xf1, 0x4c]);
        let length =
            usize::from(frame[3] & 3) << 11 | usize::from(frame[4]) << 3 | usize::from(frame[5]) >> 5;
        assert_eq!(length, frame.len());
    }
}
