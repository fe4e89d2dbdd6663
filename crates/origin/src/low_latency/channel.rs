//! Cuts the streams that FFmpeg writes into pipes into parts and segments, writes them to files, and publishes them.

use std::io::{self, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::AbortHandle;

use hls_swarm_os::machine::Storage;

use super::Division;
use super::edge::Edge;
use super::fragments::{Divider, Fragment, Malformed, Piece};
use super::live_list::LiveList;
use crate::layout::Rendition;
use crate::profile::derived::Derived;
use crate::publisher::PublishStatus;
use crate::publisher::publication::Position;
use crate::publisher::sequence_state::SequenceState;

const READ_BYTES: usize = 64 << 10;

/// The publisher of one stream with parts.
#[derive(Debug)]
pub(crate) struct PartPublisher {
    stream: Arc<CutStream>,
    encoder: Mutex<Option<Encoder>>,
    stale_after: Duration,
    stalled_after: Duration,
    segment_bytes: u64,
}

/// What the readers of all pipes share.
#[derive(Debug)]
struct CutStream {
    directory: PathBuf,
    edge: Arc<Edge>,
    division: Division,
    state: Option<SequenceState>,
}

/// The pipes of one FFmpeg process. Its readers end with it.
#[derive(Debug)]
struct Encoder {
    started: Instant,
    /// FFmpeg inherits them at its start.
    _pipes: Vec<OwnedFd>,
    readers: Vec<AbortHandle>,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

impl PartPublisher {
    pub(crate) fn new(
        directory: PathBuf,
        edge: Arc<Edge>,
        division: Division,
        derived: &Derived,
        state: Option<SequenceState>,
    ) -> Self {
        let stale_after = Duration::from_secs(derived.stale_after_seconds.into());
        Self {
            stream: Arc::new(CutStream { directory, edge, division, state }),
            encoder: Mutex::default(),
            stale_after,
            stalled_after: 2 * stale_after + Duration::from_secs(10),
            segment_bytes: derived.segment_bytes,
        }
    }

    /// The stream's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.stream.directory
    }

    /// Prepares for a new FFmpeg process: the number of its first segment, and the descriptors that it writes the
    /// renditions to.
    pub(crate) fn begin_encoder(&self) -> io::Result<(u64, Vec<RawFd>)> {
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        // The readers of the process before end first.
        *encoder = None;
        let number = self.stream.finish_all()?;
        let begun = Arc::new(OnceLock::new());
        let (mut pipes, mut readers) = (Vec::new(), Vec::new());
        let renditions: Vec<Rendition> =
            self.stream.edge.change(|lists| lists.iter().map(|list| list.rendition().clone()).collect());
        for (index, rendition) in renditions.into_iter().enumerate() {
            let (reader, writer) = pipe()?;
            let receiver = Receiver::from_owned_fd(reader.into())?;
            let (stream, begun) = (Arc::clone(&self.stream), Arc::clone(&begun));
            let cutter = Cutter::new(stream, rendition, index, number, begun);
            readers.push(tokio::spawn(cutter.run(receiver)).abort_handle());
            pipes.push(writer.into());
        }
        let descriptors = pipes.iter().map(AsRawFd::as_raw_fd).collect();
        *encoder = Some(Encoder { started: Instant::now(), _pipes: pipes, readers });
        Ok((number, descriptors))
    }

    /// Whether the playlists are up to date.
    pub(crate) fn is_fresh(&self) -> bool {
        self.has_begun() && self.stream.edge.idle().is_some_and(|idle| idle < self.stale_after)
    }

    /// Whether every rendition has a whole segment.
    pub(crate) fn has_begun(&self) -> bool {
        self.stream.edge.has_segments()
    }

    /// Whether there is enough free space for several more segments.
    pub(crate) fn has_space(&self) -> bool {
        let free = Storage::of(&self.stream.directory).ok().map(|storage| storage.available_bytes);
        free.is_none_or(|bytes| bytes >= 4 * self.segment_bytes)
    }

    /// Whether the stream advances.
    pub(crate) fn status(&self) -> PublishStatus {
        if !self.has_space() {
            return PublishStatus::NoSpace;
        }
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(encoder) = encoder.as_mut() else { return PublishStatus::Ok };
        let idle = self.stream.edge.idle().map_or(Duration::MAX, |idle| idle.min(encoder.started.elapsed()));
        if self.has_begun() && idle > self.stalled_after {
            encoder.started = Instant::now();
            return PublishStatus::Stalled;
        }
        PublishStatus::Ok
    }
}

impl CutStream {
    /// Completes the segments that an FFmpeg process has left incomplete. Returns the number of the next one, which is the
    /// same in all renditions.
    fn finish_all(&self) -> io::Result<u64> {
        let open: Vec<(Rendition, (u64, usize))> = self
            .edge
            .change(|lists| lists.iter().map(|list| (list.rendition().clone(), list.position())).collect());
        let next = open.iter().map(|(_, (number, parts))| number + u64::from(*parts > 0)).max().unwrap_or(0);
        for (rendition, (number, parts)) in &open {
            let mut segment = Vec::new();
            for index in 0..*parts as u64 {
                segment.extend(std::fs::read(self.directory.join(rendition.part(*number, index)))?);
            }
            if *parts > 0 {
                self.write(&rendition.segment(*number), &segment)?;
            }
        }
        let files: Vec<String> = self.edge.change(|lists| {
            let complete = |list: &mut LiveList| {
                let mut files = Vec::new();
                if list.position().1 > 0 {
                    files.extend(list.finish_segment());
                }
                while list.position().0 < next {
                    files.extend(list.add_gap());
                }
                list.begin_encoder(next);
                files
            };
            lists.iter_mut().flat_map(complete).collect()
        });
        self.remove(&files);
        Ok(next)
    }

    /// Writes a file that appears whole.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(format!(".{name}.part"));
        std::fs::write(&temporary, bytes)?;
        std::fs::rename(temporary, self.directory.join(name))
    }

    fn remove(&self, files: &[String]) {
        // One that is gone already is as good.
        files.iter().for_each(|file| drop(std::fs::remove_file(self.directory.join(file))));
    }
}

/// The reader of one pipe.
struct Cutter {
    stream: Arc<CutStream>,
    rendition: Rendition,
    index: usize,
    encoder_start: u64,
    /// The date of the first frame of this process, the same in all renditions.
    begun: Arc<OnceLock<Timestamp>>,
    part: Vec<u8>,
    part_frames: u32,
    independent: bool,
    segment: Vec<u8>,
    segment_frames: u32,
    parts: u32,
}

impl Cutter {
    const fn new(
        stream: Arc<CutStream>,
        rendition: Rendition,
        index: usize,
        encoder_start: u64,
        begun: Arc<OnceLock<Timestamp>>,
    ) -> Self {
        Self {
            stream,
            rendition,
            index,
            encoder_start,
            begun,
            part: Vec::new(),
            part_frames: 0,
            independent: false,
            segment: Vec::new(),
            segment_frames: 0,
            parts: 0,
        }
    }

    async fn run(mut self, mut pipe: Receiver) {
        let (mut divider, mut buffer) = (Divider::default(), vec![0; READ_BYTES]);
        loop {
            let count = match pipe.read(&mut buffer).await {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) => return tracing::warn!(%error, "cannot read what FFmpeg writes"),
            };
            divider.push(buffer.get(..count).unwrap_or_default());
            loop {
                let piece = match divider.next_piece() {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break,
                    Err(Malformed) => return tracing::error!("FFmpeg does not write a fragmented MP4"),
                };
                if let Err(error) = self.take(piece) {
                    // The stream stalls, and FFmpeg is replaced.
                    return tracing::warn!(%error, "cannot write a part");
                }
            }
        }
    }

    fn take(&mut self, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Initialization(bytes) => {
                self.stream.write(&self.rendition.initialization(self.encoder_start), &bytes)
            }
            Piece::Fragment(fragment) => self.take_fragment(&fragment),
        }
    }

    fn take_fragment(&mut self, fragment: &Fragment) -> io::Result<()> {
        let has_video = fragment.video_frames > 0;
        if has_video && fragment.is_independent && self.segment_frames > 0 {
            // A GOP that is shorter than a segment ends it.
            self.finish_part(true)?;
        }
        if has_video && self.part_frames == 0 {
            self.independent = fragment.is_independent;
        }
        self.part.extend_from_slice(&fragment.bytes);
        self.part_frames += fragment.video_frames;
        self.segment_frames += fragment.video_frames;
        let division = self.stream.division;
        if has_video && self.part_frames >= division.frames_of(self.parts) {
            self.finish_part(self.segment_frames >= division.segment_frames)?;
        }
        Ok(())
    }

    /// Publishes the part, and the segment if it `is_last`.
    fn finish_part(&mut self, is_last: bool) -> io::Result<()> {
        let Self { stream, rendition, index, .. } = self;
        let seconds = stream.division.seconds(self.part_frames);
        let (number, parts) = stream.edge.position(*index);
        let has_part = self.part_frames > 0;
        if has_part {
            stream.write(&rendition.part(number, parts as u64), &self.part)?;
            self.segment.append(&mut self.part);
        }
        if is_last {
            stream.write(&rendition.segment(number), &self.segment)?;
        }
        let date = *self.begun.get_or_init(|| {
            // The first frame was recorded one part ago, and the part ended when the frame after it came. Nothing is
            // exact below a millisecond.
            let (now, ago) = (Timestamp::now(), seconds + stream.division.seconds(1));
            let first = now.checked_sub(Duration::from_secs_f64(ago)).unwrap_or(now);
            Timestamp::from_millisecond(first.as_millisecond()).unwrap_or(first)
        });
        if let (true, 0, Some(state)) = (is_last, *index, &stream.state) {
            // First, because the next start must not reuse a number that viewers have seen.
            let discontinuities = stream.edge.discontinuities(*index);
            state.save(Position { next: number + 1, discontinuities })?;
        }
        let files = stream.edge.change(|lists| {
            let Some(list) = lists.get_mut(*index) else { return Vec::new() };
            if has_part {
                list.add_part(seconds, self.independent, Some(date));
            }
            if is_last { list.finish_segment() } else { Vec::new() }
        });
        stream.remove(&files);
        (self.part_frames, self.parts) = (0, self.parts + 1);
        if is_last {
            self.segment.clear();
            (self.segment_frames, self.parts) = (0, 0);
        }
        Ok(())
    }
}
