//! The HTTP endpoints for Prometheus: the host's metrics on one port, those of nginx and the origin on another.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Limits, Page, page};

use crate::cli::service::MetricsPort;
use crate::exporter::{self, Family, kernel, nginx, node, origin};
use crate::profile::{Metrics, Serve};
use crate::run::status::OriginStatus;

/// Default ports, which are those of the original exporters.
const NODE_PORT: u16 = 9100;
const NGINX_PORT: u16 = 9113;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Both endpoints, `None` for one that is off.
#[derive(Debug)]
pub(crate) struct Exporters {
    node: Option<TcpListener>,
    nginx: Option<TcpListener>,
}

impl Exporters {
    /// Listens on the ports. A requested port that is in use is an error; a default port that is in use is
    /// left alone, because it probably belongs to the original exporter.
    pub(crate) fn bind(serve: &Serve, metrics: Metrics) -> Result<Self, Failure> {
        let default_port = |port: u16| if serve.port == 0 { 0 } else { port };
        let Metrics { node_port: node, nginx_port: nginx } = metrics;
        Ok(Self {
            node: listen(serve.listen, node, default_port(NODE_PORT), "--node-metrics-port")?,
            nginx: listen(serve.listen, nginx, default_port(NGINX_PORT), "--nginx-metrics-port")?,
        })
    }

    /// The addresses of the active endpoints, by their field names in the READY message.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let of = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        [("node_metrics", of(&self.node)), ("nginx_metrics", of(&self.nginx))]
            .into_iter()
            .filter_map(|(name, address)| Some((name, address?)))
            .collect()
    }

    /// Serves until `stop`. `directory` is on the file system of the segments.
    pub(crate) async fn serve(
        self,
        origin_status: Arc<OriginStatus>,
        directory: PathBuf,
        stop: &CancellationToken,
    ) {
        let node = async {
            let Some(listener) = self.node else { return };
            let answer = move |request: Request<Incoming>| {
                let directory = directory.clone();
                async move {
                    let read = move || node::families(&kernel::kernel(&directory));
                    metrics(&request, async { read_blocking(read).await.unwrap_or_default() }).await
                }
            };
            server::serve(listener, Limits::default(), stop, answer).await;
        };
        let nginx = async {
            let Some(listener) = self.nginx else { return };
            let answer = move |request: Request<Incoming>| {
                let origin_status = Arc::clone(&origin_status);
                async move {
                    let families = async {
                        let mut families = nginx::families(origin_status.nginx_status().await);
                        let read = move || origin::families(&origin_status.snapshot());
                        families.extend(read_blocking(read).await.unwrap_or_default());
                        families
                    };
                    metrics(&request, families).await
                }
            };
            server::serve(listener, Limits::default(), stop, answer).await;
        };
        tokio::join!(node, nginx);
    }
}

/// Reads files on a thread where blocking is allowed.
async fn read_blocking(read: impl FnOnce() -> Vec<Family> + Send + 'static) -> Option<Vec<Family>> {
    let read = tokio::task::spawn_blocking(read).await;
    read.inspect_err(|error| tracing::warn!(%error, "cannot gather metrics")).ok()
}

async fn metrics(request: &Request<Incoming>, families: impl Future<Output = Vec<Family>>) -> Page {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            page(StatusCode::OK, TEXT_FORMAT, exporter::exposition(&families.await))
        }
        (&Method::GET | &Method::HEAD, _) => {
            page(StatusCode::NOT_FOUND, "text/plain", "hls-origin: the metrics are at /metrics\n")
        }
        _ => page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "hls-origin: use GET /metrics\n"),
    }
}

fn listen(
    address: IpAddr,
    requested: Option<MetricsPort>,
    default_port: u16,
    flag: &str,
) -> Result<Option<TcpListener>, Failure> {
    let port = match requested {
        Some(MetricsPort::Off) => return Ok(None),
        Some(MetricsPort::On(port)) => port,
        None => default_port,
    };
    let address = SocketAddr::new(address, port);
    match server::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if requested.is_none() => {
            tracing::warn!(%address, %error, "no metrics on this port; choose another one with {flag}, or turn them off with {flag} off");
            Ok(None)
        }
        Err(error) => Err(Failure::preflight(format!("cannot listen on {address} for metrics"))
            .caused_by(error)
            .help(format!("pass {flag} with a free port, 0 to choose one, or off"))),
    }
}
