//! The identity of playlists, and their bodies, which are passed on.

use proptest::prelude::*;

use hls_swarm::engine::probe::decode::Decoder;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::Source;
use hls_swarm_test_support::recorded::{SECOND, stats_of};

use super::wire::{BodyChunk, body, content, end};
use super::{Connection, GET, pieces, response, wire};

#[test]
fn delivery_directives_do_not_change_the_identity_of_a_playlist() {
    let hash = |target: &str| wire::url_hash(target.as_bytes(), b"h");
    for (target, same) in [
        ("/a.m3u8?_HLS_msn=7&_HLS_part=2", "/a.m3u8"),
        ("/a.m3u8?token=1&_HLS_msn=7&_HLS_skip=YES", "/a.m3u8?token=1"),
        ("/a.m3u8?_HLS_msn=7&token=1", "/a.m3u8?token=1"),
        ("/a.m3u8?a=1&_HLS_push=0&b=2", "/a.m3u8?a=1&b=2"),
    ] {
        assert_eq!(hash(target), hash(same), "{target}");
    }
    for (target, other) in [
        ("/a.m3u8?_HLS=7", "/a.m3u8"),
        ("/a.m3u8?x_HLS_msn=7", "/a.m3u8?x_HLS_msn=8"),
        ("/_HLS_a", "/_HLS_b"),
    ] {
        assert_ne!(hash(target), hash(other), "{target}");
    }
}

/// What is found wrong with a live playlist that one viewer reloads each second: it regresses at second 10, and
/// is stale from then on.
fn regressing_playlist(target: impl Fn(u64) -> String) -> hls_swarm_model::snapshot::PlaylistFaults {
    let (mut stats, mut decoder) = (stats_of(Source::Probe, 1), Decoder::default());
    for second in 0..25_u64 {
        let sequence = if second < 10 { 1000 + second / 2 } else { 500 };
        let names: String =
            (sequence..sequence + 5).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
        let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
        let mut connection = Connection::new();
        connection.send(format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target(second)).as_bytes());
        connection.receive(&response(200, "", format!("{head}{names}").as_bytes(), false));
        let mut piece = BodyChunk {
            magic: wire::MAGIC,
            version: wire::VERSION,
            kind: wire::kind::BODY,
            viewer: 1,
            ..BodyChunk::EMPTY
        };
        let body = &connection.bodies[0];
        piece.length = body.len() as u32;
        piece.bytes[..body.len()].copy_from_slice(body);
        let mut record = *connection.only();
        (record.kind, record.end, record.viewer) = (wire::kind::EXCHANGE, end::COMPLETE, 1);
        record.started_ns = second * SECOND;
        for bytes in [piece.as_bytes(), record.as_bytes()] {
            let (frame, _) = hls_swarm_probe::record::Frame::first(bytes).unwrap().unwrap();
            decoder.decode(&frame, &mut |event: Event| stats.apply(event));
        }
    }
    stats.snapshot(25 * SECOND).insight.playlists.unwrap()
}

#[test]
fn regressing_and_stale_playlists_are_detected_with_delivery_directives() {
    let faults = regressing_playlist(|second| format!("/live/a.m3u8?t=1&_HLS_msn={second}&_HLS_part=0"));
    assert_eq!((faults.regressed, faults.stale), (1, 1), "{faults:?}");
    assert_eq!(faults, regressing_playlist(|_| "/live/a.m3u8?t=1".to_owned()));
}

/// The bytes that are passed on for [`GET`] before a body.
const ASKED: &[u8] = b"/live/a.m3u8?token=1/2\nOrigin:80\n";

proptest! {
    #[test]
    fn the_body_of_a_playlist_is_passed_on_byte_for_byte_however_it_is_split(
        mark in any::<bool>(),
        blanks in "[ \t\r\n]{0,40}",
        rest in prop::collection::vec(any::<u8>(), 0..9000),
        chunked in any::<bool>(),
        cuts in prop::collection::vec(1_usize..600, 0..60),
        full in 0_usize..4,
    ) {
        let mark: &[u8] = if mark { b"\xef\xbb\xbf" } else { b"" };
        let body = [mark, blanks.as_bytes(), b"#EXTM3U", &rest].concat();
        let mut connection = Connection::new();
        connection.full = full;
        // An earlier segment on the same connection has no effect.
        connection.send(GET);
        connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nG#EXTM3U\nx");
        connection.send(GET);
        pieces(&response(200, "", &body, chunked), &cuts).into_iter().for_each(|piece| connection.receive(piece));
        prop_assert_eq!(connection.over.len(), 2);
        prop_assert_eq!(connection.over[0].1.body, body::NONE);
        let record = &connection.over[1].1;
        prop_assert_eq!(record.content, content::PLAYLIST);
        let pieces = (ASKED.len() + body.len()).div_ceil(wire::BODY_BYTES);
        if full == 0 || pieces < full {
            prop_assert_eq!(record.body, body::WHOLE);
            prop_assert_eq!(&connection.bodies, &[[ASKED, &body].concat()]);
        } else {
            prop_assert_eq!(record.body, body::LOST);
            prop_assert_eq!(connection.pieces, full, "nothing is sent after a lost piece");
        }
        if !chunked {
            prop_assert_eq!(record.body_bytes, body.len() as u64, "a full pipe changes no fact");
        }
    }
}

#[test]
fn only_bodies_of_playlists_are_passed_on() {
    let gzip = "Content-Encoding: gzip\r\n";
    let typed = format!("{gzip}Content-Type: application/vnd.apple.MPEGURL\r\n");
    let part = "Content-Range: bytes 8-15/99\r\n";
    let start = "Content-Range: bytes 0-7/99\r\n";
    for (target, status, head, entity, passed) in [
        ("/a", 200, "", &b"#EXTM3U\n"[..], true),
        ("/a", 206, start, b"#EXTM3U\n", true),
        ("/a", 206, part, b"#EXTM3U\n", false),
        ("/a", 404, "", b"#EXTM3U\n", false),
        ("/a", 200, "", b"#EXTM3", false),
        ("/a.m3u8", 200, "", b"<html>\n#EXTM3U\n", false),
        ("/a.m3u8", 200, "", b"\x47#EXTM3U\n", false),
        ("/a.m3u8", 200, gzip, b"\x1f\x8b\x08", true),
        ("/a.ts", 200, gzip, b"\x1f\x8b\x08", false),
        ("/a", 200, &typed, b"\x1f\x8b\x08", true),
        ("/a.m3u8", 200, "Content-Encoding: br\r\n", b"\x0b\x02", true),
    ] {
        let mut connection = Connection::new();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        connection.receive(&response(status, head, entity, false));
        let record = connection.only();
        let expected = if passed { body::WHOLE } else { body::NONE };
        assert_eq!(record.body, expected, "{target} {status} {head} {entity:?}");
        let asked = format!("{target}\nh\n");
        let bodies = passed.then(|| [asked.as_bytes(), entity].concat());
        assert_eq!(connection.bodies, Vec::from_iter(bodies));
    }
}

#[test]
fn only_the_beginning_of_a_huge_body_is_passed_on() {
    let mut connection = Connection::new();
    connection.send(GET);
    let limit = usize::try_from(wire::BODY_LIMIT).unwrap();
    let entity = [b"#EXTM3U\n".to_vec(), vec![b'x'; limit]].concat();
    connection.receive(&response(200, "", &entity, false));
    assert_eq!(connection.only().body, body::CUT);
    assert_eq!(connection.bodies, [[ASKED, &entity[..limit]].concat()]);
    connection.send(GET);
    connection.receive(&response(200, "", &entity[..limit], false));
    assert_eq!(connection.over[1].1.body, body::WHOLE);
}

#[test]
fn a_playlist_with_a_huge_url_is_not_passed_on() {
    for (length, fate) in [(3900, body::WHOLE), (4000, body::NONE)] {
        let mut connection = Connection::new();
        let target = format!("/a.m3u8?{}", "x".repeat(length - 8));
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        connection.receive(&response(200, "", b"#EXTM3U\n", false));
        assert_eq!(connection.only().body, fate);
    }
}

#[test]
fn an_incomplete_playlist_is_not_passed_on_as_complete() {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n#EXTM3U\n");
    // The viewer requests another object; the superseded response arrives first.
    connection.send(b"GET /b.m3u8 HTTP/1.1\r\nHost: b\r\n\r\n");
    connection.receive(&[b'x'; 91]);
    connection.receive(&response(200, "", b"#EXTM3U\nb", false));
    let fates: Vec<_> = connection.over.iter().map(|(how, record)| (*how, record.body)).collect();
    assert_eq!(fates, [(end::SUPERSEDED, body::NONE), (end::COMPLETE, body::WHOLE)]);
    assert_eq!(connection.bodies, [b"/b.m3u8\nb\n#EXTM3U\nb"]);
}
