//! The command line of an FFmpeg viewer: what this binary supports, and nothing else.
//!
//! Options that a binary lacks are fatal to it, so each optional one is asked for in the
//! capabilities. The reasons stand beside the options; measurements behind them are in
//! `docs/ffmpeg.md`.

use url::Url;

use hls_swarm_model::exchange::Source;

use super::capability::{Capabilities, Scope};
use crate::cli::run::FfmpegLevel;
use crate::config::plan::{Stream, Viewers};

/// What a viewer plays, once the playlist has been looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// The playlist that FFmpeg is given: of one variant, or a master to play whole.
    pub url: Url,
    /// The audio that is played beside it, where it has a playlist of its own.
    pub audio: Option<Url>,
    /// Whether the stream has no end.
    pub live: bool,
    /// Segment duration that the playlist promises, seconds.
    pub target_duration: f64,
}

/// The arguments of viewer `viewer`.
#[must_use]
pub fn arguments(
    stream: &Stream,
    viewers: &Viewers,
    play: &Play,
    source: Source,
    can: &Capabilities,
    viewer: u32,
) -> Vec<String> {
    let mut args = Arguments { list: Vec::new(), can };
    args.add(["-hide_banner", "-nostdin", "-nostats"]);
    args.add(["-progress", "pipe:1"]);
    args.option(Scope::Tool, "stats_period", "1");
    // The probe tells what was requested; without it only the trace log tells it exactly.
    let level = match source {
        Source::Probe => viewers.words.map_or("warning", FfmpegLevel::name),
        Source::Log => "trace",
    };
    args.add(["-loglevel", &format!("repeat+level+{level}")]);
    let inputs = || std::iter::once(&play.url).chain(&play.audio);
    for url in inputs() {
        input(&mut args, stream, viewers, play, url, viewer);
    }
    for (place, _) in inputs().enumerate() {
        args.add(["-map", &place.to_string()]);
    }
    args.add(["-ignore_unknown", "-c", "copy"]);
    // Without parsing no frame of MPEG-TS is known as a key frame, and FFmpeg would wait for one
    // before it plays: for ever, if there is no audio.
    args.add(["-copyinkf", "-f", "null", "-"]);
    args.list
}

/// One playlist that is played, with everything that has to be said of it: FFmpeg's options are those of
/// the next input alone.
fn input(args: &mut Arguments<'_>, stream: &Stream, viewers: &Viewers, play: &Play, url: &Url, viewer: u32) {
    transport(args, stream, url, &stream.user_agent_of(viewer));
    // FFmpeg gives up on a live playlist that stands still; a viewer does not.
    args.option(Scope::Hls, "max_reload", "1000");
    args.option(Scope::Hls, "m3u8_hold_counters", "1000");
    // Prefetching on a second connection leaves segments unread in the socket, which blurs download
    // times, and multiplies requests for a missing segment; players fetch one after another.
    args.option(Scope::Hls, "http_multiple", "0");
    args.option(Scope::Hls, "seg_max_retry", &stream.segment_retries.to_string());
    // A load test plays what the origin serves, whatever its segments are called.
    args.option(Scope::Hls, "allowed_extensions", "ALL");
    args.option(Scope::Hls, "allowed_segment_extensions", "ALL");
    args.option(Scope::Hls, "extension_picky", "0");
    // A plain GET, answered with 200, as players send it.
    args.option(Scope::Hls, "http_seekable", "0");
    if !play.live && stream.paced {
        if args.can.has_readrate() {
            args.add(["-readrate", "1"]);
            // From 8.0 on half a second is read at once, and a film ends so much too early. 0 means the default.
            args.option(Scope::Tool, "readrate_initial_burst", "0.001");
        } else {
            args.add(["-re"]);
        }
    }
    // Nothing is decoded, so frames need no parsing; timestamps must be filled in all the same, or
    // FFmpeg does not know how far it has played. Not nobuffer: it throws away what FFmpeg reads to
    // find out what the stream holds, up to five seconds of media that are then neither paced nor
    // counted as played, a short film whole.
    args.add(["-fflags", "+noparse"]);
    args.add(["-threads", "1"]);
    args.list.extend(viewers.extra_arguments.iter().cloned());
    args.add(["-i", url.as_str()]);
}

/// The arguments of a short look at the stream, to see whether the probe sees into this FFmpeg's TLS.
#[must_use]
pub fn look(stream: &Stream, play: &Play, can: &Capabilities) -> Vec<String> {
    let mut args = Arguments { list: Vec::new(), can };
    args.add(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    transport(&mut args, stream, &play.url, &stream.preflight_user_agent());
    args.add(["-i", play.url.as_str(), "-t", "0.1", "-map", "0", "-ignore_unknown", "-c", "copy"]);
    args.add(["-f", "null", "-"]);
    args.list
}

fn transport(args: &mut Arguments<'_>, stream: &Stream, url: &Url, user_agent: &str) {
    args.add(["-rw_timeout", &stream.timeout.as_micros().to_string()]);
    args.add(["-user_agent", user_agent]);
    args.option(Scope::Http, "icy", "0");
    if !stream.headers.is_empty() {
        let lines: String =
            stream.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        args.add(["-headers", &lines]);
    }
    if let Some(delay) = stream.reconnect_delay {
        // These only act while the first playlist is opened; later failures end FFmpeg, and the
        // supervisor starts it again. Neither `reconnect` nor `reconnect_streamed`: they take the end of a
        // playlist that came without a length for a failure, and ask for it again, hundreds of times per
        // second and for ever.
        args.option(Scope::Http, "reconnect_on_network_error", "1");
        args.option(Scope::Http, "reconnect_delay_max", &delay.as_secs().to_string());
    }
    // Fatal for http:// URLs in every version.
    if url.scheme() == "https" {
        args.option(Scope::Tls, "tls_verify", if stream.verify_tls { "1" } else { "0" });
        // GnuTLS does not read SSL_CERT_FILE by itself.
        if let Some(file) = stream.ca_file.as_ref().filter(|_| stream.verify_tls) {
            args.option(Scope::Tls, "ca_file", &file.to_string_lossy());
        }
    }
}

struct Arguments<'a> {
    list: Vec<String>,
    can: &'a Capabilities,
}

impl Arguments<'_> {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.list.extend(words.map(str::to_owned));
    }

    /// An option with a value, if the binary has it.
    fn option(&mut self, scope: Scope, name: &str, value: &str) {
        if self.can.has(scope, name) {
            self.add([&format!("-{name}"), value]);
        }
    }
}
