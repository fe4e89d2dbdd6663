//! The command line of an FFmpeg viewer, with only those options that the binary supports.
//!
//! An option that a binary lacks is fatal, so each optional one is looked up in the capabilities. Comments give the
//! reasons for the options; the measurements are in `docs/ffmpeg.md`.

use std::time::Duration;

use hls_swarm_hls::selection::Selection;

use super::Config;
use super::capability::{Capabilities, Scope};
use crate::cli::run::FfmpegLevel;
use crate::config::plan::Stream;

/// The protocols that a stream may lead FFmpeg to.
const PROTOCOLS: &str = "http,https,tcp,tls,crypto,data";
/// The rate at which a buffer that ran empty is filled, in times real time: as fast as the network can.
const CATCH_UP: &str = "1000";

/// The arguments of viewer `viewer`. `probed`: the probe is the source of requests.
#[must_use]
pub fn arguments(
    stream: &Stream,
    config: &Config,
    selection: &Selection,
    probed: bool,
    can: &Capabilities,
    viewer: u32,
) -> Vec<String> {
    let mut args = Arguments { list: Vec::new(), can };
    args.add(["-hide_banner", "-nostdin", "-nostats"]);
    args.add(["-progress", "pipe:1"]);
    args.option(Scope::Tool, "stats_period", "1");
    // Without the probe only the trace log shows all requests.
    let level = if probed { config.log_level.map_or("warning", FfmpegLevel::name) } else { "trace" };
    args.add(["-loglevel", &format!("repeat+level+{level}")]);
    let inputs = || std::iter::once(&selection.address).chain(&selection.audio);
    for address in inputs() {
        input(&mut args, stream, config, selection, address, viewer);
    }
    for (place, _) in inputs().enumerate() {
        args.add(["-map", &place.to_string()]);
    }
    args.add(["-ignore_unknown", "-c", "copy"]);
    // Without parsing no frame of MPEG-TS is recognized as a key frame, and FFmpeg would wait for one before it
    // plays: forever, if there is no audio.
    args.add(["-copyinkf", "-f", "null", "-"]);
    args.list
}

/// One playlist and its options, which FFmpeg applies to the next input only.
fn input(
    args: &mut Arguments<'_>,
    stream: &Stream,
    config: &Config,
    selection: &Selection,
    address: &str,
    viewer: u32,
) {
    transport(args, stream, config, address, &stream.user_agent_of(viewer));
    if let Some(cookies) = &selection.cookies {
        args.option(Scope::Http, "cookies", cookies);
    }
    // FFmpeg gives up on a live playlist that does not advance; a viewer does not.
    args.option(Scope::Hls, "max_reload", "1000");
    args.option(Scope::Hls, "m3u8_hold_counters", "1000");
    // Prefetching on a second connection leaves segments unread in the socket, which blurs download
    // times, and multiplies requests for a missing segment; players fetch one after another.
    args.option(Scope::Hls, "http_multiple", "0");
    args.option(Scope::Hls, "seg_max_retry", &stream.segment_retries.to_string());
    // A load test plays whatever the origin serves, regardless of the segments' file names.
    args.option(Scope::Hls, "allowed_extensions", "ALL");
    args.option(Scope::Hls, "allowed_segment_extensions", "ALL");
    args.option(Scope::Hls, "extension_picky", "0");
    // A plain GET, answered with 200, as players send it.
    args.option(Scope::Hls, "http_seekable", "0");
    if !selection.live && stream.paced {
        if args.can.has_readrate() {
            args.add(["-readrate", "1"]);
            // A player reads ahead until its buffer is full, and fills it again as fast as it can.
            let goal = Duration::from_nanos(config.preset.rules().goal_ns).as_secs_f64();
            args.option(Scope::Tool, "readrate_initial_burst", &goal.to_string());
            args.option(Scope::Tool, "readrate_catchup", CATCH_UP);
        } else {
            args.add(["-re"]);
        }
    }
    // Nothing is decoded, so frames need no parsing; timestamps must be filled in nevertheless, or FFmpeg does not
    // know how far it has played. Not nobuffer: it discards what FFmpeg reads to analyze the stream, up to five
    // seconds of media, which are then neither paced nor counted as played. A short VOD would be lost whole.
    args.add(["-fflags", "+noparse"]);
    args.add(["-threads", "1"]);
    args.list.extend(config.extra_arguments.iter().cloned());
    // FFmpeg recognizes a playlist by its name or content type, and from 7.1 on it plays no other.
    args.add(["-f", "hls", "-i", address]);
}

/// The arguments of a short play of the stream, which shows whether the probe sees into this FFmpeg's TLS library.
#[must_use]
pub fn short_play(
    stream: &Stream,
    config: &Config,
    selection: &Selection,
    can: &Capabilities,
) -> Vec<String> {
    let mut args = Arguments { list: Vec::new(), can };
    args.add(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    transport(&mut args, stream, config, &selection.address, &stream.preflight_user_agent());
    args.add([
        "-f",
        "hls",
        "-i",
        &selection.address,
        "-t",
        "0.1",
        "-map",
        "0",
        "-ignore_unknown",
        "-c",
        "copy",
    ]);
    args.add(["-f", "null", "-"]);
    args.list
}

fn transport(args: &mut Arguments<'_>, stream: &Stream, config: &Config, address: &str, user_agent: &str) {
    args.add(["-rw_timeout", &stream.timeout.as_micros().to_string()]);
    args.add(["-user_agent", user_agent]);
    // FFmpeg's own list for playlists over HTTP has protocols beyond those that HLS needs. Through a proxy, https is
    // such a protocol.
    let proxy = if config.proxied { ",httpproxy" } else { "" };
    args.option(Scope::Format, "protocol_whitelist", &format!("{PROTOCOLS}{proxy}"));
    args.option(Scope::Http, "icy", "0");
    // The first playlist is requested without a range, too; some servers refuse ranges of playlists.
    args.option(Scope::Http, "seekable", "0");
    if !stream.headers.is_empty() {
        let lines: String =
            stream.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        args.add(["-headers", &lines]);
    }
    if let Some(delay) = stream.reconnect_delay {
        // These only act while the first playlist is opened; later failures end FFmpeg, and the
        // supervisor starts it again. Neither `reconnect` nor `reconnect_streamed`: they take the end of a
        // playlist that came without a length for a failure, and ask for it again, hundreds of times per
        // second and forever.
        args.option(Scope::Http, "reconnect_on_network_error", "1");
        args.option(Scope::Http, "reconnect_delay_max", &delay.as_secs().to_string());
    }
    // Fatal for http:// URLs in every version.
    if address.starts_with("https:") {
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
    fn add<const N: usize>(&mut self, arguments: [&str; N]) {
        self.list.extend(arguments.map(str::to_owned));
    }

    /// An option with a value, if the binary has it.
    fn option(&mut self, scope: Scope, name: &str, value: &str) {
        if self.can.has(scope, name) {
            self.add([&format!("-{name}"), value]);
        }
    }
}
