//! Streams of every format on a server without faults.

use std::fs;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::account::settle;
use super::media::{Live, vod};
use super::origin::Origin;
use super::pairing::{Account, Circumstances};
use super::site::{Outcome, Site};
use super::swarm::{Run, Swarm};
use super::truth;

/// Number of complete exchanges of this kind.
pub(crate) fn count(account: &Account<'_>, kind: &str) -> usize {
    account.whole.iter().filter(|pair| pair.served.kind() == kind).count()
}

/// Checks that all viewers played all the time, and that the run passed (or was invalid because the machine was busy).
pub(crate) fn assert_passed(run: &Run) {
    assert!(matches!(run.exit_code, Some(0 | 5)), "exit code {:?}: {}", run.exit_code, run.output);
    assert_eq!(run.number("/viewers/starts"), run.number("/viewers/exits/success"), "{}", run.output);
    assert_eq!(run.number("/errors/connect"), 0);
    for row in &run.rows {
        assert!(row.media_seconds > 5.0, "viewer {} played {} s", row.viewer, row.media_seconds);
    }
}

#[test]
fn live_ts_from_our_own_origin() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let mut origin = Origin::start(&["--access-log", log.to_str().unwrap()]);
    let url = origin.facts["url"].as_str().unwrap().to_owned();
    let run = Swarm::start(&url, 4, 14, &[]).finish();
    std::thread::sleep(std::time::Duration::from_millis(300));
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let served = truth::logged(&fs::read_to_string(log).unwrap());
    let known = Circumstances { host: format!("127.0.0.1:{}", origin.port()), ..Circumstances::default() };
    let account = settle("live TS", &run, &served, &known);
    assert_passed(&run);
    assert!(count(&account, "segment") >= 4 * 10 && count(&account, "manifest") >= 4 * 10);
    assert_eq!(run.rows.len(), 4);
}

/// Viewers that copy every rendition (-map 0) fetch every rendition.
#[test]
fn all_renditions() {
    let site = Site::start("", Live::start_renditions);
    let Outcome { run, served, known } = site.play("/master.m3u8", 2, 12, &["--variant", "all"]);
    let account = settle("ABR, all renditions", &run, &served, &known);
    assert_passed(&run);
    for rendition in ["/v0/", "/v1/", "/v2/"] {
        for viewer in [1, 2] {
            let of = account.whole.iter().filter(|pair| {
                pair.served.viewer == viewer
                    && pair.served.target.starts_with(rendition)
                    && pair.served.kind() == "segment"
            });
            assert!(of.count() >= 7, "viewer {viewer}, {rendition}");
        }
    }
    let multivariant = served.iter().filter(|one| one.target == "/master.m3u8").count();
    assert_eq!(multivariant, 2, "each viewer requests the multivariant playlist once");
}

/// Viewers of one rendition cause no traffic for the others.
#[test]
fn one_rendition() {
    let site = Site::start("", Live::start_renditions);
    let Outcome { run, served, known } = site.play("/master.m3u8", 3, 12, &["--variant", "lowest"]);
    let account = settle("ABR, one rendition", &run, &served, &known);
    assert_passed(&run);
    let (own, rest): (Vec<_>, Vec<_>) = served.iter().partition(|one| one.target == "/master.m3u8");
    assert_eq!(own.len(), 3, "each viewer selects from its own response");
    assert!(rest.iter().all(|one| one.target.starts_with("/v2/")), "only the lowest");
    assert!(count(&account, "segment") >= 3 * 8);
}

/// A VOD is played in real time; a viewer that has reached its end is followed by the next one.
#[test]
fn vod_in_real_time() {
    let site = Site::start("", vod);
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 20, &[]);
    let account = settle("VOD, paced", &run, &served, &known);
    assert_passed(&run);
    // 20 s are enough for the whole VOD of 12 s and half of the next playback.
    for row in &run.rows {
        assert_eq!(row.starts, 2, "viewer {}", row.viewer);
        assert!((14.0..=22.0).contains(&row.media_seconds), "viewer {}: {}", row.viewer, row.media_seconds);
        let of = |name: &str| {
            let named = |served: &truth::Served| served.viewer == row.viewer && served.name() == name;
            account.whole.iter().filter(|pair| named(pair.served)).count()
        };
        assert_eq!(of("s.m3u8"), 2, "a playlist that ends is fetched once per playback");
        for number in 0..6 {
            assert!(of(&format!("s{number}.ts")) >= 1, "segment {number} of the first playback");
        }
    }
}

/// Initialization sections are counted as their own kind.
#[test]
fn fmp4_with_an_initialization_section() {
    let site = Site::start("", |www| {
        Live::start(www, &["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"])
    });
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 12, &[]);
    let account = settle("fMP4", &run, &served, &known);
    assert_passed(&run);
    assert!(count(&account, "init") >= 3 && count(&account, "segment") >= 3 * 8);
}

/// Keys are counted as their own kind, and encrypted segments by the bytes that are sent.
#[test]
fn aes_128() {
    let site = Site::start("", |www| {
        fs::write(www.join("enc.key"), b"Sixteen bytes!!!").unwrap();
        let info = www.join("key-info");
        fs::write(&info, format!("enc.key\n{}\n", www.join("enc.key").display())).unwrap();
        Live::start(www, &["-hls_key_info_file", info.to_str().unwrap()])
    });
    let playlist = fs::read_to_string(site.www().join("s.m3u8")).unwrap();
    assert!(playlist.contains("METHOD=AES-128"), "{playlist}");
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 12, &[]);
    let account = settle("AES-128", &run, &served, &known);
    assert_passed(&run);
    assert!(count(&account, "key") >= 3 && count(&account, "segment") >= 3 * 8);
    let sizes = account.whole.iter().filter(|pair| pair.served.kind() == "segment");
    assert!(sizes.clone().count() > 0 && sizes.into_iter().all(|pair| pair.served.body_bytes % 16 == 0));
}
