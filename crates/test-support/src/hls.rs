//! A validator of HLS by RFC 8216: playlists as a viewer meets them, one after the other. It knows
//! nothing of how they are made.

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
    /// Reads a media playlist, and complains about every line that must not be there.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") {
            return Err("it does not begin with #EXTM3U".into());
        }
        let (mut media, mut seen) = (Self::default(), BTreeMap::<&str, u32>::new());
        let (mut seconds, mut seams, mut version, mut map) = (None, 0, 0, None);
        let number = |value: &str| value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
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
                "#EXT-X-DISCONTINUITY-SEQUENCE" => seams = number(value)?,
                "#EXT-X-DISCONTINUITY" => seams += 1,
                "#EXT-X-PLAYLIST-TYPE" if value == "VOD" => {}
                "#EXT-X-ENDLIST" => media.ended = true,
                "#EXT-X-KEY" => media.key = Some(value.split('"').nth(1).ok_or("a key without URI")?.into()),
                "#EXT-X-MAP" => map = Some(value.split('"').nth(1).ok_or("a map without URI")?.to_owned()),
                "#EXTINF" => {
                    let length = value.strip_suffix(',').ok_or("EXTINF without comma")?;
                    seconds = Some(length.parse::<f64>().map_err(|_| format!("{length:?} is no length"))?);
                }
                uri if !uri.starts_with('#') && !uri.is_empty() => {
                    let seconds = seconds.take().ok_or_else(|| format!("{uri} has no EXTINF"))?;
                    media.segments.push(Segment {
                        uri: line.into(),
                        seconds,
                        discontinuity: seams,
                        map: map.clone(),
                    });
                }
                _ => return Err(format!("unknown line {line:?}")),
            }
        }
        for once in ["#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE"] {
            if seen.get(once) != Some(&1) {
                return Err(format!("{once} is there {:?} times", seen.get(once)));
            }
        }
        if map.is_some() && version < 6 {
            return Err(format!("EXT-X-MAP needs version 6, not {version}"));
        }
        // Section 4.3.3.1: rounded to the nearest integer, none is longer than the target duration.
        match media
            .segments
            .iter()
            .find(|one| one.seconds.round() > media.target as f64 || one.seconds <= 0.0)
        {
            Some(wrong) => Err(format!("{wrong:?} does not fit the target of {} s", media.target)),
            None if media.segments.is_empty() => Err("nothing is listed".into()),
            None => Ok(media),
        }
    }

    /// The listed segments with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &Segment)> {
        (self.sequence..).zip(&self.segments)
    }
}

/// What a viewer has seen of one media playlist so far.
#[derive(Default)]
pub struct History {
    pub newest: Option<Media>,
    /// Every segment that was ever listed.
    pub seen: BTreeMap<u64, Segment>,
}

impl History {
    /// Takes the next version of the playlist.
    pub fn take(&mut self, text: &str) -> Result<(), String> {
        let media = Media::read(text)?;
        if let Some(before) = &self.newest {
            if media.sequence < before.sequence {
                return Err(format!(
                    "the media sequence went back from {} to {}",
                    before.sequence, media.sequence
                ));
            }
            if media.target != before.target {
                return Err("the target duration changed".into());
            }
            let end = |media: &Media| media.sequence + media.segments.len() as u64;
            if end(&media) < end(before) {
                return Err(format!("segments were taken back: {} after {}", end(&media), end(before)));
            }
        }
        for (number, segment) in media.numbered() {
            // Section 6.2.1: what is listed never changes, its discontinuity sequence number included.
            match self.seen.insert(number, segment.clone()) {
                Some(before) if before != *segment => return Err(format!("{before:?} became {segment:?}")),
                _ => {}
            }
        }
        self.newest = Some(media);
        Ok(())
    }
}

/// A variant in a master playlist: attributes and URI.
pub type Variant = (BTreeMap<String, String>, String);

/// Reads a master playlist: variants, and the URIs of renditions by type.
pub fn master(text: &str) -> (Vec<Variant>, BTreeMap<String, String>) {
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
