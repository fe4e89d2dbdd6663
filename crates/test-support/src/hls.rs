//! A validator for HLS playlists according to RFC 8216, over successive versions of a playlist. It is independent
//! of the code that creates them.

use std::collections::BTreeMap;

/// One listed segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub uri: String,
    pub seconds: f64,
    /// Discontinuity sequence number (section 6.2.1).
    pub discontinuity: u64,
    /// URI of the initialization section.
    pub map: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default)]
pub struct Media {
    pub target: u64,
    pub sequence: u64,
    pub segments: Vec<Segment>,
    pub ended: bool,
    pub key: Option<String>,
}

impl Media {
    /// Parses a media playlist; every unknown line is an error.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") {
            return Err("it does not begin with #EXTM3U".into());
        }
        let (mut media, mut seen) = (Self::default(), BTreeMap::<&str, u32>::new());
        let (mut seconds, mut discontinuity, mut version, mut map) = (None, 0, 0, None);
        let number = |value: &str| value.parse::<u64>().map_err(|_| format!("{value:?} is not a number"));
        for line in lines {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            if media.ended {
                return Err(format!("{line:?} after the end"));
            }
            *seen.entry(tag).or_default() += u32::from(tag.starts_with('#'));
            match tag {
                "#EXT-X-VERSION" => version = number(value)?,
                "#EXT-X-TARGETDURATION" => media.target = number(value)?,
                "#EXT-X-MEDIA-SEQUENCE" => media.sequence = number(value)?,
                "#EXT-X-DISCONTINUITY-SEQUENCE" => discontinuity = number(value)?,
                "#EXT-X-DISCONTINUITY" => discontinuity += 1,
                "#EXT-X-PLAYLIST-TYPE" if value == "VOD" => {}
                "#EXT-X-ENDLIST" => media.ended = true,
                "#EXT-X-KEY" => media.key = Some(value.split('"').nth(1).ok_or("a key without URI")?.into()),
                "#EXT-X-MAP" => map = Some(value.split('"').nth(1).ok_or("a map without URI")?.to_owned()),
                "#EXTINF" => {
                    let duration = value.strip_suffix(',').ok_or("EXTINF without comma")?;
                    seconds =
                        Some(duration.parse::<f64>().map_err(|_| format!("{duration:?} is not a duration"))?);
                }
                uri if !uri.starts_with('#') && !uri.is_empty() => {
                    let seconds = seconds.take().ok_or_else(|| format!("{uri} has no EXTINF"))?;
                    media.segments.push(Segment {
                        uri: line.into(),
                        seconds,
                        discontinuity,
                        map: map.clone(),
                    });
                }
                _ => return Err(format!("unknown line {line:?}")),
            }
        }
        for once in ["#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE"] {
            if seen.get(once) != Some(&1) {
                return Err(format!("{once} occurs {:?} times", seen.get(once)));
            }
        }
        if map.is_some() && version < 6 {
            return Err(format!("EXT-X-MAP needs version 6, not {version}"));
        }
        // Section 4.3.3.1: rounded to the nearest integer, no duration exceeds the target duration.
        match media
            .segments
            .iter()
            .find(|one| one.seconds.round() > media.target as f64 || one.seconds <= 0.0)
        {
            Some(wrong) => Err(format!("{wrong:?} exceeds the target duration of {} s", media.target)),
            None if media.segments.is_empty() => Err("the playlist is empty".into()),
            None => Ok(media),
        }
    }

    /// The listed segments with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &Segment)> {
        (self.sequence..).zip(&self.segments)
    }
}

/// The versions of one media playlist that have been observed.
#[derive(Default)]
pub struct History {
    pub newest: Option<Media>,
    /// Every segment that was listed.
    pub seen: BTreeMap<u64, Segment>,
}

impl History {
    /// Checks the next version of the playlist.
    pub fn take(&mut self, text: &str) -> Result<(), String> {
        let media = Media::read(text)?;
        if let Some(before) = &self.newest {
            if media.sequence < before.sequence {
                return Err(format!(
                    "the media sequence decreased from {} to {}",
                    before.sequence, media.sequence
                ));
            }
            if media.target != before.target {
                return Err("the target duration changed".into());
            }
            let end = |media: &Media| media.sequence + media.segments.len() as u64;
            if end(&media) < end(before) {
                return Err(format!(
                    "segments were removed from the end: {} after {}",
                    end(&media),
                    end(before)
                ));
            }
        }
        for (number, segment) in media.numbered() {
            // Section 6.2.1: a listed segment never changes, nor does its discontinuity sequence number.
            match self.seen.insert(number, segment.clone()) {
                Some(before) if before != *segment => {
                    return Err(format!("{before:?} changed to {segment:?}"));
                }
                _ => {}
            }
        }
        self.newest = Some(media);
        Ok(())
    }
}

/// A variant in a multivariant playlist: attributes and URI.
pub type Variant = (BTreeMap<String, String>, String);

/// Parses a multivariant playlist: variants, and the URIs of renditions by type.
pub fn multivariant(text: &str) -> (Vec<Variant>, BTreeMap<String, String>) {
    let (mut variants, mut renditions, mut next) = (Vec::new(), BTreeMap::new(), None);
    for line in text.lines() {
        if let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            next = Some(attributes(list));
        } else if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            let list = attributes(list);
            renditions.insert(list["TYPE"].clone(), list["URI"].clone());
        } else if let Some(attributes) = next.take() {
            variants.push((attributes, line.to_owned()));
        }
    }
    (variants, renditions)
}

fn attributes(mut list: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = list.split_once('=') {
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        found.insert(name.to_owned(), value.to_owned());
        list = after.trim_start_matches(',');
    }
    found
}
