//! The frames that arrive on an HTTP/2 connection (RFC 9113, 4.1), without I/O: what of them is not a body, and which
//! requests the peer refuses. The library that speaks HTTP/2 shows neither.

/// The length of a frame header, bytes.
const HEADER_BYTES: usize = 9;
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Follows the frames of a connection.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The header of the frame under way, and how much of it has arrived.
    header: [u8; HEADER_BYTES],
    filled: usize,
    /// The rest of the payload under way, bytes.
    rest: u32,
    /// The beginning of a payload of GOAWAY: the last stream that is processed.
    last_stream: [u8; 4],
    last_stream_filled: usize,
    /// Streams whose responses are under way, with the bytes of each that are not a body.
    streams: Vec<(u32, u64)>,
    /// The last stream that the peer processes, once it has sent GOAWAY.
    last_processed: Option<u32>,
}

impl Frames {
    /// Counts what arrives on a stream from now on.
    pub(crate) fn watch(&mut self, stream: u32) {
        self.streams.push((stream, 0));
    }

    /// Bytes so far of a stream that are not a body: heads, trailers, and frame headers.
    pub(crate) fn head_bytes(&self, stream: u32) -> u64 {
        self.streams.iter().find(|(known, _)| *known == stream).map_or(0, |(_, bytes)| *bytes)
    }

    /// Stops counting what arrives on a stream.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.streams.retain(|(known, _)| *known != stream);
    }

    /// Streams whose responses are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.streams.len()
    }

    /// Whether the peer accepts no further request.
    pub(crate) const fn is_going_away(&self) -> bool {
        self.last_processed.is_some()
    }

    /// Whether the peer has announced that it does not process this stream.
    pub(crate) fn is_refused(&self, stream: u32) -> bool {
        self.last_processed.is_some_and(|last| stream > last)
    }

    /// Takes bytes that arrived, in any pieces.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(byte) = bytes.first() {
            if self.filled < HEADER_BYTES {
                if let Some(place) = self.header.get_mut(self.filled) {
                    *place = *byte;
                }
                self.filled += 1;
                bytes = bytes.get(1..).unwrap_or_default();
                if self.filled == HEADER_BYTES {
                    self.begin();
                }
            } else {
                let length = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(length);
                self.payload(payload);
                self.rest -= u32::try_from(length).unwrap_or(self.rest);
                bytes = rest;
            }
            if self.filled == HEADER_BYTES && self.rest == 0 {
                self.filled = 0;
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, _, s @ ..] = self.header;
        self.rest = u32::from_be_bytes([0, a, b, c]);
        self.last_stream_filled = 0;
        let stream = u32::from_be_bytes(s) & 0x7FFF_FFFF;
        let bytes = match kind {
            DATA => HEADER_BYTES as u64,
            HEADERS | CONTINUATION => HEADER_BYTES as u64 + u64::from(self.rest),
            _ => 0,
        };
        if let Some((_, sum)) = self.streams.iter_mut().find(|(known, _)| *known == stream) {
            *sum += bytes;
        }
    }

    fn payload(&mut self, bytes: &[u8]) {
        let [_, _, _, GOAWAY, ..] = self.header else { return };
        for byte in bytes {
            let Some(place) = self.last_stream.get_mut(self.last_stream_filled) else { return };
            *place = *byte;
            self.last_stream_filled += 1;
            if self.last_stream_filled == self.last_stream.len() {
                let last = u32::from_be_bytes(self.last_stream) & 0x7FFF_FFFF;
                // A later GOAWAY may only lower it (RFC 9113, 6.8).
                self.last_processed = Some(self.last_processed.map_or(last, |known| known.min(last)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    }

    fn sample() -> Vec<u8> {
        [
            frame(4, 0, &[0; 12]),
            frame(HEADERS, 1, &[1; 40]),
            frame(CONTINUATION, 1, &[1; 7]),
            frame(DATA, 1, &[9; 1000]),
            frame(HEADERS, 3, &[1; 5]),
            frame(DATA, 1, &[]),
            frame(GOAWAY, 0, &[0, 0, 0, 3, 0, 0, 0, 0, 77]),
            frame(DATA, 5, &[9; 10]),
        ]
        .concat()
    }

    #[test]
    fn heads_and_frame_headers_are_not_bodies() {
        let mut frames = Frames::default();
        frames.watch(1);
        frames.watch(3);
        frames.take(&sample());
        assert_eq!(frames.head_bytes(1), (9 + 40) + (9 + 7) + 9 + 9);
        assert_eq!((frames.head_bytes(3), frames.head_bytes(5), frames.under_way()), (14, 0, 2));
        assert!(frames.is_going_away() && frames.is_refused(5) && !frames.is_refused(3));
        frames.forget(1);
        assert_eq!((frames.head_bytes(1), frames.under_way()), (0, 1));
    }

    #[test]
    fn a_second_goaway_lowers_the_last_stream() {
        let mut frames = Frames::default();
        frames.take(&frame(GOAWAY, 0, &[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]));
        assert!(frames.is_going_away() && !frames.is_refused(101));
        frames.take(&frame(GOAWAY, 0, &[0, 0, 0, 5, 0, 0, 0, 0]));
        assert!(frames.is_refused(7) && !frames.is_refused(5));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in prop::collection::vec(0_usize..1200, 0..20)) {
            let bytes = sample();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut frames = Frames::default();
            frames.watch(1);
            frames.watch(3);
            for pair in cuts.windows(2) {
                frames.take(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!((frames.head_bytes(1), frames.head_bytes(3)), (83, 14));
            prop_assert!(frames.is_refused(5) && !frames.is_refused(3));
        }

        #[test]
        fn any_bytes_are_followed(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut frames = Frames::default();
            frames.watch(1);
            frames.take(&bytes);
        }
    }
}
