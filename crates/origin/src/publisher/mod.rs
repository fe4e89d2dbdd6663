//! The publisher: writes playlists and subtitles for the segments that FFmpeg has finished, deletes old segments,
//! and detects that a stream stalls or that the disk is full.

pub(crate) mod codecs;
pub(crate) mod multivariant;
pub mod playlist;
pub(crate) mod publication;
pub(crate) mod sequence_state;
pub(crate) mod webvtt;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hls_swarm_os::machine::Storage;
use hls_swarm_os::output::replace_file;

use crate::layout::Media;
use crate::profile::Format;
use crate::profile::derived::Derived;
use crate::publisher::playlist::FinishedSegment;
use crate::publisher::publication::Publication;
use crate::publisher::sequence_state::SequenceState;

/// The result of one publishing step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishStatus {
    /// The stream advances, or has not started yet.
    Ok,
    /// No segment was finished for too long: FFmpeg must be replaced.
    Stalled,
    /// There is no space for the next segments: FFmpeg must be stopped.
    NoSpace,
    /// FFmpeg's list skips a segment: FFmpeg must be replaced.
    MissingSegment,
}

/// The publisher of one stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    directory: PathBuf,
    publication: RefCell<Publication>,
    format: Format,
    state: Option<SequenceState>,
    /// Time when a segment was last published.
    published_at: Cell<Option<Instant>>,
    /// Time when FFmpeg was last started, or reported as stalled.
    restarted_at: Cell<Instant>,
    write_failed: Cell<bool>,
    stale_after: Duration,
    stalled_after: Duration,
    stray_after: Duration,
    segment_bytes: u64,
}

impl Publisher {
    pub(crate) fn new(
        directory: PathBuf,
        publication: Publication,
        format: Format,
        derived: &Derived,
        state: Option<SequenceState>,
    ) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let stale_after = seconds(derived.stale_after_seconds);
        Self {
            directory,
            publication: RefCell::new(publication),
            format,
            state,
            published_at: Cell::new(None),
            restarted_at: Cell::new(Instant::now()),
            write_failed: Cell::new(false),
            stale_after,
            // A restart causes a discontinuity, so a slow encoder gets time to catch up.
            stalled_after: 2 * stale_after + Duration::from_secs(10),
            stray_after: seconds(derived.lifetime_seconds) + stale_after,
            segment_bytes: derived.segment_bytes,
        }
    }

    /// The stream's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Prepares for a new FFmpeg process, and returns the number of its first segment.
    pub(crate) fn begin_encoder(&self) -> u64 {
        let mut publication = self.publication.borrow_mut();
        for rendition in publication.renditions() {
            // The list of the previous process may contain segments that were not published; they are created
            // again.
            drop(std::fs::remove_file(self.directory.join(rendition.list())));
        }
        self.restarted_at.set(Instant::now());
        publication.begin_encoder()
    }

    /// Whether the playlists are up to date.
    pub(crate) fn is_fresh(&self) -> bool {
        self.published_at.get().is_some_and(|since| since.elapsed() < self.stale_after)
    }

    /// Whether any segment was published.
    pub(crate) fn has_begun(&self) -> bool {
        self.published_at.get().is_some()
    }

    /// Whether there is enough free space for several more segments.
    pub(crate) fn has_space(&self) -> bool {
        self.free_bytes().is_none_or(|bytes| bytes >= 4 * self.segment_bytes)
    }

    fn free_bytes(&self) -> Option<u64> {
        Storage::of(&self.directory).ok().map(|storage| storage.available_bytes)
    }

    /// Publishes new segments.
    pub(crate) fn publish(&self) -> PublishStatus {
        let finished = self.finished_segments();
        let mut publication = self.publication.borrow_mut();
        // Segments that were written on a full disk may be truncated, so they are not published.
        if let Some(available) = self.free_bytes().filter(|bytes| *bytes < self.segment_bytes) {
            tracing::debug!(available, needed = self.segment_bytes, "no space left");
            return PublishStatus::NoSpace;
        }
        let Ok(new) = publication.publish(&finished) else { return PublishStatus::MissingSegment };
        if new > 0 || self.write_failed.get() {
            let deletable = publication.delist();
            let written = self.write(&publication, new);
            if let Err(error) = &written {
                tracing::warn!(%error, "cannot write the playlists; trying again");
            }
            self.write_failed.set(written.is_err());
            if written.is_ok() {
                self.published_at.set(Some(Instant::now()));
                // Only now, because the previous playlists listed these segments.
                deletable.iter().for_each(|file| drop(std::fs::remove_file(self.directory.join(file))));
                self.remove_strays(&publication, self.stray_after);
            }
        }
        let since = self.published_at.get().map(|published| published.max(self.restarted_at.get()));
        if since.is_some_and(|since| since.elapsed() > self.stalled_after) {
            self.restarted_at.set(Instant::now());
            return PublishStatus::Stalled;
        }
        PublishStatus::Ok
    }

    /// Removes all files that are not part of the stream, once FFmpeg has ended.
    pub(crate) fn remove_unlisted_files(&self) {
        self.remove_strays(&self.publication.borrow(), Duration::ZERO);
    }

    /// The contents of FFmpeg's lists, in the order of the renditions that it creates.
    fn finished_segments(&self) -> Vec<Vec<FinishedSegment>> {
        let publication = self.publication.borrow();
        let by_ffmpeg = publication.renditions().iter().filter(|one| one.media != Media::Subtitles);
        by_ffmpeg
            .map(|rendition| {
                let text = std::fs::read_to_string(self.directory.join(rendition.list())).unwrap_or_default();
                playlist::finished_segments(&text)
            })
            .collect()
    }

    fn write(&self, publication: &Publication, new: usize) -> io::Result<()> {
        // First, because the next start must not reuse numbers that viewers have seen.
        if let Some(state) = &self.state {
            state.save(publication.position())?;
        }
        let listed = publication.listed().count();
        for (index, rendition) in publication.renditions().iter().enumerate() {
            if rendition.media == Media::Subtitles {
                for segment in publication.listed().skip(listed.saturating_sub(new)) {
                    let text = webvtt::segment(segment, self.format);
                    replace_file(&self.directory.join(rendition.segment(segment.number)), &text)?;
                }
            }
            replace_file(&self.directory.join(rendition.playlist()), &publication.playlist(index))?;
        }
        Ok(())
    }

    /// Removes files of FFmpeg processes that were killed, if they are old enough; never a file that viewers
    /// may request.
    fn remove_strays(&self, publication: &Publication, min_age: Duration) {
        let now = SystemTime::now();
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        let needed = publication.needed();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Ok(found) = entry.metadata() else { continue };
            let age = found.modified().ok().and_then(|modified| now.duration_since(modified).ok());
            let is_stray = found.is_file() && !needed.contains(name.to_string_lossy().as_ref());
            // The file may have been removed meanwhile, which is fine, too.
            if is_stray && age >= Some(min_age) && std::fs::remove_file(entry.path()).is_ok() {
                tracing::debug!(?name, ?age, "removed a file of an earlier FFmpeg process");
            }
        }
    }
}
