//! `hls-origin render`: prints the configuration and the commands that the origin would use.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::output;

use super::access_log;
use crate::cli::{OriginArgs, RenderCommand};
use crate::encoder::argv::{self, Pace, SegmentOutput};
use crate::layout;
use crate::nginx::conf::{self, SiteConfig};
use crate::nginx::process;
use crate::profile::Encryption;
use crate::profile::plan::Plan;
use crate::profile::stream::Source;
use crate::run::programs::Programs;
use crate::systemd::{self, Unit};

/// Placeholder for the runtime directory, whose name is different at each start.
const DIRECTORY: &str = "DIR";
/// Stands for the port of the low-latency playlists, which is different at each start.
const PLAYLISTS_PORT: u16 = 17_082;

/// Prints the requested text.
///
/// # Errors
/// The flags are invalid, or nginx, whose version matters, cannot be run.
pub async fn print(command: &RenderCommand, guard: &Arc<Guard>) -> Result<Exit, Failure> {
    let text = match command {
        RenderCommand::Nginx(args) => nginx_conf(args, guard).await?,
        RenderCommand::Ffmpeg(args) => ffmpeg(args, &Plan::resolve(args)?),
        RenderCommand::Systemd(args) => unit(args, &Plan::resolve(args)?)?,
    };
    output::print(&text).map(|()| Exit::Pass)
}

async fn nginx_conf(args: &OriginArgs, guard: &Arc<Guard>) -> Result<String, Failure> {
    let plan = Plan::resolve(args)?;
    let environment = process::environment(&Programs::detect_nginx(args, guard).await?, true)?;
    let serve = &plan.serving.serve;
    let log = access_log::path(&plan.serving.log, serve.port)?;
    let config = SiteConfig {
        derived: &plan.derived,
        serving: &plan.serving,
        listen: SocketAddr::new(serve.listen, serve.port),
        tls: serve.tls.then(|| SocketAddr::new(serve.listen, serve.tls_port)),
        access_log: log.as_deref(),
        // A running origin takes a port that is free.
        playlists: plan.stream.part_duration.map(|_| (Ipv4Addr::LOCALHOST, PLAYLISTS_PORT).into()),
    };
    conf::check(&config, &environment)?;
    Ok(conf::render(&config, &environment))
}

fn ffmpeg(args: &OriginArgs, plan: &Plan) -> String {
    let Plan { stream, derived, .. } = plan;
    let renditions = layout::renditions(stream);
    let directory = Path::new(DIRECTORY);
    let (source, www, key) = (directory.join("loop.nut"), directory.join("www"), directory.join("key.info"));
    let key_info = (stream.encryption == Encryption::Aes128).then_some(key.as_path());
    let pipes: Vec<_> =
        stream.part_duration.map(|_| (3..).take(renditions.len())).into_iter().flatten().collect();
    let place = SegmentOutput { directory: &www, number: 0, key_info, pipes: &pipes };
    let replay = |pace| argv::replay(stream, &renditions, &source, place, pace);
    let mut text = format!("# {DIRECTORY} is the runtime directory.\n\n# The loop, encoded once:\n");
    text.push_str(&line(args, &argv::encode_loop(stream, derived, &source)));
    let (what, argv) = match stream.source {
        Source::Loop => ("The stream, replayed from it in real time:", replay(Pace::RealTime)),
        Source::Vod(seconds) => ("The VOD, created from it:", replay(Pace::FullSpeed(seconds))),
        Source::Live => {
            let loop_ = line(args, &replay(Pace::RealTime));
            text.push_str(&format!(
                "\n# If the machine is too slow to encode in real time, the loop is replayed:\n{loop_}"
            ));
            ("If it is fast enough, it encodes:", argv::live(stream, derived, &renditions, place))
        }
    };
    text + &format!("\n# {what}\n{}", line(args, &argv))
}

/// A command line quoted for a shell.
fn line(args: &OriginArgs, argv: &[OsString]) -> String {
    let words = std::iter::once(args.ffmpeg.as_os_str()).chain(argv.iter().map(AsRef::as_ref));
    let quoted: Vec<_> = words.map(|word| shell(&word.to_string_lossy())).collect();
    quoted.join(" ") + "\n"
}

fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn unit(args: &OriginArgs, plan: &Plan) -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::internal("cannot find the path of this program").caused_by(error))?;
    // The arguments after `render systemd`, and the variables of the environment.
    let arguments: Vec<String> =
        std::env::args_os().skip(3).map(|word| word.to_string_lossy().into_owned()).collect();
    let mut environment: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
        .filter(|(name, _)| name.starts_with("HLS_ORIGIN_"))
        .collect();
    environment.sort();
    let serve = &plan.serving.serve;
    let mut ports = vec![serve.port];
    ports.extend(serve.tls.then_some(serve.tls_port));
    systemd::render(&Unit {
        program: &program.to_string_lossy(),
        arguments: &arguments,
        environment: &environment,
        has_directory: args.dir.is_some(),
        ports: &ports,
        derived: &plan.derived,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(shell("testsrc2=size=16x16:rate=1"), "testsrc2=size=16x16:rate=1");
        assert_eq!(shell("[0:v]split=2"), "'[0:v]split=2'");
        assert_eq!(shell("it's"), "'it'\\''s'");
    }
}
