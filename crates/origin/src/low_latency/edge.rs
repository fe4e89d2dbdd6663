//! Answers requests for low-latency playlists, and for parts that are announced and not there yet.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Division;
use super::live_list::{Announced, Directives, LiveList, Reload};
use crate::embedded::synthetic::SyntheticStream;
use crate::exporter::origin::PlaylistSnapshot;
use crate::layout;
use crate::profile::Format;
use crate::profile::stream::Stream;
use crate::publisher::publication::Position;

/// A request waits for three target durations at most (RFC 8216bis, 6.2.5.2).
const LONGEST_WAIT: u32 = 3;
/// Answers to blocking requests may be cached for this many target durations.
const CACHED: u32 = 6;
/// Computed parts that are kept: all that viewers near the live edge request.
const COMPUTED: usize = 32;

/// Where the bytes of parts are.
#[derive(Debug)]
pub(crate) enum Parts {
    /// In files of this directory, which is on a tmpfs.
    Files(PathBuf),
    /// They are computed.
    Synthetic(SyntheticStream),
}

/// The playlists of one stream.
#[derive(Debug)]
pub(crate) struct Edge {
    lists: Mutex<Vec<LiveList>>,
    /// The number of changes, and when the last one was.
    changed: watch::Sender<(u64, Option<SystemTime>)>,
    /// Texts by rendition and whether they are delta updates, each with the number of the change that it belongs to.
    texts: Mutex<HashMap<(usize, bool), (u64, Bytes)>>,
    parts: Parts,
    /// The parts that were computed last, by name.
    computed: Mutex<VecDeque<(String, Bytes)>>,
    target_seconds: u32,
    part_type: &'static str,
}

impl Edge {
    /// The playlists of a stream without any segment; `None` if the stream has no parts.
    pub(crate) fn new(stream: &Stream, parts: Parts) -> Option<Self> {
        let division = Division::of(stream)?;
        let renditions = layout::renditions(stream).into_iter();
        let lists = renditions.map(|rendition| LiveList::new(stream, division, rendition, 0, 0)).collect();
        let part_type = match stream.format {
            Format::Ts => "video/mp2t",
            Format::Fmp4 => "video/mp4",
        };
        Some(Self {
            lists: Mutex::new(lists),
            changed: watch::Sender::new((0, None)),
            texts: Mutex::default(),
            parts,
            computed: Mutex::default(),
            target_seconds: stream.segment_seconds,
            part_type,
        })
    }

    /// Continues at a position, before there is any segment.
    pub(crate) fn continue_at(&self, stream: &Stream, position: Position) {
        let Some(division) = Division::of(stream) else { return };
        for list in self.lists().iter_mut() {
            let rendition = list.rendition().clone();
            *list = LiveList::new(stream, division, rendition, position.next, position.discontinuities);
        }
    }

    fn lists(&self) -> MutexGuard<'_, Vec<LiveList>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the playlists, and wakes the requests that wait for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Vec<LiveList>) -> T) -> T {
        let mut lists = self.lists();
        let changed = change(&mut lists);
        self.changed.send_modify(|(count, at)| (*count, *at) = (*count + 1, Some(SystemTime::now())));
        changed
    }

    /// The segment of a rendition that is not complete, and how many parts of it are.
    pub(crate) fn position(&self, index: usize) -> (u64, usize) {
        self.lists().get(index).map_or((0, 0), LiveList::position)
    }

    /// Discontinuities of a rendition so far.
    pub(crate) fn discontinuities(&self, index: usize) -> u64 {
        self.lists().get(index).map_or(0, LiveList::all_discontinuities)
    }

    /// Whether every rendition has a whole segment.
    pub(crate) fn has_segments(&self) -> bool {
        self.lists().iter().all(LiveList::has_segments)
    }

    /// The time since the last change; `None` if there was none.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let (_, at) = *self.changed.borrow();
        at.map(|at| at.elapsed().unwrap_or_default())
    }

    /// The response to a request for this file with this query; `None` if it is neither a playlist nor an announced
    /// part.
    pub(crate) async fn respond(&self, file: &str, query: &str) -> Option<Response<Bytes>> {
        let index = self.lists().iter().position(|list| list.rendition().playlist() == file);
        match index {
            Some(index) => Some(self.playlist(index, query).await),
            None => self.part(file).await,
        }
    }

    async fn playlist(&self, index: usize, query: &str) -> Response<Bytes> {
        let refused =
            |why: &str| response(StatusCode::BAD_REQUEST, "text/plain", "no-store", format!("{why}\n"));
        let directives = match Directives::read(query) {
            Ok(directives) => directives,
            Err(why) => return refused(why),
        };
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + self.longest_wait();
        loop {
            changed.borrow_and_update();
            let decided = self.lists().get(index).map(|list| list.reload(directives));
            match decided {
                Some(Reload::Now) => break,
                Some(Reload::Wait) => {}
                Some(Reload::Refused(why)) => return refused(why),
                None => return status(StatusCode::NOT_FOUND),
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                return status(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
        let Some(text) = self.text(index, directives.skip) else {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let seconds = match directives.sequence {
            Some(_) => CACHED * self.target_seconds,
            None => self.target_seconds / 2,
        };
        let cache_control = format!("public, max-age={seconds}");
        response(StatusCode::OK, "application/vnd.apple.mpegurl", &cache_control, text)
    }

    fn longest_wait(&self) -> Duration {
        Duration::from_secs((LONGEST_WAIT * self.target_seconds).into())
    }

    /// The playlist, or the delta update, as of now. Most viewers ask for the same text.
    fn text(&self, index: usize, skip: bool) -> Option<Bytes> {
        let lists = self.lists();
        let (count, _) = *self.changed.borrow();
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = texts.get(&(index, skip)).filter(|(of, _)| *of == count) {
            return Some(text.clone());
        }
        let others = lists.iter().enumerate().filter(|(other, _)| *other != index);
        let reports = others.filter_map(|(_, list)| list.report()).collect();
        let media = lists.get(index)?.media(reports)?;
        let text: Bytes = match (skip, media.skippable()) {
            (true, 1..) => media.delta(media.skippable()).to_string().into(),
            _ => media.to_string().into(),
        };
        texts.insert((index, skip), (count, text.clone()));
        Some(text)
    }

    /// A part, as soon as it is there; `None` if there is no such part and none of this name is announced.
    async fn part(&self, file: &str) -> Option<Response<Bytes>> {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + self.longest_wait();
        loop {
            changed.borrow_and_update();
            let announced = self
                .lists()
                .iter()
                .map(|list| list.announced(file))
                .find(|known| *known != Announced::Unknown);
            match announced {
                Some(Announced::Present) => {
                    let bytes = self.bytes(file)?;
                    return Some(response(
                        StatusCode::OK,
                        self.part_type,
                        "public, max-age=60, immutable",
                        bytes,
                    ));
                }
                Some(Announced::Next) => {}
                _ => return None,
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                return Some(status(StatusCode::NOT_FOUND));
            }
        }
    }

    fn bytes(&self, file: &str) -> Option<Bytes> {
        match &self.parts {
            // From memory, so this does not wait.
            Parts::Files(directory) => std::fs::read(directory.join(file)).ok().map(Bytes::from),
            Parts::Synthetic(synthetic) => {
                let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, bytes)) = computed.iter().find(|(name, _)| name == file) {
                    return Some(bytes.clone());
                }
                let (number, index) = self.lists().iter().find_map(|list| list.rendition().part_of(file))?;
                let bytes = Bytes::from(synthetic.part(number, index)?);
                if computed.len() >= COMPUTED {
                    computed.pop_front();
                }
                computed.push_back((file.to_owned(), bytes.clone()));
                Some(bytes)
            }
        }
    }

    /// The playlists for the metrics; `folder` is where they are on the server.
    pub(crate) fn describe(&self, folder: &str) -> Vec<PlaylistSnapshot> {
        let epoch = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let (_, changed) = *self.changed.borrow();
        let lists = self.lists();
        let described = lists.iter().filter_map(|list| {
            let media = list.media(Vec::new())?;
            let created = |file: &str| match &self.parts {
                Parts::Files(directory) => {
                    directory.join(file).metadata().and_then(|file| file.modified()).ok().map(epoch)
                }
                Parts::Synthetic(_) => None,
            };
            let name = list.rendition().playlist();
            Some(PlaylistSnapshot {
                name: if folder.is_empty() { name } else { format!("{folder}/{name}") },
                written: epoch(changed?),
                media_sequence: media.media_sequence,
                segments: media.segments.iter().map(|one| (one.duration, created(&one.uri))).collect(),
            })
        });
        described.collect()
    }
}

/// The playlists of all streams, by the folder that they are in; the first stream is in none.
#[derive(Debug)]
pub(crate) struct Edges(pub(crate) Vec<(String, std::sync::Arc<Edge>)>);

impl Edges {
    /// The playlists of the stream in this folder.
    pub(crate) fn of(&self, folder: &str) -> Option<&std::sync::Arc<Edge>> {
        self.0.iter().find(|(name, _)| name == folder).map(|(_, edge)| edge)
    }

    /// The response to a request.
    pub(crate) fn respond<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Response<Bytes>> + Send + use<B> {
        let path = request.uri().path().trim_start_matches('/');
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let query = request.uri().query().unwrap_or_default().to_owned();
        let (edge, file) = (self.of(folder).cloned(), file.to_owned());
        async move {
            let found = match edge {
                Some(edge) => edge.respond(&file, &query).await,
                None => None,
            };
            found.unwrap_or_else(|| status(StatusCode::NOT_FOUND))
        }
    }
}

fn status(code: StatusCode) -> Response<Bytes> {
    response(code, "text/plain", "no-store", format!("{code}\n"))
}

fn response(
    code: StatusCode,
    content_type: &'static str,
    cache_control: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(value) = HeaderValue::from_str(cache_control) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> std::sync::Arc<Edge> {
        let stream = Stream::of_flags(&["--profile=ll-hls", "--ladder=640x360@500"]).unwrap();
        std::sync::Arc::new(Edge::new(&stream, Parts::Files("/nowhere".into())).unwrap())
    }

    fn add(edge: &Edge, index: usize, parts: usize) {
        for _ in 0..parts {
            edge.change(|lists| {
                lists[index].add_part(0.5, true, None);
                if lists[index].position().1 == 4 {
                    lists[index].finish_segment();
                }
            });
        }
    }

    async fn get(edge: &Edge, query: &str) -> (u16, String) {
        let response = edge.respond("stream.m3u8", query).await.unwrap();
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    }

    #[tokio::test]
    async fn a_blocking_request_is_answered_by_the_change_that_it_names() {
        let edge = edge();
        add(&edge, 0, 4 * 10 + 2);
        add(&edge, 1, 4 * 10 + 1);
        let (code, text) = get(&edge, "").await;
        assert_eq!(code, 200);
        assert!(text.contains("#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN=10,LAST-PART=0"), "{text}");
        let waiting = {
            let edge = std::sync::Arc::clone(&edge);
            tokio::spawn(async move { get(&edge, "_HLS_msn=10&_HLS_part=3&_HLS_skip=YES").await })
        };
        tokio::task::yield_now().await;
        add(&edge, 0, 1);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "part 2 is not part 3");
        add(&edge, 0, 1);
        let (code, text) = waiting.await.unwrap();
        // The segment is complete with it, and 12 s before the end, skipping ends.
        assert!(code == 200 && text.contains("seg_00010.m4s\n"), "{text}");
        assert!(text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=4\n"), "{text}");
        assert_eq!(get(&edge, "_HLS_msn=13").await.0, 400);
        assert_eq!(get(&edge, "_HLS_part=1").await.0, 400);
        assert!(edge.respond("other.m3u8", "").await.is_none());
    }

    #[tokio::test]
    async fn nothing_waits_forever() {
        let stream = Stream::of_flags(&["--profile=ll-hls", "--segment-seconds=1"]).unwrap();
        let edge = Edge::new(&stream, Parts::Files("/nowhere".into())).unwrap();
        add(&edge, 0, 5);
        let before = Instant::now();
        let (list, part) = tokio::join!(get(&edge, "_HLS_msn=2"), edge.respond("seg_00001.1.m4s", ""));
        assert!(before.elapsed() >= Duration::from_secs(3), "three target durations");
        assert_eq!((list.0, part.unwrap().status().as_u16()), (503, 404), "the announced part does not come");
        assert!(edge.respond("seg_00001.2.m4s", "").await.is_none(), "no part that is not announced");
    }
}
