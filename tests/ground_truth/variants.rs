//! Viewers of one variant each, with the audio in a separate playlist.

use std::collections::BTreeSet;

use super::account::settle;
use super::media::Live;
use super::site::{Outcome, Site};
use super::streams::assert_passed;

/// A viewer fetches its own variant and the separate audio, and no other rendition.
#[test]
fn each_viewer_fetches_only_its_own_renditions() {
    let site = Site::start("", Live::start_separate_audio);
    let Outcome { run, served, known } = site.play("/master.m3u8", 4, 11, &["--variant", "each"]);
    settle("variants in turn, separate audio", &run, &served, &known);
    assert_passed(&run);
    for viewer in 1..=4 {
        let folders: BTreeSet<&str> = served
            .iter()
            .filter(|one| one.viewer == viewer)
            .map(|one| one.target.split('/').nth(1).unwrap())
            .collect();
        let own = if viewer % 2 == 1 { "v0" } else { "v1" };
        let expected = BTreeSet::from(["master.m3u8", "v2", own]);
        assert_eq!(folders, expected, "viewer {viewer} selects from its own response; v2 is the audio");
        for folder in folders.into_iter().filter(|folder| *folder != "master.m3u8") {
            let segments = served.iter().filter(|one| {
                one.viewer == viewer
                    && one.kind() == "segment"
                    && one.target.starts_with(&format!("/{folder}/"))
            });
            assert!(segments.count() >= 5, "viewer {viewer} paces {folder} like the rest");
        }
    }
}
