//! Pathways: the sets of variants among which a player chooses the one whose server it uses (RFC 8216bis, 7.1).

use std::collections::HashMap;

use super::multivariant::{Multivariant, Variant};

/// The pathway of variants that name none.
pub const DEFAULT_PATHWAY: &str = ".";

/// Names of pathways that redundant variants get are at most this long: more of them count as one.
const MOST_REDUNDANT: usize = 32;

impl Variant {
    /// PATHWAY-ID, or what stands for it.
    #[must_use]
    pub fn pathway_id(&self) -> &str {
        self.pathway.as_deref().unwrap_or(DEFAULT_PATHWAY)
    }
}

/// The pathways of a multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pathways {
    /// Their identifiers, in the order in which variants name them.
    pub names: Vec<String>,
    /// The place in `names` of each variant's pathway. `None`: the variant is the same as one before it.
    pub of: Vec<Option<u16>>,
}

impl Pathways {
    /// The pathways of `playlist`. Variants without a PATHWAY-ID that differ in nothing but their address are redundant:
    /// the second one of them belongs to the pathway `..`, the third one to `...`, as in hls.js.
    #[must_use]
    pub fn of(playlist: &Multivariant) -> Self {
        let mut pathways = Self::default();
        // By what variants have in common: how many there are, and the addresses of the last one.
        let mut known = HashMap::new();
        for variant in &playlist.variants {
            let pathway = variant.pathway_id();
            let common = (pathway, variant.bandwidth, variant.resolution, variant.codecs.as_deref());
            let name = match known.get_mut(&common) {
                None => {
                    known.insert(common, (1_usize, &variant.url));
                    Some(pathway.to_owned())
                }
                Some((count, url)) if variant.pathway.is_none() && **url != variant.url => {
                    (*count, *url) = ((*count + 1).min(MOST_REDUNDANT), &variant.url);
                    Some(DEFAULT_PATHWAY.repeat(*count))
                }
                Some(_) => None,
            };
            let place = name.and_then(|name| pathways.place_of(name));
            pathways.of.push(place);
        }
        pathways
    }

    /// The place of a name, which is added if it is new.
    fn place_of(&mut self, name: String) -> Option<u16> {
        let place = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        u16::try_from(place).ok()
    }

    /// The place of a pathway by its identifier.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|known| known == name).and_then(|place| u16::try_from(place).ok())
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::playlist::{Playlist, parse};

    fn pathways(variants: &[(&str, &str)]) -> (Vec<String>, Vec<Option<u16>>) {
        let mut text = "#EXTM3U\n".to_owned();
        for (attributes, uri) in variants {
            text += &format!("#EXT-X-STREAM-INF:{attributes}\n{uri}\n");
        }
        let Ok(Playlist::Multivariant(list)) = parse(&text, &Url::parse("http://h/").unwrap()) else {
            panic!("a multivariant playlist")
        };
        let Pathways { names, of } = Pathways::of(&list);
        (names, of)
    }

    #[test]
    fn redundant_variants_are_pathways_of_their_own() {
        let (names, of) = pathways(&[
            ("BANDWIDTH=1,RESOLUTION=2x2", "http://a/1"),
            ("BANDWIDTH=1,RESOLUTION=2x2", "http://b/1"),
            ("BANDWIDTH=1,RESOLUTION=2x4", "http://a/3"),
            ("BANDWIDTH=2", "http://a/2"),
            ("BANDWIDTH=2", "http://b/2"),
            ("BANDWIDTH=2", "http://c/2"),
        ]);
        assert_eq!(names, [".", "..", "..."]);
        assert_eq!(of, [0, 1, 0, 0, 1, 2].map(Some));
    }

    #[test]
    fn named_pathways_are_as_they_are_named() {
        let (names, of) = pathways(&[
            ("BANDWIDTH=1,PATHWAY-ID=\"b\"", "http://b/1"),
            ("BANDWIDTH=1,PATHWAY-ID=\"a\"", "http://a/1"),
            ("BANDWIDTH=1,PATHWAY-ID=\"a\",AUDIO=\"x\"", "http://a/1"),
            ("BANDWIDTH=1", "http://c/1"),
            ("BANDWIDTH=1,AUDIO=\"x\"", "http://c/1"),
        ]);
        assert_eq!(names, ["b", "a", "."]);
        assert_eq!(
            of,
            [Some(0), Some(1), None, Some(2), None],
            "a variant for another audio group is not a new one"
        );
    }
}
