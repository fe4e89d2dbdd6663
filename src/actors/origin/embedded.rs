//! The origin without FFmpeg and nginx: the synthetic stream from memory, by our own server.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::access_log;
use super::announce::{self, Announcement};
use super::exporters::Exporters;
use super::front::Backend;
use super::layer::{Fronted, Layer};
use super::memory::Memory;
use super::traffic::Traffic;
use super::vitals::{Place, Vitals};
use super::{both, listener};
use crate::pure::origin::derived::Derived;
use crate::pure::origin::profile::{Encryption, Format, Profile};
use crate::pure::origin::serving::Serving;
use crate::pure::origin::stream::Stream;
use crate::words::cli::origin::OriginArgs;
use crate::words::failure::Failure;

/// Serves until `stop`.
pub(super) async fn serve(
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
        .map_err(|error| Failure::internal("cannot tell the own address").because(error))?;
    let first = Stream { variants: stream.variants.iter().take(1).copied().collect(), ..stream.clone() };
    let mut announcement = Announcement::new(args, &first, address, None)?;
    let layer = Layer::of(&args.service, serving, false, &mut announcement)?;
    let faults = layer.as_ref().map(Layer::faults);
    let exporters = Exporters::bind(&serving.serve, profile.metrics)?;
    for (name, address) in exporters.addresses() {
        announcement.tell(name, format!("http://{}/metrics", announce::reachable(address)));
    }
    announcement.tell("embedded", true);
    let traffic = Arc::<Traffic>::default();
    let memory = Arc::new(Memory::new(stream, &derived, Arc::clone(&traffic)));
    let vitals = Vitals::new(Place::Memory(Arc::clone(&memory)), announcement.address(), faults);
    let log = access_log::place(&serving.log, address.port())?;
    if let Some(log) = &log {
        announcement.tell("access_log", log.as_str());
    }
    let fronted = Fronted::new(Backend::Embedded(memory), layer, log.as_deref(), &derived, traffic)?;

    let metrics = exporters.serve(Arc::new(vitals), "/".into(), stop);
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
            .cure("leave --embedded out, which needs FFmpeg and nginx, or choose another profile"));
    }
    if stream.variants.len() > 1 {
        tracing::warn!("the embedded origin serves the first of the {} variants", stream.variants.len());
    }
    Ok(())
}
