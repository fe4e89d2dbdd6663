//! The summary that is printed at the end of a run.

use std::fmt::Write;

use hls_swarm_model::exchange::Source;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{Snapshot, capacity};
use hls_swarm_model::verdict::Verdict;

use super::escape::printable;
use super::insight::{additional_edges, caches, edge_row, playlists};
use super::{events, generator as condition, load, quality};

/// Number of reasons that are shown.
const REASONS: usize = 10;
/// The note on a criterion that counts although the run is invalid otherwise.
const CERTAIN: &str = ", whatever the load generator did";

/// Renders the summary.
#[must_use]
pub fn render(snapshot: &Snapshot, run: &Run, verdict: &Verdict, end_reason: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, snapshot, run, verdict, end_reason);
    printable(&text)
}

fn write(
    out: &mut String,
    snapshot: &Snapshot,
    run: &Run,
    verdict: &Verdict,
    end_reason: &str,
) -> std::fmt::Result {
    writeln!(out, "── hls-swarm {} ── {} ──", run.version, run.url)?;
    let seed = run.seed.map_or_else(|| "of each run".to_owned(), |seed| seed.to_string());
    writeln!(
        out,
        "run        {:.1} s ({end_reason}), {} of {} viewers at the peak, {}, seed {}",
        snapshot.elapsed_seconds,
        snapshot.peak_clients,
        snapshot.target_clients,
        run.player_name(),
        seed
    )?;
    sources(out, snapshot)?;
    requests(out, snapshot)?;
    latencies(out, snapshot)?;
    playback(out, snapshot)?;
    insight(out, snapshot)?;
    origin(out, snapshot)?;
    parts(out, snapshot)?;
    generator(out, snapshot)?;
    reasons(out, snapshot)?;
    criteria(out, verdict)
}

fn sources(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let how = match snapshot.sources.requests {
        Source::Probe => "measured by the socket probe inside each viewer",
        Source::Native => "measured by the viewers themselves",
        Source::Log => "INFERRED from FFmpeg's log (no probe); bytes are what the origin announced",
    };
    write!(out, "source     {how}")?;
    match snapshot.agreement.kernel_bytes {
        Some(agreement) => writeln!(out, "; agreement with the kernel's byte count {agreement:.6}"),
        None => writeln!(out, "; no kernel byte count to compare with"),
    }
}

fn requests(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let viewers = snapshot.peak_clients.max(1) as f64;
    writeln!(
        out,
        "\n{:<10} {:>10} {:>10} {:>12} {:>16}",
        "", "requests", "per second", "per viewer", "body bytes"
    )?;
    for (kind, count) in snapshot.requests.iter().filter(|(_, count)| **count > 0) {
        writeln!(
            out,
            "{:<10} {count:>10} {:>10.1} {:>12.1} {:>16}",
            kind.name(),
            *count as f64 / seconds,
            *count as f64 / viewers,
            snapshot.bytes[kind]
        )?;
    }
    let total = snapshot.requests.total();
    writeln!(
        out,
        "{:<10} {total:>10} {:>10.1} {:>12.1} {:>16}",
        "total",
        total as f64 / seconds,
        total as f64 / viewers,
        snapshot.bytes.total()
    )?;
    let codes: Vec<String> = snapshot.http_status.iter().map(|(code, n)| format!("{code}: {n}")).collect();
    writeln!(out, "status     {}", if codes.is_empty() { "no response".into() } else { codes.join("   ") })?;
    if let Some(received) = snapshot.received_bytes {
        writeln!(out, "received   {received} bytes by the kernel, heads included")?;
    }
    let errors = &snapshot.errors;
    writeln!(
        out,
        "errors     {} HTTP, {} interrupted, {} timed out, {} connection failures{}",
        errors.http,
        errors.broken,
        errors.timeouts,
        errors.connect,
        errors.rate.map_or_else(String::new, |rate| format!(" = {:.3} % of requests", rate * 100.0)),
    )?;
    // Without retries, both figures are the same.
    if let Some(rate) = errors.object_rate.filter(|_| errors.objects_failed < errors.failed) {
        writeln!(
            out,
            "objects    {} of {} failed = {:.3} %; the other errors were retries",
            errors.objects_failed,
            errors.objects,
            rate * 100.0
        )?;
    }
    let events: Vec<String> = events(snapshot).map(|(title, count)| format!("{count} x {title}")).collect();
    if !events.is_empty() {
        writeln!(out, "events     {}", events.join(", "))?;
    }
    for (reason, count) in snapshot.connect_failures.iter().take(REASONS) {
        writeln!(out, "{count:>8} x {reason}")?;
    }
    Ok(())
}

fn latencies(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    if snapshot.latency.measured().next().is_none() {
        return writeln!(out, "\nlatency    nothing was measured");
    }
    writeln!(
        out,
        "\n{:<18} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "milliseconds", "count", "p50", "p95", "p99", "max"
    )?;
    for (timing, q) in snapshot.latency.measured() {
        let ms = |seconds: f64| seconds * 1000.0;
        writeln!(
            out,
            "{:<18} {:>8} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
            timing.title(),
            q.count,
            ms(q.p50),
            ms(q.p95),
            ms(q.p99),
            ms(q.max)
        )?;
    }
    match &snapshot.latency_error {
        Some(error) => writeln!(out, "error      {}", condition::latency_error(error)),
        None => Ok(()),
    }
}

fn playback(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let lifetimes = &snapshot.lifetimes;
    writeln!(
        out,
        "\nviewers    {} started, {} restarts, {} played, {}{} failed permanently, {} killed",
        lifetimes.starts,
        lifetimes.restarts,
        lifetimes.played,
        snapshot.stalls().map_or_else(String::new, |stalls| format!("{stalls} stalls, ")),
        lifetimes.given_up,
        lifetimes.killed
    )?;
    if !snapshot.has_playback() {
        writeln!(
            out,
            "playback   not measured: this player does not report progress; viewers count as playing while media arrives"
        )?;
    }
    for (label, value) in quality::rows(snapshot) {
        writeln!(out, "           {label}: {value}")?;
    }
    let exits = &lifetimes.exits;
    writeln!(out, "exits      {} success, {} error, {} signal", exits.success, exits.error, exits.signal)?;
    if let Some(uptime) = snapshot.uptime {
        writeln!(
            out,
            "uptime     p50 {:.1} s, p95 {:.1} s, p99 {:.1} s",
            uptime.p50, uptime.p95, uptime.p99
        )?;
    }
    Ok(())
}

fn insight(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let found = &snapshot.insight;
    if !found.edges.is_empty() {
        writeln!(out)?;
    }
    for (place, edge) in found.edges.iter().take(REASONS).enumerate() {
        let word = if place == 0 { "edges" } else { "" };
        let [name, requests, bytes, errors, connects, ttfb, hits, old] = edge_row(edge);
        writeln!(
            out,
            "{word:<10} {name}: {requests} requests, {bytes}, {errors} errors, {connects} connections, \
             ttfb p95 {ttfb}, cache hits {hits}, old playlists {old}"
        )?;
    }
    if let Some(more) = additional_edges(found, REASONS) {
        writeln!(out, "           {more}")?;
    }
    for line in caches(found) {
        writeln!(out, "cache      {line}")?;
    }
    for line in playlists(found) {
        writeln!(out, "playlists  {line}")?;
    }
    for one in found.failed.iter().take(REASONS) {
        writeln!(out, "failed     {} x {}: {}", one.count, one.name, one.what)?;
    }
    Ok(())
}

fn origin(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let Some(origin) = &snapshot.origin else { return Ok(()) };
    writeln!(out, "\n{:<18} {:>10} {:>10} {:>10} {:>10}", "origin", "last", "p50", "p95", "max")?;
    for (name, factor, gauge) in origin.gauges() {
        let [now, p50, p95, max] = [gauge.now, gauge.p50, gauge.p95, gauge.max].map(|value| value * factor);
        writeln!(out, "{name:<18} {now:>10.1} {p50:>10.1} {p95:>10.1} {max:>10.1}")?;
    }
    if let Some((theirs, ours)) = origin.requests.zip(origin.viewer_requests) {
        let agreement = snapshot.agreement.origin_requests;
        let agreement = agreement.map_or_else(String::new, |share| format!("; agreement {share:.4}"));
        writeln!(
            out,
            "requests   {theirs} counted by its nginx, {ours} by the viewers in that time{agreement}"
        )?;
    }
    if let Some(dropped) = origin.connections_dropped.filter(|dropped| *dropped > 0) {
        writeln!(out, "dropped    {dropped} connections that its nginx accepted and could not handle")?;
    }
    if let Some(sizes) = origin.segment_sizes {
        writeln!(
            out,
            "sizes      {} of {} whole segments looked up, {} of them as large as published",
            sizes.found, sizes.lookups, sizes.equal
        )?;
    }
    for (target, times) in &origin.failures {
        writeln!(out, "{times:>8} x {target} exporter could not be scraped")?;
    }
    match &origin.last_failure {
        Some(why) => writeln!(out, "           last: {why}"),
        None => Ok(()),
    }
}

fn parts(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    if let Some(sessions) = load::sessions(&snapshot.lifetimes) {
        writeln!(out, "sessions   {sessions}")?;
    }
    if let Some(changed) = load::manual_changes(&snapshot.manual_changes) {
        writeln!(out, "manual     {changed}")?;
    }
    if !snapshot.streams.is_empty() {
        writeln!(out)?;
        load::columns(&load::STREAM, &load::streams(snapshot))
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
    }
    if !snapshot.variants.is_empty() {
        writeln!(out)?;
        load::columns(&load::VARIANT, &load::variants(snapshot))
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
        for sentence in load::exceeded_bandwidths(snapshot) {
            writeln!(out, "bandwidth  {sentence}")?;
        }
    }
    if !snapshot.stages.is_empty() {
        writeln!(out)?;
        load::columns(&load::STAGE, &load::stages(snapshot))
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
    }
    match capacity(&snapshot.stages) {
        Some(sentence) => writeln!(out, "{sentence}\n"),
        None if snapshot.stages.is_empty() => Ok(()),
        None => writeln!(out),
    }
}

fn generator(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let generator = &snapshot.generator;
    let cpu = generator.cpu_percent.map_or_else(|| "unknown".into(), |cpu| format!("{cpu:.0} %"));
    writeln!(
        out,
        "generator  processors {cpu} busy, timers {:.0} ms late at worst, {} records lost",
        generator.max_lag_ms, generator.events_lost
    )?;
    let waits: Vec<String> = condition::waits(&generator.waits)
        .into_iter()
        .map(|(label, value)| format!("{label} {value}"))
        .collect();
    if waits.is_empty() { Ok(()) } else { writeln!(out, "waiting    {}", waits.join(", ")) }
}

fn reasons(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    if snapshot.exit_reasons.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwhy viewers ended")?;
    for (reason, count) in snapshot.exit_reasons.iter().take(REASONS) {
        writeln!(out, "{count:>8} x {reason}")?;
    }
    match snapshot.exit_reasons.len().saturating_sub(REASONS) {
        0 => Ok(()),
        more => writeln!(out, "         … and {more} more reasons"),
    }
}

fn criteria(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(out)?;
    for criterion in &verdict.criteria {
        let mark = if criterion.met { '✓' } else { '✗' };
        let value = criterion.value_text();
        let certain = if criterion.certain && !verdict.invalid_because.is_empty() { CERTAIN } else { "" };
        writeln!(out, "{mark} {:<16} {value:<9} ({}){certain}", criterion.name, criterion.limit)?;
    }
    for reason in &verdict.invalid_because {
        writeln!(out, "! invalid: {reason}")?;
    }
    for warning in &verdict.warnings {
        writeln!(out, "! warning: {warning}")?;
    }
    writeln!(out, "\n{} (exit code {})", verdict.kind.as_str(), verdict.exit_code)
}
