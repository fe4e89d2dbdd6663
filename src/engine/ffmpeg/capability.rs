//! Capability detection: what one FFmpeg binary supports, from its own list of options and never from its version
//! number. Distributions backport options, and an option that a binary lacks is fatal.
//!
//! This module has the questions and parses the answers; [`super::detect`] runs the binary. One start suffices
//! from FFmpeg 8.0 on; older binaries refuse the log flag `datetime` immediately (within a few milliseconds) and
//! have to be started again without it.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_base::error::Failure;

/// Arguments that list everything and try the log flag `datetime` (FFmpeg 8.0 and later).
const WITH_DATETIME: &[&str] = &["-loglevel", "repeat+level+datetime+info", "-h", "full"];
/// Arguments for a binary that refused `datetime`. The banner (version, configuration) goes to
/// standard error at level `info`, the options to standard output.
const WITHOUT_DATETIME: &[&str] = &["-loglevel", "repeat+level+info", "-h", "full"];

/// An option of the HLS demuxer that came with FFmpeg 4.3. Older viewers cannot be followed.
const SINCE_4_3: &str = "m3u8_hold_counters";

/// The owner of an option, as `ffmpeg -h full` groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The `ffmpeg` tool itself: `-progress`, `-readrate`, `-re`, `-stats_period`.
    Tool,
    /// Every demuxer (`AVFormatContext`): `-fflags`, `-probesize`.
    Format,
    /// Every protocol (`URLContext`): `-rw_timeout`.
    Url,
    /// The HLS demuxer.
    Hls,
    /// The protocols http and https.
    Http,
    /// The protocol tls.
    Tls,
    /// The protocol tcp.
    Tcp,
}

impl Scope {
    fn from_heading(heading: &str) -> Option<Self> {
        Some(match heading {
            "AVFormatContext" => Self::Format,
            "URLContext" => Self::Url,
            // The muxer's heading is "hls muxer".
            "hls demuxer" | "hls" => Self::Hls,
            "http" => Self::Http,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            _ => return None,
        })
    }
}

/// The TLS library that a binary was configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsBackend {
    /// `--enable-gnutls`.
    GnuTls,
    /// `--enable-openssl`.
    OpenSsl,
    /// The binary supports https through another library.
    Other,
    /// The binary does not support https.
    None,
}

/// What one FFmpeg binary supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The version as the binary prints it (`5.1.9-0+deb12u1`); for display, never for decisions.
    pub version: String,
    /// Whether it supports `-loglevel datetime+…`.
    pub log_datetime: bool,
    /// The TLS library, as configured.
    pub tls: TlsBackend,
    headings: BTreeSet<String>,
    options: BTreeMap<Scope, BTreeMap<String, Option<String>>>,
}

impl Capabilities {
    /// Whether `scope` has the option `name` (without the dash).
    #[must_use]
    pub fn has(&self, scope: Scope, name: &str) -> bool {
        self.options.get(&scope).is_some_and(|options| options.contains_key(name))
    }

    /// The default of an option, as the binary prints it (`100`, `true`, `auto`).
    #[must_use]
    pub fn default_of(&self, scope: Scope, name: &str) -> Option<&str> {
        self.options.get(&scope)?.get(name)?.as_deref()
    }

    /// Whether certificates are verified without being asked to (FFmpeg 9.0 on);
    /// `None` for a binary without the option.
    #[must_use]
    pub fn verifies_tls_by_default(&self) -> Option<bool> {
        self.default_of(Scope::Tls, "tls_verify").map(|value| matches!(value, "1" | "true"))
    }

    /// Whether a VOD can be paced by `-readrate` (5.0 on); otherwise `-re` does it.
    #[must_use]
    pub fn has_readrate(&self) -> bool {
        self.has(Scope::Tool, "readrate")
    }

    /// Whether a VOD that is paced can be read ahead, as players do (`-readrate_initial_burst`, 6.1 on).
    #[must_use]
    pub fn has_burst(&self) -> bool {
        self.has_readrate() && self.has(Scope::Tool, "readrate_initial_burst")
    }

    /// Whether the binary can play an HLS stream over http, or over https if `secure`, as a viewer whose requests can be
    /// followed.
    ///
    /// # Errors
    /// A preflight failure that names the part that `program` was built without, or lacks because it is too old: FFmpeg
    /// 4.2 logs no responses, so that most requests seem to fail.
    pub fn check(&self, program: &str, secure: bool) -> Result<(), Failure> {
        let missing = if !self.options.contains_key(&Scope::Hls) {
            "the HLS demuxer"
        } else if !self.options.contains_key(&Scope::Http) {
            "the protocol http"
        } else if secure && !self.headings.contains("https") {
            "the protocol https"
        } else if !self.has(Scope::Hls, SINCE_4_3) {
            let what = format!(
                "{program} (FFmpeg {}) is older than FFmpeg 4.3: its HLS demuxer has no -{SINCE_4_3}",
                self.version
            );
            return Err(
                Failure::preflight(what).help("install FFmpeg 4.4 or later, or name one with --ffmpeg PATH")
            );
        } else {
            return Ok(());
        };
        Err(Failure::preflight(format!("{program} (FFmpeg {}) was built without {missing}", self.version))
            .help("name a full build with --ffmpeg PATH"))
    }
}

/// The detection for one binary: run it while [`Detection::next_question`] returns arguments.
#[derive(Debug, Default)]
pub struct Detection {
    refused_datetime: bool,
    answer: Option<Result<Capabilities, String>>,
}

impl Detection {
    /// Nothing is known so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the arguments of the next run, or `None` when everything is known.
    #[must_use]
    pub fn next_question(&self) -> Option<&'static [&'static str]> {
        match (&self.answer, self.refused_datetime) {
            (Some(_), _) => None,
            (None, false) => Some(WITH_DATETIME),
            (None, true) => Some(WITHOUT_DATETIME),
        }
    }

    /// Takes the output of the run; `ok` = exit code 0.
    pub fn answer(&mut self, ok: bool, stdout: &[u8], stderr: &[u8]) {
        let stderr = String::from_utf8_lossy(stderr);
        if ok {
            let stdout = String::from_utf8_lossy(stdout);
            self.answer = Some(Ok(read(&stdout, &stderr, !self.refused_datetime)));
        } else if self.refused_datetime {
            let message = stderr.lines().map(str::trim).find(|line| !line.is_empty());
            self.answer = Some(Err(message.unwrap_or("nothing").chars().take(300).collect()));
        } else {
            self.refused_datetime = true;
        }
    }

    /// Returns the result, when there are no more questions.
    ///
    /// # Errors
    /// `program` could not list its options, so it cannot be used.
    pub fn finish(self, program: &str) -> Result<Capabilities, Failure> {
        match self.answer {
            Some(Ok(capabilities)) => Ok(capabilities),
            Some(Err(said)) => Err(Failure::preflight(format!("{program} did not list its options"))
                .caused_by(said)
                .help("name a working FFmpeg with --ffmpeg PATH")),
            None => Err(Failure::internal(format!("{program} was not run to list its options"))),
        }
    }
}

fn read(stdout: &str, stderr: &str, log_datetime: bool) -> Capabilities {
    let mut options: BTreeMap<Scope, BTreeMap<String, Option<String>>> = BTreeMap::new();
    let mut headings = BTreeSet::new();
    let mut scope = None;
    for line in stdout.lines() {
        if let Some(heading) = line.strip_suffix(" AVOptions:") {
            scope = Scope::from_heading(heading);
            if let Some(scope) = scope {
                options.entry(scope).or_default();
            }
            headings.insert(heading.to_owned());
        } else if let Some(name) = option_name(line) {
            // The tool's own options are not indented, those of the libraries are.
            let owner = if line.starts_with('-') { Some(Scope::Tool) } else { scope };
            if let Some(owner) = owner {
                options.entry(owner).or_default().insert(name.to_owned(), default(line));
            }
        }
    }
    // Without the tool's banner (FFREPORT, wrappers) the version stays unknown; nothing depends on it.
    let version = stderr.split_once("ffmpeg version ").and_then(|(_, rest)| rest.split_whitespace().next());
    let version = version.unwrap_or("of unknown version").to_owned();
    let configuration =
        stderr.lines().find_map(|line| line.split_once("configuration:")).map_or("", |(_, text)| text);
    let configured = |flag: &str| configuration.split_whitespace().any(|word| word == flag);
    let tls = if !headings.contains("https") {
        TlsBackend::None
    } else if configured("--enable-gnutls") {
        TlsBackend::GnuTls
    } else if configured("--enable-openssl") {
        TlsBackend::OpenSsl
    } else {
        TlsBackend::Other
    };
    Capabilities { version, log_datetime, tls, headings, options }
}

/// `-name`, `-name <arg>`, `-name[:<stream_spec>] <arg>`, indented or not.
fn option_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('-')?;
    let end = rest.find(|c: char| c.is_whitespace() || c == '[').unwrap_or(rest.len());
    let name = rest.get(..end)?;
    (!name.is_empty() && !name.starts_with('-')).then_some(name)
}

fn default(line: &str) -> Option<String> {
    let (_, rest) = line.rsplit_once("(default ")?;
    Some(rest.strip_suffix(')')?.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "-re <>              read input at native frame rate\n\
        -c[:<stream_spec>] <codec>  select encoder\n\
        http AVOptions:\n  -icy               <boolean>    .D......... request ICY metadata (default true)\n\
        \x20    basic           1            ED......... HTTP basic authentication\n\
        hls muxer AVOptions:\n  -hls_time          <duration>   E.......... segment length (default 2)\n\
        hls demuxer AVOptions:\n  -max_reload        <int>        .D......... Maximum (from 0 to INT_MAX) (default 100)\n\
        \x20 -m3u8_hold_counters <int>      .D......... load m3u8 hold counters (default 1000)\n";
    const BANNER: &str = "[info] ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026\n\
        [info]   configuration: --enable-gpl --enable-gnutls\n";

    #[test]
    fn an_old_binary_is_run_twice() {
        let mut detection = Detection::new();
        assert_eq!(detection.next_question(), Some(WITH_DATETIME));
        detection.answer(false, b"", b"Invalid loglevel \"datetime+info\".");
        assert_eq!(detection.next_question(), Some(WITHOUT_DATETIME));
        detection.answer(true, HELP.as_bytes(), BANNER.as_bytes());
        assert_eq!(detection.next_question(), None);
        let found = detection.finish("ffmpeg").unwrap();
        assert_eq!(found.version, "5.1.9-0+deb12u1");
        assert!(!found.log_datetime);
        assert!(found.has(Scope::Tool, "re") && found.has(Scope::Tool, "c"));
        assert!(found.has(Scope::Http, "icy") && !found.has(Scope::Http, "basic"));
        assert!(!found.has(Scope::Hls, "hls_time"), "an option of the muxer does not count for the demuxer");
        assert_eq!(found.default_of(Scope::Hls, "max_reload"), Some("100"));
        assert_eq!(found.tls, TlsBackend::None, "gnutls is linked, but the protocol https is disabled");
        found.check("ffmpeg", false).unwrap();
        assert!(found.check("ffmpeg", true).unwrap_err().to_string().contains("https"));
    }

    #[test]
    fn the_error_of_a_binary_that_only_fails_is_shown() {
        let mut detection = Detection::new();
        detection.answer(false, b"", b"");
        detection.answer(false, b"", b"\nffmpeg: error while loading shared libraries: libx.so.1\nmore");
        let failure = detection.finish("/opt/ffmpeg").unwrap_err();
        assert_eq!(
            failure.chain(),
            "/opt/ffmpeg did not list its options: ffmpeg: error while loading shared libraries: libx.so.1"
        );
    }

    #[test]
    fn a_binary_that_is_too_old_is_reported() {
        let mut detection = Detection::new();
        let help =
            HELP.lines().filter(|line| !line.contains("m3u8_hold_counters")).collect::<Vec<_>>().join("\n");
        detection.answer(true, help.as_bytes(), b"ffmpeg version 4.2.2-static Copyright\n");
        let failure = detection.finish("x/ffmpeg").unwrap().check("x/ffmpeg", false).unwrap_err();
        assert_eq!(
            failure.chain(),
            "x/ffmpeg (FFmpeg 4.2.2-static) is older than FFmpeg 4.3: its HLS demuxer has no -m3u8_hold_counters"
        );
        assert!(failure.help_text().unwrap().contains("4.4 or later"));
    }

    #[test]
    fn a_binary_without_http_is_reported() {
        let mut detection = Detection::new();
        detection.answer(true, b"hls demuxer AVOptions:\n", b"");
        let found = detection.finish("ffmpeg").unwrap();
        assert!(found.log_datetime);
        assert!(found.check("x/ffmpeg", false).unwrap_err().to_string().contains("the protocol http"));
    }
}
