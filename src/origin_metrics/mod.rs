//! Scrapes the origin's exporters during the run, and once more when the last viewer has left, so that the counts
//! of both sides can be compared.

pub mod exposition;
pub mod parse;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use hls_swarm_http::fetch::{self, Request, without_secrets};
use hls_swarm_http::header_policy::HeaderPolicy;
use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_model::event::Event;
use hls_swarm_model::origin_sample::{Scraped, Target};
use hls_swarm_os::clock::now_ns;

use crate::config::plan::Plan;

/// How long an exporter may take to respond.
const TIMEOUT: Duration = Duration::from_secs(2);

/// One exporter.
struct Source {
    target: Target,
    url: Url,
    interval: Duration,
    jitter: Duration,
    verify_tls: bool,
    /// When it is no longer scraped.
    until: CancellationToken,
    order: Order,
}

/// The order of scrapes that counts depend on: nginx counts requests for sizes, too, so each of them has to be
/// clearly between two scrapes of nginx.
#[derive(Clone, Default)]
struct Order {
    /// nginx was scraped once.
    begun: CancellationToken,
    /// Sizes are no longer requested.
    sizes_ended: CancellationToken,
}

/// Starts a task for each exporter that the plan names. `seed` is that of the jitter; `stop` is cancelled
/// when viewers begin to leave, `done` when the last one has left.
pub fn start(
    plan: &Plan,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
    done: &CancellationToken,
    seed: u64,
) {
    let watch = &plan.watch;
    let verify_tls = plan.streams.first().verify_tls;
    let order = Order::default();
    let every = |target, url: &Option<Url>, until: &CancellationToken| {
        let (url, until, order) = (url.clone()?, until.clone(), order.clone());
        Some(Source {
            target,
            url,
            interval: watch.interval,
            jitter: Duration::ZERO,
            verify_tls,
            until,
            order,
        })
    };
    let sizes = watch.sizes.as_ref().map(|sizes| Source {
        target: Target::Sizes,
        url: sizes.url.clone(),
        interval: sizes.interval,
        jitter: sizes.jitter,
        verify_tls,
        until: stop.clone(),
        order: order.clone(),
    });
    // An exporter that is not scraped must not be waited for.
    if watch.nginx.is_none() {
        order.begun.cancel();
    }
    if sizes.is_none() {
        order.sizes_ended.cancel();
    }
    let sources = [every(Target::Node, &watch.node, stop), every(Target::Nginx, &watch.nginx, done), sizes];
    for source in sources.into_iter().flatten() {
        let random = fastrand::Rng::with_seed(seed ^ source.target as u64);
        tokio::spawn(follow(source, events.clone(), random));
    }
}

async fn follow(source: Source, events: mpsc::Sender<Event>, mut random: fastrand::Rng) {
    let Order { begun, sizes_ended } = source.order.clone();
    // Whatever ends this task, nothing must wait for it any longer.
    let _ended = match source.target {
        Target::Nginx => Some(begun.clone().drop_guard()),
        Target::Sizes => Some(sizes_ended.clone().drop_guard()),
        Target::Node => None,
    };
    if source.target == Target::Sizes {
        begun.cancelled().await;
    }
    let mut failing = false;
    loop {
        // The last scrape of nginx closes the counts, so it has to begin after the last viewer has left.
        let closing = source.until.is_cancelled();
        if closing && source.target == Target::Nginx {
            sizes_ended.cancelled().await;
        }
        let scraped = scrape(&source).await;
        log_change(&source, &scraped, &mut failing);
        drop(events.send(Event::Origin { at_ns: now_ns(), scraped }).await);
        if closing {
            return;
        }
        if source.target == Target::Nginx {
            begun.cancel();
        }
        let pause = source.interval + source.jitter.mul_f64(random.f64());
        tokio::select! {
            () = source.until.cancelled() => if source.target != Target::Nginx { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn scrape(source: &Source) -> Scraped {
    let request = Request {
        url: source.url.clone(),
        headers: Vec::new(),
        user_agent: concat!("hls-swarm/", env!("CARGO_PKG_VERSION"), "/scraper").into(),
        timeout: TIMEOUT,
        verify_tls: source.verify_tls,
        resolve: Vec::new(),
        // An exporter has no reason to redirect to another host.
        target_policy: TargetPolicy::same_host(&source.url),
        header_policy: HeaderPolicy::default(),
    };
    let failed = |why: String| Scraped::Failed(source.target, why);
    let response = match fetch::get(request).await {
        Ok(response) => response,
        Err(failure) => return failed(failure.chain()),
    };
    let text = String::from_utf8_lossy(&response.body);
    let read = match source.target {
        Target::Node => parse::node(&text, is_loopback(&source.url)).map(Scraped::Node),
        Target::Nginx => parse::nginx(&text).map(Scraped::Nginx),
        Target::Sizes => parse::sizes(&text).map(Scraped::Sizes),
    };
    read.unwrap_or_else(|why| failed(format!("{}: {why}", without_secrets(&source.url))))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Logs once that an exporter fails, and once that it responds again.
fn log_change(source: &Source, scraped: &Scraped, failing: &mut bool) {
    match scraped {
        Scraped::Failed(target, why) if !*failing => {
            *failing = true;
            tracing::warn!(exporter = target.name(), "no metrics of the origin: {why}");
        }
        Scraped::Failed(..) => {}
        _ if *failing => {
            *failing = false;
            tracing::info!(exporter = source.target.name(), "the origin's exporter responds again");
        }
        _ => {}
    }
}
