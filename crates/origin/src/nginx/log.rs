//! The access log, as the profile's table `log` asks for it.

use super::Site;
use crate::access_log::format;
use crate::profile::{Access, Log};

/// Where `access_log` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `http`: for all requests.
    Http,
    /// In the location of the segments.
    Segments,
}

/// The directives at this place, each line indented by `indent`.
pub(crate) fn directives(site: &Site<'_>, place: Place, indent: &str) -> String {
    let Log { access, buffer_kb, flush_seconds, gzip_level, .. } = site.serving.log;
    let written = site.access_log.filter(|_| access != Access::Off);
    let here = match (place, access) {
        (Place::Http, Access::All) | (Place::Segments, Access::Segments) => written,
        _ => None,
    };
    let mut text = String::new();
    if place == Place::Http && written.is_some() {
        text.push_str(&format!("{indent}{}\n", format::log_format()));
    }
    let Some(path) = here else {
        return if place == Place::Http { text + &format!("{indent}access_log off;\n") } else { text };
    };
    if buffer_kb > 0 {
        text.push_str(&format!(
            "{indent}# In blocks: a write for each request would cost more than the request.\n"
        ));
    }
    let gzip = if gzip_level > 0 { format!(" gzip={gzip_level}") } else { String::new() };
    let buffer =
        if buffer_kb > 0 { format!(" buffer={buffer_kb}k flush={flush_seconds}s") } else { String::new() };
    text + &format!("{indent}access_log \"{path}\" {}{gzip}{buffer};\n", format::FORMAT_NAME)
}
