//! What a viewer reports to a CDN with its requests, as the player of its preset does.

use url::Url;

use super::*;
use crate::cmcd::{Cmcd, ObjectType};
use crate::interface::Fetch;
use crate::preset::Preset;

/// What hls.js estimates before it has measured anything, kb/s.
const HLS_JS_ESTIMATE: f64 = 500.0;

impl Player {
    /// What every request comes with. hls.js does not send the type of the stream and deadlines.
    fn cmcd(&self) -> Cmcd {
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        let measured = self.abr.throughput().map(|bits| bits / 1000.0);
        Cmcd {
            throughput: measured.or(is_hlsjs.then_some(HLS_JS_ESTIMATE)),
            live: (!is_hlsjs && self.main().is_some()).then(|| self.is_live()),
            ..Cmcd::default()
        }
    }

    /// The estimate of the throughput, bits per second, as the steering server gets it.
    pub(super) fn throughput_known(&self) -> Option<f64> {
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        self.abr.throughput().or(is_hlsjs.then_some(HLS_JS_ESTIMATE * 1000.0))
    }

    pub(super) fn cmcd_of_playlist(&self) -> Option<Box<Cmcd>> {
        let startup = self.figures.startup.is_none();
        let data = || Cmcd { object: Some(ObjectType::Playlist), startup, ..self.cmcd() };
        self.config.cmcd.then(|| Box::new(data()))
    }

    /// For a segment, a part, or an initialization section. `next` is what is listed after it.
    pub(super) fn cmcd_of_media(&mut self, fetch: &Fetch, next: Option<Url>) -> Option<Box<Cmcd>> {
        if !self.config.cmcd || fetch.kind == RequestKind::Key {
            return None;
        }
        let has_audio = self.tracks.iter().any(|track| track.role == Role::Audio);
        let object = match (fetch.kind, fetch.role) {
            (RequestKind::Init, _) => ObjectType::Init,
            (_, Role::Audio) => ObjectType::Audio,
            (_, Role::Subtitles) if self.config.preset == Preset::HlsJs => ObjectType::TimedText,
            (_, Role::Subtitles) => ObjectType::Subtitles,
            (_, Role::Main) if has_audio => ObjectType::Video,
            (_, Role::Main) => ObjectType::Muxed,
        };
        let is_video = matches!(object, ObjectType::Init | ObjectType::Video | ObjectType::Muxed);
        let starved = is_video && std::mem::take(&mut self.starved);
        let playing = self.playhead.as_ref().is_some_and(|playhead| playhead.state() == State::Playing);
        let data = Cmcd {
            object: Some(object),
            duration: fetch.segment.as_ref().map(|segment| segment.duration.as_secs_f64() * 1000.0),
            next: next.filter(|next| *next != fetch.url),
            starved,
            startup: starved || !playing,
            ..self.cmcd()
        };
        if !matches!(object, ObjectType::Audio | ObjectType::Video | ObjectType::Muxed) {
            return Some(Box::new(data));
        }
        let kilobits = |bits: u64| (bits > 0).then_some(bits as f64 / 1000.0);
        let own = self.levels.get(self.level).map_or(0, |level| level.bandwidth);
        let top = self.levels.iter().map(|level| level.bandwidth).max().unwrap_or(0);
        let buffer = self.playhead.as_ref().map(|playhead| playhead.buffered_ns() as f64 / 1e6);
        let data = Cmcd {
            bitrate: kilobits(own),
            top_bitrate: kilobits(top).filter(|_| object != ObjectType::Audio),
            buffer,
            deadline: buffer.filter(|_| self.config.preset != Preset::HlsJs),
            ..data
        };
        Some(Box::new(data))
    }
}
