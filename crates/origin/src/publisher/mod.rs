//! Publishes what FFmpeg has finished: playlists, subtitles, the kept position; removes what nobody
//! needs any more; and notices when the stream does not advance or there is no room for it.

pub mod codecs;
pub mod multivariant;
pub mod playlist;
pub mod publication;
pub mod sequence_state;
pub mod webvtt;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hls_swarm_os::machine::Storage;
use hls_swarm_os::output::replace_file;

use crate::layout::Media;
use crate::profile::Format;
use crate::profile::derived::Derived;
use crate::publisher::playlist::Finished;
use crate::publisher::publication::Publication;
use crate::publisher::sequence_state::Memory;

/// What a look at the stream's directory has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The stream advances, or has not begun.
    Well,
    /// Nothing was finished for long: FFmpeg should be replaced.
    Stuck,
    /// There is no room for the next segments: FFmpeg must not go on.
    Full,
    /// FFmpeg's list has a hole: it should be replaced.
    Lost,
}

/// The publisher of one stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    directory: PathBuf,
    publication: RefCell<Publication>,
    format: Format,
    memory: Option<Memory>,
    /// When something was last published, or FFmpeg was last blamed for nothing being so.
    advanced: Cell<Option<Instant>>,
    blamed: Cell<Instant>,
    unwritable: Cell<bool>,
    stale_after: Duration,
    stuck_after: Duration,
    stray_after: Duration,
    segment_bytes: u64,
}

impl Publisher {
    pub(crate) fn new(
        directory: PathBuf,
        publication: Publication,
        format: Format,
        derived: &Derived,
        memory: Option<Memory>,
    ) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let stale_after = seconds(derived.stale_after_seconds);
        Self {
            directory,
            publication: RefCell::new(publication),
            format,
            memory,
            advanced: Cell::new(None),
            blamed: Cell::new(Instant::now()),
            unwritable: Cell::new(false),
            stale_after,
            // Starting again costs viewers a gap, so a slow encoder gets time to catch up.
            stuck_after: 2 * stale_after + Duration::from_secs(10),
            stray_after: seconds(derived.lifetime_seconds) + stale_after,
            segment_bytes: derived.segment_bytes,
        }
    }

    /// The stream's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes ready for a new FFmpeg; tells the number of its first segment.
    pub(crate) fn begin(&self) -> u64 {
        let mut publication = self.publication.borrow_mut();
        for rendition in publication.renditions() {
            // What the one before had finished alone is made anew; its list would say otherwise.
            drop(std::fs::remove_file(self.directory.join(rendition.list())));
        }
        self.blamed.set(Instant::now());
        publication.begin()
    }

    /// Whether the playlists are as new as they should be.
    pub(crate) fn is_fresh(&self) -> bool {
        self.advanced.get().is_some_and(|since| since.elapsed() < self.stale_after)
    }

    /// Whether anything was published.
    pub(crate) fn has_begun(&self) -> bool {
        self.advanced.get().is_some()
    }

    /// Whether the next segments fit with something to spare.
    pub(crate) fn has_room(&self) -> bool {
        self.available().is_none_or(|bytes| bytes >= 4 * self.segment_bytes)
    }

    fn available(&self) -> Option<u64> {
        Storage::of(&self.directory).ok().map(|storage| storage.available_bytes)
    }

    /// Publishes what is new.
    pub(crate) fn look(&self) -> Look {
        let finished = self.finished();
        let mut publication = self.publication.borrow_mut();
        // Segments written with no room left may be cut off: they are not published.
        if let Some(available) = self.available().filter(|bytes| *bytes < self.segment_bytes) {
            tracing::debug!(available, needed = self.segment_bytes, "no room");
            return Look::Full;
        }
        let Ok(new) = publication.take(&finished) else { return Look::Lost };
        if new > 0 || self.unwritable.get() {
            let retired = publication.retire();
            let written = self.write(&publication, new);
            if let Err(error) = &written {
                tracing::warn!(%error, "cannot write the playlists; the next look tries again");
            }
            self.unwritable.set(written.is_err());
            if written.is_ok() {
                self.advanced.set(Some(Instant::now()));
                // Not earlier: until now viewers were told of them.
                retired.iter().for_each(|file| drop(std::fs::remove_file(self.directory.join(file))));
                self.remove_strays(&publication, self.stray_after);
            }
        }
        let since = self.advanced.get().map(|advanced| advanced.max(self.blamed.get()));
        if since.is_some_and(|since| since.elapsed() > self.stuck_after) {
            self.blamed.set(Instant::now());
            return Look::Stuck;
        }
        Look::Well
    }

    /// Removes what nobody needs, however young: nothing is being written any more.
    pub(crate) fn tidy(&self) {
        self.remove_strays(&self.publication.borrow(), Duration::ZERO);
    }

    /// What FFmpeg's lists say, in the order of the renditions that it makes.
    fn finished(&self) -> Vec<Vec<Finished>> {
        let publication = self.publication.borrow();
        let made = publication.renditions().iter().filter(|one| one.media != Media::Subtitles);
        made.map(|rendition| {
            let text = std::fs::read_to_string(self.directory.join(rendition.list())).unwrap_or_default();
            playlist::finished(&text)
        })
        .collect()
    }

    fn write(&self, publication: &Publication, new: usize) -> io::Result<()> {
        // First: whoever starts next must not begin before what viewers have seen.
        if let Some(memory) = &self.memory {
            memory.keep(publication.position())?;
        }
        let listed = publication.listed().count();
        for (index, rendition) in publication.renditions().iter().enumerate() {
            if rendition.media == Media::Subtitles {
                for entry in publication.listed().skip(listed.saturating_sub(new)) {
                    let text = webvtt::segment(entry, self.format);
                    replace_file(&self.directory.join(rendition.segment(entry.number)), &text)?;
                }
            }
            replace_file(&self.directory.join(rendition.playlist()), &publication.playlist(index))?;
        }
        Ok(())
    }

    /// Removes what an FFmpeg that was killed has left. What viewers may ask for is never touched.
    fn remove_strays(&self, publication: &Publication, least: Duration) {
        let now = SystemTime::now();
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        let needed = publication.needed();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let Ok(found) = entry.metadata() else { continue };
            let age = found.modified().ok().and_then(|modified| now.duration_since(modified).ok());
            let stray = found.is_file() && !needed.contains(name.to_string_lossy().as_ref());
            // It may be gone by now, which is all that is wanted.
            if stray && age >= Some(least) && std::fs::remove_file(entry.path()).is_ok() {
                tracing::debug!(?name, ?age, "removed a file that an earlier encoder left");
            }
        }
    }
}
