//! The origin pair: FFmpeg makes the stream, nginx serves it, this program keeps both alive.
//!
//! What to encode and how to serve it is decided in [`crate::pure::origin`].

mod announce;
mod encoder;
mod freshness;
mod house;
mod keeper;
mod loop_cache;
mod server;
mod tools;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::announce::Announcement;
use self::encoder::Encoder;
use self::house::House;
use self::server::Server;
use self::tools::Tools;
use crate::pure::origin::{derived::Derived, profile, stream::Stream};
use crate::system::guard::Guard;
use crate::system::shutdown::Shutdown;
use crate::system::{identity, listener};
use crate::words::cli::origin::OriginArgs;
use crate::words::exit::Exit;
use crate::words::failure::Failure;

/// Serves the test stream until a signal ends it; a signal is the planned end of an origin.
///
/// # Errors
/// The flags or the profile make no sense, the machine is not fit, or FFmpeg or nginx keep failing.
pub async fn run(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Exit, Failure> {
    let shutdown = Shutdown::listen()?;
    let stop = shutdown.graceful.child_token();
    tokio::select! {
        outcome = serve(args, guard, &stop) => outcome.map(|()| Exit::Pass),
        // Children are killed and the directory removed as everything above is dropped.
        () = shutdown.at_once.cancelled() => Ok(Exit::Signal(shutdown.signal().unwrap_or_default())),
    }
}

async fn serve(args: &OriginArgs, guard: &Arc<Guard>, stop: &CancellationToken) -> Result<(), Failure> {
    identity::share_reading();
    let stream = resolve(args)?;
    let derived = Derived::of(&stream);
    let tools = Tools::ask(args, guard).await?;
    let socket = listener::listen(SocketAddr::new(args.listen, args.port))?;
    let house = House::build(args.dir.as_deref(), derived.storage_bytes, guard)?;
    let announcement = Announcement::new(args, &socket, &house)?;
    let server = Server::prepare(args, &tools, &derived, socket, &house, guard).await?;

    let stream = async {
        let Some(encoder) = Encoder::prepare(args, &tools, &stream, &derived, &house, guard, stop).await?
        else {
            return Ok(());
        };
        let announced = announcement.make(&derived, encoder.settled(), server.settled(), stop);
        both(stop, encoder.keep(stop), announced).await
    };
    both(stop, server.keep(stop), stream).await
}

fn resolve(args: &OriginArgs) -> Result<Stream, Failure> {
    let name = &args.profile;
    let profile = if name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml") {
        let text = std::fs::read_to_string(name)
            .map_err(|error| Failure::usage(format!("cannot read the profile {name}")).because(error))?;
        profile::parse(name, &text)?
    } else {
        profile::parse(name, profile::built_in(name)?)?
    };
    Stream::resolve(profile, &args.stream)
}

/// Waits for both; a failure of one asks the other to stop.
async fn both(
    stop: &CancellationToken,
    one: impl Future<Output = Result<(), Failure>>,
    other: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let stopping_on_failure = |outcome: Result<(), Failure>| outcome.inspect_err(|_| stop.cancel());
    let (one, other) =
        tokio::join!(async { stopping_on_failure(one.await) }, async { stopping_on_failure(other.await) },);
    one.and(other)
}
