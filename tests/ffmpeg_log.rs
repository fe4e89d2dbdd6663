//! Compares FFmpeg's log with the origin's access log: recorded runs of FFmpeg 4.4, 5.1, 7.1 and 9.0
//! (`tests/corpus/README.md`), in which every count must equal the origin's.
//!
//! No percentage of differences is tolerated: if the log cannot contain a fact that the origin knows, that record
//! is identified.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use hls_swarm::engine::ffmpeg::log::{Event, Exchange, ExchangeEnd, Log};
use hls_swarm::engine::ffmpeg::progress::{Parser, Progress};

/// One line of the origin's access log.
#[derive(Debug)]
struct Served {
    path: String,
    status: u16,
    body: i64,
    connection: u64,
    complete: String,
    ttfb_ns: Option<u64>,
}

/// One recorded run.
struct Run {
    name: String,
    events: Vec<Event>,
    served: Vec<Served>,
    log: Log,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/ffmpeg")
}

fn runs(wanted: impl Fn(&str, &str) -> bool) -> Vec<Run> {
    let mut found = Vec::new();
    for version in fs::read_dir(corpus()).unwrap() {
        let version = version.unwrap();
        for case in fs::read_dir(version.path()).unwrap() {
            let case = case.unwrap();
            let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
            if wanted(&name(&version), &name(&case)) {
                found.push(run(&case.path()));
            }
        }
    }
    assert!(!found.is_empty(), "no run of the corpus was chosen");
    found
}

/// Every line begins with the time at which it was received, seconds since the epoch.
fn lines(file: &Path) -> Vec<(u64, Vec<u8>)> {
    let bytes = fs::read(file).unwrap();
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let space = line.iter().position(|&byte| byte == b' ').unwrap();
        lines.push((nanoseconds(std::str::from_utf8(&line[..space]).unwrap()), line[space + 1..].to_vec()));
    }
    lines
}

/// Decimal seconds, exactly: an `f64` would lose the microseconds.
fn nanoseconds(seconds: &str) -> u64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    whole.parse::<u64>().unwrap() * 1_000_000_000 + format!("{fraction:0<9}").parse::<u64>().unwrap()
}

fn run(directory: &Path) -> Run {
    let case = directory.file_name().unwrap().to_str().unwrap();
    let version = directory.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let mut log = Log::new(case.ends_with("_trace"), 16);
    if ["4.4", "5.1"].contains(&version) {
        log = log.without_segment_retries();
    }
    let mut events = Vec::new();
    for (at_ns, line) in lines(&directory.join("stderr.log")) {
        log.feed(at_ns, &line, &mut |event| events.push(event));
    }
    log.finish(&mut |event| events.push(event));
    let access = fs::read_to_string(directory.join("access.log")).unwrap_or_default();
    let served = access.lines().map(served).collect();
    Run { name: format!("{version}/{case}"), events, served, log }
}

fn served(line: &str) -> Served {
    let words = line.split_whitespace().collect::<Vec<_>>();
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let connection = field("conn=").unwrap().split('/').next().unwrap();
    Served {
        path: line.split("\"GET ").nth(1).unwrap().split(" HTTP/").next().unwrap().to_owned(),
        status: words[2].parse().unwrap(),
        body: words[4].parse().unwrap(),
        connection: connection.parse().unwrap(),
        complete: field("complete=").unwrap().to_owned(),
        ttfb_ns: field("ttfb=").map(nanoseconds),
    }
}

impl Run {
    fn exchanges(&self) -> Vec<&Exchange> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Exchange(exchange) = event { Some(exchange) } else { None })
            .collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    /// Each answered exchange with its record in the access log: per path and status in order.
    fn pairs(&self) -> Vec<(&Exchange, &Served)> {
        let mut queues: BTreeMap<(&str, u16), Vec<&Served>> = BTreeMap::new();
        for served in self.served.iter().rev() {
            queues.entry((&served.path, served.status)).or_default().push(served);
        }
        let answered =
            self.exchanges().into_iter().filter(|exchange| exchange.ending == ExchangeEnd::Answered);
        let mut pairs = Vec::new();
        for exchange in answered {
            let key = (exchange.path.as_str(), exchange.status.unwrap());
            let served = queues.get_mut(&key).and_then(Vec::pop);
            let served = served.unwrap_or_else(|| panic!("{}: the origin served no {key:?}", self.name));
            pairs.push((exchange, served));
        }
        let left = queues.into_values().flatten().collect::<Vec<_>>();
        // The recorded log of this case ends early, see the corpus' README.
        if !self.name.ends_with("/cmaf_trace") {
            assert!(left.is_empty(), "{}: not in the log: {left:?}", self.name);
        }
        pairs
    }
}

fn is_trace(_: &str, case: &str) -> bool {
    case.ends_with("_trace")
}

#[test]
fn responses_equal_the_access_log() {
    for run in runs(is_trace) {
        let pairs = run.pairs();
        assert!(pairs.len() >= 5, "{}: only {} responses", run.name, pairs.len());
        if run.name.ends_with("/cmaf_trace") {
            // Nothing is missing up to the end of the recorded part.
            let mut early =
                run.served.iter().take(pairs.len()).map(|served| &served.path).collect::<Vec<_>>();
            let mut seen = pairs.iter().map(|(exchange, _)| &exchange.path).collect::<Vec<_>>();
            early.sort();
            seen.sort();
            assert_eq!(seen, early, "{}", run.name);
        }
    }
}

#[test]
fn bodies_equal_the_access_log() {
    for run in runs(is_trace) {
        let pairs = run.pairs();
        for (index, (exchange, served)) in pairs.iter().enumerate() {
            let inferred = exchange.body_bytes().map(|bytes| i64::try_from(bytes).unwrap());
            let what = format!("{}: {exchange:?} {served:?}", run.name);
            match (served.complete.as_str(), exchange.chunks) {
                // FFmpeg before 7.1 reads no headers after an error status.
                ("OK", _) if served.status >= 400 && matches!(&run.name[..3], "4.4" | "5.1") => {
                    assert_eq!(inferred, None, "{what}");
                }
                // The viewer was stopped in the middle of the last body.
                ("OK", Some(chunks)) if !chunks.whole => {
                    assert_eq!(index, pairs.len() - 1, "{what}");
                    assert!(inferred.unwrap() < served.body, "{what}");
                }
                ("OK", _) => assert_eq!(inferred, Some(served.body), "{what}"),
                // Cut by the origin or by the end of the viewer: the announced length did not arrive.
                ("RST", _) => assert!(inferred.unwrap() > served.body, "{what}"),
                (complete, _) if complete.starts_with("CLIENT") => {
                    assert_eq!(index, pairs.len() - 1, "{what}");
                }
                _ => panic!("{what}"),
            }
        }
    }
}

#[test]
fn connections_equal_the_access_log() {
    for run in runs(is_trace) {
        let mut connections = run.served.iter().map(|served| served.connection).collect::<Vec<_>>();
        connections.sort_unstable();
        connections.dedup();
        let fresh = run.exchanges().iter().filter(|exchange| !exchange.kept_connection).count();
        // The origin of that run did not log its connections.
        if !run.name.ends_with("/cmaf_trace") {
            assert_eq!(fresh, connections.len(), "{}", run.name);
        }
    }
}

#[test]
fn requests_into_closed_connections_are_stale_and_repeated_immediately() {
    for run in runs(is_trace) {
        let exchanges = run.exchanges();
        let mut stale = 0;
        for (index, exchange) in exchanges.iter().enumerate() {
            if exchange.ending == ExchangeEnd::Answered {
                continue;
            }
            let next = exchanges.get(index + 1).unwrap();
            let what = format!("{}: {exchange:?} {next:?}", run.name);
            assert_eq!(exchange.ending, ExchangeEnd::Stale, "{what}");
            assert!(exchange.kept_connection && !next.kept_connection, "{what}");
            assert_eq!(exchange.path, next.path, "{what}");
            stale += 1;
        }
        let expected = match run.name.split('/').nth(1).unwrap() {
            // The origin closes idle connections before FFmpeg sends the next request.
            "kashort_trace" => 13,
            // Four resets in the middle of a body are noticed at the next request, the fifth never is.
            "rst_trace" => 4,
            _ => 0,
        };
        assert_eq!(stale, expected, "{}", run.name);
        // The connection was reset, so nothing is known of the body before.
        let cut = run.count(|event| matches!(event, Event::CutShort { arrived: None, .. }));
        assert_eq!(cut, if run.name.ends_with("/rst_trace") { 4 } else { 0 }, "{}", run.name);
    }
}

#[test]
fn bodies_that_end_early_are_corrected() {
    for run in runs(|_, case| case == "trunc") {
        let cut: Vec<_> = run
            .events
            .iter()
            .filter_map(|event| match event {
                Event::CutShort { exchange, arrived } => Some((exchange.path.clone(), *arrived)),
                _ => None,
            })
            .collect();
        // At level `debug`, the length of a response is not logged, so there is nothing to correct.
        assert_eq!(cut, [], "{}", run.name);
    }
}

#[test]
fn time_to_first_byte_equals_the_delay() {
    let mut compared = 0;
    // Not drip_trace: that origin sleeps after the last drop of a body before it reads the next
    // request, so its own figure begins too late.
    for run in runs(|version, case| is_trace(version, case) && case != "drip_trace") {
        for (exchange, served) in run.pairs() {
            let Some(truth) = served.ttfb_ns else { continue };
            let measured = exchange.first_byte_ns.unwrap();
            // Two clocks on one busy machine, and lines that were read late.
            let difference = i64::try_from(measured).unwrap() - i64::try_from(truth).unwrap();
            assert!(
                (-10_000_000..=10_000_000).contains(&difference),
                "{}: {difference} {exchange:?}",
                run.name
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn redirects_name_their_target() {
    for run in runs(|_, case| case == "rseg_trace") {
        let exchanges = run.exchanges();
        let mut redirects = 0;
        for pair in exchanges.windows(2).filter(|pair| pair[0].status == Some(302)) {
            let target = pair[0].location.as_ref().unwrap();
            assert!(target.ends_with(&pair[1].path), "{target} {}", pair[1].path);
            assert_eq!(pair[0].context, pair[1].context);
            redirects += 1;
        }
        assert_eq!(redirects, 10, "{}", run.name);
    }
}

#[test]
fn hosts_and_content_types_are_known() {
    for run in runs(|_, case| case == "live_ts_trace") {
        for exchange in run.exchanges() {
            assert_eq!(exchange.host.as_deref(), Some("127.0.0.1:18080"));
            assert_eq!(exchange.method, "GET");
            let playlist = exchange.content_type.as_deref() == Some("application/vnd.apple.mpegurl");
            assert_eq!(playlist, exchange.path.ends_with(".m3u8"), "{exchange:?}");
        }
    }
}

#[test]
fn missing_segments_are_skipped() {
    let mut compared = 0;
    for run in runs(|_, case| matches!(case, "f503" | "f404_trace" | "vod_f404_trace" | "live_ts_trace")) {
        let paths = |good: bool| {
            let served = run.served.iter().filter(move |served| (served.status < 400) == good);
            served.map(|served| served.path.as_str()).collect::<BTreeSet<_>>()
        };
        let never = paths(false).difference(&paths(true)).count();
        assert_eq!(run.count(|event| *event == Event::SegmentSkipped), never, "{}", run.name);
        compared += never;
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn a_failed_reload_is_reported_once() {
    for run in runs(|_, case| matches!(case, "gone404" | "live_ts_trace")) {
        let reported = run.count(|event| *event == Event::ReloadFailed);
        assert_eq!(reported, usize::from(run.name.ends_with("/gone404")), "{}", run.name);
    }
}

#[test]
fn without_trace_responses_are_unknown() {
    for run in runs(|_, case| case == "https") {
        let exchanges = run.exchanges();
        assert!(exchanges.iter().all(|exchange| exchange.ending == ExchangeEnd::Untraced && exchange.secure));
        let mut asked = exchanges.iter().map(|exchange| &exchange.path).collect::<Vec<_>>();
        let mut truth = run.served.iter().map(|served| &served.path).collect::<Vec<_>>();
        asked.sort();
        truth.sort();
        assert_eq!(asked, truth, "{}", run.name);
    }
}

#[test]
fn all_versions_report_the_same_failure_reasons() {
    for (case, cause) in [
        ("refused", "Error opening input: Connection refused"),
        ("pl404", "Error opening input: Server returned 404 Not Found"),
        ("nohost", "Failed to resolve hostname HOST: Name or service not known"),
        ("http_tlsopt", "Option tls_verify not found."),
        ("gone404", "Failed to reload playlist N"),
    ] {
        for run in runs(|_, name| name == case) {
            let reported = run.log.reasons().cause().map(|reason| reason.text.as_str());
            assert_eq!(reported, Some(cause), "{}: {:#?}", run.name, run.log.reasons());
        }
    }
    for run in runs(|_, case| case == "live_ts_trace") {
        assert_eq!(run.log.reasons().lines(), 0, "a healthy viewer has no reasons: {:#?}", run.log.reasons());
    }
}

#[test]
fn attempts_to_connect_are_counted() {
    for run in runs(|_, case| case == "refused") {
        let failed =
            |event: &Event| matches!(event, Event::ConnectFailed { error } if error == "Connection refused");
        let attempts = run.count(failed);
        assert!(attempts >= 3, "{attempts}");
        assert_eq!(run.count(|event| *event == Event::WillReconnect), attempts - 1);
    }
    for run in runs(|_, case| case == "nohost") {
        assert!(run.count(|event| matches!(event, Event::NameNotResolved { .. })) > 0, "{}", run.name);
    }
}

#[test]
fn progress_ends_at_the_time_of_the_status_line() {
    let cases = fs::read_dir(corpus()).unwrap().map(|version| version.unwrap().path().join("live_ts_trace"));
    let mut compared = 0;
    for case in cases.filter(|case| case.exists()) {
        let text =
            lines(&case.join("progress.log")).into_iter().flat_map(|(_, line)| line).collect::<Vec<_>>();
        let (mut parser, mut seen) = (Parser::new(), Vec::new());
        parser.feed(&text, &mut |block: Progress| seen.push(block));
        let reported =
            String::from_utf8(text).unwrap().lines().filter(|line| line.starts_with("progress=")).count();
        assert_eq!(seen.len(), reported);
        assert!(seen.windows(2).all(|pair| pair[0].media_time_us <= pair[1].media_time_us));
        assert!(seen.iter().rev().skip(1).all(|block| !block.end));
        let last = seen.last().unwrap();
        assert!(last.end && last.speed.unwrap() > 1.0, "{last:?}");
        // FFmpeg's last status line: `time=00:00:17.94`, cut to hundredths.
        let mut status =
            lines(&case.join("stderr.log")).into_iter().map(|(_, line)| String::from_utf8(line).unwrap());
        let status = status.rfind(|line| line.contains("Lsize=")).unwrap();
        let time = status.split("time=00:00:").nth(1).unwrap().split(' ').next().unwrap();
        let media_time = u64::try_from(last.media_time_us.unwrap()).unwrap() * 1000;
        assert!(media_time.abs_diff(nanoseconds(time)) < 10_000_000, "{last:?} {status}");
        compared += 1;
    }
    assert!(compared > 0);
}

/// An excerpt of a real log with every kind of line.
fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    for case in ["7.1/f404_trace", "5.1/chunk_trace", "7.1/trunc", "5.1/nohost"] {
        for (_, line) in lines(&corpus().join(case).join("stderr.log")).into_iter().skip(60).take(250) {
            bytes.extend(line);
        }
    }
    bytes
}

fn events(portions: &[&[u8]]) -> (Vec<Event>, String) {
    let (mut log, mut events) = (Log::new(true, 16), Vec::new());
    for portion in portions {
        log.feed(7, portion, &mut |event| events.push(event));
    }
    log.finish(&mut |event| events.push(event));
    let reasons = format!("{:?}", log.reasons().iter().collect::<Vec<_>>());
    (events, reasons)
}

/// FFmpeg 9.0 with OpenSSL: the handshake logs its last message after the request has been sent.
#[test]
fn tls_messages_do_not_end_a_pending_response() {
    let said = "[in#0 @ 0x1] [debug] Opening 'https://127.0.0.1:33599/stream.m3u8' for reading\n\
        [tcp @ 0x2] [verbose] Successfully connected to 127.0.0.1 port 33599\n\
        [tls @ 0x3] [debug] Info method=SSL_connect state=TWFIN(SSLv3/TLS write finished), where=4097, ret=1\n\
        [https @ 0x4] [debug] request: GET /stream.m3u8 HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1:33599\r\n\r\n\n\
        [tls @ 0x3] [debug] Info method=SSL_connect state=SSLOK(SSL negotiation finished successfully), where=4097, ret=1\n\
        [tls @ 0x3] [debug] Info method=SSL_connect state=TRST(SSLv3/TLS read server session ticket), where=4097, ret=1\n\
        [https @ 0x4] [trace] header='HTTP/1.1 206 Partial Content'\n[https @ 0x4] [trace] http_code=206\n\
        [https @ 0x4] [trace] header='Content-Length: 197'\n[https @ 0x4] [trace] header=''\n";
    let (events, _) = events(&[said.as_bytes()]);
    let exchanges: Vec<&Exchange> = events
        .iter()
        .filter_map(|event| if let Event::Exchange(exchange) = event { Some(exchange) } else { None })
        .collect();
    let [exchange] = exchanges[..] else { panic!("{exchanges:?}") };
    assert_eq!(
        (exchange.path.as_str(), exchange.status, exchange.ending),
        ("/stream.m3u8", Some(206), ExchangeEnd::Answered)
    );
    assert!(exchange.secure && !exchange.kept_connection && exchange.content_length == Some(197));
}

/// FFmpeg 9.0.2 reports the end of a kept connection before it sends the request again.
#[test]
fn a_kept_connection_that_ended_differs_from_a_server_that_does_not_respond() {
    let request =
        "[http @ 0x4] [debug] request: GET /3.ts HTTP/1.1\r\nConnection: keep-alive\r\nHost: h\r\n\r\n\n";
    let ended = "[http @ 0x4] [error] Error reading HTTP response: End of file\n\
        [AVIOContext @ 0x5] [verbose] Statistics: 294784 bytes read, 0 seeks\n\
        [http @ 0x4] [debug] Statistics: 1 connection, 2 requests, 0 retries, 0 reconnections, 0 redirects\n";
    let again = "[in#0/hls @ 0x1] [info] Opening 'http://h/3.ts' for reading\n";
    let other = "[in#0/hls @ 0x1] [info] Opening 'http://h/4.ts' for reading\n";
    let connected = "[tcp @ 0x2] [verbose] Successfully connected to 127.0.0.1 port 80\n";
    for (said, expected) in [
        ([request, ended, again].concat(), ExchangeEnd::Stale),
        ([request, ended, other].concat(), ExchangeEnd::Unanswered),
        ([connected, request, ended, again].concat(), ExchangeEnd::Unanswered),
    ] {
        let (events, _) = events(&[said.as_bytes()]);
        let ends = events.iter().filter_map(|event| match event {
            Event::Exchange(exchange) => Some(exchange.ending),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [expected], "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_the_bytes_yields_the_same_events(sizes in prop::collection::vec(1_usize..3000, 1..80)) {
        let bytes = sample();
        let mut portions = Vec::new();
        let (mut rest, mut sizes) = (bytes.as_slice(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (head, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            portions.push(head);
            rest = tail;
        }
        let whole = events(&[&bytes]);
        prop_assert!(whole.0.len() > 30, "{}", whole.0.len());
        prop_assert_eq!(events(&portions), whole);
    }

    #[test]
    fn no_input_panics(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::sample::select(vec![
                    "\n", "\r", "[", "[http @ 0x1] [trace] ", "[hls @ 0x2] [warning] ", "request: GET /a HTTP/1.1\r\n",
                    "http_code=200\n", "http_code=99999\n", "header='Content-Length: 18446744073709551616'\n",
                    "header='Transfer-Encoding: chunked'\n", "header=''\n", "header='", "Host: x\r\n",
                    "Chunked encoding data size: 18446744073709551615\n", "HTTP error 404\n", "ä\u{10ffff}", "://", "0x",
                    "keepalive request failed for 'a' with error: '", "[error] http://a: b\n", " @ 0xffffffffffffffff] ",
                    "Will reconnect at 1 in 2 second(s).\n", "Stream ends prematurely at 1, should be 2\n",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..80,
        )
    ) {
        let bytes = parts.concat();
        let whole = events(&[&bytes]);
        let single = bytes.chunks(1).collect::<Vec<_>>();
        prop_assert_eq!(events(&single), whole);
    }
}

#[test]
fn a_flood_of_lines_is_cheap_to_parse() {
    let line = b"[hls @ 0x1] [warning] skipping 2 segments ahead, expired from playlists\n";
    let flood = line.repeat(1000);
    let mut log = Log::new(false, 16);
    let mut missed = 0;
    for at_ns in 0..200 {
        log.feed(at_ns, &flood, &mut |event| missed += u32::from(event == Event::FellBehind { segments: 2 }));
    }
    assert_eq!(missed, 200_000);
    let reasons = log.reasons().iter().collect::<Vec<_>>();
    assert_eq!(reasons.len(), 1);
    assert_eq!((reasons[0].count, reasons[0].last_ns), (200_000, 199));
    assert_eq!(reasons[0].text, "skipping N segments ahead, expired from playlists");
}
