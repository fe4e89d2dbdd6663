//! Contents of a folder: which streams are live, and which files of stopped streams are stale.
//!
//! A file counts as stale only if all signs agree: it is a segment by its content or by the names in
//! the playlists beside it, no live, complete, or unreadable playlist lists it, and it is old.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use hls_swarm_hls::playlist::{self, Playlist};

use super::facts::{File, Folder};

/// Time for which files of a stopped stream are kept, seconds.
pub(crate) const STALE_SECONDS: u64 = 600;
/// Extensions of segments. MP4 files may be downloads, so they never count.
const SEGMENTS: [&str; 4] = ["ts", "m4s", "aac", "vtt"];

/// A media playlist in a folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stream {
    /// Path of the playlist.
    pub(crate) path: String,
    /// Whether it grows: it has no EXT-X-ENDLIST and was written recently.
    pub(crate) live: bool,
    /// Whether segments have left the playlist already, so that it has reached its full length.
    pub(crate) full: bool,
    /// EXT-X-TARGETDURATION, seconds.
    pub(crate) target_seconds: f64,
    /// Number of listed segments.
    pub(crate) listed: usize,
    /// Duration of the listed segments, seconds.
    pub(crate) seconds: f64,
    /// Bit/s of the listed segments that exist; absent if none does.
    pub(crate) bits_per_second: Option<f64>,
    /// Size of the playlist, bytes.
    pub(crate) bytes: u64,
}

/// Contents of a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    /// Media playlists.
    pub(crate) streams: Vec<Stream>,
    /// Whether a complete or replayable stream (EXT-X-ENDLIST, EXT-X-PLAYLIST-TYPE) is in the folder.
    pub(crate) has_vod: bool,
    /// Number of segments.
    pub(crate) segments: usize,
    /// Stale segments and playlists of stopped streams, relative to the folder.
    pub(crate) stale: Vec<String>,
    /// Number of segments among them.
    pub(crate) stale_segments: usize,
    /// Their size, bytes.
    pub(crate) stale_bytes: u64,
    /// Age of the oldest one, seconds.
    pub(crate) oldest_stale_seconds: u64,
    /// Reason why stale files cannot be identified.
    pub(crate) unknown: Option<String>,
}

/// A parsed playlist of any kind.
struct Listing {
    directory: String,
    /// Files that it lists, relative to the folder.
    files: BTreeSet<String>,
    /// Names of files that it lists by absolute addresses, which may be mapped to any directory.
    names: BTreeSet<String>,
    stream: Option<Stream>,
    stopped: bool,
}

/// Reads the contents of a folder.
pub(crate) fn read(folder: &Folder) -> Contents {
    let mut contents = Contents::default();
    let sizes: BTreeMap<&str, u64> =
        folder.files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
    let (mut kept, mut kept_names) = (BTreeSet::new(), BTreeSet::new());
    let mut protected: BTreeSet<String> = BTreeSet::new();
    let (mut patterns, mut directories) = (BTreeSet::new(), BTreeSet::new());
    let mut stopped = Vec::new();
    for file in folder.files.iter().filter(|file| is_playlist(&file.name)) {
        let directory = directory(&file.name).to_owned();
        // A playlist that cannot be understood may list everything beside and below it.
        let Some(listing) = file.text.as_deref().and_then(|text| listing(folder, file, text, &sizes)) else {
            protected.insert(directory);
            continue;
        };
        directories.insert(listing.directory.clone());
        directories.extend(listing.files.iter().map(|name| self::directory(name).to_owned()));
        patterns.extend(listing.files.iter().chain(&listing.names).map(|name| pattern(name)));
        if listing.stopped {
            stopped.push(file);
        } else {
            kept.extend(listing.files);
            kept_names.extend(listing.names);
            contents.has_vod |= listing.stream.as_ref().is_some_and(|stream| !stream.live);
        }
        contents.streams.extend(listing.stream);
    }
    if folder.truncated {
        contents.unknown = Some(format!("{} has too many files; only a part was read", folder.path));
    }
    let listed = |name: &str| kept.contains(name) || kept_names.contains(base_name(name));
    let guarded = |name: &str| protected.iter().any(|directory| is_below(name, directory));
    let old = |file: &File| file.age_seconds > STALE_SECONDS && !file.link;
    for file in folder.files.iter().filter(|file| is_segment(&file.name)) {
        let known = file.media
            || patterns.contains(&pattern(&file.name))
            || patterns.contains(&pattern(base_name(&file.name)));
        if !known || !directories.contains(directory(&file.name)) {
            continue;
        }
        contents.segments += 1;
        if contents.unknown.is_none() && old(file) && !listed(&file.name) && !guarded(&file.name) {
            contents.stale_segments += 1;
            add_stale(file, &mut contents);
        }
    }
    if contents.unknown.is_none() {
        for file in stopped.into_iter().filter(|file| old(file) && !listed(&file.name)) {
            add_stale(file, &mut contents);
        }
    }
    contents
}

fn add_stale(file: &File, contents: &mut Contents) {
    contents.stale.push(file.name.clone());
    contents.stale_bytes += file.bytes;
    contents.oldest_stale_seconds = contents.oldest_stale_seconds.max(file.age_seconds);
}

fn extension(name: &str) -> String {
    base_name(name).rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

fn is_playlist(name: &str) -> bool {
    ["m3u8", "m3u", "mpd"].contains(&extension(name).as_str())
}

fn is_segment(name: &str) -> bool {
    SEGMENTS.contains(&extension(name).as_str()) && !name.ends_with(".d.ts")
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

fn directory(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn is_below(name: &str, directory: &str) -> bool {
    directory.is_empty() || name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns a name with every number replaced, which is the same for all segments of a stream.
fn pattern(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if c != '0' || !out.ends_with('0') {
            out.push(c);
        }
    }
    out
}

fn listing(folder: &Folder, file: &File, text: &str, sizes: &BTreeMap<&str, u64>) -> Option<Listing> {
    let base = Url::parse("http://folder.invalid/").and_then(|root| root.join(&file.name)).ok()?;
    let parsed = playlist::parse(text, &base).ok()?;
    let (mut files, mut names) = (BTreeSet::new(), BTreeSet::new());
    for uri in uris(text) {
        let url = base.join(uri).ok()?;
        let path = percent_decode(url.path().trim_start_matches('/'));
        if uri.starts_with('/') || Url::parse(uri).is_ok() {
            names.insert(base_name(&path).to_owned());
        }
        files.insert(path);
    }
    let mut listing =
        Listing { directory: directory(&file.name).to_owned(), files, names, stream: None, stopped: false };
    let Playlist::Media(media) = parsed else { return Some(listing) };
    // A live playlist that is no longer written belongs to a stream that has stopped.
    let recent = (media.target_duration.max(1.0) * 10.0).clamp(60.0, 600.0);
    let live = media.is_live() && (file.age_seconds as f64) < recent;
    let replayable = text.lines().any(|line| line.starts_with("#EXT-X-PLAYLIST-TYPE"));
    listing.stopped = media.is_live() && !live && !replayable;
    let here = listing.files.iter().filter_map(|name| sizes.get(name.as_str()));
    let beside = listing.names.iter().filter_map(|name| {
        let path =
            if listing.directory.is_empty() { name.clone() } else { format!("{}/{name}", listing.directory) };
        (!listing.files.contains(&path)).then(|| sizes.get(path.as_str())).flatten()
    });
    let bytes: u64 = here.chain(beside).sum();
    let seconds = media.duration();
    listing.stream = Some(Stream {
        path: format!("{}/{}", folder.path.trim_end_matches('/'), file.name),
        live,
        full: media.media_sequence > 0,
        target_seconds: media.target_duration,
        listed: media.segments.len(),
        seconds,
        bits_per_second: (bytes > 0 && seconds > 0.0).then(|| bytes as f64 * 8.0 / seconds),
        bytes: file.bytes,
    });
    Some(listing)
}

/// Returns every address in a playlist: lines, and `URI` attributes of tags such as EXT-X-MAP and EXT-X-PART.
fn uris(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).filter_map(|line| {
        if line.starts_with('#') {
            return line
                .starts_with("#EXT-X-")
                .then(|| line.split_once("URI=\"")?.1.split('"').next())
                .flatten();
        }
        Some(line)
    })
}

/// Decodes percent-encoding, such as `%20`.
fn percent_decode(text: &str) -> String {
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
        let media = text.is_none() && !name.ends_with(".d.ts");
        File {
            name: name.into(),
            bytes: 1000,
            age_seconds,
            text: text.map(str::to_owned),
            media,
            link: false,
        }
    }

    fn stale(files: Vec<File>) -> Vec<String> {
        read(&Folder { path: "/srv/hls".into(), files, ..Folder::default() }).stale
    }

    const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\na%20b.ts\n#EXTINF:4.0,\n/live/c.ts?x=1\n";

    #[test]
    fn segments_that_a_live_playlist_lists_are_not_stale() {
        let files = vec![
            file("live/x.m3u8", 3, Some(LIVE)),
            file("live/init.mp4", 9000, None),
            file("live/a b.ts", 900, None),
            file("live/c.ts", 900, None),
            file("live/old.ts", 900, None),
            file("live/new.ts", 30, None),
            file("other/old.ts", 700, None),
            file("notes.txt", 9000, None),
        ];
        let folder = Folder { path: "/srv/hls".into(), files, ..Folder::default() };
        let contents = read(&folder);
        assert_eq!((contents.segments, contents.stale_segments, contents.stale_bytes), (4, 1, 1000));
        assert_eq!((contents.stale, contents.oldest_stale_seconds), (vec!["live/old.ts".to_owned()], 900));
        let stream = &contents.streams[0];
        assert_eq!((stream.live, stream.listed, stream.seconds), (true, 2, 8.0));
        assert_eq!(stream.bits_per_second, Some(3000.0));
        assert_eq!(stream.path, "/srv/hls/live/x.m3u8");
    }

    #[test]
    fn a_stopped_stream_is_stale_and_a_complete_one_is_not() {
        let event = LIVE.replace("#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP");
        let complete = LIVE.to_owned() + "#EXT-X-ENDLIST\n";
        for (text, expected) in
            [(LIVE, 3), (complete.as_str(), 0), (event.as_str(), 0), ("#EXTM3U broken", 0)]
        {
            let names = ["init.mp4", "a b.ts", "c.ts"];
            let mut files: Vec<File> = names.iter().map(|name| file(name, 9000, None)).collect();
            files.push(file("x.m3u8", 9000, Some(text)));
            // Two segments and the playlist itself; the MP4 file never counts.
            assert_eq!(stale(files).len(), expected, "{text}");
        }
    }

    #[test]
    fn sources_downloads_and_files_that_may_be_listed_are_never_stale() {
        let playlist = |text: Option<&str>| File { media: false, ..file("live/x.m3u8", 3, text) };
        let complete =
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://cdn.example/vod/7/f0.ts\n#EXT-X-ENDLIST\n";
        for (files, why) in [
            (vec![file("live/x.d.ts", 9000, None)], "a TypeScript declaration file"),
            (vec![File { media: false, ..file("live/main.ts", 9000, None) }], "a TypeScript source file"),
            (vec![file("live/trailer.mp4", 9000, None)], "a download"),
            (vec![file("vod/a.ts", 9000, None)], "a folder without a playlist"),
            (vec![File { link: true, ..file("live/old.ts", 9000, None) }], "a symbolic link"),
        ] {
            let mut files = files;
            files.push(playlist(Some(LIVE)));
            assert_eq!(stale(files), Vec::<String>::new(), "{why}");
        }
        // The playlist is too large to be read.
        assert_eq!(stale(vec![playlist(None), file("live/a.ts", 9000, None)]), Vec::<String>::new());
        // The address on a CDN is mapped to another path.
        let files =
            vec![playlist(Some(complete)), file("live/f0.ts", 9000, None), file("live/f1.ts", 9000, None)];
        assert_eq!(stale(files), ["live/f1.ts"]);
        let files = vec![file("x.m3u8", 3, Some(LIVE)), file("old.ts", 9000, None)];
        let folder = Folder { files, truncated: true, ..Folder::default() };
        assert!(read(&folder).stale.is_empty() && read(&folder).unknown.is_some());
    }

    #[test]
    fn encrypted_segments_are_known_by_their_names() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg_900.ts\n";
        let encrypted = |name| File { media: false, ..file(name, 9000, None) };
        let files = vec![file("x.m3u8", 3, Some(text)), encrypted("seg_12.ts"), encrypted("main.ts")];
        assert_eq!(stale(files), ["seg_12.ts"]);
    }
}
