//! Streams of the field that play as they are: one viewer on each, whose figures equal those of the server. The rows of
//! [`LIVE`] and [`VODS`] say what is unusual about each. ffmpeg must be installed: without it these tests fail, they do not skip.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Served, Server, Then};
use hls_swarm_test_support::swarm::{Outcome, Swarm};

/// What a viewer of a stream sees, beside counts that equal the server's.
#[derive(Clone, Copy, PartialEq)]
enum Plays {
    /// Everything arrives.
    Whole,
    /// It arrives as far as the server lets it.
    Partly,
    /// Media ends, and playback stalls.
    Stalls,
}

/// The path of a stream, what viewers see, and what is unusual about it.
type Row = (&'static str, Plays, &'static str);

const LIVE: [Row; 19] = [
    ("/ads-live.m3u8", Plays::Whole, "the same, live"),
    ("/ladder.m3u8", Plays::Whole, "twelve variants, live"),
    ("/slate.m3u8", Plays::Whole, "one name for all segments"),
    ("/one.m3u8", Plays::Whole, "one segment in the playlist"),
    ("/two.m3u8", Plays::Whole, "two segments in the playlist"),
    ("/get.php?list", Plays::Whole, "addresses that are a query alone"),
    ("/strokes.m3u8", Plays::Whole, "addresses that begin with //host"),
    ("/no-end.m3u8", Plays::Stalls, "a VOD without EXT-X-ENDLIST"),
    ("/6-of-1.m3u8", Plays::Whole, "segments of 6 s with a target duration of 1 s"),
    ("/6-of-6.m3u8", Plays::Whole, "segments of 6 s"),
    ("/6-of-60.m3u8", Plays::Whole, "segments of 6 s with a target duration of 60 s"),
    ("/10-of-10.m3u8", Plays::Whole, "segments of 10 s"),
    ("/busy.m3u8", Plays::Partly, "429 with Retry-After now and then"),
    ("/expired.m3u8", Plays::Partly, "signed addresses that expire"),
    ("/elsewhere.m3u8", Plays::Whole, "segments on another host name"),
    ("/moved.m3u8", Plays::Whole, "a redirect to another host name"),
    ("/tokens.m3u8", Plays::Whole, "a new token in each playlist"),
    ("/fragment.m3u8#t=10", Plays::Whole, "a fragment, which is not sent"),
    ("http://b\u{fc}cher.example/idn.m3u8", Plays::Whole, "an internationalized host name"),
];

const VODS: [Row; 8] = [
    ("/ads-vod.m3u8", Plays::Whole, "advertisements: time stamps and video size jump at discontinuities"),
    ("/wrap.m3u8", Plays::Whole, "time stamps wrap at 33 bits"),
    ("/range-ts.m3u8", Plays::Whole, "byte ranges of one file, before EXTINF and without offsets"),
    ("/range-mp4.m3u8", Plays::Whole, "byte ranges of one file, initialization section included"),
    ("/short.m3u8", Plays::Whole, "a VOD of 3 s, which is played again and again"),
    ("/tiny.m3u8", Plays::Whole, "a VOD of 1 s"),
    ("/hole.m3u8", Plays::Partly, "a segment of a VOD is missing"),
    ("/vod-type.m3u8", Plays::Partly, "the same with EXT-X-PLAYLIST-TYPE:VOD"),
];

/// Segments of one second, and the initialization section of MP4.
struct Media {
    content: Vec<Vec<u8>>,
    advertisement: Vec<Vec<u8>>,
    wraps: Vec<Vec<u8>>,
    mp4: Vec<Vec<u8>>,
    init: Vec<u8>,
}

const SECONDS: usize = 60;

fn encoded(arguments: &[&str], name: &str, last: &[&str]) -> (Vec<Vec<u8>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.current_dir(folder.path()).args(["-v", "error", "-f", "lavfi"]).args(arguments).args(last);
    let output = ffmpeg.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let segments = (0..)
        .map_while(|number| std::fs::read(folder.path().join(name.replace("%d", &number.to_string()))).ok());
    (segments.collect(), folder)
}

impl Media {
    fn new() -> Self {
        let ts = |input: &str, seconds: &str, more: &[&str]| {
            let codec = ["-i", input, "-t", seconds, "-c:v", "mpeg2video", "-g", "10"];
            let last = ["-f", "segment", "-segment_time", "1", "%d.ts"];
            encoded(&codec, "%d.ts", &[more, &last].concat()).0
        };
        let codec = ["-i", "testsrc=size=160x90:rate=10", "-t", "20", "-c:v", "mpeg4", "-g", "10"];
        let list = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_segment_type", "fmp4"];
        let names = ["-hls_segment_filename", "%d.m4s", "list.m3u8"];
        let (mp4, folder) = encoded(&codec, "%d.m4s", &[&list[..], &names].concat());
        Self {
            content: ts("testsrc=size=160x90:rate=10", &SECONDS.to_string(), &[]),
            advertisement: ts("testsrc2=size=320x240:rate=10", "9", &[]),
            // The clock of 90 kHz wraps after 95443.7 s.
            wraps: ts("testsrc=size=160x90:rate=10", "20", &["-output_ts_offset", "95439"]),
            mp4,
            init: std::fs::read(folder.path().join("init.mp4")).unwrap(),
        }
    }
}

/// A response that names the kind of the requested object in a field of its own.
fn answer(kind: &str, status: &str, fields: &str, body: &[u8]) -> Answer {
    let content_type = if kind == "manifest" { "application/vnd.apple.mpegurl" } else { "video/mp2t" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nX-Kind: {kind}\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    );
    Answer::new([head.as_bytes(), body].concat(), Then::Keep)
}

fn list(text: &str) -> Answer {
    answer("manifest", "200 OK", "", text.as_bytes())
}

fn segment(body: &[u8]) -> Answer {
    answer("segment", "200 OK", "", body)
}

fn refused(kind: &str, status: &str) -> Answer {
    answer(kind, status, "Retry-After: 2\r\n", b"")
}

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n";

fn vod(seconds: usize, entry: impl Fn(usize) -> String) -> String {
    let segments: String = (0..seconds).map(|number| format!("{}\n", entry(number))).collect();
    format!("{HEAD}{segments}#EXT-X-ENDLIST\n")
}

/// A live playlist of `listed` segments of `seconds` with this target duration, `age` seconds after the start.
fn live(
    age: f64,
    listed: usize,
    (seconds, target): (usize, usize),
    entry: impl Fn(usize) -> String,
) -> String {
    let end = (3.0 + age / seconds as f64) as usize;
    let first = end.saturating_sub(listed);
    let segments: String =
        (first..end).map(|number| format!("#EXTINF:{seconds},\n{}\n", entry(number))).collect();
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}"
    )
}

/// Three segments of content, three of an advertisement, and so on.
fn with_breaks(first: usize, end: usize) -> String {
    let entry = |number: usize| {
        let tag = if number > first && number.is_multiple_of(3) { "#EXT-X-DISCONTINUITY\n" } else { "" };
        let kind = if (number / 3).is_multiple_of(2) { "content" } else { "ad" };
        format!("{tag}#EXTINF:1,\n{kind}/{number}.ts\n")
    };
    (first..end).map(entry).collect()
}

/// What advertising and dates bring into a playlist.
fn tags(age: f64) -> String {
    let dated = |number: usize| {
        format!(
            "#EXT-X-PROGRAM-DATE-TIME:20{}-02-30T25:61:00.000+0200\n#EXT-X-DATERANGE:ID=\"ad,{number}\",\
             START-DATE=\"2026-01-01T00:00:00Z\",DURATION=3.0,SCTE35-OUT=0xFC30,X-A=\"b'c\"\n\
             #EXT-OATCLS-SCTE35:/DAlAAAA\n#EXT-X-CUE-OUT:DURATION=30\n#EXT-X-BITRATE:100\n#EXT-X-WHATEVER\n",
            10 + number % 20
        )
    };
    let entry = |number: usize| format!("{}content/{number}.ts   ", dated(number));
    live(age, 6, (1, 1), entry).replace("#EXTINF:1,\n", "#EXTINF:1,Ti,tle \"x\" #EXTINF:9\n\n")
}

const TAGGED: &str = "#EXTM3U\n\n## made manually\n#EXT-X-SESSION-DATA:DATA-ID=\"t\",VALUE=\"A, = #C\"\n\
    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"nokey\"\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s?a=1\",PATHWAY-ID=\"A\"\n\
    #EXT-X-START:TIME-OFFSET=-6.5,PRECISE=YES\n#EXT-X-STREAM-INF:BANDWIDTH=200000,CODECS=\"mp2v\",PATHWAY-ID=\"A\",\
    NAME=\"lo=w, yes\"\n\n# between\ntagged.m3u8\n#ext-x-stream-inf:bandwidth=1\n";

/// The file of all ranges, and where each of them begins and how long it is.
fn ranges(parts: &[&[u8]]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let place = |at: &mut usize, part: &&[u8]| {
        let first = *at;
        *at += part.len();
        Some((first, part.len()))
    };
    let places = parts.iter().scan(0, place).collect();
    (parts.concat(), places)
}

fn ranged(head: &str, file: &[u8]) -> Answer {
    let range = head.lines().find_map(|line| line.strip_prefix("Range: bytes=")).unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(file.len() - 1).min(file.len() - 1);
    let kind = if first == 0 && file.get(4..8) == Some(b"ftyp") { "init" } else { "segment" };
    let field = format!("Content-Range: bytes {first}-{last}/{}\r\n", file.len());
    answer(kind, "206 Partial Content", &field, &file[first..=last])
}

/// Serves all streams from now on.
fn origin(media: Media) -> impl Fn(&str, &str, usize) -> Answer + Send + Sync {
    let (began, reloads) = (Instant::now(), AtomicUsize::new(0));
    let ts: Vec<&[u8]> = media.content.iter().take(20).map(Vec::as_slice).collect();
    let (one_ts, in_ts) = ranges(&ts);
    let mp4: Vec<&[u8]> = std::iter::once(&media.init).chain(&media.mp4).map(Vec::as_slice).collect();
    let (one_mp4, in_mp4) = ranges(&mp4);
    move |target, head, _| {
        let age = began.elapsed().as_secs_f64();
        let content = |number: usize| format!("content/{number}.ts");
        let timed = |number: usize| format!("#EXTINF:1,\ncontent/{number}.ts");
        let at = |prefix: String| move |number: usize| format!("{prefix}/content/{number}.ts");
        let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
        let port = host.rsplit(':').next().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = |path: &str| path.rsplit('/').next()?.split('.').next()?.parse::<usize>().ok();
        let variants: String =
            (1..13).map(|one| format!("#EXT-X-STREAM-INF:BANDWIDTH={one}00000\nv/{one}.m3u8\n")).collect();
        match path {
            "/ads-vod.m3u8" => list(&format!("{HEAD}{}#EXT-X-ENDLIST\n", with_breaks(0, SECONDS))),
            "/ads-live.m3u8" => {
                let end = 4 + age as usize;
                let first = end.saturating_sub(6);
                let breaks = (1..=first).filter(|number| number.is_multiple_of(3)).count();
                list(&format!(
                    "{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n{}",
                    with_breaks(first, end)
                ))
            }
            "/wrap.m3u8" => list(&vod(20, |number| format!("#EXTINF:1,\nwrap/{number}.ts"))),
            "/range-ts.m3u8" => list(&vod(20, |number| {
                let (first, length) = in_ts[number];
                let offset = if number == 0 { format!("@{first}") } else { String::new() };
                format!("#EXT-X-BYTERANGE:{length}{offset}\n#EXTINF:1,\none.ts")
            })),
            "/range-mp4.m3u8" => {
                let map = format!("#EXT-X-MAP:URI=\"one.mp4\",BYTERANGE=\"{}@0\"\n", in_mp4[0].1);
                let text = vod(in_mp4.len() - 1, |number| {
                    let (first, length) = in_mp4[number + 1];
                    format!("#EXTINF:1,\n#EXT-X-BYTERANGE:{length}@{first}\none.mp4")
                });
                list(&text.replace(HEAD, &format!("{HEAD}{map}")))
            }
            "/one.ts" => ranged(head, &one_ts),
            "/one.mp4" => ranged(head, &one_mp4),
            "/ladder.m3u8" => list(&format!("#EXTM3U\n{variants}")),
            path if path.starts_with("/v/") => list(&live(age, 6, (1, 1), at(String::new()))),
            "/slate.m3u8" => list(&live(age, 5, (1, 1), |_| "#EXT-X-DISCONTINUITY\ncontent/7.ts".to_owned())),
            "/one.m3u8" => list(&live(age, 1, (1, 1), content)),
            "/two.m3u8" => list(&live(age, 2, (1, 1), content)),
            "/tags.m3u8" => list(TAGGED),
            "/tagged.m3u8" => list(&tags(age)),
            "/short.m3u8" => list(&vod(3, timed)),
            "/tiny.m3u8" => list(&vod(1, timed)),
            "/hole.m3u8" => list(&vod(SECONDS, timed).replace("content/4.ts", "content/gone.ts")),
            "/get.php" if query == "list" => list("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=200000\n?media\n"),
            "/get.php" if query == "media" => list(&live(age, 6, (1, 1), |number| format!("?seg={number}"))),
            "/get.php" => segment(
                &media.content[query.strip_prefix("seg=").unwrap().parse::<usize>().unwrap() % SECONDS],
            ),
            "/strokes.m3u8" => list(&live(age, 6, (1, 1), at(format!("//127.0.0.1:{port}")))),
            "/no-end.m3u8" => list(&vod(20, timed).replace("#EXT-X-ENDLIST\n", "")),
            "/vod-type.m3u8" => {
                let text = vod(20, timed).replace("#EXT-X-ENDLIST\n", "");
                list(&text.replace(HEAD, &format!("{HEAD}#EXT-X-PLAYLIST-TYPE:VOD\n")))
            }
            "/busy.m3u8" if reloads.fetch_add(1, Ordering::Relaxed) % 7 == 6 => {
                refused("manifest", "429 Too Many Requests")
            }
            "/expired.m3u8" | "/signed.ts" if age > 9.0 => {
                let kind = if path == "/signed.ts" { "segment" } else { "manifest" };
                refused(kind, "403 Forbidden")
            }
            "/expired.m3u8" => list(&live(age, 6, (1, 1), |number| format!("signed.ts?n={number}&sig=a"))),
            "/signed.ts" => segment(&media.content[7]),
            "/elsewhere.m3u8" => list(&live(age, 6, (1, 1), at(format!("http://localhost:{port}")))),
            "/moved.m3u8" => {
                let to = format!("Location: http://localhost:{port}/moved-to.m3u8\r\n");
                answer("manifest", "302 Found", &to, b"")
            }
            "/tokens.m3u8" => {
                let token = (age * 1000.0) as u64;
                list(&live(age, 6, (1, 1), |number| format!("content/{number}.ts?t={token}")))
            }
            "/idn.m3u8" if !host.starts_with("xn--bcher-kva.example") => {
                refused("manifest", "421 Misdirected Request")
            }
            "/busy.m3u8" | "/moved-to.m3u8" | "/fragment.m3u8" | "/idn.m3u8" | "/six.m3u8" => {
                list(&live(age, 6, (1, 1), content))
            }
            path if path.contains("-of-") => {
                let (seconds, target) = path[1..].split_once("-of-").unwrap();
                let seconds: usize = seconds.parse().unwrap();
                let target = target.trim_end_matches(".m3u8").parse().unwrap();
                list(&live(age, 4, (seconds, target), |number| format!("long/{seconds}/{number}.ts")))
            }
            path if path.starts_with("/long/") => {
                let seconds: usize = path.split('/').nth(2).unwrap().parse().unwrap();
                let first = number(path).unwrap() * seconds;
                segment(
                    &(first..first + seconds)
                        .flat_map(|one| media.content[one % SECONDS].clone())
                        .collect::<Vec<u8>>(),
                )
            }
            path => match (path.split('/').nth(1), number(path)) {
                (Some("content"), Some(number)) => segment(&media.content[number % SECONDS]),
                (Some("ad"), Some(number)) => segment(&media.advertisement[number % 3]),
                (Some("wrap"), Some(number)) => segment(&media.wraps[number]),
                _ => refused("segment", "404 Not Found"),
            },
        }
    }
}

/// A field of the head of a response.
fn field<'a>(sent: &'a Served, name: &str) -> &'a str {
    let head = std::str::from_utf8(&sent.sent[..sent.head_bytes() as usize]).unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)).unwrap()
}

/// How the counts of a viewer differ from what the server sent to it.
fn differences(row: &Value, served: &[&Served], in_flight: bool) -> Vec<String> {
    let (mut kinds, mut statuses) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    for one in served {
        *kinds.entry(field(one, "X-Kind: ").to_owned()).or_default() += 1;
        *statuses.entry(field(one, "HTTP/1.1 ")[..3].to_owned()).or_default() += 1;
    }
    let counted = |of: &Value| -> BTreeMap<String, u64> {
        let of = of.as_object().unwrap().iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap()));
        of.filter(|(name, count)| *count > 0 && name != "total").collect()
    };
    let mut differences = Vec::new();
    let (requests, answers) = (counted(&row["requests"]), counted(&row["http_status"]));
    if requests != kinds {
        differences.push(format!("requests {requests:?} instead of {kinds:?}"));
    }
    if answers != statuses && !in_flight {
        differences.push(format!("statuses {answers:?} instead of {statuses:?}"));
    }
    let sent: u64 = served.iter().map(|one| one.body_bytes()).sum();
    let read: u64 = counted(&row["bytes"]).values().sum();
    if read != sent && !(in_flight && read < sent) {
        differences.push(format!("{read} bytes instead of {sent}"));
    }
    differences
}

/// Plays the streams by one viewer each. Returns the outcome and the requests of each viewer.
fn play(server: Server, streams: &[String], arguments: &[&str]) -> (Outcome, Vec<Vec<Served>>) {
    let clients = streams.len().to_string();
    let streams: Vec<&str> = streams.iter().flat_map(|url| ["--stream", url]).collect();
    let load = ["--clients", &clients, "--ramp-rate", "50", "--ramp-jitter", "0s", "--error-storm", "off"];
    let outcome = Swarm::new(&[&load[..], arguments, &streams].concat()).run();
    let served = server.served();
    let of = |viewer: usize| {
        let agent = format!("/client-{viewer}\r\n");
        served.iter().filter(|one| one.head.contains(&agent)).cloned().collect()
    };
    let by_viewer = (1..=streams.len() / 2).map(of).collect();
    (outcome, by_viewer)
}

/// The share of their lives for which viewers may wait for a processor without any effect on playback.
const MOST_WAITING: f64 = 0.1;
/// The same for the longest wait of one viewer, seconds: segments last for a second.
const LONGEST_WAIT: f64 = 0.3;

/// Plays the streams of a table, and asserts that each viewer's figures are as they should be.
fn assert_played_and_counted(table: &[Row]) -> Outcome {
    let server = Server::start_by_head(origin(Media::new()));
    let port = server.port;
    let streams: Vec<String> = table
        .iter()
        .map(|(path, _, _)| match path.strip_prefix("http://") {
            Some(rest) => format!("http://{}", rest.replacen('/', &format!(":{port}/"), 1)),
            None => server.url(path),
        })
        .collect();
    let resolve = ["localhost", "xn--bcher-kva.example"].map(|name| format!("{name}:{port}:127.0.0.1"));
    let resolve = ["--resolve", &resolve[0], "--resolve", &resolve[1], "--allow-host", "127.0.0.1"];
    let hosts = ["--allow-host", "localhost", "--allow-host", "xn--bcher-kva.example"];
    let (outcome, served) = play(server, &streams, &[&resolve[..], &hosts, &["--duration", "16s"]].concat());
    let waits = &outcome.report["generator"]["waits"];
    let [waited, lived] =
        ["viewer_wait_seconds", "viewer_sampled_seconds"].map(|name| waits[name].as_f64().unwrap());
    let longest = outcome.report.pointer("/latency_error_seconds/max").and_then(Value::as_f64);
    let valid = outcome.report["invalid_because"].as_array().is_some_and(Vec::is_empty)
        && waited < MOST_WAITING * lived
        && longest.is_none_or(|longest| longest < LONGEST_WAIT);
    let in_flight = outcome.number("/in_flight_at_stop") > 0.0;
    let mut wrong = Vec::new();
    for (place, (path, plays, what)) in table.iter().enumerate() {
        let row = &outcome.report["per_viewer"][place];
        let served: Vec<&Served> = served[place].iter().collect();
        let mut found = differences(row, &served, in_flight);
        if served.iter().any(|one| one.target.contains('#')) {
            found.push("a fragment was sent".to_owned());
        }
        let media = row["media_seconds"].as_f64().unwrap();
        // Absent where viewers play a VOD without the buffer of a player.
        let stalled = row["stalled_seconds"].as_f64();
        let missing = row["missing_seconds"].as_f64().unwrap_or(0.0);
        let as_expected = match plays {
            Plays::Whole => media > 6.0 && missing == 0.0 && stalled.is_none_or(|stalled| stalled < 1.0),
            Plays::Partly => media > 1.5,
            Plays::Stalls => media > 1.5 && stalled.is_some_and(|stalled| stalled > 3.0),
        };
        // Viewers that did not get a processor in time play less; counts are exact all the same.
        if valid && !as_expected {
            found.push(format!("{media} s of media, {stalled:?} s stalled, {missing} s missing"));
        }
        wrong.extend(found.into_iter().map(|found| format!("{path} ({what}): {found}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}\n{}", outcome.stdout, outcome.stderr);
    outcome
}

#[test]
fn unusual_live_streams_play_and_counts_equal_the_servers() {
    let outcome = assert_played_and_counted(&LIVE);
    assert_eq!(outcome.number("/insight/playlists/disagreed"), 0.0, "{}", outcome.stdout);
}

#[test]
fn unusual_vods_play_and_counts_equal_the_servers() {
    let outcome = assert_played_and_counted(&VODS);
    assert!(outcome.said().contains("gone.ts"), "the hole is named: {}", outcome.stdout);
}

#[test]
fn an_ipv6_address_is_played_as_it_is_written() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("NOT RUN: this machine has no IPv6");
        return;
    }
    let began = Instant::now();
    let media = Media::new();
    let server = Server::start_at(Ipv6Addr::LOCALHOST, move |target, _| {
        if target.ends_with(".m3u8") {
            return list(&live(began.elapsed().as_secs_f64(), 6, (1, 1), |number| format!("{number}.ts")));
        }
        let number: usize = target[1..].trim_end_matches(".ts").parse().unwrap();
        segment(&media.content[number % SECONDS])
    });
    let url = server.url("/live.m3u8");
    assert!(url.starts_with("http://[::1]:"), "{url}");
    let (outcome, served) = play(server, &[url], &["--duration", "6s"]);
    let of = &served[0].iter().collect::<Vec<_>>();
    let wrong = differences(&outcome.report["per_viewer"][0], of, outcome.number("/in_flight_at_stop") > 0.0);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(outcome.number("/requests/segment") > 3.0, "{}", outcome.stdout);
}

#[test]
fn a_vod_without_its_end_is_reported_as_standing_still() {
    let media = Media::new();
    let server = Server::start(move |target, _| match target {
        "/no-end.m3u8" => {
            let text = vod(20, |number| format!("#EXTINF:1,\n{number}.ts"));
            list(&text.replace("#EXT-X-ENDLIST\n", ""))
        }
        target => segment(&media.content[target[1..].trim_end_matches(".ts").parse::<usize>().unwrap()]),
    });
    let url = server.url("/no-end.m3u8");
    let (outcome, _) = play(server, &[url], &["--duration", "14s"]);
    outcome.assert_judged(4, "fail");
    assert!(outcome.said().contains("not updated for more than 1.5 x target duration"), "{}", outcome.stdout);
    assert!(outcome.elapsed > Duration::from_secs(10), "{}", outcome.stdout);
}
