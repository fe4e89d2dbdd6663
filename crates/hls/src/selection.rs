//! Which variants of a multivariant playlist viewers play.

use std::fmt;

use super::{MultivariantPlaylist, Variant};
use crate::variant::Variant as Wish;

/// What a wish comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// Each viewer plays the multivariant playlist, and with it every variant at once.
    Whole,
    /// Each viewer plays one of these; never empty.
    Of(Vec<&'a Variant>),
}

/// No variant is as it was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMatchingVariant {
    wish: Wish,
    offered: Vec<String>,
}

impl fmt::Display for NoMatchingVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no variant is {}; there are: {}", self.wish, self.offered.join(", "))
    }
}

impl std::error::Error for NoMatchingVariant {}

/// The variants that `wish` asks for.
///
/// # Errors
/// [`NoMatchingVariant`], which names what there is.
pub fn choose(playlist: &MultivariantPlaylist, wish: Wish) -> Result<Selection<'_>, NoMatchingVariant> {
    let variants = || playlist.variants.iter();
    // Of equals the first wins, whichever end is asked for.
    let most = |one: &&Variant| one.bandwidth;
    let one = match wish {
        Wish::All => return Ok(Selection::Whole),
        Wish::Each => return Ok(Selection::Of(variants().collect())),
        Wish::First => variants().next(),
        Wish::Highest => variants().rev().max_by_key(most),
        Wish::Lowest => variants().min_by_key(most),
        Wish::Height(height) => {
            let fits = |one: &&Variant| one.resolution.is_some_and(|(_, lines)| lines == height);
            variants().rev().filter(fits).max_by_key(most)
        }
        Wish::AtMost(bits) => variants().rev().filter(|one| one.bandwidth <= bits).max_by_key(most),
        Wish::AtLeast(bits) => variants().filter(|one| one.bandwidth >= bits).min_by_key(most),
    };
    one.map(|one| Selection::Of(vec![one]))
        .ok_or_else(|| NoMatchingVariant { wish, offered: variants().map(offer).collect() })
}

/// A variant in words.
#[must_use]
pub fn offer(variant: &Variant) -> String {
    let height = variant.resolution.map_or_else(String::new, |(_, height)| format!("{height}p of "));
    format!("{height}{} bit/s", variant.bandwidth)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn playlist() -> MultivariantPlaylist {
        let variant = |name: &str, bandwidth, height| Variant {
            uri: name.to_owned(),
            url: Url::parse(&format!("http://host/{name}")).unwrap(),
            bandwidth,
            resolution: Some((height * 16 / 9, height)),
            codecs: None,
            audio: None,
            video: None,
            subtitles: None,
            closed_captions: None,
        };
        let variants = vec![
            variant("mid", 2_000_000, 720),
            variant("top", 3_000_000, 1080),
            variant("top2", 3_000_000, 1080),
            variant("low", 800_000, 360),
        ];
        MultivariantPlaylist { variants, renditions: Vec::new() }
    }

    fn paths(wish: &str) -> Result<String, NoMatchingVariant> {
        let playlist = playlist();
        choose(&playlist, wish.parse().unwrap()).map(|choice| match choice {
            Selection::Whole => "whole".into(),
            Selection::Of(some) => some.iter().map(|one| one.url.path()).collect::<Vec<_>>().join(" "),
        })
    }

    #[test]
    fn each_wish_finds_its_variant() {
        for (wish, found) in [
            ("all", "whole"),
            ("each", "/mid /top /top2 /low"),
            ("first", "/mid"),
            ("highest", "/top"),
            ("lowest", "/low"),
            ("1080p", "/top"),
            ("360p", "/low"),
            ("2.5M", "/mid"),
            ("<=800k", "/low"),
            (">=2000001", "/top"),
        ] {
            assert_eq!(paths(wish).as_deref(), Ok(found), "{wish}");
        }
    }

    #[test]
    fn where_none_fits_it_is_said_what_there_is() {
        let said = paths("480p").unwrap_err().to_string();
        assert_eq!(
            said,
            "no variant is 480p; there are: 720p of 2000000 bit/s, 1080p of 3000000 bit/s, \
             1080p of 3000000 bit/s, 360p of 800000 bit/s"
        );
        assert!(paths("<=799k").is_err() && paths(">=4M").is_err());
    }
}
