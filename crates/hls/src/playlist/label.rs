//! Short names of variants and renditions, for tables and metric labels: `1280x720@2500k`, `audio:English`.

use super::multivariant::{Multivariant, Rendition, RenditionKind, Variant};

/// Maximum length of a name, characters. NAME is any text.
const LENGTH: usize = 60;

impl Multivariant {
    /// The name of one of its variants: RESOLUTION and BANDWIDTH. Variants that differ in CODECS alone have them in their
    /// names, too. Variants of the same name are redundant (RFC 8216, 6.2.4).
    #[must_use]
    pub fn variant_name(&self, variant: &Variant) -> String {
        let same =
            |other: &&Variant| (other.resolution, other.bandwidth) == (variant.resolution, variant.bandwidth);
        let ambiguous = self.variants.iter().filter(same).any(|other| other.codecs != variant.codecs);
        let size = variant.resolution.map(|(width, height)| format!("{width}x{height}"));
        let rate = Some(variant.bandwidth).filter(|bits| *bits > 0).map(kilobits);
        let name = match (size, rate) {
            (Some(size), Some(rate)) => format!("{size}@{rate}"),
            (size, rate) => size.or(rate).unwrap_or_else(|| "variant".to_owned()),
        };
        let codecs = variant.codecs.as_deref().filter(|_| ambiguous);
        printable(&codecs.map_or_else(|| name.clone(), |codecs| format!("{name} {codecs}")))
    }

    /// The name of one of its renditions: its type and NAME, else LANGUAGE, else GROUP-ID. Renditions of the same name in
    /// several groups have the group in their names, too.
    #[must_use]
    pub fn rendition_name(&self, rendition: &Rendition) -> String {
        let kind = match rendition.kind {
            RenditionKind::Audio => "audio",
            RenditionKind::Video => "video",
            RenditionKind::Subtitles => "subtitles",
            RenditionKind::ClosedCaptions => "captions",
        };
        let title = title(rendition);
        let same = |other: &&Rendition| other.kind == rendition.kind && self::title(other) == title;
        let ambiguous = self.renditions.iter().filter(same).any(|other| other.group != rendition.group);
        let group = if ambiguous { format!(" ({})", rendition.group) } else { String::new() };
        printable(&format!("{kind}:{title}{group}"))
    }
}

fn title(rendition: &Rendition) -> &str {
    let named = [rendition.name.as_deref(), rendition.language.as_deref()];
    named.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(&rendition.group)
}

fn kilobits(bits: u64) -> String {
    if bits < 1000 { bits.to_string() } else { format!("{}k", (bits + 500) / 1000) }
}

/// The text in at most [`LENGTH`] characters, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::playlist::{Playlist, parse};

    fn names(text: &str) -> Vec<String> {
        let base = Url::parse("http://host/").unwrap();
        let Ok(Playlist::Multivariant(playlist)) = parse(&format!("#EXTM3U\n{text}"), &base) else {
            return Vec::new();
        };
        let renditions = playlist.renditions.iter().map(|one| playlist.rendition_name(one));
        let variants = playlist.variants.iter().map(|one| playlist.variant_name(one));
        renditions.chain(variants).collect()
    }

    #[test]
    fn variants_are_named_after_resolution_and_bandwidth() {
        let text = "#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1280x720,CODECS=\"avc1.64001f\"\na\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=799600,RESOLUTION=640x360\nb\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=64000\nc\n#EXT-X-STREAM-INF:BANDWIDTH=9\nd\n\
                    #EXT-X-STREAM-INF:RESOLUTION=2x2\ne\n#EXT-X-STREAM-INF:CODECS=\"a\"\nf\n";
        assert_eq!(names(text), ["1280x720@2500k", "640x360@800k", "64k", "9", "2x2", "variant"]);
    }

    #[test]
    fn codecs_are_named_where_nothing_else_differs() {
        let text = "#EXT-X-STREAM-INF:BANDWIDTH=2000,CODECS=\"avc1\"\na\n#EXT-X-STREAM-INF:BANDWIDTH=2000,CODECS=\"hvc1\"\nb\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=3000,CODECS=\"avc1\"\nc\n#EXT-X-STREAM-INF:BANDWIDTH=3000,CODECS=\"avc1\"\nd\n";
        assert_eq!(names(text), ["2k avc1", "2k hvc1", "3k", "3k"], "the last two are redundant");
    }

    #[test]
    fn renditions_are_named_after_name_language_or_group() {
        let media = |attributes: &str| format!("#EXT-X-MEDIA:{attributes},URI=\"x\"\n");
        let text = media("TYPE=AUDIO,GROUP-ID=\"low\",NAME=\"English\",LANGUAGE=\"en\"")
            + &media("TYPE=AUDIO,GROUP-ID=\"high\",NAME=\"English\",LANGUAGE=\"en\"")
            + &media("TYPE=AUDIO,GROUP-ID=\"low\",NAME=\"Deutsch\"")
            + &media("TYPE=SUBTITLES,GROUP-ID=\"subs\",LANGUAGE=\"en\"")
            + &media("TYPE=VIDEO,GROUP-ID=\"angle\"")
            + "#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"low\"\na\n";
        let found = [
            "audio:English (low)",
            "audio:English (high)",
            "audio:Deutsch",
            "subtitles:en",
            "video:angle",
            "1k",
        ];
        assert_eq!(names(&text), found);
    }

    proptest! {
        #[test]
        fn names_are_short_and_printable(name in "\\PC{0,200}", group in ".{0,200}") {
            let text = format!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{name}\",URI=\"x\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n"
            );
            for name in names(&text) {
                prop_assert!(name.chars().count() <= LENGTH && !name.contains(char::is_control), "{}", name);
            }
        }
    }
}
