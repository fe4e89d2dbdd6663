//! The viewer engine and its configuration.

use std::path::PathBuf;

use clap::ValueEnum;

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_client::{Http, Proxies};
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_player::cmcd::CmcdVersion;
use hls_swarm_player::{Algorithm, Preset, Variants};

use super::{Environment, Stream, load, safety};
use crate::cli::run::{AbrArg, CmcdArg, EngineKind, HttpArg, ProbeMode, RunArgs, VariantSelection};
use crate::engine::native::Canaries;
use crate::engine::native::CmcdMode;
use crate::engine::{EngineConfig, command, ffmpeg, native};

/// The engine and its configuration.
pub(crate) fn resolve(
    args: &RunArgs,
    environment: &Environment,
    streams: &WeightedSet<Stream>,
) -> Result<EngineConfig, Failure> {
    let viewers = &args.viewers;
    if viewers.http != HttpArg::Http1 && viewers.engine != Some(EngineKind::Native) {
        let name = name_of(viewers.http);
        return Err(Failure::usage(format!(
            "--http {name} without --engine native: only native viewers speak another version than that of their player"
        ))
        .help(format!("add --engine native, or leave out --http {name}")));
    }
    match (viewers.engine, &viewers.player) {
        (Some(EngineKind::Native), Some(_)) => {
            Err(Failure::usage("--player has no effect with --engine native").help("leave out one of them"))
        }
        (Some(EngineKind::Native), None) => native(args, environment, streams),
        (Some(EngineKind::Ffmpeg), Some(_)) => {
            Err(Failure::usage("--player has no effect with --engine ffmpeg")
                .help("leave out one of them; --player implies --engine command"))
        }
        (Some(EngineKind::Command), None) => Err(Failure::usage("--engine command needs a player")
            .help("pass its command line, for example --player 'mpv --no-terminal {url}'")),
        (_, Some(text)) => player(args, text),
        (Some(EngineKind::Ffmpeg) | None, None) => {
            Ok(EngineConfig::Ffmpeg(ffmpeg(args, environment, safety::source(args)?)))
        }
    }
}

fn ffmpeg(args: &RunArgs, environment: &Environment, probe: ProbeMode) -> ffmpeg::Config {
    let viewers = &args.viewers;
    ffmpeg::Config {
        program: [&viewers.ffmpeg, &environment.viewer_ffmpeg]
            .into_iter()
            .find_map(Clone::clone)
            .unwrap_or_else(|| PathBuf::from("ffmpeg")),
        probe,
        extra_arguments: viewers.ffmpeg_args.clone(),
        log_level: viewers.ffmpeg_debug.then_some(viewers.stats_loglevel),
        proxied: environment.proxies.contains_key("http_proxy"),
        reasons_kept: viewers.stats_buffer as usize,
        preset: viewers.preset.into(),
    }
}

/// The canaries among native viewers. Their figures are compared with measured ones, so they have to be measured, too.
fn canaries(args: &RunArgs, environment: &Environment) -> Result<Option<Box<Canaries>>, Failure> {
    let canaries = args.viewers.canaries;
    let most = args.load.clients.max(args.load.stages.iter().map(|stage| stage.clients).max().unwrap_or(0));
    if canaries > 0 && canaries >= most {
        return Err(Failure::usage(format!(
            "invalid value \"{canaries}\" for --canaries: there are only {most} viewers, so no native one would be left"
        ))
        .help("pass a small part of the viewers, for example 3"));
    }
    let own = load::shard(args)?.own(canaries);
    let config =
        || Box::new(Canaries { last: canaries, own, ffmpeg: ffmpeg(args, environment, ProbeMode::Require) });
    Ok((canaries > 0 && !args.action.check).then(config))
}

fn player(args: &RunArgs, text: &str) -> Result<EngineConfig, Failure> {
    if args.viewers.probe == ProbeMode::Off {
        let what = "--player with --probe off: nothing would be measured, because only the probe can measure such a player";
        return Err(Failure::usage(what).help("leave out --probe off"));
    }
    command::Config::parse(text).map(EngineConfig::Command)
}

fn native(
    args: &RunArgs,
    environment: &Environment,
    streams: &WeightedSet<Stream>,
) -> Result<EngineConfig, Failure> {
    let given = |key: &str| args.given.contains(key);
    let of_streams = args.stream.streams.iter().any(|stream| stream.variant.is_some());
    let is_fixed = given("variant") || args.stream.variant != VariantSelection::All || of_streams;
    if let Some(abr) = args.viewers.abr.filter(|_| is_fixed) {
        let name = name_of(abr);
        return Err(Failure::usage(format!(
            "--variant together with --abr {name}: a variant that is chosen is played from beginning to end"
        ))
        .help("leave out one of them"));
    }
    let preset = Preset::from(args.viewers.preset);
    let fixed = Variants::Fixed(VariantSelection::First);
    let variants = match args.viewers.abr {
        _ if is_fixed => None,
        None => Some(Variants::Adaptive(preset.abr())),
        Some(AbrArg::HlsJs) => Some(Variants::Adaptive(Algorithm::HlsJs)),
        Some(AbrArg::ExoPlayer) => Some(Variants::Adaptive(Algorithm::ExoPlayer)),
        Some(AbrArg::Shaka) => Some(Variants::Adaptive(Algorithm::Shaka)),
        Some(AbrArg::Bola) => Some(Variants::Adaptive(Algorithm::Bola)),
        Some(AbrArg::Fixed) => Some(fixed),
    };
    let proxies = proxies(environment)?;
    let resolve_per_viewer = args.viewers.resolve_per_viewer;
    let cmcd = cmcd(args)?;
    let canaries = canaries(args, environment)?;
    let http = http(args.viewers.http, streams, &proxies)?;
    let config = native::Config { preset, variants, resolve_per_viewer, proxies, cmcd, http, canaries };
    Ok(EngineConfig::Native(config))
}

/// How viewers describe their requests.
fn cmcd(args: &RunArgs) -> Result<native::Cmcd, Failure> {
    let mode = match args.viewers.cmcd {
        CmcdArg::Off => CmcdMode::Off,
        CmcdArg::Query => CmcdMode::Query,
        CmcdArg::Header => CmcdMode::Header,
    };
    let version = if args.viewers.cmcd_version == 2 { CmcdVersion::V2 } else { CmcdVersion::V1 };
    let content = args.viewers.cmcd_cid.clone().unwrap_or_default();
    if content.len() > LONGEST_CID || content.contains(|c: char| !matches!(c, ' '..='~')) {
        return Err(Failure::usage(format!("invalid value {content:?} for --cmcd-cid"))
            .help(format!("pass at most {LONGEST_CID} printable ASCII characters")));
    }
    Ok(native::Cmcd { mode, version, content: content.into() })
}

/// Maximum length of a content ID (CTA-5004).
const LONGEST_CID: usize = 128;

/// The versions of HTTP that native viewers speak, if the streams can be requested so.
fn http(http: HttpArg, streams: &WeightedSet<Stream>, proxies: &Proxies) -> Result<Http, Failure> {
    let plain = streams.iter().map(|stream| &stream.url).find(|url| url.scheme() != "https");
    let proxied = streams.iter().map(|stream| &stream.url).find_map(|url| proxies.of(url));
    match (http, plain) {
        (HttpArg::Http3, None) if proxied.is_some() => {
            let proxy = proxied.map(without_secrets).unwrap_or_default();
            Err(Failure::usage(format!("--http 3 does not pass through a proxy, and https_proxy is {proxy}"))
                .help("unset https_proxy, add the host to no_proxy, or use --http auto"))
        }
        (HttpArg::Http1 | HttpArg::Auto, _) | (_, None) => Ok(http.into()),
        (_, Some(url)) => {
            let (name, host) = (name_of(http), url.host_str().unwrap_or_default());
            Err(Failure::usage(format!(
                "--http {name} needs https, because browsers and players speak it over TLS only: http://{host} is not encrypted"
            ))
            .help(format!("request the stream by https, or leave out --http {name}")))
        }
    }
}

/// The name of a value as it is typed.
fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The proxies that the environment names.
pub(super) fn proxies(environment: &Environment) -> Result<Proxies, Failure> {
    Proxies::read(|name| environment.proxies.get(name).cloned()).map_err(|error| {
        Failure::usage(error.to_string()).help("write it like http://HOST:PORT, or unset it")
    })
}
