//! Content steering, variables, and keys of the multivariant playlist: what native viewers request, by nginx's log.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::account::settle;
use super::site::{Outcome, Site};
use super::streams::count;
use super::swarm::Swarm;
use super::truth::Served;
use hls_swarm_test_support::publisher::Publisher;

const NATIVE: [&str; 2] = ["--engine", "native"];
const VIEWERS: u32 = 3;

/// A live stream with the pathways `a` and `b`, whose steering manifest prefers `a` and is valid for 2 s.
fn steered(www: &Path) -> Publisher {
    let mut text =
        "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steer.json?session=1\",PATHWAY-ID=\"a\"\n".to_owned();
    for pathway in ["a", "b"] {
        symlink(www, www.join(pathway)).unwrap();
        text +=
            &format!("#EXT-X-STREAM-INF:BANDWIDTH=400000,PATHWAY-ID=\"{pathway}\"\n{pathway}/live.m3u8\n");
    }
    fs::write(www.join("master.m3u8"), text).unwrap();
    prefer(www, "\"a\",\"b\"");
    Publisher::start(www, Duration::from_secs(1), 4_000)
}

fn prefer(www: &Path, priority: &str) {
    let text = format!("{{\"VERSION\":1,\"TTL\":2,\"PATHWAY-PRIORITY\":[{priority}]}}");
    fs::write(www.join("steer.new"), text).unwrap();
    fs::rename(www.join("steer.new"), www.join("steer.json")).unwrap();
}

/// The pathways of a viewer's requests for media, one after the other.
fn pathways(served: &[Served], viewer: u32) -> Vec<&str> {
    let media = served.iter().filter(|one| one.viewer == viewer && one.kind() == "segment");
    let mut pathways: Vec<&str> = media.map(|one| one.target.split('/').nth(1).unwrap()).collect();
    pathways.dedup();
    pathways
}

/// The steering server moves viewers from one pathway to the other, and back when that one fails.
#[test]
fn native_content_steering() {
    let site = Site::start("default_type application/json;", steered);
    let www = site.www();
    let arguments = [&NATIVE[..], &["--error-storm", "off"]].concat();
    let swarm = Swarm::start(&site.url("/master.m3u8"), VIEWERS, 20, &arguments);
    sleep(Duration::from_secs(6));
    prefer(&www, "\"b\",\"a\"");
    sleep(Duration::from_secs(6));
    fs::remove_file(www.join("b")).unwrap();
    let Outcome { run, served, known } = site.finish(swarm);
    let account = settle("native, content steering", &run, &served, &known);
    for viewer in 1..=VIEWERS {
        assert_eq!(pathways(&served, viewer)[..3], ["a", "b", "a"], "viewer {viewer}: {}", run.output);
        let own = served.iter().filter(|one| one.viewer == viewer && one.kind() == "steering");
        let targets: Vec<&str> = own.map(|one| one.target.as_str()).collect();
        // At the start, and then every two seconds.
        assert!((8..=11).contains(&targets.len()), "viewer {viewer}: {targets:?}");
        assert!(
            targets[0] == "/steer.json?session=1&_HLS_pathway=a&_HLS_throughput=500000"
                && targets.iter().any(|target| target.contains("_HLS_pathway=b&_HLS_throughput=")),
            "{targets:?}"
        );
        let segments =
            served.iter().filter(|one| one.viewer == viewer && one.kind() == "segment" && one.status == 200);
        let mut requested = BTreeMap::<&str, u32>::new();
        segments.for_each(|one| *requested.entry(one.name()).or_default() += 1);
        assert!(requested.values().all(|times| *times == 1), "no segment from both: {requested:?}");
    }
    assert_eq!(run.number("/pathway_switches"), u64::from(2 * VIEWERS));
    let whole = count(&account, "steering") as u64;
    let counted = run.number("/requests/steering");
    assert!((whole..=whole + u64::from(VIEWERS)).contains(&counted), "{counted} of {whole}");
    // What failed is what b did not have any more.
    let failed: Vec<_> = account.whole.iter().filter(|pair| pair.served.status >= 400).collect();
    assert!(failed.iter().all(|pair| pair.served.target.starts_with("/b/")), "{}", run.output);
    assert_eq!(run.number("/errors/http"), failed.len() as u64);
    assert!(failed.len() as u32 >= VIEWERS);
}

/// A VOD of encrypted segments, whose addresses are made of variables of all three forms.
fn variables(www: &Path) {
    fs::write(www.join("enc.key"), b"Sixteen bytes!!!").unwrap();
    fs::write(
        www.join("master.m3u8"),
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"folder\",VALUE=\"media\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
         #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"enc.key?t={$token}\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=400000\n{$folder}/list.m3u8?t={$token}\n",
    )
    .unwrap();
    fs::create_dir(www.join("media")).unwrap();
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DEFINE:IMPORT=\"token\"\n\
        #EXT-X-DEFINE:NAME=\"name\",VALUE=\"s\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"../enc.key?t={$token}\"\n"
        .to_owned();
    let cipher: Vec<u8> =
        (0..4096_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
    for number in 0..6 {
        fs::write(www.join(format!("media/s{number}.ts")), &cipher).unwrap();
        text += &format!("#EXTINF:2,\n{{$name}}{number}.ts?t={{$token}}\n");
    }
    fs::write(www.join("media/list.m3u8"), text + "#EXT-X-ENDLIST\n").unwrap();
}

/// Variables are resolved in every address, and a key of EXT-X-SESSION-KEY is loaded once, before it is needed.
#[test]
fn native_variables_and_session_keys() {
    for (preset, first) in [("simple", "enc.key"), ("hlsjs", "list.m3u8")] {
        let site = Site::start("", variables);
        let arguments = [&NATIVE[..], &["--preset", preset]].concat();
        let Outcome { run, served, known } = site.play("/master.m3u8?token=S3cret", 2, 8, &arguments);
        let account = settle("native, variables and session keys", &run, &served, &known);
        assert!(count(&account, "segment") >= 2 * 4, "{}", run.output);
        assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
        for viewer in [1, 2] {
            let targets: Vec<&str> =
                served.iter().filter(|one| one.viewer == viewer).map(|one| one.target.as_str()).collect();
            let expected = |target: &&str| {
                *target == "/master.m3u8?token=S3cret"
                    || *target == "/enc.key?t=S3cret"
                    || *target == "/media/list.m3u8?t=S3cret"
                    || (target.starts_with("/media/s") && target.ends_with(".ts?t=S3cret"))
            };
            assert!(targets.iter().all(expected), "{targets:?}");
            let keys = targets.iter().filter(|target| target.starts_with("/enc.key")).count();
            assert_eq!(keys, 1, "{preset}: {targets:?}");
            // Both are requested together; the media playlist has to come before its first segment.
            let place = |name: &str| targets.iter().position(|target| target.contains(name)).unwrap();
            assert!(place(first) < place("/s0.ts"), "{targets:?}");
            if preset == "hlsjs" {
                assert!(
                    place("list.m3u8") < place("enc.key"),
                    "it is requested when it is needed: {targets:?}"
                );
            }
        }
    }
}
