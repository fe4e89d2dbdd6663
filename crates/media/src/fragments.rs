//! The times of fragmented MP4 (ISO/IEC 14496-12): those of the fragments (`moof`), with the tracks of the initialization
//! section (`moov`). The boxes are read by `mp4-atom`; this module finds them in bytes that arrive in pieces.

use mp4_atom::{Atom, Decode, FourCC, Hdlr, Header, Mdhd, Tfdt, Tfhd, Tkhd, Trex, Trun};

use crate::times::{Times, Unread};

/// The largest box that is kept, bytes: a fragment with 100,000 samples needs less.
const LARGEST: u64 = 4 << 20;
/// The longest header of a box, bytes.
const HEADER: usize = 16;
/// The boxes that a segment or an initialization section can begin with.
const FIRST: [&[u8; 4]; 10] =
    [b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft", b"free", b"skip", b"uuid"];

/// The tracks of an initialization section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks(pub Vec<Track>);

/// A track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number.
    pub id: u32,
    /// Whether it is video.
    pub is_video: bool,
    /// The units of its times per second.
    pub timescale: u32,
    /// The duration of a sample, where its fragment does not say it.
    pub sample_duration: u32,
}

/// A body as it arrives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragments {
    header: Vec<u8>,
    /// The box under way.
    inside: Option<Inside>,
    tracks: Option<Tracks>,
    runs: Vec<Run>,
    has_begun: bool,
    failure: Option<Unread>,
}

/// A box of which a part has arrived.
#[derive(Clone, Debug)]
struct Inside {
    kind: FourCC,
    left: u64,
    /// Its content, if it is of use.
    content: Option<Vec<u8>>,
}

/// The samples of one track in one fragment.
#[derive(Clone, Copy, Debug)]
struct Run {
    track: u32,
    /// The decode time of the first one; `None` = it follows the fragment before.
    start: Option<u64>,
    /// The sum of the durations that are written.
    written: u64,
    /// The number of samples whose duration is the default.
    by_default: u64,
    /// That of the fragment, if it has one.
    default: Option<u32>,
}

impl Fragments {
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failure.is_none() {
            bytes = match &mut self.inside {
                Some(inside) => {
                    let most = usize::try_from(inside.left).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, rest) = bytes.split_at(most);
                    inside.left -= part.len() as u64;
                    if let Some(content) = &mut inside.content {
                        content.extend_from_slice(part);
                    }
                    rest
                }
                None => self.begin(bytes),
            };
            if let Some(inside) = self.inside.take_if(|inside| inside.left == 0) {
                self.end(inside);
            }
        }
    }

    /// Takes bytes of a box's header. Returns the others.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        // 8 bytes, or 16 if the length is a large one.
        let wanted = if self.header.starts_with(&[0, 0, 0, 1]) { HEADER } else { HEADER / 2 };
        let (part, rest) = bytes.split_at((wanted - self.header.len()).min(bytes.len()));
        self.header.extend_from_slice(part);
        let is_large = self.header.starts_with(&[0, 0, 0, 1]);
        if self.header.len() < HEADER / 2 || (is_large && self.header.len() < HEADER) {
            return rest;
        }
        match Header::decode(&mut self.header.as_slice()) {
            Ok(header) => {
                let kind: [u8; 4] = header.kind.into();
                if !self.has_begun && !FIRST.contains(&&kind) {
                    self.failure = Some(Unread::Format);
                }
                self.has_begun = true;
                let left = header.size.map_or(u64::MAX, |size| size as u64);
                let is_kept = matches!(&kind, b"moov" | b"moof");
                if is_kept && left > LARGEST {
                    self.failure = Some(Unread::Malformed);
                }
                self.inside = Some(Inside { kind: header.kind, left, content: is_kept.then(Vec::new) });
            }
            Err(_) if self.has_begun => self.failure = Some(Unread::Malformed),
            Err(_) => self.failure = Some(Unread::Format),
        }
        self.header.clear();
        rest
    }

    fn end(&mut self, inside: Inside) {
        let Some(content) = inside.content else { return };
        let kind: [u8; 4] = inside.kind.into();
        let read = if &kind == b"moov" {
            tracks(&content).map(|tracks| self.tracks = Some(tracks))
        } else {
            runs(&content, &mut self.runs)
        };
        if read.is_none() {
            self.failure = Some(Unread::Malformed);
        }
    }

    pub(crate) fn tracks(&self) -> Option<&Tracks> {
        self.tracks.as_ref().filter(|_| self.failure.is_none())
    }

    pub(crate) fn times(&self, tracks: Option<&Tracks>) -> Result<Times, Unread> {
        // A box that lasts until the end of the body is whole; any other one that is under way was cut.
        let is_cut = self.inside.as_ref().is_some_and(|inside| inside.left < u64::MAX / 2);
        match self.failure {
            Some(failure) => return Err(failure),
            None if is_cut || !self.header.is_empty() => return Err(Unread::Malformed),
            None => {}
        }
        // A segment may have an initialization section of its own.
        let tracks = self.tracks.as_ref().or(tracks).ok_or(Unread::Initialization)?;
        let has_samples = |track: &&Track| self.runs.iter().any(|run| run.track == track.id);
        let video = tracks.0.iter().filter(has_samples).find(|track| track.is_video);
        let track = video.or_else(|| tracks.0.iter().find(has_samples)).ok_or(Unread::NoTimes)?;
        let mut runs = self.runs.iter().filter(|run| run.track == track.id).peekable();
        let start = runs.peek().and_then(|run| run.start).ok_or(Unread::NoTimes)?;
        let mut end = start;
        for run in runs {
            let default = run.default.unwrap_or(track.sample_duration);
            let lasts = run.by_default.saturating_mul(default.into()).saturating_add(run.written);
            end = run.start.unwrap_or(end).saturating_add(lasts).max(end);
        }
        let (start_us, end_us) = (microseconds(start, track.timescale), microseconds(end, track.timescale));
        Ok(Times {
            start_us,
            duration_us: Some(end_us.saturating_sub(start_us)).filter(|duration| *duration > 0),
            error_us: 0,
            wraps: false,
        })
    }
}

fn microseconds(ticks: u64, timescale: u32) -> u64 {
    let us = u128::from(ticks) * 1_000_000 / u128::from(timescale.max(1));
    u64::try_from(us).unwrap_or(u64::MAX)
}

/// The boxes in `content`, up to the first one that is cut.
fn boxes(mut content: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::decode(&mut content).ok()?;
        let (body, rest) = content.split_at_checked(header.size.unwrap_or(content.len()))?;
        content = rest;
        Some((header.kind.into(), body))
    })
}

/// The contents of the boxes of a kind.
fn all<'a>(content: &'a [u8], kind: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    boxes(content).filter_map(move |(found, body)| (found == *kind).then_some(body))
}

/// The first box of a type; `None` if there is none, or if it is malformed.
fn one<T: Atom>(content: &[u8]) -> Option<T> {
    let kind: [u8; 4] = T::KIND.into();
    T::decode_body(&mut all(content, &kind).next()?).ok()
}

/// The tracks of a `moov`; `None` if it is malformed.
fn tracks(moov: &[u8]) -> Option<Tracks> {
    let defaults: Vec<Trex> = all(moov, b"mvex")
        .flat_map(|mvex| all(mvex, b"trex"))
        .filter_map(|mut trex| Trex::decode_body(&mut trex).ok())
        .collect();
    let track = |trak: &[u8]| {
        let id = one::<Tkhd>(trak)?.track_id;
        let mdia = all(trak, b"mdia").next()?;
        let default = defaults.iter().find(|trex| trex.track_id == id);
        Some(Track {
            id,
            is_video: one::<Hdlr>(mdia).is_some_and(|hdlr| hdlr.handler == FourCC::new(b"vide")),
            timescale: one::<Mdhd>(mdia)?.timescale,
            sample_duration: default.map_or(0, |trex| trex.default_sample_duration),
        })
    };
    all(moov, b"trak").map(track).collect::<Option<Vec<Track>>>().map(Tracks)
}

/// Adds the runs of a `moof`; `None` if it is malformed.
fn runs(moof: &[u8], runs: &mut Vec<Run>) -> Option<()> {
    for traf in all(moof, b"traf") {
        let header: Tfhd = one(traf)?;
        let mut run = Run {
            track: header.track_id,
            start: one::<Tfdt>(traf).map(|tfdt| tfdt.base_media_decode_time),
            written: 0,
            by_default: 0,
            default: header.default_sample_duration,
        };
        for mut trun in all(traf, b"trun") {
            let samples = Trun::decode_body(&mut trun).ok()?.samples;
            if let mp4_atom::TrunSamples::Inherited { count, .. } = samples {
                run.by_default += u64::from(count);
                continue;
            }
            for sample in samples.iter() {
                match sample.duration {
                    Some(duration) => run.written += u64::from(duration),
                    None => run.by_default += 1,
                }
            }
        }
        runs.push(run);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [length.as_slice(), kind, content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn trak(id: u32, handler: &[u8; 4], timescale: u32) -> Vec<u8> {
        let tkhd = boxed(b"tkhd", &[words(&[3, 0, 0, id, 0, 0]), vec![0; 60]].concat());
        let mdhd = boxed(b"mdhd", &words(&[0, 0, 0, timescale, 0, 0x55c4_0000]));
        let hdlr = boxed(b"hdlr", &[&words(&[0, 0])[..], handler, &[0; 13]].concat());
        boxed(b"trak", &[tkhd, boxed(b"mdia", &[mdhd, hdlr].concat())].concat())
    }

    fn initialization() -> Vec<u8> {
        let trex = |id: u32, duration: u32| boxed(b"trex", &words(&[0, id, 1, duration, 0, 0]));
        let mvex = boxed(b"mvex", &[trex(1, 1024), trex(2, 0)].concat());
        let moov = [trak(1, b"soun", 48_000), trak(2, b"vide", 12_800), mvex].concat();
        [boxed(b"ftyp", b"iso6\0\0\0\0iso6"), boxed(b"moov", &moov)].concat()
    }

    /// A fragment of 50 frames of video of 512 units, and of audio.
    fn fragment(start: u32) -> Vec<u8> {
        let tfdt = |at: u32| boxed(b"tfdt", &words(&[0, at]));
        let audio = [boxed(b"tfhd", &words(&[0x0002_0000, 1])), tfdt(0), boxed(b"trun", &words(&[0, 90]))];
        let durations: Vec<u32> = [0x100, 50].into_iter().chain([512; 50]).collect();
        let video =
            [boxed(b"tfhd", &words(&[0x0002_0000, 2])), tfdt(start), boxed(b"trun", &words(&durations))];
        let mfhd = boxed(b"mfhd", &words(&[0, 1]));
        let moof = [mfhd, boxed(b"traf", &audio.concat()), boxed(b"traf", &video.concat())].concat();
        [boxed(b"moof", &moof), boxed(b"mdat", &[7; 5000])].concat()
    }

    fn read(bytes: &[u8], piece: usize) -> Fragments {
        let mut fragments = Fragments::default();
        bytes.chunks(piece).for_each(|piece| fragments.take(piece));
        fragments
    }

    #[test]
    fn tracks_have_the_defaults_of_the_initialization_section() {
        let audio = Track { id: 1, is_video: false, timescale: 48_000, sample_duration: 1024 };
        let video = Track { id: 2, is_video: true, timescale: 12_800, sample_duration: 0 };
        for piece in [1, 5, 10_000] {
            assert_eq!(read(&initialization(), piece).tracks(), Some(&Tracks(vec![audio, video])));
        }
    }

    #[test]
    fn the_times_of_video_count_however_the_bytes_arrive() {
        let bytes = [boxed(b"styp", b"msdh\0\0\0\0"), fragment(128_000), fragment(153_600)].concat();
        let init = read(&initialization(), 100);
        let wanted = Times { start_us: 10_000_000, duration_us: Some(4_000_000), error_us: 0, wraps: false };
        for piece in [1, 9, 100_000] {
            assert_eq!(read(&bytes, piece).times(init.tracks()), Ok(wanted), "in pieces of {piece}");
        }
        let whole = [initialization(), fragment(128_000)].concat();
        assert_eq!(read(&whole, 99).times(None).unwrap().duration_us, Some(2_000_000), "with its own tracks");
        let audio = Tracks(init.tracks().unwrap().0[..1].to_vec());
        assert_eq!(read(&fragment(0), 9).times(Some(&audio)).unwrap().duration_us, Some(1_920_000));
    }

    #[test]
    fn what_has_no_times_is_named() {
        let init = read(&initialization(), 100);
        let times = |bytes: &[u8]| read(bytes, 50).times(init.tracks());
        assert_eq!(read(&fragment(0), 50).times(None), Err(Unread::Initialization));
        assert_eq!(times(&initialization()), Err(Unread::NoTimes));
        assert_eq!(times(&fragment(0)[..3000]), Err(Unread::Malformed), "cut");
        assert_eq!(times(b"ID3\x04\0\0\0\0\0\0 packed audio"), Err(Unread::Format));
        let broken = boxed(b"moof", &boxed(b"traf", &boxed(b"tfhd", &[0; 4])));
        assert_eq!(times(&broken), Err(Unread::Malformed));
        let huge = [words(&[u32::MAX]), b"moof".to_vec()].concat();
        assert_eq!(times(&huge), Err(Unread::Malformed));
    }
}
