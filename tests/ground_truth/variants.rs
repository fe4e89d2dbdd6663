//! Viewers of one variant each, or of all, with the audio in a separate playlist.

use std::collections::{BTreeMap, BTreeSet};

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

/// The folders of media playlists and the names that the report gives them, read from the multivariant playlist's text.
fn names(text: &str) -> BTreeMap<String, String> {
    let attribute = |line: &str, name: &str| {
        let value = line.split([',', ':']).find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let folder = |uri: &str| uri.split('/').next().unwrap().to_owned();
    let mut names = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO") {
            let name = format!("audio:{}", attribute(line, "NAME").unwrap());
            names.insert(folder(&attribute(line, "URI").unwrap()), name);
        } else if line.starts_with("#EXT-X-STREAM-INF") {
            let kilobits = (attribute(line, "BANDWIDTH").unwrap().parse::<f64>().unwrap() / 1000.0).round();
            let size = attribute(line, "RESOLUTION").unwrap();
            names.insert(folder(lines.next().unwrap()), format!("{size}@{kilobits}k"));
        }
    }
    names
}

/// The figures of each variant are those of the requests below its path.
#[test]
fn the_figures_of_each_variant_equal_the_log() {
    compare_variants("all variants", &[]);
}

#[test]
fn the_figures_of_each_variant_of_native_viewers_equal_the_log() {
    compare_variants("all variants, native", &["--engine", "native", "--variant", "all"]);
}

fn compare_variants(case: &str, arguments: &[&str]) {
    let site = Site::start("", Live::start_separate_audio);
    let names = names(&std::fs::read_to_string(site.www().join("master.m3u8")).unwrap());
    assert_eq!(names.values().collect::<BTreeSet<_>>().len(), 3, "{names:?}");
    let Outcome { run, served, known } = site.play("/master.m3u8", 3, 11, arguments);
    let account = settle(case, &run, &served, &known);
    assert!(matches!(run.exit_code, Some(0 | 5)), "exit code {:?}: {}", run.exit_code, run.output);

    let name = |target: &str| {
        let folder = target.split('/').nth(1).unwrap();
        names.get(folder).map_or("other", String::as_str)
    };
    // By variant and kind: requests and body bytes.
    let mut logged = BTreeMap::<(&str, &str), (u64, u64)>::new();
    let mut add = |target: &str, kind: &'static str, bytes: u64| {
        let (requests, sum) = logged.entry((name(target), kind)).or_default();
        (*requests, *sum) = (*requests + 1, *sum + bytes);
    };
    account
        .whole
        .iter()
        .for_each(|pair| add(&pair.served.target, pair.served.kind(), pair.served.body_bytes));
    for (pair, _) in &account.cut {
        add(&pair.served.target, pair.served.kind(), pair.exchange.body_bytes);
    }
    let rows = run.report["variants"].as_array().unwrap();
    let mut reported = BTreeMap::<(&str, &str), (u64, u64)>::new();
    for row in rows {
        for kind in ["manifest", "segment", "init", "key", "steering", "other"] {
            let figure = |of: &str| row[of][kind].as_u64().unwrap();
            if figure("requests") > 0 {
                let figures = (figure("requests"), figure("bytes"));
                reported.insert((row["name"].as_str().unwrap(), kind), figures);
            }
        }
    }
    // What the server never logged has no path.
    let unlogged = account.unlogged.len() as u64;
    if unlogged == 0 {
        assert_eq!(reported, logged);
    } else {
        let requests = |figures: &BTreeMap<_, (u64, u64)>| figures.values().map(|one| one.0).sum::<u64>();
        assert_eq!(requests(&reported), requests(&logged) + unlogged);
        assert!(
            logged.iter().all(|(key, figures)| reported[key].0 >= figures.0 && reported[key].1 >= figures.1)
        );
    }

    for row in rows.iter().filter(|row| row["name"] != "other") {
        assert_eq!((&row["viewers"], &row["playing"]), (&3.into(), &3.into()), "{row}");
        let whole = account.whole.iter().filter(|pair| {
            pair.served.kind() == "segment" && name(&pair.served.target) == row["name"].as_str().unwrap()
        });
        let (segments, bytes) =
            whole.fold((0, 0), |(count, sum), pair| (count + 1, sum + pair.served.body_bytes));
        assert_eq!((&row["whole_segments"], &row["whole_bytes"]), (&segments.into(), &bytes.into()), "{row}");
        assert!(row["segment_total"]["count"] == segments && row["errors"]["failed"] == 0, "{row}");
        // Segments have about one second.
        let rate = bytes as f64 * 8.0 / row["media_seconds"].as_f64().unwrap();
        assert!((row["measured_bits_per_second"].as_f64().unwrap() - rate).abs() < 1.0, "{row}");
        assert!((row["media_seconds"].as_f64().unwrap() / f64::from(segments) - 1.0).abs() < 0.3, "{row}");
    }
}
