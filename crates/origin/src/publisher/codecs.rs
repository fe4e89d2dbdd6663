//! Detection of codecs in MPEG-TS segments and in initialization sections of fragmented MP4. The names are those
//! of RFC 6381.

/// Size of an MPEG-TS packet, in bytes.
const PACKET: usize = 188;
/// Number of bytes of video that contain the sequence parameter set.
const SPS_BYTES: usize = 4096;

/// The codecs of the media that starts with `bytes`; empty if none was found.
#[must_use]
pub(crate) fn of(bytes: &[u8]) -> Vec<String> {
    let found = if bytes.first() == Some(&0x47) { transport_stream(bytes) } else { movie(bytes) };
    found.unwrap_or_default()
}

/// The name for H.264 from the three bytes after the type of a sequence parameter set.
fn avc(parameters: &[u8]) -> Option<String> {
    let [profile, constraints, level, ..] = parameters else { return None };
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// The name for AAC from the audio object type.
fn aac(object_type: u8) -> String {
    format!("mp4a.40.{object_type}")
}

/// Parses the first PES packet of each kind.
fn transport_stream(bytes: &[u8]) -> Option<Vec<String>> {
    let (mut video, mut audio) = (None, None);
    let mut video_pes = Pes::default();
    for packet in bytes.chunks_exact(PACKET) {
        let [0x47, high, low, flags, rest @ ..] = packet else { return None };
        let pid = u16::from_be_bytes([high & 0x1f, *low]);
        let (starts, adapted) = (high & 0x40 != 0, flags & 0x20 != 0);
        let skipped = if adapted { 1 + usize::from(*rest.first()?) } else { 0 };
        let Some(payload) = rest.get(skipped..).filter(|_| flags & 0x10 != 0) else { continue };
        if let (true, [0, 0, 1, kind, _, _, _, _, head, data @ ..]) = (starts, payload) {
            let data = data.get(usize::from(*head)..).unwrap_or_default();
            match kind {
                0xe0..=0xef if video.is_none() => video_pes = Pes { pid: Some(pid), data: data.to_vec() },
                0xc0..=0xdf if audio.is_none() => audio = adts(data),
                _ => {}
            }
        } else if video_pes.pid == Some(pid) {
            video_pes.data.extend_from_slice(payload);
        }
        if video.is_none() && video_pes.data.len() < SPS_BYTES + PACKET {
            video = sequence_parameters(&video_pes.data).and_then(avc);
        }
        if video.is_some() && audio.is_some() {
            break;
        }
    }
    Some(video.into_iter().chain(audio).collect())
}

#[derive(Default)]
struct Pes {
    pid: Option<u16>,
    data: Vec<u8>,
}

/// The bytes after the type of the first sequence parameter set (H.264, annex B).
fn sequence_parameters(data: &[u8]) -> Option<&[u8]> {
    let at = data.windows(4).position(|four| matches!(four, [0, 0, 1, kind] if kind & 0x1f == 7))?;
    data.get(at + 4..).filter(|rest| rest.len() >= 3)
}

/// Parses an ADTS header, whose profile is the audio object type minus one.
fn adts(data: &[u8]) -> Option<String> {
    match data {
        [0xff, second, third, ..] if second & 0xf0 == 0xf0 => Some(aac((third >> 6) + 1)),
        _ => None,
    }
}

/// The MP4 boxes in `bytes`: type and content.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d, kind @ ..] = *bytes.first_chunk::<8>()?;
        let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        let content = bytes.get(8..size)?;
        bytes = bytes.get(size..)?;
        Some((kind, content))
    })
}

/// The first box with this path.
fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    let Some((first, rest)) = path.split_first() else { return Some(bytes) };
    boxes(bytes).find_map(|(kind, content)| (kind == **first).then(|| inside(content, rest)).flatten())
}

/// The codecs of all tracks of an MP4 movie box.
fn movie(bytes: &[u8]) -> Option<Vec<String>> {
    let tracks = boxes(inside(bytes, &[b"moov"])?).filter(|(kind, _)| kind == b"trak");
    let codec = |track: &[u8]| {
        let entries = inside(track, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(8..)?;
        boxes(entries).find_map(|(kind, entry)| match &kind {
            // Fixed sizes of the sample entries in ISO/IEC 14496-12, after which their boxes follow.
            b"avc1" => avc(inside(entry.get(78..)?, &[b"avcC"])?.get(1..)?),
            b"mp4a" => object_type(inside(entry.get(28..)?, &[b"esds"])?.get(4..)?).map(aac),
            _ => None,
        })
    };
    Some(tracks.filter_map(|(_, track)| codec(track)).collect())
}

/// The audio object type in the descriptors of ISO/IEC 14496-1.
fn object_type(bytes: &[u8]) -> Option<u8> {
    let (3, elementary) = descriptor(bytes)? else { return None };
    let (4, config) = descriptor(elementary.get(3..)?)? else { return None };
    let (5, specific) = descriptor(config.get(13..)?)? else { return None };
    specific.first().map(|first| first >> 3)
}

/// Tag and content of the descriptor at the start of `bytes`.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut length = 0;
    loop {
        let (byte, after) = rest.split_first()?;
        (length, rest) = (length << 7 | usize::from(byte & 0x7f), after);
        if byte & 0x80 == 0 {
            return Some((*tag, rest.get(..length)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn adts_headers_and_parameter_sets_are_parsed() {
        assert_eq!(adts(&[0xff, 0xf1, 0x50, 0x80]).as_deref(), Some("mp4a.40.2"));
        assert_eq!(adts(&[0xff, 0xe1, 0x50]), None);
        let annex_b = [0, 0, 0, 1, 0x09, 0xf0, 0, 0, 0, 1, 0x67, 0x64, 0x00, 0x28, 0xac];
        assert_eq!(sequence_parameters(&annex_b).and_then(avc).as_deref(), Some("avc1.640028"));
    }

    #[test]
    fn descriptors_with_multi_byte_lengths_are_parsed() {
        let specific = [0x05, 0x80, 0x80, 0x02, 0x11, 0x90];
        let config = [[4, 13 + 6].as_slice(), &[0x40; 13], &specific].concat();
        let elementary = [[3, 0x80, 3 + 15 + 6].as_slice(), &[0, 1, 0], &config].concat();
        assert_eq!(object_type(&elementary), Some(2));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), ts in any::<bool>()) {
            let mut bytes = bytes;
            if ts {
                bytes.chunks_mut(PACKET).for_each(|packet| packet[0] = 0x47);
            }
            drop(of(&bytes));
        }
    }
}
