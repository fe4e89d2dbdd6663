//! nginx's configuration by what it does: which locations serve playlists and segments, which directives
//! are in effect there, and where requests are proxied.

use std::collections::BTreeSet;

use super::nginx_conf::{Configuration, Directive, absolute};

/// What a location answers requests with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Playlists, segments, or both.
    Media {
        /// Requests for playlists come here.
        playlists: bool,
        /// Requests for segments come here.
        segments: bool,
    },
    /// Something else.
    Other,
    /// Nothing shows what it is.
    Unclear,
}

/// A server or a location, with the blocks around it.
#[derive(Clone, Debug)]
pub(crate) struct Location<'a> {
    /// Directives of the blocks from the top of the file down to this one.
    chain: Vec<&'a [Directive]>,
    /// The directive that opens the block.
    pub(crate) head: &'a Directive,
    /// The server that it is inside of, or is.
    pub(crate) server: &'a Directive,
    /// What it answers requests with.
    pub(crate) content: Content,
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

impl<'a> Location<'a> {
    /// Returns the directive that is in effect here: the innermost one.
    pub(crate) fn in_effect(&self, name: &str) -> Option<&'a Directive> {
        self.chain.iter().rev().find_map(|block| block.iter().find(|directive| directive.name == name))
    }

    /// Returns the directives called `name` that are in effect here together: those of the innermost block
    /// that has any.
    pub(crate) fn all_in_effect(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        let has = |block: &&&'a [Directive]| block.iter().any(|directive| directive.name == name);
        let block = self.chain.iter().rev().find(has).copied().unwrap_or_default();
        let wanted = name.to_owned();
        block.iter().filter(move |directive| directive.name == wanted)
    }

    /// Returns all directives called `name` of the blocks around, the innermost last.
    pub(crate) fn all_around(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        let wanted = name.to_owned();
        self.chain.iter().flat_map(|block| block.iter()).filter(move |directive| directive.name == wanted)
    }

    /// Returns the location's own directives.
    pub(crate) fn own(&self) -> &'a [Directive] {
        self.head.children()
    }

    /// Returns the location's own directive called `name`, also inside of `if` and `limit_except`.
    pub(crate) fn own_or_conditional(&self, name: &str) -> Option<&'a Directive> {
        let conditional = |directive: &&Directive| ["if", "limit_except"].contains(&directive.name.as_str());
        self.head
            .child(name)
            .or_else(|| self.own().iter().filter(conditional).find_map(|block| block.child(name)))
    }

    /// Returns the path or pattern of a location with its modifier.
    fn pattern(&self) -> (Option<&str>, &str) {
        match self.head.arguments.as_slice() {
            [modifier, pattern] => (Some(modifier), pattern),
            [pattern] => {
                match ["=", "~*", "~", "^~"].iter().find_map(|m| Some((*m, pattern.strip_prefix(m)?))) {
                    Some((modifier, rest)) => (Some(modifier), rest),
                    None => (None, pattern),
                }
            }
            _ => (None, ""),
        }
    }

    /// Reports whether it is a named location, such as `@fallback`.
    pub(crate) fn is_named(&self) -> bool {
        self.head.name == "location" && self.head.value().starts_with('@')
    }

    /// Reports whether requests for playlists come here.
    pub(crate) const fn serves_playlists(&self) -> bool {
        matches!(self.content, Content::Media { playlists: true, .. })
    }

    /// Reports whether requests for segments come here.
    pub(crate) const fn serves_segments(&self) -> bool {
        matches!(self.content, Content::Media { segments: true, .. })
    }

    /// Reports whether requests are proxied here.
    pub(crate) fn proxy_pass(&self) -> Option<&'a Directive> {
        self.own_or_conditional("proxy_pass")
    }

    /// Decides by the location's directives and its pattern what it serves.
    fn classify(&self, prefix: &str, with_playlists: &[&str]) -> Content {
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

    /// Reports whether it is a server whose `location /` takes what no other location does.
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
    let names_files = regex && pattern.contains("\\.") || modifier == Some("=") && file.contains('.');
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

/// An application of the RTMP module.
#[derive(Clone, Debug)]
pub(crate) struct RtmpApplication<'a> {
    /// Its block.
    pub(crate) head: &'a Directive,
    /// Whether it writes HLS.
    pub(crate) hls: bool,
    /// `hls_fragment` in seconds, 5 by default; absent without HLS.
    pub(crate) fragment_seconds: Option<f64>,
    /// `hls_playlist_length` in seconds, 30 by default.
    pub(crate) playlist_seconds: f64,
    chain: Vec<&'a [Directive]>,
}

impl<'a> RtmpApplication<'a> {
    /// Returns the directive that is in effect in the application.
    pub(crate) fn in_effect(&self, name: &str) -> Option<&'a Directive> {
        self.chain.iter().rev().find_map(|block| block.iter().find(|directive| directive.name == name))
    }

    /// Returns all directives called `name` in the application and around it.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        let wanted = name.to_owned();
        self.chain.iter().flat_map(|block| block.iter()).filter(move |directive| directive.name == wanted)
    }
}

/// What a configuration does.
#[derive(Clone, Debug)]
pub(crate) struct Nginx<'a> {
    /// The directives at the top.
    pub(crate) top: &'a [Directive],
    /// The `http` block.
    pub(crate) http: Option<&'a Directive>,
    /// Servers and locations.
    pub(crate) locations: Vec<Location<'a>>,
}

impl<'a> Nginx<'a> {
    /// Reads a configuration. `with_playlists` are folders that are known to hold playlists.
    pub(crate) fn new(configuration: &'a Configuration, prefix: &str, with_playlists: &[&str]) -> Self {
        let top = configuration.directives.as_slice();
        let http = top.iter().find(|directive| directive.name == "http" && directive.block.is_some());
        let mut locations = Vec::new();
        if let Some(http) = http {
            let chain = vec![top, http.children()];
            for server in http.children().iter().filter(|directive| directive.name == "server") {
                collect(server, server, &chain, &mut locations);
            }
        }
        for location in &mut locations {
            location.content = location.classify(prefix, with_playlists);
        }
        // Where nothing says so, media may be anywhere.
        let media = locations.iter().any(|location| matches!(location.content, Content::Media { .. }));
        let unclear = if media { Content::Other } else { Content::Media { playlists: true, segments: true } };
        for location in locations.iter_mut().filter(|location| location.content == Content::Unclear) {
            location.content = unclear;
        }
        narrow(&mut locations);
        Self { top, http, locations }
    }

    /// Returns a directive of the `events` block.
    pub(crate) fn event(&self, name: &str) -> Option<&'a Directive> {
        self.top.iter().find(|directive| directive.name == "events")?.child(name)
    }

    /// Returns a directive at the top.
    pub(crate) fn at_top(&self, name: &str) -> Option<&'a Directive> {
        self.top.iter().find(|directive| directive.name == name)
    }

    /// Returns every directive called `name` in the `http` block, at any depth.
    pub(crate) fn everywhere(&self, name: &str) -> Vec<&'a Directive> {
        let mut found = Vec::new();
        if let Some(http) = self.http {
            search(http.children(), name, &mut found);
        }
        found
    }

    /// Returns the servers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Location<'a>> {
        self.locations.iter().filter(|location| location.head.name == "server")
    }

    /// Returns the locations that serve playlists or segments.
    pub(crate) fn media(&self) -> impl Iterator<Item = &Location<'a>> {
        self.locations.iter().filter(|location| location.serves_playlists() || location.serves_segments())
    }

    /// Returns the locations that serve playlists or segments from files.
    pub(crate) fn media_files(&self) -> impl Iterator<Item = &Location<'a>> {
        self.media().filter(|location| location.proxy_pass().is_none())
    }

    /// Returns the locations that proxy playlists or segments, with their `proxy_pass`.
    pub(crate) fn media_proxied(&self) -> impl Iterator<Item = (&Location<'a>, &'a Directive)> {
        self.media().filter_map(|location| Some((location, location.proxy_pass()?)))
    }

    /// Returns the locations that proxy requests, with their `proxy_pass`.
    pub(crate) fn proxied(&self) -> impl Iterator<Item = (&Location<'a>, &'a Directive)> {
        self.locations.iter().filter_map(|location| Some((location, location.proxy_pass()?)))
    }

    /// Returns the `upstream` block that a `proxy_pass` names.
    pub(crate) fn upstream(&self, pass: &Directive) -> Option<&'a Directive> {
        let host = host(pass.value());
        let blocks = self.http?.children().iter();
        blocks.filter(|directive| directive.name == "upstream").find(|block| block.value() == host)
    }

    /// Returns the applications of the RTMP module.
    pub(crate) fn rtmp_applications(&self) -> impl Iterator<Item = RtmpApplication<'a>> {
        let top = self.top;
        let blocks = top.iter().filter(|directive| directive.name == "rtmp" && directive.block.is_some());
        let servers = blocks.flat_map(|rtmp| {
            rtmp.children().iter().filter(|block| block.name == "server").map(move |server| (rtmp, server))
        });
        servers.flat_map(|(rtmp, server)| {
            let applications = server.children().iter().filter(|block| block.name == "application");
            applications.map(move |head| {
                let chain = vec![rtmp.children(), server.children(), head.children()];
                let mut found = RtmpApplication {
                    head,
                    hls: false,
                    fragment_seconds: None,
                    playlist_seconds: 30.0,
                    chain,
                };
                found.hls = found.in_effect("hls").is_some_and(|hls| hls.value() == "on");
                let time =
                    |name: &str| found.in_effect(name).and_then(|directive| seconds(directive.value()));
                let (fragment, playlist) = (time("hls_fragment").unwrap_or(5.0), time("hls_playlist_length"));
                found.fragment_seconds = found.hls.then_some(fragment);
                found.playlist_seconds = playlist.unwrap_or(30.0);
                found
            })
        })
    }

    /// Returns the folders that files are served from.
    pub(crate) fn roots(&self, prefix: &str) -> Vec<String> {
        let mut roots: BTreeSet<String> = BTreeSet::new();
        let mut add = |path: &str| {
            // A path with variables is not one folder.
            if !path.contains('$') {
                roots.insert(absolute(prefix, path).trim_end_matches('/').to_owned());
            }
        };
        for location in &self.locations {
            let root = location.in_effect("alias").or_else(|| location.in_effect("root"));
            add(root.map_or("html", Directive::value));
        }
        for application in self.rtmp_applications() {
            if let Some(path) = application.in_effect("hls_path") {
                add(path.value());
            }
        }
        roots.into_iter().collect()
    }
}

/// Parses a time of nginx in seconds: `10`, `500ms`, `1m30s`.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let unit = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(unit);
        total += number
            * match unit {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "w" => 604_800.0,
                "M" => 2_592_000.0,
                "y" => 31_536_000.0,
                _ => return None,
            };
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// Returns the host of the address that `proxy_pass` takes.
pub(crate) fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// Returns the text that every path begins with that a regular expression matches.
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

/// Restricts locations whose playlists or segments go to a regular expression beside or inside of them.
fn narrow(locations: &mut [Location<'_>]) {
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

fn collect<'a>(
    head: &'a Directive,
    server: &'a Directive,
    above: &[&'a [Directive]],
    locations: &mut Vec<Location<'a>>,
) {
    let mut chain = above.to_vec();
    chain.push(head.children());
    for inner in head.children().iter().filter(|directive| directive.name == "location") {
        collect(inner, server, &chain, locations);
    }
    locations.push(Location { chain, head, server, content: Content::Unclear });
}

fn search<'a>(directives: &'a [Directive], name: &str, found: &mut Vec<&'a Directive>) {
    for directive in directives {
        if directive.name == name {
            found.push(directive);
        }
        search(directive.children(), name, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            // The other server makes sure that media is known to be somewhere.
            let found =
                classified(&format!("server {{ {text} }} server {{ location /vod/ {{ root /v; }} }}"));
            assert_eq!((found[0].1, found[0].2), (playlists, segments), "{text}");
        }
    }

    #[test]
    fn without_a_sign_of_media_it_may_be_anywhere() {
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

    #[test]
    fn times_are_parsed() {
        for (text, expected) in [
            ("10", Some(10.0)),
            ("500ms", Some(0.5)),
            ("1m30s", Some(90.0)),
            ("x", None),
            ("", None),
            ("2q", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
