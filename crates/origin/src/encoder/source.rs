//! The resources that the channels of all streams share: the loop or the decision to encode live, the
//! multivariant playlist with the measured bitrates, and the encryption key.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Output, Program};

use crate::cli::OriginArgs;
use crate::encoder::argv::{self, Pace, SegmentOutput};
use crate::encoder::loop_cache::LoopEncoding;
use crate::layout::{self, KEY, Media, Rendition};
use crate::profile::derived::Derived;
use crate::profile::plan::Plan;
use crate::profile::stream::{Source, Stream};
use crate::profile::{Encryption, Format};
use crate::publisher::multivariant::{self, MeasuredRendition};
use crate::publisher::publication::Publication;
use crate::publisher::{playlist, webvtt};
use crate::run::programs::Programs;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::supervisor::{self, SupervisedProcess};

/// The speed, relative to real time, at which the machine must encode the loop before it encodes live: nginx,
/// viewers on the same machine, and video that is harder to encode need the rest.
const MIN_SPEED: f32 = 1.5;
/// Number of bytes of a segment that suffice to find its codecs.
const CODEC_BYTES: u64 = 256 << 10;
/// AES-128-CBC pads each segment to whole blocks of this size.
const AES_BLOCK_BYTES: u64 = 16;

/// The resources that the channels of all streams share.
#[derive(Debug)]
pub(crate) struct EncoderSource<'a> {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) stream: &'a Stream,
    pub(crate) derived: &'a Derived,
    pub(crate) renditions: Vec<Rendition>,
    pub(crate) runtime_dir: &'a RuntimeDir,
    /// Whether FFmpeg encodes in real time instead of replaying the loop.
    pub(crate) encodes_live: bool,
    /// Text of the multivariant playlist.
    pub(crate) multivariant_playlist: String,
    key: Option<[u8; 16]>,
}

impl<'a> EncoderSource<'a> {
    /// Creates the loop, and measures its bitrates. Returns `None` if `stop` came first.
    pub(crate) async fn prepare(
        args: &OriginArgs,
        programs: &Programs,
        plan: &'a Plan,
        runtime_dir: &'a RuntimeDir,
        guard: &Arc<Guard>,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let Plan { stream, derived, .. } = plan;
        let supervised = SupervisedProcess::new("ffmpeg", guard);
        let encoding = LoopEncoding { args, programs, stream, derived, runtime_dir, supervised: &supervised };
        let live = stream.source == Source::Live;
        let Some(encoding_time) = encoding.prepare(live, stop).await? else { return Ok(None) };
        let mut source = Self {
            ffmpeg: args.ffmpeg.clone(),
            stream,
            derived,
            renditions: layout::renditions(stream),
            runtime_dir,
            encodes_live: live && encoding_time.is_some_and(|time| is_fast_enough(stream, time)),
            multivariant_playlist: String::new(),
            key: None,
        };
        let Some(measured) = source.measure_loop(&supervised, stop).await? else { return Ok(None) };
        source.multivariant_playlist = multivariant::render(stream, &source.renditions, &measured);
        let failed = |error| Failure::internal("cannot write to the runtime directory").caused_by(error);
        source.create_key().map_err(failed)?;
        if source.encodes_live {
            // The loop was only needed for the measurement.
            drop(std::fs::remove_file(runtime_dir.loop_file()));
        }
        Ok(Some(source))
    }

    /// Writes the loop as segments once, as fast as possible, and measures them.
    async fn measure_loop(
        &self,
        supervised: &SupervisedProcess,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<MeasuredRendition>>, Failure> {
        let failed = |error| {
            Failure::internal("cannot measure the segments of the loop")
                .caused_by(error)
                .help("check the free space, and that --ffmpeg is a working FFmpeg")
        };
        let directory = self.runtime_dir.root().join("measurement");
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let output = SegmentOutput { directory: &directory, number: 0, key_info: None, pipes: &[] };
        let pace = Pace::FullSpeed(self.stream.loop_seconds);
        let argv = argv::replay(self.stream, &self.renditions, &self.runtime_dir.loop_file(), output, pace);
        let mut program = Program::new(&self.ffmpeg, argv);
        program.stdout = Output::Discard;
        let (exit, last_lines) = supervised.run_once(stop, &program).await?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        if !exit.is_success() {
            let what = format!("ffmpeg cannot create segments from the loop: {exit}");
            return Err(supervisor::with_output(Failure::preflight(what), last_lines));
        }
        let measured = self.measure_segments(&directory).map_err(failed)?;
        std::fs::remove_dir_all(&directory).map_err(failed)?;
        Ok(Some(measured))
    }

    fn measure_segments(&self, directory: &Path) -> io::Result<Vec<MeasuredRendition>> {
        let by_ffmpeg = self.renditions.iter().filter(|one| one.media != Media::Subtitles);
        let lists: Vec<_> = by_ffmpeg
            .map(|rendition| {
                let text = std::fs::read_to_string(directory.join(rendition.list()))?;
                Ok(playlist::finished_segments(&text))
            })
            .collect::<io::Result<_>>()?;
        let mut publication = Publication::of_loop(self.stream, self.renditions.clone());
        publication.begin_encoder();
        if publication.publish(&lists).ok().filter(|count| *count > 0).is_none() {
            return Err(io::Error::other("FFmpeg has not listed any segment"));
        }
        let measure = |(index, rendition)| self.measure_rendition(directory, &publication, index, rendition);
        self.renditions.iter().enumerate().map(measure).collect()
    }

    fn measure_rendition(
        &self,
        directory: &Path,
        publication: &Publication,
        index: usize,
        rendition: &Rendition,
    ) -> io::Result<MeasuredRendition> {
        let segments = publication.listed().map(|segment| {
            let seconds = segment.seconds.get(index).copied().unwrap_or_default();
            if rendition.media == Media::Subtitles {
                let text = webvtt::segment(segment, self.stream.format);
                return Ok((u64::try_from(text.len()).unwrap_or(u64::MAX), seconds));
            }
            let bytes = std::fs::metadata(directory.join(rendition.segment(segment.number)))?.len();
            let padding = match self.stream.encryption {
                Encryption::None => 0,
                Encryption::Aes128 => AES_BLOCK_BYTES - bytes % AES_BLOCK_BYTES,
            };
            Ok((bytes + padding, seconds))
        });
        let segments = segments.collect::<io::Result<Vec<_>>>()?;
        let file_with_codecs = match (rendition.media, self.stream.format) {
            (Media::Subtitles, _) => None,
            (_, Format::Ts) => Some(rendition.segment(0)),
            (_, Format::Fmp4) => Some(rendition.initialization(0)),
        };
        let mut beginning = Vec::new();
        if let Some(file) = file_with_codecs {
            std::fs::File::open(directory.join(file))?.take(CODEC_BYTES).read_to_end(&mut beginning)?;
        }
        Ok(MeasuredRendition::of(&beginning, &segments, f64::from(self.stream.segment_seconds)))
    }

    fn create_key(&mut self) -> io::Result<()> {
        if self.stream.encryption != Encryption::Aes128 {
            return Ok(());
        }
        // A test stream needs no secrecy; the key only has to differ from that of other starts.
        let key = fastrand::u128(..).to_be_bytes();
        let file = self.runtime_dir.root().join(KEY);
        write_private(&file, &key)?;
        // FFmpeg's key info file: the URI for its list, and the path of the key.
        let info = format!("{KEY}\n{}\n", file.display());
        write_private(&self.runtime_dir.root().join("key.info"), info.as_bytes())?;
        self.key = Some(key);
        Ok(())
    }

    /// FFmpeg's key info file, if segments are encrypted.
    pub(crate) fn key_info(&self) -> Option<PathBuf> {
        self.key.map(|_| self.runtime_dir.root().join("key.info"))
    }

    /// Writes the key to a directory that is served.
    pub(crate) fn publish_key(&self, directory: &Path) -> io::Result<()> {
        self.key.map_or(Ok(()), |key| std::fs::write(directory.join(KEY), key))
    }
}

/// Whether the machine can encode live, if it took `time` to encode the loop. Logs the decision.
fn is_fast_enough(stream: &Stream, time: Duration) -> bool {
    let speed = f32::from(u16::try_from(stream.loop_seconds).unwrap_or(u16::MAX)) / time.as_secs_f32();
    if speed >= MIN_SPEED {
        tracing::info!("this machine encodes at {speed:.1} times real time: encoding live");
        return true;
    }
    tracing::warn!(
        "this machine encodes at {speed:.2} times real time, and live encoding needs {MIN_SPEED}: replaying a \
         loop instead (for live encoding, pass a smaller --video-size or use a faster preset)"
    );
    false
}

fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?, bytes)
}
