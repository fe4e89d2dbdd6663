//! What a body contains, and whether all of it arrived.

use proptest::prelude::*;

use super::wire::{content, encoding, end, flag};
use super::{Connection, GET, exchange, pieces, response};

#[test]
fn a_range_without_a_length_is_complete_when_all_of_it_arrived() {
    let head = "HTTP/1.1 206 X\r\nContent-Range: bytes 10-14/99\r\nConnection: close\r\n\r\n";
    let mut connection = exchange(format!("{head}abcd").as_bytes());
    assert!(connection.over.is_empty());
    connection.receive(b"e");
    let record = *connection.only();
    assert_eq!((connection.over[0].0, record.body_bytes, record.content_length), (end::COMPLETE, 5, 5));
    connection.end();
    assert_eq!(connection.over.len(), 1, "its end is not a second exchange");
    let mut connection = exchange(format!("{head}abcd").as_bytes());
    connection.end();
    assert_eq!(connection.over[0].0, end::CLOSED_BY_PEER, "a byte is missing");
    // Chunks mark their own end, and a length takes precedence.
    let chunked = "Transfer-Encoding: chunked\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n";
    let connection =
        exchange(format!("HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/9\r\n{chunked}").as_bytes());
    assert_eq!(connection.only().sniff(), b"abcdefg");
    for unknown in ["bytes */99", "bytes 5-4/9", "bytes 0-18446744073709551615/*", "lines 1-2/3", "bytes"] {
        let text = format!("HTTP/1.1 206 X\r\nContent-Range: {unknown}\r\n\r\nab");
        let mut connection = exchange(text.as_bytes());
        connection.end();
        assert_eq!(connection.over[0].0, end::COMPLETE, "{unknown}");
    }
}

#[test]
fn the_requested_range_is_recorded() {
    for (header, start) in [
        ("Range: bytes=0-", 0),
        ("range:bytes=1000-1999", 1000),
        ("Range: bytes=-500", 0),
        ("Range: bytes=1-2,5-6", 0),
        ("X: y", 0),
    ] {
        let mut connection = Connection::new();
        connection.send(format!("GET /a HTTP/1.1\r\n{header}\r\n\r\n").as_bytes());
        connection.receive(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(connection.only().range_start, start, "{header}");
    }
}

/// Packets of `size` bytes whose sync byte is at `at`.
fn packets(size: usize, at: usize, count: usize) -> Vec<u8> {
    let packet = |_| (0..size).map(|place| if place == at { 0x47 } else { 0xff });
    (0..count).flat_map(packet).collect()
}

proptest! {
    #[test]
    fn a_body_is_classified_the_same_however_it_is_split(cuts in prop::collection::vec(1_usize..100, 0..40)) {
        let broken = [packets(188, 0, 1), vec![0; 500]].concat();
        let blank_html = [&b"\r\n \n"[..], b"<!DOCTYPE html>"].concat();
        for (entity, kind) in [
            (packets(188, 0, 4), content::MPEG_TS),
            (packets(192, 4, 4), content::MPEG_TS),
            (packets(204, 0, 4), content::MPEG_TS),
            (packets(188, 0, 4)[..200].to_vec(), content::MPEG_TS),
            (broken, content::OTHER),
            (b"\0\0\0\x18styp".to_vec(), content::ISO_BOX),
            (b"\0\0\0\x18ftypiso5".to_vec(), content::ISO_BOX),
            (b"\xff\xf1\x50\x80".to_vec(), content::ADTS),
            (b"\xff\xfb\x90\x64".to_vec(), content::MPEG_AUDIO),
            (b"\xff\xe3\x90\x64".to_vec(), content::MPEG_AUDIO),
            (b"ID3\x04\0".to_vec(), content::ID3),
            (b"\x0b\x77\x12".to_vec(), content::AC3),
            (b"\xef\xbb\xbfWEBVTT\n".to_vec(), content::WEBVTT),
            (b"\n#EXTM3U\n".to_vec(), content::PLAYLIST),
            (blank_html, content::HTML),
            (b"<HTML lang=en>".to_vec(), content::HTML),
            (b"<?xml version".to_vec(), content::XML),
            (b"{\"error\": 1}".to_vec(), content::JSON),
            (b"no such segment".to_vec(), content::TEXT),
            (b"\x9c\x01\x02\x03".to_vec(), content::OTHER),
            (Vec::new(), content::EMPTY),
        ] {
            let mut connection = Connection::new();
            connection.send(GET);
            pieces(&response(200, "", &entity, false), &cuts).into_iter().for_each(|piece| connection.receive(piece));
            prop_assert_eq!(connection.only().content, kind, "{:?}", &entity[..entity.len().min(20)]);
        }
    }
}

proptest! {
    #[test]
    fn a_body_that_ends_within_a_packet_or_box_is_cut_short(
        sizes in prop::collection::vec(0_u32..300, 1..6),
        long in any::<bool>(),
        cut in 0_usize..1000,
        cuts in prop::collection::vec(1_usize..100, 0..40),
    ) {
        let mut boxes = Vec::new();
        let mut ends = vec![];
        for (number, size) in sizes.iter().enumerate() {
            let kind = if number == 0 { b"styp" } else { b"mdat" };
            if long {
                boxes.extend([&1_u32.to_be_bytes()[..], kind, &u64::from(size + 16).to_be_bytes()].concat());
            } else {
                boxes.extend([&(size + 8).to_be_bytes()[..], kind].concat());
            }
            boxes.extend(vec![7; *size as usize]);
            ends.push(boxes.len());
        }
        let packets = packets(188, 0, 5);
        let of = |entity: &[u8]| {
            let mut connection = Connection::new();
            connection.send(GET);
            pieces(&response(200, "", entity, false), &cuts).into_iter().for_each(|piece| connection.receive(piece));
            connection.only().has(flag::CUT_SHORT)
        };
        let length = cut.clamp(8, boxes.len());
        prop_assert_eq!(of(&boxes[..length]), !ends.contains(&length), "{} of {:?}", length, ends);
        let length = cut.clamp(1, packets.len());
        prop_assert_eq!(of(&packets[..length]), length % 188 != 0);
    }
}

#[test]
fn a_last_box_without_a_size_extends_to_the_end() {
    for (entity, cut_short) in [
        (&b"\0\0\0\x08styp\0\0\0\0mdatabc"[..], false),
        (b"\0\0\0\x08styp\0\0\0\x04mdatabc", false),
        (b"\0\0\0\x08styp\0\0\0\x0cmdatabc", true),
    ] {
        assert_eq!(exchange(&response(200, "", entity, true)).only().has(flag::CUT_SHORT), cut_short);
    }
}

#[test]
fn an_encoded_body_is_not_classified_and_a_response_without_a_body_is_not_empty() {
    for (text, encoding) in [
        ("gzip", encoding::GZIP),
        ("X-GZIP", encoding::GZIP),
        ("deflate", encoding::DEFLATE),
        ("br", encoding::OTHER),
        ("identity", encoding::IDENTITY),
    ] {
        let head = format!("Content-Encoding: {text}\r\n");
        let record = *exchange(&response(200, &head, b"WEBVTT", false)).only();
        let plain = encoding == encoding::IDENTITY;
        let kind = if plain { content::WEBVTT } else { content::UNKNOWN };
        assert_eq!((record.encoding, record.content, !plain), (encoding, kind, record.has(flag::ENCODED)));
    }
    assert_eq!(exchange(b"HTTP/1.1 304 X\r\n\r\n").only().content, content::UNKNOWN);
}
