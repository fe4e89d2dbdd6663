//! Parser for media and multivariant playlists, as far as a load generator has to understand them.
//!
//! It is not a validator: it reads the tags that it needs, and reports why a text cannot be played at all.

use std::fmt;

use url::Url;

/// A playlist.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// A list of variants.
    Multivariant(Multivariant),
    /// A list of segments.
    Media(Media),
}

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multivariant {
    /// Variants in the order of the text.
    pub variants: Vec<Variant>,
    /// Audio renditions that have playlists of their own.
    pub audio: Vec<Audio>,
}

impl Multivariant {
    /// Returns the media playlist of the audio rendition that a player takes beside `variant`: the default
    /// of its group, or the first one. `None` if the audio is part of the variant's own segments.
    #[must_use]
    pub fn audio_of(&self, variant: &Variant) -> Option<&Url> {
        let mut group = self.audio.iter().filter(|audio| Some(&audio.group) == variant.audio.as_ref());
        let first = group.clone().next();
        group.find(|audio| audio.default).or(first).map(|audio| &audio.url)
    }
}

/// A variant stream (EXT-X-STREAM-INF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// URL of its media playlist.
    pub url: Url,
    /// BANDWIDTH, bits per second.
    pub bandwidth: u64,
    /// RESOLUTION: width and height.
    pub resolution: Option<(u32, u32)>,
    /// AUDIO: the group of its separate audio renditions.
    pub audio: Option<String>,
}

/// An audio rendition with a playlist of its own (EXT-X-MEDIA, TYPE=AUDIO).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// GROUP-ID.
    pub group: String,
    /// URL of its media playlist.
    pub url: Url,
    /// DEFAULT: it plays unless the user chose another one.
    pub default: bool,
}

/// A target duration above this multiple of the longest segment is a mistake: with it, no viewer would ever
/// count as stalled.
const IMPLAUSIBLE: f64 = 10.0;

/// A media playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// URL and duration (seconds) of each segment.
    pub segments: Vec<(Url, f64)>,
    /// Whether segments may still be added: there is no EXT-X-ENDLIST.
    pub live: bool,
}

impl Media {
    /// Returns the duration of the longest segment, seconds: the target duration, unless the segments show
    /// that it is implausible. 0 if the playlist has no target duration.
    #[must_use]
    pub fn longest_segment(&self) -> f64 {
        let listed = self.segments.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
        let implausible = listed > 0.0 && self.target_duration > (IMPLAUSIBLE * listed).max(60.0);
        if implausible { listed.ceil() } else { self.target_duration }
    }

    /// Returns the sum of all segment durations, seconds.
    #[must_use]
    pub fn duration(&self) -> f64 {
        self.segments.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// The reason why a text is not a playlist that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPlaylist {
    /// It is empty.
    Empty,
    /// It looks like HTML.
    Html,
    /// The first line is not `#EXTM3U`; contains the beginning of the text.
    NoHeader(String),
    /// There are neither variants nor segments.
    NothingListed,
    /// It begins with a byte order mark, which RFC 8216 forbids and FFmpeg does not read.
    ByteOrderMark,
    /// A line is invalid.
    BadLine {
        /// Line number, starting at 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for InvalidPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the response is empty"),
            Self::Html => f.write_str("the response is an HTML page, not a playlist"),
            Self::NoHeader(start) => write!(f, "the response begins with {start:?} instead of #EXTM3U"),
            Self::ByteOrderMark => {
                f.write_str("the playlist begins with a byte order mark (EF BB BF), which players refuse")
            }
            Self::NothingListed => f.write_str("the playlist lists neither variants nor segments"),
            Self::BadLine { line, what } => write!(f, "line {line} of the playlist: {what}"),
        }
    }
}

impl std::error::Error for InvalidPlaylist {}

/// Parses the playlist in `text`, which was fetched from `base`.
///
/// # Errors
/// [`InvalidPlaylist`] if it is not a playlist, or is empty.
pub fn parse(text: &str, base: &Url) -> Result<Playlist, InvalidPlaylist> {
    if text.starts_with('\u{feff}') {
        return Err(InvalidPlaylist::ByteOrderMark);
    }
    let start = text.trim_start();
    if start.is_empty() {
        return Err(InvalidPlaylist::Empty);
    }
    if !start.starts_with("#EXTM3U") {
        let lower: String = start.chars().take(200).collect::<String>().to_ascii_lowercase();
        if lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.contains("<head") {
            return Err(InvalidPlaylist::Html);
        }
        return Err(InvalidPlaylist::NoHeader(start.chars().take(24).collect()));
    }
    let mut parser = Parser::new(base);
    for (index, line) in text.lines().enumerate() {
        parser.line(line.trim()).map_err(|what| InvalidPlaylist::BadLine { line: index + 1, what })?;
    }
    parser.finish()
}

/// The attributes of EXT-X-STREAM-INF, which describe the variant whose URI is on the next line.
struct StreamInf {
    bandwidth: u64,
    resolution: Option<(u32, u32)>,
    audio: Option<String>,
}

impl StreamInf {
    fn parse(list: &str) -> Self {
        // The peak decides whether a variant fits a connection; the average is better than nothing.
        let bandwidth = ["BANDWIDTH", "AVERAGE-BANDWIDTH"]
            .into_iter()
            .find_map(|name| attribute(list, name)?.parse().ok())
            .unwrap_or(0);
        let resolution = attribute(list, "RESOLUTION").and_then(|text| {
            let (width, height) = text.split_once(['x', 'X'])?;
            Some((width.parse().ok()?, height.parse().ok()?))
        });
        Self { bandwidth, resolution, audio: attribute(list, "AUDIO").map(str::to_owned) }
    }
}

/// The state of the parser between two lines.
struct Parser<'a> {
    base: &'a Url,
    multivariant: Multivariant,
    media: Media,
    /// Describes the variant whose URI comes next.
    variant: Option<StreamInf>,
    /// Duration of the segment whose URI comes next.
    duration: Option<f64>,
}

impl<'a> Parser<'a> {
    fn new(base: &'a Url) -> Self {
        let media = Media { target_duration: 0.0, media_sequence: 0, segments: Vec::new(), live: true };
        Self { base, multivariant: Multivariant::default(), media, variant: None, duration: None }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| format!("{text:?} is not a number"))
        };
        if line.is_empty() {
            return Ok(());
        }
        if !line.starts_with('#') {
            return self.uri(line);
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-STREAM-INF" => {
                self.variant = Some(StreamInf::parse(value));
            }
            "#EXT-X-MEDIA" => {
                self.rendition(value)?;
            }
            "#EXT-X-TARGETDURATION" => match number(value)? {
                seconds if seconds < 0.0 => return Err(format!("{value} is not a duration")),
                seconds => self.media.target_duration = seconds,
            },
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.media.media_sequence =
                    value.trim().parse().map_err(|_| format!("{value:?} is not a media sequence number"))?;
            }
            "#EXTINF" => {
                let seconds = value.split_once(',').map_or(value, |(seconds, _)| seconds);
                self.duration = Some(number(seconds)?);
            }
            "#EXT-X-ENDLIST" => self.media.live = false,
            _ => {}
        }
        Ok(())
    }

    fn resolve(&self, uri: &str) -> Result<Url, String> {
        self.base.join(uri).map_err(|error| format!("{uri:?} is not a valid URI: {error}"))
    }

    fn rendition(&mut self, list: &str) -> Result<(), String> {
        // Without a URI, the rendition is part of the variant's own segments.
        if let (Some("AUDIO"), Some(group), Some(uri)) =
            (attribute(list, "TYPE"), attribute(list, "GROUP-ID"), attribute(list, "URI"))
        {
            let default = attribute(list, "DEFAULT") == Some("YES");
            self.multivariant.audio.push(Audio { group: group.to_owned(), url: self.resolve(uri)?, default });
        }
        Ok(())
    }

    fn uri(&mut self, line: &str) -> Result<(), String> {
        let url = self.resolve(line)?;
        if let Some(StreamInf { bandwidth, resolution, audio }) = self.variant.take() {
            self.multivariant.variants.push(Variant { url, bandwidth, resolution, audio });
        } else if let Some(duration) = self.duration.take() {
            self.media.segments.push((url, duration));
        }
        Ok(())
    }

    fn finish(self) -> Result<Playlist, InvalidPlaylist> {
        if !self.multivariant.variants.is_empty() {
            Ok(Playlist::Multivariant(self.multivariant))
        } else if !self.media.segments.is_empty() {
            Ok(Playlist::Media(self.media))
        } else {
            Err(InvalidPlaylist::NothingListed)
        }
    }
}

/// Returns the value of `name` in an attribute list (RFC 8216, section 4.2: `NAME=value,NAME="quoted, value"`),
/// without quotes.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value.trim());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Playlist, InvalidPlaylist> {
        parse(text, &Url::parse("http://host/live/index.m3u8?token=1").unwrap())
    }

    #[test]
    fn a_live_media_playlist() {
        let text = "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
                    #EXTINF:2.000000,\r\na.ts\r\n#EXTINF:1.5,title, with comma\r\n/b.ts?x=1\r\n";
        let Playlist::Media(media) = read(text).unwrap() else { panic!("not media") };
        assert!(media.live);
        assert_eq!((media.media_sequence, media.target_duration), (7, 2.0));
        assert_eq!(media.duration(), 3.5);
        let urls: Vec<&str> = media.segments.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(urls, ["http://host/live/a.ts", "http://host/b.ts?x=1"]);
    }

    #[test]
    fn an_implausible_target_duration_is_replaced_by_the_longest_segment() {
        for (target, listed, longest) in
            [(6.0, 4.0, 6.0), (50.0, 1.0, 50.0), (1e6, 1.5, 2.0), (0.0, 1.5, 0.0)]
        {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXTINF:{listed},\na.ts\n");
            let Playlist::Media(media) = read(&text).unwrap() else { panic!("not media") };
            assert_eq!(media.longest_segment(), longest, "target duration {target}, segment {listed}");
        }
    }

    #[test]
    fn a_multivariant_playlist() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio.m3u8\"\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"en.m3u8\",DEFAULT=YES\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"muxed\"\n\
                    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",URI=\"subs.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,AUDIO=\"a\"\nlow.m3u8\n\
                    #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=5000000\nhttps://cdn/high.m3u8\n";
        let Playlist::Multivariant(playlist) = read(text).unwrap() else { panic!("not multivariant") };
        assert_eq!(playlist.audio.len(), 2);
        let audio = |index: usize| playlist.audio_of(&playlist.variants[index]).map(Url::as_str);
        assert_eq!((audio(0), audio(1)), (Some("http://host/live/en.m3u8"), None));
        assert_eq!(playlist.variants[1].bandwidth, 5_000_000);
        assert_eq!(playlist.variants[0].resolution, Some((640, 360)));
        assert_eq!(playlist.variants[1].url.as_str(), "https://cdn/high.m3u8");
    }

    #[test]
    fn an_error_names_what_is_wrong() {
        assert_eq!(read(" \n"), Err(InvalidPlaylist::Empty));
        assert_eq!(read("<!DOCTYPE html><html>"), Err(InvalidPlaylist::Html));
        assert_eq!(read("#EXTM3U\n#EXT-X-VERSION:3\n"), Err(InvalidPlaylist::NothingListed));
        assert!(matches!(read("hello"), Err(InvalidPlaylist::NoHeader(_))));
        assert_eq!(read("\u{feff}#EXTM3U\n#EXTINF:2,\na.ts\n"), Err(InvalidPlaylist::ByteOrderMark));
        for line in ["#EXT-X-TARGETDURATION:-5", "#EXT-X-TARGETDURATION:inf", "#EXTINF:nan,"] {
            let bad = read(&format!("#EXTM3U\n{line}\n#EXTINF:2,\na.ts\n"));
            assert!(matches!(bad, Err(InvalidPlaylist::BadLine { line: 2, .. })), "{line}: {bad:?}");
        }
        let bad = read("#EXTM3U\n#EXTINF:two,\na.ts\n").unwrap_err();
        assert_eq!(bad.to_string(), "line 2 of the playlist: \"two\" is not a number");
    }

    #[test]
    fn a_quoted_comma_does_not_end_an_attribute() {
        let list = r#"BANDWIDTH=5500000,CODECS="avc1.640028,mp4a.40.2", RESOLUTION=1920x1080"#;
        assert_eq!(attribute(list, "BANDWIDTH"), Some("5500000"));
        assert_eq!(attribute(list, "CODECS"), Some("avc1.640028,mp4a.40.2"));
        assert_eq!(attribute(list, "RESOLUTION"), Some("1920x1080"));
        assert_eq!(attribute(list, "AUDIO"), None);
        assert_eq!(attribute("BROKEN", "BROKEN"), None);
        assert_eq!(attribute("A=\"open", "A"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(#EXTM3U\n)?(.*\n)*") {
            drop(read(&text));
        }
    }
}
