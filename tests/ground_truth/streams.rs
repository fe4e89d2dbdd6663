//! Streams of every make, served as they should be.

use std::fs;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::account::settle;
use super::media::{Live, film};
use super::origin::Origin;
use super::pairing::{Account, Circumstances};
use super::site::{Outcome, Site};
use super::swarm::{Run, Swarm};
use super::truth;

/// How many whole exchanges were of this kind.
pub(crate) fn count(account: &Account<'_>, kind: &str) -> usize {
    account.whole.iter().filter(|pair| pair.served.kind() == kind).count()
}

/// Everybody played all the time, and the run passed (or the machine was too busy to tell).
pub(crate) fn assert_passed(run: &Run) {
    assert!(matches!(run.exit_code, Some(0 | 5)), "exit code {:?}: {}", run.exit_code, run.said);
    assert_eq!(run.number("/viewers/starts"), run.number("/viewers/exits/success"), "{}", run.said);
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
    let masters = served.iter().filter(|one| one.target == "/master.m3u8").count();
    assert_eq!(masters, 2, "each viewer asks for the master playlist once");
}

/// Viewers of one rendition cause no traffic for the others.
#[test]
fn one_rendition() {
    let site = Site::start("", Live::start_renditions);
    let Outcome { run, served, known } = site.play("/master.m3u8", 3, 12, &["--variant", "lowest"]);
    let account = settle("ABR, one rendition", &run, &served, &known);
    assert_passed(&run);
    assert!(served.iter().all(|one| one.target.starts_with("/v2/")), "only the lowest");
    assert!(count(&account, "segment") >= 3 * 8);
}

/// A film is played at its own pace; who has seen it to its end is followed by the next viewer.
#[test]
fn vod_at_its_own_pace() {
    let site = Site::start("", film);
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 20, &[]);
    let account = settle("VOD, paced", &run, &served, &known);
    assert_passed(&run);
    // 20 s hold the whole film of 12 s and half of the next showing.
    for row in &run.rows {
        assert_eq!(row.starts, 2, "viewer {}", row.viewer);
        assert!((14.0..=22.0).contains(&row.media_seconds), "viewer {}: {}", row.viewer, row.media_seconds);
        let of = |name: &str| {
            let named = |served: &truth::Served| served.viewer == row.viewer && served.name() == name;
            account.whole.iter().filter(|pair| named(pair.served)).count()
        };
        assert_eq!(of("s.m3u8"), 2, "a playlist that ends is fetched once per showing");
        for number in 0..6 {
            assert!(of(&format!("s{number}.ts")) >= 1, "segment {number} of the first showing");
        }
    }
}

/// Initialization sections are counted as such.
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

/// Keys are counted as such, and encrypted segments as what is sent, not as what is in them.
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
