//! Native viewers read some segments to check their media: streams of real FFmpeg, served by a real nginx, once as they are
//! and once with faults that the test has made. ffprobe is the ground truth of times.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_media::{Reader, Times};
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::program::program;
use hls_swarm_test_support::swarm::{Outcome, Swarm};

/// Segments of a stream, of 2 s each.
const SEGMENTS: usize = 4;

/// A VOD with B-frames, and the arguments that it has besides.
fn encode(folder: &Path, name: &str, more: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.current_dir(folder).args(["-nostdin", "-v", "error", "-y"]);
    ffmpeg.args(["-f", "lavfi", "-i", "testsrc=size=160x90:rate=25", "-f", "lavfi", "-i", "sine", "-t", "8"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "bframes=2:b-adapt=0"]);
    ffmpeg.args(["-threads", "1", "-g", "50", "-c:a", "aac"]);
    ffmpeg.args(["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]).args(more);
    let output = ffmpeg.arg(format!("{name}.m3u8")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn fragmented(folder: &Path, name: &str, more: &[&str]) {
    let init = format!("{name}.mp4");
    let own = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", &init];
    encode(folder, name, &[&own, more].concat());
}

/// The decode times and durations of a file's video, seconds, by ffprobe.
fn packets(file: &Path) -> Vec<(f64, f64)> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=dts_time,duration_time"]);
    let output = ffprobe.args(["-of", "csv=p=0"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let seconds = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<f64>().unwrap());
        (fields.next().unwrap(), fields.next().unwrap())
    };
    text.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty()).map(seconds).collect()
}

fn times(body: &[u8], init: Option<&[u8]>) -> Times {
    let read = |bytes: &[u8]| {
        let mut reader = Reader::new();
        bytes.chunks(1000).for_each(|piece| reader.take(piece));
        reader
    };
    let init = init.map(read);
    let tracks = init.as_ref().map(|init| init.tracks().unwrap());
    read(body).times(tracks).unwrap()
}

fn assert_times(times: Times, file: &Path) {
    let packets = packets(file);
    let [(first, _), .., (last, duration)] = packets[..] else { panic!("{packets:?}") };
    let near = |us: u64, seconds: f64| (us as f64 / 1e6 - seconds).abs() < 0.001;
    assert!(near(times.start_us, first), "{times:?}, ffprobe: {first}");
    let lasts = times.duration_us.unwrap();
    assert!(near(lasts, last + duration - first), "{times:?}, ffprobe: {first} to {last} + {duration}");
}

#[test]
fn times_are_those_of_ffprobe() {
    let home = TempDir::new().unwrap();
    let folder = home.path();
    encode(folder, "ts", &["-output_ts_offset", "40"]);
    fragmented(folder, "mp4", &[]);
    let init = fs::read(folder.join("mp4.mp4")).unwrap();
    for number in 0..SEGMENTS {
        let file = folder.join(format!("ts{number}.ts"));
        assert_times(times(&fs::read(&file).unwrap(), None), &file);
        // ffprobe needs the initialization section in the same file.
        let body = fs::read(folder.join(format!("mp4{number}.m4s"))).unwrap();
        let whole = folder.join("whole.mp4");
        fs::write(&whole, [&init, &body[..]].concat()).unwrap();
        assert_times(times(&body, Some(&init)), &whole);
    }
}

/// Plays a stream of nginx with two native viewers.
fn play(nginx: &Nginx, path: &str, more: &[&str]) -> Outcome {
    let url = format!("http://127.0.0.1:{}/{path}", nginx.plain);
    let arguments = ["--engine", "native", "--clients", "2", "--ramp-rate", "10", "--duration", "5s"];
    Swarm::new(&[&arguments, more, &[&url]].concat()).run()
}

/// The counts of wrong durations, gaps, and differing bodies, and the sentences about them.
fn found(outcome: &Outcome) -> ([u64; 3], Vec<String>) {
    let counted = ["/segment_durations_wrong", "/timestamp_gaps", "/bodies_differing"]
        .map(|figure| outcome.number(figure) as u64);
    let warnings = outcome.report["warnings"].as_array().cloned().unwrap_or_default();
    (counted, warnings.iter().map(|warning| warning.as_str().unwrap().to_owned()).collect())
}

fn deviations(outcome: &Outcome) -> Vec<(String, String, f64)> {
    let rows = outcome.report["content_checks"]["deviations"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rounded = |row: &Value| (row["deviation_seconds"].as_f64().unwrap() * 10.0).round() / 10.0;
    let mut rows: Vec<_> =
        rows.iter().map(|row| (text(row, "name"), text(row, "kind"), rounded(row))).collect();
    rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    rows
}

/// Replaces text in a file that has it once.
fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Makes a segment last 3.5 s by its EXTINF, which is still below the target duration.
fn falsify(playlist: &Path, segment: &str) {
    replace(playlist, &format!("#EXTINF:2.000000,\n{segment}"), &format!("#EXTINF:3.500000,\n{segment}"));
    replace(playlist, "#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:4");
}

/// Moves the media of a segment of fMP4 by 30 s: the first `tfdt` of each fragment, which is that of the video.
fn shift(segment: &Path, init: &Path) {
    let mut reader = Reader::new();
    reader.take(&fs::read(init).unwrap());
    let video = reader.tracks().unwrap().0.iter().find(|track| track.is_video).copied().unwrap();
    let mut body = fs::read(segment).unwrap();
    let fragments: Vec<usize> =
        body.windows(4).enumerate().filter(|(_, kind)| *kind == b"moof").map(|(at, _)| at).collect();
    for fragment in fragments {
        let at = fragment + body[fragment..].windows(4).position(|kind| kind == b"tfdt").unwrap() + 8;
        // Version 1 (the byte behind the type) has 64 bits.
        assert_eq!(body[at - 4], 1);
        let time = u64::from_be_bytes(body[at..at + 8].try_into().unwrap()) + 30 * u64::from(video.timescale);
        body[at..at + 8].copy_from_slice(&time.to_be_bytes());
    }
    fs::write(segment, body).unwrap();
}

#[test]
fn a_stream_without_faults_has_no_findings() {
    let home = TempDir::new().unwrap();
    let www = home.path().join("www");
    encode(&www, "ts", &[]);
    fragmented(&www, "mp4", &[]);
    let rates = "BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1900000";
    for name in ["ts", "mp4"] {
        let main = format!("#EXTM3U\n#EXT-X-STREAM-INF:{rates}\n{name}.m3u8\n");
        fs::write(www.join(format!("{name}-main.m3u8")), main).unwrap();
    }
    let nginx = Nginx::start(home.path(), Site::default());
    for name in ["ts", "mp4"] {
        let outcome = play(&nginx, &format!("{name}-main.m3u8"), &[]);
        let checks = &outcome.report["content_checks"];
        assert_eq!((&checks["segments"], &checks["unread"]), (&SEGMENTS.into(), &Value::Null), "{checks:#}");
        assert_eq!(checks["compared"], SEGMENTS, "each of two viewers has read each segment");
        let (counted, warnings) = found(&outcome);
        assert_eq!(counted, [0; 3], "{warnings:?} {checks:#}");
        assert_eq!(outcome.number("/segment_durations_wrong"), 0.0);
        // What a segment lasts by its playlist is 2 s.
        let sizes = (0..SEGMENTS).map(|number| {
            let end = if name == "ts" { "ts" } else { "m4s" };
            fs::metadata(www.join(format!("{name}{number}.{end}"))).unwrap().len() as f64
        });
        let sizes: Vec<f64> = sizes.collect();
        let near = |bits: &Value, bytes: f64| (bits.as_f64().unwrap() - bytes * 8.0 / 2.0).abs() < 1.0;
        let row = &checks["bit_rates"][0];
        assert!(near(&row["peak"], sizes.iter().copied().fold(0.0, f64::max)), "{row} {sizes:?}");
        assert!(near(&row["average"], sizes.iter().sum::<f64>() / SEGMENTS as f64), "{row} {sizes:?}");
        assert!(!outcome.stdout.contains("higher bit rate"), "{}", outcome.stdout);
    }
}

#[test]
fn wrong_durations_shifted_timestamps_and_exceeded_bandwidths_are_found() {
    let home = TempDir::new().unwrap();
    let (www, other) = (home.path().join("www"), home.path().join("other"));
    encode(&www, "ts", &[]);
    encode(&other, "ts", &["-output_ts_offset", "30"]);
    fragmented(&www, "mp4", &[]);
    for name in ["ts", "mp4"] {
        let end = if name == "ts" { "ts" } else { "m4s" };
        let segment = |number: usize| format!("{name}{number}.{end}");
        let playlist = www.join(format!("{name}.m3u8"));
        falsify(&playlist, &segment(0));
        match name {
            "ts" => drop(fs::copy(other.join(segment(2)), www.join(segment(2))).unwrap()),
            _ => shift(&www.join(segment(2)), &www.join("mp4.mp4")),
        }
        let rates = "BANDWIDTH=20000,AVERAGE-BANDWIDTH=1900000";
        let main = format!("#EXTM3U\n#EXT-X-STREAM-INF:{rates}\n{name}.m3u8\n");
        fs::write(www.join(format!("{name}-main.m3u8")), main).unwrap();
    }
    let nginx = Nginx::start(home.path(), Site::default());
    for name in ["ts", "mp4"] {
        let limits =
            ["--threshold", "segment_durations_wrong==0", "--threshold", "variants_over_bandwidth==0"];
        let outcome = play(&nginx, &format!("{name}-main.m3u8"), &limits);
        let end = if name == "ts" { "ts" } else { "m4s" };
        let at = |number: usize, kind: &str, seconds: f64| {
            (format!("{name}{number}.{end}"), kind.to_owned(), seconds)
        };
        let shift = 30.0 - deviations(&outcome).iter().find(|one| one.1 == "gap").map_or(0.0, |one| one.2);
        // FFmpeg shifts MPEG-TS by 30 s, give or take a few frames.
        assert!(shift.abs() < 1.5, "{shift}");
        let gap = 30.0 - shift;
        let wanted = [at(0, "duration", -1.5), at(2, "gap", gap), at(3, "overlap", gap)];
        assert_eq!(deviations(&outcome), wanted, "{:#}", outcome.report["content_checks"]);
        let (counted, _) = found(&outcome);
        assert_eq!(counted, [1, 2, 0]);
        let row = &outcome.report["content_checks"]["bit_rates"][0];
        assert!(row["peak"].as_f64().unwrap() > 20_000.0, "{row}");
        for criterion in ["segment_durations_wrong", "variants_over_bandwidth"] {
            assert!(outcome.stdout.contains(&format!("✗ {criterion}")), "{}", outcome.stdout);
        }
        for text in ["wrong EXTINF", "do not continue", "higher bit rate"] {
            assert!(outcome.stdout.contains(text), "{text} in {}", outcome.stdout);
        }
    }
}

#[test]
fn edges_that_serve_other_bytes_are_named() {
    let home = TempDir::new().unwrap();
    let (www, other) = (home.path().join("www"), home.path().join("other"));
    encode(&www, "ts", &[]);
    fs::create_dir(&other).unwrap();
    for file in fs::read_dir(&www).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, other.join(file.file_name().unwrap())).unwrap();
    }
    // A null packet more: nothing that a player would notice.
    let mut body = fs::read(www.join("ts1.ts")).unwrap();
    let null = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
    body.extend(&null);
    fs::write(other.join("ts1.ts"), &body).unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let edge = |address: &str, root: &Path| {
        format!("server {{ listen {address}:{port}; root {}; }}", root.display())
    };
    let http = [edge("127.0.0.1", &www), edge("127.0.0.2", &other)].concat();
    let _nginx = Nginx::start(home.path(), Site { http: &http, ..Site::default() });
    // What is compared is the URL without the token.
    let url = format!("http://edge.test:{port}/ts.m3u8?token=1");
    let resolve = format!("edge.test:{port}:127.0.0.1,127.0.0.2");
    let arguments = ["--engine", "native", "--clients", "2", "--ramp-rate", "10", "--duration", "5s"];
    let outcome = Swarm::new(&[&arguments[..], &["--resolve", &resolve, &url]].concat()).run();
    let (counted, warnings) = found(&outcome);
    assert_eq!(counted, [0, 0, 1], "{warnings:?}");
    let differing = &outcome.report["content_checks"]["differing"];
    assert_eq!((differing.as_array().unwrap().len(), &differing[0]["name"]), (1, &"ts1.ts".into()));
    let mut bodies: Vec<(u64, &str, String)> = differing[0]["bodies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let hash = one["sha256"].as_str().unwrap().to_owned();
            (one["bytes"].as_u64().unwrap(), one["edges"][0].as_str().unwrap(), hash)
        })
        .collect();
    bodies.sort();
    let sum = |folder: &Path| {
        let output = Command::new("sha256sum").arg(folder.join("ts1.ts")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..16].to_owned()
    };
    let length = body.len() as u64;
    let wanted = [(length - 188, "127.0.0.1", sum(&www)), (length, "127.0.0.2", sum(&other))];
    assert_eq!(bodies, wanted);
}

#[test]
fn segments_that_are_encrypted_are_compared_and_their_times_are_not() {
    let home = TempDir::new().unwrap();
    let www = home.path().join("www");
    encode(&www, "ts", &["-hls_enc", "1", "-hls_enc_key", "000102030405060708090a0b0c0d0e0f"]);
    let nginx = Nginx::start(home.path(), Site::default());
    let outcome = play(&nginx, "ts.m3u8", &[]);
    let checks = &outcome.report["content_checks"];
    assert_eq!((&checks["segments"], &checks["compared"]), (&SEGMENTS.into(), &SEGMENTS.into()));
    assert_eq!(checks["unread"]["encrypted (AES-128)"], SEGMENTS, "{checks:#}");
    assert_eq!(found(&outcome).0, [0; 3]);
}
