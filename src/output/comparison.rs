//! Comparison of two reports side by side.

use std::fmt::Write;

use hls_swarm_model::report::Report;

use super::escape::printable;

/// A figure: its name, and its value if the report has one.
type Figure = (String, Option<f64>);

/// Renders the main figures of `before` and `after` (file name and report), with the ratio of the second to
/// the first where both were measured.
#[must_use]
pub fn render(before: (&str, &Report), after: (&str, &Report)) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, before, after);
    printable(&text)
}

fn write(out: &mut String, before: (&str, &Report), after: (&str, &Report)) -> std::fmt::Result {
    for (letter, (name, report)) in [('A', before), ('B', after)] {
        writeln!(out, "{letter}  {:<8} {name}  {}", report.verdict.kind.as_str(), report.run.url)?;
    }
    writeln!(out, "\n{:<28} {:>14} {:>14} {:>10}", "", "A", "B", "B / A")?;
    let (left, right) = (figures(before.1), figures(after.1));
    let only_right = right.iter().filter(|(name, _)| left.iter().all(|(known, _)| known != name));
    let names: Vec<&String> = left.iter().chain(only_right).map(|(name, _)| name).collect();
    for name in names {
        let find = |figures: &[Figure]| figures.iter().find(|(known, _)| known == name).and_then(|(_, v)| *v);
        let (a, b) = (find(&left), find(&right));
        if a.is_none() && b.is_none() {
            continue;
        }
        let ratio = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| format!("{:.3}", b / a));
        writeln!(out, "{name:<28} {:>14} {:>14} {:>10}", number(a), number(b), ratio.unwrap_or_default())?;
    }
    Ok(())
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) if value.abs() < 1.0 => format!("{value:.5}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn figures(report: &Report) -> Vec<Figure> {
    let snapshot = &report.snapshot;
    let seconds = snapshot.elapsed_seconds;
    let count = |number: u64| Some(number as f64);
    let per_second = |number: u64, scale: f64| (seconds > 0.0).then(|| number as f64 * scale / seconds);
    let mut figures: Vec<Figure> = [
        ("seconds", Some(seconds)),
        ("viewers at the peak", count(snapshot.peak_clients)),
        ("active ratio", snapshot.active_ratio),
        ("requests", count(snapshot.requests.total())),
        ("requests per second", per_second(snapshot.requests.total(), 1.0)),
        ("body bytes", count(snapshot.bytes.total())),
        ("throughput, Mbit/s", per_second(snapshot.bytes.total(), 8e-6)),
        ("error rate", snapshot.errors.rate),
        ("stalls", snapshot.stalls().and_then(count)),
        ("rebuffering", snapshot.playback_time.rebuffering.filter(|_| snapshot.has_playback())),
        ("viewers without a stall", snapshot.share_without_stall()),
        (
            "bitrate played, Mbit/s",
            snapshot.quality.as_ref().and_then(|quality| quality.bitrate_played).map(|bits| bits / 1e6),
        ),
        ("restarts", count(snapshot.lifetimes.restarts)),
        ("processors busy, %", snapshot.generator.cpu_percent),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (name, factor, gauge) in snapshot.origin.iter().flat_map(|origin| origin.gauges()) {
        figures.push((format!("origin {name}, p95"), Some(gauge.p95 * factor)));
    }
    for (timing, q) in snapshot.latency.measured() {
        for (statistic, seconds) in [("p50", q.p50), ("p95", q.p95), ("p99", q.p99)] {
            figures.push((format!("{} {statistic}, ms", timing.title()), Some(seconds * 1000.0)));
        }
    }
    figures
}
