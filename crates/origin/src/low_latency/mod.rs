//! Low-Latency HLS (RFC 8216bis): partial segments, and playlists that are answered when they have changed.
//!
//! FFmpeg writes one fragmented MP4 per rendition into a pipe. `fragments` reads its boxes, `live_list` is the state of
//! one rendition, `channel` cuts parts and writes them to files, and `edge` answers requests for playlists and for parts
//! that are announced and not there yet. nginx serves all other files, and passes those requests on.

pub(crate) mod channel;
pub(crate) mod edge;
pub(crate) mod fragments;
pub(crate) mod live_list;

use crate::profile::stream::Stream;

/// How a segment is divided into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    /// Frames per second.
    pub(crate) fps: u32,
    /// Frames of a part; the last one of a segment may have fewer.
    pub(crate) part_frames: u32,
    /// Frames of a segment.
    pub(crate) segment_frames: u32,
}

impl Division {
    /// The division of the segments of a stream; `None` if it has no parts.
    pub(crate) fn of(stream: &Stream) -> Option<Self> {
        let part = stream.part_duration?;
        let frames = part.as_secs_f64() * f64::from(stream.fps);
        let segment_frames = stream.fps.saturating_mul(stream.segment_seconds);
        // A part is at most as long as requested, and a whole number of frames.
        let part_frames = (frames + 1e-9).floor().clamp(1.0, f64::from(segment_frames)) as u32;
        Some(Self { fps: stream.fps, part_frames, segment_frames })
    }

    /// Parts of a segment.
    pub(crate) const fn parts(self) -> u32 {
        self.segment_frames.div_ceil(self.part_frames)
    }

    /// The duration of this many frames, seconds.
    pub(crate) fn seconds(self, frames: u32) -> f64 {
        f64::from(frames) / f64::from(self.fps.max(1))
    }

    /// Frames of the part with this index.
    pub(crate) const fn frames_of(self, index: u32) -> u32 {
        let before = self.part_frames.saturating_mul(index);
        let rest = self.segment_frames.saturating_sub(before);
        if rest < self.part_frames { rest } else { self.part_frames }
    }
}
