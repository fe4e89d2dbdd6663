//! `open_file_cache` where segments are served.

use super::{Found, Outcome};
use crate::audit::case::Case;
use crate::audit::findings::Severity;
use crate::audit::patch::{Edit, into_block};
use crate::audit::site::Leaf;

pub(crate) fn open_file_cache(case: &Case<'_>) -> Outcome {
    let (mut without, mut bare) = (Vec::new(), Vec::new());
    let mut with = 0;
    for leaf in case.site.segments() {
        match leaf.effective("open_file_cache") {
            Some(directive) if directive.value() != "off" => with += 1,
            Some(directive) => without.push(format!("{}: {directive}", directive.place())),
            None => {
                without.push(format!("{}: {} has none", leaf.head.place(), leaf.head));
                bare.push(leaf);
            }
        }
    }
    if without.is_empty() {
        return match with {
            0 => Outcome::NotHere,
            _ => Outcome::Good("on where segments are served".into()),
        };
    }
    let cached = case.cached_files();
    let requests = case.segment_seconds().map(|seconds| f64::from(case.viewers) * 2.0 / seconds);
    let rate = requests.map_or_else(String::new, |rate| format!(", {rate:.0} times a second"));
    let edits: Vec<Edit> = bare.iter().filter_map(|leaf| edit(case, leaf, cached)).collect();
    Outcome::found(
        Found::new(Severity::Moderate, "segments are opened anew for each request")
            .evidence(without)
            .effect(format!(
                "each of {} viewers holds a descriptor of its own for the segment that it is sent, and nginx looks up, opens and closes a file for each request{rate}",
                case.viewers
            ))
            .fix(format!(
                "open_file_cache max={cached} inactive=10s, open_file_cache_valid 10s for segments; 1 s or off for playlists"
            ))
            .edits(edits),
    )
}

/// The cache where segments are served, and none for playlists: a playlist is replaced every few seconds,
/// and a worker that keeps the old one open serves it on.
fn edit(case: &Case<'_>, leaf: &Leaf<'_>, cached: usize) -> Option<Edit> {
    let cache = format!("open_file_cache max={cached} inactive=10s;");
    let mut lines = vec![
        "# Open segments are shared by the viewers that fetch them.",
        &cache,
        "open_file_cache_valid 10s;",
        "# A segment that is not there yet may be there at the next request.",
        "open_file_cache_errors off;",
    ];
    if !leaf.segments_only() {
        // A place for playlists inside would not find files that are meant by an alias.
        if leaf.own().iter().any(|directive| directive.name == "alias") {
            return None;
        }
        lines.extend([
            "# A playlist is replaced every few seconds; kept open, the old one would be served on.",
            "location ~ \\.m3u8$ {",
            "    open_file_cache off;",
            "}",
        ]);
    }
    into_block(leaf.head, &lines, case.files())
}
