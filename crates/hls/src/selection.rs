//! Selection of the variants that viewers play, and of their playlists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Position, Url};

use crate::playlist::{Multivariant, Variant};
use crate::request_target::RequestTarget;

/// The part of a stream that one viewer plays.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The playlist that the viewer opens: a media playlist, or a multivariant playlist to be played as a whole.
    pub url: Url,
    /// The same as text. A [`Url`] is normalized (it escapes quotes, for example), and a signature over the
    /// address would no longer fit.
    pub address: String,
    /// The address of the media playlist of the audio rendition to play beside it, where the audio is separate.
    pub audio: Option<String>,
    /// Where each viewer selects from the multivariant playlist that it gets itself: which of the matching variants
    /// it plays, from 0. `None`: it opens [`Selection::address`].
    pub turn: Option<usize>,
    /// The `Set-Cookie` fields of the responses that led to the selection, one a line; a player has to send them.
    pub cookies: Option<String>,
    /// Whether the stream is live: it had no EXT-X-ENDLIST when it was selected.
    pub live: bool,
    /// Duration of the longest segment, seconds.
    pub target_duration: f64,
}

/// The address that `url` was made of, with the scheme and the host of `url` and everything behind them as in `text`.
#[must_use]
pub fn address(url: &Url, text: &str) -> String {
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let rest = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let slash = if rest.starts_with('/') { "" } else { "/" };
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return url.as_str().to_owned();
    }
    format!("{}{slash}{rest}", &url[..Position::BeforePath])
}

/// The address of `uri` in the playlist at `base`, which resolves to `url`, as FFmpeg makes it.
#[must_use]
pub fn address_in(base: &Url, uri: &str, url: &Url) -> String {
    match RequestTarget::from(base).resolve(uri) {
        Some(RequestTarget { target, .. }) => {
            let host = |url: &Url| url[Position::BeforeHost..Position::AfterPort].to_owned();
            // User and password belong to the host.
            let same = base.scheme() == url.scheme() && host(base) == host(url);
            let start = &if same { base } else { url }[..Position::BeforePath];
            format!("{start}{target}")
        }
        None => url.as_str().to_owned(),
    }
}

/// The variants of a multivariant playlist that the user asks for: `all`, `highest`, `720p`, `<=3M`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum VariantSelection {
    /// All variants; each viewer plays the multivariant playlist, and with it every variant.
    #[default]
    All,
    /// All variants, one per viewer in turn.
    Each,
    /// The variant of the highest BANDWIDTH.
    Highest,
    /// The variant of the lowest BANDWIDTH.
    Lowest,
    /// The variant that is listed first.
    First,
    /// The variant of this height in pixels (RESOLUTION).
    Height(u32),
    /// The variant of the highest BANDWIDTH that is at most this, bits per second.
    AtMost(u64),
    /// The variant of the lowest BANDWIDTH that is at least this, bits per second.
    AtLeast(u64),
}

/// The selections that are written as a word.
const NAMED: [(&str, VariantSelection); 5] = [
    ("all", VariantSelection::All),
    ("each", VariantSelection::Each),
    ("highest", VariantSelection::Highest),
    ("lowest", VariantSelection::Lowest),
    ("first", VariantSelection::First),
];

/// The error for a text that is not a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariantSelection(String);

impl fmt::Display for InvalidVariantSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a selection of variants (pass all, each, highest, lowest, first, a height like 720p, \
             or a bandwidth like 3M, <=3M or >=800k)",
            self.0
        )
    }
}

impl std::error::Error for InvalidVariantSelection {}

impl FromStr for VariantSelection {
    type Err = InvalidVariantSelection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, selection)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*selection);
        }
        let height = text.strip_suffix('p').and_then(|digits| digits.parse().ok());
        if let Some(height) = height.filter(|height| *height > 0) {
            return Ok(Self::Height(height));
        }
        let read = |digits: &str| bandwidth(digits).ok_or_else(|| InvalidVariantSelection(text.to_owned()));
        match (text.strip_prefix("<="), text.strip_prefix(">=")) {
            (Some(most), _) => read(most).map(Self::AtMost),
            (_, Some(least)) => read(least).map(Self::AtLeast),
            // A player with this bandwidth takes the best variant that fits into it.
            _ => read(text).map(Self::AtMost),
        }
    }
}

/// Parses a bandwidth in bits per second: `800000`, `800k`, `1.5M`.
fn bandwidth(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let bits = number.parse::<f64>().ok().filter(|_| plain)? * unit;
    (1.0..1e15).contains(&bits).then(|| bits.round() as u64)
}

impl fmt::Display for VariantSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bits: u64| match bits {
            bits if bits.is_multiple_of(1_000_000) => format!("{}M", bits / 1_000_000),
            bits if bits.is_multiple_of(1_000) => format!("{}k", bits / 1_000),
            bits => bits.to_string(),
        };
        match self {
            Self::Height(height) => write!(f, "{height}p"),
            Self::AtMost(bits) => write!(f, "<={}", short(*bits)),
            Self::AtLeast(bits) => write!(f, ">={}", short(*bits)),
            named => {
                let name = NAMED.iter().find(|(_, selection)| selection == named).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}

impl TryFrom<String> for VariantSelection {
    type Error = InvalidVariantSelection;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VariantSelection> for String {
    fn from(selection: VariantSelection) -> Self {
        selection.to_string()
    }
}

/// The result of [`select`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected<'a> {
    /// Each viewer plays the multivariant playlist itself, and with it every variant.
    Multivariant,
    /// Each viewer plays one of these variants; never empty.
    Variants(Vec<&'a Variant>),
}

/// The error for a selection that no variant matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMatchingVariant {
    selection: VariantSelection,
    available: Vec<String>,
}

impl fmt::Display for NoMatchingVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no variant matches {}; available: {}", self.selection, self.available.join(", "))
    }
}

impl std::error::Error for NoMatchingVariant {}

/// Returns the variants of `playlist` that match `selection`.
///
/// # Errors
/// [`NoMatchingVariant`], which lists the available variants.
pub fn select(
    playlist: &Multivariant,
    selection: VariantSelection,
) -> Result<Selected<'_>, NoMatchingVariant> {
    let all: Vec<&Variant> = playlist.variants.iter().collect();
    select_among(&all, selection)
}

/// Returns those of `candidates`, variants in the order of their playlist, that match `selection`.
///
/// # Errors
/// As [`select`].
pub fn select_among<'a>(
    candidates: &[&'a Variant],
    selection: VariantSelection,
) -> Result<Selected<'a>, NoMatchingVariant> {
    use VariantSelection as By;
    let variants = || candidates.iter().copied();
    let bandwidth = |variant: &&Variant| variant.bandwidth;
    // Of variants with the same bandwidth, the first one wins; `max_by_key` would return the last one.
    let variant = match selection {
        By::All => return Ok(Selected::Multivariant),
        By::Each => return Ok(Selected::Variants(variants().collect())),
        By::First => variants().next(),
        By::Highest => variants().rev().max_by_key(bandwidth),
        By::Lowest => variants().min_by_key(bandwidth),
        By::Height(height) => {
            let matches = |variant: &&Variant| variant.resolution.is_some_and(|(_, lines)| lines == height);
            variants().rev().filter(matches).max_by_key(bandwidth)
        }
        By::AtMost(bits) => {
            variants().rev().filter(|variant| variant.bandwidth <= bits).max_by_key(bandwidth)
        }
        By::AtLeast(bits) => variants().filter(|variant| variant.bandwidth >= bits).min_by_key(bandwidth),
    };
    variant
        .map(|variant| Selected::Variants(vec![variant]))
        .ok_or_else(|| NoMatchingVariant { selection, available: variants().map(describe).collect() })
}

/// Describes a variant for people: `720p of 2000000 bit/s`.
#[must_use]
pub fn describe(variant: &Variant) -> String {
    let height = variant.resolution.map_or_else(String::new, |(_, height)| format!("{height}p of "));
    format!("{height}{} bit/s", variant.bandwidth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_printed_as_it_was_typed() {
        for text in ["all", "each", "highest", "lowest", "first", "720p", "<=3M", ">=800k", "<=1234567"] {
            assert_eq!(text.parse::<VariantSelection>().unwrap().to_string(), text);
        }
        assert_eq!("1.5M".parse(), Ok(VariantSelection::AtMost(1_500_000)));
        assert_eq!("800K".parse(), Ok(VariantSelection::AtMost(800_000)));
    }

    #[test]
    fn an_invalid_selection_is_rejected() {
        for text in ["", "p", "0p", "-720p", "3G", "<3M", "<=", ">=x", "1e6", "NaN", "0", "best", "Inf"] {
            assert!(text.parse::<VariantSelection>().is_err(), "{text}");
        }
    }

    fn playlist() -> Multivariant {
        let variant = |name: &str, bandwidth, height| Variant {
            uri: name.to_owned(),
            url: Url::parse(&format!("http://host/{name}")).unwrap(),
            bandwidth,
            average_bandwidth: None,
            resolution: Some((height * 16 / 9, height)),
            codecs: None,
            audio: None,
            video: None,
            subtitles: None,
            closed_captions: None,
            pathway: None,
            stable_id: None,
        };
        let variants = vec![
            variant("mid", 2_000_000, 720),
            variant("top", 3_000_000, 1080),
            variant("top2", 3_000_000, 1080),
            variant("low", 800_000, 360),
        ];
        Multivariant { variants, ..Multivariant::default() }
    }

    fn paths(selection: &str) -> Result<String, NoMatchingVariant> {
        let playlist = playlist();
        select(&playlist, selection.parse().unwrap()).map(|selected| match selected {
            Selected::Multivariant => "multivariant".into(),
            Selected::Variants(variants) => {
                variants.iter().map(|variant| variant.url.path()).collect::<Vec<_>>().join(" ")
            }
        })
    }

    #[test]
    fn each_selection_finds_its_variants() {
        for (selection, found) in [
            ("all", "multivariant"),
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
            assert_eq!(paths(selection).as_deref(), Ok(found), "{selection}");
        }
    }

    #[test]
    fn addresses_stay_as_they_were_written() {
        let typed = "http://Host:80/a'b?sig=c~d'e|%7e#t=1";
        let url = Url::parse(typed).unwrap();
        assert_eq!(address(&url, typed), "http://host/a'b?sig=c~d'e|%7e#t=1");
        assert_eq!(address(&Url::parse("http://h").unwrap(), "http://h"), "http://h/");
        assert_eq!(address(&Url::parse("http://h?x").unwrap(), "http://h?x"), "http://h/?x");
        // What no request line can contain is written as a URL.
        for (typed, expected) in
            [("http://h/a b'", "http://h/a%20b'"), ("http://h/a\u{1}b'", "http://h/a%01b'")]
        {
            assert_eq!(address(&Url::parse(typed).unwrap(), typed), expected);
        }
        let base = Url::parse("http://me:pw@h:81/live/a.m3u8?x").unwrap();
        for (uri, expected) in [
            ("b'.m3u8?c='d", "http://me:pw@h:81/live/b'.m3u8?c='d"),
            ("/b.m3u8", "http://me:pw@h:81/b.m3u8"),
            ("https://other/b'?c'", "https://other/b'?c'"),
            ("http://h:81/b'", "http://me:pw@h:81/b'"),
            ("https://h:81/b'", "https://h:81/b'"),
        ] {
            assert_eq!(address_in(&base, uri, &base.join(uri).unwrap()), expected);
        }
    }

    #[test]
    fn an_error_lists_the_available_variants() {
        let error = paths("480p").unwrap_err().to_string();
        assert_eq!(
            error,
            "no variant matches 480p; available: 720p of 2000000 bit/s, 1080p of 3000000 bit/s, \
             1080p of 3000000 bit/s, 360p of 800000 bit/s"
        );
        assert!(paths("<=799k").is_err() && paths(">=4M").is_err());
    }
}
