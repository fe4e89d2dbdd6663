//! What all streams are made from: the loop, or the proof that this machine can encode in real time;
//! the master playlist, measured on that loop; and the key.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Output, Program};

use super::loop_cache;
use crate::cli::OriginArgs;
use crate::encoder::argv::{self, Pace, Place};
use crate::layout::{self, KEY, Media, Rendition};
use crate::profile::derived::Derived;
use crate::profile::stream::{Source, Stream};
use crate::profile::{Encryption, Format};
use crate::publisher::multivariant::{self, Measured};
use crate::publisher::publication::Publication;
use crate::publisher::{playlist, webvtt};
use crate::run::programs::Tools;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::supervisor::{self, SupervisedProcess};

/// How much faster than real time a machine must encode a trial: nginx, the viewers of a test on
/// the same machine and harder pictures need the rest.
const SPEED_NEEDED: f32 = 1.5;
/// Enough of a segment to find its codecs.
const BEGINNING: u64 = 256 << 10;
/// AES-128-CBC pads each segment to whole blocks.
const BLOCK: u64 = 16;

/// What all streams are made from.
#[derive(Debug)]
pub(crate) struct EncoderSource<'a> {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) stream: &'a Stream,
    pub(crate) derived: &'a Derived,
    pub(crate) renditions: Vec<Rendition>,
    pub(crate) runtime_dir: &'a RuntimeDir,
    /// FFmpeg encodes in real time, instead of replaying the loop.
    pub(crate) encodes: bool,
    /// The master playlist.
    pub(crate) master: String,
    key: Option<[u8; 16]>,
}

impl<'a> EncoderSource<'a> {
    /// Makes the loop ready, and measures. None when `stop` came first.
    pub(crate) async fn prepare(
        args: &OriginArgs,
        tools: &Tools,
        stream: &'a Stream,
        derived: &'a Derived,
        runtime_dir: &'a RuntimeDir,
        guard: &Arc<Guard>,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let supervised = SupervisedProcess::new("ffmpeg", guard);
        let job = loop_cache::Job { args, tools, stream, derived, runtime_dir, supervised: &supervised };
        let live = stream.source == Source::Live;
        let Some(encoding) = job.make_ready(live, stop).await? else { return Ok(None) };
        let speed = encoding.map(|time| {
            f32::from(u16::try_from(stream.loop_seconds).unwrap_or(u16::MAX)) / time.as_secs_f32()
        });
        let encodes = live && speed.is_some_and(|speed| speed >= SPEED_NEEDED);
        if let Some(speed) = speed.filter(|_| live) {
            if encodes {
                tracing::info!("this machine encodes {speed:.1} times as fast as real time: encoding live");
            } else {
                tracing::warn!(
                    "this machine encodes only {speed:.2} times as fast as real time, and live encoding needs \
                     {SPEED_NEEDED}: replaying a loop instead (a smaller --video-size or a faster preset would do)"
                );
            }
        }
        let mut material = Self {
            ffmpeg: args.ffmpeg.clone(),
            stream,
            derived,
            renditions: layout::renditions(stream),
            runtime_dir,
            encodes,
            master: String::new(),
            key: None,
        };
        let Some(measured) = material.rehearse(&supervised, stop).await? else { return Ok(None) };
        material.master = multivariant::render(stream, &material.renditions, &measured);
        let refused = |error| Failure::internal("cannot write to the private directory").caused_by(error);
        material.make_key().map_err(refused)?;
        if encodes {
            // Nobody replays it.
            drop(std::fs::remove_file(runtime_dir.loop_file()));
        }
        Ok(Some(material))
    }

    /// Writes the loop as segments once, as fast as it goes, and measures them.
    async fn rehearse(
        &self,
        supervised: &SupervisedProcess,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Measured>>, Failure> {
        let refused = |error| {
            Failure::internal("cannot measure the loop's segments")
                .caused_by(error)
                .help("look whether there is room, and whether --ffmpeg names a sound FFmpeg")
        };
        let directory = self.runtime_dir.root().join("rehearsal");
        std::fs::create_dir_all(&directory).map_err(refused)?;
        let place = Place { directory: &directory, number: 0, key_info: None };
        let pace = Pace::AtOnce(self.stream.loop_seconds);
        let argv = argv::replay(self.stream, &self.renditions, &self.runtime_dir.loop_file(), place, pace);
        let mut program = Program::new(&self.ffmpeg, argv);
        program.stdout = Output::Discard;
        let (ending, words) = supervised.live(stop, &program).await?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        if !ending.is_success() {
            let what = format!("ffmpeg cannot make segments of the loop: {ending}");
            return Err(supervisor::given_up(Failure::preflight(what), words));
        }
        let measured = self.measure(&directory).map_err(refused)?;
        std::fs::remove_dir_all(&directory).map_err(refused)?;
        Ok(Some(measured))
    }

    fn measure(&self, directory: &Path) -> io::Result<Vec<Measured>> {
        let made = self.renditions.iter().filter(|one| one.media != Media::Subtitles);
        let lists: Vec<_> = made
            .map(|rendition| {
                let text = std::fs::read_to_string(directory.join(rendition.list()))?;
                Ok(playlist::finished(&text))
            })
            .collect::<io::Result<_>>()?;
        let mut publication = Publication::of_loop(self.stream, self.renditions.clone());
        publication.begin();
        if publication.take(&lists).ok().filter(|count| *count > 0).is_none() {
            return Err(io::Error::other("FFmpeg has not listed any segment"));
        }
        let of = |(index, rendition): (usize, &Rendition)| {
            let segments = publication.listed().map(|entry| {
                let seconds = entry.seconds.get(index).copied().unwrap_or_default();
                if rendition.media == Media::Subtitles {
                    let text = webvtt::segment(entry, self.stream.format);
                    return Ok((u64::try_from(text.len()).unwrap_or(u64::MAX), seconds));
                }
                let bytes = std::fs::metadata(directory.join(rendition.segment(entry.number)))?.len();
                let padding = match self.stream.encryption {
                    Encryption::None => 0,
                    Encryption::Aes128 => BLOCK - bytes % BLOCK,
                };
                Ok((bytes + padding, seconds))
            });
            let segments = segments.collect::<io::Result<Vec<_>>>()?;
            let first = match (rendition.media, self.stream.format) {
                (Media::Subtitles, _) => None,
                (_, Format::Ts) => Some(rendition.segment(0)),
                (_, Format::Fmp4) => Some(rendition.initialization(0)),
            };
            let mut beginning = Vec::new();
            if let Some(first) = first {
                std::fs::File::open(directory.join(first))?.take(BEGINNING).read_to_end(&mut beginning)?;
            }
            Ok(Measured::of(&beginning, &segments, f64::from(self.stream.segment_seconds)))
        };
        self.renditions.iter().enumerate().map(of).collect()
    }

    fn make_key(&mut self) -> io::Result<()> {
        if self.stream.encryption != Encryption::Aes128 {
            return Ok(());
        }
        // A test stream keeps no secrets; the key has to differ from others, no more.
        let key = fastrand::u128(..).to_be_bytes();
        let file = self.runtime_dir.root().join(KEY);
        write_private(&file, &key)?;
        // FFmpeg's key info: what to call it in the list, and where it is.
        let info = format!("{KEY}\n{}\n", file.display());
        write_private(&self.runtime_dir.root().join("key.info"), info.as_bytes())?;
        self.key = Some(key);
        Ok(())
    }

    /// FFmpeg's key info file, if segments are encrypted.
    pub(crate) fn key_info(&self) -> Option<PathBuf> {
        self.key.map(|_| self.runtime_dir.root().join("key.info"))
    }

    /// Puts the key where viewers get it.
    pub(crate) fn put_key(&self, directory: &Path) -> io::Result<()> {
        self.key.map_or(Ok(()), |key| std::fs::write(directory.join(KEY), key))
    }
}

fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?, bytes)
}
