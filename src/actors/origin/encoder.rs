//! FFmpeg: kept alive, watched for progress, and continued where it was when it must start again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

use super::freshness::Freshness;
use super::house::House;
use super::keeper::Keeper;
use super::loop_cache;
use super::tools::Tools;
use crate::pure::origin::argv;
use crate::pure::origin::derived::Derived;
use crate::pure::origin::playlist::PLAYLIST;
use crate::pure::origin::stream::{Source, Stream};
use crate::system::guard::Guard;
use crate::system::process::{Output, Program};
use crate::words::cli::origin::OriginArgs;
use crate::words::failure::Failure;

/// FFmpeg, ready to be started.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    ffmpeg: PathBuf,
    stream: &'a Stream,
    derived: &'a Derived,
    house: &'a House,
    keeper: Keeper,
}

impl<'a> Encoder<'a> {
    /// Makes the loop ready where the stream is one. None when `stop` came first.
    pub(super) async fn prepare(
        args: &OriginArgs,
        tools: &Tools,
        stream: &'a Stream,
        derived: &'a Derived,
        house: &'a House,
        guard: &Arc<Guard>,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let keeper = Keeper::new("ffmpeg", guard);
        if let Source::Loop { seconds } = stream.source {
            let job = loop_cache::Job { args, tools, stream, derived, seconds, house, keeper: &keeper };
            if !job.make_ready(stop).await? {
                return Ok(None);
            }
        }
        Ok(Some(Self { ffmpeg: args.ffmpeg.clone(), stream, derived, house, keeper }))
    }

    pub(super) fn settled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.keeper.settled)
    }

    /// Keeps FFmpeg alive and the stream advancing until `stop`.
    pub(super) async fn keep(&self, stop: &CancellationToken) -> Result<(), Failure> {
        let freshness = Freshness::new(self.house, self.derived);
        tokio::select! {
            outcome = self.keeper.keep(stop, || self.program()) => outcome,
            never = freshness.watch(&self.keeper.stuck) => match never {},
        }
    }

    fn program(&self) -> Program {
        let www = self.house.www();
        // Without a playlist to append to, FFmpeg would begin the stream with a discontinuity.
        let append = www.join(PLAYLIST).exists();
        let argv = match self.stream.source {
            Source::Loop { .. } => argv::replay(self.stream, &self.house.loop_file(), &www, append),
            Source::Live => argv::live(self.stream, self.derived, &www, append),
        };
        let mut program = Program::new(&self.ffmpeg, argv);
        program.stdout = Output::Discard;
        program
    }
}
