//! Decoding of the records that the probe writes into the pipe.

use divan::Bencher;
use divan::counter::ItemsCount;

use hls_swarm::engine::probe::decode::Decoder;
use hls_swarm_probe::record::{BodyChunk, Frame, MAGIC, Record, VERSION, body, end, flag, kind};

/// Records of one read.
const RECORDS: usize = 64;

fn record(sequence: u32) -> Record {
    let mut record = Record {
        kind: kind::EXCHANGE,
        end: end::COMPLETE,
        viewer: 1 + sequence % 16,
        generation: 1,
        pid: 1000 + sequence % 16,
        sequence,
        connection: 1,
        request: sequence,
        flags: flag::FIRST_BYTE | flag::TCP_INFO | flag::CONTENT_LENGTH | flag::AGE,
        status: 200,
        first_byte_ns: 2_000_000,
        download_ns: 40_000_000,
        head_bytes: 300,
        body_bytes: 500_000,
        content_length: 500_000,
        received: 500_300,
        peer_family: 4,
        peer_port: 443,
        local_port: 40_000,
        ..Record::EMPTY
    };
    let name = b"segment-000004711.ts";
    record.name[..name.len()].copy_from_slice(name);
    record.name_len = u8::try_from(name.len()).unwrap();
    record.content_type[..10].copy_from_slice(b"video/MP2T");
    record.content_type_len = 10;
    let edge = b"cache-fra-etou8220031-FRA";
    record.edge[..edge.len()].copy_from_slice(edge);
    record.edge_len = u32::try_from(edge.len()).unwrap();
    record.sniff[0] = 0x47;
    record.sniff_len = 16;
    record
}

/// From the bytes of the pipe to events.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let records = u32::try_from(RECORDS).unwrap();
    let bytes: Vec<u8> = (0..records).flat_map(|sequence| *record(sequence).as_bytes()).collect();
    let mut decoder = Decoder::default();
    bencher
        .counter(ItemsCount::new(RECORDS))
        .bench_local(|| decode_all(&mut decoder, divan::black_box(&bytes)));
}

fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) {
    while let Ok(Some((frame, size))) = Frame::first(bytes) {
        decoder.decode(&frame, &mut |event| drop(divan::black_box(event)));
        bytes = &bytes[size..];
    }
}

/// A live playlist of 10 segments that each of many viewers reads.
#[divan::bench]
fn decode_playlists(bencher: Bencher<'_, '_>) {
    let segments: String =
        (0..10).map(|number| format!("#EXTINF:5.984,\nsegment-{number:09}.ts\n")).collect();
    let text = format!("/live/a.m3u8?token=1\nhost\n#EXTM3U\n#EXT-X-TARGETDURATION:6\n{segments}");
    let mut bytes = Vec::new();
    for sequence in 0..u32::try_from(RECORDS).unwrap() {
        let record = Record { body: body::WHOLE, ..record(sequence) };
        let mut piece = BodyChunk {
            magic: MAGIC,
            version: VERSION,
            kind: kind::BODY,
            viewer: record.viewer,
            generation: record.generation,
            pid: record.pid,
            connection: record.connection,
            request: record.request,
            length: u32::try_from(text.len()).unwrap(),
            ..BodyChunk::EMPTY
        };
        piece.bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes.extend_from_slice(piece.as_bytes());
        bytes.extend_from_slice(record.as_bytes());
    }
    let mut decoder = Decoder::default();
    bencher
        .counter(ItemsCount::new(RECORDS))
        .bench_local(|| decode_all(&mut decoder, divan::black_box(&bytes)));
}
