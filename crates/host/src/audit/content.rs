//! Content of a location: playlists, segments, or something else, by its directives, its pattern, the
//! folders it leads to, and the regular expressions beside it.

use std::collections::BTreeSet;

use super::nginx::Location;
use super::nginx_conf::{Directive, absolute};

/// Content of a location's responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Playlists, segments, or both.
    Media {
        /// Whether requests for playlists match it.
        playlists: bool,
        /// Whether requests for segments match it.
        segments: bool,
    },
    /// Something else.
    Other,
    /// Nothing shows what it is.
    Unclear,
}

/// Directives that answer a request without a media file.
const OTHER_ANSWERS: [&str; 22] = [
    "return",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "stub_status",
    "rtmp_stat",
    "rtmp_control",
    "vhost_traffic_status_display",
    "vod_status",
    "prometheus",
    "js_content",
    "content_by_lua",
    "content_by_lua_block",
    "content_by_lua_file",
    "perl",
    "empty_gif",
    "echo",
    "api",
    "status",
    "dav_methods",
];
const PLAYLIST_ENDINGS: [&str; 2] = ["m3u8", "mpd"];
const SEGMENT_ENDINGS: [&str; 5] = ["ts", "m4s", "mp4", "aac", "m4v"];
/// Parts of paths and names that media is served from.
const MEDIA_WORDS: [&str; 20] = [
    "hls",
    "live",
    "vod",
    "stream",
    "streams",
    "streaming",
    "video",
    "videos",
    "media",
    "channel",
    "channels",
    "dash",
    "tv",
    "iptv",
    "llhls",
    "segments",
    "playlist",
    "playlists",
    "cdn",
    "lives",
];
/// Parts of paths that something else is served from.
const OTHER_WORDS: [&str; 42] = [
    "static",
    "assets",
    "css",
    "js",
    "javascript",
    "images",
    "image",
    "img",
    "icons",
    "fonts",
    "thumbs",
    "thumbnail",
    "thumbnails",
    "poster",
    "posters",
    "admin",
    "stat",
    "stats",
    "control",
    "api",
    "health",
    "healthz",
    "ping",
    "metrics",
    "status",
    "login",
    "auth",
    "token",
    "tokens",
    "well-known",
    "favicon",
    "robots",
    "crossdomain",
    "50x",
    "error",
    "errors",
    "docs",
    "ws",
    "websocket",
    "socket",
    "xsl",
    "public",
];

impl Location<'_> {
    /// Decides by the location's directives and its pattern what it serves.
    pub(super) fn classify(&self, prefix: &str, with_playlists: &[&str]) -> Content {
        let media = Content::Media { playlists: true, segments: true };
        let answers = self.own().iter().any(|directive| {
            OTHER_ANSWERS.contains(&directive.name.as_str())
                || (directive.name == "deny"
                    && directive.value() == "all"
                    && self.head.child("allow").is_none())
                || (directive.name == "rewrite"
                    && matches!(
                        directive.arguments.last().map(String::as_str),
                        Some("redirect" | "permanent")
                    ))
                || (directive.name == "vod" && directive.value() == "thumb")
                || (directive.name == "vod_mode" && directive.value() != "local")
                || (directive.name == "autoindex" && directive.value() == "on" && self.proxy_pass().is_none())
        });
        if answers || self.is_named() || self.has_catch_all() {
            return Content::Other;
        }
        if self.head.child("vod").is_some() {
            return media;
        }
        let (modifier, pattern) = self.pattern();
        if self.head.name == "location" {
            match by_ending(modifier, pattern) {
                Content::Unclear => {}
                found => return found,
            }
            match by_words(pattern) {
                Content::Unclear if modifier != Some("=") => {}
                Content::Unclear => return Content::Other,
                found => return found,
            }
        }
        if self.proxy_pass().is_none() {
            let root =
                self.in_effect("alias").or_else(|| self.in_effect("root")).map_or("html", Directive::value);
            let path = absolute(prefix, root);
            let path = path.trim_end_matches('/');
            let nested = |folder: &&str| *folder == path || folder.starts_with(&format!("{path}/"));
            if with_playlists.iter().any(nested) || by_words(root) == media {
                return media;
            }
        }
        let names = self.server.children().iter().filter(|directive| directive.name == "server_name");
        let named = names.flat_map(|names| &names.arguments).any(|name| by_words(name) == media);
        if named { media } else { Content::Unclear }
    }

    /// Reports whether this is a server block whose `location /` serves everything no other location does.
    fn has_catch_all(&self) -> bool {
        let catches_all = |directive: &Directive| {
            directive.name == "location" && directive.arguments.last().is_some_and(|path| path == "/")
        };
        self.head.name == "server" && self.own().iter().any(catches_all)
    }
}

/// Decides by the file names that a pattern asks for.
fn by_ending(modifier: Option<&str>, pattern: &str) -> Content {
    let words: BTreeSet<&str> = pattern.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |endings: &[&str]| endings.iter().any(|ending| words.contains(ending));
    let regex = matches!(modifier, Some("~" | "~*"));
    let file = pattern.rsplit('/').next().unwrap_or_default();
    // Some patterns have a dot without a backslash, which matches as well.
    let endings = has(&PLAYLIST_ENDINGS) || has(&SEGMENT_ENDINGS);
    let names_files =
        regex && (pattern.contains("\\.") || endings) || modifier == Some("=") && file.contains('.');
    match (has(&PLAYLIST_ENDINGS), has(&SEGMENT_ENDINGS)) {
        (playlists, segments) if (playlists || segments) && names_files => {
            Content::Media { playlists, segments }
        }
        _ if names_files && (pattern.ends_with('$') || modifier == Some("=")) => Content::Other,
        _ => Content::Unclear,
    }
}

/// Decides by the words of a path.
fn by_words(path: &str) -> Content {
    let lower = path.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let dashed = |word: &&str| lower.contains(*word);
    if words.iter().any(|word| OTHER_WORDS.contains(word)) || dashed(&"well-known") || dashed(&"socket.io") {
        Content::Other
    } else if words
        .iter()
        .any(|word| MEDIA_WORDS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())))
    {
        Content::Media { playlists: true, segments: true }
    } else {
        Content::Unclear
    }
}

/// Returns the literal prefix that all paths matching a regular expression have in common.
fn literal_start(pattern: &str) -> &str {
    let Some(rest) = pattern.strip_prefix('^') else { return "" };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
    let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
    // The last character may be optional.
    let optional = rest.get(end..).is_some_and(|tail| tail.starts_with(['?', '*', '{']));
    if rest.contains('|') {
        ""
    } else {
        rest.get(..end - usize::from(optional && end > 0)).unwrap_or_default()
    }
}

/// Removes from each prefix location the playlists or segments that a regular-expression location takes.
pub(super) fn narrow(locations: &mut [Location<'_>]) {
    let taken: Vec<((*const Directive, &str), bool, bool)> = locations
        .iter()
        .filter(|location| matches!(location.pattern().0, Some("~" | "~*")))
        .filter_map(|location| match location.content {
            Content::Media { playlists, segments } if playlists != segments => {
                let start = literal_start(location.head.arguments.last().map_or("", String::as_str));
                Some(((std::ptr::from_ref(location.head), start), playlists, segments))
            }
            _ => None,
        })
        .collect();
    for location in locations.iter_mut() {
        let (modifier, pattern) = location.pattern();
        let pattern = if location.head.name == "server" { "/" } else { pattern };
        let Content::Media { playlists: true, segments: true } = location.content else { continue };
        if matches!(modifier, Some("=" | "~" | "~*")) {
            continue;
        }
        let inside = |head: *const Directive, block: &Directive| {
            block.children().iter().any(|child| std::ptr::eq(child, head))
        };
        let takes = |(head, start): (*const Directive, &str)| {
            inside(head, location.head)
                || (modifier != Some("^~")
                    && inside(head, location.server)
                    && (pattern.starts_with(start) || start.starts_with(pattern)))
        };
        let playlists = !taken.iter().any(|(head, playlists, _)| *playlists && takes(*head));
        let segments = !taken.iter().any(|(head, _, segments)| *segments && takes(*head));
        location.content =
            if playlists || segments { Content::Media { playlists, segments } } else { Content::Other };
    }
}

#[cfg(test)]
mod tests {
    use super::super::nginx::Nginx;
    use crate::audit::nginx_conf::{Files, assemble};

    fn classified(http: &str) -> Vec<(String, bool, bool)> {
        let files = Files {
            main: "/n.conf".into(),
            texts: [("/n.conf".to_owned(), format!("events {{}} http {{ {http} }}"))].into(),
            ..Files::default()
        };
        let configuration = assemble(files).unwrap();
        let nginx = Nginx::new(&configuration, "/p", &["/srv/known"]);
        let locations = nginx.locations.iter().filter(|location| location.head.name == "location");
        locations
            .map(|location| {
                (location.head.arguments.join(" "), location.serves_playlists(), location.serves_segments())
            })
            .collect()
    }

    #[test]
    fn locations_are_classified_by_pattern_directives_and_folders() {
        for (text, playlists, segments) in [
            ("location /live/ { root /x; }", true, true),
            ("location /hls2 { root /x; }", true, true),
            (r"location ~ \.m3u8$ { root /x; }", true, false),
            (r"location ~ \.(ts|m4s)$ { root /x; }", false, true),
            (r"location ~* \.(m3u8|ts)$ { root /x; }", true, true),
            (r"location ~* (.m3u8|png) { root /x; }", true, false),
            (r"location ~ \.php$ { root /x; }", false, false),
            (r"location ~* \.(js|css|png)$ { expires 1h; }", false, false),
            ("location = /live/clip.mp4 { root /x; }", false, true),
            ("location = /login { root /x; }", false, false),
            ("location = /crossdomain.xml { root /x; }", false, false),
            ("location /thumbs/ { root /x; }", false, false),
            ("location /stat { rtmp_stat all; }", false, false),
            ("location /live/stat { rtmp_stat all; }", false, false),
            ("location /live/ { content_by_lua_file x; }", false, false),
            ("location /live/ { rewrite ^ /x permanent; }", false, false),
            ("location /vod/ { vod hls; }", true, true),
            ("location /vod/ { vod hls; vod_mode remote; }", false, false),
            ("location /a/ { alias /srv/known/; }", true, true),
            ("location @live { proxy_pass http://a; }", false, false),
            ("location /admin/api/ { proxy_pass http://a; }", false, false),
            ("location /live/ { proxy_pass http://a; }", true, true),
        ] {
            // The second server has a known media location; without one, unclear locations count as media.
            let found =
                classified(&format!("server {{ {text} }} server {{ location /vod/ {{ root /v; }} }}"));
            assert_eq!((found[0].1, found[0].2), (playlists, segments), "{text}");
        }
    }

    #[test]
    fn without_any_sign_of_media_every_location_may_serve_it() {
        assert_eq!(classified("server { location / { root /x; } }"), [("/".to_owned(), true, true)]);
        assert_eq!(
            classified("server { location /a { root /x; } } server { location /hls { root /x; } }")[0],
            ("/a".to_owned(), false, false)
        );
    }

    #[test]
    fn regular_expressions_take_requests_from_prefixes() {
        let found = classified(r"server { location /hls/ { root /x; location ~ \.m3u8$ { expires -1; } } }");
        assert_eq!(found[0], (r"~ \.m3u8$".to_owned(), true, false));
        assert_eq!(found[1], ("/hls/".to_owned(), false, true));
        let found =
            classified(r"server { location ^~ /hls/ { root /x; } location ~ \.m3u8$ { expires -1; } }");
        assert_eq!(found[0], ("^~ /hls/".to_owned(), true, true));
    }
}
