//! Parsing of playlists.

use std::fmt::Write;

use divan::Bencher;
use divan::counter::BytesCount;
use url::Url;

use hls_swarm_hls::playlist::parse;

fn measure(bencher: Bencher<'_, '_>, text: &str) {
    let base = Url::parse("https://host.example/live/index.m3u8?token=1").unwrap();
    parse(text, &base).unwrap();
    bencher.counter(BytesCount::of_str(text)).bench(|| parse(divan::black_box(text), &base));
}

/// A live window of a few segments, an hour of time shift, and two hours of VOD.
#[divan::bench(args = [6, 600, 3600])]
fn media(bencher: Bencher<'_, '_>, segments: u32) {
    let mut text =
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:4711\n".to_owned();
    for segment in 0..segments {
        writeln!(text, "#EXTINF:5.984,\nsegment-{:09}.ts", 4711 + segment).unwrap();
    }
    measure(bencher, &text);
}

#[divan::bench]
fn multivariant(bencher: Bencher<'_, '_>) {
    let mut text = "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for language in ["en", "de", "fr"] {
        writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{language}\",LANGUAGE=\"{language}\",URI=\"{language}.m3u8\""
        )
        .unwrap();
    }
    for variant in 1..=8 {
        writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},RESOLUTION={}x{},CODECS=\"avc1.64001f,mp4a.40.2\",\
             FRAME-RATE=25.000,AUDIO=\"a\"\nvideo-{variant}.m3u8",
            variant * 1_100_000,
            variant * 1_000_000,
            variant * 320,
            variant * 180
        )
        .unwrap();
    }
    measure(bencher, &text);
}
