//! Metrics for Prometheus: the host's on one port, nginx's and the origin's origin on another.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Page, page};

use crate::cli::service::MetricsPort;
use crate::exporter::{self, Family, kernel, nginx, node, origin};
use crate::profile::{Metrics, Serve};
use crate::run::status::OriginStatus;

/// The ports where the field's dashboards look.
const NODE_PORT: u16 = 9100;
const NGINX_PORT: u16 = 9113;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Both endpoints, as far as they are wanted.
#[derive(Debug)]
pub(crate) struct Exporters {
    node: Option<TcpListener>,
    nginx: Option<TcpListener>,
}

impl Exporters {
    /// Takes the ports. One that was asked for and is taken is a failure; a usual one that is taken is
    /// left to its originer, most likely the real exporter.
    pub(crate) fn bind(serve: &Serve, metrics: Metrics) -> Result<Self, Failure> {
        let usual = |port: u16| if serve.port == 0 { 0 } else { port };
        let Metrics { node_port: node, nginx_port: nginx } = metrics;
        Ok(Self {
            node: listen(serve.listen, node, usual(NODE_PORT), "--node-metrics-port")?,
            nginx: listen(serve.listen, nginx, usual(NGINX_PORT), "--nginx-metrics-port")?,
        })
    }

    /// Where they are: name for READY and address, each as far as it is served.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let of = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        [("node_metrics", of(&self.node)), ("nginx_metrics", of(&self.nginx))]
            .into_iter()
            .filter_map(|(name, address)| Some((name, address?)))
            .collect()
    }

    /// Serves until `stop`. `directory` names the file system that holds the segments.
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
                    metrics(&request, async { gathered(read).await.unwrap_or_default() }).await
                }
            };
            server::serve(listener, stop, answer).await;
        };
        let nginx = async {
            let Some(listener) = self.nginx else { return };
            let answer = move |request: Request<Incoming>| {
                let origin_status = Arc::clone(&origin_status);
                async move {
                    let families = async {
                        let mut families = nginx::families(origin_status.status().await);
                        let read = move || origin::families(&origin_status.origin());
                        families.extend(gathered(read).await.unwrap_or_default());
                        families
                    };
                    metrics(&request, families).await
                }
            };
            server::serve(listener, stop, answer).await;
        };
        tokio::join!(node, nginx);
    }
}

/// Looks at files without holding up anybody else.
async fn gathered(read: impl FnOnce() -> Vec<Family> + Send + 'static) -> Option<Vec<Family>> {
    let read = tokio::task::spawn_blocking(read).await;
    read.inspect_err(|error| tracing::warn!(%error, "cannot gather metrics")).ok()
}

async fn metrics(request: &Request<Incoming>, families: impl Future<Output = Vec<Family>>) -> Page {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            page(StatusCode::OK, TEXT, exporter::exposition(&families.await))
        }
        (&Method::GET | &Method::HEAD, _) => {
            page(StatusCode::NOT_FOUND, "text/plain", "hls-origin: see /metrics\n")
        }
        _ => page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "hls-origin: GET /metrics\n"),
    }
}

fn listen(
    address: IpAddr,
    asked: Option<MetricsPort>,
    usual: u16,
    flag: &str,
) -> Result<Option<TcpListener>, Failure> {
    let port = match asked {
        Some(MetricsPort::Off) => return Ok(None),
        Some(MetricsPort::On(port)) => port,
        None => usual,
    };
    let address = SocketAddr::new(address, port);
    match server::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if asked.is_none() => {
            tracing::warn!(%address, %error, "no metrics there; choose another port by {flag}, or pass off");
            Ok(None)
        }
        Err(error) => Err(Failure::preflight(format!("the metrics address {address} cannot be used"))
            .caused_by(error)
            .help(format!("pass {flag} with a free port (0 takes any), or off"))),
    }
}
