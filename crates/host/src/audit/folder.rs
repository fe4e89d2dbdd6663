//! What the files of a folder say: which playlists live, which segments nobody lists any more.

use std::collections::BTreeSet;

use url::Url;

use hls_swarm_hls::playlist::{self, Playlist};

use super::facts::{File, Folder};

/// Segments of a stream that stopped are kept so long, seconds: the house rule of the test origin too.
pub const STALE_SECONDS: u64 = 600;
/// Endings of segments.
const SEGMENTS: [&str; 6] = ["ts", "m4s", "mp4", "aac", "m4a", "vtt"];

/// A media playlist as it stands in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Path of the playlist.
    pub path: String,
    /// Whether it grows: without an end, and written not long ago.
    pub live: bool,
    /// Whether it is complete (EXT-X-ENDLIST).
    pub complete: bool,
    /// Segments have left the list already: it has its full length.
    pub full: bool,
    /// EXT-X-TARGETDURATION, seconds.
    pub target_seconds: f64,
    /// Segments listed.
    pub listed: usize,
    /// Duration of what is listed, seconds.
    pub seconds: f64,
    /// Bit/s of the listed segments that are there; absent if none is.
    pub bits_per_second: Option<f64>,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Its media playlists.
    pub streams: Vec<Stream>,
    /// Segments in total.
    pub segments: usize,
    /// Segments that no living or complete playlist lists, older than [`STALE_SECONDS`]: number, bytes,
    /// and age of the oldest in seconds.
    pub stale: usize,
    /// See above.
    pub stale_bytes: u64,
    /// See above.
    pub oldest_stale_seconds: u64,
}

/// Reads a folder.
#[must_use]
pub fn read(folder: &Folder) -> Contents {
    let mut contents = Contents::default();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for file in &folder.files {
        let Some((stream, listed)) = file.text.as_deref().and_then(|text| stream(folder, file, text)) else {
            continue;
        };
        if stream.live || stream.complete {
            wanted.extend(listed);
        }
        contents.streams.push(stream);
    }
    for file in folder.files.iter().filter(|file| is_segment(&file.name)) {
        contents.segments += 1;
        if file.age_seconds > STALE_SECONDS && !wanted.contains(&file.name) {
            contents.stale += 1;
            contents.stale_bytes += file.bytes;
            contents.oldest_stale_seconds = contents.oldest_stale_seconds.max(file.age_seconds);
        }
    }
    contents
}

fn is_segment(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| SEGMENTS.contains(&ending.to_ascii_lowercase().as_str()))
}

/// A media playlist, and the names of the files that it lists.
fn stream(folder: &Folder, file: &File, text: &str) -> Option<(Stream, BTreeSet<String>)> {
    let base = Url::parse("http://folder.invalid/").and_then(|root| root.join(&file.name)).ok()?;
    let Ok(Playlist::Media(media)) = playlist::parse(text, &base) else { return None };
    let urls = media.segments.iter().map(|(url, _)| url.clone());
    let maps = text.lines().filter_map(|line| map_address(line)).filter_map(|uri| base.join(uri).ok());
    let listed: BTreeSet<String> = urls.chain(maps).flat_map(|url| names(&url, &file.name)).collect();
    // A playlist that is not written for so long belongs to a stream that has stopped.
    let patience = (media.target_duration.max(1.0) * 10.0).clamp(60.0, 600.0);
    let live = media.live && (file.age_seconds as f64) < patience;
    let bytes: u64 =
        folder.files.iter().filter(|other| listed.contains(&other.name)).map(|other| other.bytes).sum();
    let seconds = media.duration();
    let stream = Stream {
        path: format!("{}/{}", folder.path.trim_end_matches('/'), file.name),
        live,
        complete: !media.live,
        full: media.media_sequence > 0,
        target_seconds: media.target_duration,
        listed: media.segments.len(),
        seconds,
        bits_per_second: (bytes > 0 && seconds > 0.0).then(|| bytes as f64 * 8.0 / seconds),
    };
    Some((stream, listed))
}

/// EXT-X-MAP's URI.
fn map_address(line: &str) -> Option<&str> {
    line.strip_prefix("#EXT-X-MAP:")?.split_once("URI=\"")?.1.split('"').next()
}

/// The file that an address means: below the folder, or beside the playlist where the server's paths are
/// not the folder's.
fn names(url: &Url, playlist: &str) -> [String; 2] {
    let path = percent_free(url.path().trim_start_matches('/'));
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let beside = match playlist.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name,
    };
    [path, beside]
}

/// Decodes %20 and its like.
fn percent_free(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, age_seconds: u64, text: Option<&str>) -> File {
        File { name: name.into(), bytes: 1000, age_seconds, text: text.map(str::to_owned) }
    }

    fn folder(files: Vec<File>) -> Folder {
        Folder { path: "/srv/hls".into(), files, ..Folder::default() }
    }

    const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\na%20b.ts\n#EXTINF:4.0,\n/live/c.ts?x=1\n";

    #[test]
    fn what_a_living_playlist_lists_is_not_stale() {
        let files = vec![
            file("live/x.m3u8", 3, Some(LIVE)),
            file("live/init.mp4", 9000, None),
            file("live/a b.ts", 900, None),
            file("live/c.ts", 900, None),
            file("live/old.ts", 900, None),
            file("live/new.ts", 30, None),
            file("c.ts", 700, None),
            file("notes.txt", 9000, None),
        ];
        let contents = read(&folder(files));
        assert_eq!((contents.segments, contents.stale, contents.stale_bytes), (6, 2, 2000));
        assert_eq!(contents.oldest_stale_seconds, 900);
        let stream = &contents.streams[0];
        assert!(stream.live && !stream.complete);
        assert_eq!((stream.listed, stream.seconds, stream.bits_per_second), (2, 8.0, Some(3000.0)));
        assert_eq!(stream.path, "/srv/hls/live/x.m3u8");
    }

    #[test]
    fn a_stream_that_stopped_leaves_stale_segments_and_a_film_does_not() {
        let film = LIVE.to_owned() + "#EXT-X-ENDLIST\n";
        for (text, stale) in [(LIVE, 3), (film.as_str(), 0)] {
            let names = ["init.mp4", "a b.ts", "c.ts"];
            let mut files: Vec<File> = names.iter().map(|name| file(name, 9000, None)).collect();
            files.push(file("x.m3u8", 9000, Some(text)));
            assert_eq!(read(&folder(files)).stale, stale);
        }
    }

    #[test]
    fn what_is_no_playlist_is_left_alone() {
        let contents = read(&folder(vec![file("x.m3u8", 1, Some("<html>")), file("y.m3u8", 1, Some(""))]));
        assert_eq!(contents, Contents::default());
    }
}
