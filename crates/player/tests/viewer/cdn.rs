//! What viewers report to a CDN (CMCD) beside what hls.js reported, request by request.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_player::Fetch;
use hls_swarm_player::cmcd::CmcdSession;
use hls_swarm_player::interface::RequestKind;
use serde_json::Value;
use url::Url;

use super::record::Record;

/// Two requests within this time, seconds, were made in the same situation.
const SAME_MOMENT: f64 = 0.3;

/// What a request said, by key.
type Said = BTreeMap<String, String>;

/// A request: when it began, what it was for, and what it said.
#[derive(Debug)]
struct Request {
    at: f64,
    kind: &'static str,
    /// The media sequence number, the part, and the variant, if it is media.
    media: Option<(u64, Option<u64>, u64)>,
    said: Said,
}

/// The pairs of the parameter CMCD.
fn said(url: &Url) -> Said {
    let data = url.query_pairs().find(|(name, _)| name == "CMCD").unwrap().1.into_owned();
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (pair.to_owned(), String::new()),
    };
    data.split(',').map(pair).collect()
}

/// The numbers in the name of a file: `v2_00011.3.m4s` has 11 and 3.
fn numbers(path: &str) -> Vec<u64> {
    let name = path.rsplit('/').next().unwrap();
    let name = name.split_once('_').map_or(name, |(_, rest)| rest);
    let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// What hls.js requested.
fn theirs(event: &Value, at: f64) -> Request {
    let url = Url::parse(event["url"].as_str().unwrap()).unwrap();
    let path = url.path();
    let kind = match path {
        "/master.m3u8" => "multivariant",
        _ if path.ends_with(".m3u8") => "playlist",
        _ if path.contains("init") => "init",
        _ => "media",
    };
    // The origin counts its variants from the highest one, whose names have no number.
    let variant = path.strip_prefix("/v").and_then(|rest| rest.split('_').next()?.parse().ok());
    let variant = variant.unwrap_or(0);
    let numbers = numbers(path);
    let media = (kind == "media").then(|| (numbers[0], numbers.get(1).copied(), variant));
    Request { at, kind, media, said: said(&url) }
}

/// What a viewer requested.
fn own(fetch: &Fetch, at: f64, single: bool) -> Request {
    let kind = match fetch.kind {
        RequestKind::Multivariant if !single => "multivariant",
        RequestKind::Multivariant | RequestKind::MediaPlaylist => "playlist",
        RequestKind::Init => "init",
        _ => "media",
    };
    let media = fetch.segment.as_ref().map(|info| (info.sequence, info.part, u64::from(fetch.variant)));
    let url = fetch.cmcd.as_ref().unwrap().in_query(&CmcdSession::default(), &fetch.url);
    Request { at, kind, media, said: said(&url) }
}

/// Whether two numbers are equal but for a share of them, or for a difference.
fn near(own: &str, theirs: &str, share: f64, by: f64) -> bool {
    let [own, theirs]: [f64; 2] = [own, theirs].map(|value| value.parse().unwrap());
    (own - theirs).abs() <= (theirs * share).max(by)
}

/// Compares each request of hls.js with that of the viewer for the same, if both were in the same situation. Returns how many
/// were compared of which kind.
fn compare(name: &str) -> BTreeMap<&'static str, usize> {
    let (record, run) = Record::read(name).replay_like_hlsjs();
    let own: Vec<Request> =
        run.requests.iter().map(|(at, fetch)| own(fetch, *at, record.is_single())).collect();
    let playing = record.at(record.all("playing").next().unwrap());
    let stalls = record.stalls();
    // Whether playback was about to begin or to stop: which of the two comes first is a matter of milliseconds.
    let between = |at: f64| {
        let near = |moment: f64| (at - moment).abs() < SAME_MOMENT;
        near(playing) || stalls.iter().any(|(began, stalled)| near(*began) || near(began + stalled))
    };
    let mut compared = BTreeMap::new();
    for event in record.all("request") {
        let theirs = theirs(event, record.at(event));
        let same = own.iter().filter(|own| own.kind == theirs.kind && own.media == theirs.media);
        let distance = |own: &&Request| (own.at - theirs.at).abs();
        let nearest = same.min_by(|one, other| distance(one).total_cmp(&distance(other)));
        let Some(own) = nearest.filter(|own| distance(own) < SAME_MOMENT) else { continue };
        let unsettled = between(theirs.at) || between(own.at);
        let keys: BTreeSet<&str> = own.said.keys().chain(theirs.said.keys()).map(String::as_str).collect();
        for key in keys.into_iter().filter(|key| *key != "sid") {
            let equal = match (own.said.get(key), theirs.said.get(key)) {
                (Some(one), Some(other)) => are_alike(key, one, other, unsettled),
                // What follows was listed between the two requests.
                _ if key == "nor" => record.lists_soon(theirs.at),
                _ => unsettled && matches!(key, "su" | "bs"),
            };
            assert!(equal, "{name}: {key} of {own:?} beside {theirs:?}");
        }
        *compared.entry(theirs.kind).or_default() += 1;
    }
    compared
}

/// Whether two values of a key say the same. `unsettled`: playback was about to begin or to stop.
fn are_alike(key: &str, one: &str, other: &str, unsettled: bool) -> bool {
    match key {
        // That of the browser is the buffer of its video, which does not end with its audio, and is rounded up to 100 ms.
        "bl" => unsettled || near(one, other, 0.0, 400.0),
        "mtp" => near(one, other, 0.05, 100.0),
        "d" => near(one, other, 0.0, 1.0),
        "nor" => numbers(one.trim_matches('"')) == numbers(other.trim_matches('"')),
        _ => one == other,
    }
}

#[track_caller]
fn assert_alike(name: &str) {
    let compared = compare(name);
    let of = |kind: &str| compared.get(kind).copied().unwrap_or(0);
    assert!(of("playlist") >= 10 && of("media") >= 8, "{name}: {compared:?}");
    assert_eq!(of("multivariant"), usize::from(name != "late"), "{name}: {compared:?}");
}

#[test]
fn without_a_fault() {
    assert_alike("clean");
}

#[test]
fn of_a_single_variant_with_a_stall() {
    assert_alike("late");
}

#[test]
fn under_a_cap() {
    assert_alike("cap");
}

#[test]
fn with_a_missing_segment() {
    assert_alike("missing");
}

#[test]
fn of_a_playlist_that_stands_still() {
    assert_alike("still");
}
