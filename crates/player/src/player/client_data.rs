//! What a viewer reports to a CDN with its requests, as the player of its preset does.

use hls_swarm_hls::playlist::media::ByteRange;
use url::Url;

use super::*;
use crate::cmcd::{Cmcd, CmcdVersion, MoreCmcd, ObjectType, PlayerState, StreamType};
use crate::interface::Fetch;
use crate::preset::Preset;

/// What hls.js estimates before it has measured anything, kb/s.
const HLS_JS_ESTIMATE: f64 = 500.0;
/// How many times the bitrate hls.js asks for at most (`rtpSafetyFactor`), in version 2.
const HLS_JS_MARGIN: f64 = 5.0;

/// What was reported so far, in version 2.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reported {
    sequence: u32,
    start_delay: bool,
    /// How often the buffer ran empty.
    starvations: u32,
    /// How long it was empty, since the last report for media; ms.
    starved: Vec<u32>,
}

impl Reported {
    pub(crate) const fn stalled(&mut self) {
        self.starvations = self.starvations.saturating_add(1);
    }

    pub(crate) fn resumed(&mut self, after: Duration) {
        self.starved.push(u32::try_from(after.as_millis()).unwrap_or(u32::MAX));
    }
}

const fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Player {
    /// What every request comes with. In version 1, hls.js does not send the type of the stream and deadlines.
    fn cmcd(&self) -> Cmcd {
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        // hls.js sends its estimate whether it is measured or not.
        let estimate = if is_hlsjs { self.abr.estimate() } else { self.abr.throughput() };
        let estimate = estimate.map(|bits| bits / 1000.0);
        let main = self.main().filter(|_| !is_hlsjs || self.reported.is_some());
        let stream = main.and_then(Track::media).map(|media| match media.is_live() {
            true if main.is_some_and(Track::plays_parts) => StreamType::LowLatency,
            true => StreamType::Live,
            false => StreamType::Vod,
        });
        let throughput = estimate.or(is_hlsjs.then_some(HLS_JS_ESTIMATE));
        Cmcd { throughput, stream, ..Cmcd::default() }
    }

    /// The estimate of the throughput, bits per second, as the steering server gets it.
    pub(super) fn throughput_known(&self) -> Option<f64> {
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        self.abr.throughput().or(is_hlsjs.then_some(HLS_JS_ESTIMATE * 1000.0))
    }

    pub(super) fn cmcd_of_playlist(&mut self) -> Option<Box<Cmcd>> {
        self.config.cmcd?;
        let startup = self.figures.startup.is_none();
        let data = Cmcd { object: Some(ObjectType::Playlist), startup, ..self.cmcd() };
        Some(Box::new(Cmcd { more: self.more_cmcd(), ..data }))
    }

    /// Whether the media of the main rendition is fMP4 with audio and video in one.
    fn is_muxed_mp4(&self, object: ObjectType) -> bool {
        let media = self.main().and_then(Track::media);
        let has_map = media.and_then(|media| media.segments.last()).is_some_and(|last| last.map.is_some());
        object == ObjectType::Muxed && has_map
    }

    /// For a segment, a part, or an initialization section. `next` is what is listed after it.
    pub(super) fn cmcd_of_media(
        &mut self,
        fetch: &Fetch,
        next: Option<(Url, Option<ByteRange>)>,
    ) -> Option<Box<Cmcd>> {
        if self.config.cmcd.is_none() || fetch.kind == RequestKind::Key {
            return None;
        }
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        let has_audio = self.tracks.iter().any(|track| track.role == Role::Audio);
        let object = match (fetch.kind, fetch.role) {
            (RequestKind::Init, _) => ObjectType::Init,
            (_, Role::Audio) => ObjectType::Audio,
            (_, Role::Subtitles) if is_hlsjs => ObjectType::TimedText,
            (_, Role::Subtitles) => ObjectType::Subtitles,
            (_, Role::Main) if has_audio => ObjectType::Video,
            (_, Role::Main) => ObjectType::Muxed,
        };
        let is_video = matches!(object, ObjectType::Init | ObjectType::Video | ObjectType::Muxed);
        let starved = is_video && std::mem::take(&mut self.starved);
        let is_hlsjs_1 = is_hlsjs && self.reported.is_none();
        let duration = fetch.segment.as_ref().map(|segment| milliseconds(segment.duration));
        let playing = self.playhead.as_ref().is_some_and(|playhead| playhead.state() == State::Playing);
        let is_other = |(url, range): &(Url, Option<ByteRange>)| {
            *url != fetch.url || (self.reported.is_some() && *range != fetch.byte_range)
        };
        let (next, next_range) = next.filter(is_other).unzip();
        let data = Cmcd {
            object: Some(object),
            // To version 1 of hls.js, an initialization section is a segment without a duration.
            duration: duration.or((is_hlsjs_1 && object == ObjectType::Init).then_some(0.0)),
            next,
            next_range: next_range.flatten(),
            starved,
            startup: starved || !playing,
            ..self.cmcd()
        };
        let mut more = self.more_cmcd();
        if !matches!(object, ObjectType::Audio | ObjectType::Video | ObjectType::Muxed) {
            return Some(Box::new(Cmcd { more, ..data }));
        }
        let kilobits = |bits: u64| (bits > 0).then_some(bits as f64 / 1000.0);
        // Without a multivariant playlist, there is no BANDWIDTH, and hls.js sends 0.
        let unknown = is_hlsjs_1.then_some(0.0);
        let own = kilobits(self.levels.get(self.level).map_or(0, |level| level.bandwidth));
        let bandwidths = || self.levels.iter().map(|level| level.bandwidth);
        let top = kilobits(bandwidths().max().unwrap_or(0));
        // There is no buffer before the first media, and hls.js does not report the length of a buffer of muxed fMP4.
        let is_known = !is_hlsjs_1 || (self.watch.first_media.is_some() && !self.is_muxed_mp4(object));
        let playhead = self.playhead.as_ref().filter(|_| is_known);
        let buffer = playhead.map(|playhead| playhead.buffered_ns() as f64 / 1e6);
        if let Some(more) = &mut more {
            let is_muxed = object == ObjectType::Muxed || !is_hlsjs;
            more.lowest_bitrate =
                kilobits(bandwidths().min().unwrap_or(0)).filter(|_| is_muxed && object != ObjectType::Audio);
            more.playhead_bitrate = self.playhead_bandwidth().and_then(kilobits);
            more.top_playable = top;
            if !is_hlsjs {
                more.target_buffer = Some(self.goal_ns(0) as f64 / 1e6);
                if let Some(reported) = &mut self.reported {
                    more.starved = std::mem::take(&mut reported.starved);
                }
            }
        }
        let is_2 = more.is_some();
        Some(Box::new(Cmcd {
            bitrate: own.or(unknown),
            top_bitrate: top.filter(|_| {
                object != ObjectType::Audio && (!is_2 || !is_hlsjs || object == ObjectType::Muxed)
            }),
            buffer,
            deadline: buffer.filter(|_| is_2 || !is_hlsjs),
            requested_throughput: own.filter(|_| is_2 && is_hlsjs).map(|own| own * HLS_JS_MARGIN),
            more,
            ..data
        }))
    }

    /// What only version 2 has, of every request. hls.js sends the sequence number and its state.
    fn more_cmcd(&mut self) -> Option<Box<MoreCmcd>> {
        let is_hlsjs = self.config.preset == Preset::HlsJs;
        let state = self.playhead.as_ref().map(|playhead| match playhead.state() {
            State::Starting => PlayerState::Starting,
            State::Playing => PlayerState::Playing,
            State::Stalled => PlayerState::Rebuffering,
            State::Ended => PlayerState::Ended,
        });
        let (startup, figures) = (self.figures.startup, self.figures());
        let latency = self.snapshot().latency_by_edge.map(milliseconds);
        let position = self.position_ns() as f64 / 1e6;
        let reported = self.reported.as_deref_mut()?;
        let sequence = reported.sequence;
        reported.sequence = sequence.wrapping_add(1);
        let state = Some(state.unwrap_or(PlayerState::Starting));
        if is_hlsjs {
            return Some(Box::new(MoreCmcd { sequence, state, ..MoreCmcd::default() }));
        }
        let start_delay = startup.filter(|_| !reported.start_delay).map(milliseconds);
        reported.start_delay |= start_delay.is_some();
        Some(Box::new(MoreCmcd {
            sequence,
            names_types: true,
            state,
            start_delay,
            latency,
            position: startup.map(|_| position),
            starvations: Some(reported.starvations),
            starved_total: Some(milliseconds(figures.stalled + figures.stalled_own)),
            ..MoreCmcd::default()
        }))
    }

    /// What a viewer notes for its reports from its beginning on.
    pub(super) fn reported_of(version: Option<CmcdVersion>) -> Option<Box<Reported>> {
        (version == Some(CmcdVersion::V2)).then(Box::default)
    }
}
