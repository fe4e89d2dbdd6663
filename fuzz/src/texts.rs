//! Texts that are read as a whole: playlists, reports, metrics, nginx.conf, profiles.

use std::collections::BTreeMap;

use hls_swarm::cli::run::RunArgs;
use hls_swarm::config::plan::{Environment, resolve};
use hls_swarm::origin_metrics::{exposition as samples, parse};
use hls_swarm::output::comparison::Compared;
use hls_swarm::output::{formats, summary};
use hls_swarm_hls::playlist::pathway::Pathways;
use hls_swarm_hls::playlist::{Playlist, read};
use hls_swarm_hls::selection::{VariantSelection, select};
use hls_swarm_hls::steering::SteeringManifest;
use hls_swarm_host::audit::nginx_conf;
use hls_swarm_model::report::{Format, merge, read as report};
use url::Url;

use crate::planted;

/// A playlist, or a steering manifest: their figures are sound, and what is written of a playlist is read as the same
/// again.
///
/// # Panics
/// A property does not hold.
pub fn playlists(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let base = Url::parse("http://host/live/main.m3u8?token=1").unwrap();
    if let Ok(steering) = SteeringManifest::read(data, &base) {
        steered(&steering);
    }
    let Ok(reading) = read(&text, &base) else { return };
    match &reading.playlist {
        Playlist::Media(media) => {
            let (longest, all) = (media.longest_segment(), media.duration());
            assert!(longest >= 0.0 && all >= 0.0, "{longest} {all}");
            let after = media.segments.last().map(|segment| segment.sequence.saturating_add(1));
            assert!(after.is_none_or(|after| after == media.next_sequence()), "{media:?}");
            // A delta update leads to the whole playlist again.
            let count = media.skippable().max(media.segments.len() / 2);
            let mut whole = hls_swarm_hls::playlist::Media {
                removed_dateranges: Vec::new(),
                unkeyed: 0,
                ..media.clone()
            };
            whole.segments.iter_mut().take(count).for_each(|segment| segment.parts.clear());
            if media.skipped == 0 && count > 0 && whole.next_sequence() < u64::MAX {
                assert_eq!(whole.delta(count).completed(media), Some(whole));
            }
            planted(media.segments.iter().any(|segment| segment.gap && segment.discontinuity));
        }
        Playlist::Multivariant(multivariant) => {
            for selection in ["first", "highest", "lowest", "each", "720p"] {
                let selection: VariantSelection = selection.parse().unwrap();
                drop(select(multivariant, selection).map(|_| ()).map_err(|error| error.to_string()));
            }
            for variant in &multivariant.variants {
                let audio = multivariant.audio_rendition_of(variant);
                assert!(audio.is_some() || multivariant.audio_of(variant).is_none());
                assert!(!multivariant.variant_name(variant).is_empty());
            }
        }
    }
    let written = reading.playlist.to_string();
    if written.contains("{$") {
        // A variable without a value may get one in what is written, where definitions come first.
        return;
    }
    let again = read(&written, &base).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again.playlist.to_string(), written);
}

/// A cloned pathway has at most as many variants as the one that it is a copy of.
fn steered(steering: &SteeringManifest) {
    assert!(!steering.ttl.is_zero(), "{steering:?}");
    let base = Url::parse("http://host/main.m3u8").unwrap();
    let text =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb\n";
    let Ok(Playlist::Multivariant(list)) = read(text, &base).map(|reading| reading.playlist) else { return };
    let Some(with) = list.with_clones(&steering.clones) else { return };
    assert!(with.variants.len() <= list.variants.len() + steering.clones.len(), "{with:?}");
    assert_eq!(Pathways::of(&with).of.len(), with.variants.len());
}

/// A report: whatever is read can be shown, compared, merged, and read again, without control characters.
///
/// # Panics
/// A property does not hold.
pub fn reports(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(read) = report::read("fuzz.json", &text) else { return };
    for (_, format) in Format::ENDINGS {
        drop(formats::render(format, &read));
    }
    let shown = summary::render(&read, false);
    let compared = Compared::new(("a", &read), ("b", &read), &[]).text();
    assert!(!shown.contains('\x1b') && !compared.contains('\x1b'), "{shown}");
    let json = read.to_json().unwrap();
    report::read("again.json", &json).unwrap_or_else(|error| panic!("{}: {json}", error.chain()));
    let mut later = read.clone();
    later.run.began_unix = later.run.began_unix.wrapping_add(2);
    drop(merge::merge(&[("a".to_owned(), read.clone()), ("b".to_owned(), later)]));
    planted(read.snapshot.peak_clients != 3);
}

/// Metrics of an origin, in Prometheus' exposition, and nginx's list of files.
///
/// # Panics
/// A property does not hold.
pub fn exposition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut negative = false;
    for sample in samples::samples(&text) {
        assert!(!sample.name.is_empty());
        negative |= sample.value < 0.0;
    }
    planted(negative);
    for loopback in [false, true] {
        drop(parse::node(&text, loopback));
    }
    drop(parse::nginx(&text));
    drop(parse::sizes(&text));
}

/// A configuration of nginx, alone and as a file that includes itself; and the output of `nginx -T`.
///
/// # Panics
/// A property does not hold.
pub fn nginx_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let parsed = nginx_conf::parse("nginx.conf", &text);
    if let Ok(directives) = &parsed {
        let lines = text.lines().count() as u64 + 1;
        for directive in directives {
            assert!(u64::try_from(directive.last_line).unwrap() <= lines, "{directive:?}");
            let word = nginx_conf::quote(directive.value());
            let again = nginx_conf::parse("again.conf", &format!("name {word};")).unwrap();
            assert!(again.len() == 1 && again[0].value() == directive.value(), "{word:?} {again:?}");
            planted(depth(directive) > 4);
        }
    }
    let texts = BTreeMap::from([("/etc/nginx.conf".to_owned(), text.clone())]);
    let files = nginx_conf::Files { main: "/etc/nginx.conf".into(), texts, ..nginx_conf::Files::default() };
    drop(nginx_conf::assemble(files));
    let dumped: usize = nginx_conf::dump(&text).iter().map(|(_, text)| text.len()).sum();
    assert!(dumped <= text.len());
}

/// How deep blocks are nested.
fn depth(directive: &nginx_conf::Directive) -> usize {
    directive.block.iter().flatten().map(depth).max().map_or(0, |deepest| deepest + 1)
}

/// Profiles of a run, an origin, and a host, and the plan of the run.
///
/// # Panics
/// A property does not hold.
pub fn profiles(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(args) = RunArgs::read("the profile", &text) {
        drop(resolve(&args, &Environment::default()));
        planted(args.load.clients != RunArgs::default().load.clients);
    }
    if let Ok(profile) = hls_swarm_origin::profile::parse("the profile", &text) {
        let written = hls_swarm_origin::profile::to_toml(&profile).unwrap();
        hls_swarm_origin::profile::parse("again", &written)
            .unwrap_or_else(|error| panic!("{}: {written}", error.chain()));
    }
    drop(hls_swarm_host::tuning::profile::parse("the profile", &text, None));
}
