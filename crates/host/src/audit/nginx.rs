//! nginx's configuration by what it does: which locations serve playlists and segments, which directives
//! are in effect there, and where requests are proxied.

use std::collections::BTreeSet;

use super::content::{Content, narrow};
use super::nginx_conf::{Configuration, Directive, absolute};

/// A server or a location, with the blocks around it.
#[derive(Clone, Debug)]
pub(crate) struct Location<'a> {
    /// Directives of the blocks from the top of the file down to this one.
    chain: Vec<&'a [Directive]>,
    /// The directive that opens the block.
    pub(crate) head: &'a Directive,
    /// The server that it is inside of, or is.
    pub(crate) server: &'a Directive,
    /// Content of its responses.
    pub(crate) content: Content,
}

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
    pub(super) fn pattern(&self) -> (Option<&str>, &str) {
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

/// Effects of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Nginx<'a> {
    /// The directives at the top.
    pub(crate) top: &'a [Directive],
    /// The `http` block.
    pub(crate) http: Option<&'a Directive>,
    /// Servers and locations.
    pub(crate) locations: Vec<Location<'a>>,
    /// Whether nothing shows where media is, so that every location that may serve it is assumed to do so.
    pub(crate) assumed: bool,
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
        // If no location is marked as media, media may be anywhere.
        let media = locations.iter().any(|location| matches!(location.content, Content::Media { .. }));
        let unclear = if media { Content::Other } else { Content::Media { playlists: true, segments: true } };
        for location in locations.iter_mut().filter(|location| location.content == Content::Unclear) {
            location.content = unclear;
        }
        narrow(&mut locations);
        let assumed =
            !media && locations.iter().any(|location| matches!(location.content, Content::Media { .. }));
        Self { top, http, locations, assumed }
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
    use super::seconds;

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
