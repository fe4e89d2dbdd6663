//! The origin without FFmpeg and nginx: the synthetic stream from memory, by our own server.

pub mod server;
pub mod synthetic;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::listener;

use super::access_log;
use crate::cli::OriginArgs;
use crate::embedded::server::Memory;
use crate::exporter::serve::Exporters;
use crate::fault_proxy::{Backend, Fronted, Layer, Traffic};
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::{Encryption, Format, Profile};
use crate::run::both;
use crate::run::readiness::{self, ReadyMessage};
use crate::run::status::{OriginStatus, Place};

/// Serves until `stop`.
pub(crate) async fn serve(
    args: &OriginArgs,
    profile: &Profile,
    stream: &Stream,
    serving: &Serving,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    only_what_it_can(stream, serving)?;
    let derived = Derived::of(stream);
    let socket = listener::listen(SocketAddr::new(serving.serve.listen, serving.serve.port))?;
    let address = socket
        .local_addr()
        .map_err(|error| Failure::internal("cannot tell the own address").caused_by(error))?;
    let first = Stream { variants: stream.variants.iter().take(1).copied().collect(), ..stream.clone() };
    let mut announcement = ReadyMessage::new(args, &first, address, None)?;
    let layer = Layer::of(&args.service, serving, false, &mut announcement)?;
    let faults = layer.as_ref().map(Layer::faults);
    let exporters = Exporters::bind(&serving.serve, profile.metrics)?;
    for (name, address) in exporters.addresses() {
        announcement.tell(name, format!("http://{}/metrics", readiness::reachable(address)));
    }
    announcement.tell("embedded", true);
    let traffic = Arc::<Traffic>::default();
    let memory = Arc::new(Memory::new(stream, &derived, Arc::clone(&traffic)));
    let origin_status = OriginStatus::new(Place::Memory(Arc::clone(&memory)), announcement.address(), faults);
    let log = access_log::place(&serving.log, address.port())?;
    if let Some(log) = &log {
        announcement.tell("access_log", log.as_str());
    }
    let fronted = Fronted::new(Backend::Embedded(memory), layer, log.as_deref(), &derived, traffic)?;

    let metrics = exporters.serve(Arc::new(origin_status), "/".into(), stop);
    let announced = announcement.make(&derived, &[], stop);
    let (served, ()) = tokio::join!(both(stop, fronted.serve(socket, stop), announced), metrics);
    served
}

/// Refuses what the synthetic stream is not.
fn only_what_it_can(stream: &Stream, serving: &Serving) -> Result<(), Failure> {
    let other = [
        (stream.format != Format::Ts, "fMP4"),
        (stream.encryption != Encryption::None, "encryption"),
        (stream.subtitles || stream.separate_audio, "separate renditions"),
        (!stream.further.is_empty(), "several streams"),
        (serving.serve.tls, "TLS"),
    ];
    if let Some((_, what)) = other.iter().find(|(asked, _)| *asked) {
        return Err(Failure::usage(format!("the embedded origin has no {what}"))
            .help("leave --embedded out, which needs FFmpeg and nginx, or choose another profile"));
    }
    if stream.variants.len() > 1 {
        tracing::warn!("the embedded origin serves the first of the {} variants", stream.variants.len());
    }
    Ok(())
}
