//! The encoder of CMCD, compared with public vectors (`cmcd/vectors.json`), and read back by another implementation of
//! structured fields.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use hls_swarm_hls::playlist::media::ByteRange;
use hls_swarm_player::cmcd::{Cmcd, CmcdSession, CmcdVersion, MoreCmcd, ObjectType, PlayerState, StreamType};
use proptest::prelude::*;
use serde_json::Value;
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use url::Url;

const VECTORS: &str = include_str!("cmcd/vectors.json");

/// The pairs of a text, one by one. Commas in quotes and lists separate none.
fn pairs(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut begin) = (0, false, false, 0);
    let mut pairs = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                pairs.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pairs.push(&text[begin..]);
    pairs
}

/// The text without keys that are not sent, and with the format of this project.
fn sent(text: &str, unsent: &[Value]) -> Vec<String> {
    let key = |pair: &str| pair.split('=').next().unwrap().to_owned();
    let kept = pairs(text).into_iter().filter(|pair| unsent.iter().all(|one| *one != key(pair).as_str()));
    kept.map(|pair| if key(pair) == "sf" { "sf=h".to_owned() } else { pair.to_owned() }).collect()
}

/// What the vectors describe.
fn described(version: u64) -> (Cmcd, CmcdSession, Url) {
    let more = MoreCmcd {
        sequence: 1,
        names_types: false,
        state: Some(PlayerState::Playing),
        start_delay: Some(2500.0),
        latency: Some(1500.0),
        position: Some(45_000.0),
        lowest_bitrate: Some(100.0),
        playhead_bitrate: Some(1000.0),
        top_playable: Some(4000.0),
        target_buffer: Some(8000.0),
        starvations: None,
        starved: vec![2000],
        starved_total: None,
    };
    let data = Cmcd {
        bitrate: Some(200.0),
        buffer: Some(5000.0),
        starved: true,
        duration: Some(324.69),
        deadline: Some(10_000.0),
        throughput: Some(10_049.0),
        next: Some(Url::parse("http://cdn/testing/3.m4v").unwrap()),
        next_range: None,
        object: Some(ObjectType::Playlist),
        rate: Some(1.0),
        requested_throughput: Some(8000.0),
        stream: Some(StreamType::Vod),
        startup: true,
        top_bitrate: Some(5000.0),
        more: Some(Box::new(more)),
    };
    let version = if version == 2 { CmcdVersion::V2 } else { CmcdVersion::V1 };
    let session = CmcdSession { session: "session-id".into(), content: "content-id".into(), version };
    (data, session, Url::parse("http://cdn/media/2.m4v").unwrap())
}

fn text_of(data: &Cmcd, session: &CmcdSession, url: &Url) -> String {
    let with = data.in_query(session, url);
    let (_, value) = with.query_pairs().find(|(name, _)| name == "CMCD").unwrap();
    value.into_owned()
}

fn dictionary(text: &str) -> Dictionary {
    Parser::new(text).parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_encoder_writes_what_public_vectors_have() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut compared = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let source = vector["source"].as_str().unwrap();
        let unsent = vector["unsent"].as_array().unwrap();
        let Some(text) = vector["text"].as_str() else { continue };
        let (data, session, url) = described(vector["version"].as_u64().unwrap());
        assert_eq!(pairs(&text_of(&data, &session, &url)), sent(text, unsent), "{source}");
        compared += 1;
        let Some(headers) = vector["headers"].as_object() else { continue };
        let written: BTreeMap<_, _> = data.in_headers(&session, &url).into_iter().collect();
        assert_eq!(written.len(), headers.len(), "{source}");
        for (name, value) in headers {
            assert_eq!(
                pairs(&written[name.as_str()]),
                sent(value.as_str().unwrap(), unsent),
                "{source}: {name}"
            );
        }
    }
    assert_eq!(compared, 2);
}

#[test]
fn the_example_of_the_standard_in_headers() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let expected = vectors["vectors"][0]["headers"].as_object().unwrap();
    let data = Cmcd {
        throughput: Some(25_400.0),
        bitrate: Some(3200.0),
        starved: true,
        duration: Some(4004.0),
        object: Some(ObjectType::Video),
        requested_throughput: Some(15_000.0),
        top_bitrate: Some(6000.0),
        ..Cmcd::default()
    };
    let session =
        CmcdSession { session: "6e2fb550-c457-11e9-bb97-0800200c9a66".into(), ..CmcdSession::default() };
    for (name, value) in data.in_headers(&session, &Url::parse("http://cdn/1").unwrap()) {
        // The example leaves the format out.
        assert_eq!(value.replace("sf=h,", ""), expected[name].as_str().unwrap(), "{name}");
    }
}

#[test]
fn values_name_their_type_and_the_next_object_its_range() {
    let (mut data, session, url) = described(2);
    data.object = Some(ObjectType::Video);
    data.next_range = Some(ByteRange { offset: 1000, length: 500 });
    let more = data.more.as_mut().unwrap();
    (more.names_types, more.starvations, more.starved_total) = (true, Some(3), Some(4500.4));
    more.starved = vec![1500, 3000];
    let text = text_of(&data, &session, &url);
    for pair in ["br=(200;v)", "bl=(5000;v)", "tpb=(4000;v)", "bsa=(3)", "bsd=(1500 3000)", "bsda=(4500)"] {
        assert!(pairs(&text).contains(&pair), "{pair} in {text}");
    }
    assert!(text.contains("nor=(\"../testing/3.m4v\";r=\"1000-1499\")"), "{text}");
    let parsed = dictionary(&text);
    let Some(ListEntry::InnerList(bitrates)) = parsed.get("br") else { panic!("{text}") };
    assert_eq!(bitrates.items[0].params.get("v"), Some(&BareItem::Boolean(true)));
}

proptest! {
    #[test]
    fn whatever_is_reported_another_implementation_reads_it(
        version in 1_u64..=2,
        content in "\\PC{0,20}",
        numbers in prop::collection::vec(-1e9_f64..1e12, 8),
        times in any::<u32>(),
        path in "[a-z\"\\\\é ]{0,12}",
    ) {
        let (mut data, mut session, url) = described(version);
        // Texts of structured fields are ASCII; --cmcd-cid is checked before the run.
        session.content = content.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
        data.next = url.join(&format!("/x/{path}")).ok();
        (data.bitrate, data.buffer, data.duration) = (Some(numbers[0]), Some(numbers[1]), Some(numbers[2]));
        (data.deadline, data.throughput) = (Some(numbers[3]), Some(numbers[4]));
        let more = data.more.as_mut().unwrap();
        (more.names_types, more.starvations, more.sequence) = (times % 2 == 0, Some(times), times);
        (more.latency, more.position, more.start_delay) = (Some(numbers[5]), Some(numbers[6]), Some(numbers[7]));
        let parsed = dictionary(&text_of(&data, &session, &url));
        let content = session.content.clone();
        if content.is_empty() {
            prop_assert!(parsed.get("cid").is_none());
        } else {
            let Some(ListEntry::Item(item)) = parsed.get("cid") else { panic!("no cid") };
            prop_assert_eq!(item.bare_item.as_string().unwrap().as_str(), content);
        }
        for (_, header) in data.in_headers(&session, &url) {
            dictionary(&header);
        }
        let keys: Vec<String> = parsed.keys().map(ToString::to_string).collect();
        prop_assert!(keys.is_sorted(), "{:?}", keys);
    }
}
