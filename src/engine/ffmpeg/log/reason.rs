//! Reduces a line of the log to a reason: equal causes have equal texts, and harmless lines have none.

use super::interpreter::error_of_url;
use super::line::{Kind, Level, Line};

/// Longest reason, bytes.
const MAX_REASON_BYTES: usize = 240;

/// Lines that FFmpeg logs when this program stops it, that a viewer would not notice, or that repeat another line.
const HARMLESS: &[&str] = &[
    "Immediate exit requested",
    "Last message repeated",
    "Error closing progress log",
    "Exiting normally",
    "Found duplicated MOOV Atom",
    "corrupt input packet in stream",
    // Logged about audio when frames are not parsed, as in our viewers.
    "Multiple frames in a packet",
    // Logged next to a line that names the cause.
    "Error opening input file ",
    "To ignore this, add a trailing",
];

/// Returns why a viewer failed, reduced so that equal causes compare equal: URLs, addresses, pointers and numbers are
/// replaced by placeholders; status codes stay. `None`: the line is not a reason (its level is informational, it is a
/// status line, or it is harmless).
#[must_use]
pub fn reason(line: &Line<'_>) -> Option<String> {
    let is_problem = match line.kind {
        Kind::Record => line.level.is_none_or(|level| level <= Level::Warning),
        Kind::Bare => true,
        Kind::Status | Kind::RequestHeader => false,
    };
    if !is_problem || HARMLESS.iter().any(|harmless| line.text.contains(harmless)) {
        return None;
    }
    // The HLS demuxer repeats what the transport stream demuxer logged one line above.
    let name = line.context.map_or("", |context| context.name);
    if line.text.starts_with("Packet corrupt") && name != "mpegts" {
        return None;
    }
    // The rest of the sentence lists status codes that it was not.
    let text = line.text.split(", but not one of 40").next().unwrap_or(line.text).trim();
    if text.contains("'invalid:truncated'") {
        return Some("the address of a segment has more bytes than FFmpeg can request (4095)".to_owned());
    }
    // What our own arguments ask for; the viewer opened the playlist and found nothing in it.
    if text.starts_with("Stream map '") && text.contains("matches no streams") {
        return Some("the playlist lists no segments, or nothing in them that can be played".to_owned());
    }
    // Three wordings of the same error: one in FFmpeg 4.4 to 6.0, two lines from 6.1 on.
    if line.level == Some(Level::Error)
        && let Some(error) = error_of_url(text)
    {
        return Some(reduce(&format!("Error opening input: {error}")));
    }
    if let Some(error) = text.strip_prefix("Error opening input files: ") {
        return Some(reduce(&format!("Error opening input: {error}")));
    }
    if let Some(rest) = text.strip_prefix("Failed to resolve hostname ")
        && let Some((_, error)) = rest.split_once(": ")
    {
        return Some(reduce(&format!("Failed to resolve hostname HOST: {error}")));
    }
    let reduced = reduce(text);
    (!reduced.is_empty()).then_some(reduced)
}

fn reduce(text: &str) -> String {
    let mut reduced = String::with_capacity(text.len().min(MAX_REASON_BYTES));
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if reduced.len() >= MAX_REASON_BYTES {
            break;
        }
        let before = reduced.chars().next_back();
        let word_starts = !before.is_some_and(|c| c.is_ascii_alphanumeric());
        let taken = if let Some(length) = url_length(rest).filter(|_| word_starts) {
            reduced.push_str("URL");
            length
        } else if let Some(length) = pointer_length(rest).filter(|_| word_starts) {
            reduced.push_str("0xN");
            length
        } else if let Some(length) = hexadecimal_length(rest).filter(|_| word_starts) {
            reduced.push('N');
            length
        } else if next.is_ascii_digit() {
            number(rest, &mut reduced)
        } else {
            reduced.push(if next.is_control() { ' ' } else { next });
            next.len_utf8()
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    reduced.trim_end().to_owned()
}

/// The length of `scheme://…` up to the quote or space that ends it, without a final colon or comma.
fn url_length(text: &str) -> Option<usize> {
    let scheme =
        text.bytes().take(16).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'+').count();
    if scheme == 0 || !text.get(scheme..)?.starts_with("://") {
        return None;
    }
    let end =
        text.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>')).unwrap_or(text.len());
    let url = text.get(..end)?;
    Some(url.trim_end_matches([':', ',', '.', ')']).len().max(scheme + 3))
}

fn pointer_length(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("0x")?.bytes().take_while(u8::is_ascii_hexdigit).count();
    (digits > 0).then_some(digits + 2)
}

/// The length of a word of hexadecimal digits, such as a session's id: at least 8, letters and digits.
fn hexadecimal_length(text: &str) -> Option<usize> {
    let length = text.bytes().take_while(|byte| byte.is_ascii_hexdigit() || *byte == b'-').count();
    let word = text.get(..length)?.trim_end_matches('-');
    let ends = !text.get(word.len()..)?.starts_with(|c: char| c.is_ascii_alphanumeric());
    let mixed =
        word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    (word.len() >= 8 && mixed && ends).then_some(word.len())
}

/// Replaces a number, unless it is a status or error code, or part of a name such as `h264`.
fn number(text: &str, reduced: &mut String) -> usize {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_code = ["HTTP error ", "Server returned ", "Error number ", "Error number -", "signal ", "code "]
        .iter()
        .any(|word| reduced.ends_with(word));
    let in_name = length < 4 && reduced.ends_with(|c: char| c.is_ascii_alphabetic());
    if is_code || in_name {
        reduced.push_str(text.get(..length).unwrap_or_default());
    } else {
        reduced.push('N');
    }
    length
}

#[cfg(test)]
mod tests {
    use super::super::line::Splitter;
    use super::*;

    fn reasons(text: &str) -> Vec<Option<String>> {
        let (mut splitter, mut found) = (Splitter::new(), Vec::new());
        splitter.feed(0, text.as_bytes(), &mut |line| found.push(reason(&line)));
        splitter.finish(&mut |line| found.push(reason(&line)));
        found
    }

    #[test]
    fn equal_causes_give_equal_reasons() {
        for (texts, expected) in [
            (
                "[hls @ 0x1] [warning] keepalive request failed for 'http://a/seg1.ts?token=x' with error: 'Server returned 404 Not Found' when opening url, retrying with new connection\n\
                 [in#0/hls @ 0x2] [warning] keepalive request failed for 'https://[::1]:8/b/2.m4s' with error: 'Server returned 404 Not Found' when opening url, retrying with new connection\n",
                "keepalive request failed for 'URL' with error: 'Server returned 404 Not Found' when opening url, retrying with new connection",
            ),
            (
                "[tcp @ 0x1] [error] Connection to tcp://127.0.0.1:18099 failed: Connection refused\n\
                 [tcp @ 0x2] [error] Connection to tcp://10.0.0.9:80?timeout=3 failed: Connection refused\n",
                "Connection to URL failed: Connection refused",
            ),
            (
                "[error] http://127.0.0.1:18080/nope/a: b.m3u8: Server returned 404 Not Found\n\
                 [in#0 @ 0x1] [error] Error opening input: Server returned 404 Not Found\n\
                 [fatal] Error opening input files: Server returned 404 Not Found\n",
                "Error opening input: Server returned 404 Not Found",
            ),
            (
                "[tcp @ 0x1] [error] Failed to resolve hostname edge7.cdn.invalid: Name or service not known\n\
                 [tcp @ 0x1] [error] Failed to resolve hostname b: Name or service not known\n",
                "Failed to resolve hostname HOST: Name or service not known",
            ),
            (
                "[hls @ 0x1] [warning] Failed to open segment 17 of playlist 0\n[hls @ 0x9] Failed to open segment 8 of playlist 2\n",
                "Failed to open segment N of playlist N",
            ),
            ("[h264 @ 0x1] [error] h264 mp4 m3u8 0xdeadbeef\n", "h264 mp4 m3u8 0xN"),
            ("[http @ 0x1] [warning] HTTP error 503 Busy\n", "HTTP error 503 Busy"),
        ] {
            for found in reasons(texts) {
                // Line one of the third case has a URL with ": " inside; FFmpeg quotes nothing there.
                let found = found.unwrap();
                if found != "Error opening input: b.m3u8: Server returned 404 Not Found" {
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn harmless_lines_and_lower_levels_give_no_reason() {
        let text = "[error] Error closing progress log, loss of information possible: Immediate exit requested\n\
            [error] http://a/b.m3u8: Immediate exit requested\n    Last message repeated 3 times\n\
            [info] Exiting normally, received signal 15.\n[hls @ 0x1] [info] Skip ('#EXT-X-VERSION:3')\n\
            frame=  1 fps=0 q=-1.0 size=N/A time=00:00:01.00 bitrate=N/A speed=1x\r\
            [hls @ 0x1] [warning] Packet corrupt (stream = 0, dts = 7).\n";
        assert_eq!(reasons(text), vec![None; 7]);
    }

    #[test]
    fn equal_causes_have_equal_texts() {
        for (line, reason) in [
            (
                "[error] http://h/a.m3u8: Server returned 4XX Client Error, but not one of 40{0,1,3,4}\n",
                "Error opening input: Server returned 4XX Client Error",
            ),
            ("[error] session 9f86d081-884c7d65 of deadbeef0 ended\n", "session N of N ended"),
            ("[error] feedback is defaced in h264\n", "feedback is defaced in h264"),
            (
                "[error] Stream map '0' matches no streams.\n",
                "the playlist lists no segments, or nothing in them that can be played",
            ),
        ] {
            assert_eq!(reasons(line), [Some(reason.to_owned())], "{line}");
        }
        assert_eq!(reasons("[error] To ignore this, add a trailing '?' to the map.\n"), [None]);
    }

    #[test]
    fn an_error_of_the_dynamic_linker_is_a_reason() {
        let found =
            reasons("ffmpeg: error while loading shared libraries: libavdevice.so.59: no such file\n");
        assert_eq!(
            found,
            [Some("ffmpeg: error while loading shared libraries: libavdevice.so.N: no such file".to_owned())]
        );
    }
}
