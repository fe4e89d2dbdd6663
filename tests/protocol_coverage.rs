//! docs/protocol-coverage.md names every tag of RFC 8216bis, and claims of each only what is true of the reader.

use std::fs;

use hls_swarm_hls::playlist::{Playlist, read};
use url::Url;

/// A tag, and a line with it that belongs in a media or in a multivariant playlist.
const TAGS: [(&str, &str, bool); 32] = [
    ("EXTM3U", "", false),
    ("EXT-X-VERSION", ":9", false),
    ("EXT-X-INDEPENDENT-SEGMENTS", "", false),
    ("EXT-X-START", ":TIME-OFFSET=1", false),
    ("EXT-X-DEFINE", ":NAME=\"a\",VALUE=\"b\"", false),
    ("EXT-X-TARGETDURATION", ":7", false),
    ("EXT-X-MEDIA-SEQUENCE", ":7", false),
    ("EXT-X-DISCONTINUITY-SEQUENCE", ":7", false),
    ("EXT-X-ENDLIST", "", false),
    ("EXT-X-PLAYLIST-TYPE", ":VOD", false),
    ("EXT-X-I-FRAMES-ONLY", "", false),
    ("EXT-X-PART-INF", ":PART-TARGET=1", false),
    ("EXT-X-SERVER-CONTROL", ":CAN-BLOCK-RELOAD=YES", false),
    ("EXTINF", ":3,", false),
    ("EXT-X-BYTERANGE", ":7@1", false),
    ("EXT-X-DISCONTINUITY", "", false),
    ("EXT-X-KEY", ":METHOD=AES-128,URI=\"k\"", false),
    ("EXT-X-MAP", ":URI=\"m\"", false),
    ("EXT-X-PROGRAM-DATE-TIME", ":2026-01-01T00:00:00Z", false),
    ("EXT-X-GAP", "", false),
    ("EXT-X-BITRATE", ":9", false),
    ("EXT-X-PART", ":DURATION=1,URI=\"p\"", false),
    ("EXT-X-DATERANGE", ":ID=\"a\",START-DATE=\"2026-01-01T00:00:00Z\"", false),
    ("EXT-X-SKIP", ":SKIPPED-SEGMENTS=3", false),
    ("EXT-X-PRELOAD-HINT", ":TYPE=PART,URI=\"p\"", false),
    ("EXT-X-RENDITION-REPORT", ":URI=\"r\"", false),
    ("EXT-X-MEDIA", ":TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\"", true),
    ("EXT-X-STREAM-INF", ":BANDWIDTH=7", true),
    ("EXT-X-I-FRAME-STREAM-INF", ":BANDWIDTH=7,URI=\"i\"", true),
    ("EXT-X-SESSION-DATA", ":DATA-ID=\"a\",VALUE=\"b\"", true),
    ("EXT-X-SESSION-KEY", ":METHOD=AES-128,URI=\"k\"", true),
    ("EXT-X-CONTENT-STEERING", ":SERVER-URI=\"s\"", true),
];

/// What a cell may begin with.
const WORDS: [&str; 8] = ["done", "read", "ignored", "refused", "–", "requested", "left to", "never sent"];

/// The rows about tags: the tag, and what FFmpeg, other players, native viewers, and the origin do with it.
fn rows() -> Vec<(String, [String; 4])> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol-coverage.md");
    let text = fs::read_to_string(page).unwrap();
    let row = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let tag = cells.first().filter(|tag| tag.starts_with("EXT"))?.clone();
        let engines = <[String; 4]>::try_from(cells[1..].to_vec());
        Some((tag, engines.unwrap_or_else(|cells| panic!("{line}: {} cells", cells.len()))))
    };
    text.lines().filter(|line| line.starts_with('|')).filter_map(row).collect()
}

/// Whether the line changes anything of what is read.
fn is_read(tag: &str, value: &str, multivariant: bool) -> bool {
    let base = Url::parse("http://host/a").unwrap();
    let (head, rest) = if multivariant {
        ("#EXTM3U\n", "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n")
    } else {
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n", "#EXTINF:2,\ns\n")
    };
    let parsed = |text: String| -> Playlist { read(&text, &base).unwrap().playlist };
    let with = match tag {
        "EXT-X-STREAM-INF" => format!("{head}{rest}#{tag}{value}\nw\n"),
        "EXTINF" => format!("{head}{rest}#{tag}{value}\nt\n"),
        _ => format!("{head}#{tag}{value}\n{rest}"),
    };
    parsed(with) != parsed(format!("{head}{rest}"))
}

#[test]
fn every_tag_of_the_draft_is_in_the_table_for_every_engine() {
    let rows = rows();
    for (tag, ..) in TAGS {
        let of_tag = |(name, _): &&(String, [String; 4])| name.split([':', ' ']).next() == Some(tag);
        assert!(rows.iter().any(|row| of_tag(&row)), "{tag} is missing");
    }
    for (name, cells) in &rows {
        let tag = name.split([':', ' ']).next().unwrap_or_default();
        assert!(TAGS.iter().any(|(known, ..)| *known == tag), "{tag} is not a tag of the draft");
        for cell in cells {
            assert!(WORDS.iter().any(|word| cell.starts_with(word)), "{name}: {cell:?}");
        }
    }
}

#[test]
fn what_native_viewers_obey_is_read_and_what_is_not_read_is_not_claimed() {
    for (name, [_, command, native, _]) in rows() {
        let tag = name.split([':', ' ']).next().unwrap_or_default();
        let (_, value, multivariant) = *TAGS.iter().find(|(known, ..)| *known == tag).unwrap();
        let claimed = native.starts_with("done") || native.starts_with("read") || command.starts_with("read");
        if tag != "EXTM3U" && claimed {
            assert!(is_read(tag, value, multivariant), "{name}: {native}, {command}");
        }
    }
    for unread in ["EXT-X-BITRATE", "EXT-X-DATERANGE", "EXT-X-I-FRAMES-ONLY", "EXT-X-SESSION-DATA"] {
        let (tag, value, multivariant) = *TAGS.iter().find(|(known, ..)| *known == unread).unwrap();
        assert!(!is_read(tag, value, multivariant), "{tag} is read now: the table calls it ignored");
    }
}
