//! Comparison of two runs: which figures are better or worse in the second one, by a rule that knows noise.
//!
//! A figure has changed if the difference is larger than what chance explains (`noise`), and large enough to matter:
//! at least [`NOTICEABLE`] of the first value, and 1 ms or the time that viewers waited for a processor, for durations.

pub mod condition;
mod noise;

use crate::metric::{Better, Unit, askable};
use crate::report::Report;
use crate::verdict::figure::{Figure, Statistic};

/// The smallest change that counts, as a share of the first value. Two runs of the same kind differ by a few percent,
/// whatever the number of their samples.
pub const NOTICEABLE: f64 = 0.1;
/// Statistics of distributions that a comparison lists.
const LISTED: [f64; 3] = [50.0, 95.0, 99.0];

/// The second value of a figure, beside the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// It is worse.
    Worse,
    /// It is better.
    Better,
    /// It is another, and neither is better.
    Different,
    /// The difference is noise, or too small to matter.
    Same,
    /// It cannot be judged: one report does not have the figure, or is of a run that proves nothing.
    Unknown,
}

impl Judgement {
    /// The word in outputs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Different => "different",
            Self::Same => "same",
            Self::Unknown => "not judged",
        }
    }
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name as in thresholds: `segment_ttfb:p95`.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Its value in the first run; `None` if it was not measured.
    pub before: Option<f64>,
    /// Its value in the second run; `None` if it was not measured.
    pub after: Option<f64>,
    /// The judgement.
    pub judgement: Judgement,
}

impl Row {
    /// The change from the first to the second value, as a share of the first; `None` without a first value other than 0.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        let (before, after) = self.before.zip(self.after)?;
        (before != 0.0).then(|| (after - before) / before.abs())
    }
}

/// Two runs, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The figures that at least one run measured, in the order of the catalogue.
    pub rows: Vec<Row>,
    /// What makes the runs unlike each other, or keeps their figures from being judged.
    pub notes: Vec<String>,
}

impl Comparison {
    /// The number of figures with a judgement.
    #[must_use]
    pub fn count(&self, judgement: Judgement) -> usize {
        self.rows.iter().filter(|row| row.judgement == judgement).count()
    }
}

/// Compares `after` with `before`.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let figures = askable().flat_map(|(metric, _)| {
        let statistics = if metric.is_distribution() {
            LISTED.map(Statistic::Percentile).to_vec()
        } else {
            vec![Statistic::Value]
        };
        statistics.into_iter().map(move |statistic| Figure { metric, statistic })
    });
    let rows = figures.map(|figure| row(figure, before, after));
    Comparison {
        rows: rows.filter(|row| row.before.or(row.after).is_some()).collect(),
        notes: notes(before, after),
    }
}

/// The figure in both reports, judged.
fn row(figure: Figure, before: &Report, after: &Report) -> Row {
    let measure = |report: &Report| figure.measure(&report.snapshot, &report.recording);
    let (a, b) = (measure(before), measure(after));
    let judgement = match a.zip(b) {
        Some((a, b)) if proves_something(before) && proves_something(after) => {
            let changed = noise::is_change(figure, (a, before), (b, after));
            match figure.metric.better() {
                _ if !changed => Judgement::Same,
                Better::Neither => Judgement::Different,
                Better::Less if b < a => Judgement::Better,
                Better::More if b > a => Judgement::Better,
                Better::Less | Better::More => Judgement::Worse,
            }
        }
        _ => Judgement::Unknown,
    };
    let name = match figure.statistic {
        Statistic::Value => figure.metric.id.clone(),
        statistic => format!("{}:{statistic}", figure.metric.id),
    };
    Row { name, unit: figure.metric.unit, before: a, after: b, judgement }
}

/// Whether the figures of a run are those of the stream, and not of a busy load generator.
const fn proves_something(report: &Report) -> bool {
    report.verdict.invalid_because.is_empty()
}

fn notes(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for (letter, report) in [("A", before), ("B", after)] {
        if !proves_something(report) {
            let reasons = report.verdict.invalid_because.join("; ");
            notes.push(format!("{letter} proves nothing, so no figure is judged: {reasons}"));
        }
    }
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            notes.push(format!("The runs differ in {what}: {a} and {b}."));
        }
    };
    let (a, b) = (&before.snapshot, &after.snapshot);
    differ("the planned viewers", a.target_clients.to_string(), b.target_clients.to_string());
    differ("the variants", before.run.variant_name(), after.run.variant_name());
    differ("the player", before.run.player_name(), after.run.player_name());
    differ(
        "the source of requests",
        a.sources.requests.name().to_owned(),
        b.sources.requests.name().to_owned(),
    );
    let (long, short) = (a.elapsed_seconds.max(b.elapsed_seconds), a.elapsed_seconds.min(b.elapsed_seconds));
    if long - short > long * NOTICEABLE {
        let seconds = |seconds: f64| format!("{seconds:.0} s");
        differ("their length", seconds(a.elapsed_seconds), seconds(b.elapsed_seconds));
    }
    notes
}
