//! A fragmented MP4 as FFmpeg writes it (ISO/IEC 14496-12): the initialization section, and then each `moof` with its
//! `mdat`.

use std::ops::Range;

/// The largest box: a part of any video is smaller.
const LARGEST: usize = 256 << 20;
/// `sample_is_non_sync_sample` of sample flags.
const NON_SYNC: u32 = 0x0001_0000;

/// A piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Everything before the first fragment.
    Initialization(Vec<u8>),
    /// A fragment: a `moof` and its `mdat`.
    Fragment(Fragment),
}

/// A fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Both boxes.
    pub(crate) bytes: Vec<u8>,
    /// Frames of video in it.
    pub(crate) video_frames: u32,
    /// Whether it begins with a frame of video that can be decoded without others.
    pub(crate) is_independent: bool,
}

/// The reason why bytes are not what FFmpeg writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Divides the bytes of a file, however they arrive.
#[derive(Debug, Default)]
pub(crate) struct Divider {
    bytes: Vec<u8>,
    /// The boxes of the piece that is being read, up to here.
    read: usize,
    /// The track with the video, once the initialization section is complete.
    video: Option<u32>,
    begun: bool,
}

impl Divider {
    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next piece that is complete.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, Malformed> {
        loop {
            let rest = self.bytes.get(self.read..).unwrap_or_default();
            let Some(head) = rest.first_chunk::<8>() else { return Ok(None) };
            let [a, b, c, d, kind @ ..] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if !(8..=LARGEST).contains(&length) {
                return Err(Malformed);
            }
            if &kind == b"moof" && !self.begun {
                let initialization: Vec<u8> = self.bytes.drain(..self.read).collect();
                (self.read, self.begun) = (0, true);
                self.video = video_track(&initialization);
                return Ok(Some(Piece::Initialization(initialization)));
            }
            if rest.len() < length {
                return Ok(None);
            }
            self.read += length;
            if &kind == b"mdat" {
                let bytes: Vec<u8> = self.bytes.drain(..std::mem::take(&mut self.read)).collect();
                let (video_frames, is_independent) = self.frames(&bytes);
                return Ok(Some(Piece::Fragment(Fragment { bytes, video_frames, is_independent })));
            }
        }
    }

    /// The number of video frames of a fragment, and whether the first one is a sync sample.
    fn frames(&self, bytes: &[u8]) -> (u32, bool) {
        let mut frames = (0, false);
        for moof in boxes(bytes, b"moof") {
            for traf in boxes(moof, b"traf") {
                let Some((track, default_flags)) = boxes(traf, b"tfhd").next().and_then(track_header) else {
                    continue;
                };
                if Some(track) != self.video {
                    continue;
                }
                for trun in boxes(traf, b"trun") {
                    let Some((count, flags)) = run(trun) else { continue };
                    let flags = flags.or(default_flags).unwrap_or(NON_SYNC);
                    if frames.0 == 0 {
                        frames.1 = flags & NON_SYNC == 0;
                    }
                    frames.0 += count;
                }
            }
        }
        frames
    }
}

/// The contents of the boxes of a kind in `bytes`.
fn boxes<'a>(bytes: &'a [u8], kind: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let head = bytes.get(at..)?.first_chunk::<8>()?;
            let [a, b, c, d, found @ ..] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let content: Range<usize> = at + 8..at + length.max(8);
            at = content.end;
            if found == *kind {
                return bytes.get(content);
            }
        }
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of the track with the video.
fn video_track(initialization: &[u8]) -> Option<u32> {
    let moov = boxes(initialization, b"moov").next()?;
    boxes(moov, b"trak").find_map(|trak| {
        let handler = boxes(boxes(trak, b"mdia").next()?, b"hdlr").next()?;
        if handler.get(8..12)? != b"vide" {
            return None;
        }
        let header = boxes(trak, b"tkhd").next()?;
        // Version 1 has times of 64 bits.
        number(header, if *header.first()? == 1 { 20 } else { 12 })
    })
}

/// The track of a `tfhd`, and the default flags of its samples.
fn track_header(tfhd: &[u8]) -> Option<(u32, Option<u32>)> {
    let flags = number(tfhd, 0)?;
    // The optional fields before the default flags, each with its bit and its size.
    let before = [(0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)];
    let at: usize = before.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, size)| size).sum();
    let default = (flags & 0x20 != 0).then(|| number(tfhd, 8 + at)).flatten();
    Some((number(tfhd, 4)?, default))
}

/// The number of samples of a `trun`, and the flags of the first one, if it has them.
fn run(trun: &[u8]) -> Option<(u32, Option<u32>)> {
    let flags = number(trun, 0)?;
    let mut at = 8 + if flags & 0x1 != 0 { 4 } else { 0 };
    if flags & 0x4 != 0 {
        return Some((number(trun, 4)?, number(trun, at)));
    }
    let before = [(0x100, 4), (0x200, 4)];
    at += before.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, size)| size).sum::<usize>();
    let own = (flags & 0x400 != 0).then(|| number(trun, at)).flatten();
    Some((number(trun, 4)?, own))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 8).unwrap();
        [&length.to_be_bytes(), kind.as_slice(), content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Track 1 is audio and track 2 is video, as an initialization section of FFmpeg has them.
    fn initialization() -> Vec<u8> {
        let track = |id, kind: &[u8; 4]| {
            let handler = [words(&[0, 0]), kind.to_vec(), vec![0; 13]].concat();
            let header = boxed(b"tkhd", &words(&[7, 0, 0, id, 0]));
            boxed(b"trak", &[header, boxed(b"mdia", &boxed(b"hdlr", &handler))].concat())
        };
        let moov = boxed(b"moov", &[track(1, b"soun"), track(2, b"vide")].concat());
        [boxed(b"ftyp", b"iso5"), moov].concat()
    }

    /// A fragment with one frame of `track`; `first` are the flags in its `trun`.
    fn fragment(track: u32, first: Option<u32>) -> Vec<u8> {
        let header = boxed(b"tfhd", &words(&[0x2_0038, track, 512, 99, NON_SYNC]));
        let run = match first {
            Some(flags) => words(&[0x5, 1, 112, flags]),
            None => words(&[0x1, 1, 108]),
        };
        let moof = boxed(b"moof", &boxed(b"traf", &[header, boxed(b"trun", &run)].concat()));
        [moof, boxed(b"mdat", &[7; 9])].concat()
    }

    fn pieces(bytes: &[u8], step: usize) -> Result<Vec<Piece>, Malformed> {
        let (mut divider, mut found) = (Divider::default(), Vec::new());
        for chunk in bytes.chunks(step.max(1)) {
            divider.push(chunk);
            while let Some(piece) = divider.next_piece()? {
                found.push(piece);
            }
        }
        Ok(found)
    }

    #[test]
    fn frames_of_video_are_counted_and_sync_samples_found() {
        let sync = 0x0200_0000;
        let all =
            [initialization(), fragment(2, Some(sync)), fragment(1, Some(sync)), fragment(2, None)].concat();
        let found = pieces(&all, 1000).unwrap();
        assert_eq!(found[0], Piece::Initialization(initialization()));
        let facts: Vec<_> = found[1..]
            .iter()
            .map(|piece| match piece {
                Piece::Fragment(one) => (one.video_frames, one.is_independent),
                Piece::Initialization(_) => panic!("a second one"),
            })
            .collect();
        assert_eq!(facts, [(1, true), (0, false), (1, false)]);
        assert_eq!(pieces(&[0; 16], 16), Err(Malformed));
    }

    proptest! {
        #[test]
        fn nothing_depends_on_how_the_bytes_arrive(step in 1_usize..200, count in 0_usize..9) {
            let all = [initialization(), fragment(2, None).repeat(count), fragment(1, None)].concat();
            let found = pieces(&all, step).unwrap();
            prop_assert_eq!(&found, &pieces(&all, all.len()).unwrap());
            let bytes: Vec<u8> = found
                .into_iter()
                .flat_map(|piece| match piece {
                    Piece::Initialization(bytes) => bytes,
                    Piece::Fragment(fragment) => fragment.bytes,
                })
                .collect();
            prop_assert_eq!(bytes, all);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(pieces(&[initialization(), bytes].concat(), 7));
        }
    }
}
