//! Streams of bytes that arrive in pieces: FFmpeg's log and progress, responses, the pipe of the probe.

use std::os::fd::BorrowedFd;

use hls_swarm::engine::ffmpeg::log::Log;
use hls_swarm::engine::ffmpeg::progress::Parser;
use hls_swarm::engine::probe::decode::Decoder;
use hls_swarm::engine::probe::pipe::ProbePipe;
use hls_swarm_client::KeepBody;
use hls_swarm_client::response::Response;

use crate::{cuts_and_input, pieces, planted};

/// FFmpeg's log; the first byte selects the level and the kind of FFmpeg. Reads it whole and in pieces.
///
/// # Panics
/// The two differ.
pub fn ffmpeg_log(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let (cuts, input) = cuts_and_input(data);
    let run = |cuts: &[u8]| {
        let mut log = Log::new(mode & 1 == 1, 16);
        if mode & 2 == 2 {
            log = log.without_segment_retries();
        }
        let mut events = Vec::new();
        for piece in pieces(input, cuts) {
            log.feed(1, piece, &mut |event| events.push(format!("{event:?}")));
        }
        log.finish(&mut |event| events.push(format!("{event:?}")));
        events
    };
    let whole = run(&[]);
    assert_eq!(whole, run(cuts));
    // A status code of which no seed has an event.
    let odd = |event: &String| {
        ["201", "203", "205", "207", "208", "209"].iter().any(|code| event.contains(&format!("Some({code})")))
    };
    planted(whole.iter().any(odd));
}

/// FFmpeg's progress, whole and in pieces.
///
/// # Panics
/// The two differ.
pub fn progress(data: &[u8]) {
    let (cuts, input) = cuts_and_input(data);
    let run = |cuts: &[u8]| {
        let (mut parser, mut blocks) = (Parser::new(), Vec::new());
        pieces(input, cuts).iter().for_each(|piece| parser.feed(piece, &mut |block| blocks.push(block)));
        blocks
    };
    let whole = run(&[]);
    // A number that is none is unequal to itself.
    assert_eq!(format!("{whole:?}"), format!("{:?}", run(cuts)));
    planted(whole.iter().any(|block| block.end && block.media_time_us.is_some_and(|time| time < 0)));
}

/// A response of HTTP/1.1, whole and in pieces.
///
/// # Panics
/// The two differ, or a body is longer than what arrived.
pub fn http_response(data: &[u8]) {
    const MOST: usize = 300;
    let (cuts, input) = cuts_and_input(data);
    let run = |cuts: &[u8]| {
        let (mut response, mut sink) = (Response::default(), KeepBody::new(MOST));
        let mut failed = false;
        for piece in pieces(input, cuts) {
            match response.feed(piece, &mut sink) {
                Ok(used) => assert!(used <= piece.len()),
                Err(_) => {
                    failed = true;
                    break;
                }
            }
            if response.is_whole() {
                break;
            }
        }
        // A head that cannot become valid is refused at once, or when its next line ends.
        failed |= response.head().is_none();
        let whole = !failed && response.end_of_stream();
        assert!(sink.body.len() <= MOST.min(input.len()));
        assert!(response.head_bytes() <= input.len() as u64);
        (failed, whole, response.head().cloned(), sink.body, sink.is_cut)
    };
    let whole = run(&[]);
    let divided = run(cuts);
    assert_eq!(whole.0, divided.0);
    if !whole.0 {
        assert_eq!(whole, divided);
    }
    planted(whole.1 && whole.2.is_some_and(|head| head.status == 206) && !whole.3.is_empty());
}

/// The pipe of the probe, as if a viewer that was taken over had written into it: no panic, and memory that is bounded
/// by what was written.
///
/// # Panics
/// The pipe cannot be made, or the reader panics.
pub fn probe_records(data: &[u8]) {
    let (cuts, input) = cuts_and_input(data);
    let (pipe, mut reader) = ProbePipe::new().unwrap();
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces(input, cuts) {
        // SAFETY: the pipe outlives the borrowed descriptor.
        let end = unsafe { BorrowedFd::borrow_raw(pipe.fd()) };
        if piece.is_empty() || nix::unistd::write(end, piece).is_err() {
            continue;
        }
        let Ok(batch) = reader.pending() else { break };
        for frame in batch.frames() {
            decoder.decode(&frame, &mut |event| events.push(format!("{event:?}")));
        }
    }
    decoder.release(u64::MAX, &mut |event| events.push(format!("{event:?}")));
    decoder.finish(&mut |event| events.push(format!("{event:?}")));
    reader.end();
    planted(events.iter().any(|event| event.starts_with("Exchange") && event.contains("tls: true")));
}
