//! Tests of the reader and the writer.

use proptest::prelude::*;
use url::Url;

use super::low_latency::ServerControl;
use super::media::{ByteRange, EncryptionMethod, PlaylistType, Start};
use super::multivariant::RenditionKind;
use super::warning::Deviation;
use super::*;

fn base() -> Url {
    Url::parse("http://host/live/index.m3u8?token=1").unwrap()
}

fn media(text: &str) -> Media {
    match read(text, &base()).unwrap().playlist {
        Playlist::Media(media) => media,
        other => panic!("not a media playlist: {other:?}"),
    }
}

fn multivariant(text: &str) -> Multivariant {
    match read(text, &base()).unwrap().playlist {
        Playlist::Multivariant(playlist) => playlist,
        other => panic!("not a multivariant playlist: {other:?}"),
    }
}

fn deviations(text: &str) -> Vec<(usize, Deviation)> {
    let warnings = read(text, &base()).unwrap().warnings;
    warnings.into_iter().map(|warning| (warning.line, warning.deviation)).collect()
}

#[test]
fn a_live_media_playlist() {
    let text = "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
                #EXTINF:2.000000,\r\na.ts\r\n#EXTINF:1.5,title, with comma\r\n/b.ts?x=1\r\n";
    let media = media(text);
    assert!(media.is_live());
    assert_eq!((media.media_sequence, media.target_duration, media.next_sequence()), (7, 2.0, 9));
    assert_eq!(media.duration(), 3.5);
    let segments: Vec<_> = media.segments.iter().map(|one| (one.url.as_str(), one.sequence)).collect();
    assert_eq!(segments, [("http://host/live/a.ts", 7), ("http://host/b.ts?x=1", 8)]);
    assert_eq!(deviations(text), []);
}

#[test]
fn all_properties_needed_to_load_a_segment() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:3\n\
                #EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-START:TIME-OFFSET=-12.5,PRECISE=YES\n\
                #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,HOLD-BACK=6.1\n#EXT-X-SKIP:SKIPPED-SEGMENTS=10\n\
                #EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"700@0\"\n\
                #EXT-X-BYTERANGE:1000@700\n#EXTINF:6,\nall.mp4\n\
                #EXT-X-BYTERANGE:500\n#EXTINF:6,\nall.mp4\n\
                #EXT-X-KEY:METHOD=AES-128,URI=\"license?id=7\",IV=0x0000000000000000000000000000000A\n\
                #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.5+01:00\n#EXT-X-GAP\n\
                #EXTINF:4.5,\nb.ts\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-PART:DURATION=1,URI=\"p\"\n\
                #EXT-X-PART:DURATION=1,URI=\"q\"\n#EXTINF:1,\nc.ts\n#EXT-X-BITRATE:7\n#EXT-X-BITRATE:8\n#EXT-X-ENDLIST\n";
    let media = media(text);
    assert_eq!((media.ended, media.playlist_type), (true, Some(PlaylistType::Event)));
    assert_eq!((media.discontinuity_sequence, media.skipped, media.next_sequence()), (2, 10, 17));
    assert_eq!(media.start, Some(Start { time_offset: -12.5, precise: true }));
    let control = ServerControl {
        can_block_reload: true,
        hold_back: Some(6.1),
        part_hold_back: Some(1.5),
        ..ServerControl::default()
    };
    assert_eq!(media.server_control, Some(control));
    let [first, second, third, fourth] = &media.segments[..] else { panic!("{media:?}") };
    assert_eq!((first.sequence, first.byte_range), (13, Some(ByteRange { offset: 700, length: 1000 })));
    assert_eq!(second.byte_range, Some(ByteRange { offset: 1700, length: 500 }));
    let map = second.map.as_ref().unwrap();
    assert_eq!(map.url.as_str(), "http://host/live/all.mp4");
    assert_eq!(map.byte_range, Some(ByteRange { offset: 0, length: 700 }));
    assert_eq!((first.key.is_none(), first.gap, first.discontinuity), (true, false, false));
    let key = third.key.as_ref().unwrap();
    assert_eq!((&key.method, key.iv), (&EncryptionMethod::Aes128, Some(10)));
    assert_eq!(key.url.as_ref().unwrap().as_str(), "http://host/live/license?id=7");
    assert_eq!((third.gap, third.discontinuity, third.byte_range), (true, true, None));
    assert_eq!(third.program_date_time.unwrap().to_string(), "2026-01-02T02:04:05.5Z");
    assert_eq!((fourth.key.is_none(), fourth.gap, fourth.program_date_time), (true, false, None));
    let reading = read(text, &base()).unwrap();
    assert_eq!(fourth.parts.len(), 2);
    assert_eq!(reading.ignored, ["EXT-X-BITRATE"]);
    assert_eq!(reading.warnings, []);
}

#[test]
fn an_implausible_target_duration_is_ignored() {
    for (promised, listed, longest) in [(6.0, 4.0, 6.0), (50.0, 1.0, 50.0), (1e6, 1.5, 2.0), (0.0, 1.5, 0.0)]
    {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{promised}\n#EXTINF:{listed},\na.ts\n");
        assert_eq!(media(&text).longest_segment(), longest, "{promised} promised, {listed} listed");
    }
}

#[test]
fn a_multivariant_playlist() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio.m3u8\"\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"en.m3u8\",DEFAULT=YES,LANGUAGE=\"en\",NAME=\"E\"\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"inside\",DEFAULT=YES\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",URI=\"c.m3u8\",AUTOSELECT=YES\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"c\",URI=\"1.m3u8\"\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"c\",URI=\"2.m3u8\",AUTOSELECT=YES\n\
                #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",URI=\"subs.m3u8\"\n\
                #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",INSTREAM-ID=\"CC1\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,AUDIO=\"a\",SUBTITLES=\"s\"\nlow.m3u8\n\
                #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=5000000,CLOSED-CAPTIONS=NONE\nhttps://cdn/high.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=3428016.750,AUDIO=\"b\",CODECS=\"avc1.4d,mp4a\"\nmid.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"c\"\nc.m3u8\n";
    let playlist = multivariant(text);
    assert_eq!(playlist.separate_audio().count(), 5);
    let audio = |place: usize| playlist.audio_of(&playlist.variants[place]).map(Url::path);
    assert_eq!([audio(0), audio(1)], [Some("/live/en.m3u8"), None]);
    assert_eq!(audio(2), None, "the default is inside the variant");
    assert_eq!(audio(3), Some("/live/2.m3u8"));
    let [low, high, mid, _] = &playlist.variants[..] else { panic!("{playlist:?}") };
    assert_eq!((low.resolution, low.subtitles.as_deref()), (Some((640, 360)), Some("s")));
    assert_eq!((high.bandwidth, high.url.as_str()), (5_000_000, "https://cdn/high.m3u8"));
    assert_eq!((mid.bandwidth, mid.codecs.as_deref()), (3_428_016, Some("avc1.4d,mp4a")));
    assert_eq!(high.closed_captions, None);
    let kinds: Vec<_> = playlist.renditions.iter().map(|one| one.kind).collect();
    assert_eq!(kinds[6..], [RenditionKind::Subtitles, RenditionKind::ClosedCaptions]);
}

#[test]
fn texts_that_are_not_playlists_are_rejected_with_the_reason() {
    let read = |text: &str| parse(text, &base());
    assert_eq!(read(" \n"), Err(InvalidPlaylist::Empty));
    assert_eq!(read("<!DOCTYPE html><html>"), Err(InvalidPlaylist::Html));
    assert_eq!(read("#EXTM3U\n#EXT-X-VERSION:3\n"), Err(InvalidPlaylist::NothingListed));
    assert_eq!(read("#EXTM3U\n#EXT-X-TARGETDURATION:3\n"), Err(InvalidPlaylist::NothingListed));
    assert!(matches!(read("hello"), Err(InvalidPlaylist::NoHeader(_))));
}

#[test]
fn a_live_playlist_may_have_no_segments_yet() {
    let empty = media("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:4\n");
    assert_eq!((empty.segments.len(), empty.next_sequence()), (0, 4));
}

/// Forms of EXTINF and EXT-X-TARGETDURATION that packagers write, and that FFmpeg plays.
#[test]
fn numbers_are_read_as_ffmpeg_reads_them() {
    for (value, seconds) in [
        (",", 0.0),
        (" 1.0 ,", 1.0),
        ("1.0", 1.0),
        ("1,000,", 1.0),
        ("-1 tvg-id=\"x\" group-title=\"Ne, ws\",Name", 0.0),
        ("1.0s,", 1.0),
        ("1.0 tvg-id=\"x\",Name", 1.0),
        ("0,", 0.0),
        ("+1.0,", 1.0),
        ("1.000000;,", 1.0),
        ("NaN,", 0.0),
    ] {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:{value}\na.ts\n");
        let Ok(Playlist::Media(media)) = parse(&text, &base()) else { panic!("refused: {value}") };
        assert_eq!(media.segments[0].duration, seconds, "{value}");
        let readable = value.trim().starts_with(|c: char| c.is_ascii_digit() || c == '+');
        let warning = (3, Deviation::UnreadableNumber("EXTINF"));
        assert_eq!(deviations(&text), if readable { vec![] } else { vec![warning] }, "{value}");
    }
    for (value, seconds) in
        [("1.5", 1.5), ("1 ", 1.0), ("0", 0.0), ("1,", 1.0), ("", 0.0), ("1s", 1.0), ("inf", 0.0)]
    {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{value}\n#EXTINF:1,\na.ts\n");
        let Ok(Playlist::Media(media)) = parse(&text, &base()) else { panic!("refused: {value}") };
        assert_eq!(media.target_duration, seconds, "{value}");
    }
}

#[test]
fn playlists_that_ffmpeg_refuses_can_be_read_with_a_warning() {
    let rest = "#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n";
    for (text, line, deviation) in [
        (format!("\u{feff}#EXTM3U\n{rest}"), 1, Deviation::ByteOrderMark),
        (format!("\r\n\r\n#EXTM3U\n{rest}"), 1, Deviation::BlankBeforeHeader),
        (format!(" #EXTM3U\n{rest}"), 1, Deviation::BlankBeforeHeader),
        (format!("#EXTM3U url-tvg=\"x\"\n{rest}"), 1, Deviation::HeaderNotAlone),
        (format!("#EXTM3U\n\n#EXT-X-TARGETDURATION:-1\n{rest}"), 3, Deviation::NegativeTargetDuration),
    ] {
        assert_eq!(media(&text).segments.len(), 1, "{text:?}");
        let warning = Warning { line, deviation };
        assert_eq!(parse(&text, &base()), Err(InvalidPlaylist::Refused(warning)), "{text:?}");
    }
    let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF 1,\na.ts\n";
    let said = parse(text, &base()).unwrap_err().to_string();
    assert_eq!(said, "line 3 of the playlist: EXTINF has no colon before its value, so players ignore it");
}

#[test]
fn deviations_are_reported_with_their_lines() {
    let text = "#EXTM3U\n#EXTINF:1,\n b.ts\nstray.ts\n#EXT-X-MEDIA-SEQUENCE:x\n\
                #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple\"\n#EXT-X-DEFINE:NAME=\"a\"\n\
                #EXTINF:1,\nhttp://[\n";
    assert_eq!(
        deviations(text),
        [
            (3, Deviation::LeadingBlank),
            (4, Deviation::StrayAddress),
            (5, Deviation::UnreadableNumber("EXT-X-MEDIA-SEQUENCE")),
            (6, Deviation::UnplayableEncryption("SAMPLE-AES of com.apple".into())),
            (7, Deviation::Variables),
            (7, Deviation::UnreadableValue("EXT-X-DEFINE")),
            (9, Deviation::UnreadableAddress),
        ]
    );
    assert_eq!(deviations("#EXTM3U\n#EXTINF:1,\na.ts\n"), [(1, Deviation::Unrecognizable)]);
    let media = media(text);
    assert_eq!(media.segments.len(), 2, "nothing of it makes the rest unreadable");
    assert_eq!(media.segments[1].key.as_ref().unwrap().url, None);
}

#[test]
fn every_kind_of_line_ending_is_recognized() {
    let text = "#EXTM3U\r#EXT-X-TARGETDURATION:2 \r\r\n\t\r#EXTINF:2,\ra.ts \n#EXTINF:2,\r\nb.ts";
    let uris: Vec<_> = media(text).segments.into_iter().map(|segment| segment.uri).collect();
    assert_eq!(uris, ["a.ts", "b.ts"]);
}

/// A line of a playlist, valid or not.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "#EXTINF:[+-]?[0-9]{0,6}[.,]?[0-9e]{0,6}[ ;,s]?[a-z]{0,4}",
        4 => "[a-zé:/?#\\[%.& =0-9]{0,16}",
        1 => "#EXT-X-TARGETDURATION:[-+]?[0-9.]{0,8}",
        1 => "#EXT-X-(DISCONTINUITY-|MEDIA-|)SEQUENCE:[0-9]{0,21}",
        1 => "#EXT-X-SKIP:SKIPPED-SEGMENTS=[0-9]{0,20}(,RECENTLY-REMOVED-DATERANGES=\"[a-z\t]{0,6}\")?",
        3 => "#EXT-X-PART:(DURATION=[0-9.]{0,4},)?URI=\"[a-z]{0,2}(\\{\\$[a-c]\\})?\"(,INDEPENDENT=YES)?(,GAP=(YES|NO))?(,BYTERANGE=\"?[0-9]{1,3}(@[0-9]{1,3})?\"?)?",
        1 => "#EXT-X-PRELOAD-HINT:TYPE=(PART|MAP|X),URI=\"[a-z]{0,2}\"(,BYTERANGE-START=[0-9]{0,3})?(,BYTERANGE-LENGTH=[0-9]{0,3})?",
        1 => "#EXT-X-RENDITION-REPORT:URI=\"[a-z]{0,2}\"(,LAST-MSN=[0-9]{0,21})?(,LAST-PART=[0-9]{0,3})?",
        1 => "#EXT-X-PART-INF:(PART-TARGET=[-0-9.]{0,5})?",
        2 => "#EXT-X-DEFINE:(NAME=\"[a-c]\",VALUE=\"[a-z{}$]{0,4}\"|IMPORT=\"[a-c]\"|QUERYPARAM=\"(token|[a-c])\"|)",
        1 => "[a-z]{0,2}\\{\\$(a|b|c|token)\\}[a-z]{0,2}",
        1 => "#EXT-X-CONTENT-STEERING:SERVER-URI=\"[a-z]{0,2}\"(,PATHWAY-ID=\"[a-z]{0,2}\")?",
        1 => "#EXT-X-SESSION-KEY:METHOD=(NONE|AES-128)(,URI=\"[a-z:]{0,4}\")?",
        1 => "#EXT-X-(VERSION:[0-9]{0,3}|INDEPENDENT-SEGMENTS)",
        1 => "#EXT-X-BYTERANGE:[0-9]{0,20}(@[0-9]{0,20})?",
        1 => "#EXT-X-(GAP|DISCONTINUITY|ENDLIST|PLAYLIST-TYPE:(VOD|EVENT|x))",
        2 => "#EXT-X-KEY:METHOD=(NONE|AES-128|SAMPLE-AES|\"x,y\")(,URI=\"?[a-z:/,\"]{0,6}\"?)?(,IV=0x[0-9A-F]{0,34})?(,KEYFORMAT=\"[a-z]{0,3}\")?",
        1 => "#EXT-X-MAP:URI=\"[a-z.]{0,4}\"(,BYTERANGE=\"[0-9]{0,4}(@[0-9]{1,3})?\")?",
        1 => "#EXT-X-START:TIME-OFFSET=[-+]?[0-9.]{0,8}(,PRECISE=(YES|NO))?",
        1 => "#EXT-X-SERVER-CONTROL:(CAN-BLOCK-RELOAD=(YES|NO))?(,(PART-)?HOLD-BACK=[-0-9.]{0,6})?(,CAN-SKIP-UNTIL=[0-9.]{0,4})?(,CAN-SKIP-DATERANGES=YES)?",
        1 => "#EXT-X-PROGRAM-DATE-TIME:20[0-9]{2}-0[1-9]-1[0-9]T1[0-9]:00:00(.[0-9]{1,9})?(Z|[+-]0[0-9]:?30|)",
        2 => "#EXT-X-MEDIA:TYPE=(AUDIO|VIDEO|SUBTITLES|CLOSED-CAPTIONS|X)(,GROUP-ID=\"[a-z ]{0,2}\")?(,NAME=\"?[a-z]{0,2}\"?)?(,DEFAULT=YES)?(,AUTOSELECT=YES)?(,URI=\"[a-z]{0,3}\")?",
        2 => "#EXT-X-STREAM-INF:(BANDWIDTH=[0-9.]{0,12})?(,AVERAGE-BANDWIDTH=[0-9.]{0,12})?(,RESOLUTION=[0-9]{0,11}x[0-9]{1,4})?(,CODECS=\"[a-z,]{0,4}\")?(,(AUDIO|SUBTITLES|VIDEO|CLOSED-CAPTIONS)=\"?[A-Z]{0,4}\"?)?",
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\u{feff})?(#EXTM3U\n)?(.*[\r\n])*") {
        drop(read(&text, &base()));
        drop(parse(&text, &base()));
    }

    #[test]
    fn what_is_written_is_what_was_read(
        lines in prop::collection::vec(line(), 0..40),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just(" \n\n")],
    ) {
        let text = format!("#EXTM3U{end}{}", lines.join(end));
        let Ok(reading) = read(&text, &base()) else { return Ok(()) };
        let written = reading.playlist.to_string();
        // A variable without a value may get one in what is written, where definitions come first.
        if written.contains("{$") {
            return Ok(());
        }
        let again = read(&written, &base()).map(|reading| reading.playlist);
        prop_assert_eq!(again, Ok(reading.playlist), "{}", written);
    }

    #[test]
    fn a_delta_update_leads_to_the_whole_playlist(
        lines in prop::collection::vec(line(), 0..60), from in 0..20_usize, count in 0..20_usize,
    ) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let Ok(Reading { playlist: Playlist::Media(mut whole), .. }) = read(&text, &base()) else { return Ok(()) };
        if whole.skipped > 0 || whole.to_string().contains("{$") {
            return Ok(());
        }
        (whole.removed_dateranges, whole.unkeyed) = (Vec::new(), 0);
        let before = whole.clone();
        // The window has moved on by `from` segments, and the update leaves out `count`, whose parts are old.
        let from = from.min(whole.segments.len());
        whole.segments.drain(..from);
        whole.media_sequence = whole.media_sequence.saturating_add(from as u64);
        let count = count.min(whole.segments.len());
        whole.segments.iter_mut().take(count).for_each(|segment| segment.parts.clear());
        if whole.next_sequence() == u64::MAX {
            return Ok(());
        }
        let written = whole.delta(count).to_string();
        let update = media(&written);
        prop_assert_eq!(update.completed(&before), Some(whole), "{}", written);
    }

    #[test]
    fn targets_are_resolved_as_urls_are(uri in "([a-z.]{0,4}[/?]?){0,5}") {
        let base = crate::request_target::RequestTarget { target: "/live/a/index.m3u8?t=/x".into(), host: "host".into() };
        // What begins with two strokes names a host, and `url` takes three of them for two.
        prop_assume!(!uri.starts_with("//"));
        let joined = base.url(false).unwrap().join(&uri).unwrap();
        prop_assert_eq!(base.resolve(&uri), Some((&joined).into()), "{}", uri);
    }
}
