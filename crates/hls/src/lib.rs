//! Playlists of RFC 8216, as far as a load generator has to understand them.
//!
//! Not a validator: it takes what it needs and names what makes a text no playlist at all.

pub(crate) mod attributes;
pub mod selection;
pub mod variant;

use std::fmt;

use url::Url;

use attributes::attribute;

/// A playlist.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// A list of variants.
    Master(Master),
    /// A list of segments.
    Media(Media),
}

/// A master playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// Variants in the order of the text.
    pub variants: Vec<Variant>,
    /// Audio renditions that have playlists of their own.
    pub audio: Vec<Audio>,
}

impl Master {
    /// The audio that a player takes beside `variant`: the default of its group, or the first one.
    /// `None` where the audio comes with the variant's own segments.
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
    /// Address of its media playlist.
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
    /// Address of its media playlist.
    pub url: Url,
    /// DEFAULT: what plays unless the user chose another one.
    pub default: bool,
}

/// A target duration of so many times the longest segment is a mistake: nobody would ever count as stalled.
const ABSURD: f64 = 10.0;

/// A media playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// Addresses and durations of its segments.
    pub segments: Vec<(Url, f64)>,
    /// Whether the stream goes on: no EXT-X-ENDLIST.
    pub live: bool,
}

impl Media {
    /// The longest that a segment lasts, seconds: what the playlist promises, unless its segments show that
    /// the promise means nothing. 0 if nothing is known.
    #[must_use]
    pub fn longest_segment(&self) -> f64 {
        let listed = self.segments.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
        let absurd = listed > 0.0 && self.target_duration > (ABSURD * listed).max(60.0);
        if absurd { listed.ceil() } else { self.target_duration }
    }

    /// Sum of all segment durations, seconds.
    #[must_use]
    pub fn duration(&self) -> f64 {
        self.segments.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// Why a text is no playlist that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPlaylist {
    /// Nothing in it.
    Empty,
    /// It looks like HTML.
    Html,
    /// The first line is not `#EXTM3U`; holds its beginning.
    NoHeader(String),
    /// A master playlist without variants, or a media playlist without segments.
    NothingListed,
    /// It begins with a byte order mark, which RFC 8216 forbids and FFmpeg does not read.
    ByteOrderMark,
    /// A line cannot be understood.
    BadLine {
        /// Line number, from 1.
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

/// Reads the playlist in `text`, which was found at `base`.
///
/// # Errors
/// [`InvalidPlaylist`] if it is none, or lists nothing.
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
    let mut reader = Reader::new(base);
    for (index, line) in text.lines().enumerate() {
        reader.line(line.trim()).map_err(|what| InvalidPlaylist::BadLine { line: index + 1, what })?;
    }
    reader.finish()
}

/// What EXT-X-STREAM-INF says of the variant whose address comes next.
struct Announced {
    bandwidth: u64,
    resolution: Option<(u32, u32)>,
    audio: Option<String>,
}

impl Announced {
    fn read(list: &str) -> Self {
        // The peak decides what fits through a line; the average is better than nothing.
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

/// A playlist half read.
struct Reader<'a> {
    base: &'a Url,
    master: Master,
    media: Media,
    /// Of the variant whose address comes next.
    variant: Option<Announced>,
    /// Of the segment whose address comes next.
    duration: Option<f64>,
}

impl<'a> Reader<'a> {
    fn new(base: &'a Url) -> Self {
        let media = Media { target_duration: 0.0, media_sequence: 0, segments: Vec::new(), live: true };
        Self { base, master: Master::default(), media, variant: None, duration: None }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| format!("{text:?} is no number"))
        };
        if line.is_empty() {
            return Ok(());
        }
        if !line.starts_with('#') {
            return self.address(line);
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-STREAM-INF" => {
                self.variant = Some(Announced::read(value));
            }
            "#EXT-X-MEDIA" => {
                self.rendition(value)?;
            }
            "#EXT-X-TARGETDURATION" => match number(value)? {
                seconds if seconds < 0.0 => return Err(format!("{value} is no duration")),
                seconds => self.media.target_duration = seconds,
            },
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.media.media_sequence =
                    value.trim().parse().map_err(|_| format!("{value:?} is no media sequence"))?;
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

    fn resolved(&self, address: &str) -> Result<Url, String> {
        self.base.join(address).map_err(|error| format!("{address:?} is no address: {error}"))
    }

    fn rendition(&mut self, list: &str) -> Result<(), String> {
        // Without an address it comes with the variant's own segments.
        if let (Some("AUDIO"), Some(group), Some(address)) =
            (attribute(list, "TYPE"), attribute(list, "GROUP-ID"), attribute(list, "URI"))
        {
            let default = attribute(list, "DEFAULT") == Some("YES");
            self.master.audio.push(Audio { group: group.to_owned(), url: self.resolved(address)?, default });
        }
        Ok(())
    }

    fn address(&mut self, line: &str) -> Result<(), String> {
        let url = self.resolved(line)?;
        if let Some(Announced { bandwidth, resolution, audio }) = self.variant.take() {
            self.master.variants.push(Variant { url, bandwidth, resolution, audio });
        } else if let Some(duration) = self.duration.take() {
            self.media.segments.push((url, duration));
        }
        Ok(())
    }

    fn finish(self) -> Result<Playlist, InvalidPlaylist> {
        if !self.master.variants.is_empty() {
            Ok(Playlist::Master(self.master))
        } else if !self.media.segments.is_empty() {
            Ok(Playlist::Media(self.media))
        } else {
            Err(InvalidPlaylist::NothingListed)
        }
    }
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
    fn a_promise_that_means_nothing_is_not_taken_for_a_segments_length() {
        for (promised, listed, longest) in
            [(6.0, 4.0, 6.0), (50.0, 1.0, 50.0), (1e6, 1.5, 2.0), (0.0, 1.5, 0.0)]
        {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{promised}\n#EXTINF:{listed},\na.ts\n");
            let Playlist::Media(media) = read(&text).unwrap() else { panic!("not media") };
            assert_eq!(media.longest_segment(), longest, "{promised} promised, {listed} listed");
        }
    }

    #[test]
    fn a_master_playlist() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio.m3u8\"\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"en.m3u8\",DEFAULT=YES\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"muxed\"\n\
                    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",URI=\"subs.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,AUDIO=\"a\"\nlow.m3u8\n\
                    #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=5000000\nhttps://cdn/high.m3u8\n";
        let Playlist::Master(master) = read(text).unwrap() else { panic!("not master") };
        assert_eq!(master.audio.len(), 2);
        let audio = |place: usize| master.audio_of(&master.variants[place]).map(Url::as_str);
        assert_eq!((audio(0), audio(1)), (Some("http://host/live/en.m3u8"), None));
        assert_eq!(master.variants[1].bandwidth, 5_000_000);
        assert_eq!(master.variants[0].resolution, Some((640, 360)));
        assert_eq!(master.variants[1].url.as_str(), "https://cdn/high.m3u8");
    }

    #[test]
    fn what_is_no_playlist_is_named() {
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
        assert_eq!(bad.to_string(), "line 2 of the playlist: \"two\" is no number");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(#EXTM3U\n)?(.*\n)*") {
            drop(read(&text));
        }
    }
}
