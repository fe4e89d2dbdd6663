//! What is read from the pipe of the probe.

use super::wire;
use super::wire::{BodyChunk, BodyPiece, Frame, Record};

#[test]
fn only_records_are_decoded_from_the_pipe() {
    let mut record = Record::EMPTY;
    record.kind = wire::kind::EXCHANGE;
    record.name[0] = b'a';
    record.received = u64::MAX;
    let bytes = record.as_bytes();
    assert_eq!(Record::from_bytes(bytes), Some(record));
    assert_eq!(Record::from_bytes(&bytes[1..]), None);
    let mut other = *bytes;
    other[4] ^= 1;
    assert_eq!(Record::from_bytes(&other), None, "another version");
}

#[test]
fn frames_are_read_from_the_pipe_unchanged_however_it_is_split() {
    let mut piece = BodyChunk {
        magic: wire::MAGIC,
        version: wire::VERSION,
        kind: wire::kind::BODY,
        viewer: 1,
        generation: 2,
        pid: 3,
        connection: 4,
        request: 5,
        offset: 6,
        length: 3,
        ..BodyChunk::EMPTY
    };
    piece.bytes[..3].copy_from_slice(b"abc");
    let record = Record { kind: wire::kind::EXCHANGE, received: u64::MAX, ..Record::EMPTY };
    let all = [piece.as_bytes(), record.as_bytes()].concat();
    let expected =
        BodyPiece { viewer: 1, generation: 2, pid: 3, connection: 4, request: 5, offset: 6, bytes: b"abc" };
    assert_eq!(Frame::first(&all), Ok(Some((Frame::Body(expected), 39))));
    assert_eq!(Frame::first(&all[39..]), Ok(Some((Frame::Record(record), wire::RECORD_BYTES))));
    for length in 0..39 {
        assert_eq!(Frame::first(&all[..length]), Ok(None));
    }
    piece.length = u32::MAX;
    assert!(piece.as_bytes().len() <= wire::FRAME_BYTES);
    assert!(Frame::first(&piece.as_bytes()[..100]).is_err(), "longer than any piece");
    assert!(Frame::first(&all[1..]).is_err());
}
