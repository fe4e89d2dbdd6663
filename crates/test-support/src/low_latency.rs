//! A validator of low-latency playlists: what a server sent to one client that follows the live edge, by the rules of
//! RFC 8216bis (sections 4.4.3.7, 4.4.3.8, 4.4.4.9, 4.4.5, 6.2.2, and 6.2.5) for servers.

use std::collections::BTreeMap;

use hls_swarm_hls::playlist::low_latency::{HintKind, Part};
use hls_swarm_hls::playlist::{Media, Playlist, read};
use url::Url;

/// A part may be this much shorter than the part target, unless it ends its segment.
const SHORTEST_PART: f64 = 0.85;
/// Durations are rounded, seconds.
const ROUNDED: f64 = 0.001;

/// A response to a request for a playlist.
#[derive(Clone, Debug)]
pub struct Response {
    /// The segment and the part that the request waited for.
    pub asked: Option<(u64, u64)>,
    pub text: String,
}

/// Everything that is wrong with the responses, in their order.
pub fn faults(responses: &[Response]) -> Vec<String> {
    let mut validator = Validator::default();
    for (index, response) in responses.iter().enumerate() {
        if let Err(wrong) = validator.take(response) {
            validator.found.push(format!("response {index}: {wrong}"));
        }
    }
    validator.found
}

#[derive(Default)]
struct Validator {
    before: Option<Media>,
    /// By segment: its name and duration, as they were listed first.
    segments: BTreeMap<u64, (String, f64)>,
    /// By segment and index: the name and the duration of a part.
    parts: BTreeMap<(u64, u64), (String, f64)>,
    /// What was announced for a place.
    hints: BTreeMap<(u64, u64), String>,
    found: Vec<String>,
}

/// The parts of all segments, complete or not.
fn all_parts(media: &Media) -> impl Iterator<Item = (u64, u64, &Part)> {
    let partial = media.partial.iter().map(|partial| (media.next_sequence(), &partial.parts));
    let complete = media.segments.iter().map(|segment| (segment.sequence, &segment.parts));
    complete
        .chain(partial)
        .flat_map(|(number, parts)| (0..).zip(parts).map(move |(index, part)| (number, index, part)))
}

fn check(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

impl Validator {
    fn take(&mut self, response: &Response) -> Result<(), String> {
        let base = Url::parse("http://host/live/stream.m3u8").map_err(|error| error.to_string())?;
        let reading = read(&response.text, &base).map_err(|error| error.to_string())?;
        if let Some(warning) = reading.warnings.first() {
            return Err(warning.to_string());
        }
        let Playlist::Media(update) = reading.playlist else { return Err("no media playlist".to_owned()) };
        header(&update)?;
        let media = match update.skipped {
            0 => update,
            skipped => {
                let before = self.before.as_ref().ok_or("a delta update without a playlist before it")?;
                check(update.version >= Some(9), || "EXT-X-SKIP needs version 9".to_owned())?;
                let whole = update.completed(before).ok_or("the delta update skips what was never listed")?;
                let boundary = whole.skippable() as u64;
                check(skipped <= boundary, || {
                    format!("{skipped} segments skipped, {boundary} are old enough")
                })?;
                whole
            }
        };
        durations(&media)?;
        near_the_edge(&media)?;
        reports(&media)?;
        if let Some((sequence, part)) = response.asked {
            let end =
                (media.next_sequence(), media.partial.as_ref().map_or(0, |open| open.parts.len() as u64));
            check((sequence, part) < end, || format!("asked for {sequence}.{part}, got up to {end:?}"))?;
        }
        if let Some(before) = self.before.take() {
            let compared = follows(&before, &media);
            self.before = Some(before);
            compared?;
        }
        self.remember(&media)?;
        self.before = Some(media);
        Ok(())
    }

    /// Compares names and durations with what they were before, and announced parts with those that came.
    fn remember(&mut self, media: &Media) -> Result<(), String> {
        for segment in &media.segments {
            let now = (segment.uri.clone(), segment.duration);
            let first = self.segments.entry(segment.sequence).or_insert_with(|| now.clone());
            check(*first == now, || format!("segment {} was {first:?} and is {now:?}", segment.sequence))?;
        }
        let mut names = BTreeMap::new();
        for (number, index, part) in all_parts(media) {
            let now = (part.uri.clone(), part.duration);
            let known = self.parts.contains_key(&(number, index));
            let first = self.parts.entry((number, index)).or_insert_with(|| now.clone());
            check(*first == now, || format!("part {number}.{index} was {first:?} and is {now:?}"))?;
            if let Some(place) =
                names.insert((now.0.clone(), part.byte_range.map(|range| range.offset)), (number, index))
            {
                return Err(format!("{} is part {place:?} and part {number}.{index}", now.0));
            }
            if let Some(hint) = self.hints.get(&(number, index)).filter(|_| !known) {
                check(*hint == now.0, || format!("{hint} was announced, and {} came", now.0))?;
            }
        }
        let hint = media.preload_hints.iter().find(|hint| hint.kind == HintKind::Part);
        let hint = hint.ok_or("no part is announced")?;
        let next = (media.next_sequence(), media.partial.as_ref().map_or(0, |open| open.parts.len() as u64));
        check(names.keys().all(|(name, _)| *name != hint.uri), || {
            format!("{} is announced and listed", hint.uri)
        })?;
        self.hints.insert(next, hint.uri.clone());
        Ok(())
    }
}

/// What the tags of the playlist itself promise.
fn header(media: &Media) -> Result<(), String> {
    let target = media.target_duration;
    check(target >= 1.0 && target.fract() == 0.0, || format!("EXT-X-TARGETDURATION is {target}"))?;
    let has_map = media.segments.iter().any(|segment| segment.map.is_some());
    check(!has_map || media.version >= Some(6), || "EXT-X-MAP needs version 6".to_owned())?;
    let part = media.part_target.ok_or("EXT-X-PART-INF is missing")?;
    let control = media.server_control.ok_or("EXT-X-SERVER-CONTROL is missing")?;
    check(control.can_block_reload, || "CAN-BLOCK-RELOAD is not YES".to_owned())?;
    let hold = control.part_hold_back.ok_or("PART-HOLD-BACK is missing")?;
    check(hold >= 2.0 * part - ROUNDED, || format!("PART-HOLD-BACK {hold} is below twice {part}"))?;
    let hold = control.hold_back.unwrap_or(3.0 * target);
    check(hold >= 3.0 * target, || format!("HOLD-BACK {hold} is below three times {target}"))?;
    let skip = control.can_skip_until.unwrap_or(6.0 * target);
    check(skip >= 6.0 * target, || format!("CAN-SKIP-UNTIL {skip} is below six times {target}"))
}

fn durations(media: &Media) -> Result<(), String> {
    let part_target = media.part_target.unwrap_or(0.0);
    let partial = media.partial.iter().map(|partial| (&partial.parts, None));
    let complete = media.segments.iter().map(|segment| (&segment.parts, Some(segment.duration)));
    for (parts, duration) in complete.chain(partial) {
        for (index, part) in parts.iter().enumerate() {
            let (uri, seconds) = (&part.uri, part.duration);
            check(seconds <= part_target + ROUNDED, || format!("{uri} lasts {seconds}"))?;
            let is_last = duration.is_some() && index + 1 == parts.len();
            check(is_last || seconds >= SHORTEST_PART * part_target, || {
                format!("{uri} lasts only {seconds}")
            })?;
        }
        let first = parts.first();
        check(first.is_none_or(|part| part.independent), || {
            format!("{first:?} begins a segment and depends")
        })?;
        if let Some(duration) = duration {
            let rounded = duration.round();
            check(rounded <= media.target_duration, || format!("a segment lasts {duration}"))?;
            let sum: f64 = parts.iter().map(|part| part.duration).sum();
            let agrees = parts.is_empty() || (sum - duration).abs() < 0.02;
            check(agrees, || format!("the parts of a segment of {duration} last {sum}"))?;
        }
    }
    Ok(())
}

/// Parts and dates near the end of the playlist.
fn near_the_edge(media: &Media) -> Result<(), String> {
    let mut to_end = media.partial_duration();
    for segment in media.segments.iter().rev() {
        let needed = to_end + segment.duration <= 3.0 * media.target_duration && !segment.gap;
        check(!needed || !segment.parts.is_empty(), || format!("{} has no parts any more", segment.uri))?;
        to_end += segment.duration;
    }
    for pair in media.segments.windows(2) {
        let (Some(one), Some(next)) = (pair[0].program_date_time, pair[1].program_date_time) else {
            continue;
        };
        let apart = next.duration_since(one).as_secs_f64();
        let agrees = pair[1].discontinuity || (apart - pair[0].duration).abs() < 0.1;
        check(agrees, || {
            format!("{} is dated {apart} after a segment of {}", pair[1].uri, pair[0].duration)
        })?;
    }
    Ok(())
}

fn reports(media: &Media) -> Result<(), String> {
    let next = media.next_sequence();
    for report in &media.rendition_reports {
        let last = report.last_sequence.ok_or("a rendition report without LAST-MSN")?;
        check(report.last_part.is_some(), || "a rendition report without LAST-PART".to_owned())?;
        check(last.abs_diff(next) <= 2, || format!("LAST-MSN {last} beside segment {next}"))?;
    }
    Ok(())
}

/// Compares a playlist with the one before it.
fn follows(before: &Media, after: &Media) -> Result<(), String> {
    let same = before.target_duration == after.target_duration && before.part_target == after.part_target;
    check(same, || "the target duration or the part target has changed".to_owned())?;
    let (old, new) = (before.media_sequence, after.media_sequence);
    check(new >= old, || format!("the media sequence went from {old} to {new}"))?;
    let end =
        |media: &Media| (media.next_sequence(), media.partial.as_ref().map_or(0, |open| open.parts.len()));
    check(end(after) >= end(before), || format!("the end went from {:?} to {:?}", end(before), end(after)))?;
    let gone = before.segments.iter().take_while(|segment| segment.sequence < new);
    let discontinuities = gone.filter(|segment| segment.discontinuity).count() as u64;
    let expected = before.discontinuity_sequence + discontinuities;
    let found = after.discontinuity_sequence;
    check(found == expected, || format!("EXT-X-DISCONTINUITY-SEQUENCE is {found}, not {expected}"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The playlist with this many parts of 0.5 s, four per segment of which eight are listed.
    fn text(parts: u64) -> String {
        let (next, rest) = (parts / 4, parts % 4);
        let first = next - 8;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,HOLD-BACK=6,PART-HOLD-BACK=1.5\n\
             #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        );
        let part = |text: &mut String, number: u64, index: u64| {
            let independent = if index == 0 { ",INDEPENDENT=YES" } else { "" };
            writeln!(text, "#EXT-X-PART:DURATION=0.5,URI=\"{number}.{index}.mp4\"{independent}").unwrap();
        };
        for number in first..next {
            writeln!(
                text,
                "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z",
                number / 30,
                number % 30 * 2
            )
            .unwrap();
            if number + 4 >= next {
                (0..4).for_each(|index| part(&mut text, number, index));
            }
            write!(text, "#EXTINF:2,\n{number}.mp4\n").unwrap();
        }
        (0..rest).for_each(|index| part(&mut text, next, index));
        writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}.{rest}.mp4\"").unwrap();
        text + &format!("#EXT-X-RENDITION-REPORT:URI=\"low.m3u8\",LAST-MSN={next},LAST-PART=0\n")
    }

    /// Twelve parts in a row, each asked for.
    fn responses() -> Vec<Response> {
        (83..95)
            .map(|parts| Response { asked: Some(((parts - 1) / 4, (parts - 1) % 4)), text: text(parts) })
            .collect()
    }

    #[test]
    fn a_server_without_faults_is_not_accused() {
        assert_eq!(faults(&responses()), [""; 0]);
        let mut delta = responses();
        let whole = &delta[6].text;
        let base = Url::parse("http://host/").unwrap();
        let Playlist::Media(media) = read(whole, &base).unwrap().playlist else { panic!("{whole}") };
        assert!(media.skippable() > 0, "{whole}");
        delta[6].text = media.delta(media.skippable()).to_string();
        assert_eq!(faults(&delta), [""; 0]);
        delta[6].text = media.delta(media.skippable() + 1).to_string();
        assert!(faults(&delta)[0].contains("skipped"), "{:?}", faults(&delta));
    }

    #[test]
    fn each_fault_is_found() {
        // The seventh response has 89 parts: segments 14 to 21, and part 22.0.
        let replacements = [
            ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:1"),
            ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:3"),
            ("#EXT-X-VERSION:9", "#EXT-X-VERSION:3"),
            ("#EXT-X-PART-INF:PART-TARGET=0.5\n", ""),
            ("PART-TARGET=0.5", "PART-TARGET=0.4"),
            ("CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=NO"),
            (",PART-HOLD-BACK=1.5", ""),
            ("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.9"),
            ("HOLD-BACK=6", "HOLD-BACK=5"),
            ("CAN-SKIP-UNTIL=12", "CAN-SKIP-UNTIL=10"),
            ("MEDIA-SEQUENCE:14", "MEDIA-SEQUENCE:13"),
            ("MEDIA-SEQUENCE:14", "MEDIA-SEQUENCE:10"),
            ("#EXTINF:2,\n20.mp4", "#EXTINF:2.6,\n20.mp4"),
            ("#EXTINF:2,\n20.mp4", "#EXTINF:1.5,\n20.mp4"),
            ("\n20.mp4", "\n20b.mp4"),
            ("URI=\"21.1.mp4\"", "URI=\"21.1b.mp4\""),
            ("DURATION=0.5,URI=\"21.1.mp4\"", "DURATION=0.4,URI=\"21.1.mp4\""),
            ("DURATION=0.5,URI=\"22.0.mp4\"", "DURATION=0.6,URI=\"22.0.mp4\""),
            ("URI=\"21.1.mp4\"", "URI=\"21.0.mp4\""),
            ("URI=\"22.0.mp4\",INDEPENDENT=YES", "URI=\"22.0.mp4\""),
            ("URI=\"22.0.mp4\"", "URI=\"other.mp4\""),
            ("#EXT-X-PART:DURATION=0.5,URI=\"22.0.mp4\",INDEPENDENT=YES\n", ""),
            ("TYPE=PART,URI=\"22.1.mp4\"", "TYPE=PART,URI=\"22.0.mp4\""),
            ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"22.1.mp4\"\n", ""),
            ("TYPE=PART,URI=\"22.1.mp4\"", "TYPE=PART,URI=\"22.9.mp4\""),
            ("T00:00:40Z", "T00:00:43Z"),
            ("LAST-MSN=22", "LAST-MSN=12"),
            (",LAST-PART=0", ""),
            ("#EXT-X-MEDIA-SEQUENCE:14", "#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-MEDIA-SEQUENCE:14"),
            ("#EXTM3U", "#EXTM3"),
        ];
        for (right, wrong) in replacements {
            let mut responses = responses();
            let text = &mut responses[6].text;
            assert!(text.contains(right), "{right}: {text}");
            *text = text.replacen(right, wrong, 1);
            assert!(!faults(&responses).is_empty(), "{right} as {wrong:?} is not found");
        }
        // Parts that are listed too short a time, and a playlist that goes back.
        let mut responses = responses();
        let kept: Vec<&str> = responses[6].text.lines().filter(|line| !line.contains("\"20.")).collect();
        responses[6].text = kept.join("\n");
        assert!(faults(&responses)[0].contains("20.mp4 has no parts"), "{:?}", faults(&responses));
        let mut responses = self::responses();
        responses[7].text = text(88);
        responses[7].asked = None;
        assert!(faults(&responses)[0].contains("the end went from"), "{:?}", faults(&responses));
    }
}
