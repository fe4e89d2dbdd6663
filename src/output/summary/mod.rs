//! The summary that is printed at the end of a run: at most 80 columns, with color on a terminal.

mod next;
mod text;

use hls_swarm_model::exchange::Source;
use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::{Gauge, PlaybackSource, Quantiles, Snapshot, Timing, capacity};
use hls_swarm_model::timeline::{Timeline, Window};
use hls_swarm_model::verdict::{Verdict, VerdictKind};

use super::escape::printable;
use super::figures::{bit_rate, bytes, clock, count, failure_line, length, percent};
use super::insight::{additional_edges, caches, edge_row, playlists};
use super::{canaries, content, events, generator as condition, load, protocols, quality};
use text::{Lines, Tone};

pub use next::Part;

/// Number of reasons that are shown.
const REASONS: usize = 10;
/// The time over which the peak of the bit rate is an average, seconds.
const PEAK_SECONDS: u64 = 10;
/// The note on a criterion that counts although the run is invalid otherwise.
const CERTAIN: &str = ", whatever the load generator did";
/// Columns before the text of a reason with its count.
const REASON: usize = 11;

/// Renders the summary of a load of its own, with color if `color`.
#[must_use]
pub fn render(report: &Report, color: bool) -> String {
    render_as(report, Some(Part::Whole), color)
}

/// Renders the summary of a part of a load. Without a part there is no next step, for a run after which something else
/// is to be done.
#[must_use]
pub fn render_as(report: &Report, part: Option<Part>, color: bool) -> String {
    let mut out = results(report);
    if let Some(part) = part {
        out.blank();
        let step = next::step(&report.snapshot, &report.verdict, part);
        out.add(Tone::Heading, 6, &format!("next: {step}"));
    }
    // Names come from servers and users.
    out.render(color, printable)
}

fn results(report: &Report) -> Lines {
    let Report { snapshot, verdict, recording, .. } = report;
    let mut out = Lines::default();
    overview(&mut out, report);
    requests(&mut out, snapshot);
    failures(&mut out, &recording.timeline);
    latencies(&mut out, snapshot);
    playback(&mut out, snapshot);
    insight(&mut out, snapshot);
    origin(&mut out, snapshot);
    parts(&mut out, snapshot);
    canaries(&mut out, snapshot);
    generator(&mut out, snapshot);
    reasons(&mut out, snapshot);
    criteria(&mut out, verdict);
    out
}

fn overview(out: &mut Lines, report: &Report) {
    let Report { snapshot, run, end_reason, recording, .. } = report;
    out.add(Tone::Heading, 3, &format!("── hls-swarm {} ── {} ──", run.version, run.url));
    out.field("run", &format!("{}: {end_reason}", length(snapshot.elapsed_seconds)));
    let seed = run.seed.map_or_else(|| "of each run".to_owned(), |seed| seed.to_string());
    out.field(
        "viewers",
        &format!(
            "{} of {} at the peak, {}, seed {seed}",
            count(snapshot.peak_clients),
            count(snapshot.target_clients),
            run.player_name(),
        ),
    );
    let mean = snapshot.bytes.total() as f64 * 8.0 / snapshot.elapsed_seconds.max(0.001);
    let peak = peak_bit_rate(&recording.timeline).map_or_else(String::new, |(peak, second, seconds)| {
        let (peak, at) = (bit_rate(peak.max(mean)), clock(second as f64));
        format!(", {peak} at the peak ({seconds} s from {at} on)")
    });
    out.field("bit rate", &format!("{} on average{peak}", bit_rate(mean)));
    let how = match snapshot.sources.requests {
        Source::Probe => "measured by the socket probe inside each viewer",
        Source::Native => "measured by the viewers themselves",
        Source::Log => "INFERRED from FFmpeg's log (no probe); bytes are what the origin announced",
    };
    let agreement = match snapshot.agreement.kernel_bytes {
        Some(agreement) => format!("agreement with the kernel's byte count {agreement:.6}"),
        None => "no kernel byte count to compare with".to_owned(),
    };
    out.field("source", &format!("{how}; {agreement}"));
}

fn requests(out: &mut Lines, snapshot: &Snapshot) {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let viewers = snapshot.peak_clients.max(1) as f64;
    let row = |name: &str, requests: u64, body: u64| {
        vec![
            name.to_owned(),
            count(requests),
            format!("{:.1}", requests as f64 / seconds),
            format!("{:.1}", requests as f64 / viewers),
            bytes(body),
        ]
    };
    let kinds = snapshot.requests.iter().filter(|(_, count)| **count > 0);
    let mut rows: Vec<_> =
        kinds.map(|(kind, count)| row(kind.name(), *count, snapshot.bytes[kind])).collect();
    rows.push(row("total", snapshot.requests.total(), snapshot.bytes.total()));
    out.blank();
    out.table(&["", "Requests", "Per second", "Per viewer", "Body"], &rows, &[]);
    let codes: Vec<String> =
        snapshot.http_status.iter().map(|(code, n)| format!("{code}: {}", count(*n))).collect();
    out.field("status", if codes.is_empty() { "no response".to_owned() } else { codes.join("  ") }.as_str());
    if let Some(received) = snapshot.received_bytes {
        out.field("received", &format!("{} by the kernel, heads included", bytes(received)));
    }
    let errors = &snapshot.errors;
    let tone = if errors.failed > 0 { Tone::Bad } else { Tone::Plain };
    let rate = errors.rate.map_or_else(String::new, |rate| format!(" = {} of requests", percent(rate)));
    out.toned(
        tone,
        "errors",
        &format!(
            "{} HTTP, {} interrupted, {} timed out, {} connection failures{rate}",
            count(errors.http),
            count(errors.broken),
            count(errors.timeouts),
            count(errors.connect),
        ),
    );
    // Without retries, both figures are the same.
    if let Some(rate) = errors.object_rate.filter(|_| errors.objects_failed < errors.failed) {
        out.field(
            "objects",
            &format!(
                "{} of {} failed = {}; the other errors were retries",
                count(errors.objects_failed),
                count(errors.objects),
                percent(rate)
            ),
        );
    }
    let events: Vec<String> =
        events(snapshot).map(|(title, number)| format!("{} × {title}", count(number))).collect();
    if !events.is_empty() {
        out.field("events", &events.join(", "));
    }
}

/// The largest bit rate over [`PEAK_SECONDS`] or the windows that cover them, when these began, and how long they are,
/// seconds; `None` for a run that was shorter.
fn peak_bit_rate(timeline: &Timeline) -> Option<(f64, u64, u64)> {
    let width = timeline.window_seconds.max(1);
    let many = usize::try_from(PEAK_SECONDS.div_ceil(width)).ok()?;
    let seconds = many as u64 * width;
    let rate = |windows: &[Window]| {
        let bytes = windows.iter().fold(0_u64, |sum, window| sum.saturating_add(window.bytes));
        (bytes as f64 * 8.0 / seconds as f64, windows.first().map_or(0, |window| window.second), seconds)
    };
    timeline.windows.windows(many).map(rate).max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Failures of one kind on one line: how many, on how many objects, and when. Connections are among them.
fn failures(out: &mut Lines, timeline: &Timeline) {
    for (place, group) in timeline.failures.iter().take(REASONS).enumerate() {
        let label = if place == 0 { "failures" } else { "" };
        out.toned(Tone::Bad, label, &failure_line(group));
    }
    match timeline.failures.len().saturating_sub(REASONS) {
        0 => {}
        more => out.field("", &format!("and {more} more kinds of failures")),
    }
}

fn latencies(out: &mut Lines, snapshot: &Snapshot) {
    out.blank();
    if snapshot.latency.measured().next().is_none() {
        return out.field("latency", "nothing was measured");
    }
    let ms = |seconds: f64| format!("{:.1}", seconds * 1000.0);
    let row = |(timing, q): (Timing, Quantiles)| {
        vec![timing.title(), count(q.count), ms(q.p50), ms(q.p95), ms(q.p99), ms(q.max)]
    };
    let rows: Vec<_> = snapshot.latency.measured().map(row).collect();
    out.table(&["Milliseconds", "Count", "p50", "p95", "p99", "max"], &rows, &[]);
    if let Some(error) = &snapshot.latency_error {
        out.toned(Tone::Doubtful, "error", &condition::latency_error(error));
    }
}

fn playback(out: &mut Lines, snapshot: &Snapshot) {
    let lifetimes = &snapshot.lifetimes;
    out.blank();
    let tone = if lifetimes.given_up + lifetimes.killed > 0 { Tone::Bad } else { Tone::Plain };
    out.toned(
        tone,
        "viewers",
        &format!(
            "{} started, {} restarts, {} played, {} failed permanently, {} killed",
            count(lifetimes.starts),
            count(lifetimes.restarts),
            count(lifetimes.played),
            count(lifetimes.given_up),
            count(lifetimes.killed)
        ),
    );
    if !snapshot.has_playback() {
        let why = match snapshot.sources.playback {
            PlaybackSource::Downloads => {
                "with --variant all, native viewers download every variant, and play none"
            }
            PlaybackSource::Unbuffered => "this FFmpeg cannot read a VOD ahead as a player does",
            PlaybackSource::Inferred => "FFmpeg's log does not show when segments had arrived",
            PlaybackSource::Players | PlaybackSource::Arrivals => "no playback was seen",
        };
        let text = format!("not measured: {why}; viewers count as playing while media arrives");
        out.field("playback", &text);
    }
    for (label, value) in quality::rows(snapshot) {
        out.field("", &format!("{label}: {value}"));
    }
    let exits = &lifetimes.exits;
    out.field(
        "exits",
        &format!(
            "{} success, {} error, {} signal",
            count(exits.success),
            count(exits.error),
            count(exits.signal)
        ),
    );
    if let Some(uptime) = snapshot.uptime {
        out.field(
            "uptime",
            &format!("p50 {:.1} s, p95 {:.1} s, p99 {:.1} s", uptime.p50, uptime.p95, uptime.p99),
        );
    }
}

fn insight(out: &mut Lines, snapshot: &Snapshot) {
    let found = &snapshot.insight;
    if !found.edges.is_empty() {
        out.blank();
    }
    for (place, edge) in found.edges.iter().take(REASONS).enumerate() {
        let word = if place == 0 { "edges" } else { "" };
        let [name, requests, bytes, errors, connects, ttfb, hits, old] = edge_row(edge);
        let text = format!(
            "{name}: {requests} requests, {bytes}, {errors} errors, {connects} connections, ttfb p95 {ttfb}, \
             cache hits {hits}, old playlists {old}"
        );
        out.toned(if edge.errors > 0 { Tone::Bad } else { Tone::Plain }, word, &text);
    }
    if let Some(more) = additional_edges(found, REASONS) {
        out.field("", &more);
    }
    for line in caches(found) {
        out.field("cache", &line);
    }
    for line in playlists(found) {
        out.toned(Tone::Doubtful, "playlists", &line);
    }
    let Some(checks) = &snapshot.content else { return };
    out.field("media", &content::extent(checks));
    let findings = content::findings(checks);
    for line in findings.iter().take(REASONS) {
        out.toned(Tone::Doubtful, "", line);
    }
    match findings.len().saturating_sub(REASONS) {
        0 => {}
        more => out.field("", &format!("and {more} more findings")),
    }
}

fn origin(out: &mut Lines, snapshot: &Snapshot) {
    let Some(origin) = &snapshot.origin else { return };
    out.blank();
    let row = |(name, factor, gauge): (&str, f64, Gauge)| {
        let values = [gauge.now, gauge.p50, gauge.p95, gauge.max];
        let values = values.map(|value| format!("{:.1}", value * factor));
        std::iter::once(name.to_owned()).chain(values).collect()
    };
    let rows: Vec<Vec<String>> = origin.gauges().into_iter().map(row).collect();
    out.table(&["Origin", "Last", "p50", "p95", "max"], &rows, &[]);
    if let Some((theirs, ours)) = origin.requests.zip(origin.viewer_requests) {
        let agreement = snapshot.agreement.origin_requests;
        let agreement = agreement.map_or_else(String::new, |share| format!("; agreement {share:.4}"));
        let (theirs, ours) = (count(theirs), count(ours));
        let text = format!("{theirs} counted by its nginx, {ours} by the viewers in that time{agreement}");
        out.field("requests", &text);
    }
    if let Some(dropped) = origin.connections_dropped.filter(|dropped| *dropped > 0) {
        let text = format!("{} connections that its nginx accepted and could not handle", count(dropped));
        out.toned(Tone::Bad, "dropped", &text);
    }
    if let Some(sizes) = origin.segment_sizes {
        let (found, all, equal) = (count(sizes.found), count(sizes.lookups), count(sizes.equal));
        let text =
            format!("{found} of {all} whole segments looked up, {equal} of them as large as published");
        out.field("sizes", &text);
    }
    for (target, times) in &origin.failures {
        let text = format!("{:>8} × {target} exporter could not be scraped", count(*times));
        out.add(Tone::Doubtful, REASON, &text);
    }
    if let Some(why) = &origin.last_failure {
        out.field("", &format!("last: {why}"));
    }
}

fn parts(out: &mut Lines, snapshot: &Snapshot) {
    if let Some(sessions) = load::sessions(&snapshot.lifetimes) {
        out.field("sessions", &sessions);
    }
    if let Some(changed) = load::manual_changes(&snapshot.manual_changes) {
        out.field("manual", &changed);
    }
    if !snapshot.streams.is_empty() {
        out.blank();
        let rows: Vec<_> = load::streams(snapshot).into_iter().map(Vec::from).collect();
        out.table(&load::STREAM, &rows, &["Requests"]);
    }
    let protocols: Vec<_> = protocols::rows(snapshot).into_iter().map(Vec::from).collect();
    if !protocols.is_empty() {
        out.blank();
        out.table(&protocols::HEAD, &protocols, &["Requests"]);
    }
    if !snapshot.variants.is_empty() {
        out.blank();
        let rows: Vec<_> = load::variants(snapshot).into_iter().map(Vec::from).collect();
        out.table(&load::VARIANT, &rows, &["Requests", "TTFB p95"]);
        for sentence in load::exceeded_bandwidths(snapshot) {
            out.toned(Tone::Doubtful, "bandwidth", &sentence);
        }
        let rates = snapshot.content.as_ref().map(content::bit_rates).unwrap_or_default();
        if !rates.is_empty() {
            out.blank();
            let rows: Vec<_> = rates.into_iter().map(Vec::from).collect();
            out.table(&content::BIT_RATES, &rows, &["Average", "AVERAGE-BANDWIDTH"]);
        }
    }
    if !snapshot.stages.is_empty() {
        out.blank();
        let rows: Vec<_> = load::stages(snapshot).into_iter().map(Vec::from).collect();
        out.table(&load::STAGE, &rows, &["Lasted", "Stalls", "Active"]);
    }
    if let Some(sentence) = capacity(&snapshot.stages) {
        out.add(Tone::Heading, 2, &sentence);
    }
    out.blank();
}

fn canaries(out: &mut Lines, snapshot: &Snapshot) {
    let Some(compared) = &snapshot.canaries else { return };
    let rows: Vec<_> = canaries::rows(compared).into_iter().map(Vec::from).collect();
    out.table(&canaries::HEAD, &rows, &[]);
    for sentence in &compared.disagreements {
        out.toned(Tone::Doubtful, "canaries", &format!("they disagree about {sentence}"));
    }
    out.blank();
}

fn generator(out: &mut Lines, snapshot: &Snapshot) {
    let generator = &snapshot.generator;
    let cpu = generator.cpu_percent.map_or_else(|| "unknown".into(), |cpu| format!("{cpu:.0} %"));
    let text = format!(
        "processors {cpu} busy, timers {:.0} ms late at worst, {} records lost",
        generator.max_lag_ms,
        count(generator.events_lost)
    );
    out.toned(if generator.events_lost > 0 { Tone::Bad } else { Tone::Plain }, "generator", &text);
    let waits: Vec<String> = condition::waits(&generator.waits)
        .into_iter()
        .map(|(label, value)| format!("{label} {value}"))
        .collect();
    if !waits.is_empty() {
        out.field("waiting", &waits.join(", "));
    }
}

fn reasons(out: &mut Lines, snapshot: &Snapshot) {
    if snapshot.exit_reasons.is_empty() {
        return;
    }
    out.blank();
    out.add(Tone::Heading, 0, "why viewers ended");
    for (reason, times) in snapshot.exit_reasons.iter().take(REASONS) {
        out.add(Tone::Plain, REASON, &format!("{:>8} × {reason}", count(*times)));
    }
    match snapshot.exit_reasons.len().saturating_sub(REASONS) {
        0 => {}
        more => out.field("", &format!("and {more} more reasons")),
    }
}

fn criteria(out: &mut Lines, verdict: &Verdict) {
    out.blank();
    for criterion in &verdict.criteria {
        let (mark, tone) = if criterion.met { ('✓', Tone::Good) } else { ('✗', Tone::Bad) };
        let value = criterion.value_text();
        let certain = if criterion.certain && !verdict.invalid_because.is_empty() { CERTAIN } else { "" };
        let text = format!("{mark} {:<16} {value:<9} ({}){certain}", criterion.name, criterion.limit);
        out.add(tone, 2, &text);
    }
    for reason in &verdict.invalid_because {
        out.add(Tone::Doubtful, 2, &format!("! invalid: {reason}"));
    }
    for warning in &verdict.warnings {
        out.add(Tone::Doubtful, 2, &format!("! warning: {warning}"));
    }
    out.blank();
    let tone = match verdict.kind {
        VerdictKind::Pass => Tone::Good,
        VerdictKind::Fail => Tone::Bad,
        VerdictKind::Invalid | VerdictKind::Aborted => Tone::Doubtful,
    };
    out.add(tone, 0, &format!("{} (exit code {})", verdict.kind.as_str(), verdict.exit_code));
}
