//! The low-latency origin, with FFmpeg and nginx and embedded: blocking reloads, delta updates, announced parts, and that
//! the parts of a segment are the segment.

use std::time::{Duration, Instant};

use hls_swarm_hls::playlist::{Media, Playlist, read};
use hls_swarm_test_support::http::Connection;
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::waiting::eventually;
use url::Url;

/// Ten frames per second, so that a part of 500 ms has five, and two variants.
const LOW_LATENCY: [&str; 4] = ["--profile", "ll-hls", "--list-size", "9"];
const VARIANTS: [&str; 2] = ["--ladder", "80x46@50"];

/// A viewer's connections: one for playlists, one for parts.
struct Viewer {
    lists: Connection,
    parts: Connection,
}

impl Viewer {
    fn new(origin: &Origin) -> Self {
        let open = || Connection::open(origin.port()).unwrap();
        Self { lists: open(), parts: open() }
    }

    fn list(&mut self, query: &str) -> (Media, String) {
        let answer = self.lists.ask("GET", &format!("/stream.m3u8{query}")).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{query}: {text}");
        let reading = read(&text, &Url::parse("http://origin/stream.m3u8").unwrap()).unwrap();
        assert_eq!(reading.warnings, [], "{text}");
        let Playlist::Media(media) = reading.playlist else { panic!("{text}") };
        (media, text)
    }

    fn part(&mut self, uri: &str) -> Vec<u8> {
        let answer = self.parts.ask("GET", &format!("/{uri}")).unwrap();
        assert_eq!(answer.status, 200, "{uri}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60, immutable"), "{uri}");
        answer.body
    }
}

/// Parts of all segments of a playlist, by segment and index.
fn parts(media: &Media) -> Vec<(u64, usize, String)> {
    let partial = media.partial.iter().map(|partial| (media.next_sequence(), &partial.parts));
    let complete = media.segments.iter().map(|segment| (segment.sequence, &segment.parts));
    complete
        .chain(partial)
        .flat_map(|(number, parts)| {
            parts.iter().enumerate().map(move |(index, part)| (number, index, part.uri.clone()))
        })
        .collect()
}

/// Follows the live edge for some segments.
fn follow(origin: &Origin) {
    let mut viewer = Viewer::new(origin);
    // Delta updates begin when the playlist is longer than six target durations.
    let (mut media, _) = eventually("the playlist is full", Duration::from_secs(20), || {
        Some(viewer.list("")).filter(|(media, _)| media.segments.len() == 9)
    });
    let began = Instant::now();
    let mut fetched: Vec<(u64, usize, Vec<u8>)> = Vec::new();
    let mut deltas = 0;
    for _ in 0..14 {
        let last = media.last_part();
        let (sequence, part) =
            last.map_or((media.next_sequence(), 0), |(sequence, part)| (sequence, part + 1));
        let hint = media.preload_hints[0].uri.clone();
        // The announced part is requested before it is there, and comes with the playlist that lists it.
        let early = viewer.part(&hint);
        let (update, text) = viewer.list(&format!("?_HLS_msn={sequence}&_HLS_part={part}&_HLS_skip=YES"));
        deltas += u32::from(update.skipped > 0);
        let next = update.completed(&media).unwrap_or_else(|| panic!("not complete: {text}"));
        let (old, new) = (parts(&media), parts(&next));
        let added: Vec<_> = new.iter().filter(|part| !old.contains(part)).collect();
        assert!(!added.is_empty() && added[0].2 == hint, "{hint}: {added:?}\n{text}");
        for (number, index, uri) in added {
            let body = viewer.part(uri);
            assert!(*uri != hint || body == early, "{uri}");
            fetched.push((*number, *index, body));
        }
        media = next;
    }
    // 14 parts of half a second, as they were made.
    let took = began.elapsed();
    assert!((Duration::from_millis(5500)..Duration::from_secs(12)).contains(&took), "{took:?}");
    assert!(deltas > 5, "{deltas} delta updates");
    let (whole, _) = viewer.list("");
    let mut compared = 0;
    for segment in &whole.segments {
        let own = fetched.iter().filter(|(number, ..)| *number == segment.sequence);
        let own: Vec<_> = own.map(|(_, index, body)| (*index, body.clone())).collect();
        if own.first().is_some_and(|(index, _)| *index == 0) && own.len() == 2 {
            let bytes: Vec<u8> = own.into_iter().flat_map(|(_, body)| body).collect();
            assert!(bytes == viewer.part(&segment.uri), "{}", segment.uri);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{compared} segments");
    for (query, status) in [("?_HLS_msn=99999", 400), ("?_HLS_part=0", 400), ("?_HLS_msn=x", 400)] {
        assert_eq!(
            viewer.lists.ask("GET", &format!("/stream.m3u8{query}")).unwrap().status,
            status,
            "{query}"
        );
    }
    assert_eq!(viewer.parts.ask("GET", "/seg_99999.0.m4s").unwrap().status, 404);
}

#[test]
fn parts_of_ffmpeg_are_served_as_they_are_made() {
    let origin = Origin::start(&[&LOW_LATENCY[..], &VARIANTS].concat());
    follow(&origin);
    let (_, text) = Viewer::new(&origin).list("");
    assert!(text.contains("#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN="), "{text}");
    let plain = origin.get("/stream.m3u8");
    assert_eq!(plain.header("cache-control"), Some("public, max-age=0"));
    assert_eq!(origin.get("/master.m3u8").status, 200);
    // FFmpeg is replaced, and the numbers go on behind a discontinuity.
    let before = Viewer::new(&origin).list("").0;
    let encoder = origin.child_named("ffmpeg").unwrap();
    hls_swarm_test_support::processes::send(encoder, nix::sys::signal::Signal::SIGKILL);
    let mut viewer = Viewer::new(&origin);
    let deadline = Instant::now() + Duration::from_secs(20);
    let after = loop {
        let (media, _) = viewer.list("");
        if media.segments.iter().any(|segment| segment.discontinuity) {
            break media;
        }
        assert!(Instant::now() < deadline, "no discontinuity");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(after.next_sequence() > before.next_sequence());
    assert!(
        parts(&after).iter().all(|(_, _, uri)| !viewer.part(uri).is_empty()),
        "every part that is listed is there"
    );
    assert!(after.segments.iter().all(|segment| !viewer.part(&segment.uri).is_empty()));
}

#[test]
fn the_embedded_origin_has_parts_as_well() {
    let origin = Origin::start(&[&LOW_LATENCY[..], &["--embedded"]].concat());
    follow(&origin);
    let answer = origin.get("/stream.m3u8");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let uri = Viewer::new(&origin).list("").0.segments[3].parts.first().map(|part| part.uri.clone());
    assert!(
        uri.is_none_or(|uri| origin.get(&format!("/{uri}")).header("content-type") == Some("video/mp2t"))
    );
}

#[test]
fn what_has_no_parts_is_refused() {
    let (code, said) = refusal(&["--profile", "ll-hls", "--separate-audio"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("does not support parts of separate audio") && said.contains("--part-duration 0s"),
        "{said}"
    );
}
