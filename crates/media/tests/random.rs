//! Segments with random faults: nothing panics, and nothing depends on how the bytes are divided.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

use proptest::prelude::*;

use hls_swarm_media::Reader;

/// Segments of real FFmpeg, with the cuts of the fuzzer before the first zero byte.
const SEEDS: [&[u8]; 2] = [
    include_bytes!("../../../fuzz/seeds/segments/t0.ts"),
    include_bytes!("../../../fuzz/seeds/segments/f.mp4"),
];

fn seed(place: usize) -> Vec<u8> {
    let bytes = SEEDS[place];
    bytes[bytes.iter().position(|byte| *byte == 0).unwrap() + 1..].to_vec()
}

fn read(bytes: &[u8], piece: usize) -> Reader {
    let mut reader = Reader::new();
    bytes.chunks(piece).for_each(|piece| reader.take(piece));
    reader
}

#[test]
fn the_seeds_have_times() {
    for place in 0..SEEDS.len() {
        let reader = read(&seed(place), 100);
        let times = reader.times(reader.tracks()).unwrap();
        assert!(times.duration_us.is_some_and(|us| us > 500_000), "{times:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn faults_are_found_or_tolerated(
        place in 0..SEEDS.len(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        // Most of what decides is in the beginning.
        early in prop::collection::vec((0_usize..2000, any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        piece in 1_usize..400,
    ) {
        let mut bytes = seed(place);
        for (at, value) in faults {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in early {
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (whole, divided) = (read(&bytes, bytes.len().max(1)), read(&bytes, piece));
        prop_assert_eq!(whole.tracks(), divided.tracks());
        let times = whole.times(whole.tracks());
        prop_assert_eq!(times, divided.times(divided.tracks()));
        if let Ok(times) = times {
            prop_assert_eq!(times.gap_us(0, &times), 0);
        }
    }
}
