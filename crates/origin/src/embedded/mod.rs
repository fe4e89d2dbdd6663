//! The embedded origin: the synthetic stream, served from memory by hls-origin itself, without FFmpeg and nginx.

pub(crate) mod server;
pub mod synthetic;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::listener;

use crate::access_log;
use crate::cli::OriginArgs;
use crate::embedded::server::EmbeddedStream;
use crate::exporter::serve::Exporters;
use crate::fault_proxy::{Backend, ConnectionCounters, FaultInjection, FaultProxy};
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::{Encryption, Format, Profile};
use crate::run::both;
use crate::run::readiness::ReadyMessage;
use crate::run::status::{MediaStore, OriginStatus};

/// Serves the synthetic stream until `stop`.
pub(crate) async fn serve(
    args: &OriginArgs,
    profile: &Profile,
    stream: &Stream,
    serving: &Serving,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    // The synthetic stream has parts of MPEG-TS segments.
    let format = if stream.part_duration.is_some() { Format::Ts } else { stream.format };
    let stream = &Stream { format, ..stream.clone() };
    check_supported(stream, serving)?;
    let derived = Derived::from_stream(stream);
    let socket = listener::listen(SocketAddr::new(serving.serve.listen, serving.serve.port))?;
    let address = socket
        .local_addr()
        .map_err(|error| Failure::internal("cannot read the address of the socket").caused_by(error))?;
    let first = Stream { variants: stream.variants.iter().take(1).copied().collect(), ..stream.clone() };
    let mut ready = ReadyMessage::new(args, &first, address, None)?;
    let injection = FaultInjection::set_up(&args.service, serving, false, &mut ready)?;
    let faults = injection.as_ref().map(FaultInjection::injector);
    let exporters = Exporters::bind(&serving.serve, profile.metrics)?;
    ready.add_metrics(exporters.addresses());
    ready.add_field("embedded", true);
    let counters = Arc::<ConnectionCounters>::default();
    let embedded = Arc::new(EmbeddedStream::new(stream, &derived, Arc::clone(&counters)));
    let media = MediaStore::Embedded(Arc::clone(&embedded));
    let status = OriginStatus::new(media, ready.address(), faults);
    let access_log = access_log::path(&serving.log, address.port())?;
    if let Some(path) = &access_log {
        ready.add_field("access_log", path.as_str());
    }
    let backend = Backend::Embedded(Arc::clone(&embedded));
    let proxy = FaultProxy::new(backend, injection, access_log.as_deref(), &derived, counters)?;

    let metrics = exporters.serve(Arc::new(status), "/".into(), stop);
    let readiness = ready.report(&derived, &[], stop);
    let serving = async { tokio::join!(both(stop, proxy.serve(socket, stop), readiness), metrics) };
    tokio::select! {
        (served, ()) = serving => served,
        never = embedded.run_edge(stream) => match never {},
    }
}

/// Rejects settings that the synthetic stream does not support.
fn check_supported(stream: &Stream, serving: &Serving) -> Result<(), Failure> {
    let unsupported = [
        (stream.format != Format::Ts, "fMP4"),
        (stream.encryption != Encryption::None, "encryption"),
        (stream.subtitles || stream.separate_audio, "separate renditions"),
        (!stream.additional_streams.is_empty(), "several streams"),
        (serving.serve.tls, "TLS"),
    ];
    if let Some((_, feature)) = unsupported.iter().find(|(requested, _)| *requested) {
        return Err(Failure::usage(format!("the embedded origin does not support {feature}"))
            .help("omit --embedded, which requires FFmpeg and nginx, or choose another profile"));
    }
    if stream.variants.len() > 1 {
        tracing::warn!("the embedded origin serves only the first of the {} variants", stream.variants.len());
    }
    Ok(())
}
