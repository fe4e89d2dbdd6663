//! nginx's configuration by what it does: which locations serve segments, what holds there, where
//! requests are passed on.

use super::nginx_conf::{Configuration, Directive, absolute};

/// A place where requests are answered: a server or a location, with all that it stands in.
#[derive(Clone, Debug)]
pub struct Location<'a> {
    /// From the top of the file down to the place itself.
    chain: Vec<&'a [Directive]>,
    /// The directive that opens it.
    pub head: &'a Directive,
}

/// Directives that answer a request without a file of this server.
const ANSWERS: [&str; 9] = [
    "return",
    "proxy_pass",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "stub_status",
    "deny",
    "js_content",
];

impl<'a> Location<'a> {
    /// The directive that holds here: the innermost one.
    #[must_use]
    pub fn in_effect(&self, name: &str) -> Option<&'a Directive> {
        self.chain.iter().rev().find_map(|block| block.iter().find(|directive| directive.name == name))
    }

    /// The directives called `name` that hold here together: those of the innermost block that has any.
    pub fn all_in_effect(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        let has = |block: &&&'a [Directive]| block.iter().any(|directive| directive.name == name);
        let block = self.chain.iter().rev().find(has).copied().unwrap_or_default();
        let wanted = name.to_owned();
        block.iter().filter(move |directive| directive.name == wanted)
    }

    /// The place's own directives.
    #[must_use]
    pub fn own(&self) -> &'a [Directive] {
        self.head.children()
    }

    /// Whether segments may be served from files here.
    #[must_use]
    pub fn serves_segments(&self) -> bool {
        let answers = self.own().iter().any(|directive| {
            ANSWERS.contains(&directive.name.as_str())
                && (directive.name != "deny" || directive.value() == "all")
        });
        !answers
            && !self.names_no_segments()
            && !self.lists_files()
            && !self.one_other_file()
            && !self.has_fallback()
    }

    /// A location for playlists or for keys, by its pattern.
    fn names_no_segments(&self) -> bool {
        let pattern = self.head.arguments.concat();
        self.head.name == "location"
            && ["m3u8", ".key"].iter().any(|ending| pattern.contains(ending))
            && !["ts", "m4s", "mp4", "aac"].iter().any(|ending| pattern.contains(ending))
    }

    /// A location whose pattern names segments and no playlists.
    #[must_use]
    pub fn segments_only(&self) -> bool {
        let pattern = self.head.arguments.concat();
        self.head.name == "location"
            && !pattern.contains("m3u8")
            && ["ts", "m4s", "mp4", "aac"].iter().any(|ending| {
                pattern.ends_with(&format!("{ending}$")) || pattern.ends_with(&format!("{ending})$"))
            })
    }

    /// A place that lists what there is.
    fn lists_files(&self) -> bool {
        self.own().iter().any(|directive| directive.name == "autoindex" && directive.value() == "on")
    }

    /// `location = /path` of something that is no segment.
    fn one_other_file(&self) -> bool {
        let [mark, path] = self.head.arguments.as_slice() else { return false };
        mark == "=" && ![".ts", ".m4s", ".mp4", ".aac"].iter().any(|ending| path.ends_with(ending))
    }

    /// A server whose `location /` takes what no other location does.
    fn has_fallback(&self) -> bool {
        let catches_all = |directive: &Directive| {
            directive.name == "location" && directive.arguments.last().is_some_and(|path| path == "/")
        };
        self.head.name == "server" && self.own().iter().any(catches_all)
    }
}

/// What a configuration does.
#[derive(Clone, Debug)]
pub struct Nginx<'a> {
    /// The directives at the top.
    pub top: &'a [Directive],
    /// The `http` block.
    pub http: Option<&'a Directive>,
    /// Servers and locations.
    pub locations: Vec<Location<'a>>,
}

impl<'a> Nginx<'a> {
    /// Reads a configuration.
    #[must_use]
    pub fn of(configuration: &'a Configuration) -> Self {
        let top = configuration.directives.as_slice();
        let http = top.iter().find(|directive| directive.name == "http" && directive.block.is_some());
        let mut locations = Vec::new();
        if let Some(http) = http {
            let chain = vec![top, http.children()];
            for server in http.children().iter().filter(|directive| directive.name == "server") {
                collect(server, &chain, &mut locations);
            }
        }
        Self { top, http, locations }
    }

    /// A directive of the `events` block.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&'a Directive> {
        let events = self.top.iter().find(|directive| directive.name == "events")?;
        events.children().iter().find(|directive| directive.name == name)
    }

    /// A directive at the top.
    #[must_use]
    pub fn at_top(&self, name: &str) -> Option<&'a Directive> {
        self.top.iter().find(|directive| directive.name == name)
    }

    /// Every directive called `name` in the `http` block, however deep.
    #[must_use]
    pub fn everywhere(&self, name: &str) -> Vec<&'a Directive> {
        let mut found = Vec::new();
        if let Some(http) = self.http {
            search(http.children(), name, &mut found);
        }
        found
    }

    /// Places that serve segments from files.
    pub fn segments(&self) -> impl Iterator<Item = &Location<'a>> {
        self.locations.iter().filter(|location| location.serves_segments())
    }

    /// Places that pass requests on by HTTP, with the `proxy_pass` there.
    pub fn proxied(&self) -> impl Iterator<Item = (&Location<'a>, &'a Directive)> {
        self.locations.iter().filter_map(|location| {
            Some((location, location.own().iter().find(|directive| directive.name == "proxy_pass")?))
        })
    }

    /// The `upstream` block that a `proxy_pass` names.
    #[must_use]
    pub fn upstream(&self, pass: &Directive) -> Option<&'a Directive> {
        let host = host(pass.value());
        let blocks = self.http?.children().iter();
        blocks.filter(|directive| directive.name == "upstream").find(|block| block.value() == host)
    }

    /// Workers, as far as the text says: `auto` is one for each processor.
    #[must_use]
    pub fn workers(&self, processors: u32) -> u64 {
        match self.at_top("worker_processes").map(Directive::value) {
            Some("auto") => u64::from(processors.max(1)),
            Some(number) => number.parse().unwrap_or(1),
            None => 1,
        }
    }

    /// Folders that files are served from.
    #[must_use]
    pub fn roots(&self, prefix: &str) -> Vec<String> {
        let mut roots = Vec::new();
        for location in &self.locations {
            let root = location
                .in_effect("alias")
                .or_else(|| location.in_effect("root"))
                .map_or("html", Directive::value);
            // What depends on the request has no one folder.
            if !root.contains('$') {
                roots.push(absolute(prefix, root).trim_end_matches('/').to_owned());
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// The host in the address that `proxy_pass` takes.
#[must_use]
pub fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn collect<'a>(head: &'a Directive, above: &[&'a [Directive]], locations: &mut Vec<Location<'a>>) {
    let mut chain = above.to_vec();
    chain.push(head.children());
    for inner in head.children().iter().filter(|directive| directive.name == "location") {
        collect(inner, &chain, locations);
    }
    locations.push(Location { chain, head });
}

fn search<'a>(directives: &'a [Directive], name: &str, found: &mut Vec<&'a Directive>) {
    for directive in directives {
        if directive.name == name {
            found.push(directive);
        }
        search(directive.children(), name, found);
    }
}
