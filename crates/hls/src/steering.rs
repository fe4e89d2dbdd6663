//! Content steering (RFC 8216bis, 7): steering manifests, and the pathways that they clone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::playlist::Multivariant;
use crate::playlist::multivariant::{Rendition, Variant};
use crate::query::set_parameter;

/// The version of steering manifests that is known.
const VERSION: u64 = 1;
/// The time after which a steering manifest is loaded again, unless it has a TTL.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// The most clones of one manifest that are read.
const CLONES: usize = 64;
/// The shortest TTL that is obeyed. A TTL is a whole number of seconds; a fraction would make every viewer ask without a pause.
const SHORTEST_TTL_S: f64 = 1.0;
/// The longest TTL that is obeyed: longer than any viewer plays.
const LONGEST_TTL_S: f64 = 604_800.0;

/// A steering manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringManifest {
    /// TTL: the time until it is to be loaded again.
    pub ttl: Duration,
    /// RELOAD-URI, resolved: the address from which it is to be loaded from now on.
    pub reload_url: Option<Url>,
    /// PATHWAY-PRIORITY: identifiers of pathways, the preferred one first.
    pub priority: Vec<String>,
    /// PATHWAY-CLONES: pathways that are made of those in the multivariant playlist.
    pub clones: Vec<PathwayClone>,
}

/// A pathway that is a copy of another one with different addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathwayClone {
    /// BASE-ID: the pathway that is copied.
    pub base: String,
    /// ID: the pathway that results.
    pub id: String,
    /// HOST of URI-REPLACEMENT: the host of the new addresses.
    pub host: Option<String>,
    /// PARAMS: parameters of their queries, by name.
    pub parameters: BTreeMap<String, String>,
    /// PER-VARIANT-URIS: whole addresses, by STABLE-VARIANT-ID.
    pub variants: BTreeMap<String, Url>,
    /// PER-RENDITION-URIS: whole addresses, by STABLE-RENDITION-ID.
    pub renditions: BTreeMap<String, Url>,
}

/// The reason why a text is not a steering manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidSteeringManifest {
    /// It is not JSON, or JSON of another form; with the parser's reason.
    Malformed(String),
    /// It has another VERSION.
    Version(u64),
}

impl fmt::Display for InvalidSteeringManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "not a steering manifest: {why}"),
            Self::Version(version) => write!(f, "a steering manifest of version {version}, not {VERSION}"),
        }
    }
}

impl std::error::Error for InvalidSteeringManifest {}

/// The manifest as it is written. What is not known is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Written {
    version: u64,
    ttl: Option<f64>,
    reload_uri: Option<String>,
    #[serde(default)]
    pathway_priority: Vec<String>,
    #[serde(default)]
    pathway_clones: Vec<WrittenClone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct WrittenClone {
    base_id: String,
    id: String,
    uri_replacement: Replacement,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Replacement {
    host: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    per_variant_uris: BTreeMap<String, String>,
    #[serde(default)]
    per_rendition_uris: BTreeMap<String, String>,
}

impl SteeringManifest {
    /// Reads the manifest in `text`, which was found at `base`.
    ///
    /// # Errors
    /// [`InvalidSteeringManifest`] if it is none, or has a version that is not known.
    pub fn read(text: &[u8], base: &Url) -> Result<Self, InvalidSteeringManifest> {
        let written: Written = serde_json::from_slice(text)
            .map_err(|error| InvalidSteeringManifest::Malformed(error.to_string()))?;
        if written.version != VERSION {
            return Err(InvalidSteeringManifest::Version(written.version));
        }
        let seconds = written.ttl.filter(|seconds| *seconds > 0.0);
        let ttl =
            seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(SHORTEST_TTL_S, LONGEST_TTL_S)));
        Ok(Self {
            ttl: ttl.unwrap_or(DEFAULT_TTL),
            reload_url: written.reload_uri.and_then(|uri| base.join(&uri).ok()),
            priority: written.pathway_priority,
            clones: written.pathway_clones.into_iter().take(CLONES).map(|one| one.read(base)).collect(),
        })
    }
}

impl WrittenClone {
    fn read(self, base: &Url) -> PathwayClone {
        let resolved = |uris: BTreeMap<String, String>| {
            uris.into_iter().filter_map(|(id, uri)| Some((id, base.join(&uri).ok()?))).collect()
        };
        PathwayClone {
            base: self.base_id,
            id: self.id,
            host: self.uri_replacement.host.filter(|host| !host.is_empty()),
            parameters: self.uri_replacement.params,
            variants: resolved(self.uri_replacement.per_variant_uris),
            renditions: resolved(self.uri_replacement.per_rendition_uris),
        }
    }
}

impl PathwayClone {
    /// The address in this pathway of what is at `url` in the other one.
    fn replaced(&self, url: &Url, whole: Option<&Url>) -> Url {
        if let Some(whole) = whole {
            return whole.clone();
        }
        let mut url = url.clone();
        if let Some(host) = &self.host {
            // An address keeps a host that cannot be replaced.
            _ = url.set_host(Some(host));
        }
        self.parameters.iter().for_each(|(name, value)| set_parameter(&mut url, name, value));
        url
    }
}

impl Multivariant {
    /// The playlist with the cloned pathways that it does not have yet. `None` if there is none.
    #[must_use]
    pub fn with_clones(&self, clones: &[PathwayClone]) -> Option<Self> {
        let mut with = self.clone();
        for clone in clones {
            with.add_clone(clone);
        }
        (with.variants.len() > self.variants.len()).then_some(with)
    }

    fn add_clone(&mut self, clone: &PathwayClone) {
        if self.variants.iter().any(|one| one.pathway_id() == clone.id) {
            return;
        }
        let group = |name: &Option<String>| name.as_ref().map(|name| format!("{name} {}", clone.id));
        let of_base: Vec<Variant> =
            self.variants.iter().filter(|one| one.pathway_id() == clone.base).cloned().collect();
        let mut groups: Vec<String> = Vec::new();
        for variant in &of_base {
            for name in [&variant.audio, &variant.video, &variant.subtitles].into_iter().flatten() {
                if !groups.contains(name) {
                    groups.push(name.clone());
                }
            }
            let stable = variant.stable_id.as_ref();
            let url = clone.replaced(&variant.url, stable.and_then(|id| clone.variants.get(id)));
            self.variants.push(Variant {
                uri: url.to_string(),
                url,
                pathway: Some(clone.id.clone()),
                audio: group(&variant.audio),
                video: group(&variant.video),
                subtitles: group(&variant.subtitles),
                ..variant.clone()
            });
        }
        let of_groups: Vec<Rendition> =
            self.renditions.iter().filter(|one| groups.contains(&one.group)).cloned().collect();
        for rendition in of_groups {
            let whole = rendition.stable_id.as_ref().and_then(|id| clone.renditions.get(id));
            let url = rendition.url.as_ref().map(|url| clone.replaced(url, whole));
            self.renditions.push(Rendition {
                uri: url.as_ref().map(Url::to_string),
                url,
                group: format!("{} {}", rendition.group, clone.id),
                ..rendition
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{Playlist, parse};

    fn base() -> Url {
        Url::parse("http://steer/app/manifest?s=1").unwrap()
    }

    fn read(text: &str) -> Result<SteeringManifest, InvalidSteeringManifest> {
        SteeringManifest::read(text.as_bytes(), &base())
    }

    #[test]
    fn a_steering_manifest_is_read() {
        let manifest = read(
            r#"{"VERSION":1,"TTL":10,"RELOAD-URI":"next?x=2","PATHWAY-PRIORITY":["b","a"],"FUTURE":{},
                "PATHWAY-CLONES":[{"BASE-ID":"a","ID":"c","URI-REPLACEMENT":{"HOST":"c.example",
                "PARAMS":{"t":"1"},"PER-VARIANT-URIS":{"v1":"http://d.example/1.m3u8"}}}]}"#,
        )
        .unwrap();
        assert_eq!(manifest.ttl, Duration::from_secs(10));
        assert_eq!(manifest.reload_url.unwrap().as_str(), "http://steer/app/next?x=2");
        assert_eq!(manifest.priority, ["b", "a"]);
        let [clone] = &manifest.clones[..] else { panic!("one clone") };
        assert_eq!((clone.base.as_str(), clone.id.as_str()), ("a", "c"));
        assert_eq!(clone.host.as_deref(), Some("c.example"));
        assert_eq!(clone.variants["v1"].as_str(), "http://d.example/1.m3u8");
        let least = read(r#"{"VERSION":1}"#).unwrap();
        assert_eq!((least.ttl, least.reload_url, least.priority.len()), (DEFAULT_TTL, None, 0));
        assert_eq!(read(r#"{"VERSION":1,"TTL":1e99}"#).unwrap().ttl, Duration::from_secs(604_800));
        assert_eq!(read(r#"{"VERSION":1,"TTL":-1}"#).unwrap().ttl, DEFAULT_TTL);
        assert_eq!(read(r#"{"VERSION":1,"TTL":0.001}"#).unwrap().ttl, Duration::from_secs(1));
    }

    #[test]
    fn what_is_no_steering_manifest_is_refused_with_the_reason() {
        assert_eq!(read(r#"{"VERSION":2}"#), Err(InvalidSteeringManifest::Version(2)));
        for text in ["", "<html>", "[]", r#"{"TTL":1}"#, r#"{"VERSION":1,"PATHWAY-PRIORITY":"a"}"#] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("not a steering manifest: "), "{text}: {error}");
        }
    }

    #[test]
    fn a_clone_has_variants_and_renditions_of_its_own() {
        let text = "#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"x\",STABLE-RENDITION-ID=\"r1\",URI=\"http://a/audio?t=1\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"s\",PATHWAY-ID=\"a\",STABLE-VARIANT-ID=\"v1\"\nhttp://a/1?t=1\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"s\",PATHWAY-ID=\"a\"\nhttp://a/2?t=1\n";
        let Ok(Playlist::Multivariant(list)) = parse(text, &base()) else {
            panic!("a multivariant playlist")
        };
        let clones = read(
            r#"{"VERSION":1,"PATHWAY-CLONES":[
                {"BASE-ID":"a","ID":"b","URI-REPLACEMENT":{"HOST":"b","PARAMS":{"t":"2","u":"3"},
                 "PER-VARIANT-URIS":{"v1":"http://c/whole"},"PER-RENDITION-URIS":{"r1":"http://c/tone"}}},
                {"BASE-ID":"b","ID":"d","URI-REPLACEMENT":{"HOST":"d"}},
                {"BASE-ID":"none","ID":"e","URI-REPLACEMENT":{"HOST":"e"}},
                {"BASE-ID":"b","ID":"a","URI-REPLACEMENT":{"HOST":"f"}}]}"#,
        )
        .unwrap()
        .clones;
        let with = list.with_clones(&clones).unwrap();
        let variants: Vec<_> =
            with.variants.iter().map(|one| (one.pathway_id(), one.url.as_str(), one.bandwidth)).collect();
        assert_eq!(
            variants,
            [
                ("a", "http://a/1?t=1", 1),
                ("a", "http://a/2?t=1", 2),
                ("b", "http://c/whole", 1),
                ("b", "http://b/2?t=2&u=3", 2),
                ("d", "http://d/whole", 1),
                ("d", "http://d/2?t=2&u=3", 2),
            ]
        );
        let audio = |place: usize| with.audio_of(&with.variants[place]).unwrap().as_str();
        assert_eq!([audio(0), audio(2), audio(5)], ["http://a/audio?t=1", "http://c/tone", "http://d/tone"]);
        // What is there already is not added again.
        assert_eq!(with.with_clones(&clones), None);
    }
}
