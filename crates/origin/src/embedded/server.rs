//! The embedded stream: what nginx would serve from disk, served from memory.
//!
//! Segments are computed when they are asked for first, and forgotten when they are gone.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};

use crate::embedded::synthetic::Synthetic;
use crate::embedded::synthetic::playlist::{self, MASTER, VOD, Window, live_name, number_in, vod_name};
use crate::exporter::nginx::Status;
use crate::exporter::origin;
use crate::fault_proxy::Traffic;
use crate::profile::derived::Derived;
use crate::profile::stream::{Source, Stream};
use crate::publisher::playlist::PLAYLIST;

/// Length of the film beside a live stream.
const FILM_SECONDS: u32 = 60;
const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// The stream.
#[derive(Debug)]
pub(crate) struct Memory {
    synthetic: Synthetic,
    window: Window,
    /// Segments of the film.
    film: u64,
    /// There is nothing but the film.
    film_only: bool,
    playlist_caching: String,
    began: Instant,
    began_at: SystemTime,
    traffic: Arc<Traffic>,
    computed: Mutex<HashMap<u64, Bytes>>,
}

/// What is served under a path.
struct Content {
    kind: &'static str,
    caching: String,
    changed: SystemTime,
    bytes: Bytes,
}

impl Memory {
    /// The live stream begins now, with a full playlist.
    pub(crate) fn new(stream: &Stream, derived: &Derived, traffic: Arc<Traffic>) -> Self {
        let Derived { playlist_max_age, playlist_stale, .. } = derived;
        let (film_seconds, film_only) = match stream.source {
            Source::Film(seconds) => (seconds, true),
            Source::Live | Source::Loop => (FILM_SECONDS, false),
        };
        Self {
            synthetic: Synthetic::of(stream),
            window: Window {
                seconds: stream.segment_seconds,
                listed: stream.list_size,
                lingering: stream.delete_threshold,
            },
            film: film_seconds.div_ceil(stream.segment_seconds.max(1)).into(),
            film_only,
            playlist_caching: format!(
                "public, max-age={playlist_max_age}, stale-while-revalidate={playlist_stale}"
            ),
            began: Instant::now(),
            began_at: SystemTime::now(),
            traffic,
            computed: Mutex::default(),
        }
    }

    /// The answer to a request, as nginx would give it.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => self.content_answer(request),
            Method::OPTIONS => status(StatusCode::NO_CONTENT),
            _ => {
                let mut refusal = status(StatusCode::METHOD_NOT_ALLOWED);
                set(&mut refusal, ALLOW, "GET, HEAD, OPTIONS");
                refusal
            }
        };
        set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(&mut response, ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Length, Content-Range, Date");
        response
    }

    fn content_answer<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let Some(content) = self.content(request.uri().path()) else {
            return status(StatusCode::NOT_FOUND);
        };
        let Content { kind, caching, changed, bytes } = content;
        let whole = bytes.len() as u64;
        let asked = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let place = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
        let mut response = match read(asked, whole) {
            Asked::Whole => Response::new(bytes),
            Asked::Part(first, last) => {
                let mut part = Response::new(bytes.slice(place(first)..=place(last)));
                *part.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(&mut part, CONTENT_RANGE, &format!("bytes {first}-{last}/{whole}"));
                part
            }
            Asked::Beyond => {
                let mut beyond = status(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut beyond, CONTENT_RANGE, &format!("bytes */{whole}"));
                return beyond;
            }
        };
        set(&mut response, CONTENT_TYPE, kind);
        set(&mut response, CACHE_CONTROL, &caching);
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, LAST_MODIFIED, &httpdate::fmt_http_date(changed));
        if *request.method() == Method::HEAD {
            let length = response.body().len().into();
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Bytes::new();
        }
        response
    }

    fn content(&self, path: &str) -> Option<Content> {
        let elapsed = self.began.elapsed();
        let at = |time: Duration| self.began_at + time;
        let content = |kind, caching: &str, changed, bytes: Bytes| {
            Some(Content { kind, caching: caching.to_owned(), changed, bytes })
        };
        let playlist =
            |changed, text: String| content(PLAYLIST_TYPE, &self.playlist_caching, changed, text.into());
        let name = path.strip_prefix('/')?;
        match name {
            PLAYLIST if !self.film_only => {
                playlist(at(self.window.changed(elapsed)), self.window.text(elapsed))
            }
            VOD | PLAYLIST => playlist(self.began_at, playlist::vod(self.synthetic.seconds, self.film)),
            MASTER => {
                let text = playlist::master(&self.synthetic);
                content(
                    PLAYLIST_TYPE,
                    "public, max-age=5, stale-while-revalidate=10",
                    self.began_at,
                    text.into(),
                )
            }
            "health" => content("text/plain", "no-store", at(elapsed), "ok\n".into()),
            "nginx_status" => content("text/plain", "no-store", at(elapsed), self.status().text().into()),
            "files/json/" => content("application/json", "no-store", at(elapsed), self.sizes(elapsed).into()),
            _ => {
                let live =
                    number_in(name, live_name).filter(|number| self.window.there(elapsed).contains(number));
                let vod = number_in(name, vod_name).filter(|number| *number < self.film);
                let number = live.or(vod)?;
                let written = at(self.written(number));
                content("video/mp2t", "public, max-age=60, immutable", written, self.segment(number, elapsed))
            }
        }
    }

    /// When a live segment came, as time after the start; the first ones were there at once.
    fn written(&self, number: u64) -> Duration {
        let after = (number + 1).saturating_sub(self.window.listed.into());
        Duration::from_secs(after * u64::from(self.window.seconds))
    }

    fn segment(&self, number: u64, elapsed: Duration) -> Bytes {
        let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
        let there = self.window.there(elapsed);
        computed.retain(|number, _| there.contains(number) || *number < self.film);
        let made = || Bytes::from(self.synthetic.segment(number));
        computed.entry(number).or_insert_with(made).clone()
    }

    /// Names, sizes and times of the live segments, as nginx's autoindex writes them.
    fn sizes(&self, elapsed: Duration) -> String {
        let entry = |number: u64| {
            let written = httpdate::fmt_http_date(self.began_at + self.written(number));
            let (name, size) = (live_name(number), self.segment(number, elapsed).len());
            format!("{{ \"name\":\"{name}\", \"type\":\"file\", \"mtime\":\"{written}\", \"size\":{size} }}")
        };
        let entries: Vec<String> = self.window.there(elapsed).map(entry).collect();
        format!("[\n{}\n]\n", entries.join(",\n"))
    }

    /// Connections and requests so far. A head that is half read shows as waiting.
    fn status(&self) -> Status {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (accepted, active) = (read(&self.traffic.accepted), read(&self.traffic.active));
        let writing = read(&self.traffic.answering);
        Status {
            active,
            accepted,
            handled: accepted,
            requests: read(&self.traffic.requests),
            reading: 0,
            writing,
            waiting: active.saturating_sub(writing),
        }
    }

    /// Adds what the metrics tell of the stream.
    pub(crate) fn describe(&self, status: &mut origin::Origin) {
        let elapsed = self.began.elapsed();
        let epoch = |time: Duration| status.started + time.as_secs_f64();
        let there = self.window.there(elapsed);
        let first = self.window.first(elapsed);
        let segment = |number| (f64::from(self.window.seconds), Some(epoch(self.written(number))));
        let playlist = origin::Playlist {
            name: PLAYLIST.to_owned(),
            written: epoch(self.window.changed(elapsed)),
            media_sequence: first,
            segments: (first..there.end).map(segment).collect(),
        };
        status.server = "embedded";
        status.segment_files = there.end - there.start;
        status.segment_bytes = there.map(|number| self.segment(number, elapsed).len() as u64).sum();
        status.playlists = vec![playlist];
    }
}

fn status(code: StatusCode) -> Response<Bytes> {
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
    // All values are made of letters that may stand there.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: there is no range, or none that can be understood (section 14.2).
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Bytes that are not there.
    Beyond,
}

/// Reads the header's value, for a body of `length` bytes.
#[must_use]
pub fn read(value: Option<&str>, length: u64) -> Asked {
    let Some((first, last)) = value.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => Asked::Whole,
        (true, false) => match number(last) {
            None => Asked::Whole,
            Some(0) => Asked::Beyond,
            Some(_) if length == 0 => Asked::Beyond,
            Some(tail) => Asked::Part(length.saturating_sub(tail), length - 1),
        },
        (false, open) => match (number(first), if open { Some(u64::MAX) } else { number(last) }) {
            (Some(first), Some(last)) if first <= last && first < length => {
                Asked::Part(first, last.min(length - 1))
            }
            (Some(first), Some(last)) if first <= last => Asked::Beyond,
            _ => Asked::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_players() {
        for (value, expected) in [
            ("bytes=0-", Asked::Part(0, 99)),
            ("bytes=10-19", Asked::Part(10, 19)),
            ("bytes=90-200", Asked::Part(90, 99)),
            ("bytes=-5", Asked::Part(95, 99)),
            ("bytes=-500", Asked::Part(0, 99)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes=-", Asked::Whole),
        ] {
            assert_eq!(read(Some(value), 100), expected, "{value}");
        }
        assert_eq!(read(None, 100), Asked::Whole);
        assert_eq!(read(Some("bytes=0-"), 0), Asked::Beyond);
    }

    proptest! {
        #[test]
        fn a_part_lies_within(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in 0_u64..1000) {
            if let Asked::Part(first, last) = read(Some(&value), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
