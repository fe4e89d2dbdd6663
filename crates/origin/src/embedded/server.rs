//! The embedded stream: answers the requests that nginx would answer from disk.
//!
//! Segments are computed at their first request, and dropped when they are no longer available.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use crate::embedded::synthetic::SyntheticStream;
use crate::embedded::synthetic::playlist::{self, LiveWindow, VOD, live_name, number_in, vod_name};
use crate::exporter::nginx::StubStatus;
use crate::exporter::origin::{OriginSnapshot, PlaylistSnapshot};
use crate::fault_proxy::ConnectionCounters;
use crate::layout::MULTIVARIANT;
use crate::low_latency::Division;
use crate::low_latency::edge::{Edge, Parts};
use crate::profile::derived::Derived;
use crate::profile::stream::{Source, Stream};
use crate::publisher::playlist::PLAYLIST;

/// Duration of the VOD that is served beside a live stream.
const VOD_SECONDS: u32 = 60;
const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// The synthetic stream and its computed segments.
#[derive(Debug)]
pub(crate) struct EmbeddedStream {
    synthetic: SyntheticStream,
    window: LiveWindow,
    /// Number of segments of the VOD.
    vod_segments: u64,
    /// Whether there is no live stream.
    vod_only: bool,
    playlist_cache_control: String,
    started: Instant,
    started_at: SystemTime,
    counters: Arc<ConnectionCounters>,
    computed: Mutex<HashMap<u64, Bytes>>,
    /// The playlist with parts, if the stream has parts.
    edge: Option<Edge>,
}

/// The resource at a path.
struct Content {
    content_type: &'static str,
    cache_control: String,
    modified: SystemTime,
    bytes: Bytes,
}

impl EmbeddedStream {
    /// Starts the live stream now, with a full playlist.
    pub(crate) fn new(stream: &Stream, derived: &Derived, counters: Arc<ConnectionCounters>) -> Self {
        let Derived { playlist_max_age, playlist_stale, .. } = derived;
        let (vod_seconds, vod_only) = match stream.source {
            Source::Vod(seconds) => (seconds, true),
            Source::Live | Source::Loop => (VOD_SECONDS, false),
        };
        Self {
            synthetic: SyntheticStream::of(stream),
            window: LiveWindow {
                seconds: stream.segment_seconds,
                listed: stream.list_size,
                delisted: stream.delete_threshold,
            },
            vod_segments: vod_seconds.div_ceil(stream.segment_seconds.max(1)).into(),
            vod_only,
            playlist_cache_control: format!(
                "public, max-age={playlist_max_age}, stale-while-revalidate={playlist_stale}"
            ),
            started: Instant::now(),
            started_at: SystemTime::now(),
            counters,
            computed: Mutex::default(),
            edge: Edge::new(stream, Parts::Synthetic(SyntheticStream::of(stream))),
        }
    }

    /// Adds parts to the playlist when their time has come. Never returns.
    pub(crate) async fn run_edge(&self, stream: &Stream) -> Infallible {
        let (Some(edge), Some(division)) = (&self.edge, Division::of(stream)) else {
            return std::future::pending().await;
        };
        let listed = u64::from(self.window.listed);
        let window = self.window.seconds * self.window.listed;
        let began = Timestamp::try_from(self.started_at).unwrap_or_default();
        let first = began.checked_sub(Duration::from_secs(window.into())).unwrap_or(began);
        let first = Timestamp::from_millisecond(first.as_millisecond()).unwrap_or(first);
        let add = |index: u32| {
            edge.change(|lists| {
                for list in lists.iter_mut() {
                    list.add_part(division.seconds(division.frames_of(index)), index == 0, Some(first));
                    if index + 1 == division.parts() {
                        // Nothing is in a file.
                        drop(list.finish_segment());
                    }
                }
            });
        };
        // The playlist is full from the start.
        (0..listed).for_each(|_| (0..division.parts()).for_each(add));
        let started = tokio::time::Instant::from_std(self.started);
        let mut segments = 0_u32;
        loop {
            for index in 0..division.parts() {
                let frames = (index + 1).saturating_mul(division.part_frames).min(division.segment_frames);
                let seconds = f64::from(segments) * f64::from(self.window.seconds) + division.seconds(frames);
                tokio::time::sleep_until(started + Duration::from_secs_f64(seconds)).await;
                add(index);
            }
            segments = segments.saturating_add(1);
        }
    }

    /// The response to a request, as nginx would send it.
    pub(crate) async fn respond<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => match self.respond_with_edge(request).await {
                Some(response) => response,
                None => self.respond_with_content(request),
            },
            Method::OPTIONS => status_response(StatusCode::NO_CONTENT),
            _ => {
                let mut response = status_response(StatusCode::METHOD_NOT_ALLOWED);
                set(&mut response, ALLOW, "GET, HEAD, OPTIONS");
                response
            }
        };
        set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(&mut response, ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Length, Content-Range, Date");
        response
    }

    /// The response for a low-latency playlist or a part; `None` for anything else.
    fn respond_with_edge<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Option<Response<Bytes>>> + Send {
        let file = request.uri().path().trim_start_matches('/').to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_head = *request.method() == Method::HEAD;
        async move {
            let mut response = self.edge.as_ref()?.respond(&file, &query).await?;
            if is_head {
                let length = response.body().len().into();
                response.headers_mut().insert(CONTENT_LENGTH, length);
                *response.body_mut() = Bytes::new();
            }
            Some(response)
        }
    }

    fn respond_with_content<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let Some(content) = self.content(request.uri().path()) else {
            return status_response(StatusCode::NOT_FOUND);
        };
        let Content { content_type, cache_control, modified, bytes } = content;
        let length = bytes.len() as u64;
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let index = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
        let mut response = match parse_range(range, length) {
            ByteRange::Whole => Response::new(bytes),
            ByteRange::Part(first, last) => {
                let mut part = Response::new(bytes.slice(index(first)..=index(last)));
                *part.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(&mut part, CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                part
            }
            ByteRange::Unsatisfiable => {
                let mut response = status_response(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut response, CONTENT_RANGE, &format!("bytes */{length}"));
                return response;
            }
        };
        set(&mut response, CONTENT_TYPE, content_type);
        set(&mut response, CACHE_CONTROL, &cache_control);
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        if *request.method() == Method::HEAD {
            let length = response.body().len().into();
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Bytes::new();
        }
        response
    }

    fn content(&self, path: &str) -> Option<Content> {
        let elapsed = self.started.elapsed();
        let at = |time: Duration| self.started_at + time;
        let content = |content_type, cache_control: &str, modified, bytes: Bytes| {
            Some(Content { content_type, cache_control: cache_control.to_owned(), modified, bytes })
        };
        let playlist = |modified, text: String| {
            content(PLAYLIST_TYPE, &self.playlist_cache_control, modified, text.into())
        };
        let name = path.strip_prefix('/')?;
        match name {
            PLAYLIST if !self.vod_only => {
                playlist(at(self.window.updated(elapsed)), self.window.text(elapsed))
            }
            VOD | PLAYLIST => {
                playlist(self.started_at, playlist::vod(self.synthetic.seconds, self.vod_segments))
            }
            MULTIVARIANT => {
                let text = playlist::multivariant(&self.synthetic);
                content(
                    PLAYLIST_TYPE,
                    "public, max-age=5, stale-while-revalidate=10",
                    self.started_at,
                    text.into(),
                )
            }
            "health" => content("text/plain", "no-store", at(elapsed), "ok\n".into()),
            "nginx_status" => {
                content("text/plain", "no-store", at(elapsed), self.stub_status().text().into())
            }
            "files/json/" => {
                content("application/json", "no-store", at(elapsed), self.autoindex(elapsed).into())
            }
            _ => {
                let live = number_in(name, live_name)
                    .filter(|number| self.window.available(elapsed).contains(number));
                let vod = number_in(name, vod_name).filter(|number| *number < self.vod_segments);
                let number = live.or(vod)?;
                let created = at(self.created(number));
                content("video/mp2t", "public, max-age=60, immutable", created, self.segment(number, elapsed))
            }
        }
    }

    /// Creation time of a live segment, as time after the start; the first ones existed from the start.
    fn created(&self, number: u64) -> Duration {
        let after = (number + 1).saturating_sub(self.window.listed.into());
        Duration::from_secs(after * u64::from(self.window.seconds))
    }

    fn segment(&self, number: u64, elapsed: Duration) -> Bytes {
        let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
        let available = self.window.available(elapsed);
        computed.retain(|number, _| available.contains(number) || *number < self.vod_segments);
        let compute = || Bytes::from(self.synthetic.segment(number));
        computed.entry(number).or_insert_with(compute).clone()
    }

    /// Names, sizes and times of the live segments in the format of nginx's autoindex.
    fn autoindex(&self, elapsed: Duration) -> String {
        let entry = |number: u64| {
            let created = httpdate::fmt_http_date(self.started_at + self.created(number));
            let (name, size) = (live_name(number), self.segment(number, elapsed).len());
            format!("{{ \"name\":\"{name}\", \"type\":\"file\", \"mtime\":\"{created}\", \"size\":{size} }}")
        };
        let entries: Vec<String> = self.window.available(elapsed).map(entry).collect();
        format!("[\n{}\n]\n", entries.join(",\n"))
    }

    /// The counters for stub_status. A connection whose request is being read counts as waiting.
    fn stub_status(&self) -> StubStatus {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (accepted, active) = (read(&self.counters.accepted), read(&self.counters.active));
        let writing = read(&self.counters.answering);
        StubStatus {
            active,
            accepted,
            handled: accepted,
            requests: read(&self.counters.requests),
            reading: 0,
            writing,
            waiting: active.saturating_sub(writing),
        }
    }

    /// Adds the segments and the playlist to a snapshot for the metrics.
    pub(crate) fn describe(&self, snapshot: &mut OriginSnapshot) {
        let elapsed = self.started.elapsed();
        let epoch = |time: Duration| snapshot.started + time.as_secs_f64();
        let available = self.window.available(elapsed);
        let first = self.window.first(elapsed);
        let segment = |number| (f64::from(self.window.seconds), Some(epoch(self.created(number))));
        let playlist = PlaylistSnapshot {
            name: PLAYLIST.to_owned(),
            written: epoch(self.window.updated(elapsed)),
            media_sequence: first,
            segments: (first..available.end).map(segment).collect(),
        };
        snapshot.server = "embedded";
        snapshot.segment_files = available.end - available.start;
        snapshot.segment_bytes = available.map(|number| self.segment(number, elapsed).len() as u64).sum();
        snapshot.playlists = vec![playlist];
    }
}

fn status_response(code: StatusCode) -> Response<Bytes> {
    let text = match code {
        StatusCode::NO_CONTENT => String::new(),
        _ => format!("{code}\n"),
    };
    let mut response = Response::new(text.into());
    *response.status_mut() = code;
    set(&mut response, CONTENT_TYPE, "text/plain");
    response
}

fn set(response: &mut Response<Bytes>, name: HeaderName, value: &str) {
    // Only valid values are passed, so this never fails.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The bytes that a Range header requests (RFC 9110): one range, because players send no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteRange {
    /// Everything: there is no range, or an invalid one, which is ignored (section 14.2).
    Whole,
    /// From the first to the last byte, both inclusive.
    Part(u64, u64),
    /// Bytes beyond the end.
    Unsatisfiable,
}

/// Parses the value of a Range header for a body of `length` bytes.
fn parse_range(value: Option<&str>, length: u64) -> ByteRange {
    let Some((first, last)) = value.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return ByteRange::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => ByteRange::Whole,
        (true, false) => match number(last) {
            None => ByteRange::Whole,
            Some(0) => ByteRange::Unsatisfiable,
            Some(_) if length == 0 => ByteRange::Unsatisfiable,
            Some(tail) => ByteRange::Part(length.saturating_sub(tail), length - 1),
        },
        (false, open) => match (number(first), if open { Some(u64::MAX) } else { number(last) }) {
            (Some(first), Some(last)) if first <= last && first < length => {
                ByteRange::Part(first, last.min(length - 1))
            }
            (Some(first), Some(last)) if first <= last => ByteRange::Unsatisfiable,
            _ => ByteRange::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_parsed() {
        for (value, expected) in [
            ("bytes=0-", ByteRange::Part(0, 99)),
            ("bytes=10-19", ByteRange::Part(10, 19)),
            ("bytes=90-200", ByteRange::Part(90, 99)),
            ("bytes=-5", ByteRange::Part(95, 99)),
            ("bytes=-500", ByteRange::Part(0, 99)),
            ("bytes=100-", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=5-4", ByteRange::Whole),
            ("bytes=0-1,5-6", ByteRange::Whole),
            ("lines=0-1", ByteRange::Whole),
            ("bytes=-", ByteRange::Whole),
        ] {
            assert_eq!(parse_range(Some(value), 100), expected, "{value}");
        }
        assert_eq!(parse_range(None, 100), ByteRange::Whole);
        assert_eq!(parse_range(Some("bytes=0-"), 0), ByteRange::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_within_the_body(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in 0_u64..1000) {
            if let ByteRange::Part(first, last) = parse_range(Some(&value), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
