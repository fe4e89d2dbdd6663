//! The socket probe inside real programs, against servers that record what they sent. curl and FFmpeg
//! must be installed: without them these tests fail, they do not skip.

pub(crate) mod served;
mod viewer;
pub(crate) mod watched;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_probe::record::{BODY_BYTES, Record, body, content, end, flag, kind, url_hash};
use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Served, Server, Then};

use watched::{Pipe, own_viewer, run, run_into, run_with};

const ECONNRESET: u16 = 104;
const ECONNREFUSED: u16 = 111;

/// Not a test: what `watched::own_viewer` starts. Without its environment it does nothing.
#[test]
#[ignore = "a viewer that the other tests start"]
fn viewer() {
    if let (Ok(act), Ok(port)) = (std::env::var("VIEWER_ACT"), std::env::var("VIEWER_PORT")) {
        viewer::act(&act, port.parse().unwrap());
    }
}

fn curl() -> Command {
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "15"]);
    curl
}

/// Checks for a complete exchange, byte for byte.
fn assert_whole(record: &Record, served: &Served) {
    assert_eq!((record.kind, record.end, record.error), (kind::EXCHANGE, end::COMPLETE, 0));
    assert_eq!(record.name(), served.name().as_bytes());
    assert_eq!(record.head_bytes, served.head_bytes(), "{}", served.target);
    assert_eq!(record.body_bytes, served.body_bytes(), "{}", served.target);
    assert!(record.has(flag::TCP_INFO | flag::FIRST_BYTE));
    assert_eq!(record.received, served.sent.len() as u64, "{}", served.target);
    assert_eq!(
        (record.local_port, record.peer_family, &record.peer[..4]),
        (served.port, 4, &[127, 0, 0, 1][..])
    );
    assert!(record.started_ns > 0 && record.idle_ns == 0);
}

#[test]
fn curl_two_files_on_one_connection() {
    let server = Server::start(|target, _| Answer::ok("video/mp2t", target.repeat(3000).as_bytes()));
    let (first, second) = (server.url("/live/a.ts?x=/y"), server.url("/b.ts"));
    let run = run(curl().args(["-o", "/dev/null", &first, "-o", "/dev/null", &second]));
    assert!(run.output.status.success());
    let host = format!("127.0.0.1:{}", server.port);
    let (port, served) = (server.port, server.served());
    let exchanges = run.exchanges();
    assert_eq!((exchanges.len(), served.len()), (2, 2));
    for (request, (record, served)) in (1..).zip(exchanges.iter().zip(&served)) {
        assert_whole(record, served);
        assert_eq!((record.connection, record.request, record.peer_port), (1, request, port));
        assert_eq!((record.status, record.method), (200, b'G'));
        assert_eq!(record.content_length, served.body_bytes());
        assert_eq!(record.content_type(), b"video/mp2t");
        assert_eq!(record.sniff(), &served.target.repeat(16).as_bytes()[..16]);
        assert_eq!(record.url_hash, url_hash(served.target.as_bytes(), host.as_bytes()));
        assert_eq!(record.has(flag::CONNECT), request == 1, "once per connection");
        assert!(!record.has(flag::DNS), "a numeric address needs no name lookup");
    }
    let closed = run.of(kind::CLOSED);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].request, closed[0].received, closed[0].end), (2, 0, end::CLOSED_BY_VIEWER));
}

/// Name, curl's options, response, what follows; expected status and flags.
type Framed = (&'static str, &'static [&'static str], Vec<u8>, Then, u16, u16);

#[test]
fn curl_every_framing_and_status() {
    let gzip: &[u8] =
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 0x4a, 6, 0, 0xc2, 0x41, 0x24, 0x35, 3, 0, 0, 0];
    let answers: [Framed; 7] = [
        (
            "chunked",
            &[],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nb;x=y\r\n world, all\r\n0\r\n\r\n".into(),
            Then::Keep,
            200,
            flag::CHUNKED,
        ),
        ("to-the-end", &[], b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nno length".into(), Then::Close, 200, flag::CONNECTION_CLOSE),
        ("old", &[], b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold".into(), Then::Close, 200, flag::CONNECTION_CLOSE),
        ("not-modified", &[], b"HTTP/1.1 304 Not Modified\r\nAge: 12\r\n\r\n".into(), Then::Keep, 304, flag::AGE),
        ("head", &["--head"], b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n".into(), Then::Keep, 200, flag::CONTENT_LENGTH),
        ("range", &["--range", "0-3"], b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nabcd".into(), Then::Keep, 206, flag::CONTENT_LENGTH),
        (
            "gzip",
            &["--compressed"],
            [format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len()).as_bytes(), gzip].concat(),
            Then::Keep,
            200,
            flag::ENCODED,
        ),
    ];
    for (name, options, bytes, then, status, flags) in answers {
        let server = Server::start(move |_, _| {
            // In pieces of 7 bytes, so that heads and chunks are split.
            let pieces = bytes.chunks(7).map(<[u8]>::to_vec).collect();
            Answer { pieces, pause: Duration::from_millis(2), then }
        });
        let run = run(curl().args(options).args(["-o", "/dev/null"]).arg(server.url(&format!("/{name}"))));
        assert!(run.output.status.success(), "{name}: {:?}", run.output);
        let served = server.served();
        let record = run.exchange();
        assert_whole(&record, &served[0]);
        assert_eq!((record.status, record.flags & flags), (status, flags), "{name}");
        match name {
            "chunked" => assert_eq!(record.sniff(), b"hello world, all"),
            "not-modified" => assert_eq!(record.age_s, 12),
            "head" => assert_eq!((record.method, record.content_length), (b'H', 12345)),
            "gzip" => {
                assert_eq!(record.sniff(), &gzip[..16]);
                assert!(run.output.stdout.is_empty());
            }
            _ => {}
        }
    }
}

#[test]
fn curl_a_redirect_is_an_exchange_of_its_own() {
    let server = Server::start(|target, _| match target {
        "/a" => {
            Answer::new("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 4\r\n\r\ngone", Then::Keep)
        }
        _ => Answer::ok("text/plain", b"here"),
    });
    let run = run(curl().args(["--location", &server.url("/a")]));
    assert_eq!(run.output.stdout, b"here");
    let served = server.served();
    let exchanges = run.exchanges();
    assert_eq!(exchanges.iter().map(|record| record.status).collect::<Vec<_>>(), [302, 200]);
    exchanges.iter().zip(&served).for_each(|(record, served)| assert_whole(record, served));
}

#[test]
fn curl_bodies_cut_by_fin_and_by_rst() {
    for (then, how, error, exit) in
        [(Then::Close, end::CLOSED_BY_PEER, 0, 18), (Then::Reset, end::SOCKET_ERROR, ECONNRESET, 56)]
    {
        let server = Server::start(move |_, _| {
            let answer = Answer::ok("video/mp2t", &[b'G'; 1000]);
            Answer::new(&answer.pieces[0][..500], then)
        });
        let run = run(curl().args(["-o", "/dev/null", &server.url("/a.ts")]));
        assert_eq!(run.output.status.code(), Some(exit), "{:?}", run.output);
        let served = &server.served()[0];
        let record = run.exchange();
        assert_eq!((record.end, record.error, record.status), (how, error, 200));
        assert_eq!((record.head_bytes, record.body_bytes), (served.head_bytes(), served.body_bytes()));
        assert_eq!((record.content_length, record.received), (1000, 500), "a FIN is not a byte");
        let closed = run.of(kind::CLOSED);
        assert_eq!((closed.len(), closed[0].received, closed[0].end), (1, 0, how));
    }
}

#[test]
fn curl_no_response() {
    let server = Server::start(|_, _| Answer::new("", Then::Close));
    let run = run(curl().arg(server.url("/a.ts")));
    assert_eq!(run.output.status.code(), Some(52));
    let record = run.exchange();
    assert_eq!((record.end, record.status, record.received), (end::CLOSED_BY_PEER, 0, 0));
    assert!(!record.has(flag::FIRST_BYTE));
    assert_eq!(server.served().len(), 1);
}

#[test]
fn curl_gives_up_a_stalled_body() {
    let server = Server::start(|_, _| {
        let answer = Answer::ok("video/mp2t", &[b'G'; 1000]);
        Answer::new(&answer.pieces[0][..500], Then::Hold)
    });
    let run = run(curl().args(["--max-time", "1", "-o", "/dev/null", &server.url("/a.ts")]));
    assert_eq!(run.output.status.code(), Some(28));
    let record = run.exchange();
    assert_eq!((record.end, record.received), (end::CLOSED_BY_VIEWER, 500));
    assert!((500_000_000..2_000_000_000).contains(&record.idle_ns), "{}", record.idle_ns);
    drop(server);
}

#[test]
fn failed_connections_are_recorded() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = run(curl().arg(format!("http://127.0.0.1:{port}/")));
    assert_eq!(refused.output.status.code(), Some(7));
    let failed = refused.of(kind::CONNECT_FAILED);
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].end, failed[0].error), (end::NOT_CONNECTED, ECONNREFUSED));
    assert_eq!((failed[0].peer_port, failed[0].peer_family), (port, 4));
    assert_eq!(refused.records.len(), 2, "nothing except HELLO");

    // A label of 64 letters is refused by the resolver itself: no query leaves this machine.
    let name = "x".repeat(64);
    let unknown = run(curl().arg(format!("http://{name}.invalid/")));
    assert_eq!(unknown.output.status.code(), Some(6));
    let failed = unknown.of(kind::CONNECT_FAILED);
    assert!(!failed.is_empty());
    assert!(failed.iter().all(|record| record.end == end::NAME_NOT_RESOLVED && record.error != 0));
    assert!(failed.iter().all(|record| record.has(flag::DNS) && record.idle_ns == record.dns_ns));
}

#[test]
fn bytes_after_the_announced_end_are_counted() {
    for (more, then) in [("", Then::Close), ("and more", Then::Close), ("and more", Then::Keep)] {
        let server = Server::start(move |_, _| {
            Answer::new(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789{more}"), then)
        });
        let run = run(curl().arg(server.url("/a.ts")));
        assert_eq!(run.output.stdout, b"0123456789");
        let record = run.exchange();
        assert_eq!((record.end, record.body_bytes, record.excess as usize), (end::COMPLETE, 10, more.len()));
    }
}

#[test]
fn a_range_without_a_length_needs_no_end_of_the_connection() {
    let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nConnection: close\r\n\r\n";
    let server = Server::start(move |_, _| Answer::new(format!("{head}0123456789"), Then::Hold));
    let run = run(curl().args(["--max-time", "1", "-o", "/dev/null", &server.url("/a.ts")]));
    assert_eq!(run.output.status.code(), Some(28), "curl waits for the end");
    let record = run.exchange();
    assert_eq!((record.end, record.content_length, record.idle_ns), (end::COMPLETE, 10, 0));
    assert_whole(&record, &server.served()[0]);
}

/// A playlist of many kilobytes.
fn long_playlist() -> Vec<u8> {
    let segments: String = (0..1000).map(|number| format!("#EXTINF:2,\nsegment-{number}.ts\n")).collect();
    format!("\n#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}").into_bytes()
}

#[test]
fn the_whole_body_of_a_playlist_is_passed_on() {
    let server = Server::start(|_, _| {
        let all = Answer::ok("text/plain", &long_playlist()).pieces.concat();
        let pieces = all.chunks(777).map(<[u8]>::to_vec).collect();
        Answer { pieces, pause: Duration::ZERO, then: Then::Keep }
    });
    let run = run(curl().args(["-o", "/dev/null", &server.url("/play?token=1")]));
    let record = run.exchange();
    assert_eq!((record.body, record.content), (body::WHOLE, content::PLAYLIST));
    let asked = format!("/play?token=1\n127.0.0.1:{}\n", server.port).into_bytes();
    assert_eq!(run.body_of(&record), [asked, long_playlist()].concat());
    assert_eq!(run.pieces.len(), run.body_of(&record).len().div_ceil(BODY_BYTES));
    drop(server);
}

#[test]
fn bodies_leave_half_of_the_pipe_to_records() {
    let pipe = Pipe::new();
    let filler = vec![0; 600 << 10];
    File::from(pipe.writer.try_clone().unwrap()).write_all(&filler).unwrap();
    let server = Server::start(|_, _| Answer::ok("application/x-mpegurl", &long_playlist()));
    let output = run_into(curl().args(["-o", "/dev/null", &server.url("/a.m3u8")]), &pipe);
    assert!(output.status.success(), "{output:?}");
    let (records, pieces) = Pipe::read(&pipe.drain()[filler.len()..]);
    assert!(pieces.is_empty());
    let received: Vec<_> = records.iter().map(|record| (record.kind, record.sequence, record.lost)).collect();
    assert_eq!(received, [(kind::HELLO, 0, 0), (kind::EXCHANGE, 1, 0), (kind::CLOSED, 2, 0)]);
    assert_eq!((records[1].body, records[1].content), (body::LOST, content::PLAYLIST));
    drop(server);
}

#[test]
fn latencies_equal_those_of_the_server() {
    let server = Server::start(|_, _| {
        // 200 ms to the first byte, 300 ms from there to the last.
        std::thread::sleep(Duration::from_millis(200));
        let all = Answer::ok("video/mp2t", &[b'G'; 1000]).pieces.concat();
        let pieces = vec![all[..40].to_vec(), all[40..].to_vec()];
        Answer { pieces, pause: Duration::from_millis(300), then: Then::Keep }
    });
    let record = run(curl().args(["-o", "/dev/null", &server.url("/a.ts")])).exchange();
    let close_to = |value: u64, milliseconds: u64| {
        let truth = milliseconds * 1_000_000;
        assert!((truth..truth + 150_000_000).contains(&value), "{value} ns for {milliseconds} ms");
    };
    close_to(record.first_byte_ns, 200);
    // A first byte that a loaded machine reads late shortens the download by as much.
    close_to(record.first_byte_ns + record.download_ns, 500);
    assert!(record.connect_ns < 100_000_000 && record.has(flag::CONNECT));
    drop(server);
}

#[test]
fn a_viewer_that_reads_late_does_not_make_the_network_look_slow() {
    let server = Server::start(|_, _| Answer::ok("video/mp2t", &[b'G'; 2000]));
    let record = run(&mut own_viewer("read-late", server.port)).exchange();
    assert_whole(&record, &server.served()[0]);
    assert!(record.has(flag::ARRIVED_EARLIER));
    assert!(record.download_ns < 200_000_000, "{}", record.download_ns);
}

#[test]
fn requests_in_flight_at_the_end_of_the_process_are_counted() {
    let server = Server::start(|_, _| Answer::ok("video/mp2t", &[b'G'; 2000]));
    let run = run(&mut own_viewer("leave-in-flight", server.port));
    let record = run.exchange();
    assert_eq!((record.end, record.head_bytes + record.body_bytes), (end::PROCESS_EXIT, 50));
    let closed = run.of(kind::CLOSED);
    assert_eq!((closed.len(), closed[0].end), (1, end::PROCESS_EXIT));
    let received = record.received + closed[0].received;
    assert!((50..=server.served()[0].sent.len() as u64).contains(&received));
}

#[test]
fn a_response_that_was_not_read_has_its_status() {
    let server = Server::start(|_, _| {
        Answer::new("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nX-Cache: MISS\r\n\r\nbusy", Then::Keep)
    });
    let run = run(&mut own_viewer("close-unread", server.port));
    let served = &server.served()[0];
    let record = run.exchange();
    assert_eq!((record.end, record.status), (end::CLOSED_BY_VIEWER, 503));
    assert_eq!((record.head_bytes, record.body_bytes), (0, 0), "the viewer read nothing");
    assert!(!record.has(flag::FIRST_BYTE) && record.has(flag::CONTENT_LENGTH));
    assert_eq!(record.received, served.sent.len() as u64, "the kernel received all of it");
}

#[test]
fn a_request_sent_before_the_previous_response_arrived() {
    let server = Server::start(|_, _| Answer::ok("video/mp2t", &[b'G'; 2000]));
    let exchanges = run(&mut own_viewer("pipeline", server.port)).exchanges();
    let served = server.served();
    assert_eq!(
        exchanges.iter().map(|record| record.end).collect::<Vec<_>>(),
        [end::SUPERSEDED, end::COMPLETE]
    );
    assert_eq!(exchanges[1].name(), b"b.ts");
    assert_eq!((exchanges[1].head_bytes, exchanges[1].body_bytes), (served[1].head_bytes(), 2000));
    let received: u64 = exchanges.iter().map(|record| record.received).sum();
    assert_eq!(received, served.iter().map(|served| served.sent.len() as u64).sum::<u64>());
}

#[test]
fn heads_and_bodies_byte_by_byte_with_peeks_between() {
    let server = Server::start(|_, _| Answer::new("HTTP/1.1 200 OK\r\n\r\nto the end", Then::Close));
    let record = run(&mut own_viewer("byte-by-byte", server.port)).exchange();
    assert_whole(&record, &server.served()[0]);
}

#[test]
fn a_name_lookup_belongs_to_its_connection() {
    let server = Server::start(|_, _| Answer::new("HTTP/1.1 200 OK\r\n\r\nto the end", Then::Close));
    let run = run(&mut own_viewer("by-name", server.port));
    let exchanges = run.exchanges();
    assert_eq!(exchanges.iter().map(|record| record.has(flag::DNS)).collect::<Vec<_>>(), [true, false]);
    assert!(exchanges[0].dns_ns > 0 && exchanges[1].dns_ns == 0);
    drop(server);
}

#[test]
fn a_child_of_the_viewer_has_its_own_records() {
    let server = Server::start(|target, _| {
        let then = if target == "/a.ts" { Then::Close } else { Then::Keep };
        Answer::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", then)
    });
    let pipe = Pipe::new();
    let output = run_into(&mut own_viewer("start-a-child", server.port), &pipe);
    assert!(output.status.success(), "{output:?}");
    let records = pipe.records();
    let names = |pid: u32| {
        let own = records.iter().filter(move |record| record.pid == pid && record.kind == kind::EXCHANGE);
        own.map(|record| String::from_utf8_lossy(record.name()).into_owned()).collect::<Vec<_>>()
    };
    let hellos: Vec<_> = records.iter().filter(|record| record.kind == kind::HELLO).collect();
    assert_eq!(hellos.len(), 2);
    assert_eq!((names(hellos[0].pid), names(hellos[1].pid)), (vec!["a.ts".into()], vec!["child.ts".into()]));
    assert!(hellos.iter().all(|hello| hello.sequence == 0));
    drop(server);
}

#[test]
fn tls_that_the_probe_cannot_observe_is_named() {
    let server = Server::start(|target, _| {
        Answer::new("opaque", if target == "/hello" { Then::Keep } else { Then::Close })
    });
    let run = run(&mut own_viewer("hidden-tls", server.port));
    assert!(run.exchanges().is_empty());
    let closed = run.of(kind::CLOSED);
    assert_eq!((closed.len(), closed[0].request, closed[0].received), (1, 0, 12));
    assert!(closed[0].has(flag::TLS | flag::HIDDEN) && !closed[0].has(flag::TLS_HANDSHAKE));
    drop(server);
}

#[test]
fn many_threads_and_a_reader_and_a_writer_on_each_socket() {
    let server = Server::start(|_, _| Answer::new("HTTP/1.1 200 OK\r\n\r\nto the end", Then::Close));
    let pipe = Pipe::new();
    let output = run_into(&mut own_viewer("many-threads", server.port), &pipe);
    assert!(output.status.success(), "{output:?}");
    let served = server.served();
    let records = pipe.records();
    let exchanges: Vec<_> = records.iter().filter(|record| record.kind == kind::EXCHANGE).collect();
    assert_eq!((exchanges.len(), served.len()), (80, 80));
    for record in exchanges {
        // Ports may be reused, but all responses are the same.
        let served = served.iter().find(|served| served.port == record.local_port).unwrap();
        assert_whole(record, served);
    }
    let mut sequence: Vec<_> = records.iter().map(|record| record.sequence).collect();
    sequence.sort_unstable();
    assert!(sequence.iter().copied().eq(0..1 + 160), "no record is missing");
    assert!(records.iter().all(|record| record.lost == 0));
}

#[test]
fn a_full_pipe_never_stops_the_viewer_and_lost_records_are_counted() {
    let pipe = Arc::new(Pipe::new());
    let mut filler = File::from(pipe.writer.try_clone().unwrap());
    while filler.write(&[0; 4096]).is_ok() {}
    let drained = Arc::clone(&pipe);
    let server = Server::start(move |target, _| {
        if target == "/b.ts" {
            drained.drain();
        }
        Answer::ok("video/mp2t", b"end")
    });
    let output = run_into(&mut own_viewer("two-requests", server.port), &pipe);
    assert!(output.status.success(), "{output:?}");
    let records = pipe.records();
    assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [kind::EXCHANGE, kind::CLOSED]);
    assert_eq!((records[0].name(), records[0].sequence, records[0].lost), (&b"b.ts"[..], 2, 2));
    drop(server);
}

/// The kernel counts a FIN as a received byte, and a FIN may arrive while the count is read.
#[test]
fn a_fin_directly_after_the_body_is_not_counted_as_a_byte() {
    let server = Server::start(|_, _| Answer { then: Then::Close, ..Answer::ok("video/mp2t", b"end") });
    let run = run(&mut own_viewer("ask-often", server.port));
    assert!(run.output.status.success(), "{:?}", run.output);
    let exchanges = run.exchanges();
    assert_eq!(exchanges.len(), 1000);
    let wrong: Vec<_> = exchanges
        .iter()
        .map(|record| (record.received, record.head_bytes + record.body_bytes))
        .filter(|(received, read)| received != read)
        .collect();
    assert!(wrong.is_empty(), "{} of 1000, first: {:?}", wrong.len(), wrong[0]);
}

#[test]
fn a_request_on_a_closed_connection_is_stale() {
    let server = Server::start(|target, _| {
        let then = if target == "/b.ts" { Then::Close } else { Then::Keep };
        Answer { then, ..Answer::ok("video/mp2t", b"end") }
    });
    let run = run(&mut own_viewer("ask-too-late", server.port));
    assert!(run.output.status.success(), "{:?}", run.output);
    let exchanges = run.exchanges();
    let facts: Vec<_> = exchanges
        .iter()
        .map(|record| (record.name(), record.end == end::COMPLETE, record.has(flag::STALE)))
        .collect();
    assert_eq!(
        facts,
        [(&b"a.ts"[..], true, false), (&b"b.ts"[..], true, false), (&b"c.ts"[..], false, true)]
    );
    let targets: Vec<_> = server.served().into_iter().map(|served| served.target).collect();
    assert_eq!(targets, ["/a.ts", "/b.ts"], "the server never saw the third request");
}

/// Exit code and output of several programs in several predicaments.
fn situations(watch: &dyn Fn(&mut Command) -> Output) -> Vec<(Option<i32>, Vec<u8>, Vec<u8>)> {
    let server = Server::start(|target, _| match target {
        "/cut" => Answer::new("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", Then::Close),
        "/rst" => Answer::new("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrst", Then::Reset),
        "/404" => Answer::new("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", Then::Keep),
        _ => Answer::ok("text/plain", &[b'x'; 100_000]),
    });
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut commands = ["/a", "/cut", "/rst", "/404"].map(|target| {
        let mut command = curl();
        command.args(["--fail", &server.url(target)]);
        command
    });
    let mut to_closed_port = curl();
    to_closed_port.arg(format!("http://127.0.0.1:{refused}/"));
    let all = commands
        .iter_mut()
        .chain([&mut to_closed_port])
        .map(|command| watch(command.args(["--write-out", "%{http_code} %{size_download} %{num_connects}"])));
    all.map(|output| (output.status.code(), output.stdout, without_numbers(&output.stderr))).collect()
}

/// curl's messages contain milliseconds and ports, which differ from run to run.
fn without_numbers(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect()
}

#[test]
fn programs_behave_the_same_with_and_without_the_probe() {
    let plain = situations(&|command| command.output().unwrap());
    assert_eq!(plain.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), [0, 18, 56, 22, 7].map(Some));
    let pipe = Pipe::new();
    assert_eq!(situations(&|command| run_into(command, &pipe)), plain, "under the probe");
    assert_eq!(pipe.records().iter().filter(|record| record.kind == kind::HELLO).count(), 5);

    // A pipe without a reader causes no SIGPIPE in the viewer.
    let Pipe { reader, writer } = Pipe::new();
    drop(reader);
    assert_eq!(situations(&|command| run_with(command, writer.as_raw_fd(), "201:1:1")), plain, "no reader");
}

#[test]
fn the_probe_does_nothing_without_a_valid_environment() {
    let server = Server::start(|_, _| Answer::ok("text/plain", b"hello"));
    let url = server.url("/");
    let pipe = Pipe::new();
    for value in
        ["", "201", "201:1", "201:1:1:1", "201:x:1", " 201:1:1", "202:1:1", "99999999999:1:1", "-1:1:1"]
    {
        let output = run_with(curl().arg(&url), pipe.writer.as_raw_fd(), value);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello"[..]), "{value:?}");
        assert!(pipe.drain().is_empty(), "{value:?}");
    }
    // A blocking pipe could stop the viewer, and a file is not a pipe.
    let (reader, blocking) = nix::unistd::pipe().unwrap();
    let file = tempfile::tempfile().unwrap();
    for fd in [blocking.as_raw_fd(), file.as_raw_fd()] {
        let output = run_with(curl().arg(&url), fd, "201:1:1");
        assert_eq!(output.stdout, b"hello");
    }
    assert_eq!(file.metadata().unwrap().len(), 0);
    drop(blocking);
    assert_eq!(std::io::Read::read(&mut File::from(reader), &mut [0; 8]).unwrap(), 0, "nothing was written");
    drop(server);
}
