//! `open_file_cache` where segments are served.

use super::{Draft, Outcome};
use crate::audit::context::Context;
use crate::audit::findings::Severity;
use crate::audit::nginx::Location;
use crate::audit::patch::{Edit, into_block};

pub(crate) fn open_file_cache(context: &Context<'_>) -> Outcome {
    let (mut without, mut unlimited) = (Vec::new(), Vec::new());
    let mut with = 0;
    for location in context.nginx.segments() {
        match location.in_effect("open_file_cache") {
            Some(directive) if directive.value() != "off" => with += 1,
            Some(directive) => without.push(format!("{}: {directive}", directive.place())),
            None => {
                without.push(format!("{}: {} has none", location.head.place(), location.head));
                unlimited.push(location);
            }
        }
    }
    if without.is_empty() {
        return match with {
            0 => Outcome::NotHere,
            _ => Outcome::Good("on where segments are served".into()),
        };
    }
    let cached = context.cached_files();
    let requests = context.segment_seconds().map(|seconds| f64::from(context.viewers) * 2.0 / seconds);
    let rate = requests.map_or_else(String::new, |rate| format!(", {rate:.0} times a second"));
    let edits: Vec<Edit> = unlimited.iter().filter_map(|location| edit(context, location, cached)).collect();
    Outcome::found(
        Draft::new(Severity::Moderate, "segments are opened anew for each request")
            .evidence(without)
            .effect(format!(
                "each of {} viewers holds a descriptor of its own for the segment that it is sent, and nginx looks up, opens and closes a file for each request{rate}",
                context.viewers
            ))
            .fix(format!(
                "open_file_cache max={cached} inactive=10s, open_file_cache_valid 10s for segments; 1 s or off for playlists"
            ))
            .edits(edits),
    )
}

/// The cache where segments are served, and none for playlists: a playlist is replaced every few seconds,
/// and a worker that keeps the old one open serves it on.
fn edit(context: &Context<'_>, location: &Location<'_>, cached: usize) -> Option<Edit> {
    let cache = format!("open_file_cache max={cached} inactive=10s;");
    let mut lines = vec![
        "# Open segments are shared by the viewers that fetch them.",
        &cache,
        "open_file_cache_valid 10s;",
        "# A segment that is not there yet may be there at the next request.",
        "open_file_cache_errors off;",
    ];
    if !location.segments_only() {
        // A place for playlists inside would not find files that are meant by an alias.
        if location.own().iter().any(|directive| directive.name == "alias") {
            return None;
        }
        lines.extend([
            "# A playlist is replaced every few seconds; kept open, the old one would be served on.",
            "location ~ \\.m3u8$ {",
            "    open_file_cache off;",
            "}",
        ]);
    }
    into_block(location.head, &lines, context.files())
}
