//! Preflight: checks everything before the first viewer starts, and prepares what the run needs.

pub mod checklist;
pub mod resources;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_client::Http;
use hls_swarm_hls::selection::Selection;
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_http::site_rules;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::machine;

use crate::config::plan::{Plan, Stream};
use crate::engine::probe::pipe::ProbeReader;
use crate::engine::{Engine, EngineConfig};
use crate::fetch::Fetcher;
use crate::output::metrics_server;
use crate::preflight::checklist::{Finding, Mark, Preflight, unseen};
use crate::preflight::resources::resources;
use crate::stream_check::{Inspection, inspect};

/// Help if no variant matches.
const OTHER_VARIANT: &str =
    "pass a --variant that exists, or --probe-failure-policy fail to stop here in such a case";

/// Help if FFmpeg cannot play a stream.
const UNPLAYABLE: &str = "pass a stream that FFmpeg can play; --skip-preflight starts viewers anyway";
/// Help if there are subtitles.
const SUBTITLES: &str =
    "compare the requests in the report: without segments of subtitles, they were not loaded";

/// The results of preflight that a run needs.
#[derive(Debug)]
pub struct Ready {
    /// The viewer engine.
    pub engine: Engine,
    /// The streams, and what viewers play of each of them.
    pub selections: WeightedSet<(Stream, Selection)>,
    /// The same for canaries, where there are some.
    pub canary_selections: Option<WeightedSet<(Stream, Selection)>>,
    /// The reader of the probe's records, if the probe is the source of requests.
    pub reader: Option<ProbeReader>,
    /// The Prometheus endpoint.
    pub listener: Option<TcpListener>,
}

/// Checks the machine, the ports, and what the viewer engine needs. `report` gets each finding.
///
/// # Errors
/// The first finding that stops the run, unless the plan skips preflight. A missing
/// prerequisite, such as the player, is an error in any case.
pub async fn prepare(
    plan: &Plan,
    guard: &Arc<Guard>,
    report: &mut dyn FnMut(&Finding),
) -> Result<Ready, Failure> {
    let mut preflight = Preflight::new(plan, guard, report);
    machine(&mut preflight);
    let listener = metrics(&mut preflight);
    let (engine, reader) = plan.viewers.engine.prepare(&mut preflight).await?;
    let canary_selections = preflight.canary_selections.take();
    Ok(Ready { engine, selections: preflight.finish()?, canary_selections, reader, listener })
}

/// Compares what the viewers need with what the machine has.
fn machine(preflight: &mut Preflight<'_>) {
    let plan = preflight.plan;
    let engine = &plan.viewers.engine;
    let count = plan.load.own_max_viewers();
    let open_files = machine::raise_open_files(engine.requirements(count).open_files);
    let mut sources = plan.network.sources.clone();
    sources.sort_unstable();
    sources.dedup();
    let machine = machine::headroom(open_files, sources.len() as u64);
    resources(&engine.viewers(count), &machine).into_iter().for_each(|finding| preflight.note(finding));
    source_addresses(&sources).into_iter().for_each(|finding| preflight.note(finding));
}

/// Opens the Prometheus endpoint.
fn metrics(preflight: &mut Preflight<'_>) -> Option<TcpListener> {
    match metrics_server::bind(preflight.plan.results.metrics?) {
        Ok(listener) => {
            let address = listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
            preflight.note(Finding::good("metrics", format!("http://{address}/metrics")));
            Some(listener)
        }
        Err(failure) => {
            preflight.note(Finding::failed("metrics", &failure));
            None
        }
    }
}

/// Checks that viewers can connect from these addresses.
fn source_addresses(sources: &[IpAddr]) -> Option<Finding> {
    let missing = machine::not_local(sources);
    let Some((first, error)) = missing.first() else {
        let text = format!("viewers connect from {} addresses of this machine", sources.len());
        return (!sources.is_empty()).then(|| Finding::good("source addresses", text));
    };
    let more = match missing.len() {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    let text = format!("{first}{more} is not an address of this machine: {error}");
    let help = format!("ip address add {first} dev INTERFACE, or leave it out of --source-ip");
    Some(Finding::bad("source addresses", text, help))
}

/// Inspects all streams and selects what viewers play of each.
pub(crate) async fn inspect_streams(preflight: &mut Preflight<'_>) -> Result<(), Failure> {
    let plan = preflight.plan;
    let mut selected = Vec::new();
    for stream in plan.streams.iter() {
        let fetcher = Fetcher::new(stream, &plan.target_policy, &plan.proxies, plan.viewers.engine.http());
        let inspected = inspect(&fetcher).await;
        if inspected.is_err() && plan.target_policy.is_closed() {
            // A stream that could not be inspected may redirect to a host that may not be loaded.
            preflight.make_binding();
        }
        let plays_ffmpeg = matches!(plan.viewers.engine, EngineConfig::Ffmpeg(_));
        let server = inspected.as_ref().ok().and_then(|found| found.steering.as_ref());
        if let (Some(server), EngineConfig::Native(native)) = (server, &plan.viewers.engine)
            && native.preset.asks_steering_servers()
        {
            preflight.note(steering(plan, stream, server));
        }
        for mut finding in findings(&inspected, proxy(plan, &stream.url).as_deref(), plays_ffmpeg) {
            if plan.streams.count() > 1 {
                finding.text = format!("{}: {}", without_secrets(&stream.url), finding.text);
            }
            preflight.note(finding);
        }
        selected.push(inspected.map_or_else(
            |_| (unseen(stream), Vec::new()),
            |inspection| (inspection.first, inspection.others),
        ));
    }
    let mut selected = selected.into_iter();
    preflight.selections = plan.streams.spread(|stream| {
        let (first, others) = selected.next().unwrap_or_else(|| (unseen(stream), Vec::new()));
        let of = |selection| (stream.clone(), selection);
        (of(first), others.into_iter().map(of).collect())
    });
    Ok(())
}

/// Whether viewers may ask the steering server.
fn steering(plan: &Plan, stream: &Stream, server: &Url) -> Finding {
    if !matches!(server.scheme(), "http" | "https") {
        let text = format!(
            "the steering manifest is in an address with {}:, which viewers do not read",
            server.scheme()
        );
        return Finding::warning(
            "steering",
            text,
            "expect players to choose pathways that these viewers do not",
        );
    }
    let allowed = site_rules::check(&plan.target_policy, server, &stream.resolve)
        .and_then(|()| stream.header_policy.check_url(server));
    match allowed {
        Ok(()) => Finding::good(
            "steering",
            format!("viewers ask {} which pathway to play", without_secrets(server)),
        ),
        Err(failure) => Finding::failed("steering", &failure),
    }
}

impl Preflight<'_> {
    /// Selects what canaries play of the streams, which have been inspected. `stream_of`: a stream as canaries play it.
    pub(crate) async fn inspect_canaries(&mut self, stream_of: impl Fn(&Stream) -> Stream) {
        let plan = self.plan;
        let mut selected = Vec::new();
        for stream in plan.streams.iter().map(&stream_of) {
            // FFmpeg speaks nothing else.
            let fetcher = Fetcher::new(&stream, &plan.target_policy, &plan.proxies, Http::Http1);
            let inspected = inspect(&fetcher).await;
            let unplayable = inspected.iter().flat_map(|found| &found.unplayable);
            unplayable.for_each(|why| self.note(Finding::bad("canaries", why.clone(), UNPLAYABLE)));
            if let Err(failure) = &inspected {
                self.note(Finding::failed("canaries", failure));
            }
            selected.push(inspected.map_or_else(|_| unseen(&stream), |found| found.first));
        }
        let mut selected = selected.into_iter();
        let of = |stream: &Stream| {
            let stream = stream_of(stream);
            let selection = selected.next().unwrap_or_else(|| unseen(&stream));
            (stream, selection)
        };
        self.canary_selections = Some(plan.streams.map(of));
    }
}

/// The way to a stream, where the environment names proxies.
fn proxy(plan: &Plan, url: &Url) -> Option<String> {
    let way = match plan.proxies.of(url) {
        Some(proxy) => format!("through the proxy {}", without_secrets(proxy)),
        None => "directly, because no proxy applies to it".to_owned(),
    };
    (!plan.proxies.is_empty()).then(|| format!("{way} (http_proxy, https_proxy, no_proxy)"))
}

/// `proxy`: the way to the stream. `plays_ffmpeg`: whether viewers are FFmpeg.
fn findings(
    inspected: &Result<Inspection, Failure>,
    proxy: Option<&str>,
    plays_ffmpeg: bool,
) -> Vec<Finding> {
    let found = match inspected {
        Ok(found) => found,
        Err(failure) => return vec![Finding::failed("stream", failure)],
    };
    let mut findings = Vec::new();
    findings.extend(found.fallback_reason.iter().map(|why| {
        Finding::warning("variant", format!("{why}; viewers play the URL as given"), OTHER_VARIANT)
    }));
    let missing = |why: &String| {
        Finding::warning(
            "rendition",
            format!("{why}: viewers cannot play it"),
            "look at the origin's own log",
        )
    };
    findings.extend(found.missing.iter().map(missing));
    let unplayable = found.unplayable.iter().filter(|_| plays_ffmpeg);
    findings.extend(unplayable.map(|why| Finding::bad("stream", why, UNPLAYABLE)));
    if findings.iter().all(|finding| finding.mark != Mark::Bad) {
        let way = proxy.map_or_else(String::new, |way| format!("; {way}"));
        findings.push(Finding::good("stream", format!("{}{way}", found.summary)));
    }
    if found.subtitles > 0 && plays_ffmpeg {
        let text = format!(
            "{} subtitle renditions are listed; most versions of FFmpeg do not load them, and then their requests \
             are not part of the load",
            found.subtitles
        );
        findings.push(Finding::warning("subtitles", text, SUBTITLES));
    }
    findings
}
