//! The apparent content of a body, by the code of the probe, for clients that do not read whole bodies.

use crate::record as wire;

mod http;

pub use http::Inspector;

#[cfg(test)]
mod tests {
    use super::wire::content;
    use super::*;

    /// Takes a body, but only counts what does not matter.
    fn inspect(body: &[u8], piece: usize) -> (Inspector, usize) {
        let (mut inspector, mut at, mut taken) = (Inspector::new(), 0, 0);
        inspector.begin();
        while at < body.len() {
            let rest = body.len() - at;
            let skip = usize::try_from(inspector.irrelevant()).unwrap_or(usize::MAX).min(rest);
            if skip > 0 {
                inspector.skip(skip as u64);
                at += skip;
            } else {
                let end = at + piece.min(rest);
                inspector.take(&body[at..end]);
                taken += end - at;
                at = end;
            }
        }
        (inspector, taken)
    }

    fn boxed(kind: &[u8; 4], size: u32) -> Vec<u8> {
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.resize(size as usize, 7);
        bytes
    }

    #[test]
    fn packets_are_known_by_their_beginning_and_their_length() {
        let packets = [[0x47_u8].as_slice(), &[0; 187]].concat().repeat(100);
        let (whole, taken) = inspect(&packets, 300);
        assert_eq!((whole.kind(), whole.is_cut_short(), taken), (content::MPEG_TS, false, 600));
        let (cut, _) = inspect(&packets[..packets.len() - 7], 300);
        assert!(cut.is_cut_short());
    }

    #[test]
    fn only_the_headers_of_boxes_are_read() {
        let body =
            [boxed(b"styp", 24), boxed(b"moof", 1000), boxed(b"mdat", 50_000), boxed(b"moof", 900)].concat();
        let (whole, taken) = inspect(&body, 8);
        assert_eq!((whole.kind(), whole.is_cut_short()), (content::ISO_BOX, false));
        assert!(taken < 500, "{taken}");
        let (cut, _) = inspect(&body[..body.len() - 1], 8);
        assert!(cut.is_cut_short());
    }
}
